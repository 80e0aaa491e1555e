//! sock_diag(7) of Unix sockets: peers, connections that wait, shut directions, and the inode of a socket's file.

use std::collections::BTreeMap;
use std::io;
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
    let mut request = Vec::new();
    request.extend(40u32.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.extend([0; 8]);
    // struct unix_diag_req: family, protocol, padding, states, inode, show, cookie.
    request.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(0u32.to_ne_bytes());
    request.extend(SHOW.to_ne_bytes());
    request.extend([0; 8]);
    // SAFETY: the kernel reads `request`.
    let sent = unsafe { libc::send(netlink.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = BTreeMap::new();
    let mut buffer = vec![0u8; BUFFER];
    loop {
        // SAFETY: at most `buffer.len()` bytes are written to `buffer`.
        let read = unsafe { libc::recv(netlink.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        if take(&buffer[..read], &mut found)? {
            return Ok(found);
        }
    }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "an answer of sock_diag is cut short");
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)
}

/// Takes the answers in one read; true after the last.
fn take(mut bytes: &[u8], found: &mut BTreeMap<u32, Socket>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let length = u32::from_ne_bytes(word(bytes, 0)?) as usize;
        let message = bytes.get(..length.max(16)).ok_or(io::ErrorKind::InvalidData)?;
        match u16::from_ne_bytes(word(bytes, 4)?) {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(word(message, 16)?))),
            BY_FAMILY => {
                let (inode, socket) = socket(&message[16..])?;
                found.insert(inode, socket);
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct unix_diag_msg`: family, type, state, padding, inode, cookie; then attributes.
fn socket(message: &[u8]) -> io::Result<(u32, Socket)> {
    let [_, kind, state, _] = word(message, 0)?;
    let inode = u32::from_ne_bytes(word(message, 4)?);
    let mut socket = Socket { kind, state, ..Socket::default() };
    let mut rest = message.get(16..).unwrap_or_default();
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes(word(rest, 0)?)).max(4);
        let value = rest.get(4..length).ok_or(io::ErrorKind::InvalidData)?;
        let number = |at| word(value, at).map(u32::from_ne_bytes);
        match u16::from_ne_bytes(word(rest, 2)?) {
            FILE => socket.file = Some((number(0)?, number(4)?)),
            PEER => socket.peer = Some(number(0)?).filter(|inode| *inode != 0),
            WAITING => socket.waiting = value.as_chunks::<4>().0.iter().map(|it| u32::from_ne_bytes(*it)).collect(),
            LENGTHS => (socket.received, socket.backlog) = (number(0)?, number(4)?),
            SHUTDOWN => socket.shutdown = value.first().copied().unwrap_or(0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok((inode, socket))
}
