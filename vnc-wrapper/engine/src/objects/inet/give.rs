//! TCP sockets made of their records, all of a session together: they are connected to each other.
//!
//! ```text
//! bind      all of them, in repair mode, which asks nobody whether a port is free
//! listen    with room for all that waits
//! join      both ends of each connection, with what they have received; nothing is sent yet
//! send      what had not arrived, then ends of streams
//! wait      connections that are not accepted yet
//! options
//! ```
//!
//! The other end of a connection that was closed, or is outside of the session, is made for the time of the making: it closes the
//! connection as the session's end has it, or resets it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::super::{Error, common};
use super::join::{End, end, join, send, wait_for};
use super::repair::Repair;
use super::{Makes, SOCKET, address, begin, bind, give_buffers, give_interface, loopback, options, place, set_buffer};
use crate::record::inet::{Connection, Scales, TcpSocket, TcpState};
use crate::sys::{inet as calls, unix};

/// How many connections may wait while they are made; `net.core.somaxconn` is not above it.
const BACKLOG: u32 = 65_535;
/// How much an end takes that is there for a while.
const WINDOW: u32 = 65_535;
const SEGMENT: u32 = 1460;
/// Two of the kernel's longest ticks (CONFIG_HZ_100).
const TICKS: Duration = Duration::from_millis(20);

struct Work<'a, M> {
    records: BTreeMap<u32, &'a TcpSocket>,
    makes: &'a M,
    made: HashMap<u32, OwnedFd>,
}

/// Makes all `records`; the result is by number.
///
/// # Errors
/// When the kernel refuses a call, or records contradict each other.
pub fn give(records: &[TcpSocket], makes: &impl Makes) -> Result<HashMap<u32, OwnedFd>, Error> {
    let all = records.iter().map(|record| (record.common.id, record)).collect();
    let mut work = Work { records: all, makes, made: HashMap::new() };
    for record in records {
        let made = work.bound(record).map_err(failed(record, "make and bind it"))?;
        work.made.insert(record.common.id, made);
    }
    for record in records {
        work.listen(record).map_err(failed(record, "listen"))?;
    }
    let mut waiting: Vec<u32> = Vec::new();
    for record in records {
        waiting.extend(clients(record).iter().flatten());
    }
    let pairs = work.pairs();
    for (one, two) in &pairs {
        work.join(one, two).map_err(failed(one, "connect it as it was"))?;
    }
    for record in records.iter().filter(|record| !waiting.contains(&record.common.id)) {
        work.join_alone(record).map_err(failed(record, "connect it as it was"))?;
    }
    for (one, two) in &pairs {
        work.go_on(one, two).map_err(failed(one, "send what had not arrived"))?;
    }
    for record in records {
        work.waits(record).map_err(failed(record, "have connections wait"))?;
    }
    for record in records {
        work.connecting(record).map_err(failed(record, "connect"))?;
    }
    for record in records {
        work.finish(record).map_err(failed(record, "make it as it was"))?;
    }
    Ok(work.made)
}

fn failed(record: &TcpSocket, call: &'static str) -> impl FnOnce(io::Error) -> Error {
    let name = record.inet.local.as_ref().map_or_else(|| "that is not bound".to_owned(), |at| place(at).to_string());
    Error::given(format!("TCP socket {name} ({})", record.common.id), call)
}

fn clients(record: &TcpSocket) -> &[Option<u32>] {
    match &record.state {
        TcpState::Listening { waiting, .. } => waiting,
        _ => &[],
    }
}

fn connection(record: &TcpSocket) -> Option<&Connection> {
    match &record.state {
        TcpState::Connected { connection, .. } => Some(connection),
        _ => None,
    }
}

