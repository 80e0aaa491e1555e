//! Unix sockets: unix(7), with names as the bytes that they are, and sock_diag(7) for what sockets themselves do not show.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, socklen_t};

/// The longest name: `sun_path`.
pub const NAME: usize = 108;
/// Where `sun_path` begins.
const BEFORE: usize = size_of::<libc::sa_family_t>();
/// The most descriptors of one message (SCM_MAX_FD, include/net/scm.h).
pub const RIGHTS: usize = 253;
/// Room for them and for credentials.
const CONTROL: usize = 2048;

fn outcome(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn made(result: c_int) -> io::Result<OwnedFd> {
    outcome(result as isize)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// A name as the kernel takes it: a path, or a zero and an abstract name.
struct Address {
    // One more than a name, for the zero that the kernel gives behind a path of full length.
    bytes: [u8; BEFORE + NAME + 1],
    length: usize,
}

impl Address {
    fn of(name: &[u8]) -> io::Result<Self> {
        if name.len() > NAME {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a name of {} bytes", name.len())));
        }
        let mut bytes = [0; BEFORE + NAME + 1];
        bytes[..BEFORE].copy_from_slice(&(libc::AF_UNIX as libc::sa_family_t).to_ne_bytes());
        bytes[BEFORE..BEFORE + name.len()].copy_from_slice(name);
        Ok(Self { bytes, length: BEFORE + name.len() })
    }

    /// None: it has no name.
    fn name(&self) -> Option<Vec<u8>> {
        let name = self.bytes.get(BEFORE..self.length).filter(|name| !name.is_empty())?;
        // A path ends with a zero, an abstract name begins with one and may hold more.
        let length = if name[0] == 0 { None } else { name.iter().position(|byte| *byte == 0) };
        Some(name[..length.unwrap_or(name.len())].to_vec())
    }
}

/// A new socket of this `SOCK_` type.
///
/// # Errors
/// Those of socket(2).
pub fn socket(kind: u32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::socket(libc::AF_UNIX, kind.cast_signed() | libc::SOCK_CLOEXEC, 0) })
}

/// Two that are connected.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair(kind: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut two = [0; 2];
    // SAFETY: two descriptors are written to `two`.
    let result =
        unsafe { libc::socketpair(libc::AF_UNIX, kind.cast_signed() | libc::SOCK_CLOEXEC, 0, two.as_mut_ptr()) };
    outcome(result as isize)?;
    Ok((made(two[0])?, made(two[1])?))
}

/// bind(2).
///
/// # Errors
/// Those of bind(2): EADDRINUSE when the name is taken.
pub fn bind(socket: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let address = Address::of(name)?;
    // SAFETY: the kernel reads `length` bytes of the address.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.bytes.as_ptr().cast(), address.length as socklen_t) };
    outcome(result as isize).map(drop)
}

/// connect(2). Waits for nothing: EAGAIN when the listener has no room.
///
/// # Errors
/// Those of connect(2).
pub fn connect(socket: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let address = Address::of(name)?;
    without_waiting(socket, || {
        // SAFETY: the kernel reads `length` bytes of the address.
        let result =
            unsafe { libc::connect(socket.as_raw_fd(), address.bytes.as_ptr().cast(), address.length as socklen_t) };
        outcome(result as isize).map(drop)
    })
}

/// Runs `work` while calls on `socket` wait for nothing.
///
/// # Errors
/// Those of fcntl(2), and those of `work`.
pub fn without_waiting<T>(socket: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let flags = super::descriptor::flags(socket)?;
    super::descriptor::set_flags(socket, flags | libc::O_NONBLOCK.cast_unsigned())?;
    let done = work();
    super::descriptor::set_flags(socket, flags)?;
    done
}

/// A name as calls take it, `struct sockaddr_un`.
///
/// # Errors
/// When it is too long.
pub fn address(name: &[u8]) -> io::Result<Vec<u8>> {
    let address = Address::of(name)?;
    Ok(address.bytes[..address.length].to_vec())
}

/// listen(2).
///
/// # Errors
/// Those of listen(2).
pub fn listen(socket: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    // SAFETY: numbers only.
    outcome(unsafe { libc::listen(socket.as_raw_fd(), backlog.cast_signed()) } as isize).map(drop)
}

/// accept4(2).
///
/// # Errors
/// Those of accept4(2).
pub fn accept(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no address is asked for.
    made(unsafe { libc::accept4(socket.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) })
}

