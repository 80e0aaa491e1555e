//! Records of TCP sockets.
//!
//! The kernel goes on while processes stand still: what one end has sent arrives at the other, and is acknowledged. So of all
//! sockets what they have sent is read first ([`begin`]) and what they have received afterwards ([`take`]): whatever an end does not have
//! any more by then, the other one has. Connections that lead out of the session are not touched.

use std::io;
use std::os::fd::BorrowedFd;

use super::super::{Error, Finding, Seen, common, fit};
use super::network::{
    CLOSE, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK, LISTEN, Network, Peer, SYN_SENT, unread,
    unsent,
};
use super::repair::{self, Queue, Repair};
use super::{Borrowed, PEEK_OFFSET, SOCKET, TCP, address, options, take as inet};
use crate::record::inet::{Connection, Scales, TcpSocket, TcpState};
use crate::sys::{descriptor, inet as calls, unix};

/// States with another end.
const CONNECTED: [u8; 6] = [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, LAST_ACK, CLOSING];
/// `TCP_ULP`, `TCP_FASTOPEN`, `TCP_FASTOPEN_CONNECT` (linux/tcp.h).
const UPPER: i32 = 31;
const FAST: [i32; 2] = [23, 30];
/// More than what was sent: the kernel keeps a segment whole of which a part was acknowledged.
const SLACK: usize = 1 << 17;
/// How often what was received is read when more arrives meanwhile.
const TRIES: u32 = 100;
const EARLY: &str = "who accepts it will read what was sent already, which nobody can look at";

/// Gives the number of the description of the socket with that inode; none: nobody in the session has it.
pub type Known<'k> = dyn Fn(u64) -> Option<u32> + 'k;

/// What tcp(7) says of a socket, of `struct tcp_info` (linux/tcp.h).
struct Info {
    state: u8,
    options: u8,
    scales: u8,
    backlog: u32,
    /// Whether anything, its begin counted, was ever acknowledged or received, or something was agreed on.
    was_connected: bool,
}

impl Info {
    fn of(seen: &Seen) -> Result<Self, Error> {
        let bytes = calls::option(seen.copy(), TCP, libc::TCP_INFO, 256).map_err(seen.failed("TCP_INFO"))?;
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let word = |at: usize| {
            bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |word| u32::from_ne_bytes(*word))
        };
        let any = bytes.get(120..136).is_some_and(|counts| counts.iter().any(|byte| *byte != 0));
        let any = any || byte(5) != 0;
        Ok(Self { state: byte(0), options: byte(5), scales: byte(6), backlog: word(28), was_connected: any })
    }

    fn connected(&self) -> bool {
        CONNECTED.contains(&self.state)
    }

    fn ended(&self) -> bool {
        [FIN_WAIT_1, FIN_WAIT_2, CLOSING, LAST_ACK].contains(&self.state)
    }

    fn peer_ended(&self) -> bool {
        [CLOSE_WAIT, LAST_ACK, CLOSING].contains(&self.state)
    }
}

/// The other end, as the session sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Known(u32),
    /// It waits to be accepted by a listener of the session.
    Waits {
        unread: u32,
    },
    Closed {
        unsent: u32,
    },
    Outside,
}

fn end(seen: &Seen, info: &Info, network: &Network, known: &Known<'_>) -> Result<End, Error> {
    let name = |peer, call| calls::name(seen.copy(), peer).map_err(seen.failed(call));
    let (Some(local), Some(remote)) = (name(false, "getsockname")?, name(true, "getpeername")?) else {
        return Ok(End::Outside);
    };
    Ok(match network.peer(local, remote) {
        Peer::Open(it) => known(it.inode.into()).map_or(End::Outside, End::Known),
        Peer::Waits(it) if network.accepts(it).is_some_and(|of| known(of).is_some()) => {
            End::Waits { unread: unread(it) }
        }
        Peer::Closed(it) => End::Closed { unsent: unsent(it) },
        Peer::Gone if info.peer_ended() => End::Closed { unsent: 0 },
        Peer::Waits(_) | Peer::Gone | Peer::Elsewhere => End::Outside,
    })
}