impl<'a, M: Makes> Work<'a, M> {
    fn socket(&self, record: &TcpSocket) -> io::Result<BorrowedFd<'_>> {
        self.made.get(&record.common.id).map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A new one, bound.
    fn bound(&self, record: &TcpSocket) -> io::Result<OwnedFd> {
        let made = begin(&record.inet, libc::SOCK_STREAM, libc::IPPROTO_TCP, self.makes)?;
        // Until the program's own setting is given: what was bound once can listen.
        calls::set_number(made.as_fd(), SOCKET, libc::SO_REUSEADDR, 1)?;
        if let Some(local) = &record.inet.local {
            let anywhere = matches!(
                record.state,
                TcpState::Connected { outside: true, .. }
                    | TcpState::Failed
                    | TcpState::Over { .. }
                    | TcpState::Connecting { .. }
            );
            // Without the right to it, in a net namespace that is not the session's own, a free port has to do.
            let _repair = Repair::begin(made.as_fd()).ok();
            bind(made.as_fd(), record.inet.family, place(local), anywhere)?;
        }
        give_interface(made.as_fd(), &record.inet)?;
        Ok(made)
    }

    fn listen(&self, record: &TcpSocket) -> io::Result<()> {
        let TcpState::Listening { backlog, waiting } = &record.state else { return Ok(()) };
        let socket = self.socket(record)?;
        // Some of them are for the connections that it will have.
        let reuse = |it: &&crate::record::inet::InetOption| (it.level, it.name) != (SOCKET, libc::SO_REUSEADDR);
        let early: Vec<_> = record.inet.options.iter().filter(reuse).cloned().collect();
        options::give(socket, &early)?;
        give_buffers(socket, &record.inet)?;
        unix::listen(socket, if waiting.is_empty() { *backlog } else { BACKLOG })
    }

    /// The connections of which the session has both ends, each once.
    fn pairs(&self) -> Vec<(&'a TcpSocket, &'a TcpSocket)> {
        let pair = |(id, one): (&u32, &&'a TcpSocket)| {
            let TcpState::Connected { peer: Some(peer), .. } = &one.state else { return None };
            (id < peer).then_some((*one, *self.records.get(peer)?))
        };
        self.records.iter().filter_map(pair).collect()
    }

    fn end_of<'e>(&'e self, record: &'e TcpSocket) -> io::Result<End<'e>> {
        let connection = connection(record).ok_or(io::ErrorKind::InvalidData)?;
        let remote = place(&connection.remote);
        Ok(End { socket: self.socket(record)?, remote, connection, waiting: &record.received })
    }

    fn join(&self, one: &TcpSocket, two: &TcpSocket) -> io::Result<()> {
        join(&self.end_of(one)?, &self.end_of(two)?)
    }

    /// Has both ends of a connection send what the other lacks, and their ends.
    fn go_on(&self, one: &TcpSocket, two: &TcpSocket) -> io::Result<()> {
        let (first, second) = (self.end_of(one)?, self.end_of(two)?);
        for (end, other, record) in [(&first, &second, one), (&second, &first, two)] {
            self.send_rest(end.socket, record, end.left(other))?;
        }
        let mut both = [(&first, &second), (&second, &first)];
        // Who ended first.
        both.sort_by_key(|(of, _)| of.connection.peer_ended);
        for (of, other) in both.into_iter().filter(|(of, _)| of.connection.ended) {
            end(of.socket)?;
            if other.connection.peer_ended {
                wait_for(other.socket, libc::POLLRDHUP)?;
            }
        }
        Ok(())
    }

    fn send_rest(&self, socket: BorrowedFd<'_>, record: &TcpSocket, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let wanted = record.inet.send_buffer;
        if calls::number(socket, SOCKET, libc::SO_SNDBUF)?.cast_unsigned() < wanted {
            set_buffer(socket, libc::SO_SNDBUF, wanted)?;
            calls::set_number(socket, SOCKET, super::BUFFER_LOCK, 0)?;
        }
        send(socket, bytes)
    }

