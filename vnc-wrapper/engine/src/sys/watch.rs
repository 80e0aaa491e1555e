//! inotify(7).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A new instance, which does not wait in reads.
///
/// # Errors
/// Those of inotify_init1(2): EMFILE when this user has too many.
pub fn inotify() -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let made = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Watches `path`; returns the number of the watch.
///
/// # Errors
/// Those of inotify_add_watch(2): ENOSPC when this user has too many.
pub fn add(instance: BorrowedFd<'_>, path: &[u8], mask: u32) -> io::Result<u32> {
    let path = CString::new(path)?;
    // SAFETY: the kernel reads a string that ends with a zero.
    let number = unsafe { libc::inotify_add_watch(instance.as_raw_fd(), path.as_ptr(), mask) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// Watches what `target` refers to, a link also.
///
/// # Errors
/// As [`add`].
pub fn add_open(instance: BorrowedFd<'_>, target: BorrowedFd<'_>, mask: u32) -> io::Result<u32> {
    add(instance, format!("/proc/thread-self/fd/{}", target.as_raw_fd()).as_bytes(), mask)
}

/// Ends the watch of that number; IN_IGNORED then waits to be read.
///
/// # Errors
/// Those of inotify_rm_watch(2).
pub fn remove(instance: BorrowedFd<'_>, number: u32) -> io::Result<()> {
    // SAFETY: numbers only.
    let result = unsafe { libc::inotify_rm_watch(instance.as_raw_fd(), number.cast_signed()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
