//! ptrace(2). Every request but [`seize`] wants a thread that this thread has seized; all but [`interrupt`] want it stopped.
//!
//! Requests may be made only by the thread that seized. Sources: ptrace(2), `kernel/ptrace.c`, `include/uapi/linux/ptrace.h`.

use std::io;
use std::mem::size_of;

use libc::{c_int, c_long, c_uint, c_void, pid_t};

/// A stop that `PTRACE_INTERRUPT`, a group stop or the end of one caused; libc does not name it for glibc.
pub const EVENT_STOP: c_int = 128;
/// A stop after execve(2).
pub const EVENT_EXEC: c_int = libc::PTRACE_EVENT_EXEC;
/// Bit of the signal of a stop at a system call's begin or end, with `PTRACE_O_TRACESYSGOOD`.
pub const CALL_STOP: c_int = libc::SIGTRAP | 0x80;
/// General registers, in the order of `struct user_regs_struct`.
pub const PRSTATUS: usize = 1;
/// Floating point and vector registers, as XSAVE writes them.
pub const XSTATE: usize = 0x202;

const GET_RSEQ_CONFIGURATION: c_uint = 0x420f;
/// Every XSAVE area known so far fits (AMX's tiles need 11 KiB).
const XSTATE_MAX: usize = 16 << 10;

/// One request whose `address` and `data` are numbers, not places in our memory.
fn request(request: c_uint, tid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: the callers below pass requests for which the kernel takes both words as numbers.
    checked(unsafe { libc::ptrace(request, tid, address as *mut c_void, data as *mut c_void) })
}

fn checked(answer: c_long) -> io::Result<c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Takes hold of a thread, which runs on.
///
/// Blocks while the thread's process is in execve(2) and waits for siblings that we hold to be reaped: reap meanwhile.
///
/// # Errors
/// `EPERM`: a zombie, another tracer, not dumpable, Yama; `ESRCH`: no such thread.
pub fn seize(tid: pid_t, options: c_int) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

/// Replaces the options that a thread was seized with.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn set_options(tid: pid_t, options: c_int) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS, tid, 0, options as usize).map(drop)
}

/// Asks a seized thread to stop; the stop is an [`EVENT_STOP`] unless another kind of stop comes first and consumes it.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn interrupt(tid: pid_t) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// Lets a stopped thread run; `signal` (0: none) is delivered if it stands in a signal-delivery stop.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn resume(tid: pid_t, signal: c_int) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

/// [`resume`] until the next begin or end of a system call.
///
/// # Errors
/// As [`resume`].
pub fn resume_to_call(tid: pid_t, signal: c_int) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, signal as usize).map(drop)
}

/// [`resume`] for one instruction; ends with a `SIGTRAP`.
///
/// # Errors
/// As [`resume`].
pub fn step(tid: pid_t, signal: c_int) -> io::Result<()> {
    request(libc::PTRACE_SINGLESTEP, tid, 0, signal as usize).map(drop)
}

/// Leaves a thread in its group stop and listens for the end of that.
///
/// # Errors
/// `EIO` when it is not in a group stop.
pub fn listen(tid: pid_t) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0, 0).map(drop)
}

/// Lets go of a stopped thread, which runs on (or goes back to its group stop).
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn detach(tid: pid_t, signal: c_int) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal as usize).map(drop)
}

/// Writes one word at `address`, also where the process itself may only read or execute (not into shared memory).
///
/// # Errors
/// `EIO` where nothing is mapped, `ESRCH` when it is gone or not stopped.
pub fn poke(tid: pid_t, address: u64, word: u64) -> io::Result<()> {
    request(libc::PTRACE_POKEDATA, tid, address as usize, word as usize).map(drop)
}

/// The number that belongs to an event: the former thread id after [`EVENT_EXEC`].
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn event_message(tid: pid_t) -> io::Result<u64> {
    let mut message = 0u64;
    // SAFETY: the kernel writes one unsigned long to `message`.
    checked(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0usize, &raw mut message) })?;
    Ok(message)
}

/// Reads a register set into `into`; returns how many bytes the thread's set has.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped, `EINVAL` for a set that the processor lacks.
pub fn registers(tid: pid_t, set: usize, into: &mut [u8]) -> io::Result<usize> {
    let mut vector = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: the kernel writes at most `iov_len` bytes to `into` and the length to `vector`.
    checked(unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, set, &raw mut vector) })?;
    Ok(vector.iov_len)
}

/// Writes a register set.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped, `EINVAL` for what the processor refuses.
pub fn set_registers(tid: pid_t, set: usize, from: &[u8]) -> io::Result<()> {
    let mut vector = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    // SAFETY: the kernel only reads `iov_len` bytes of `from`.
    checked(unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid, set, &raw mut vector) }).map(drop)
}

