//! Slaves of pseudo-terminals, by descriptors of our own (ioctl_tty(2)).

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What termios(3) describes, with speeds as numbers.
pub type Settings = libc::termios2;

/// Major numbers of the slaves of pseudo-terminals (devices.txt).
pub const MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// A terminal. It never becomes the one that controls us.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// Opens the slave at `path`, which may be an entry of /proc/PID/fd. It never blocks.
    ///
    /// # Errors
    /// When it is not there; EIO when its other end is gone.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
        Ok(Self(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?))
    }

    /// The terminal behind a descriptor; the flags of that stay what they are.
    pub fn of(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    /// Its settings.
    ///
    /// # Errors
    /// When it was hung up.
    pub fn settings(&self) -> io::Result<Settings> {
        // SAFETY: a `struct termios2` holds numbers only, for all of which 0 is a value.
        let mut settings: Settings = unsafe { std::mem::zeroed() };
        // SAFETY: TCGETS2 writes one `struct termios2`, which lives for as long as the call.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TCGETS2, &raw mut settings) })?;
        Ok(settings)
    }

    /// Whether it gives its readers whole lines (canonical mode, termios(3)).
    ///
    /// # Errors
    /// When it was hung up.
    pub fn is_canonical(&self) -> io::Result<bool> {
        Ok(self.settings()?.c_lflag & (libc::ICANON | libc::EXTPROC) == libc::ICANON)
    }

    /// Gives it settings, at once.
    ///
    /// # Errors
    /// When it was hung up.
    pub fn set(&self, settings: &Settings) -> io::Result<()> {
        // SAFETY: TCSETS2 reads one `struct termios2`, which lives for as long as the call.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TCSETS2, &raw const *settings) })
    }

    /// How many bytes can be read.
    ///
    /// # Errors
    /// When it was hung up.
    pub fn unread(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.0)?)
    }

    /// Takes what one read(2) of up to `most` bytes gives; none when nothing can be read.
    ///
    /// # Errors
    /// When it was hung up.
    pub fn take(&self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; most];
        match (&self.0).read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(length) => {
                bytes.truncate(length);
                Ok(Some(bytes))
            }
        }
    }

    /// Makes it as if `byte` had been typed (TIOCSTI). All of its processing is done when this returns.
    ///
    /// # Errors
    /// When we have no CAP_SYS_ADMIN, or it was hung up.
    pub fn type_byte(&self, byte: u8) -> io::Result<()> {
        // SAFETY: TIOCSTI reads one byte, which lives for as long as the call.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCSTI, &raw const byte) })
    }
}

/// A new pseudo-terminal: its master, and its slave.
///
/// # Errors
/// When there is no /dev/ptmx.
pub fn new() -> io::Result<(OwnedFd, Terminal)> {
    let master = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/ptmx")?;
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which lives for as long as the call.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags of open(2) by value.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    check(slave)?;
    // SAFETY: TIOCGPTPEER returned a new descriptor, which nobody else owns.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    Ok((master.into(), Terminal(slave.into())))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