/// shutdown(2): 0 for reading, 1 for writing.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown(socket: BorrowedFd<'_>, how: c_int) -> io::Result<()> {
    // SAFETY: numbers only.
    outcome(unsafe { libc::shutdown(socket.as_raw_fd(), how) } as isize).map(drop)
}

/// The name of `socket`, or of its `peer`; None: it has none.
///
/// # Errors
/// Those of getsockname(2) and getpeername(2): ENOTCONN.
pub fn name(socket: BorrowedFd<'_>, peer: bool) -> io::Result<Option<Vec<u8>>> {
    let mut address = Address { bytes: [0; BEFORE + NAME + 1], length: 0 };
    let mut length = address.bytes.len() as socklen_t;
    let call = if peer { libc::getpeername } else { libc::getsockname };
    // SAFETY: at most `length` bytes are written to the address.
    outcome(unsafe { call(socket.as_raw_fd(), address.bytes.as_mut_ptr().cast(), &raw mut length) } as isize)?;
    address.length = (length as usize).min(address.bytes.len());
    Ok(address.name())
}

/// The value of an option of `SOL_SOCKET`, as its bytes; at most 16 are asked for.
///
/// # Errors
/// Those of getsockopt(2): ENOPROTOOPT when the kernel does not know it.
pub fn option(socket: BorrowedFd<'_>, name: u32) -> io::Result<Vec<u8>> {
    let mut bytes = [0u8; 16];
    let mut length = bytes.len() as socklen_t;
    // SAFETY: at most `length` bytes are written to `bytes`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name.cast_signed(),
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    outcome(result as isize)?;
    Ok(bytes[..(length as usize).min(bytes.len())].to_vec())
}

/// Sets an option of `SOL_SOCKET`.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_option(socket: BorrowedFd<'_>, name: u32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads the bytes of `value`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name.cast_signed(),
            value.as_ptr().cast(),
            value.len() as socklen_t,
        )
    };
    outcome(result as isize).map(drop)
}

/// Who sent a message, or connected: `struct ucred`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Its process, as the caller sees it; 0: outside of its pid namespace.
    pub pid: i32,
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

impl Credentials {
    /// Size of the structure.
    pub const LENGTH: usize = 12;

    /// Of the kernel's bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let word =
            |at: usize| bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes);
        Self { pid: word(0).cast_signed(), user: word(4), group: word(8) }
    }
}

/// Whether a socket is of this kind (`SO_DOMAIN`).
///
/// # Errors
/// Those of getsockopt(2).
pub fn is_unix(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(socket, libc::SO_DOMAIN as u32)? == libc::AF_UNIX.to_ne_bytes())
}

/// The file that a socket is bound to, opened by `O_PATH` wherever it is by now (SIOCUNIXFILE, linux/un.h).
///
/// # Errors
/// Those of ioctl(2): ENOENT when it has none, EPERM without CAP_NET_ADMIN in the user namespace of its net namespace.
pub fn file(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `SIOCPROTOPRIVATE`.
    const SIOCUNIXFILE: libc::c_ulong = 0x89e0;
    // SAFETY: this request takes no argument.
    made(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCUNIXFILE) })
}

/// `SO_PEERCRED`.
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    Ok(Credentials::of(&option(socket, libc::SO_PEERCRED as u32)?))
}

/// A message, or a part of a stream.
#[derive(Debug, Default)]
pub struct Message {
    /// What was sent.
    pub bytes: Vec<u8>,
    /// Copies of the descriptors that come with it.
    pub rights: Vec<OwnedFd>,
    /// Who sent it, if the socket asks for it (SO_PASSCRED).
    pub credentials: Option<Credentials>,
    /// The name of the sender, where it has one.
    pub sender: Option<Vec<u8>>,
    /// Whether there was no room for all of its bytes.
    pub cut: bool,
}

/// Looks at what waits (MSG_PEEK), with room for `most` bytes. None: nothing waits. A stream that has ended gives an empty one.
///
/// # Errors
/// Those of recvmsg(2).
pub fn peek(socket: BorrowedFd<'_>, most: usize) -> io::Result<Option<Message>> {
    take(socket, most, libc::MSG_PEEK)
}

