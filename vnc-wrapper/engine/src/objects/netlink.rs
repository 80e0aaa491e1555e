//! Netlink sockets (netlink(7)): what they are bound to, the groups whose messages they get, their options. What waits in one
//! is not recorded: who reads next finds nothing, or the save is tried again.

use std::os::fd::{AsFd, OwnedFd};

use super::{Error, Finding, Seen, common, fit};
use crate::record::sockets::{NetlinkOption, NetlinkSocket};
use crate::sys::{descriptor, netlink};

const SOCKET: i32 = libc::SOL_SOCKET;
const NETLINK: i32 = libc::SOL_NETLINK;
/// Options that are recorded where they are not 0: their levels and numbers (linux/netlink.h, asm-generic/socket.h).
/// NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS, NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK, NETLINK_EXT_ACK,
/// NETLINK_GET_STRICT_CHK; SO_PASSCRED, SO_TIMESTAMP.
const OPTIONS: [(i32, i32); 9] = [
    (NETLINK, 3),
    (NETLINK, 4),
    (NETLINK, 5),
    (NETLINK, 8),
    (NETLINK, 10),
    (NETLINK, 11),
    (NETLINK, 12),
    (SOCKET, libc::SO_PASSCRED),
    (SOCKET, libc::SO_TIMESTAMP),
];
/// getsockopt(2) gives twice what SO_RCVBUFFORCE got.
const RECEIVE: (i32, i32) = (SOCKET, libc::SO_RCVBUF);

/// Whether it is one.
///
/// # Errors
/// When the kernel does not answer.
pub fn is_one(seen: &Seen) -> Result<bool, Error> {
    let domain = netlink::number(seen.copy(), SOCKET, libc::SO_DOMAIN).map_err(seen.failed("SO_DOMAIN"))?;
    Ok(domain == libc::AF_NETLINK)
}

/// What would be lost.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen) -> Result<Option<Finding>, Error> {
    let events = descriptor::ready(seen.copy(), libc::POLLIN).map_err(seen.failed("poll"))?;
    Ok((events != 0).then(|| seen.passing("a message of the kernel waits in it")))
}

/// Its record; the number in the snapshot is `id`.
///
/// # Errors
/// When the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<NetlinkSocket, Error> {
    let number = |level, name, call| netlink::number(seen.copy(), level, name).map_err(seen.failed(call));
    let groups = netlink::groups(seen.copy()).map_err(seen.failed("NETLINK_LIST_MEMBERSHIPS"))?;
    let mut options = Vec::new();
    for (level, name) in OPTIONS {
        // One that this kernel does not know.
        let value = netlink::number(seen.copy(), level, name).unwrap_or(0);
        if value != 0 {
            options.push(NetlinkOption { level, name, value });
        }
    }
    Ok(NetlinkSocket {
        common: common::take(seen, id)?,
        kind: number(SOCKET, libc::SO_TYPE, "SO_TYPE")?.cast_unsigned(),
        protocol: number(SOCKET, libc::SO_PROTOCOL, "SO_PROTOCOL")?.cast_unsigned(),
        port: netlink::port(seen.copy()).map_err(seen.failed("getsockname"))?,
        groups: fit(seen, "its groups", groups)?,
        options: fit(seen, "its options", options)?,
        receive_buffer: number(RECEIVE.0, RECEIVE.1, "SO_RCVBUF")?.cast_unsigned(),
    })
}

/// Makes it of the new socket `made`, of the session's net namespace.
///
/// # Errors
/// When its port is taken, or the kernel does not know something of it.
pub fn give(record: &NetlinkSocket, made: OwnedFd) -> Result<OwnedFd, Error> {
    let failed = |call| Error::given(format!("netlink socket ({})", record.common.id), call);
    if record.port != 0 {
        netlink::bind(made.as_fd(), record.port).map_err(failed("bind"))?;
    }
    let set = |level, name, value| netlink::set_number(made.as_fd(), level, name, value);
    for group in record.groups.iter() {
        set(NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group.cast_signed()).map_err(failed("NETLINK_ADD_MEMBERSHIP"))?;
    }
    for NetlinkOption { level, name, value } in record.options.iter() {
        set(*level, *name, *value).map_err(failed("setsockopt"))?;
    }
    let buffer = netlink::number(made.as_fd(), RECEIVE.0, RECEIVE.1).map_err(failed("SO_RCVBUF"))?;
    if buffer.cast_unsigned() != record.receive_buffer {
        let half = (record.receive_buffer / 2).cast_signed();
        // The one that knows no bound needs root of the host.
        let forced = set(SOCKET, libc::SO_RCVBUFFORCE, half);
        forced.or_else(|_| set(SOCKET, libc::SO_RCVBUF, half)).map_err(failed("SO_RCVBUF"))?;
    }
    common::give(made.as_fd(), &record.common).map_err(failed("F_SETFL"))?;
    Ok(made)
}
