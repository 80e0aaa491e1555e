//! Who is at the other end of a connection: all TCP sockets of a net namespace, as sock_diag(7) lists them, also those that
//! nobody has open.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use super::plain;
use crate::sys::diag::TcpSocket;

/// States (net/tcp_states.h).
pub(super) const ESTABLISHED: u8 = 1;
pub(super) const SYN_RECV: u8 = 3;
pub(super) const FIN_WAIT_1: u8 = 4;
pub(super) const FIN_WAIT_2: u8 = 5;
pub(super) const TIME_WAIT: u8 = 6;
pub(super) const CLOSE: u8 = 7;
pub(super) const CLOSE_WAIT: u8 = 8;
pub(super) const LAST_ACK: u8 = 9;
pub(super) const LISTEN: u8 = 10;
pub(super) const CLOSING: u8 = 11;
pub(super) const SYN_SENT: u8 = 2;

/// All TCP sockets of a net namespace.
#[derive(Debug, Default)]
pub struct Network {
    all: Vec<TcpSocket>,
    addresses: HashSet<IpAddr>,
}

/// The other end of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Peer<'n> {
    /// Somebody has it open.
    Open(&'n TcpSocket),
    /// It waits to be accepted.
    Waits(&'n TcpSocket),
    /// It was closed.
    Closed(&'n TcpSocket),
    /// There is none any more, though it was in this net namespace.
    Gone,
    /// It is elsewhere.
    Elsewhere,
}

impl Network {
    /// Of what [`crate::sys::diag::tcp`] lists.
    #[must_use]
    pub fn new(all: Vec<TcpSocket>) -> Self {
        let addresses = all.iter().map(|it| it.local.ip().to_canonical()).collect();
        Self { all, addresses }
    }

    /// The socket with that inode.
    #[must_use]
    pub fn socket(&self, inode: u64) -> Option<&TcpSocket> {
        self.all.iter().find(|it| inode != 0 && u64::from(it.inode) == inode)
    }

    /// Who is at the other end of a connection.
    #[must_use]
    pub fn peer(&self, local: SocketAddr, remote: SocketAddr) -> Peer<'_> {
        let (local, remote) = (plain(local), plain(remote));
        let ends = |it: &&TcpSocket| plain(it.local) == remote && plain(it.remote) == local;
        match self.all.iter().find(ends) {
            Some(it) if it.inode != 0 => Peer::Open(it),
            Some(it) if [ESTABLISHED, SYN_RECV, CLOSE_WAIT].contains(&it.state) => Peer::Waits(it),
            Some(it) => Peer::Closed(it),
            None if remote.ip().is_loopback() || self.addresses.contains(&remote.ip()) => Peer::Gone,
            None => Peer::Elsewhere,
        }
    }

    /// The connections that wait to be accepted by the listener with that inode, the first one first: by when they were made, as none has got anything.
    #[must_use]
    pub fn waiting(&self, inode: u64) -> Vec<&TcpSocket> {
        let mut waiting: Vec<_> = self.all.iter().filter(|it| self.accepts(it).is_some_and(|of| of == inode)).collect();
        // Of the same moment, whose other end was made first.
        let made = |it: &TcpSocket| match self.peer(it.local, it.remote) {
            Peer::Open(client) => client.inode,
            _ => 0,
        };
        waiting.sort_by_key(|it| (std::cmp::Reverse(it.idle), made(it)));
        waiting
    }

    /// The inode of the listener that will accept it, if it waits: that with its address before one with any.
    #[must_use]
    pub fn accepts(&self, waits: &TcpSocket) -> Option<u64> {
        if waits.inode != 0 || ![ESTABLISHED, SYN_RECV, CLOSE_WAIT].contains(&waits.state) {
            return None;
        }
        let local = plain(waits.local);
        let fits = |it: &&TcpSocket| {
            let ip = it.local.ip().to_canonical();
            it.state == LISTEN && it.local.port() == local.port() && (ip == local.ip() || ip.is_unspecified())
        };
        let found = self.all.iter().filter(fits).min_by_key(|it| it.local.ip().is_unspecified());
        found.map(|it| u64::from(it.inode))
    }
}

/// What waits to be read by who will accept it, in bytes.
#[must_use]
pub fn unread(waits: &TcpSocket) -> u32 {
    waits.received.saturating_sub(u32::from(waits.state == CLOSE_WAIT))
}

/// What a closed one still has to send that may not have arrived, in bytes.
#[must_use]
pub fn unsent(closed: &TcpSocket) -> u32 {
    match closed.state {
        TIME_WAIT | FIN_WAIT_2 | CLOSE => 0,
        // Its end counts too.
        _ => closed.unacknowledged.saturating_sub(1),
    }
}
