//! Kernel objects behind descriptors, one module a kind: `look` (what would be lost), `take` (the record of an open file
//! description) and `give` (a record becomes a descriptor).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`kind`] | which kind a descriptor is of |
//! | [`same`] | which descriptors share an open file description |
//! | [`common`] | what every description has |
//! | [`pipe`] | pipes, FIFOs and their ends |
//! | [`event`] | eventfd(2) |
//! | [`timer`] | timerfd_create(2) |
//! | [`signal`] | signalfd(2) |
//! | [`epoll`] | epoll(7) |
//! | [`mod@file`] | files and directories |
//! | [`memfd`] | memfd_create(2) |
//! | [`unlinked`] | files and directories without a name |
//! | [`unix`] | Unix sockets |
//! | [`inet`] | internet sockets: TCP and UDP |
//! | [`netlink`] | netlink sockets |
//! | [`inotify`] | inotify(7) |
//! | [`process`] | pidfd_open(2) |
//! | [`pty`] | pseudo-terminals |
//! | [`queue`] | POSIX message queues |
//!
//! A record is taken from a *copy* of a descriptor ([`Seen`]), which shares the description with the process that stands still:
//! nothing that reads, writes or moves it is done. A record is given by calls in this process; what has a name is
//! opened by [`Names`], which knows where the session's names are.

pub mod common;
pub mod epoll;
pub mod event;
pub mod file;
pub mod inet;
pub mod inotify;
pub mod kind;
pub mod memfd;
pub mod netlink;
pub mod pipe;
pub mod process;
pub mod pty;
pub mod queue;
pub mod same;
pub mod signal;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod unix;
pub mod unlinked;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use libc::pid_t;
use rustix::fs::Stat;

use crate::process::fdinfo::{self, FdInfo};
use crate::record::TooMany;
use crate::sys::pidfd;

/// A descriptor of a process that stands still, as it is seen from here.
#[derive(Debug)]
pub struct Seen {
    /// The process.
    pub pid: pid_t,
    /// The number that the process knows.
    pub number: i32,
    copy: OwnedFd,
    /// `/proc/PID/fdinfo/NUMBER`.
    pub info: FdInfo,
    /// What `/proc/PID/fd/NUMBER` shows: a path, or a name that the kernel gives.
    pub link: Vec<u8>,
    /// fstat(2).
    pub stat: Stat,
}

impl Seen {
    /// Looks at descriptor `number` of `pid`, of which `process` is a pidfd.
    ///
    /// # Errors
    /// When it is closed, or the process may not be traced or has ended.
    pub fn of(pid: pid_t, process: BorrowedFd<'_>, number: i32) -> io::Result<Self> {
        let copy = pidfd::copy(process, number)?;
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let info = fdinfo::read(&directory, number)?;
        let link = rustix::fs::readlink(directory.join(format!("fd/{number}")), Vec::new())?.into_bytes();
        let stat = rustix::fs::fstat(&copy)?;
        Ok(Self { pid, number, copy, info, link, stat })
    }

    /// The copy. It shares position, flags and all else with the process's own.
    pub fn copy(&self) -> BorrowedFd<'_> {
        self.copy.as_fd()
    }

    /// Device and inode.
    pub fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    fn name(&self) -> String {
        format!("descriptor {} of process {} ({})", self.number, self.pid, self.link.escape_ascii())
    }

    pub(crate) fn failed(&self, call: &'static str) -> impl FnOnce(io::Error) -> Error {
        let what = self.name();
        move |error| Error::Call { what, call, error }
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::Refused { what: self.name(), reason: reason.into() }
    }

    /// What is gone in a moment.
    fn passing(&self, lost: &str) -> Finding {
        self.finding(format!("{lost}{PASSES}"))
    }

    fn finding(&self, lost: impl Into<String>) -> Finding {
        Finding { what: self.name(), lost: lost.into(), blocking: true }
    }
}

/// How a reason ends that is gone when programs have run for a moment.
pub const PASSES: &str = "; this passes in a moment";

/// What a save would lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub what: String,
    /// What of it.
    pub lost: String,
    /// Whether a save is refused for it.
    pub blocking: bool,
}

/// Why a record was not taken or given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call failed.
    #[error("{what}: {call}: {error}")]
    Call {
        /// The object.
        what: String,
        /// What was called.
        call: &'static str,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// It cannot be recorded, or not be made again.
    #[error("{what}: {reason}")]
    Refused {
        /// The object.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    fn given(what: impl Into<String>, call: &'static str) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Call { what, call, error }
    }
}

/// A list or text of a record, where the kernel's bound is not above the record's.
fn fit<T, F: TryFrom<T, Error = TooMany>>(seen: &Seen, what: &str, value: T) -> Result<F, Error> {
    F::try_from(value).map_err(|error| seen.refused(format!("{what}: {error}")))
}

/// Opens what the session has.
pub trait Names {
    /// Opens `path`, absolute in the session, with these flags of open(2). No part of it is a symbolic link: the kernel gave
    /// the path when it was saved.
    ///
    /// # Errors
    /// Those of open(2).
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd>;

    /// Opens the shared object of that number.
    ///
    /// # Errors
    /// Those of open(2).
    fn object(&self, number: u32, flags: u32) -> io::Result<OwnedFd>;
}

/// Opens `path` below `root`, as a session sees it whose root that is, and follows no symbolic link.
///
/// # Errors
/// Those of openat2(2).
pub fn open_below(root: BorrowedFd<'_>, path: &[u8], flags: u32) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let mut flags = OFlags::from_bits_retain(flags & file::OPEN_FLAGS) | OFlags::CLOEXEC;
    // With O_PATH, openat2(2) takes no others.
    if flags.contains(OFlags::PATH) {
        flags &= OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    } else {
        flags |= OFlags::NOCTTY;
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}
