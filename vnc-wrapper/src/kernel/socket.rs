//! Options of sockets, and the groups that they have joined, by descriptors of our own.
#![allow(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::objects::{Kernel, not_understood};

/// No option here has a longer value.
const LONGEST: usize = 64;
/// Nobody joins more groups: /proc/sys/net/ipv4/igmp_max_memberships is 20 by default.
const MOST_GROUPS: usize = 1 << 16;

/// The value of an option (getsockopt(2)).
///
/// # Errors
/// When such a socket has no such option.
pub fn get(socket: &OwnedFd, level: i32, option: i32) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; LONGEST];
    let mut length = LONGEST as libc::socklen_t;
    let to = value.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has as many.
    Errno::result(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, to, &raw mut length) })?;
    value.truncate(length as usize);
    Ok(value)
}

/// Gives an option a value (setsockopt(2)).
///
/// # Errors
/// When the kernel does not take it.
pub fn set(socket: &OwnedFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` bytes from `value`, which has as many.
    Errno::result(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), length) })?;
    Ok(())
}

/// Domain (address family) and protocol of a socket.
///
/// # Errors
/// When it is no socket.
pub fn kind(socket: &OwnedFd) -> io::Result<(i32, i32)> {
    let number = |option| {
        let value = get(socket, libc::SOL_SOCKET, option)?;
        Ok::<_, io::Error>(value.try_into().map_or(0, i32::from_ne_bytes))
    };
    Ok((number(libc::SO_DOMAIN)?, number(libc::SO_PROTOCOL)?))
}

/// A group that a socket has joined (ip(7), ipv6(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "family")]
pub enum Group {
    /// Of IPv4.
    V4 {
        /// The group.
        group: Ipv4Addr,
        /// The address of an interface of ours, if it was named by that.
        address: Ipv4Addr,
        /// Number of the interface.
        interface: i32,
    },
    /// Of IPv6.
    V6 {
        /// The group.
        group: Ipv6Addr,
        /// Number of the interface.
        interface: i32,
    },
}

impl Group {
    /// Makes `socket` a member.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn join(&self, socket: &OwnedFd) -> io::Result<()> {
        // `struct ip_mreqn` and `struct ipv6_mreq` (linux/in.h, linux/in6.h).
        match self {
            Self::V4 { group, address, interface } => {
                let value = [group.octets(), address.octets(), interface.to_ne_bytes()].concat();
                set(socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &value)
            }
            Self::V6 { group, interface } => {
                let value = [&group.octets()[..], &interface.to_ne_bytes()].concat();
                set(socket, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, &value)
            }
        }
    }
}

/// The groups that `socket` has joined, the one that it has joined last first; each with whether it listens to chosen
/// senders of it only. No system call tells.
///
/// # Errors
/// When the kernel's memory is not understood.
pub fn groups(kernel: &Kernel, socket: &OwnedFd) -> io::Result<Vec<(Group, bool)>> {
    let (domain, _) = kind(socket)?;
    if domain != libc::AF_INET && domain != libc::AF_INET6 {
        return Ok(Vec::new());
    }
    let own = kernel.follow(kernel.follow(kernel.file(socket)?, "file", "private_data")?, "socket", "sk")?;
    let memory = kernel.memory();
    let mut found = Vec::new();
    let mut next = kernel.follow(own, "inet_sock", "mc_list")?;
    while next != 0 && found.len() < MOST_GROUPS {
        // `struct ip_mreqn`: group, address, interface.
        let joined = memory.read(next + kernel.offset("ip_mc_socklist", "multi")?, 12)?;
        let part = |n: usize| joined.get(n * 4..n * 4 + 4).and_then(|b| b.try_into().ok()).ok_or_else(not_understood);
        let (group, address): ([u8; 4], [u8; 4]) = (part(0)?, part(1)?);
        let group = Ipv4Addr::from(group);
        if !group.is_multicast() {
            return Err(not_understood());
        }
        let chosen = kernel.follow(next, "ip_mc_socklist", "sflist")? != 0;
        let interface = i32::from_ne_bytes(part(2)?);
        found.push((Group::V4 { group, address: address.into(), interface }, chosen));
        next = kernel.follow(next, "ip_mc_socklist", "next_rcu")?;
    }
    let v6 = if domain == libc::AF_INET6 { kernel.follow(own, "inet_sock", "pinet6")? } else { 0 };
    let mut next = if v6 == 0 { 0 } else { kernel.follow(v6, "ipv6_pinfo", "ipv6_mc_list")? };
    while next != 0 && found.len() < MOST_GROUPS {
        let group = memory.read(next + kernel.offset("ipv6_mc_socklist", "addr")?, 16)?;
        let group = Ipv6Addr::from(<[u8; 16]>::try_from(group).map_err(|_| not_understood())?);
        if !group.is_multicast() {
            return Err(not_understood());
        }
        let interface = memory.read(next + kernel.offset("ipv6_mc_socklist", "ifindex")?, 4)?;
        let interface = i32::from_ne_bytes(interface.try_into().map_err(|_| not_understood())?);
        let chosen = kernel.follow(next, "ipv6_mc_socklist", "sflist")? != 0;
        found.push((Group::V6 { group, interface }, chosen));
        next = kernel.follow(next, "ipv6_mc_socklist", "next")?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn groups_are_seen_and_joined_anew() {
        let kernel = Kernel::open().unwrap();
        let new = |of: &str| OwnedFd::from(UdpSocket::bind(of).unwrap());
        let v4 = |n| Group::V4 { group: [239, 1, 2, n].into(), address: [127, 0, 0, 1].into(), interface: 1 };
        let v6 = Group::V6 { group: "ff02::4711".parse().unwrap(), interface: 1 };
        for (address, joined) in [("127.0.0.1:0", vec![v4(1), v4(2)]), ("[::]:0", vec![v6])] {
            let socket = new(address);
            assert_eq!(groups(&kernel, &socket).unwrap(), []);
            joined.iter().for_each(|group| group.join(&socket).unwrap());
            let mut seen: Vec<Group> = groups(&kernel, &socket).unwrap().into_iter().map(|(group, _)| group).collect();
            seen.reverse();
            assert_eq!(seen, joined);
        }
    }

    #[test]
    fn options_are_read_and_written() {
        let socket = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        let (level, option) = (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL);
        set(&socket, level, option, &7i32.to_ne_bytes()).unwrap();
        assert_eq!(get(&socket, level, option).unwrap(), 7i32.to_ne_bytes());
        assert!(get(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY).is_err());
        assert_eq!(kind(&socket).unwrap(), (libc::AF_INET, libc::IPPROTO_UDP));
    }
}
