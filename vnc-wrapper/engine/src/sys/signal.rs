//! Signals to one thread: tkill(2).

use libc::pid_t;

/// Kills the process that `tid` is a thread of. One that is gone already is no failure.
pub fn kill(tid: pid_t) {
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_tkill, tid, libc::SIGKILL) };
}

/// Sends `signal` to thread `tid`.
///
/// # Errors
/// `ESRCH`: it is gone; `EPERM`: another user's.
pub fn send(tid: pid_t, signal: libc::c_int) -> std::io::Result<()> {
    // SAFETY: numbers only.
    let sent = unsafe { libc::syscall(libc::SYS_tkill, tid, signal) };
    if sent < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
