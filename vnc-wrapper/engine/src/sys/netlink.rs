//! Netlink sockets (netlink(7)): which protocol, name, groups, and options.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, sockaddr_nl, socklen_t};

fn outcome(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An option that is a number; `level`: `SOL_SOCKET`, `SOL_NETLINK`.
///
/// # Errors
/// Those of getsockopt(2): ENOPROTOOPT when the kernel does not know it.
pub fn number(socket: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<i32> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as socklen_t;
    // SAFETY: at most an int is written to `value`.
    outcome(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) })?;
    Ok(value)
}

/// Sets an option that is a number.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_number(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: i32) -> io::Result<()> {
    let length = size_of::<c_int>() as socklen_t;
    // SAFETY: an int is read.
    outcome(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) })
}

/// The port that it is bound to; 0: none.
///
/// # Errors
/// Those of getsockname(2).
pub fn port(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: all fields are numbers, for which zeros stand.
    let mut address: sockaddr_nl = unsafe { std::mem::zeroed() };
    let mut length = size_of::<sockaddr_nl>() as socklen_t;
    // SAFETY: at most `length` bytes are written to `address`.
    outcome(unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) })?;
    Ok(address.nl_pid)
}

/// Binds it to a port, without groups.
///
/// # Errors
/// Those of bind(2): EADDRINUSE when somebody in the net namespace has the port.
pub fn bind(socket: BorrowedFd<'_>, port: u32) -> io::Result<()> {
    // SAFETY: as above.
    let mut address: sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_pid = port;
    let length = size_of::<sockaddr_nl>() as socklen_t;
    // SAFETY: `length` bytes of `address` are read.
    outcome(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
}

/// The groups that it is a member of, from 1 on (`NETLINK_LIST_MEMBERSHIPS`, Linux 4.2).
///
/// # Errors
/// Those of getsockopt(2).
pub fn groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // As many as the largest protocol has, a bit each.
    let mut words = [0u32; 64];
    let mut length = size_of_val(&words) as socklen_t;
    // SAFETY: at most `length` bytes are written to `words`.
    outcome(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_LIST_MEMBERSHIPS,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    if length as usize > size_of_val(&words) {
        return Err(io::Error::other(format!("it may be a member of {} groups", length * 8)));
    }
    Ok((0..32 * words.len() as u32)
        .filter(|bit| words[*bit as usize / 32] >> (bit % 32) & 1 == 1)
        .map(|bit| bit + 1)
        .collect())
}
