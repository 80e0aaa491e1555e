//! A child of the tests that does to its memory what it is told, step by step.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::guests::{PATIENCE, die_with_parent, state, tid, until};

/// Where the guest's memory for playing lies, and how much.
pub(crate) const ARENA: u64 = 0x5000_0000_0000;
pub(crate) const PAGES: u64 = 64;
const PAGE: u64 = 4096;
/// `MADV_GUARD_INSTALL`, `MADV_GUARD_REMOVE`.
const GUARD: i32 = 102;
const UNGUARD: i32 = 103;

/// Something done to `pages` pages from page `at` of the arena on. What is not possible is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Maps anonymous memory.
    Map(u64, u64),
    /// Maps the file privately.
    MapFile(u64, u64),
    Unmap(u64, u64),
    /// Each page gets the number.
    Write(u64, u64, u8),
    /// Each page is read.
    Touch(u64, u64),
    /// The kernel writes: read(2) from the file.
    KernelWrite(u64, u64),
    /// mprotect(2) to read only, to nothing, back to both.
    ReadOnly(u64, u64),
    NoAccess(u64, u64),
    ReadWrite(u64, u64),
    DontNeed(u64, u64),
    Free(u64, u64),
    /// mremap(2) to page `.2`.
    Move(u64, u64, u64),
    /// A child that shares the memory until the guest ends.
    Fork,
    Guard(u64, u64),
    Unguard(u64, u64),
}

/// The number of words that an act takes on the line to the guest.
const WORDS: usize = 4;

impl Op {
    fn to_words(self) -> [u64; WORDS] {
        match self {
            Self::Map(at, pages) => [0, at, pages, 0],
            Self::MapFile(at, pages) => [1, at, pages, 0],
            Self::Unmap(at, pages) => [2, at, pages, 0],
            Self::Write(at, pages, value) => [3, at, pages, value.into()],
            Self::Touch(at, pages) => [4, at, pages, 0],
            Self::KernelWrite(at, pages) => [5, at, pages, 0],
            Self::ReadOnly(at, pages) => [6, at, pages, 0],
            Self::NoAccess(at, pages) => [7, at, pages, 0],
            Self::ReadWrite(at, pages) => [8, at, pages, 0],
            Self::DontNeed(at, pages) => [9, at, pages, 0],
            Self::Free(at, pages) => [10, at, pages, 0],
            Self::Move(at, pages, to) => [11, at, pages, to],
            Self::Fork => [12, 0, 0, 0],
            Self::Guard(at, pages) => [13, at, pages, 0],
            Self::Unguard(at, pages) => [14, at, pages, 0],
        }
    }

    fn from_words([kind, at, pages, more]: [u64; WORDS]) -> io::Result<Self> {
        Ok(match kind {
            0 => Self::Map(at, pages),
            1 => Self::MapFile(at, pages),
            2 => Self::Unmap(at, pages),
            3 => Self::Write(at, pages, more as u8),
            4 => Self::Touch(at, pages),
            5 => Self::KernelWrite(at, pages),
            6 => Self::ReadOnly(at, pages),
            7 => Self::NoAccess(at, pages),
            8 => Self::ReadWrite(at, pages),
            9 => Self::DontNeed(at, pages),
            10 => Self::Free(at, pages),
            11 => Self::Move(at, pages, more),
            12 => Self::Fork,
            13 => Self::Guard(at, pages),
            14 => Self::Unguard(at, pages),
            _ => return Err(io::Error::other(format!("act {kind} is not known"))),
        })
    }
}

/// Set for the guest: the numbers of its line and its file.
const DESCRIPTORS: &str = "FREEZEFRAME_TEST_MEMORY_GUEST";

/// The child; killed when dropped.
///
/// It is the test program, started again and not only forked: a fork would hold all memory of the tests that run meanwhile, with
/// the records of earlier guests in it, and each test would copy and compare more than the one before.
pub(crate) struct Guest {
    pub(crate) pid: u32,
    child: Child,
    line: UnixStream,
    number: i32,
    thread: i32,
    steps: RefCell<VecDeque<Vec<Op>>>,
}

