//! Unix sockets made of their records, all of a session together: they are connected to each other.
//!
//! Sockets are bound first, then connected: pairs without names by socketpair(2), others through a listener with the name that the
//! accepted end shows, which is the session's own where it still listens. Then the queues are filled by those who sent
//! them or, where these are gone, by others with their names; then connections that wait are made, directions
//! shut and options set.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::calls::Calls;
use super::place::Door;
use crate::objects::{Error, common};
use crate::record::sockets::{Message, UnixSocket, UnixState};
use crate::sys::unix;

const DATAGRAM: u32 = libc::SOCK_DGRAM as u32;
/// `SO_SNDBUF`, `SO_RCVBUF`: getsockopt(2) gives twice what setsockopt(2) got.
const DOUBLED: [u32; 2] = [7, 8];
/// Bytes of a stream that are sent at once.
const PIECE: usize = 32 << 10;

/// Sockets while they are made, by the numbers of their descriptions.
struct Work<'a, C> {
    records: HashMap<u32, &'a UnixSocket>,
    calls: &'a C,
    made: HashMap<u32, OwnedFd>,
    doors: HashMap<u32, Door>,
    /// The other ends of those whose peers are closed.
    ghosts: HashMap<u32, OwnedFd>,
    /// Listeners that are only for making connections, by name and type.
    helpers: HashMap<(Vec<u8>, u32), (OwnedFd, Door)>,
}

/// Makes all `records`. `find` gives other descriptions by their numbers, for those in flight. The result is by number.
///
/// # Errors
/// When a name is taken, the kernel refuses a call, or records contradict each other.
pub fn give<'d>(
    records: &[UnixSocket],
    calls: &impl Calls,
    find: impl Fn(u32) -> Option<BorrowedFd<'d>>,
) -> Result<HashMap<u32, OwnedFd>, Error> {
    let mut work = Work {
        records: records.iter().map(|record| (record.common.id, record)).collect(),
        calls,
        made: HashMap::new(),
        doors: HashMap::new(),
        ghosts: HashMap::new(),
        helpers: HashMap::new(),
    };
    let waiting: Vec<u32> = records.iter().flat_map(waiting).flatten().copied().collect();
    let order = |wanted: fn(&UnixSocket) -> bool| records.iter().filter(move |record| wanted(record));
    for record in order(|record| !matches!(record.state, UnixState::Connected { .. })) {
        work.alone(record)?;
    }
    for record in order(|record| matches!(record.state, UnixState::Connected { .. })) {
        if record.kind == DATAGRAM {
            work.datagram(record)?;
        } else if !waiting.contains(&record.common.id) {
            work.connected(record)?;
        }
    }
    for record in records {
        work.fill(record, &find)?;
    }
    for record in order(|record| record.kind == DATAGRAM) {
        work.connect_datagram(record)?;
    }
    for record in records {
        work.accept_later(record)?;
    }
    for record in records {
        work.finish(record)?;
    }
    Ok(work.made)
}

fn waiting(record: &UnixSocket) -> &[Option<u32>] {
    match &record.state {
        UnixState::Listening { waiting, .. } => waiting,
        _ => &[],
    }
}

fn failed(record: &UnixSocket, call: &'static str) -> impl FnOnce(io::Error) -> Error {
    let name = record.name.as_ref().map_or_else(|| "without a name".to_owned(), |name| name.escape_ascii().to_string());
    Error::given(format!("Unix socket {name} ({})", record.common.id), call)
}

fn refused(record: &UnixSocket, reason: &str) -> Error {
    failed(record, "make it")(io::Error::other(reason.to_owned()))
}

