//! Unix sockets: names, peers, queues with descriptors in flight, and connections that wait to be accepted.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`queue`] | what waits to be read, looked at without being taken |
//! | [`place`] | names in the file system |
//! | [`calls`] | the calls that depend on who makes them |
//! | [`give`] | sockets made of their records, all together |

pub mod calls;
pub mod give;
pub mod place;
pub mod queue;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::{Error, Finding, Seen, common, fit};
use crate::record::sockets::{Message, Sender, SocketOption, UnixSocket, UnixState};
use crate::sys::diag::{self, Socket};
use crate::sys::{descriptor, unix};

/// `TCP_LISTEN` (net/tcp_states.h), for Unix sockets too.
const LISTENS: u8 = 10;
/// Options that are recorded where they differ from those of a new socket (asm-generic/socket.h): SO_BROADCAST, SO_SNDBUF, SO_RCVBUF,
/// SO_KEEPALIVE, SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_PASSCRED, SO_RCVLOWAT, SO_RCVTIMEO, SO_SNDTIMEO, SO_TIMESTAMP,
/// SO_PASSSEC, SO_TIMESTAMPNS, SO_PEEK_OFF, SO_PASSPIDFD, SO_PASSRIGHTS.
const OPTIONS: [u32; 17] = [6, 7, 8, 9, 10, 12, 13, 16, 18, 20, 21, 29, 34, 35, 42, 76, 83];

/// What a socket refers to in the session.
pub trait Session {
    /// The number of the description of the socket with that inode; None: nobody in the session has it.
    fn socket(&self, inode: u32) -> Option<u32>;

    /// Where the file of a socket is, and its permissions; its inode and device are those that the kernel's diagnosis shows. `name`
    /// is what it was bound to. None: nowhere any more.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn file(&mut self, seen: &Seen, name: &[u8], device: u32, inode: u32) -> Result<Option<(Vec<u8>, u32)>, Error>;

    /// The number of a description in flight.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn in_flight(&mut self, descriptor: OwnedFd) -> Result<u32, Error>;
}

fn found<'a>(seen: &Seen, all: &'a BTreeMap<u32, Socket>) -> Result<&'a Socket, Error> {
    let inode = u32::try_from(seen.stat.st_ino).ok();
    inode.and_then(|inode| all.get(&inode)).ok_or_else(|| seen.refused("it is no Unix socket of this net namespace"))
}

/// What would be lost. `all`: what [`diag::sockets`] says in the socket's net namespace.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen, all: &BTreeMap<u32, Socket>, session: &impl Session) -> Result<Option<Finding>, Error> {
    let socket = found(seen, all)?;
    if socket.peer.is_some_and(|peer| session.socket(peer).is_none()) {
        return Ok(Some(seen.finding("it is connected to a process outside of the session")));
    }
    let events = descriptor::ready(seen.copy(), libc::POLLPRI).map_err(seen.failed("poll"))?;
    if events & libc::POLLPRI != 0 {
        return Ok(Some(seen.finding("a byte out of band (MSG_OOB) waits in it")));
    }
    if !waits(socket) {
        return Ok(None);
    }
    let inode = u32::try_from(seen.stat.st_ino).unwrap_or(0);
    let mut listeners = all.iter().filter(|(_, other)| other.waiting.contains(&inode));
    if !listeners.any(|(listener, _)| session.socket(*listener).is_some()) {
        return Ok(Some(seen.finding("it waits to be accepted by a process outside of the session")));
    }
    let unread = unix::unread(seen.copy()).map_err(seen.failed("SIOCOUTQ"))?;
    // Nobody can look at that.
    Ok((unread > 0).then(|| seen.passing(EARLY)))
}

const EARLY: &str = "it has sent what its peer will read after it has accepted the connection";

/// Whether its connection has not been accepted yet.
fn waits(socket: &Socket) -> bool {
    let stream = u32::from(socket.kind) != libc::SOCK_DGRAM as u32;
    stream && socket.state == 1 && socket.peer.is_none() && socket.shutdown != 3
}

