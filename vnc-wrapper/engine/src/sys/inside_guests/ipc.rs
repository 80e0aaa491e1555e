//! Guests with an ipc namespace: System V memory, semaphores and queues, and POSIX message queues.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_long};

use super::{child, judged, ready};
use crate::ipc::{self, Kind, Stat};
use crate::sys::guests::until;
use crate::sys::inside::Words;
use crate::sys::mqueue;

const PAGE: usize = 4096;
const KEY: i32 = 0x4646_0001;

/// A namespace of its own, in which some identifiers were used before. Who has no mount namespace of its own can mount nothing.
fn enter() {
    // SAFETY: a number only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC | libc::CLONE_NEWNS) }, 0);
    for _ in 0..3 {
        for kind in [&ipc::SEGMENTS, &ipc::SEMAPHORES, &ipc::QUEUES] {
            let made = match kind.control {
                libc::SYS_shmctl => segment(libc::IPC_PRIVATE, PAGE, 0o600),
                // SAFETY: numbers only.
                libc::SYS_semctl => unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) },
                // SAFETY: numbers only.
                _ => unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) },
            };
            control(kind, made, libc::IPC_RMID as u64, &mut []);
        }
    }
}

/// Waits in a call until it may go on.
fn rest(words: Words) {
    ready(words);
    super::wait_for_go(words);
}

fn ok(result: c_long) -> c_long {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}

/// Has the kernel do `command` to an object; its answer goes into `memory`.
fn control(kind: &Kind, identifier: c_int, command: u64, memory: &mut [u8]) -> c_long {
    let (mut arguments, place) = kind.arguments(identifier as u64, command);
    arguments[place] = memory.as_mut_ptr() as u64;
    let [first, second, third, fourth] = arguments;
    // SAFETY: the memory is as long as the answer to the commands that are used here.
    ok(unsafe { libc::syscall(kind.control, first, second, third, fourth) })
}

fn stat(kind: &Kind, identifier: c_int) -> Stat {
    let mut memory = vec![0; kind.length];
    control(kind, identifier, libc::IPC_STAT as u64, &mut memory);
    Stat(memory)
}

/// What must be the same of an object: all but times and who did something last.
fn same(kind: &Kind, identifier: c_int) -> (crate::record::ipc::IpcObject, (bool, bool), Vec<u64>) {
    let stat = stat(kind, identifier);
    let more = match kind.control {
        libc::SYS_shmctl => vec![stat.size(), stat.creator().into(), stat.attached()],
        libc::SYS_semctl => vec![stat.semaphores(), u64::from(stat.operated() != 0)],
        _ => stat.held().to_vec(),
    };
    (stat.object(identifier, 0), stat.marks(), more)
}

fn segment(key: i32, size: usize, mode: c_int) -> c_int {
    // SAFETY: numbers only.
    ok(unsafe { libc::shmget(key, size, libc::IPC_CREAT | libc::IPC_EXCL | mode) }.into()) as c_int
}

/// Attaches a segment of that many bytes.
fn attach(identifier: c_int, size: usize, flags: c_int) -> &'static mut [u8] {
    // SAFETY: the kernel chooses where.
    let memory = unsafe { libc::shmat(identifier, null_mut(), flags) };
    assert_ne!(memory as isize, -1, "{}", std::io::Error::last_os_error());
    // SAFETY: it is detached by none but who says so.
    unsafe { std::slice::from_raw_parts_mut(memory.cast(), size) }
}

fn detach(memory: &[u8]) -> bool {
    // SAFETY: nobody looks at it any more.
    unsafe { libc::shmdt(memory.as_ptr().cast()) == 0 }
}

/// Pages of all segments.
fn pages() -> u64 {
    let mut info = [0; 48];
    control(&ipc::SEGMENTS, 0, ipc::SEGMENTS.info, &mut info);
    [16, 24].map(|at| u64::from_ne_bytes(info[at..at + 8].try_into().unwrap())).iter().sum()
}

/// A number in shared memory.
fn number(memory: &mut [u8], at: usize) -> &'static AtomicU32 {
    // SAFETY: within memory that is never unmapped, and aligned as its pages are.
    unsafe { &*memory[at..at + 4].as_mut_ptr().cast::<AtomicU32>() }
}

