//! UDP sockets: whom they are connected to, groups, and the datagrams that wait.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use super::super::{Error, Finding, Seen, common, fit};
use super::join::PATIENCE;
use super::{
    Borrowed, Makes, PEEK_OFFSET, SOCKET, address, begin, bind, give_buffers, loopback, options, packet, place, plain,
};
use super::{set_buffer, take as inet};
use crate::record::inet::{Datagram, Membership, UdpSocket};
use crate::sys::{descriptor, inet as calls};

const UDP: i32 = libc::IPPROTO_UDP;
/// `UDP_CORK`, `UDP_ENCAP` (linux/udp.h).
const CORK: i32 = 1;
const ENCAPSULATION: i32 = 100;
/// `MCAST_JOIN_GROUP`, `MCAST_MSFILTER` (linux/in.h), of both families.
const JOIN: i32 = 42;
const SOURCES: i32 = 48;
/// `IP_RECVORIGDSTADDR`, `IPV6_RECVORIGDSTADDR`, `IPV6_HDRINCL` (linux/in.h, linux/in6.h).
const DESTINATION: [(i32, i32); 2] = [(libc::IPPROTO_IP, 20), (libc::IPPROTO_IPV6, 74)];
const WITH_HEADER: i32 = 36;
/// No datagram is longer.
const ROOM: usize = 1 << 16;

/// A group that somebody in the net namespace is a member of, and the name of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its address.
    pub ip: IpAddr,
    /// The interface.
    pub interface: Vec<u8>,
}

/// The groups in `/proc/net/igmp` and `/proc/net/igmp6`.
#[must_use]
pub fn groups(igmp: &str, igmp6: &str) -> Vec<Group> {
    let mut found = Vec::new();
    let mut interface = Vec::new();
    for line in igmp.lines().skip(1) {
        let mut words = line.split_ascii_whitespace();
        if line.starts_with('\t') {
            let group = words.next().and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let group =
                group.map(|group| Group { ip: IpAddr::from(group.to_ne_bytes()), interface: interface.clone() });
            found.extend(group);
        } else {
            interface = words.nth(1).unwrap_or_default().trim_end_matches(':').as_bytes().to_vec();
        }
    }
    for line in igmp6.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(interface), Some(digits)) = (words.next(), words.next()) else { continue };
        let group = u128::from_str_radix(digits, 16).ok();
        let group = group.map(|group| Group { ip: IpAddr::from(group.to_be_bytes()), interface: interface.into() });
        found.extend(group);
    }
    found
}

/// What would be lost. `shared`: whether another socket of the session has its port.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen, shared: bool) -> Result<Option<Finding>, Error> {
    let number = |name, call| calls::number(seen.copy(), UDP, name).map_err(seen.failed(call));
    if number(ENCAPSULATION, "UDP_ENCAP")? != 0 {
        return Ok(Some(seen.finding("the kernel takes other packets out of its datagrams (UDP_ENCAP)")));
    }
    if number(CORK, "UDP_CORK")? != 0 {
        return Ok(Some(seen.finding("it may hold part of a datagram back (UDP_CORK)")));
    }
    let events = descriptor::ready(seen.copy(), libc::POLLIN).map_err(seen.failed("poll"))?;
    if events & libc::POLLIN != 0 && shared {
        let lost = "a datagram waits in it, and another socket has its port too; this passes once it is read";
        return Ok(Some(seen.finding(lost)));
    }
    let failed = Finding { blocking: false, ..seen.finding("an error waits in it, and is lost") };
    Ok((events & libc::POLLERR != 0).then_some(failed))
}

/// Its record; the number in the snapshot is `id`. User and group are those that this process sees. `groups`: all that somebody in the
/// net namespace is a member of.
///
/// # Errors
/// When the kernel does not answer, and for a group whose senders are chosen.
pub fn take(seen: &Seen, id: u32, groups: &[Group]) -> Result<UdpSocket, Error> {
    // Before its options are borrowed.
    let inet = inet(seen)?;
    let remote = match calls::name(seen.copy(), true) {
        Ok(remote) => remote,
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => None,
        Err(error) => return Err(seen.failed("getpeername")(error)),
    };
    let mut memberships = Vec::new();
    for group in groups {
        if is_member(seen, group)? {
            let octets = match group.ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            memberships.push(Membership {
                group: fit(seen, "a group", octets)?,
                interface: fit(seen, "an interface", group.interface.clone())?,
            });
        }
    }
    let mut queue = Vec::new();
    for waits in queued(seen.copy()).map_err(seen.failed("look at what waits in it"))? {
        let (Some(from), Some(to)) = (waits.from, waits.to) else {
            return Err(seen.refused("a datagram waits in it whose sender is not shown"));
        };
        let bytes = fit(seen, "a datagram", waits.bytes)?;
        queue.push(Datagram { bytes, from: address(short(from)), to: address(short(to)) });
    }
    Ok(UdpSocket {
        common: common::take(seen, id)?,
        inet,
        remote: remote.map(address),
        memberships: fit(seen, "groups", memberships)?,
        queue: fit(seen, "datagrams", queue)?,
    })
}

