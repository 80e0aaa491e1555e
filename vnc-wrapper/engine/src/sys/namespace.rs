//! ioctl_ns(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::ioctl::opcode;

const NS_GET_USERNS: libc::Ioctl = opcode::none(0xb7, 0x1) as libc::Ioctl;
const NS_GET_PARENT: libc::Ioctl = opcode::none(0xb7, 0x2) as libc::Ioctl;

/// The user namespace that owns a namespace.
///
/// # Errors
/// `EPERM`: it is not the caller's or one below it.
pub fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ask(namespace, NS_GET_USERNS)
}

/// The namespace above a pid or user namespace.
///
/// # Errors
/// `EPERM`: it is out of the caller's sight; `EINVAL`: such namespaces have none.
pub fn parent(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ask(namespace, NS_GET_PARENT)
}

fn ask(namespace: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: both requests take no argument.
    let number = unsafe { libc::ioctl(namespace.as_raw_fd(), request) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
