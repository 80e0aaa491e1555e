//! sock_diag(7). Of Unix sockets: peers, connections that wait, shut directions, and the inode of a socket's file. Of TCP sockets: all
//! that there are, also those that nobody has open.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// `UDIAG_SHOW_VFS`, `UDIAG_SHOW_PEER`, `UDIAG_SHOW_ICONS`, `UDIAG_SHOW_RQLEN` (linux/unix_diag.h).
const SHOW: u32 = 2 | 4 | 8 | 16;
/// `UNIX_DIAG_VFS` and its fellows.
const FILE: u16 = 1;
const PEER: u16 = 2;
const WAITING: u16 = 3;
const LENGTHS: u16 = 4;
const SHUTDOWN: u16 = 6;
/// `INET_DIAG_INFO`, `INET_DIAG_MD5SIG` (linux/inet_diag.h).
const INFO: u16 = 2;
const SIGNED: u16 = 18;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// What the kernel says of one Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// `SOCK_STREAM` and others.
    pub kind: u8,
    /// `TCP_ESTABLISHED` (1), `TCP_CLOSE` (7), `TCP_LISTEN` (10).
    pub state: u8,
    /// Inode and device (as the kernel's `dev_t`) of its file.
    pub file: Option<(u32, u32)>,
    /// The inode of the socket that it is connected to; None: none, or one that nobody has open.
    pub peer: Option<u32>,
    /// Of a listener: the inodes of those that wait to be accepted, in order; 0: closed since.
    pub waiting: Vec<u32>,
    /// What waits to be read; of a listener: how many connections.
    pub received: u32,
    /// Of a listener: how many connections may wait.
    pub backlog: u32,
    /// Directions that are shut: 1 for receiving, 2 for sending.
    pub shutdown: u8,
}

/// What socket(2) makes one of: family, type, `NETLINK_SOCK_DIAG`.
pub const SOCKET: (i32, i32, i32) = (libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 4);

