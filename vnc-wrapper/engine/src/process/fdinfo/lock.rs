//! Locks in `/proc/PID/fdinfo` (proc_locks(5); `lock_get_status` in fs/locks.c).

use libc::pid_t;

use crate::process::text::{decimal, hex, split, words};

/// How it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// `F_SETLK`: it belongs to a process.
    Posix,
    /// `F_OFD_SETLK`: it belongs to an open file description.
    OpenFile,
    /// flock(2).
    Flock,
    /// `F_SETLEASE`.
    Lease,
    /// A delegation, of a file server.
    Delegation,
}

/// What others may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockAccess {
    /// A shared lock, or a lease for reading.
    Read,
    /// An exclusive one.
    Write,
    /// A lease that is to be given up.
    Unlock,
}

/// A lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// How it was made.
    pub kind: LockKind,
    /// Whether it is a lease that somebody waits for.
    pub breaking: bool,
    /// What others may still do.
    pub access: LockAccess,
    /// Who made it; -1 for [`LockKind::OpenFile`], 0 outside of the pid namespace.
    pub pid: pid_t,
    /// Device (major, minor) of the file.
    pub device: (u32, u32),
    /// Its inode.
    pub inode: u64,
    /// The first byte.
    pub start: u64,
    /// The last byte; None: to the end, however long the file gets.
    pub end: Option<u64>,
}

/// `1: POSIX  ADVISORY  WRITE 14607 fe:00:10027094 5 14`
pub(super) fn parse(text: &[u8]) -> Option<Lock> {
    let fields: Vec<&[u8]> = words(text).collect();
    let [number, kind, mode, access, pid, file, start, end] = fields[..] else { return None };
    decimal::<u64>(number.strip_suffix(b":")?)?;
    let kind = match kind {
        b"POSIX" => LockKind::Posix,
        b"OFDLCK" => LockKind::OpenFile,
        b"FLOCK" => LockKind::Flock,
        b"LEASE" => LockKind::Lease,
        b"DELEG" => LockKind::Delegation,
        _ => return None,
    };
    let access = match access {
        b"READ" => LockAccess::Read,
        b"WRITE" => LockAccess::Write,
        b"UNLCK" => LockAccess::Unlock,
        _ => return None,
    };
    let (major, rest) = split(file, b':')?;
    let (minor, inode) = split(rest, b':')?;
    Some(Lock {
        kind,
        breaking: mode == b"BREAKING",
        access,
        pid: decimal(pid)?,
        device: (hex(major)?, hex(minor)?),
        inode: decimal(inode)?,
        start: decimal(start)?,
        end: if end == b"EOF" { None } else { Some(decimal(end)?) },
    })
}
