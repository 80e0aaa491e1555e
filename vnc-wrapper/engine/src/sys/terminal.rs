//! Calls on pseudo-terminals: ioctl_tty(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_uint, pid_t};
use rustix::ioctl::opcode;

/// include/uapi/asm-generic/ioctls.h; those that are not numbered there plainly are made as there.
const GET_DEVICE: libc::Ioctl = opcode::read::<c_uint>(b'T', 0x32) as libc::Ioctl;
const GET_INDEX: libc::Ioctl = opcode::read::<c_uint>(b'T', 0x30) as libc::Ioctl;
const SET_LOCK: libc::Ioctl = opcode::write::<c_int>(b'T', 0x31) as libc::Ioctl;
const GET_PACKET: libc::Ioctl = opcode::read::<c_int>(b'T', 0x38) as libc::Ioctl;
const GET_LOCK: libc::Ioctl = opcode::read::<c_int>(b'T', 0x39) as libc::Ioctl;
const GET_EXCLUSIVE: libc::Ioctl = opcode::read::<c_int>(b'T', 0x40) as libc::Ioctl;
const GET_PEER: libc::Ioctl = opcode::none(b'T', 0x41) as libc::Ioctl;
/// `TCGETS2`, `TCSETS2`: 0x2a and 0x2b.
const GET_SETTINGS: libc::Ioctl = opcode::read::<Settings>(b'T', 0x2a) as libc::Ioctl;
const SET_SETTINGS: libc::Ioctl = opcode::write::<Settings>(b'T', 0x2b) as libc::Ioctl;

/// `struct termios2` (include/uapi/asm-generic/termbits.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `c_iflag`.
    pub input: u32,
    /// `c_oflag`.
    pub output: u32,
    /// `c_cflag`.
    pub control: u32,
    /// `c_lflag`.
    pub local: u32,
    /// `c_line`.
    pub line: u8,
    /// `c_cc`.
    pub characters: [u8; 19],
    /// `c_ispeed`.
    pub input_speed: u32,
    /// `c_ospeed`.
    pub output_speed: u32,
}

fn outcome(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A request that writes one number.
fn number(terminal: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<c_int> {
    let mut number = 0;
    // SAFETY: the requests that are made with this write one int.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), request, &raw mut number) })?;
    Ok(number)
}

/// A request that reads one number.
fn give(terminal: BorrowedFd<'_>, request: libc::Ioctl, number: c_int) -> io::Result<()> {
    // SAFETY: the requests that are made with this read one int.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), request, &raw const number) }).map(drop)
}

/// `TIOCGDEV`: the device number of the slave, of either end and of `/dev/tty`.
///
/// # Errors
/// EIO: it was hung up; ENOTTY: it is no terminal.
pub fn device(terminal: BorrowedFd<'_>) -> io::Result<u32> {
    number(terminal, GET_DEVICE).map(c_int::cast_unsigned)
}

/// `TIOCGPTN`: the index of a master.
///
/// # Errors
/// ENOTTY: it is no master.
pub fn index(master: BorrowedFd<'_>) -> io::Result<u32> {
    number(master, GET_INDEX).map(c_int::cast_unsigned)
}

/// `TCGETS2`; of a master those of its slave.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn settings(terminal: BorrowedFd<'_>) -> io::Result<Settings> {
    let mut settings = Settings::default();
    // SAFETY: TCGETS2 writes a struct termios2, whose layout `Settings` has.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), GET_SETTINGS, &raw mut settings) })?;
    Ok(settings)
}

/// `TCSETS2`: at once, whatever waits.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn set_settings(terminal: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    // SAFETY: TCSETS2 reads a struct termios2, whose layout `Settings` has.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), SET_SETTINGS, std::ptr::from_ref(settings)) }).map(drop)
}

/// `TIOCGWINSZ`: rows, columns, and both in pixels.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn window(terminal: BorrowedFd<'_>) -> io::Result<[u16; 4]> {
    let mut window = [0u16; 4];
    // SAFETY: TIOCGWINSZ writes a struct winsize, which is four numbers of 16 bits.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, window.as_mut_ptr()) })?;
    Ok(window)
}

/// `TIOCSWINSZ`.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn set_window(terminal: BorrowedFd<'_>, window: [u16; 4]) -> io::Result<()> {
    // SAFETY: TIOCSWINSZ reads a struct winsize, which is four numbers of 16 bits.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, window.as_ptr()) }).map(drop)
}

/// `TIOCGPKT`: whether a master is in packet mode.
///
/// # Errors
/// ENOTTY: it is no master.
pub fn packet(master: BorrowedFd<'_>) -> io::Result<bool> {
    number(master, GET_PACKET).map(|on| on != 0)
}

/// `TIOCPKT`. What the master has not been told yet is forgotten when it begins.
///
/// # Errors
/// ENOTTY: it is no master.
pub fn set_packet(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    give(master, libc::TIOCPKT, on.into())
}

/// `TIOCGPTLCK`: whether the slave cannot be opened.
///
/// # Errors
/// ENOTTY: it is no master.
pub fn locked(master: BorrowedFd<'_>) -> io::Result<bool> {
    number(master, GET_LOCK).map(|on| on != 0)
}

/// `TIOCSPTLCK`.
///
/// # Errors
/// ENOTTY: it is no master.
pub fn set_locked(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    give(master, SET_LOCK, on.into())
}

/// `TIOCGEXCL`: whether nobody else may open this end.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn exclusive(terminal: BorrowedFd<'_>) -> io::Result<bool> {
    number(terminal, GET_EXCLUSIVE).map(|on| on != 0)
}

/// `TIOCEXCL`.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn set_exclusive(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCEXCL takes no argument.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCEXCL) }).map(drop)
}

/// `TIOCGETD`: the line discipline of this end; 0: N_TTY.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn discipline(terminal: BorrowedFd<'_>) -> io::Result<c_int> {
    number(terminal, libc::TIOCGETD)
}

/// `TIOCGSID` of a master: the session whose controlling terminal the slave is, as this process sees it; none: nobody's.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn session(master: BorrowedFd<'_>) -> io::Result<Option<pid_t>> {
    match number(master, libc::TIOCGSID) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => Ok(None),
        session => session.map(Some),
    }
}

/// `TCXONC`: stops the output of this end, or lets it go on, whatever stopped it.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn flow(terminal: BorrowedFd<'_>, stops: bool) -> io::Result<()> {
    let action = if stops { libc::TCOOFF } else { libc::TCOON };
    // SAFETY: a number only.
    outcome(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TCXONC, action) }).map(drop)
}

/// `TIOCGPTPEER`: opens the slave of a master, with these flags of open(2), and never as controlling terminal.
///
/// # Errors
/// Those of open(2); EIO: it is locked.
pub fn peer(master: BorrowedFd<'_>, flags: u32) -> io::Result<OwnedFd> {
    let flags = flags.cast_signed() | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: a number only.
    let number = outcome(unsafe { libc::ioctl(master.as_raw_fd(), GET_PEER, flags) })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