    /// Another socket that is there for a while, bound to `to` or, where that is not here, to the loopback.
    fn stand_in(&self, near: SocketAddr, to: Option<SocketAddr>) -> io::Result<(OwnedFd, SocketAddr)> {
        let family = if near.ip().to_canonical().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u32;
        let made = self.makes.socket(family, libc::SOCK_STREAM as u32, libc::IPPROTO_TCP as u32, (0, 0))?;
        let any = SocketAddr::new(loopback(family, Some(near)), 0);
        {
            let _repair = to.map(|_| Repair::begin(made.as_fd())).transpose()?;
            let bound = to.map(|to| calls::bind(made.as_fd(), super::plain(to)));
            if bound.is_none_or(|bound| bound.is_err()) {
                calls::bind(made.as_fd(), any)?;
            }
        }
        let at = calls::name(made.as_fd(), false)?.ok_or(io::ErrorKind::InvalidData)?;
        Ok((made, at))
    }

    /// Connects an end whose other one is not in the session, and has that close the connection or reset it.
    fn join_alone(&self, record: &TcpSocket) -> io::Result<()> {
        let socket = self.socket(record)?;
        match &record.state {
            TcpState::Connected { peer: None, outside, connection } => {
                let to = (!outside).then(|| place(&connection.remote));
                let stand_in = self.connect_stand_in(record, connection, to)?;
                if *outside {
                    return reset(&stand_in, socket);
                }
                close(&stand_in)?;
                if connection.peer_ended {
                    wait_for(socket, libc::POLLRDHUP)?;
                }
                let rest = self.send_rest(socket, record, &connection.unacknowledged);
                let done = rest.and_then(|()| if connection.ended { end(socket) } else { Ok(()) });
                // A closed end resets a connection by which it gets something.
                let gone = [libc::EPIPE, libc::ECONNRESET, libc::ENOTCONN].map(Some);
                done.or_else(|error| if gone.contains(&error.raw_os_error()) { Ok(()) } else { Err(error) })
            }
            TcpState::Over { reset: was_reset } => {
                // By what was agreed on shows that it was connected.
                let nothing = Connection { selective: true, ..Connection::default() };
                let stand_in = self.connect_stand_in(record, &nothing, None)?;
                if *was_reset {
                    return reset(&stand_in, socket);
                }
                close(&stand_in)?;
                wait_for(socket, libc::POLLRDHUP)?;
                end(socket)?;
                wait_for(socket, libc::POLLHUP)
            }
            TcpState::Failed => self.fail(record),
            _ => Ok(()),
        }
    }

    /// The other end of a connection of the session's, bound to `to` or somewhere.
    fn connect_stand_in(
        &self,
        record: &TcpSocket,
        connection: &Connection,
        to: Option<SocketAddr>,
    ) -> io::Result<OwnedFd> {
        let socket = self.socket(record)?;
        // Where it was bound to: its own address may not be there any more.
        let local = calls::name(socket, false)?.filter(|local| !local.ip().is_unspecified());
        let near = to.or(local).unwrap_or_else(|| SocketAddr::new(loopback(record.inet.family, None), 0));
        if local.is_none() {
            calls::bind(socket, SocketAddr::new(loopback(record.inet.family, None), 0))?;
        }
        let local = calls::name(socket, false)?.ok_or(io::ErrorKind::InvalidData)?;
        let (stand_in, at) = self.stand_in(near, to)?;
        let remote = to.unwrap_or_else(|| mapped(at, record.inet.family));
        let segment = if connection.segment == 0 { SEGMENT } else { connection.segment };
        let ours = Connection { window: connection.window.max(WINDOW), segment, ..connection.clone() };
        let theirs = Connection {
            remote: address(local),
            sent: ours.received,
            received: ours.sent.wrapping_sub(ours.unacknowledged.len() as u32),
            window: WINDOW,
            scales: ours.scales.as_ref().map(|it| Scales { received: it.sent, sent: it.received }),
            unacknowledged: Default::default(),
            ..ours.clone()
        };
        let one = End { socket, remote, connection: &ours, waiting: &record.received };
        let two = End { socket: stand_in.as_fd(), remote: super::plain(local), connection: &theirs, waiting: &[] };
        join(&one, &two)?;
        Ok(stand_in)
    }