/// How many of the first `length` bytes of a stream were sent apart from the last of them, and before it: how much a look copies
/// whose room ends one byte too early. The kernel copies what was sent at once as a whole or not at all.
///
/// Looking at fewer bytes does not answer that: the look goes on to the descriptors behind them (net/unix/af_unix.c).
///
/// # Errors
/// Those of mmap(2) and recvmsg(2).
pub fn before_last(socket: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
    const PAGE: usize = 4096;
    let room = length.saturating_sub(1);
    let pages = room.next_multiple_of(PAGE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, which nothing may access.
    let all = unsafe { libc::mmap(std::ptr::null_mut(), pages + PAGE, libc::PROT_NONE, flags, -1, 0) };
    if all == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let looked = (|| {
        if pages > 0 {
            // SAFETY: these pages are part of the mapping that was just made.
            outcome(unsafe { libc::mprotect(all, pages, libc::PROT_READ | libc::PROT_WRITE) } as isize)?;
        }
        // SAFETY: `room` is not more than `pages`, which are part of the mapping.
        let from = unsafe { all.cast::<u8>().add(pages - room) };
        let mut into = libc::iovec { iov_base: from.cast(), iov_len: length };
        // SAFETY: struct msghdr consists of numbers and pointers; all zeros are a value of it.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = &raw mut into;
        header.msg_iovlen = 1;
        // SAFETY: `header` names memory of the mapping that nothing else uses; the kernel refuses to write to its last page.
        outcome(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_PEEK | libc::MSG_DONTWAIT) })
    })();
    // SAFETY: the mapping was made above, and nothing refers to it any more.
    unsafe { libc::munmap(all, pages + PAGE) };
    match looked {
        // Not one could be copied as a whole.
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(0),
        other => other,
    }
}

/// Takes a message out, as [`peek`] looks at one. The end of a stream is none.
///
/// # Errors
/// Those of recvmsg(2).
#[cfg(test)]
pub(crate) fn receive(socket: BorrowedFd<'_>, most: usize) -> io::Result<Option<Message>> {
    take(socket, most, 0)
}

fn take(socket: BorrowedFd<'_>, most: usize, flags: c_int) -> io::Result<Option<Message>> {
    let mut bytes = vec![0u8; most];
    let mut control = [[0u8; 8]; CONTROL / 8];
    let mut address = Address { bytes: [0; BEFORE + NAME + 1], length: 0 };
    let mut into = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: struct msghdr consists of numbers and pointers; all zeros are a value of it.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = address.bytes.as_mut_ptr().cast();
    header.msg_namelen = address.bytes.len() as socklen_t;
    header.msg_iov = &raw mut into;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL;
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `header` names buffers that are alive and as long as it says.
    let read = match outcome(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) }) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    bytes.truncate(read);
    address.length = (header.msg_namelen as usize).min(address.bytes.len());
    let cut = header.msg_flags & libc::MSG_TRUNC != 0;
    let filled = &control.as_flattened()[..header.msg_controllen.min(CONTROL)];
    let (rights, credentials) = super::control::take(filled)?;
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other("what comes with a message is too long"));
    }
    Ok(Some(Message { bytes, rights, credentials, sender: address.name(), cut }))
}

/// Sends one message to a name, or to the peer; does not wait. Credentials that are not the caller's need a right to them.
///
/// # Errors
/// Those of sendmsg(2).
pub fn send(
    socket: BorrowedFd<'_>,
    to: Option<&[u8]>,
    bytes: &[u8],
    rights: &[BorrowedFd<'_>],
    credentials: Option<Credentials>,
) -> io::Result<usize> {
    if rights.len() > RIGHTS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut from = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: as in `peek`.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut from;
    header.msg_iovlen = 1;
    let mut address = to.map(Address::of).transpose()?;
    if let Some(address) = &mut address {
        header.msg_name = address.bytes.as_mut_ptr().cast();
        header.msg_namelen = address.length as socklen_t;
    }
    let numbers: Vec<c_int> = rights.iter().map(AsRawFd::as_raw_fd).collect();
    let mut control = super::control::of(&numbers, credentials);
    if !control.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len();
    }
    // SAFETY: `header` names buffers that are alive and as long as it says; the kernel only reads them.
    outcome(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) })
}

/// How much that was sent nobody has read (SIOCOUTQ), in bytes of the kernel's memory: 0 when all was.
///
/// # Errors
/// Those of ioctl(2).
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut length: c_int = 0;
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ, writes one int.
    outcome(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut length) } as isize)?;
    Ok(length.cast_unsigned())
}

/// Runs `work` with `directory` as working directory, in a thread that has its own.
///
/// # Errors
/// When the thread cannot have it, and those of `work`.
pub fn in_directory<T: Send>(directory: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            // SAFETY: from here on root and working directory of this thread are its own; it ends after `work`.
            outcome(unsafe { libc::unshare(libc::CLONE_FS) } as isize)?;
            rustix::process::fchdir(directory)?;
            work()
        });
        done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