/// What would be lost, all that can be said at once.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen, network: &Network, known: &Known<'_>) -> Result<Vec<Finding>, Error> {
    let info = Info::of(seen)?;
    if repair::is_on(seen.copy()).map_err(seen.failed("TCP_REPAIR"))? {
        return Ok(vec![seen.finding("a program has it in repair mode (TCP_REPAIR)")]);
    }
    let upper = calls::option(seen.copy(), TCP, UPPER, 16).unwrap_or_default();
    let upper = upper.split(|byte| *byte == 0).next().unwrap_or_default();
    if !upper.is_empty() {
        return Ok(vec![seen.finding(format!("the kernel speaks {} in it (TCP_ULP)", upper.escape_ascii()))]);
    }
    if FAST.into_iter().any(|name| calls::number(seen.copy(), TCP, name).is_ok_and(|value| value != 0)) {
        return Ok(vec![seen.finding("it may send data while it connects (TCP_FASTOPEN)")]);
    }
    if network.socket(seen.stat.st_ino).is_some_and(|it| it.signed) {
        return Ok(vec![seen.finding("its segments are signed (TCP_MD5SIG), and the key is not shown")]);
    }
    let events = descriptor::ready(seen.copy(), libc::POLLPRI).map_err(seen.failed("poll"))?;
    if events & libc::POLLPRI != 0 {
        return Ok(vec![seen.finding("a byte out of band (MSG_OOB) waits in it")]);
    }
    if info.state == LISTEN {
        return Ok(listener(seen, network, known));
    }
    if !info.connected() {
        let right = [CLOSE, SYN_SENT].contains(&info.state);
        let state = info.state;
        return Ok(if right {
            vec![]
        } else {
            vec![seen.finding(format!("it is in state {state} of TCP; this passes"))]
        });
    }
    Ok(match end(seen, &info, network, known)? {
        End::Waits { unread } if unread > 0 => vec![seen.passing(EARLY)],
        End::Closed { unsent } if unsent > 0 && !info.peer_ended() => {
            let lost = "its other end was closed and has not sent all yet, which nobody can look at; this passes once it is read";
            vec![seen.finding(lost)]
        }
        End::Outside => vec![leads_out(seen)?],
        _ => vec![],
    })
}

fn leads_out(seen: &Seen) -> Result<Finding, Error> {
    let remote = calls::name(seen.copy(), true).map_err(seen.failed("getpeername"))?;
    let remote = remote.map_or_else(String::new, |remote| super::plain(remote).to_string());
    let lost = format!("its connection to {remote} leads out of the session; a resumed one finds it reset");
    Ok(Finding { blocking: false, ..seen.finding(lost) })
}

fn listener(seen: &Seen, network: &Network, known: &Known<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for waits in network.waiting(seen.stat.st_ino) {
        let inside = |inode: u32| known(inode.into()).is_some();
        match network.peer(waits.local, waits.remote) {
            // Found at the other end.
            Peer::Open(it) if inside(it.inode) => {}
            Peer::Closed(_) | Peer::Gone if unread(waits) > 0 => findings.push(seen.passing(EARLY)),
            Peer::Closed(_) | Peer::Gone => {}
            _ => {
                let remote = super::plain(waits.remote);
                let lost =
                    format!("a connection from {remote}, outside of the session, waits to be accepted; it is dropped");
                findings.push(Finding { blocking: false, ..seen.finding(lost) });
            }
        }
    }
    findings
}

/// A socket of which is known what it has sent.
#[derive(Debug)]
pub struct Begun {
    /// The number behind the last byte, and bytes before it that are not acknowledged.
    sent: Option<(u32, Vec<u8>)>,
}

/// Reads what a socket has sent; it is the first of two steps.
///
/// # Errors
/// When the kernel does not answer, or this process has no rights in the net namespace.
pub fn begin(seen: &Seen, network: &Network, known: &Known<'_>) -> Result<Begun, Error> {
    let info = Info::of(seen)?;
    if !info.connected() || end(seen, &info, network, known)? == End::Outside {
        return Ok(Begun { sent: None });
    }
    let repair = enter(seen)?;
    let sent = sent(seen.copy(), &repair, info.ended()).map_err(seen.failed("read what it has sent"))?;
    Ok(Begun { sent: Some(sent) })
}

fn enter(seen: &Seen) -> Result<Repair<'_>, Error> {
    Repair::begin(seen.copy()).map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM) => {
            seen.refused("its net namespace is not the session's own, so that it cannot be looked into")
        }
        _ => seen.failed("TCP_REPAIR")(error),
    })
}

fn sent(socket: BorrowedFd<'_>, repair: &Repair<'_>, ended: bool) -> io::Result<(u32, Vec<u8>)> {
    let behind = repair.sequence(Queue::Send)?.wrapping_sub(ended.into());
    let out = unix::unread(socket)? as usize;
    if out == 0 {
        return Ok((behind, Vec::new()));
    }
    repair.choose(Queue::Send)?;
    let mut bytes = vec![0; out + SLACK];
    let looked = calls::look(socket, &mut bytes);
    repair.choose(Queue::No)?;
    bytes.truncate(looked?);
    Ok((behind, bytes))
}

/// What waits to be read. Its end is not looked at: that would take an error that waits.
fn waiting(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let length = calls::unread(socket)? as usize;
    if length == 0 {
        return Ok(Vec::new());
    }
    // Of TCP since Linux 6.9. Before, every look is from the begin.
    let _begin = Borrowed::set(socket, SOCKET, PEEK_OFFSET, -1).ok();
    let mut bytes = vec![0; length];
    let looked = calls::look(socket, &mut bytes)?;
    if looked != length {
        return Err(io::Error::other(format!(
            "{length} bytes wait, and {looked} of them can be seen: is one out of band?"
        )));
    }
    Ok(bytes)
}