/// The floating point and vector registers, as long as this processor's XSAVE area.
///
/// # Errors
/// As [`registers`].
pub fn xstate(tid: pid_t) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; XSTATE_MAX];
    let length = registers(tid, XSTATE, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// The thread's seccomp filter `at`, counted from the oldest (PTRACE_SECCOMP_GET_FILTER), which only root may see.
///
/// # Errors
/// `EACCES`, `EINVAL`; `ENOENT`: it has no such filter.
#[cfg(test)]
pub(crate) fn filter(tid: pid_t, at: usize) -> io::Result<Vec<u8>> {
    /// include/uapi/linux/ptrace.h.
    const GET_FILTER: c_uint = 0x420c;
    let count = request(GET_FILTER, tid, at, 0)?;
    let mut bytes = vec![0; 8 * count as usize];
    // SAFETY: the kernel writes as many instructions of eight bytes as it has just said; the thread stands still.
    checked(unsafe { libc::ptrace(GET_FILTER, tid, at, bytes.as_mut_ptr()) })?;
    Ok(bytes)
}

/// The thread's blocked signals, bit n - 1 for signal n. Inside a call that replaces the mask for its duration
/// (sigsuspend, ppoll) it is the mask from before.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn signal_mask(tid: pid_t) -> io::Result<u64> {
    let mut mask = 0u64;
    // SAFETY: the kernel writes eight bytes to `mask`, as the address argument says.
    checked(unsafe { libc::ptrace(libc::PTRACE_GETSIGMASK, tid, size_of::<u64>(), &raw mut mask) })?;
    Ok(mask)
}

/// Sets the thread's blocked signals. A call that had replaced the mask must be begun again (its restart code does that).
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn set_signal_mask(tid: pid_t, mask: u64) -> io::Result<()> {
    // SAFETY: the kernel reads eight bytes of `mask`.
    checked(unsafe { libc::ptrace(libc::PTRACE_SETSIGMASK, tid, size_of::<u64>(), &raw const mask) }).map(drop)
}

/// A signal with everything the kernel knows about it, as bytes of `siginfo_t`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub [u8; 128]);

impl Signal {
    fn word(&self, at: usize) -> i32 {
        i32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// Which signal.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.word(0)
    }

    /// Who sent it: `SI_USER`, `SI_KERNEL`, `SYS_SECCOMP` …
    #[must_use]
    pub fn code(&self) -> i32 {
        self.word(8)
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "signal {} (code {})", self.number(), self.code())
    }
}

/// The signals that wait for the thread (`shared`: for its process), oldest first. They stay in the queue.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn waiting_signals(tid: pid_t, shared: bool) -> io::Result<Vec<Signal>> {
    const STEP: usize = 16;
    let mut all = Vec::new();
    loop {
        let flags = if shared { libc::PTRACE_PEEKSIGINFO_SHARED } else { 0 };
        let which = libc::ptrace_peeksiginfo_args { off: all.len() as u64, flags, nr: STEP as i32 };
        let mut some = [Signal([0; 128]); STEP];
        // SAFETY: the kernel reads `which` and writes at most STEP siginfo_t of 128 bytes to `some`.
        let got = checked(unsafe { libc::ptrace(libc::PTRACE_PEEKSIGINFO, tid, &raw const which, some.as_mut_ptr()) })?;
        all.extend_from_slice(&some[..got as usize]);
        if (got as usize) < STEP {
            return Ok(all);
        }
    }
}

/// The signal that a signal-delivery stop is about.
///
/// # Errors
/// `EINVAL` in another kind of stop.
pub fn stop_signal(tid: pid_t) -> io::Result<Signal> {
    let mut signal = Signal([0; 128]);
    // SAFETY: the kernel writes one siginfo_t of 128 bytes.
    checked(unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, tid, 0usize, signal.0.as_mut_ptr()) })?;
    Ok(signal)
}

/// Replaces the signal that a signal-delivery stop is about.
///
/// # Errors
/// `EINVAL` in another kind of stop.
pub fn set_stop_signal(tid: pid_t, signal: &Signal) -> io::Result<()> {
    // SAFETY: the kernel reads one siginfo_t of 128 bytes.
    checked(unsafe { libc::ptrace(libc::PTRACE_SETSIGINFO, tid, 0usize, signal.0.as_ptr()) }).map(drop)
}

/// What a thread registered with rseq(2): `struct ptrace_rseq_configuration`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Rseq {
    /// Where its `struct rseq` is; 0: none.
    pub address: u64,
    /// Its size, bytes.
    pub size: u32,
    /// The number that stands before every abort handler.
    pub signature: u32,
    /// Flags of the registration.
    pub flags: u32,
    pad: u32,
}

/// The thread's registration with rseq(2).
///
/// # Errors
/// `EIO` on a kernel without rseq, `ESRCH` when it is gone or not stopped.
pub fn rseq(tid: pid_t) -> io::Result<Rseq> {
    let mut rseq = Rseq::default();
    // SAFETY: the kernel writes at most the given size to `rseq`.
    checked(unsafe { libc::ptrace(GET_RSEQ_CONFIGURATION, tid, size_of::<Rseq>(), &raw mut rseq) })?;
    Ok(rseq)
}

/// Which kind of system-call stop a thread stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallStop {
    /// Not at a system call.
    None,
    /// At its begin, with its number.
    Entry(u64),
    /// At its end, with its result.
    Exit(i64),
    /// At a seccomp filter's request.
    Seccomp,
}

/// Which kind of system-call stop the thread stands in.
///
/// # Errors
/// `ESRCH` when it is gone or not stopped.
pub fn call_stop(tid: pid_t) -> io::Result<CallStop> {
    // op, three bytes of padding, arch, instruction and stack pointer, then what belongs to op.
    let mut words = [0u64; 11];
    let size = size_of_val(&words);
    // SAFETY: the kernel writes at most `size` bytes to `words`.
    checked(unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, words.as_mut_ptr()) })?;
    Ok(match words[0] & 0xff {
        1 => CallStop::Entry(words[3]),
        2 => CallStop::Exit(words[3] as i64),
        3 => CallStop::Seccomp,
        _ => CallStop::None,
    })
}
