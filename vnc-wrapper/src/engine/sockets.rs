//! Options of sockets that CRIU leaves out, and the groups that sockets have joined: read while all is frozen, and given
//! back before anybody runs.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use libc::{IPPROTO_IP as IP, IPPROTO_IPV6 as IPV6, IPPROTO_TCP as TCP, IPPROTO_UDP as UDP, SOL_SOCKET as SOCKET};
use serde::{Deserialize, Serialize};

use crate::container::processes::{Process, has_ended};
use crate::kernel::objects::Kernel;
use crate::kernel::process;
use crate::kernel::socket::{self, Group};

/// What a socket has that CRIU leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Socket {
    /// A process that has it open, as the session sees it.
    process: u32,
    /// Its descriptor.
    descriptor: i32,
    /// Options: level, number and value.
    options: Vec<(i32, i32, Vec<u8>)>,
    /// In the order in which they were joined.
    groups: Vec<Group>,
}

/// Options of every socket, socket(7). Those that another one's value changes come behind it, and what forbids changes last.
const OF_ALL: [i32; 14] = [
    libc::SO_TIMESTAMP,
    libc::SO_TIMESTAMPNS,
    libc::SO_TIMESTAMPING,
    libc::SO_RCVLOWAT,
    libc::SO_OOBINLINE,
    libc::SO_NO_CHECK,
    libc::SO_RXQ_OVFL,
    libc::SO_PEEK_OFF,
    libc::SO_ZEROCOPY,
    libc::SO_SELECT_ERR_QUEUE,
    libc::SO_PASSSEC,
    // SO_PASSPIDFD (asm-generic/socket.h).
    76,
    libc::SO_INCOMING_CPU,
    libc::SO_LOCK_FILTER,
];
/// ip(7). IP_MULTICAST_IF is read as an address.
const OF_IP: [i32; 18] = [
    libc::IP_TTL,
    libc::IP_TOS,
    libc::IP_MULTICAST_IF,
    libc::IP_MULTICAST_TTL,
    libc::IP_MULTICAST_LOOP,
    libc::IP_MULTICAST_ALL,
    libc::IP_PKTINFO,
    libc::IP_RECVTTL,
    libc::IP_RECVTOS,
    libc::IP_RECVOPTS,
    libc::IP_RETOPTS,
    libc::IP_RECVORIGDSTADDR,
    libc::IP_RECVERR,
    libc::IP_MTU_DISCOVER,
    libc::IP_MINTTL,
    libc::IP_FREEBIND,
    libc::IP_BIND_ADDRESS_NO_PORT,
    libc::IP_NODEFRAG,
];
/// ipv6(7).
const OF_IPV6: [i32; 19] = [
    libc::IPV6_UNICAST_HOPS,
    libc::IPV6_TCLASS,
    libc::IPV6_MULTICAST_IF,
    libc::IPV6_MULTICAST_HOPS,
    libc::IPV6_MULTICAST_LOOP,
    libc::IPV6_MULTICAST_ALL,
    libc::IPV6_RECVPKTINFO,
    libc::IPV6_RECVHOPLIMIT,
    libc::IPV6_RECVTCLASS,
    libc::IPV6_RECVRTHDR,
    libc::IPV6_RECVHOPOPTS,
    libc::IPV6_RECVDSTOPTS,
    libc::IPV6_RECVPATHMTU,
    libc::IPV6_RECVORIGDSTADDR,
    libc::IPV6_RECVERR,
    libc::IPV6_MTU_DISCOVER,
    libc::IPV6_DONTFRAG,
    libc::IPV6_MINHOPCOUNT,
    libc::IPV6_FREEBIND,
];
/// tcp(7).
const OF_TCP: [i32; 12] = [
    libc::TCP_NODELAY,
    libc::TCP_KEEPIDLE,
    libc::TCP_KEEPINTVL,
    libc::TCP_KEEPCNT,
    libc::TCP_SYNCNT,
    libc::TCP_USER_TIMEOUT,
    libc::TCP_NOTSENT_LOWAT,
    libc::TCP_DEFER_ACCEPT,
    libc::TCP_LINGER2,
    libc::TCP_THIN_LINEAR_TIMEOUTS,
    libc::TCP_SAVE_SYN,
    libc::TCP_CONGESTION,
];
/// udp(7), and linux/udp.h.
const OF_UDP: [i32; 4] = [libc::UDP_SEGMENT, libc::UDP_GRO, 101, 102];
/// netlink(7); their level is SOL_NETLINK.
const OF_NETLINK: [i32; 7] = [
    libc::NETLINK_PKTINFO,
    libc::NETLINK_BROADCAST_ERROR,
    libc::NETLINK_NO_ENOBUFS,
    libc::NETLINK_LISTEN_ALL_NSID,
    libc::NETLINK_CAP_ACK,
    // NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK (linux/netlink.h).
    11,
    12,
];