/// Its record; the number in the snapshot is `id`. User and group are those that this process sees.
///
/// # Errors
/// What [`look`] finds, and when the kernel does not answer.
pub fn take(seen: &Seen, id: u32, begun: Begun, network: &Network, known: &Known<'_>) -> Result<TcpSocket, Error> {
    let info = Info::of(seen)?;
    let events = descriptor::ready(seen.copy(), libc::POLLRDHUP).map_err(seen.failed("poll"))?;
    let shut = events & libc::POLLRDHUP != 0;
    let failed = events & libc::POLLERR != 0;
    let mut received = Vec::new();
    let read = || waiting(seen.copy()).map_err(seen.failed("look at what waits in it"));
    let state = match info.state {
        LISTEN => TcpState::Listening {
            backlog: info.backlog,
            waiting: fit(seen, "connections that wait", clients(seen, network, known))?,
        },
        SYN_SENT => {
            let to = calls::name(seen.copy(), true);
            // It is not connected yet, so that only the list of all sockets shows where to.
            let to = to.ok().flatten().or_else(|| network.socket(seen.stat.st_ino).map(|it| it.remote));
            TcpState::Connecting { to: address(to.ok_or_else(|| seen.refused("it connects to nobody"))?) }
        }
        _ if info.connected() => {
            let end = end(seen, &info, network, known)?;
            let (outside, peer) = match end {
                End::Known(peer) => (false, Some(peer)),
                End::Waits { .. } | End::Closed { .. } => (false, None),
                End::Outside => (true, None),
            };
            let mut connection = connection(seen, &info)?;
            match (outside, begun.sent) {
                (false, Some((number, bytes))) => {
                    connection.sent = number;
                    connection.unacknowledged = fit(seen, "what it has sent", bytes)?;
                    received = arrived(seen, &info, &mut connection)?;
                }
                _ => received = read()?,
            }
            TcpState::Connected { peer, outside, connection }
        }
        _ if failed && !info.was_connected => TcpState::Failed,
        _ if shut || failed => {
            received = read()?;
            TcpState::Over { reset: failed }
        }
        _ => TcpState::Alone,
    };
    let mut inet = inet(seen)?;
    if !matches!(state, TcpState::Alone | TcpState::Listening { .. }) {
        inet.options = fit(seen, "its options", options::of_a_connected(&inet.options))?;
    }
    let deaf = shut && info.connected() && !info.peer_ended();
    Ok(TcpSocket {
        common: common::take(seen, id)?,
        inet,
        state,
        received: fit(seen, "what waits in it", received)?,
        deaf,
    })
}

/// Who waits to be accepted: numbers of descriptions, or none for those that were closed since.
fn clients(seen: &Seen, network: &Network, known: &Known<'_>) -> Vec<Option<u32>> {
    let mut clients = Vec::new();
    for waits in network.waiting(seen.stat.st_ino) {
        match network.peer(waits.local, waits.remote) {
            Peer::Open(it) => clients.extend(known(it.inode.into()).map(Some)),
            Peer::Closed(_) | Peer::Gone => clients.push(None),
            Peer::Waits(_) | Peer::Elsewhere => {}
        }
    }
    clients
}

fn connection(seen: &Seen, info: &Info) -> Result<Connection, Error> {
    let remote = calls::name(seen.copy(), true).map_err(seen.failed("getpeername"))?;
    let remote = remote.ok_or_else(|| seen.refused("it is connected to nobody"))?;
    Ok(Connection {
        remote: address(remote),
        ended: info.ended(),
        peer_ended: info.peer_ended(),
        timestamps: info.options & 1 != 0,
        selective: info.options & 2 != 0,
        scales: (info.options & 4 != 0).then_some(Scales { received: info.scales & 15, sent: info.scales >> 4 }),
        ..Connection::default()
    })
}

/// Reads what has arrived, and what is known of the connection by then.
fn arrived(seen: &Seen, info: &Info, connection: &mut Connection) -> Result<Vec<u8>, Error> {
    let failed = || seen.failed("read what it has received");
    for _ in 0..TRIES {
        let repair = enter(seen)?;
        let number = repair.sequence(Queue::Receive).map_err(failed())?;
        repair.choose(Queue::Receive).map_err(failed())?;
        let bytes = waiting(seen.copy()).map_err(failed())?;
        let window = repair.window().map_err(failed())?;
        if repair.sequence(Queue::Receive).map_err(failed())? != number || Info::of(seen)?.state != info.state {
            continue;
        }
        connection.received = number.wrapping_sub(info.peer_ended().into());
        let left = window.offered_at.wrapping_add(window.receive).wrapping_sub(connection.received).cast_signed();
        connection.window = left.max(0).cast_unsigned();
        connection.largest_window = window.largest;
        connection.segment = repair.segment().map_err(failed())?;
        connection.clock = repair::clock(seen.copy()).map_err(failed())?;
        return Ok(bytes);
    }
    Err(seen.refused("more arrives in it all the time; this passes"))
}
