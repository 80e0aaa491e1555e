//! Internet sockets: TCP and UDP, of IPv4 and IPv6.

use super::objects::Common;
use super::wire::{Bytes, List, choice, fields};

fields! {
    /// Where packets go to or come from. Addresses of IPv4 have 4 bytes, those of IPv6 have 16.
    pub struct Address {
        /// The address, in the order of the network.
        pub ip: Bytes<16>,
        /// The port.
        pub port: u32,
        /// Of IPv6: the flow (`sin6_flowinfo`), as the kernel has it.
        pub flow: u32,
        /// Of IPv6: the number of the interface that an address is of (`sin6_scope_id`); 0: none.
        pub scope: u32,
    }
}

fields! {
    /// What all internet sockets have.
    pub struct Inet {
        /// AF_INET or AF_INET6.
        pub family: u32,
        /// Whose it is: a user of the session's namespace. Sockets of one user may share a port (SO_REUSEPORT).
        pub user: u32,
        /// A group of the session's namespace.
        pub group: u32,
        /// What it is bound to; none: to nothing.
        pub local: Option<Address>,
        /// The name of the network interface that it is bound to (SO_BINDTODEVICE); empty: to none.
        pub interface: Bytes<15>,
        /// Which of its buffers a program has set (SO_BUF_LOCK): 1 for sending, 2 for receiving.
        pub buffers: u8,
        /// SO_SNDBUF, as getsockopt(2) gives it.
        pub send_buffer: u32,
        /// SO_RCVBUF, as getsockopt(2) gives it.
        pub receive_buffer: u32,
        /// What getsockopt(2) gives.
        pub options: List<InetOption, 128>,
    }
}

fields! {
    /// An option of a socket.
    pub struct InetOption {
        /// SOL_SOCKET, IPPROTO_IP and others.
        pub level: i32,
        /// Its number.
        pub name: i32,
        /// Its value.
        pub value: Bytes<64>,
    }
}

fields! {
    /// A TCP socket (tcp(7)). A socket has one open file description.
    pub struct TcpSocket {
        /// What every description has.
        pub common: Common,
        /// What all internet sockets have.
        pub inet: Inet,
        /// Whom it is connected to.
        pub state: TcpState,
        /// What waits to be read.
        pub received: Bytes<16_000_000>,
        /// Whether it was shut for receiving by its own side (shutdown(2) with SHUT_RD).
        pub deaf: bool,
    }
}

choice! {
    /// Whom a TCP socket is connected to.
    pub enum TcpState {
        /// Nobody, and never was.
        #[default]
        0 = Alone,
        /// It listens.
        1 = Listening {
            /// How many connections may wait.
            backlog: u32,
            /// The sockets whose connections wait to be accepted, in order; none: closed since.
            waiting: List<Option<u32>, 65_536>,
        },
        /// It tries to connect.
        2 = Connecting {
            /// To whom.
            to: Address,
        },
        /// To another.
        3 = Connected {
            /// The number of the other end; none: it is closed, waits to be accepted, or is outside of the session.
            peer: Option<u32>,
            /// Whether the other end is outside of the session. It is gone when this one is made again.
            outside: bool,
            /// All about the connection.
            connection: Connection,
        },
        /// It was connected, and both directions are closed; what it has received can be read.
        4 = Over {
            /// Whether an error waits (ECONNRESET).
            reset: bool,
        },
        /// It could not connect: an error waits (ECONNREFUSED).
        5 = Failed,
    }
}

fields! {
    /// One end's view of a connection. Sequence numbers are those of the bytes, without the end of the stream.
    pub struct Connection {
        /// The address of the other end.
        pub remote: Address,
        /// The number behind the last byte that was written.
        pub sent: u32,
        /// What the other end has not said to have: the last bytes before `sent`.
        pub unacknowledged: Bytes<16_000_000>,
        /// The number behind the last byte that was received.
        pub received: u32,
        /// Whether it has sent its end (FIN).
        pub ended: bool,
        /// Whether it has received the other's end.
        pub peer_ended: bool,
        /// The largest segment that it may send, in bytes.
        pub segment: u32,
        /// By how many bits windows are shifted that it receives and that it sends; none: they are not.
        pub scales: Option<Scales>,
        /// Whether both ends may acknowledge selectively.
        pub selective: bool,
        /// Whether segments have timestamps.
        pub timestamps: bool,
        /// What its clock for timestamps shows (TCP_TIMESTAMP).
        pub clock: u32,
        /// How many bytes more it has said to take.
        pub window: u32,
        /// The largest window that the other end has offered.
        pub largest_window: u32,
    }
}

fields! {
    /// Shifts of windows (RFC 7323).
    pub struct Scales {
        /// Of windows that are received.
        pub received: u8,
        /// Of windows that are sent.
        pub sent: u8,
    }
}

fields! {
    /// A UDP socket (udp(7)).
    pub struct UdpSocket {
        /// What every description has.
        pub common: Common,
        /// What all internet sockets have.
        pub inet: Inet,
        /// Whom it is connected to.
        pub remote: Option<Address>,
        /// Groups that it is a member of.
        pub memberships: List<Membership, 256>,
        /// What waits to be read.
        pub queue: List<Datagram, 65_536>,
    }
}

fields! {
    /// Membership of a multicast group.
    pub struct Membership {
        /// The group's address.
        pub group: Bytes<16>,
        /// The name of the network interface.
        pub interface: Bytes<15>,
    }
}

fields! {
    /// A datagram that waits to be read.
    pub struct Datagram {
        /// What can be read.
        pub bytes: Bytes<65_535>,
        /// Who sent it.
        pub from: Address,
        /// Where it was sent to.
        pub to: Address,
    }
}
