//! Internet sockets: ip(7), ipv6(7), tcp(7), udp(7). Nothing here waits.

use std::io;
use std::mem::{size_of_val, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, socklen_t};

/// `struct sockaddr_in` and `struct sockaddr_in6`.
const SHORT: usize = 16;
const LONG: usize = 28;
/// Room for the addresses that come with a datagram.
const CONTROL: usize = 512;

fn outcome(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// An address as calls take it.
#[must_use]
pub fn raw(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LONG);
    match address {
        SocketAddr::V4(it) => {
            bytes.extend((libc::AF_INET as u16).to_ne_bytes());
            bytes.extend(it.port().to_be_bytes());
            bytes.extend(it.ip().octets());
            bytes.resize(SHORT, 0);
        }
        SocketAddr::V6(it) => {
            bytes.extend((libc::AF_INET6 as u16).to_ne_bytes());
            bytes.extend(it.port().to_be_bytes());
            bytes.extend(it.flowinfo().to_ne_bytes());
            bytes.extend(it.ip().octets());
            bytes.extend(it.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// None: another family's, or none.
fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match i32::from(family) {
        libc::AF_INET => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?)), port)),
        libc::AF_INET6 => {
            let number = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
            let ip = Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, number(4)?, number(24)?)))
        }
        _ => None,
    }
}

/// A new socket of this thread's net namespace.
///
/// # Errors
/// Those of socket(2).
pub fn socket(family: u32, kind: u32, protocol: u32) -> io::Result<OwnedFd> {
    let kind = kind.cast_signed() | libc::SOCK_CLOEXEC;
    // SAFETY: numbers only.
    let made = unsafe { libc::socket(family.cast_signed(), kind, protocol.cast_signed()) };
    outcome(made as isize)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// An option, of which at most `room` bytes are read.
///
/// # Errors
/// Those of getsockopt(2): ENOPROTOOPT when the kernel does not know it.
pub fn option(socket: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; room];
    let mut length = room as socklen_t;
    // SAFETY: at most `length` bytes are written to `bytes`.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, bytes.as_mut_ptr().cast(), &raw mut length) };
    outcome(result as isize)?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// As [`option`], where the bytes say what is asked for, and become the answer.
///
/// # Errors
/// Those of getsockopt(2).
pub fn ask_option(socket: BorrowedFd<'_>, level: i32, name: i32, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut length = bytes.len() as socklen_t;
    // SAFETY: at most `length` bytes of `bytes` are read and written.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, bytes.as_mut_ptr().cast(), &raw mut length) };
    outcome(result as isize)?;
    bytes.truncate(length as usize);
    Ok(())
}

/// An option that is a number.
///
/// # Errors
/// As [`option`].
pub fn number(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let bytes = option(socket, level, name, 4)?;
    // IP options that fit into a byte may come as one.
    Ok(match bytes.first_chunk::<4>() {
        Some(bytes) => i32::from_ne_bytes(*bytes),
        None => bytes.first().copied().map_or(0, i32::from),
    })
}

/// Sets an option.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = value.len() as socklen_t;
    // SAFETY: the kernel reads the bytes of `value`.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    outcome(result as isize).map(drop)
}

/// Sets an option that is a number.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_number(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option(socket, level, name, &value.to_ne_bytes())
}

/// bind(2).
///
/// # Errors
/// Those of bind(2).
pub fn bind(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    let address = raw(to);
    // SAFETY: the kernel reads the address.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as socklen_t) };
    outcome(result as isize).map(drop)
}

/// connect(2), which does not wait: EINPROGRESS.
///
/// # Errors
/// Those of connect(2).
pub fn connect(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    let address = raw(to);
    super::unix::without_waiting(socket, || {
        // SAFETY: the kernel reads the address.
        let result = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as socklen_t) };
        outcome(result as isize).map(drop)
    })
}

/// Ends its connection (connect(2) to AF_UNSPEC). One of TCP that lingers for no time, or has data that nobody has read, resets it.
///
/// # Errors
/// Those of connect(2).
pub fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nobody = [0u8; SHORT];
    // SAFETY: the kernel reads the address.
    let result = unsafe { libc::connect(socket.as_raw_fd(), nobody.as_ptr().cast(), SHORT as socklen_t) };
    outcome(result as isize).map(drop)
}

/// The address of `socket`, or of its `peer`; none of another family.
///
/// # Errors
/// Those of getsockname(2) and getpeername(2): ENOTCONN.
pub fn name(socket: BorrowedFd<'_>, peer: bool) -> io::Result<Option<SocketAddr>> {
    let mut bytes = [0u8; 128];
    let mut length = bytes.len() as socklen_t;
    let call = if peer { libc::getpeername } else { libc::getsockname };
    // SAFETY: at most `length` bytes are written to `bytes`.
    outcome(unsafe { call(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut length) } as isize)?;
    Ok(address(bytes.get(..length as usize).unwrap_or_default()))
}