/// In the form of IPv4 where it is one; an address of IPv6 keeps its interface.
fn short(of: SocketAddr) -> SocketAddr {
    if of.ip().to_canonical().is_ipv4() { plain(of) } else { of }
}

/// `struct group_filter` without sources: interface, group, mode, how many sources; `struct group_req` is its beginning.
fn group_filter(interface: u32, group: IpAddr) -> Vec<u8> {
    let mut bytes = interface.to_ne_bytes().to_vec();
    bytes.resize(8, 0);
    bytes.extend(calls::raw(SocketAddr::new(group, 0)));
    bytes.resize(144, 0);
    bytes
}

fn level(group: IpAddr) -> i32 {
    if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 }
}

fn is_member(seen: &Seen, group: &Group) -> Result<bool, Error> {
    let Ok(interface) = calls::interface(seen.copy(), &group.interface) else { return Ok(false) };
    let mut bytes = group_filter(interface, group.ip);
    if calls::ask_option(seen.copy(), level(group.ip), SOURCES, &mut bytes).is_err() {
        return Ok(false);
    }
    // Mode 0 is to exclude those that are listed.
    if bytes.get(136..144).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        return Err(seen.refused(format!("it chooses senders to group {}, which cannot be recorded yet", group.ip)));
    }
    Ok(true)
}

/// All datagrams that wait, looked at without being taken.
fn queued(socket: BorrowedFd<'_>) -> io::Result<Vec<calls::Datagram>> {
    let events = descriptor::ready(socket, libc::POLLIN)?;
    // Looking would take an error that waits.
    if events & libc::POLLIN == 0 || events & libc::POLLERR != 0 {
        return Ok(Vec::new());
    }
    // One of the two on a socket of IPv4, both on one of IPv6.
    let _destination = DESTINATION.map(|(level, name)| Borrowed::set(socket, level, name, 1).ok());
    let head = {
        let _offset = Borrowed::set(socket, SOCKET, PEEK_OFFSET, -1)?;
        calls::look_at_datagram(socket, ROOM)?
    };
    let _offset = Borrowed::set(socket, SOCKET, PEEK_OFFSET, 0)?;
    let mut all = Vec::new();
    while let Some(datagram) = calls::look_at_datagram(socket, ROOM)? {
        all.push(datagram);
    }
    // An empty one that was looked at once is passed over (`peeked`, net/core/datagram.c), but for the first look of all.
    if let Some(head) = head.filter(|head| head.bytes.is_empty() && all.first() != Some(head)) {
        all.insert(0, head);
    }
    Ok(all)
}

/// Makes it.
///
/// # Errors
/// When its port is taken, or a datagram does not arrive.
pub fn give(record: &UdpSocket, makes: &impl Makes) -> Result<OwnedFd, Error> {
    let name = record.inet.local.as_ref().map_or_else(|| "that is not bound".to_owned(), |at| place(at).to_string());
    let failed = |call| Error::given(format!("UDP socket {name} ({})", record.common.id), call);
    let made = begin(&record.inet, libc::SOCK_DGRAM, UDP, makes).map_err(failed("make it"))?;
    let socket = made.as_fd();
    calls::set_number(socket, SOCKET, libc::SO_REUSEADDR, 1).map_err(failed("SO_REUSEADDR"))?;
    if let Some(local) = &record.inet.local {
        bind(socket, record.inet.family, place(local), false).map_err(failed("bind"))?;
    }
    // Before it is connected: then it takes nothing from others.
    fill(record, socket, makes).map_err(failed("send what waited in it"))?;
    for membership in record.memberships.iter() {
        join(socket, membership).map_err(failed("MCAST_JOIN_GROUP"))?;
    }
    if let Some(remote) = &record.remote {
        match calls::connect(socket, place(remote)) {
            // As if its interface had gone.
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {}
            other => other.map_err(failed("connect"))?,
        }
    }
    super::give_interface(socket, &record.inet).map_err(failed("SO_BINDTODEVICE"))?;
    options::give(socket, &record.inet.options).map_err(failed("setsockopt"))?;
    give_buffers(socket, &record.inet).map_err(failed("SO_RCVBUF"))?;
    common::give(socket, &record.common).map_err(failed("F_SETFL"))?;
    Ok(made)
}