/// Its record; the number in the snapshot is `id`. `all`: what [`diag::sockets`] says in the socket's net namespace.
///
/// # Errors
/// When it is connected to the world outside, something in it cannot be looked at, or the kernel does not answer.
pub fn take(
    seen: &Seen,
    id: u32,
    all: &BTreeMap<u32, Socket>,
    session: &mut impl Session,
) -> Result<UnixSocket, Error> {
    if let Some(finding) = look(seen, all, session)? {
        return Err(seen.refused(finding.lost));
    }
    let socket = found(seen, all)?;
    let kind = u32::from(socket.kind);
    let name = unix::name(seen.copy(), false).map_err(seen.failed("getsockname"))?;
    let file = match (&name, socket.file) {
        (Some(name), Some((inode, device))) => session.file(seen, name, device, inode)?,
        _ => None,
    };
    let peer_name = match unix::name(seen.copy(), true) {
        Ok(name) => Some(name),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => None,
        Err(error) => return Err(seen.failed("getpeername")(error)),
    };
    let state = if socket.state == LISTENS {
        let waiting: Vec<_> = socket.waiting.iter().map(|inode| session.socket(*inode)).collect();
        UnixState::Listening { backlog: socket.backlog, waiting: fit(seen, "connections that wait", waiting)? }
    } else if peer_name.is_some() {
        UnixState::Connected { peer: socket.peer.and_then(|inode| session.socket(inode)) }
    } else {
        UnixState::Alone
    };
    let mut queue = Vec::new();
    let (reset, waiting) = queued(seen, socket)?;
    for message in waiting {
        let mut rights = Vec::new();
        for descriptor in message.rights {
            rights.push(session.in_flight(descriptor)?);
        }
        queue.push(Message {
            bytes: fit(seen, "a message", message.bytes)?,
            rights: fit(seen, "descriptors in flight", rights)?,
            sender: message.credentials.map(sender),
            name: message.sender.map(|name| fit(seen, "a name", name)).transpose()?,
        });
    }
    let closed = state == UnixState::Connected { peer: None };
    let peer = unix::peer_credentials(seen.copy()).map_err(seen.failed("SO_PEERCRED"))?;
    let (place, mode) = file.unzip();
    Ok(UnixSocket {
        common: common::take(seen, id)?,
        kind,
        name: name.map(|name| fit(seen, "its name", name)).transpose()?,
        place: place.map(|place| fit(seen, "its path", place)).transpose()?,
        mode: mode.unwrap_or(0),
        state,
        peer_name: peer_name.flatten().filter(|_| closed).map(|name| fit(seen, "a name", name)).transpose()?,
        // Nobody: no process has been asked.
        peer: (peer.user != u32::MAX).then(|| sender(peer)),
        shutdown: socket.shutdown,
        reset,
        queue: fit(seen, "what waits in it", queue)?,
        options: fit(seen, "its options", options(seen, kind)?)?,
    })
}

/// Whether an error waits in it, and the messages that wait.
fn queued(seen: &Seen, socket: &Socket) -> Result<(bool, Vec<unix::Message>), Error> {
    let kind = u32::from(socket.kind);
    let events = descriptor::ready(seen.copy(), libc::POLLIN).map_err(seen.failed("poll"))?;
    let reset = events & libc::POLLERR != 0;
    if socket.state == LISTENS || events & libc::POLLIN == 0 {
        return Ok((reset, Vec::new()));
    }
    if reset && kind != libc::SOCK_STREAM as u32 {
        // There, every look takes the error first.
        let waiting = rustix::io::ioctl_fionread(seen.copy()).map_err(|error| seen.failed("FIONREAD")(error.into()))?;
        if waiting > 0 {
            return Err(
                seen.refused("an error waits in it (ECONNRESET) and messages behind it, which cannot be looked at")
            );
        }
        return Ok((reset, Vec::new()));
    }
    Ok((reset, queue::read(seen.copy(), kind).map_err(seen.failed("look at what waits in it"))?))
}

/// The descriptors that are in flight to it.
///
/// # Errors
/// As [`take`].
pub fn in_flight(seen: &Seen, all: &BTreeMap<u32, Socket>) -> Result<Vec<OwnedFd>, Error> {
    let (_, messages) = queued(seen, found(seen, all)?)?;
    Ok(messages.into_iter().flat_map(|message| message.rights).collect())
}

fn sender(who: unix::Credentials) -> Sender {
    Sender { pid: who.pid.cast_unsigned(), user: who.user, group: who.group }
}

fn options(seen: &Seen, kind: u32) -> Result<Vec<SocketOption>, Error> {
    let new = unix::socket(kind).map_err(seen.failed("socket"))?;
    let mut options = Vec::new();
    for name in OPTIONS {
        // One that this kernel does not know.
        let Ok(value) = unix::option(seen.copy(), name) else { continue };
        if unix::option(std::os::fd::AsFd::as_fd(&new), name).ok().as_ref() != Some(&value) {
            options.push(SocketOption { name, value: fit(seen, "an option", value)? });
        }
    }
    Ok(options)
}

/// All Unix sockets of this thread's net namespace.
///
/// # Errors
/// When the kernel does not answer.
pub fn diagnosis() -> std::io::Result<BTreeMap<u32, Socket>> {
    diag::sockets(std::os::fd::AsFd::as_fd(&diag::open()?))
}
