//! Descriptors of processes: pidfd_open(2) and pidfd_getfd(2).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

/// A descriptor of the process `pid`.
///
/// # Errors
/// `ESRCH`: no such process.
pub fn open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A descriptor of the thread `tid`, leader or not; Linux 6.9 and later.
///
/// # Errors
/// `ESRCH`: no such thread; `EINVAL`: an older kernel.
pub fn open_thread(tid: libc::pid_t) -> io::Result<OwnedFd> {
    // PIDFD_THREAD, `include/uapi/linux/pidfd.h`.
    let thread = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
    let tid = Pid::from_raw(tid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(tid, thread)?)
}

/// A copy of descriptor `number` of that process; it shares the open file description.
///
/// # Errors
/// `EBADF`: no such descriptor; `EPERM`: not allowed to trace it; `ESRCH`: it is gone.
pub fn copy(process: BorrowedFd<'_>, number: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

/// A descriptor of a process that has ended and was waited for: of a child that is made for it.
///
/// # Errors
/// Those of fork(2) and of [`open`].
pub fn ended(thread: bool) -> io::Result<OwnedFd> {
    // SAFETY: the child makes one call, which ends it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    let opened = if thread { open_thread(child) } else { open(child) };
    // SAFETY: a number only; no status is asked for, and the child is ours.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    opened
}