    /// Has it try to connect once more, when all that waits before it is there.
    fn connecting(&self, record: &TcpSocket) -> io::Result<()> {
        let TcpState::Connecting { to } = &record.state else { return Ok(()) };
        match calls::connect(self.socket(record)?, place(to)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => self.fail(record),
            _ => Ok(()),
        }
    }

    /// Has it try to connect to where nobody listens.
    fn fail(&self, record: &TcpSocket) -> io::Result<()> {
        let socket = self.socket(record)?;
        let near = SocketAddr::new(loopback(record.inet.family, record.inet.local.as_ref().map(place)), 0);
        let (_held, at) = self.stand_in(near, None)?;
        // Not waited for: the error comes with the answer.
        let _ = calls::connect(socket, mapped(at, record.inet.family));
        wait_for(socket, libc::POLLERR)
    }

    /// Has those connect that wait to be accepted, in order.
    fn waits(&self, record: &TcpSocket) -> io::Result<()> {
        let TcpState::Listening { backlog, waiting } = &record.state else { return Ok(()) };
        if waiting.is_empty() {
            return Ok(());
        }
        let own = record.inet.local.as_ref().map(place).ok_or(io::ErrorKind::InvalidData)?;
        for client in waiting.iter() {
            // The next save finds their order by when they came, in ticks of the kernel.
            std::thread::sleep(TICKS);
            let Some(client) = client.and_then(|id| self.records.get(&id)) else {
                let ip = if own.ip().is_unspecified() { loopback(record.inet.family, None) } else { own.ip() };
                let to = super::plain(SocketAddr::new(ip, own.port()));
                let (closed, _) = self.stand_in(to, None)?;
                connect(closed.as_fd(), to)?;
                close(&closed)?;
                continue;
            };
            let (socket, own) = (self.socket(client)?, connection(client).ok_or(io::ErrorKind::InvalidData)?);
            connect(socket, place(&own.remote))?;
            self.send_rest(socket, client, &own.unacknowledged)?;
            if own.ended {
                end(socket)?;
            }
        }
        unix::listen(self.socket(record)?, *backlog)
    }

    fn finish(&self, record: &TcpSocket) -> io::Result<()> {
        let socket = self.socket(record)?;
        options::give(socket, &record.inet.options)?;
        give_buffers(socket, &record.inet)?;
        if record.deaf {
            unix::shutdown(socket, libc::SHUT_RD)?;
        }
        common::give(socket, &record.common)
    }
}

/// An address as a socket of that family connects to it.
fn mapped(to: SocketAddr, family: u32) -> SocketAddr {
    match (to, family == libc::AF_INET6 as u32) {
        (SocketAddr::V4(it), true) => SocketAddr::new(it.ip().to_ipv6_mapped().into(), it.port()),
        _ => to,
    }
}

/// connect(2), and waits for the answer.
fn connect(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    match calls::connect(socket, to) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => wait_for(socket, libc::POLLOUT),
        other => other,
    }
}

/// Closes an end, which takes nothing more. Shut first: a copy of its descriptor in another process would keep it open.
fn close(stand_in: &OwnedFd) -> io::Result<()> {
    unix::shutdown(stand_in.as_fd(), libc::SHUT_RDWR)
}

/// Closes an end so that the other one finds its connection reset.
fn reset(stand_in: &OwnedFd, socket: BorrowedFd<'_>) -> io::Result<()> {
    // Not closed: a copy of its descriptor in another process would keep it open.
    calls::disconnect(stand_in.as_fd())?;
    wait_for(socket, libc::POLLERR | libc::POLLHUP)
}
