//! Sockets, what is queued in them, and what waits to be accepted.

use super::objects::Common;
use super::wire::{Bytes, List, choice, fields};

fields! {
    /// A Unix socket (unix(7), sock_diag(7)). A socket has one open file description.
    pub struct UnixSocket {
        /// What every description has.
        pub common: Common,
        /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
        pub kind: u32,
        /// What it is bound to, as in `sun_path`; abstract names begin with a zero.
        pub name: Option<Bytes<108>>,
        /// Where its file is now, as a path in the session; none: it has none, or no more.
        pub place: Option<Bytes<4096>>,
        /// Permissions of its file.
        pub mode: u32,
        /// Whom it is connected to.
        pub state: UnixState,
        /// The name of a peer that is closed.
        pub peer_name: Option<Bytes<108>>,
        /// SO_PEERCRED.
        pub peer: Option<Sender>,
        /// Directions that are shut: 1 for receiving, 2 for sending.
        pub shutdown: u8,
        /// Whether an error waits (ECONNRESET): its peer was closed before it had read all.
        pub reset: bool,
        /// What waits to be read: a message each; of a stream, what comes without or with the same descriptors.
        pub queue: List<Message, 65_536>,
        /// Options of SOL_SOCKET that a new socket does not have so.
        pub options: List<SocketOption, 64>,
    }
}

choice! {
    /// Whom a socket is connected to.
    pub enum UnixState {
        /// Nobody.
        #[default]
        0 = Alone,
        /// It listens.
        1 = Listening {
            /// How many connections may wait.
            backlog: u32,
            /// The sockets whose connections wait to be accepted, in order; none: closed since.
            waiting: List<Option<u32>, 65_536>,
        },
        /// To another.
        2 = Connected {
            /// The number of its description; none: it is closed, or waits to be accepted.
            peer: Option<u32>,
        },
    }
}

fields! {
    /// What was sent at once.
    pub struct Message {
        /// What can be read.
        pub bytes: Bytes<16_777_216>,
        /// The numbers of the descriptions that come with it (SCM_RIGHTS).
        pub rights: List<u32, 253>,
        /// Who sent it, where the kernel has kept that (SCM_CREDENTIALS).
        pub sender: Option<Sender>,
        /// The name of the socket that it was sent from.
        pub name: Option<Bytes<108>>,
    }
}

fields! {
    /// Who sent something or connected (`struct ucred`).
    pub struct Sender {
        /// A pid of the session's namespace; 0: outside of it.
        pub pid: u32,
        /// A user of the session's namespace.
        pub user: u32,
        /// A group of the session's namespace.
        pub group: u32,
    }
}

fields! {
    /// A netlink socket (netlink(7)), in which nothing waits.
    pub struct NetlinkSocket {
        /// What every description has.
        pub common: Common,
        /// SOCK_RAW or SOCK_DGRAM.
        pub kind: u32,
        /// NETLINK_KOBJECT_UEVENT and others (linux/netlink.h).
        pub protocol: u32,
        /// The port that it is bound to; 0: none.
        pub port: u32,
        /// The groups that it is a member of, from 1 on.
        pub groups: List<u32, 2048>,
        /// Options that are not 0.
        pub options: List<NetlinkOption, 64>,
        /// SO_RCVBUF, as getsockopt(2) gives it.
        pub receive_buffer: u32,
    }
}

fields! {
    /// An option that is a number.
    pub struct NetlinkOption {
        /// SOL_SOCKET or SOL_NETLINK.
        pub level: i32,
        /// Its number.
        pub name: i32,
        /// Its value.
        pub value: i32,
    }
}

fields! {
    /// An option of a socket.
    pub struct SocketOption {
        /// Its number (asm-generic/socket.h).
        pub name: u32,
        /// What getsockopt(2) gives.
        pub value: Bytes<16>,
    }
}