fn join(socket: BorrowedFd<'_>, membership: &Membership) -> io::Result<()> {
    let group = match (<[u8; 4]>::try_from(&membership.group[..]), <[u8; 16]>::try_from(&membership.group[..])) {
        (Ok(ip), _) => IpAddr::from(ip),
        (_, Ok(ip)) => IpAddr::from(ip),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    // An interface that has gone has taken its members with it.
    let Ok(interface) = calls::interface(socket, &membership.interface) else { return Ok(()) };
    calls::set_option(socket, level(group), JOIN, &group_filter(interface, group)[..136])
}

/// Sends what waited, by packets whose senders are those that it came from.
fn fill(record: &UdpSocket, socket: BorrowedFd<'_>, makes: &impl Makes) -> io::Result<()> {
    if record.queue.is_empty() {
        return Ok(());
    }
    // What waits may be larger than the buffer is.
    set_buffer(socket, libc::SO_RCVBUF, record.receive_buffer_for_all())?;
    let local = record.inet.local.as_ref().map(place).ok_or(io::ErrorKind::InvalidData)?;
    for datagram in record.queue.iter() {
        let before = held(socket)?;
        let (from, to) = (place(&datagram.from), place(&datagram.to));
        let family = if from.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u32;
        let sender = makes.socket(family, libc::SOCK_RAW as u32, libc::IPPROTO_RAW as u32, (0, 0))?;
        if from.is_ipv6() {
            calls::set_number(sender.as_fd(), libc::IPPROTO_IPV6, WITH_HEADER, 1)?;
        }
        let send = |ip| {
            let to = SocketAddr::new(ip, local.port());
            let packet = packet::udp(from, to, &datagram.bytes).ok_or(io::ErrorKind::InvalidData)?;
            // A port would be taken for a protocol.
            calls::send_to(sender.as_fd(), &packet, SocketAddr::new(ip, 0))
        };
        let own = local.ip().to_canonical();
        let near = if own.is_unspecified() { loopback(family, Some(from)) } else { own };
        let many = to.ip().is_multicast() || to.ip() == IpAddr::from([255; 4]);
        if many || send(to.ip()).is_err() {
            send(near)?;
        }
        arrived(socket, before)?;
    }
    // As it is where no program has set it.
    set_buffer(socket, libc::SO_RCVBUF, record.inet.receive_buffer)
}

/// How much memory what waits takes (`SK_MEMINFO_RMEM_ALLOC` of `SO_MEMINFO`, linux/sock_diag.h).
fn held(socket: BorrowedFd<'_>) -> io::Result<i32> {
    calls::number(socket, SOCKET, 55)
}

/// Waits until more than that is held.
fn arrived(socket: BorrowedFd<'_>, before: i32) -> io::Result<()> {
    let ends = Instant::now() + PATIENCE;
    while held(socket)? <= before {
        if Instant::now() > ends {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a datagram does not arrive"));
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Ok(())
}

impl UdpSocket {
    /// Room for all that waits: the kernel counts what it holds a datagram in, too.
    fn receive_buffer_for_all(&self) -> u32 {
        let held: usize = self.queue.iter().map(|datagram| 2 * datagram.bytes.len() + 4096).sum();
        u32::try_from(held).unwrap_or(u32::MAX / 2).max(self.inet.receive_buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read() {
        let igmp = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    2\teth0      :     2      V3\n\t\t\t\tFB0000E0     1 0:00000000\t\t1\n";
        let igmp6 = "2    eth0            ff0200000000000000000000000000fb     1 00000004 0\n";
        let found = groups(igmp, igmp6);
        let names: Vec<_> = found.iter().map(|it| String::from_utf8_lossy(&it.interface).into_owned()).collect();
        assert_eq!(names, ["lo", "eth0", "eth0"]);
        assert_eq!(found[2].ip, "ff02::fb".parse::<IpAddr>().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(found[1].ip, IpAddr::from([224, 0, 0, 251]));
        }
    }
}