/// Segments in all states, attached by two processes in all ways.
pub(crate) fn segments(words: Words, directory: &Path) -> i32 {
    enter();
    let shared_size = 5 * PAGE + 100;
    let shared = segment(KEY, shared_size, 0o640);
    let memory = attach(shared, shared_size, 0);
    memory[1] = b'a';
    memory[3 * PAGE + 5] = b'd';
    number(memory, 2 * PAGE).store(6, Ordering::SeqCst);
    let alone = segment(libc::IPC_PRIVATE, 8 * PAGE, 0o600);
    let in_it = attach(alone, 8 * PAGE, 0);
    in_it[2 * PAGE] = b'c';
    assert!(detach(in_it));
    let cut = segment(libc::IPC_PRIVATE, 4 * PAGE, 0o700);
    let left = attach(cut, 4 * PAGE, 0);
    left[..2].copy_from_slice(b"xx");
    left[2 * PAGE] = b'y';
    left[3 * PAGE] = b'z';
    // SAFETY: nobody looks at these pages any more.
    assert_eq!(unsafe { libc::munmap(left.as_mut_ptr().cast(), 2 * PAGE) }, 0);
    let locked = segment(libc::IPC_PRIVATE, PAGE, 0o604);
    control(&ipc::SEGMENTS, locked, ipc::SHM_LOCK, &mut []);
    // Removed, so that another has its key.
    let removed = segment(KEY + 1, 2 * PAGE, 0o600);
    let gone = attach(removed, 2 * PAGE, 0);
    gone[PAGE] = b'r';
    control(&ipc::SEGMENTS, removed, libc::IPC_RMID as u64, &mut []);
    let next = segment(KEY + 1, PAGE, 0o600);
    let again = attach(removed, 2 * PAGE, libc::SHM_RDONLY);
    let other = child(|| {
        let own = segment(KEY + 2, PAGE, 0o600);
        let memory_of_own = attach(own, PAGE, libc::SHM_RDONLY);
        ready(words);
        let word = number(memory, 2 * PAGE);
        until("the other one writes", || word.load(Ordering::SeqCst) == 7);
        gone[1] = b'!';
        word.store(8, Ordering::SeqCst);
        // It may never be written.
        // SAFETY: the page is its own.
        let write = unsafe { libc::mprotect(memory_of_own.as_mut_ptr().cast(), PAGE, libc::PROT_WRITE) };
        i32::from(!(write == -1 && memory_of_own[0] == 0 && gone[PAGE] == b'r'))
    });
    until("the child is there", || words[0].load(Ordering::SeqCst) == 1);
    let all = [shared, alone, cut, locked, removed, next];
    let before = all.map(|one| same(&ipc::SEGMENTS, one));
    let resident = pages();
    rest(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    check("holes", pages() == resident);
    let now = all.map(|one| same(&ipc::SEGMENTS, one));
    for (one, other) in before.iter().zip(&now) {
        check(&format!("{other:?} instead of {one:?}"), one == other);
    }
    check("content", memory[..3] == [0, b'a', 0] && memory[3 * PAGE + 5] == b'd');
    check("what is left", left[2 * PAGE] == b'y' && left[3 * PAGE] == b'z');
    let whole = attach(cut, 4 * PAGE, 0);
    check("what was left out", whole[..3] == *b"xx\0" && whole[2 * PAGE] == b'y');
    check("detached", detach(whole));
    let in_it = attach(alone, 8 * PAGE, 0);
    check("what nobody had", in_it.iter().enumerate().all(|(at, byte)| (*byte != 0) == (at == 2 * PAGE)));
    let word = number(memory, 2 * PAGE);
    word.store(7, Ordering::SeqCst);
    check("the child", super::wait(other) == 0);
    check("shared with it", word.load(Ordering::SeqCst) == 8 && gone[1] == b'!' && again[1] == b'!');
    check("by its key", segment_of(KEY) == shared && segment_of(KEY + 1) == next);
    // The last one that has it takes it away.
    check("gone", detach(gone) && detach(again) && gone_by_now(removed));
    check("shown by its key", shown(memory).ends_with("/SYSV46460001 (deleted)"));
    judged(&wrong, directory)
}

fn segment_of(key: i32) -> c_int {
    // SAFETY: numbers only.
    unsafe { libc::shmget(key, 0, 0) }
}

fn gone_by_now(identifier: c_int) -> bool {
    // SAFETY: the kernel chooses where.
    let memory = unsafe { libc::shmat(identifier, null_mut(), 0) };
    memory as isize == -1
}

/// The line of `maps` about memory.
fn shown(memory: &[u8]) -> String {
    let start = format!("{:x}-", memory.as_ptr() as usize);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().find(|line| line.starts_with(&start)).unwrap_or_default().to_owned()
}

fn operate(set: c_int, operations: &[(u32, i16, i16)]) -> c_int {
    let bytes: Vec<u8> = operations.iter().flat_map(|(one, by, flags)| ipc::operation(*one, *by, *flags)).collect();
    // SAFETY: the operations are read.
    unsafe { libc::syscall(libc::SYS_semop, set, bytes.as_ptr(), operations.len()) as c_int }
}

/// Values and who gave them.
fn values(set: c_int, count: c_int) -> Vec<[c_int; 2]> {
    // SAFETY: numbers only.
    (0..count).map(|one| [12, 11].map(|command| unsafe { libc::semctl(set, one, command) })).collect()
}

/// A set with values of two processes, adjustments of which one has threads, and who waits.
pub(crate) fn semaphores(words: Words, directory: &Path) -> i32 {
    enter();
    // SAFETY: numbers only.
    let set = ok(unsafe { libc::semget(KEY, 6, libc::IPC_CREAT | 0o604) }.into()) as c_int;
    // SAFETY: numbers only.
    let never = ok(unsafe { libc::semget(libc::IPC_PRIVATE, 2, 0o600) }.into()) as c_int;
    let undo = ipc::SEM_UNDO;
    assert_eq!(operate(set, &[(0, 5, 0), (1, 7, undo), (4, 32_767, 0)]), 0);
    assert_eq!(operate(set, &[(1, -3, undo), (2, 9, 0), (4, -32_767, undo)]), 0);
    let other = child(|| {
        assert_eq!(operate(set, &[(0, -2, undo), (2, 1, 0)]), 0);
        ready(words);
        // Woken by nobody but the other one.
        let waited = operate(set, &[(3, -1, 0)]);
        words[3].store(1, Ordering::SeqCst);
        i32::from(waited != 0)
    });
    let ends = child(|| {
        assert_eq!(operate(set, &[(5, 4, undo)]), 0);
        // Threads share what is done at the end.
        let thread = std::thread::spawn(move || {
            assert_eq!(operate(set, &[(5, 1, undo)]), 0);
            ready(words);
            super::wait_for_go(words);
        });
        i32::from(thread.join().is_err())
    });
    until("both are there", || words[0].load(Ordering::SeqCst) == 2);
    let before = (same(&ipc::SEMAPHORES, set), same(&ipc::SEMAPHORES, never), values(never, 2), values(set, 6));
    rest(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    let now = (same(&ipc::SEMAPHORES, set), same(&ipc::SEMAPHORES, never), values(never, 2), values(set, 6));
    let only_values = |all: &[[c_int; 2]]| all.iter().map(|one| one[0]).collect::<Vec<_>>();
    check(&format!("{now:?} instead of {before:?}"), (&now.0, &now.1, &now.2) == (&before.0, &before.1, &before.2));
    // The one whose end came meanwhile gave back what it had.
    check("who ends", super::wait(ends) == 0);
    let now = values(set, 6);
    check(&format!("values {now:?}"), only_values(&now) == [3, 4, 10, 0, 0, 0]);
    check("who was last", now[2][1] == before.3[2][1] && now[3][1] == before.3[3][1]);
    check("it waits", words[3].load(Ordering::SeqCst) == 0);
    check("it is let go", operate(set, &[(3, 1, 0)]) == 0 && super::wait(other) == 0);
    check("it gives back", only_values(&values(set, 6)) == [5, 4, 10, 0, 0, 0]);
    // What this one does at its end is seen by a child that outlives it in no test: so it is taken away by hand.
    check("its own adjustments", operate(set, &[(4, 32_767, undo), (1, -4, undo)]) == 0);
    check("nothing is left", operate(set, &[(1, 0, libc::IPC_NOWAIT as i16)]) == 0);
    judged(&wrong, directory)
}

fn put(queue: c_int, kind: i64, text: &[u8]) {
    let bytes = [&kind.to_ne_bytes(), text].concat();
    // SAFETY: the bytes are read.
    ok(unsafe { libc::syscall(libc::SYS_msgsnd, queue, bytes.as_ptr(), text.len(), libc::IPC_NOWAIT) });
}

fn get(queue: c_int, kind: i64) -> (i64, Vec<u8>) {
    let mut bytes = vec![0u8; 10_000];
    let (place, room) = (bytes.as_mut_ptr(), bytes.len() - 8);
    // SAFETY: no more is written than there is room.
    let got = ok(unsafe { libc::syscall(libc::SYS_msgrcv, queue, place, room, kind, libc::IPC_NOWAIT) });
    let (kind, text) = bytes.split_at(8);
    (i64::from_ne_bytes(kind.try_into().unwrap()), text[..got as usize].to_vec())
}

/// Queues with messages of several types; one is empty, and somebody waits for it.
pub(crate) fn messages(words: Words, directory: &Path) -> i32 {
    enter();
    // SAFETY: numbers only.
    let make = |key, mode| ok(unsafe { libc::msgget(key, libc::IPC_CREAT | mode) }.into()) as c_int;
    let (full, empty) = (make(KEY, 0o640), make(libc::IPC_PRIVATE, 0o600));
    let long = vec![b'l'; 8192];
    for (kind, text) in [(3, &b"three"[..]), (1, b""), (i64::MAX, &long), (1, b"one again")] {
        put(full, kind, text);
    }
    let other = child(|| {
        ready(words);
        let mut bytes = [0u8; 16];
        // SAFETY: eight bytes for the type, and eight more.
        let got = unsafe { libc::syscall(libc::SYS_msgrcv, empty, bytes.as_mut_ptr(), 8, 5, 0) };
        words[3].store(1, Ordering::SeqCst);
        i32::from(!(got == 2 && bytes[8..10] == *b"ok"))
    });
    until("the child is there", || words[0].load(Ordering::SeqCst) == 1);
    let before = [full, empty].map(|one| same(&ipc::QUEUES, one));
    rest(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    let now = [full, empty].map(|one| same(&ipc::QUEUES, one));
    check(&format!("{now:?} instead of {before:?}"), now == before);
    check("by type", get(full, 1) == (1, Vec::new()) && get(full, -1) == (1, b"one again".to_vec()));
    check("in order", get(full, 0) == (3, b"three".to_vec()) && get(full, 0) == (i64::MAX, long));
    check("it waits", words[3].load(Ordering::SeqCst) == 0);
    put(empty, 4, b"no");
    put(empty, 5, b"ok");
    check("its message", super::wait(other) == 0);
    judged(&wrong, directory)
}

/// Opens a POSIX queue by its name, which has no slash.
fn open_queue(name: &str, flags: c_int, [capacity, length]: [i64; 2]) -> std::io::Result<OwnedFd> {
    let name = CString::new(name).unwrap();
    let attributes = [0, capacity, length, 0, 0, 0, 0, 0];
    // SAFETY: the name ends with a NUL, and `struct mq_attr` of eight longs is read.
    let made = unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0o620, attributes.as_ptr()) };
    if made < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(made as c_int) })
}