impl<C: Calls> Work<'_, C> {
    fn record(&self, id: u32) -> Option<&UnixSocket> {
        self.records.get(&id).copied()
    }

    fn socket(&self, record: &UnixSocket) -> Result<BorrowedFd<'_>, Error> {
        let made = self.made.get(&record.common.id).map(AsFd::as_fd);
        made.ok_or_else(|| refused(record, "it is not made yet"))
    }

    fn bind(&mut self, record: &UnixSocket, socket: OwnedFd) -> Result<(), Error> {
        if let Some(name) = &record.name {
            let place = record.place.as_ref().map(|place| &place[..]);
            let door = self.calls.bind(socket.as_fd(), name, place, record.mode).map_err(failed(record, "bind"))?;
            self.doors.insert(record.common.id, door);
        }
        self.made.insert(record.common.id, socket);
        Ok(())
    }

    /// One that is not connected.
    fn alone(&mut self, record: &UnixSocket) -> Result<(), Error> {
        let socket = self.calls.socket(record.kind).map_err(failed(record, "socket"))?;
        self.bind(record, socket)?;
        if let UnixState::Listening { backlog, .. } = record.state {
            let socket = self.socket(record)?;
            self.calls.listen(socket, backlog, record.peer.as_ref()).map_err(failed(record, "listen"))?;
        }
        Ok(())
    }

    /// A stream or SOCK_SEQPACKET with its peer, or with a stand-in for one that is closed.
    fn connected(&mut self, record: &UnixSocket) -> Result<(), Error> {
        if self.made.contains_key(&record.common.id) {
            return Ok(());
        }
        let UnixState::Connected { peer } = record.state else { return Ok(()) };
        let peer = peer.and_then(|id| self.record(id)).cloned();
        let peer_name = peer.as_ref().map_or(&record.peer_name, |peer| &peer.name).clone();
        let stand_in =
            UnixSocket { kind: record.kind, name: peer_name, peer: record.peer.clone(), ..UnixSocket::default() };
        let other = peer.as_ref().unwrap_or(&stand_in);
        let (ours, theirs) = match (&record.name, &other.name) {
            (None, None) => self.calls.pair(record.kind, record.peer.as_ref()).map_err(failed(record, "socketpair"))?,
            // The end that was accepted has the listener's name.
            (Some(name), None) => {
                let (theirs, ours) = self.accepted(name, other, record)?;
                (ours, theirs)
            }
            (Some(name), Some(_)) if self.listener(name, record.kind).is_some() => {
                let (theirs, ours) = self.accepted(name, other, record)?;
                (ours, theirs)
            }
            (_, Some(name)) => self.accepted(name, record, other)?,
        };
        self.made.insert(record.common.id, ours);
        match &peer {
            Some(peer) => self.made.insert(peer.common.id, theirs),
            None => self.ghosts.insert(record.common.id, theirs),
        };
        Ok(())
    }

    /// The session's own listener of that name.
    fn listener(&self, name: &[u8], kind: u32) -> Option<u32> {
        let listens = |it: &&&UnixSocket| {
            matches!(it.state, UnixState::Listening { .. }) && it.kind == kind && it.name.as_deref() == Some(name)
        };
        self.records.values().find(listens).map(|it| it.common.id)
    }

    /// A connection that `client` made to `name`: both ends.
    fn accepted(&mut self, name: &[u8], client: &UnixSocket, server: &UnixSocket) -> Result<(OwnedFd, OwnedFd), Error> {
        let socket = self.calls.socket(client.kind).map_err(failed(client, "socket"))?;
        if let Some(own) = &client.name {
            let place = client.place.as_ref().map(|place| &place[..]);
            let door = self.calls.bind(socket.as_fd(), own, place, client.mode).map_err(failed(client, "bind"))?;
            self.doors.insert(client.common.id, door);
        }
        let key = (name.to_vec(), client.kind);
        let own = self.listener(name, client.kind);
        if own.is_none() && !self.helpers.contains_key(&key) {
            let helper = self.calls.socket(client.kind).map_err(failed(server, "socket"))?;
            let door = self.calls.bind(helper.as_fd(), name, None, 0).map_err(failed(server, "bind"))?;
            self.calls.listen(helper.as_fd(), 1, client.peer.as_ref()).map_err(failed(server, "listen"))?;
            self.helpers.insert(key.clone(), (helper, door));
        }
        let own = own.and_then(|id| Some((self.made.get(&id)?, self.doors.get(&id)?)));
        let helper = || self.helpers.get(&key).map(|(helper, door)| (helper, door));
        let (listener, door) = own.or_else(helper).ok_or_else(|| refused(server, "its listener is missing"))?;
        self.calls.connect(socket.as_fd(), door, server.peer.as_ref()).map_err(failed(client, "connect"))?;
        let accepted = unix::accept(listener.as_fd()).map_err(failed(server, "accept"))?;
        Ok((socket, accepted))
    }

    /// A datagram socket that is connected; it is bound, and connected later unless it is one of a pair.
    fn datagram(&mut self, record: &UnixSocket) -> Result<(), Error> {
        if self.made.contains_key(&record.common.id) {
            return Ok(());
        }
        let UnixState::Connected { peer } = record.state else { return Ok(()) };
        let peer = peer.and_then(|id| self.record(id)).cloned();
        let unnamed = peer.as_ref().map_or(record.peer_name.is_none(), |peer| peer.name.is_none());
        if !unnamed {
            let socket = self.calls.socket(record.kind).map_err(failed(record, "socket"))?;
            return self.bind(record, socket);
        }
        // Only socketpair(2) connects to one without a name.
        let (ours, theirs) =
            self.calls.pair(record.kind, record.peer.as_ref()).map_err(failed(record, "socketpair"))?;
        match &peer {
            Some(peer) if peer.state == (UnixState::Connected { peer: Some(record.common.id) }) => {
                self.bind(peer, theirs)?;
            }
            Some(_) => return Err(refused(record, "it is connected to a socket that has no name and is not its pair")),
            None => drop(self.ghosts.insert(record.common.id, theirs)),
        }
        self.bind(record, ours)
    }

    fn connect_datagram(&mut self, record: &UnixSocket) -> Result<(), Error> {
        let UnixState::Connected { peer } = record.state else { return Ok(()) };
        let peer = peer.and_then(|id| self.record(id));
        let socket = self.socket(record)?;
        if unix::name(socket, true).is_ok() {
            return Ok(());
        }
        let connect =
            |door: &Door| self.calls.connect(socket, door, record.peer.as_ref()).map_err(failed(record, "connect"));
        match (peer, &record.peer_name) {
            (Some(peer), _) => {
                let door = self.doors.get(&peer.common.id).ok_or_else(|| refused(record, "its peer has no name"))?;
                connect(door)
            }
            // A socket with the name of the one that is closed, closed again.
            (None, Some(name)) => {
                let helper = self.calls.socket(record.kind).map_err(failed(record, "socket"))?;
                let door = self.calls.bind(helper.as_fd(), name, None, 0).map_err(failed(record, "bind"))?;
                connect(&door)
            }
            (None, None) => Err(refused(record, "its peer is missing")),
        }
    }

    /// Puts in what waits.
    fn fill<'d>(&mut self, record: &UnixSocket, find: &impl Fn(u32) -> Option<BorrowedFd<'d>>) -> Result<(), Error> {
        for message in record.queue.iter() {
            let rights: Option<Vec<BorrowedFd<'_>>> =
                message.rights.iter().map(|id| self.made.get(id).map(AsFd::as_fd).or_else(|| find(*id))).collect();
            let rights = rights.ok_or_else(|| refused(record, "a descriptor in flight is missing"))?;
            let (helper, to);
            let (from, to) = match self.sender(record, message)? {
                Some(from) => (from, None),
                None => {
                    (helper, to) = self.helper(record, message)?;
                    (helper.as_fd(), Some(to))
                }
            };
            let mut rest = &message.bytes[..];
            let mut rights = &rights[..];
            loop {
                let part = if record.kind == libc::SOCK_STREAM as u32 { rest.len().min(PIECE) } else { rest.len() };
                let sent = self.calls.send(from, to, &rest[..part], rights, message.sender.as_ref());
                let sent = sent.map_err(failed(record, "send what waited in it"))?;
                // Descriptors come with the first byte.
                (rest, rights) = (rest.get(sent..).unwrap_or_default(), &[]);
                if rest.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Who sends what waited: the peer, or the socket of that name.
    fn sender(&self, record: &UnixSocket, message: &Message) -> Result<Option<BorrowedFd<'_>>, Error> {
        let id = record.common.id;
        let peer = match record.state {
            UnixState::Connected { peer: Some(peer) } => self.made.get(&peer),
            _ => None,
        };
        let from = peer.or_else(|| self.ghosts.get(&id));
        let Some(from) = from.filter(|from| unix::name(from.as_fd(), true).is_ok()) else { return Ok(None) };
        let same = record.kind != DATAGRAM
            || unix::name(from.as_fd(), false).map_err(failed(record, "getsockname"))?.as_deref()
                == message.name.as_deref();
        Ok(same.then(|| from.as_fd()))
    }

    /// A socket with the sender's name, and the way to whom it sends.
    fn helper(&self, record: &UnixSocket, message: &Message) -> Result<(OwnedFd, &Door), Error> {
        let door = self.doors.get(&record.common.id).filter(|_| record.kind == DATAGRAM);
        let door = door.ok_or_else(|| refused(record, "nobody can send what waited in it"))?;
        if let Some(name) = &message.name {
            // An abstract name may be in use: then its holder sends.
            let named = self.records.values().find(|it| it.name.as_ref() == Some(name) && it.kind == DATAGRAM);
            if let Some(holder) = named.and_then(|it| self.made.get(&it.common.id)) {
                return Ok((crate::sys::descriptor::copy(holder).map_err(failed(record, "fcntl"))?, door));
            }
        }
        let helper = self.calls.socket(record.kind).map_err(failed(record, "socket"))?;
        if let Some(name) = &message.name {
            self.calls.bind(helper.as_fd(), name, None, 0).map_err(failed(record, "bind"))?;
        }
        Ok((helper, door))
    }

    fn door(&self, listener: &UnixSocket) -> Result<&Door, Error> {
        self.doors.get(&listener.common.id).ok_or_else(|| refused(listener, "it listens without a name"))
    }

    /// Connections that wait to be accepted.
    fn accept_later(&mut self, record: &UnixSocket) -> Result<(), Error> {
        for client in waiting(record) {
            let client = client.and_then(|id| self.record(id)).cloned();
            let socket = self.calls.socket(record.kind).map_err(failed(record, "socket"))?;
            // Its own peer is who listens; who accepts will see who has it.
            let who = client.as_ref().and_then(|client| self.calls.holder(client.common.id));
            match client {
                Some(client) => {
                    self.bind(&client, socket)?;
                    let (socket, door) = (self.socket(&client)?, self.door(record)?);
                    self.calls.connect(socket, door, who.as_ref()).map_err(failed(&client, "connect"))?;
                }
                // Its client is closed by now.
                None => {
                    self.calls.connect(socket.as_fd(), self.door(record)?, None).map_err(failed(record, "connect"))?;
                }
            }
        }
        Ok(())
    }

    /// What is left: the end of peers that are closed, directions, options, flags.
    fn finish(&mut self, record: &UnixSocket) -> Result<(), Error> {
        let ghost = self.ghosts.remove(&record.common.id);
        let socket = self.socket(record)?;
        if let Some(ghost) = ghost {
            if record.reset {
                // What it had not read when it was closed.
                unix::send(socket, None, b"x", &[], None).map_err(failed(record, "send"))?;
            }
            drop(ghost);
        } else if record.reset {
            return Err(refused(record, "an error waits in it that only a peer can bring about"));
        }
        for (bit, how) in [(1, libc::SHUT_RD), (2, libc::SHUT_WR)] {
            let is_closed = record.state == (UnixState::Connected { peer: None });
            if record.shutdown & bit != 0 && !(is_closed && record.kind != DATAGRAM) {
                unix::shutdown(socket, how).map_err(failed(record, "shutdown"))?;
            }
        }
        for option in record.options.iter() {
            let mut value = option.value.to_vec();
            if DOUBLED.contains(&option.name)
                && let Ok(bytes) = <[u8; 4]>::try_from(&value[..])
            {
                value = (i32::from_ne_bytes(bytes) / 2).to_ne_bytes().to_vec();
            }
            unix::set_option(socket, option.name, &value).map_err(failed(record, "setsockopt"))?;
            if unix::option(socket, option.name).ok().as_deref() != Some(&option.value[..]) {
                return Err(refused(record, &format!("option {} cannot be set to {:?}", option.name, option.value)));
            }
        }
        common::give(socket, &record.common).map_err(failed(record, "F_SETFL"))
    }
}
