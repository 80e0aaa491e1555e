//! What the plugin asks of the kernel, without a C library: ptrace(2) of threads that its own process has stopped.

use core::arch::asm;
use core::ffi::{CStr, c_int};

use crate::decide::Registers;

/// System calls (asm/unistd_64.h).
pub const READ: i64 = 0;
const WRITE: i64 = 1;
pub const CLOSE: i64 = 3;
const SOCKET: i64 = 41;
const CONNECT: i64 = 42;
const WAIT4: i64 = 61;
const PTRACE: i64 = 101;
const GETDENTS64: i64 = 217;
const EXIT_GROUP: i64 = 231;
pub const OPENAT: i64 = 257;

pub const AT_FDCWD: i64 = -100;
/// O_RDONLY | O_DIRECTORY | O_CLOEXEC.
const DIRECTORY: i64 = 0o2_200_000;

/// Requests of ptrace(2).
const PEEKDATA: i64 = 2;
const POKEUSER: i64 = 6;
const CONT: i64 = 7;
const GETREGS: i64 = 12;
const SETREGS: i64 = 13;
const SYSCALL: i64 = 24;
const INTERRUPT: i64 = 0x4207;
const PEEKSIGINFO: i64 = 0x4209;
const GETSIGMASK: i64 = 0x420a;
const SETSIGMASK: i64 = 0x420b;
/// Not one of ptrace(2): what has become of a thread (wait4(2)), without waiting for it.
const WAIT: i64 = -1;
/// `WNOHANG | __WALL`.
const NO_HANG: i64 = 0x4000_0001;
/// `-ENOSYS`.
const UNKNOWN: i64 = -38;
/// `PTRACE_PEEKSIGINFO_SHARED`.
const SHARED: u32 = 1;

/// As many signals as are looked at; a thread with more waiting is left alone.
const SIGNALS: usize = 8;
/// `sizeof (siginfo_t)`; the number of the signal comes first in it.
const SIGINFO: usize = 128;

/// `struct ptrace_peeksiginfo_args`.
#[repr(C)]
struct Signals {
    from: u64,
    flags: u32,
    most: i32,
}

/// # Safety
/// The arguments have to be what the call takes; what it writes to has to be there.
pub unsafe fn call(number: i64, arguments: [i64; 4]) -> i64 {
    // SAFETY: by the caller's word; what takes four does not look at the fifth.
    unsafe { call5(number, arguments, 0) }
}

/// # Safety
/// As [`call`].
pub unsafe fn call5(number: i64, arguments: [i64; 4], fifth: i64) -> i64 {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: a system call changes rax, rcx, r11 and, by the caller's word, memory that may be changed.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, in("rdx") third,
             in("r10") fourth, in("r8") fifth, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Calls `act` with each thread of process `pid`.
pub fn threads(pid: c_int, act: impl Fn(c_int)) {
    let mut path = [0u8; 32];
    let Some(path) = task_directory(pid, &mut path) else { return };
    // SAFETY: `path` ends with a zero.
    let directory = unsafe { call(OPENAT, [AT_FDCWD, path.as_ptr() as i64, DIRECTORY, 0]) };
    if directory < 0 {
        return;
    }
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: `buffer` is as long as is said.
        let length = unsafe { call(GETDENTS64, [directory, buffer.as_mut_ptr() as i64, buffer.len() as i64, 0]) };
        let Some(mut entries) = usize::try_from(length).ok().and_then(|length| buffer.get(..length)) else { break };
        if entries.is_empty() {
            break;
        }
        // struct linux_dirent64: 16 bytes, its length in 2, its type in 1, its name.
        while let Some(length) = entries.get(16..18).map(|b| usize::from(u16::from_ne_bytes([b[0], b[1]]))) {
            let Some((entry, rest)) = entries.split_at_checked(length.max(19)) else { break };
            if let Some(thread) = entry.get(19..).and_then(number) {
                act(thread);
            }
            entries = rest;
        }
    }
    // SAFETY: it was opened above.
    unsafe { call(CLOSE, [directory, 0, 0, 0]) };
}

/// `/proc/PID/task`.
fn task_directory(pid: c_int, path: &mut [u8; 32]) -> Option<&CStr> {
    let end = with_number(path, b"/proc/", pid)?.len();
    for (to, from) in path.get_mut(end..)?.iter_mut().zip(b"/task\0") {
        *to = *from;
    }
    CStr::from_bytes_until_nul(path).ok()
}

/// `text` and the digits of `number`.
pub fn with_number<'a>(to: &'a mut [u8], text: &[u8], number: c_int) -> Option<&'a [u8]> {
    let mut digits = [0u8; 10];
    let (mut left, mut first) = (u32::try_from(number).ok()?, digits.len());
    while left > 0 {
        first -= 1;
        *digits.get_mut(first)? = b'0' + (left % 10) as u8;
        left /= 10;
    }
    let digits = digits.get(first..)?;
    let to = to.get_mut(..text.len() + digits.len())?;
    for (to, from) in to.iter_mut().zip(text.iter().chain(digits)) {
        *to = *from;
    }
    Some(to)
}

