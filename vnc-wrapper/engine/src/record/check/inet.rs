//! Whether the records of internet sockets fit together.

use std::collections::HashSet;

use super::values::{ensure, refers};
use super::{Known, Result};
use crate::record::inet::{Address, Inet, TcpSocket, TcpState, UdpSocket};

/// Shifts of windows are not larger (RFC 7323, 2.3).
const SHIFT: u8 = 14;

impl Known<'_> {
    /// Each connection waits at one place.
    pub(super) fn waiting_for_accept(&self) -> Result {
        let mut waits = HashSet::new();
        for (number, it) in &self.tcp {
            let TcpState::Listening { waiting, .. } = &it.state else { continue };
            for client in waiting.iter().flatten() {
                let who = format!("a TCP socket ({number})");
                ensure(waits.insert(*client), &who, || format!("socket {client} waits for it and elsewhere"))?;
            }
        }
        Ok(())
    }

    pub(super) fn tcp_socket(&self, who: &str, it: &TcpSocket) -> Result {
        inet(who, &it.inet)?;
        match &it.state {
            TcpState::Alone | TcpState::Failed => {
                ensure(it.received.is_empty(), who, || "it has received something from nobody".to_owned())
            }
            TcpState::Connecting { to } => {
                address(who, it.inet.family, to)?;
                ensure(it.received.is_empty(), who, || "it has received something before it was connected".to_owned())
            }
            TcpState::Over { .. } => Ok(()),
            TcpState::Listening { waiting, .. } => {
                ensure(it.inet.local.is_some(), who, || "it listens nowhere".to_owned())?;
                ensure(it.received.is_empty(), who, || "it cannot listen".to_owned())?;
                waiting.iter().flatten().try_for_each(|number| {
                    let client = self.tcp.get(number);
                    refers(client.is_some(), who, "socket", *number)?;
                    let waits = client.is_some_and(|client| {
                        matches!(client.state, TcpState::Connected { peer: None, outside: false, .. })
                    });
                    ensure(waits, who, || format!("socket {number} does not wait for it"))
                })
            }
            TcpState::Connected { peer, outside, connection } => {
                ensure(it.inet.local.is_some(), who, || "it is connected from nowhere".to_owned())?;
                address(who, it.inet.family, &connection.remote)?;
                if let Some(scales) = &connection.scales {
                    let right = scales.received <= SHIFT && scales.sent <= SHIFT;
                    ensure(right, who, || format!("windows are shifted by {} and {}", scales.received, scales.sent))?;
                }
                let Some(number) = peer else { return Ok(()) };
                ensure(!outside, who, || format!("socket {number} is not outside of the session"))?;
                let peer = self.tcp.get(number);
                refers(peer.is_some(), who, "socket", *number)?;
                let Some(TcpState::Connected { peer: Some(back), connection: theirs, .. }) = peer.map(|it| &it.state)
                else {
                    return ensure(false, who, || format!("socket {number} is not connected to it"));
                };
                let right = *back == it.common.id && *number != it.common.id;
                ensure(right, who, || format!("socket {number} is not connected to it"))?;
                // What it has sent and the other has not received must be there.
                let missing = connection.sent.wrapping_sub(theirs.received) as usize;
                let there = missing <= connection.unacknowledged.len();
                ensure(there, who, || format!("socket {number} lacks {missing} bytes that are not there"))
            }
        }
    }

    pub(super) fn udp_socket(&self, who: &str, it: &UdpSocket) -> Result {
        inet(who, &it.inet)?;
        it.remote.iter().try_for_each(|remote| address(who, it.inet.family, remote))?;
        it.memberships.iter().try_for_each(|it| {
            ensure([4, 16].contains(&it.group.len()), who, || format!("a group of {} bytes", it.group.len()))?;
            interface(who, &it.interface)
        })?;
        ensure(it.queue.is_empty() || it.inet.local.is_some(), who, || "it receives nowhere".to_owned())?;
        it.queue.iter().try_for_each(|datagram| {
            let lengths = [datagram.from.ip.len(), datagram.to.ip.len()];
            let right = lengths == [4, 4] || (lengths == [16, 16] && it.inet.family == libc::AF_INET6 as u32);
            ensure(right, who, || format!("a datagram between addresses of {lengths:?} bytes"))?;
            // What a datagram of either family has at most (RFC 768).
            let most = 65_535 - 8 - if lengths[0] == 4 { 20 } else { 0 };
            ensure(datagram.bytes.len() <= most, who, || format!("a datagram of {} bytes", datagram.bytes.len()))?;
            [&datagram.from, &datagram.to].into_iter().try_for_each(|address| port(who, address.port))
        })
    }
}

fn inet(who: &str, it: &Inet) -> Result {
    let families = [libc::AF_INET as u32, libc::AF_INET6 as u32];
    ensure(families.contains(&it.family), who, || format!("there is no family {}", it.family))?;
    it.local.iter().try_for_each(|local| address(who, it.family, local))?;
    ensure(it.buffers <= 3, who, || format!("buffers {} are set", it.buffers))?;
    interface(who, &it.interface)
}

fn interface(who: &str, name: &[u8]) -> Result {
    ensure(!name.contains(&0) && !name.contains(&b'/'), who, || format!("interface \"{}\"", name.escape_ascii()))
}

fn address(who: &str, family: u32, it: &Address) -> Result {
    let length = if family == libc::AF_INET as u32 { 4 } else { 16 };
    ensure(it.ip.len() == length, who, || format!("an address of {} bytes", it.ip.len()))?;
    port(who, it.port)
}

fn port(who: &str, port: u32) -> Result {
    ensure(port <= u16::MAX.into(), who, || format!("port {port}"))
}
