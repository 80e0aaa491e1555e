//! `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5); `seq_show` in fs/proc/fd.c, and each kind's `show_fdinfo`). Seals of a memfd are
//! not there: `F_GET_SEALS` has them.

use std::io;
use std::path::Path;
use std::time::Duration;

use libc::pid_t;

use super::Signals;
use super::text::{self, Malformed, decimal, octal, split};

mod kinds;
mod lock;
#[cfg(test)]
mod tests;

pub use kinds::{Handle, Mark, Marked, Watch, Watched};
pub use lock::{Lock, LockAccess, LockKind};

const FILE: &str = "fdinfo";
/// The most that is read of one, in bytes: a watch has about 150, and a user at most a million by default.
const MOST: u64 = 512 << 20;

/// What the file says of one descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdInfo {
    /// The position of its open file description, in bytes.
    pub position: i64,
    /// Status flags of the description, with `O_CLOEXEC` of the descriptor, as the kernel counts them (asm/fcntl.h).
    pub flags: u32,
    /// The mount that it was opened on; one that no table lists for what has no path.
    pub mount: Option<u32>,
    /// The inode (Linux 5.14).
    pub inode: Option<u64>,
    /// What only its kind has.
    pub kind: Kind,
    /// Locks held through it.
    pub locks: Vec<Lock>,
    /// Lines of other kinds (DRM, BPF, io_uring and kernels to come), as they stand.
    pub other: Vec<Vec<u8>>,
}

/// What only one kind of file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    #[default]
    Plain,
    /// eventfd(2).
    Event {
        /// Its counter.
        count: u64,
        /// Its number in the kernel, the same for all descriptors of it.
        id: Option<i32>,
        /// Whether a read takes 1 (Linux 6.5).
        semaphore: Option<bool>,
    },
    /// epoll(7), with what it watches. One that watches nothing reads as [`Kind::Plain`].
    Poll(Vec<Watched>),
    /// signalfd(2).
    Signals(Signals),
    /// timerfd_create(2).
    Timer {
        /// Its clock (`CLOCK_`).
        clock: i32,
        /// Expiries that nobody has read.
        ticks: u64,
        /// Flags it was set with (`TFD_TIMER_`).
        flags: u32,
        /// Until the next expiry; zero: it does not run.
        value: Duration,
        /// Between expiries; zero: it runs once.
        interval: Duration,
    },
    /// inotify(7), with its watches. One without watches reads as [`Kind::Plain`].
    Inotify(Vec<Watch>),
    /// fanotify(7).
    Fanotify {
        /// Flags of the group (`FAN_`).
        flags: u32,
        /// Flags of the files that events come with.
        event_flags: u32,
        /// What it watches.
        marks: Vec<Mark>,
    },
    /// pidfd_open(2).
    Process {
        /// The process as the mounted proc's namespace sees it; 0 outside of it, -1 when it has ended.
        pid: pid_t,
        /// Its ids from that namespace to its own.
        pids: Vec<pid_t>,
    },
    /// The master of a pseudo-terminal, by the number of its slave.
    Terminal(u32),
}

/// Reads what is said of `descriptor` of the process in `directory`.
///
/// # Errors
/// When it cannot be read (ENOENT: it is closed), or is not what the kernel writes.
pub fn read(directory: &Path, descriptor: i32) -> io::Result<FdInfo> {
    Ok(parse(&text::read(directory, &format!("{FILE}/{descriptor}"), MOST)?)?)
}

/// Parses it.
///
/// # Errors
/// When position or flags are missing, or a known line is not of its form.
pub fn parse(text: &[u8]) -> Result<FdInfo, Malformed> {
    let mut info = FdInfo::default();
    let (mut position, mut flags) = (None, None);
    for line in text::lines(text) {
        let malformed = || Malformed::new(FILE, "a line", line);
        let common = match split(line, b':') {
            Some((b"pos", value)) => {
                position = Some(trimmed(value, decimal).ok_or_else(malformed)?);
                true
            }
            Some((b"flags", value)) => {
                flags = Some(trimmed(value, octal).ok_or_else(malformed)?);
                true
            }
            Some((b"mnt_id", value)) => {
                info.mount = Some(trimmed(value, decimal).ok_or_else(malformed)?);
                true
            }
            Some((b"ino", value)) => {
                info.inode = Some(trimmed(value, decimal).ok_or_else(malformed)?);
                true
            }
            Some((b"lock", value)) => {
                info.locks.push(lock::parse(value).ok_or_else(malformed)?);
                true
            }
            _ => false,
        };
        if !common && !kinds::line(&mut info.kind, line).ok_or_else(malformed)? {
            info.other.push(line.to_vec());
        }
    }
    info.position = position.ok_or_else(|| Malformed::new(FILE, "pos", b""))?;
    info.flags = flags.ok_or_else(|| Malformed::new(FILE, "flags", b""))?;
    Ok(info)
}

/// A value without the blanks and tabs around it.
fn trimmed<'t, T>(text: &'t [u8], value: impl Fn(&'t [u8]) -> Option<T>) -> Option<T> {
    value(text.trim_ascii())
}