fn ioctl(socket: BorrowedFd<'_>, request: u64) -> io::Result<u32> {
    let mut answer: c_int = 0;
    // SAFETY: SIOCINQ, SIOCOUTQ, SIOCOUTQNSD and SIOCATMARK write one int.
    outcome(unsafe { libc::ioctl(socket.as_raw_fd(), request as libc::Ioctl, &raw mut answer) } as isize)?;
    Ok(answer.cast_unsigned())
}

/// Bytes that wait to be read (SIOCINQ).
///
/// # Errors
/// Those of ioctl(2): EINVAL for a listener.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<u32> {
    ioctl(socket, libc::FIONREAD)
}

/// Looks at what waits of a stream, or, in repair mode, in the queue that was chosen: bytes that were written to `into`.
///
/// # Errors
/// Those of recv(2): EAGAIN when nothing waits.
pub fn look(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: at most `into.len()` bytes are written to `into`.
    outcome(unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), flags) })
}

/// Sends; does not wait and raises no signal. Returns how many bytes were taken.
///
/// # Errors
/// Those of send(2): EAGAIN.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads `bytes`.
    outcome(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Sends a datagram; does not wait.
///
/// # Errors
/// Those of sendto(2).
pub fn send_to(socket: BorrowedFd<'_>, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
    let (address, flags) = (raw(to), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    let (from, length) = (bytes.as_ptr().cast(), address.len() as socklen_t);
    // SAFETY: the kernel reads `bytes` and the address.
    outcome(unsafe { libc::sendto(socket.as_raw_fd(), from, bytes.len(), flags, address.as_ptr().cast(), length) })
}

/// A datagram that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// What can be read.
    pub bytes: Vec<u8>,
    /// Whether there was more than the room.
    pub cut: bool,
    /// Who sent it.
    pub from: Option<SocketAddr>,
    /// Where it was sent to, where the socket is asked to say it (IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR).
    pub to: Option<SocketAddr>,
}

/// Looks at a datagram. None: none waits.
///
/// # Errors
/// Those of recvmsg(2).
pub fn look_at_datagram(socket: BorrowedFd<'_>, room: usize) -> io::Result<Option<Datagram>> {
    let mut bytes = vec![0u8; room];
    let mut from = [0u8; LONG];
    // As cmsg(3) wants it: aligned for a size_t.
    let mut control = [0u64; CONTROL / 8];
    let mut into = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: struct msghdr consists of numbers and pointers; all zeros are a value of it.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = from.as_mut_ptr().cast();
    header.msg_namelen = from.len() as socklen_t;
    header.msg_iov = &raw mut into;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: `header` names buffers that are alive and as long as it says.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    let read = match outcome(read) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    bytes.truncate(read);
    let came: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let to = control_messages(came.get(..header.msg_controllen).unwrap_or_default());
    let from = address(from.get(..header.msg_namelen as usize).unwrap_or_default());
    Ok(Some(Datagram { bytes, cut: header.msg_flags & libc::MSG_TRUNC != 0, from, to }))
}

/// The address in control messages (cmsg(3)): length, level, type, content.
fn control_messages(mut rest: &[u8]) -> Option<SocketAddr> {
    // linux/in.h, linux/in6.h.
    let wanted = [(libc::IPPROTO_IP, libc::IP_ORIGDSTADDR), (libc::IPPROTO_IPV6, 74)];
    let mut found = None;
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = usize::from_ne_bytes(*length);
        let word = |at: usize| Some(i32::from_ne_bytes(*after.get(at..)?.first_chunk()?));
        if word(0).zip(word(4)).is_some_and(|kind| wanted.contains(&kind)) {
            found = after.get(8..length.saturating_sub(8)).and_then(address).or(found);
        }
        rest = rest.get(length.max(16).next_multiple_of(8)..).unwrap_or_default();
    }
    found
}

/// The net namespace of `socket` (SIOCGSKNS).
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in it.
pub fn namespace(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // linux/sockios.h.
    const NAMESPACE: libc::Ioctl = 0x894c;
    // SAFETY: SIOCGSKNS takes no argument.
    let made = unsafe { libc::ioctl(socket.as_raw_fd(), NAMESPACE) };
    outcome(made as isize)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// The number of the network interface `name` in the net namespace of `socket` (SIOCGIFINDEX).
///
/// # Errors
/// ENODEV: there is none.
pub fn interface(socket: BorrowedFd<'_>, name: &[u8]) -> io::Result<u32> {
    // SAFETY: struct ifreq consists of bytes, numbers and pointers; all zeros are a value of it.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    // SAFETY: SIOCGIFINDEX reads and writes a struct ifreq.
    outcome(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFINDEX as libc::Ioctl, &raw mut request) } as isize)?;
    // SAFETY: SIOCGIFINDEX has written a number there.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex }.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_and_read() {
        for text in ["127.0.0.1:80", "[::1]:443", "[fe80::1%3]:5353"] {
            let wanted: SocketAddr = text.parse().unwrap();
            assert_eq!(address(&raw(wanted)), Some(wanted));
        }
        assert_eq!(address(&[1, 0, 47]), None);
        assert_eq!(address(&[]), None);
    }
}