/// Of the sockets of these processes what CRIU leaves out. (A choice of senders was refused: [`crate::objects`].)
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn all(processes: &[Process], kernel: Option<&Kernel>) -> io::Result<Vec<Socket>> {
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for process in processes.iter().filter(|p| p.state != 'Z') {
        for entry in fs::read_dir(process.proc("fd"))? {
            let entry = entry?;
            let is_socket = fs::read_link(entry.path()).is_ok_and(|l| l.to_string_lossy().starts_with("socket:"));
            if !is_socket || !fs::metadata(entry.path()).is_ok_and(|m| seen.insert(m.ino())) {
                continue;
            }
            let Some(number) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let copy = match process::descriptor(process.outside, number) {
                Err(error) if has_ended(&error) => continue,
                other => other?,
            };
            // A kernel whose memory is not understood hides the groups of those few that have any.
            let groups = kernel.and_then(|kernel| socket::groups(kernel, &copy).ok()).unwrap_or_default();
            let groups = groups.into_iter().rev().map(|(group, _)| group).collect();
            let options = options(&copy)?;
            all.push(Socket { process: process.inside, descriptor: number, options, groups });
        }
    }
    Ok(all)
}

/// Gives these sockets of these processes, which were restored and do not run yet, what they had.
///
/// # Errors
/// When a socket is not there.
pub(super) fn put_back(processes: &[Process], all: &[Socket]) -> io::Result<()> {
    for kept in all {
        let process = processes.iter().find(|p| p.inside == kept.process).ok_or(io::ErrorKind::NotFound)?;
        let copy = process::descriptor(process.outside, kept.descriptor)?;
        let now = options(&copy)?;
        for (level, option, value) in kept.options.iter().filter(|option| !now.contains(option)) {
            // A connection to the outside was closed, and takes nothing any more.
            if let Err(error) = socket::set(&copy, *level, *option, value) {
                tracing::warn!("option {option} of level {level} of a socket of {} is lost: {error}", process.name);
            }
        }
        for group in &kept.groups {
            match group.join(&copy) {
                // It has joined the group already.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => tracing::warn!("{} is not in {group:?} any more: {error}", process.name),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

/// The options that such a socket has.
fn options(copy: &OwnedFd) -> io::Result<Vec<(i32, i32, Vec<u8>)>> {
    let (domain, protocol) = socket::kind(copy)?;
    let mut wanted: Vec<(i32, &[i32])> = Vec::new();
    if domain == libc::AF_INET || domain == libc::AF_INET6 {
        wanted.push((IP, &OF_IP));
    }
    if domain == libc::AF_INET6 {
        wanted.push((IPV6, &OF_IPV6));
    }
    match (domain, protocol) {
        (libc::AF_INET | libc::AF_INET6, TCP) => wanted.push((TCP, &OF_TCP)),
        (libc::AF_INET | libc::AF_INET6, UDP) => wanted.push((UDP, &OF_UDP)),
        (libc::AF_NETLINK, _) => wanted.push((libc::SOL_NETLINK, &OF_NETLINK)),
        _ => {}
    }
    // Last, for the lock of the filter.
    wanted.push((SOCKET, &OF_ALL));
    let read = |(level, numbers): (i32, &[i32])| {
        let one = |number: &i32| Some((level, *number, socket::get(copy, level, *number).ok()?));
        numbers.iter().filter_map(one).collect::<Vec<_>>()
    };
    Ok(wanted.into_iter().flat_map(read).collect())
}
