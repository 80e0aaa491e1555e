//! The calls that make sockets and depend on who makes them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::place::{self, Door};
use crate::record::sockets::Sender;
use crate::sys::unix::{self, Credentials};

/// The calls that depend on who makes them, and where. What is here makes them in this process: SO_PEERCRED then shows it.
pub trait Calls {
    /// socket(2), in the net namespace that is meant.
    ///
    /// # Errors
    /// Those of the call.
    fn socket(&self, kind: u32) -> io::Result<OwnedFd> {
        unix::socket(kind)
    }

    /// socketpair(2), as who the peers show.
    ///
    /// # Errors
    /// Those of the call.
    fn pair(&self, kind: u32, who: Option<&Sender>) -> io::Result<(OwnedFd, OwnedFd)> {
        let _ = who;
        unix::pair(kind)
    }

    /// bind(2); see [`place::bind`].
    ///
    /// # Errors
    /// Those of the call.
    fn bind(&self, socket: BorrowedFd<'_>, name: &[u8], place: Option<&[u8]>, mode: u32) -> io::Result<Door> {
        place::bind(socket, name, place, mode)
    }

    /// listen(2), as who those show that connect.
    ///
    /// # Errors
    /// Those of the call.
    fn listen(&self, socket: BorrowedFd<'_>, backlog: u32, who: Option<&Sender>) -> io::Result<()> {
        let _ = who;
        unix::listen(socket, backlog)
    }

    /// Who has the socket with that number, and so has made what can be seen of it by its peer alone.
    fn holder(&self, id: u32) -> Option<Sender> {
        let _ = id;
        None
    }

    /// connect(2), as who the other end shows. Waits for nothing.
    ///
    /// # Errors
    /// Those of the call.
    fn connect(&self, socket: BorrowedFd<'_>, door: &Door, who: Option<&Sender>) -> io::Result<()> {
        let _ = who;
        unix::connect(socket, &door.name())
    }

    /// sendmsg(2) to another or to the peer, with descriptors, as who the message shows. Returns how many bytes were taken.
    ///
    /// # Errors
    /// Those of the call; EPERM for somebody that this process may not speak for.
    fn send(
        &self,
        socket: BorrowedFd<'_>,
        to: Option<&Door>,
        bytes: &[u8],
        rights: &[BorrowedFd<'_>],
        who: Option<&Sender>,
    ) -> io::Result<usize> {
        let who = who.map(|who| Credentials { pid: who.pid.cast_signed(), user: who.user, group: who.group });
        unix::send(socket, to.map(Door::name).as_deref(), bytes, rights, who)
    }
}

/// Calls of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

impl Calls for Here {}