impl Guest {
    /// Starts one that will do a group of `steps` at each [`Self::go`]. `file` is what it maps.
    pub(crate) fn start(steps: &[Vec<Op>], file: &File) -> Self {
        let (line, theirs) = UnixStream::pair().unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        let kept = [theirs.as_raw_fd(), file.as_raw_fd()];
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["--exact", "sys::memory_guest::plays_what_a_test_asks_for", "--nocapture", "--test-threads=1"])
            .env(DESCRIPTORS, format!("{} {}", kept[0], kept[1]))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let keep = move || {
            for descriptor in kept {
                // Only in the child: no other program that is started meanwhile inherits it.
                // SAFETY: numbers only.
                if unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: `keep` makes system calls only and allocates nothing.
        unsafe { command.pre_exec(keep) };
        let child = command.spawn().unwrap();
        let mut guest =
            Self { pid: child.id(), child, line, number: 0, thread: 0, steps: RefCell::new(steps.to_vec().into()) };
        let (mut thread, mut number) = ([0; 4], [0; 4]);
        (&guest.line).read_exact(&mut thread).unwrap();
        (&guest.line).read_exact(&mut number).unwrap();
        (guest.thread, guest.number) = (i32::from_ne_bytes(thread), i32::from_ne_bytes(number));
        guest
    }

    /// The userfaultfd that the guest has made.
    pub(crate) fn userfaultfd(&self) -> OwnedFd {
        let process = super::pidfd::open(self.pid.cast_signed()).unwrap();
        super::pidfd::copy(process.as_fd(), self.number).unwrap()
    }

    /// Lets it do the next group; does not wait.
    pub(crate) fn go(&self) {
        let group = self.steps.borrow_mut().pop_front().unwrap();
        let mut bytes = (group.len() as u64).to_ne_bytes().to_vec();
        bytes.extend(group.iter().flat_map(|op| op.to_words()).flat_map(u64::to_ne_bytes));
        (&self.line).write_all(&bytes).unwrap();
    }

    /// Waits until it has done it, and stands still.
    pub(crate) fn wait(&self) {
        (&self.line).read_exact(&mut [0]).unwrap();
        // It uses its stack until it sleeps in its next read, and the main thread of the test program until it waits for the other.
        let pid = self.pid.cast_signed();
        until("the guest comes to rest", || [pid, self.thread].iter().all(|tid| state(pid, *tid) == Some('S')));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only where it was waited for, which nobody else does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test where no guest is wanted: what [`Guest::start`] starts.
#[test]
fn plays_what_a_test_asks_for() {
    let Ok(descriptors) = std::env::var(DESCRIPTORS) else { return };
    die_with_parent();
    let (line, file) = descriptors.split_once(' ').unwrap();
    // SAFETY: the descriptor was left open for this by `Guest::start`; nothing else of this program knows it.
    let line = unsafe { UnixStream::from_raw_fd(line.parse().unwrap()) };
    // An error is the end of the line: the test is over.
    let _ = play(file.parse().unwrap(), &line);
    // SAFETY: ends the guest.
    unsafe { libc::_exit(0) };
}

#[derive(Clone, Copy, Default)]
struct State {
    readable: bool,
    writable: bool,
    guard: bool,
}

fn play(file: i32, mut line: &UnixStream) -> io::Result<()> {
    // A kernel that forbids it is seen by the test when it takes it.
    let number = super::userfaultfd::open().map_or(-1, IntoRawFd::into_raw_fd);
    line.write_all(&tid().to_ne_bytes())?;
    line.write_all(&number.to_ne_bytes())?;
    let mut state = [State::default(); PAGES as usize];
    let mut word = [0; 8];
    loop {
        line.read_exact(&mut word)?;
        for _ in 0..u64::from_ne_bytes(word) {
            let mut words = [0; WORDS];
            for one in &mut words {
                line.read_exact(&mut word)?;
                *one = u64::from_ne_bytes(word);
            }
            act(Op::from_words(words)?, file, &mut state);
        }
        line.write_all(b"x")?;
    }
}

fn address(at: u64) -> *mut libc::c_void {
    (ARENA + at * PAGE) as *mut libc::c_void
}

fn act(op: Op, file: i32, state: &mut [State; PAGES as usize]) {
    let clip = |at: u64, pages: u64| (at % PAGES, pages.min(PAGES - at % PAGES));
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let map = |at: u64, pages: u64, flags, file, offset| {
        let flags = flags | libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: the arena is nobody else's.
        unsafe { libc::mmap(address(at), (pages * PAGE) as usize, both, flags, file, offset) != libc::MAP_FAILED }
    };
    let advise = |at: u64, pages: u64, advice| {
        // SAFETY: the arena is nobody else's.
        unsafe { libc::madvise(address(at), (pages * PAGE) as usize, advice) == 0 }
    };
    let protect = |at: u64, protection| {
        // SAFETY: the arena is nobody else's.
        unsafe { libc::mprotect(address(at), PAGE as usize, protection) == 0 }
    };
    let fresh = State { readable: true, writable: true, guard: false };
    let range = |at: u64, pages: u64| at as usize..(at + pages) as usize;
    match op {
        Op::Map(at, pages) | Op::MapFile(at, pages) => {
            let (at, pages) = clip(at, pages);
            let done = if matches!(op, Op::Map(..)) {
                map(at, pages, libc::MAP_ANONYMOUS, -1, 0)
            } else {
                map(at, pages, 0, file, (at * PAGE) as i64)
            };
            if done {
                state[range(at, pages)].fill(fresh);
            }
        }
        Op::Unmap(at, pages) => {
            let (at, pages) = clip(at, pages);
            // SAFETY: the arena is nobody else's.
            unsafe { libc::munmap(address(at), (pages * PAGE) as usize) };
            state[range(at, pages)].fill(State::default());
        }
        Op::Write(at, pages, value) => {
            let (at, pages) = clip(at, pages);
            for page in at..at + pages {
                if state[page as usize].writable && !state[page as usize].guard {
                    let byte = address(page).cast::<u8>().wrapping_add(usize::from(value) * 16);
                    // SAFETY: the page is mapped for writing, and the byte is in it.
                    unsafe { byte.write_volatile(value) };
                }
            }
        }
        Op::Touch(at, pages) => {
            let (at, pages) = clip(at, pages);
            for page in at..at + pages {
                if state[page as usize].readable && !state[page as usize].guard {
                    // SAFETY: the page is mapped for reading.
                    unsafe { address(page).cast::<u8>().read_volatile() };
                }
            }
        }
        Op::KernelWrite(at, pages) => {
            let (at, pages) = clip(at, pages);
            // SAFETY: the arena is nobody else's; where nothing is mapped the kernel answers EFAULT.
            unsafe { libc::pread(file, address(at), (pages * PAGE) as usize, 7) };
        }
        Op::ReadOnly(at, pages) | Op::NoAccess(at, pages) | Op::ReadWrite(at, pages) => {
            let (at, pages) = clip(at, pages);
            let protection = match op {
                Op::ReadOnly(..) => libc::PROT_READ,
                Op::NoAccess(..) => libc::PROT_NONE,
                _ => both,
            };
            for page in at..at + pages {
                if protect(page, protection) {
                    state[page as usize].readable = protection != libc::PROT_NONE;
                    state[page as usize].writable = protection == both;
                }
            }
        }
        Op::DontNeed(at, pages) | Op::Free(at, pages) => {
            let (at, pages) = clip(at, pages);
            advise(at, pages, if matches!(op, Op::Free(..)) { libc::MADV_FREE } else { libc::MADV_DONTNEED });
        }
        Op::Move(at, pages, to) => {
            let (at, pages) = clip(at, pages);
            let to = to % PAGES;
            let pages = pages.min(PAGES - to);
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            let length = (pages * PAGE) as usize;
            let moved = state;
            // SAFETY: both places are in the arena, which is nobody else's.
            let done = unsafe { libc::mremap(address(at), length, length, flags, address(to)) } != libc::MAP_FAILED;
            let old = *moved;
            moved[range(to, pages)].fill(State::default());
            moved[range(at, pages)].fill(State::default());
            if done {
                moved[range(to, pages)].copy_from_slice(&old[range(at, pages)]);
            } else {
                // One that fails may have unmapped its goal and, since Linux 6.17, moved a part.
                for page in [at, to] {
                    // SAFETY: both places are in the arena, which is nobody else's.
                    unsafe { libc::munmap(address(page), length) };
                }
            }
        }
        Op::Fork => {
            let guest = std::process::id().cast_signed();
            // SAFETY: the child makes calls only, and ends with its parent.
            if unsafe { libc::fork() } == 0 {
                die_with_parent();
                // The parent may have ended before.
                // SAFETY: no arguments.
                if unsafe { libc::getppid() } != guest {
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) };
                }
                // Nobody who waits for the end of what the tests write waits for this one.
                // SAFETY: numbers only; nothing in this child refers to a descriptor.
                unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_int::MAX, 0) };
                loop {
                    // SAFETY: no arguments.
                    unsafe { libc::pause() };
                }
            }
        }
        Op::Guard(at, pages) | Op::Unguard(at, pages) => {
            let (at, pages) = clip(at, pages);
            let guard = matches!(op, Op::Guard(..));
            for page in at..at + pages {
                if advise(page, 1, if guard { GUARD } else { UNGUARD }) {
                    state[page as usize].guard = guard;
                }
            }
        }
    }
}
