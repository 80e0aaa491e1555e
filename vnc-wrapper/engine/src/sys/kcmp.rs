//! kcmp(2): whether two processes share a kernel object.

use std::cmp::Ordering;
use std::io;

use libc::pid_t;

/// What is compared. Numbers: `include/uapi/linux/kcmp.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The open file descriptions behind two descriptors.
    File(i32, i32),
    /// Memory.
    Memory,
    /// Tables of descriptors.
    Descriptors,
    /// Root, working directory and umask.
    Directories,
    /// Signal handlers.
    Handlers,
}

/// Compares; the order of different ones is arbitrary, but the same for as long as they live.
///
/// # Errors
/// `EPERM`, `ESRCH`, `EBADF`; `ENOSYS` on a kernel without it.
pub fn compare(first: pid_t, second: pid_t, what: What) -> io::Result<Ordering> {
    let (kind, one, two) = match what {
        What::File(one, two) => (0, one, two),
        What::Memory => (1, 0, 0),
        What::Descriptors => (2, 0, 0),
        What::Directories => (3, 0, 0),
        What::Handlers => (4, 0, 0),
    };
    // SAFETY: numbers only.
    match unsafe { libc::syscall(libc::SYS_kcmp, first, second, kind, i64::from(one), i64::from(two)) } {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        n if n > 1 => Ok(Ordering::Greater),
        _ => Err(io::Error::last_os_error()),
    }
}
