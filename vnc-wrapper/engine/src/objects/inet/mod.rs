//! Internet sockets: TCP and UDP, of IPv4 and IPv6.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`options`] | the table of options |
//! | [`repair`] | repair mode of TCP sockets, in which queues and numbers are read and set |
//! | [`tcp`] | records of TCP sockets |
//! | [`network`] | who is at the other end of a connection |
//! | [`give`] | TCP sockets made of their records, all together |
//! | [`join`] | both ends of a connection |
//! | [`udp`] | UDP sockets |
//! | [`packet`] | datagrams with any sender |

pub mod give;
pub mod join;
pub mod network;
pub mod options;
pub mod packet;
pub mod repair;
pub mod tcp;
pub mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Error, Seen, fit};
use crate::record::inet::{Address, Inet};
use crate::sys::inet as calls;

const SOCKET: i32 = libc::SOL_SOCKET;
const TCP: i32 = libc::IPPROTO_TCP;
/// `SO_BUF_LOCK` (asm-generic/socket.h, Linux 5.14).
const BUFFER_LOCK: i32 = 72;
/// `SO_PEEK_OFF` (asm-generic/socket.h).
const PEEK_OFFSET: i32 = 42;

/// A kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// One that cannot be recorded, by this name.
    Other(&'static str),
}

/// Which kind it is.
///
/// # Errors
/// When the kernel does not answer.
pub fn which(seen: &Seen) -> Result<Which, Error> {
    let number = |name, call| calls::number(seen.copy(), SOCKET, name).map_err(seen.failed(call));
    let family = match number(libc::SO_DOMAIN, "SO_DOMAIN")? {
        libc::AF_INET | libc::AF_INET6 => None,
        libc::AF_PACKET => Some("a packet socket"),
        libc::AF_VSOCK => Some("a socket of AF_VSOCK"),
        libc::AF_ALG => Some("a socket of AF_ALG"),
        libc::AF_BLUETOOTH => Some("a Bluetooth socket"),
        libc::AF_XDP => Some("a socket of AF_XDP"),
        _ => Some("a socket of a family that is not known"),
    };
    if let Some(family) = family {
        return Ok(Which::Other(family));
    }
    Ok(match (number(libc::SO_TYPE, "SO_TYPE")?, number(libc::SO_PROTOCOL, "SO_PROTOCOL")?) {
        (libc::SOCK_STREAM, libc::IPPROTO_TCP) => Which::Tcp,
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Which::Udp,
        (_, 262) => Which::Other("a multipath TCP socket"),
        (_, libc::IPPROTO_SCTP) => Which::Other("an SCTP socket"),
        (libc::SOCK_RAW, _) => Which::Other("a raw socket"),
        (libc::SOCK_DGRAM, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) => Which::Other("an ICMP socket"),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE) => Which::Other("a UDP-Lite socket"),
        _ => Which::Other("an internet socket of a protocol that is not known"),
    })
}

/// Makes sockets.
pub trait Makes {
    /// socket(2) in the session's net namespace; the socket belongs to a user and group of the session.
    ///
    /// # Errors
    /// Those of the call.
    fn socket(&self, family: u32, kind: u32, protocol: u32, owner: (u32, u32)) -> io::Result<OwnedFd>;
}

/// An address for a record.
fn address(from: SocketAddr) -> Address {
    // None is longer than the record's bound.
    let ip = |bytes: &[u8]| bytes.to_vec().try_into().unwrap_or_default();
    match from {
        SocketAddr::V4(it) => Address { ip: ip(&it.ip().octets()), port: it.port().into(), ..Address::default() },
        SocketAddr::V6(it) => {
            Address { ip: ip(&it.ip().octets()), port: it.port().into(), flow: it.flowinfo(), scope: it.scope_id() }
        }
    }
}

/// The address that a record means, of a length that was checked.
fn place(of: &Address) -> SocketAddr {
    let port = u16::try_from(of.port).unwrap_or(0);
    match (<[u8; 4]>::try_from(&of.ip[..]), <[u8; 16]>::try_from(&of.ip[..])) {
        (Ok(ip), _) => SocketAddr::new(Ipv4Addr::from(ip).into(), port),
        (_, Ok(ip)) => SocketAddrV6::new(Ipv6Addr::from(ip), port, of.flow, of.scope).into(),
        _ => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
    }
}

/// An address of IPv4 in the form of IPv6 as one of IPv4; without what only one end knows of it.
fn plain(of: SocketAddr) -> SocketAddr {
    SocketAddr::new(of.ip().to_canonical(), of.port())
}