fn unlink_queue(name: &str) -> bool {
    let name = CString::new(name).unwrap();
    // SAFETY: the name ends with a NUL.
    unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) == 0 }
}

fn received(queue: BorrowedFd<'_>) -> Option<(Vec<u8>, u32)> {
    let mut room = [0; 8192];
    mqueue::receive(queue, &mut room).unwrap().map(|(length, priority)| (room[..length].to_vec(), priority))
}

/// Flags, owner, mode, and how much it holds.
fn shape(queue: BorrowedFd<'_>) -> (u32, [u32; 3], mqueue::Attributes) {
    let stat = rustix::fs::fstat(queue).unwrap();
    let flags = crate::sys::descriptor::flags(queue).unwrap();
    (flags, [stat.st_uid, stat.st_gid, stat.st_mode], mqueue::attributes(queue).unwrap())
}

/// POSIX queues: open, unlinked, and one that nobody has open.
pub(crate) fn posix_queues(words: Words, directory: &Path) -> i32 {
    use std::os::fd::AsFd;
    enter();
    let both = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    let open = open_queue("open", both | libc::O_NONBLOCK, [4, 100]).unwrap();
    let reads = open_queue("open", libc::O_RDONLY, [0; 2]).unwrap();
    let alone = open_queue("alone", both, [3, 64]).unwrap();
    let unlinked = open_queue("same name", both, [2, 10]).unwrap();
    for (text, priority) in [(&b"low"[..], 1), (b"high", 32_767), (b"", 1), (b"middle", 7)] {
        mqueue::send(open.as_fd(), text, priority).unwrap();
    }
    mqueue::send(alone.as_fd(), b"nobody has it", 2).unwrap();
    drop(alone);
    mqueue::send(unlinked.as_fd(), b"gone", 0).unwrap();
    assert!(unlink_queue("same name"));
    let named = open_queue("same name", both, [1, 20]).unwrap();
    let all = [open.as_fd(), reads.as_fd(), unlinked.as_fd(), named.as_fd()];
    let other = child(|| {
        ready(words);
        let mut room = [0u8; 20];
        // SAFETY: twenty bytes may be written.
        let got = unsafe { libc::mq_receive(named.as_raw_fd(), room.as_mut_ptr().cast(), 20, null_mut()) };
        words[3].store(1, Ordering::SeqCst);
        i32::from(!(got == 5 && room[..5] == *b"named"))
    });
    until("the child is there", || words[0].load(Ordering::SeqCst) == 1);
    let before = all.map(shape);
    rest(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    let now = all.map(shape);
    check(&format!("{now:?} instead of {before:?}"), now == before);
    let first: Vec<_> = std::iter::from_fn(|| received(reads.as_fd())).collect();
    let right = [(&b"high"[..], 32_767), (b"middle", 7), (b"low", 1), (b"", 1)];
    check(&format!("messages {first:?}"), first == right.map(|(text, priority)| (text.to_vec(), priority)));
    check("of the unlinked one", received(unlinked.as_fd()) == Some((b"gone".to_vec(), 0)));
    check("it waits", words[3].load(Ordering::SeqCst) == 0);
    let again = open_queue("same name", libc::O_WRONLY, [0; 2]);
    check("by its name", again.is_ok_and(|again| mqueue::send(again.as_fd(), b"named", 3).is_ok()));
    check("the child", super::wait(other) == 0);
    let alone = open_queue("alone", libc::O_RDWR, [0; 2]);
    let alone = alone.map(|alone| (mqueue::attributes(alone.as_fd()).unwrap(), received(alone.as_fd())));
    let held = mqueue::Attributes { capacity: 3, length: 64, waiting: 1 };
    check("which nobody had", alone.is_ok_and(|it| it == (held, Some((b"nobody has it".to_vec(), 2)))));
    check("their names", unlink_queue("open") && unlink_queue("alone") && unlink_queue("same name"));
    judged(&wrong, directory)
}

/// Asks for a signal when a message comes.
pub(crate) fn is_notified(words: Words, _: &Path) -> i32 {
    enter();
    let queue = open_queue("asks", libc::O_CREAT | libc::O_RDWR, [4, 100]).unwrap();
    // SAFETY: all zeroes is a valid sigevent.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGUSR1;
    super::note_signal(libc::SIGUSR1, 0);
    // SAFETY: the event is read.
    ok(unsafe { libc::syscall(libc::SYS_mq_notify, queue.as_raw_fd(), &raw const event) });
    rest(words);
    use std::os::fd::AsFd;
    let before = super::COUNT.load(Ordering::SeqCst);
    mqueue::send(queue.as_fd(), b"one", 0).unwrap();
    until("the signal comes", || super::COUNT.load(Ordering::SeqCst) == 1);
    if before == 0 { super::RIGHT } else { 1 }
}

/// Limits, by their files.
fn limits() -> Vec<Option<String>> {
    let read = |file: &str| std::fs::read_to_string(Path::new(ipc::limits::DIRECTORY).join(file)).ok();
    ipc::limits::settings(&ipc::limits::of_new(0)).iter().map(|(file, _)| read(file)).collect()
}

/// Has changed the limits of its namespace, where it may, below what is there.
pub(crate) fn limited(words: Words, directory: &Path) -> i32 {
    enter();
    let write = |file: &str, text: &str| std::fs::write(Path::new(ipc::limits::DIRECTORY).join(file), text);
    let may = write("kernel/msgmnb", "65536").is_ok();
    words[4].store(may.into(), Ordering::SeqCst);
    // SAFETY: numbers only.
    let queue = ok(unsafe { libc::msgget(KEY, libc::IPC_CREAT | 0o600) }.into()) as c_int;
    if may {
        for _ in 0..5 {
            put(queue, 1, &[1; 8000]);
        }
        for (file, text) in [
            ("kernel/msgmnb", "1000"),
            ("kernel/msgmax", "9000"),
            ("kernel/sem", "20 200 50 30"),
            ("kernel/shmmni", "17"),
            ("kernel/shmmax", "1234567"),
            ("kernel/shm_rmid_forced", "1"),
            ("fs/mqueue/msg_max", "12"),
            ("fs/mqueue/queues_max", "7"),
        ] {
            write(file, text).unwrap();
        }
    }
    let before = (limits(), same(&ipc::QUEUES, queue));
    rest(words);
    let now = (limits(), same(&ipc::QUEUES, queue));
    let wrong = if now == before { Vec::new() } else { vec![format!("{now:?} instead of {before:?}")] };
    judged(&wrong, directory)
}

/// Has no mount namespace of its own.
pub(crate) fn cannot_mount(words: Words, _: &Path) -> i32 {
    // SAFETY: a number only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC) }, 0);
    rest(words);
    super::RIGHT
}

/// Has a segment together with its child.
pub(crate) fn shares_outside(words: Words, _: &Path) -> i32 {
    enter();
    attach(segment(libc::IPC_PRIVATE, PAGE, 0o600), PAGE, 0);
    child(|| {
        rest(words);
        0
    });
    rest(words);
    super::RIGHT
}