/// A name of digits, up to its zero.
fn number(name: &[u8]) -> Option<c_int> {
    let digits = name.split(|b| *b == 0).next().filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0 as c_int, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| c_int::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The registers of a thread.
pub fn registers(thread: c_int) -> Option<Registers> {
    let mut registers = Registers::default();
    // SAFETY: PTRACE_GETREGS writes a `struct user_regs_struct`.
    let result = unsafe { call(PTRACE, [GETREGS, thread.into(), 0, &raw mut registers as i64]) };
    (result == 0).then_some(registers)
}

/// The word at `address` in the memory of a thread.
pub fn peek(thread: c_int, address: u64) -> Option<u64> {
    let mut word = 0u64;
    // SAFETY: the call itself, other than the C library's, writes the word to where its last argument says.
    let result = unsafe { call(PTRACE, [PEEKDATA, thread.into(), address.cast_signed(), &raw mut word as i64]) };
    (result == 0).then_some(word)
}

/// Whether a signal waits that the thread does not block, or that cannot be known.
pub fn has_signal(thread: c_int) -> bool {
    let mut blocked = 0u64;
    // SAFETY: PTRACE_GETSIGMASK writes as many bytes as are said.
    if unsafe { call(PTRACE, [GETSIGMASK, thread.into(), 8, &raw mut blocked as i64]) } != 0 {
        return true;
    }
    [0, SHARED].into_iter().any(|flags| {
        let arguments = Signals { from: 0, flags, most: SIGNALS as i32 };
        let mut found = [0u8; SIGNALS * SIGINFO];
        let at = [PEEKSIGINFO, thread.into(), &raw const arguments as i64, found.as_mut_ptr() as i64];
        // SAFETY: PTRACE_PEEKSIGINFO writes at most as many `siginfo_t` as are said.
        let count = unsafe { call(PTRACE, at) };
        let Some(found) = usize::try_from(count).ok().filter(|c| *c < SIGNALS).and_then(|c| found.get(..c * SIGINFO))
        else {
            return true;
        };
        found.chunks(SIGINFO).any(|info| {
            let bit = u32::from(info.first().copied().unwrap_or(0)).wrapping_sub(1);
            1u64.checked_shl(bit).is_none_or(|bit| blocked & bit == 0)
        })
    })
}

/// Sets what a thread's call returns.
pub fn set_result(thread: c_int, result: i64) {
    let offset = core::mem::offset_of!(Registers, rax) as i64;
    // SAFETY: PTRACE_POKEUSER takes numbers only.
    unsafe { call(PTRACE, [POKEUSER, thread.into(), offset, result]) };
}

/// What the wrapper asks for (`src/engine/traced.rs` has the same).
#[repr(C)]
struct Request {
    request: i64,
    thread: i64,
    data: i64,
    /// What the request reads or writes: registers, or a set of signals.
    bytes: [u8; BYTES],
}

const BYTES: usize = 256;
const _: () = assert!(size_of::<Registers>() <= BYTES);

impl Request {
    /// Does it; returns what the kernel does.
    fn act(&mut self) -> i64 {
        let bytes = self.bytes.as_mut_ptr() as i64;
        // SAFETY: what is written to or read from is `bytes`, and is no longer: a `struct user_regs_struct`, a set of signals
        // as long as is said, an int. Others take numbers.
        unsafe {
            match self.request {
                GETREGS | SETREGS => call(PTRACE, [self.request, self.thread, 0, bytes]),
                GETSIGMASK | SETSIGMASK => call(PTRACE, [self.request, self.thread, 8, bytes]),
                CONT | SYSCALL | INTERRUPT => call(PTRACE, [self.request, self.thread, 0, self.data]),
                WAIT => call(WAIT4, [self.thread, bytes, NO_HANG, 0]),
                _ => UNKNOWN,
            }
        }
    }
}

/// Does what is asked for through `socket` until that is something shorter, which is an answer.
fn serve(socket: i64) {
    let mut asked = Request { request: 0, thread: 0, data: 0, bytes: [0; BYTES] };
    loop {
        let mut got = 0;
        while got < size_of::<Request>() {
            let (to, left) = (&raw mut asked as i64 + got as i64, (size_of::<Request>() - got) as i64);
            // SAFETY: so much of `asked`, every content of which is one of its type, is left.
            match usize::try_from(unsafe { call(READ, [socket, to, left, 0]) }) {
                Ok(more) if more > 0 => got += more,
                _ => return,
            }
        }
        // The answer stands where the request stood.
        asked.request = asked.act();
        // SAFETY: `asked` is as long as is said.
        if unsafe { call(WRITE, [socket, &raw const asked as i64, size_of::<Request>() as i64, 0]) } <= 0 {
            return;
        }
    }
}

/// Writes `text` to the Unix socket at `path`, and does what is asked for until there is an answer of one byte.
pub fn tell(path: &CStr, text: &[u8]) {
    // SOCK_STREAM | SOCK_CLOEXEC.
    const STREAM: i64 = 0o2_000_001;
    // `struct sockaddr_un`: the family in 2 bytes, and the path.
    let mut address = [0u8; 110];
    if path.count_bytes() + 3 > address.len() {
        return;
    }
    for (to, from) in address.iter_mut().zip((AF_UNIX as u16).to_ne_bytes().iter().chain(path.to_bytes())) {
        *to = *from;
    }
    // SAFETY: every address is of a live value as long as is said; the socket is closed by whom it was opened.
    unsafe {
        let socket = call(SOCKET, [AF_UNIX.into(), STREAM, 0, 0]);
        if socket < 0 {
            return;
        }
        if call(CONNECT, [socket, address.as_ptr() as i64, address.len() as i64, 0]) == 0
            && call(WRITE, [socket, text.as_ptr() as i64, text.len() as i64, 0]) > 0
        {
            serve(socket);
        }
        call(CLOSE, [socket, 0, 0, 0]);
    }
}

/// `AF_UNIX` (sys/socket.h).
pub const AF_UNIX: c_int = 1;

/// Ends this process.
pub fn exit() -> ! {
    loop {
        // SAFETY: exit_group(2) takes a number.
        unsafe { call(EXIT_GROUP, [1, 0, 0, 0]) };
    }
}
