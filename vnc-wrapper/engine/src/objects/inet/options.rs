//! The table of options. All that the kernel has are recorded; a new socket gets those that it has otherwise: what is the
//! default depends on the net namespace.

use std::io;
use std::os::fd::BorrowedFd;

use super::super::{Error, Seen, fit};
use crate::record::inet::InetOption;
use crate::sys::inet as calls;

const SOCKET: i32 = libc::SOL_SOCKET;
const IP: i32 = libc::IPPROTO_IP;
const IPV6: i32 = libc::IPPROTO_IPV6;
const TCP: i32 = libc::IPPROTO_TCP;
const UDP: i32 = libc::IPPROTO_UDP;
/// The longest value: IP_OPTIONS, 40 bytes.
const ROOM: usize = 64;

/// What binding depends on: SO_REUSEPORT; IP_FREEBIND, IP_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE; IPV6_V6ONLY,
/// IPV6_TRANSPARENT, IPV6_FREEBIND.
const BEFORE: [(i32, i32); 8] =
    [(SOCKET, 15), (IP, 15), (IP, 19), (IP, 24), (IP, 51), (IPV6, 26), (IPV6, 75), (IPV6, 78)];
/// The others, in the order in which they are set: IP_TOS changes SO_PRIORITY. asm-generic/socket.h, linux/in.h, linux/in6.h,
/// linux/tcp.h, linux/udp.h.
const OPTIONS: &[(i32, &[i32])] = &[
    // IP_TOS, IP_TTL, IP_OPTIONS, IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL, IP_RECVTOS,
    // IP_RECVORIGDSTADDR, IP_MINTTL, IP_CHECKSUM, IP_RECVFRAGSIZE, IP_RECVERR_RFC4884, IP_MULTICAST_IF, IP_MULTICAST_TTL,
    // IP_MULTICAST_LOOP, IP_MULTICAST_ALL, IP_UNICAST_IF.
    (IP, &[1, 2, 4, 6, 7, 8, 10, 11, 12, 13, 20, 21, 23, 25, 26, 32, 33, 34, 49, 50]),
    // IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MTU_DISCOVER, IPV6_RECVERR,
    // IPV6_MULTICAST_ALL, IPV6_RECVERR_RFC4884, IPV6_FLOWINFO_SEND, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVHOPOPTS,
    // IPV6_RECVRTHDR, IPV6_RECVDSTOPTS, IPV6_RECVPATHMTU, IPV6_DONTFRAG, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_AUTOFLOWLABEL,
    // IPV6_MINHOPCOUNT, IPV6_RECVORIGDSTADDR, IPV6_UNICAST_IF, IPV6_RECVFRAGSIZE.
    (IPV6, &[16, 17, 18, 19, 23, 25, 29, 31, 33, 49, 51, 53, 56, 58, 60, 62, 66, 67, 70, 73, 74, 76, 77]),
    // SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY, SO_LINGER, SO_RCVLOWAT, SO_RCVTIMEO,
    // SO_SNDTIMEO, SO_TIMESTAMP, SO_TIMESTAMPNS, SO_MARK, SO_TIMESTAMPING, SO_RXQ_OVFL, SO_PEEK_OFF, SO_MAX_PACING_RATE,
    // SO_ZEROCOPY, SO_TXTIME, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TXREHASH.
    (SOCKET, &[5, 6, 9, 10, 11, 12, 13, 18, 20, 21, 29, 35, 36, 37, 40, 42, 47, 60, 61, 63, 64, 74]),
    // TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_CONGESTION,
    // TCP_THIN_LINEAR_TIMEOUTS, TCP_THIN_DUPACK, TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT, TCP_SAVE_SYN, TCP_INQ, TCP_TX_DELAY.
    (TCP, &[1, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 18, 25, 27, 36, 37]),
    // UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX, UDP_SEGMENT, UDP_GRO.
    (UDP, &[101, 102, 103, 104]),
    // Last: repair mode changes it.
    (SOCKET, &[libc::SO_REUSEADDR]),
];
/// Those that the kernel changes by itself once a socket is connected: TCP_MAXSEG, TCP_WINDOW_CLAMP.
const UNCONNECTED: [(i32, i32); 2] = [(TCP, 2), (TCP, 10)];

/// Those of multicast, in which the kernel keeps other things for streams: IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP,
/// IP_MULTICAST_ALL; IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MULTICAST_ALL.
const MANY: [(i32, i32); 8] = [(IP, 32), (IP, 33), (IP, 34), (IP, 49), (IPV6, 17), (IPV6, 18), (IPV6, 19), (IPV6, 29)];

fn all() -> impl Iterator<Item = (i32, i32)> {
    let others = OPTIONS.iter().flat_map(|(level, names)| names.iter().map(|name| (*level, *name)));
    BEFORE.into_iter().chain(UNCONNECTED).chain(others)
}

/// Leaves those away that only a socket has which was never connected.
pub(super) fn of_a_connected(options: &[InetOption]) -> Vec<InetOption> {
    options.iter().filter(|it| !UNCONNECTED.contains(&(it.level, it.name))).cloned().collect()
}

/// Its options.
pub(super) fn take(seen: &Seen) -> Result<Vec<InetOption>, Error> {
    let stream = calls::option(seen.copy(), TCP, libc::TCP_NODELAY, 4).is_ok();
    let mut options = Vec::new();
    let kept = |option: &(i32, i32)| !stream || !MANY.contains(option);
    for (level, name) in all().filter(kept) {
        // One that this kernel, family or protocol does not have.
        let Ok(value) = calls::option(seen.copy(), level, name, ROOM) else { continue };
        if !value.is_empty() {
            options.push(InetOption { level, name, value: fit(seen, "an option", value)? });
        }
    }
    Ok(options)
}

/// Sets those that binding depends on.
pub(super) fn before_bind(socket: BorrowedFd<'_>, options: &[InetOption]) -> io::Result<()> {
    options.iter().filter(|it| BEFORE.contains(&(it.level, it.name))).try_for_each(|it| set(socket, it))
}

/// Sets all.
pub(super) fn give(socket: BorrowedFd<'_>, options: &[InetOption]) -> io::Result<()> {
    options.iter().filter(|it| (it.level, it.name) != (IPV6, 26)).try_for_each(|it| set(socket, it))
}

fn set(socket: BorrowedFd<'_>, option: &InetOption) -> io::Result<()> {
    let InetOption { level, name, value } = option;
    if calls::option(socket, *level, *name, ROOM).is_ok_and(|now| now == value[..]) {
        return Ok(());
    }
    calls::set_option(socket, *level, *name, value).map_err(|error| {
        let value = value.escape_ascii();
        io::Error::new(error.kind(), format!("option {name} of level {level} cannot become \"{value}\": {error}"))
    })
}