/// A socket to ask in the caller's net namespace.
///
/// # Errors
/// Those of socket(2).
pub fn open() -> io::Result<OwnedFd> {
    let (family, kind, protocol) = SOCKET;
    // SAFETY: numbers only.
    let made = unsafe { libc::socket(family, kind, protocol) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// All Unix sockets of the net namespace that `netlink` was opened in, by inode.
///
/// # Errors
/// When the kernel does not answer.
pub fn sockets(netlink: BorrowedFd<'_>) -> io::Result<BTreeMap<u32, Socket>> {
    // struct unix_diag_req: family, protocol, padding, states, inode, show, cookie.
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(0u32.to_ne_bytes());
    request.extend(SHOW.to_ne_bytes());
    request.extend([0; 8]);
    let mut found = BTreeMap::new();
    dump(netlink, &request, |message| {
        let (inode, socket) = socket(message)?;
        found.insert(inode, socket);
        Ok(())
    })?;
    Ok(found)
}

/// Has the kernel list what `request` asks for, and gives each answer to `take`.
fn dump(netlink: BorrowedFd<'_>, request: &[u8], mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    // struct nlmsghdr: length, type, flags, sequence, port.
    let mut message = Vec::new();
    message.extend((16 + request.len() as u32).to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    // SAFETY: the kernel reads `message`.
    let sent = unsafe { libc::send(netlink.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut buffer = vec![0u8; BUFFER];
    loop {
        // SAFETY: at most `buffer.len()` bytes are written to `buffer`.
        let read = unsafe { libc::recv(netlink.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        if answers(&buffer[..read], &mut take)? {
            return Ok(());
        }
    }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "an answer of sock_diag is cut short");
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)
}

/// Takes the answers in one read; true after the last.
fn answers(mut bytes: &[u8], take: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let length = u32::from_ne_bytes(word(bytes, 0)?) as usize;
        let message = bytes.get(..length.max(16)).ok_or(io::ErrorKind::InvalidData)?;
        match u16::from_ne_bytes(word(bytes, 4)?) {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(word(message, 16)?))),
            BY_FAMILY => take(&message[16..])?,
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The attributes of an answer: their types and values.
fn attributes(mut rest: &[u8], mut take: impl FnMut(u16, &[u8]) -> io::Result<()>) -> io::Result<()> {
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes(word(rest, 0)?)).max(4);
        take(u16::from_ne_bytes(word(rest, 2)?), rest.get(4..length).ok_or(io::ErrorKind::InvalidData)?)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// What the kernel says of one TCP socket, also of one that nobody has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// `TCP_ESTABLISHED` (1) and others (net/tcp_states.h).
    pub state: u8,
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// 0: nobody has it open.
    pub inode: u32,
    /// Bytes, and the peer's end, that wait to be read; of a listener: connections that wait to be accepted.
    pub received: u32,
    /// Bytes, and its end, that its peer has not said to have.
    pub unacknowledged: u32,
    /// How long ago it has got data, or was made if it never did, in milliseconds.
    pub idle: u32,
    /// Whether segments are signed (TCP_MD5SIG), as far as the caller may see that.
    pub signed: bool,
}

/// All TCP sockets of the net namespace that `netlink` was opened in.
///
/// # Errors
/// When the kernel does not answer.
pub fn tcp(netlink: BorrowedFd<'_>) -> io::Result<Vec<TcpSocket>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        // struct inet_diag_req_v2: family, protocol, extensions (INET_DIAG_INFO), padding, states, struct inet_diag_sockid.
        let mut request = vec![family as u8, libc::IPPROTO_TCP as u8, 1 << (INFO - 1), 0];
        request.extend(u32::MAX.to_ne_bytes());
        request.extend([0; 48]);
        dump(netlink, &request, |message| {
            found.push(tcp_socket(message)?);
            Ok(())
        })?;
    }
    Ok(found)
}

/// `struct inet_diag_msg`: family, state, timer, retransmissions; ports, addresses, interface, cookie; expiry, queues, user, inode.
fn tcp_socket(message: &[u8]) -> io::Result<TcpSocket> {
    let [family, state, _, _] = word(message, 0)?;
    let port = |at| word(message, at).map(u16::from_be_bytes);
    let number = |at| word(message, at).map(u32::from_ne_bytes);
    let end = |at, port| -> io::Result<SocketAddr> {
        let ip = if i32::from(family) == libc::AF_INET {
            IpAddr::from(word::<4>(message, at)?)
        } else {
            IpAddr::from(word::<16>(message, at)?)
        };
        Ok(SocketAddr::new(ip, port))
    };
    let mut socket = TcpSocket {
        state,
        local: end(8, port(4)?)?,
        remote: end(24, port(6)?)?,
        received: number(56)?,
        unacknowledged: number(60)?,
        inode: number(68)?,
        idle: 0,
        signed: false,
    };
    attributes(message.get(72..).unwrap_or_default(), |kind, value| {
        match kind {
            // `tcpi_last_data_recv` of struct tcp_info (linux/tcp.h), which counts from when it was made.
            INFO if value.len() >= 60 => socket.idle = u32::from_ne_bytes(word(value, 52)?),
            SIGNED => socket.signed = true,
            _ => {}
        }
        Ok(())
    })?;
    Ok(socket)
}

/// `struct unix_diag_msg`: family, type, state, padding, inode, cookie; then attributes.
fn socket(message: &[u8]) -> io::Result<(u32, Socket)> {
    let [_, kind, state, _] = word(message, 0)?;
    let inode = u32::from_ne_bytes(word(message, 4)?);
    let mut socket = Socket { kind, state, ..Socket::default() };
    attributes(message.get(16..).unwrap_or_default(), |kind, value| {
        let number = |at| word(value, at).map(u32::from_ne_bytes);
        match kind {
            FILE => socket.file = Some((number(0)?, number(4)?)),
            PEER => socket.peer = Some(number(0)?).filter(|inode| *inode != 0),
            WAITING => socket.waiting = value.as_chunks::<4>().0.iter().map(|it| u32::from_ne_bytes(*it)).collect(),
            LENGTHS => (socket.received, socket.backlog) = (number(0)?, number(4)?),
            SHUTDOWN => socket.shutdown = value.first().copied().unwrap_or(0),
            _ => {}
        }
        Ok(())
    })?;
    Ok((inode, socket))
}