/// The loopback address by which a socket of that family is reached that has this address.
fn loopback(family: u32, near: Option<SocketAddr>) -> IpAddr {
    let v4 = near.map_or(family == libc::AF_INET as u32, |near| near.ip().to_canonical().is_ipv4());
    match (v4, family == libc::AF_INET as u32) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        (false, _) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// What all internet sockets have. User and group are those that this process sees.
fn take(seen: &Seen) -> Result<Inet, Error> {
    let number = |level, name, call| calls::number(seen.copy(), level, name).map_err(seen.failed(call));
    let local = calls::name(seen.copy(), false).map_err(seen.failed("getsockname"))?;
    let local = local.filter(|local| local.port() != 0 || !local.ip().is_unspecified());
    let interface =
        calls::option(seen.copy(), SOCKET, libc::SO_BINDTODEVICE, 16).map_err(seen.failed("SO_BINDTODEVICE"))?;
    let interface = interface.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    if calls::option(seen.copy(), SOCKET, libc::SO_GET_FILTER, 1).is_err() {
        return Err(seen.refused("it has a filter (SO_ATTACH_FILTER, SO_ATTACH_BPF), which cannot be recorded yet"));
    }
    Ok(Inet {
        family: number(SOCKET, libc::SO_DOMAIN, "SO_DOMAIN")?.cast_unsigned(),
        user: seen.stat.st_uid,
        group: seen.stat.st_gid,
        local: local.map(address),
        interface: fit(seen, "its interface", interface)?,
        buffers: number(SOCKET, BUFFER_LOCK, "SO_BUF_LOCK")? as u8 & 3,
        send_buffer: number(SOCKET, libc::SO_SNDBUF, "SO_SNDBUF")?.cast_unsigned(),
        receive_buffer: number(SOCKET, libc::SO_RCVBUF, "SO_RCVBUF")?.cast_unsigned(),
        options: fit(seen, "its options", options::take(seen)?)?,
    })
}

/// A new socket that has what is needed before it is bound.
fn begin(record: &Inet, kind: i32, protocol: i32, makes: &impl Makes) -> io::Result<OwnedFd> {
    let owner = (record.user, record.group);
    let made = makes.socket(record.family, kind.cast_unsigned(), protocol.cast_unsigned(), owner)?;
    options::before_bind(made.as_fd(), &record.options)?;
    Ok(made)
}

/// Binds it to its network interface.
fn give_interface(socket: BorrowedFd<'_>, record: &Inet) -> io::Result<()> {
    if record.interface.is_empty() {
        return Ok(());
    }
    calls::set_option(socket, SOCKET, libc::SO_BINDTODEVICE, &record.interface)
}

/// An option that is put back.
struct Borrowed<'s> {
    socket: BorrowedFd<'s>,
    level: i32,
    name: i32,
    before: i32,
}

impl<'s> Borrowed<'s> {
    fn set(socket: BorrowedFd<'s>, level: i32, name: i32, value: i32) -> io::Result<Self> {
        let before = calls::number(socket, level, name)?;
        calls::set_number(socket, level, name, value)?;
        Ok(Self { socket, level, name, before })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // What was set a moment ago can be set again.
        let _ = calls::set_number(self.socket, self.level, self.name, self.before);
    }
}

/// Binds it. `anywhere`: nobody will send to it, so that the loopback does where its address is not there any more.
fn bind(socket: BorrowedFd<'_>, family: u32, to: SocketAddr, anywhere: bool) -> io::Result<()> {
    match calls::bind(socket, to) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
            if anywhere {
                return calls::bind(socket, SocketAddr::new(loopback(family, Some(to)), to.port()));
            }
            // As if its interface had gone. What the program has set is given back at the end.
            let (level, name) =
                if to.is_ipv4() { (libc::IPPROTO_IP, libc::IP_FREEBIND) } else { (libc::IPPROTO_IPV6, 78) };
            calls::set_number(socket, level, name, 1)?;
            calls::bind(socket, to)
        }
        other => other,
    }
}

/// Gives it its buffers, which are not set where no program has set them.
fn give_buffers(socket: BorrowedFd<'_>, record: &Inet) -> io::Result<()> {
    for (bit, name, wanted) in [(1, libc::SO_SNDBUF, record.send_buffer), (2, libc::SO_RCVBUF, record.receive_buffer)] {
        let now = calls::number(socket, SOCKET, name)?.cast_unsigned();
        if record.buffers & bit != 0 && now != wanted {
            set_buffer(socket, name, wanted)?;
        }
    }
    calls::set_number(socket, SOCKET, BUFFER_LOCK, record.buffers.into())
}

/// Sets one of its buffers, to what the kernel allows at most: getsockopt(2) gives twice what setsockopt(2) got.
fn set_buffer(socket: BorrowedFd<'_>, name: i32, wanted: u32) -> io::Result<()> {
    let half = (wanted / 2).cast_signed();
    let force = if name == libc::SO_SNDBUF { libc::SO_SNDBUFFORCE } else { libc::SO_RCVBUFFORCE };
    // The one that knows no bound needs root of the host.
    calls::set_number(socket, SOCKET, force, half).or_else(|_| calls::set_number(socket, SOCKET, name, half))
}
