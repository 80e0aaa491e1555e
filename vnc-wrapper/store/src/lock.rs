//! Who may do what at the same time.
//!
//! `store/lock` is held shared by everybody who reads or writes what snapshots are made of, and exclusively by a collection.
//! So a collection never removes what a writer counts on or a reader reads, and whatever looks unfinished while it runs was
//! left behind by somebody who is dead. Everything else needs no lock: files are written under new names and renamed.
//!
//! A directory of raw images is held shared while it is read, so that the packer does not remove it meanwhile, and a
//! snapshot's directory is held exclusively while it is packed, so that two do not do the same work. All locks are
//! `flock(2)`'s: a killed process holds none. They are unlocked before their file is closed: a program that another thread
//! is just starting has copies of all descriptors until it runs, and would hold the lock for that moment.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};

/// How often a lock that is waited for is tried.
const RETRY: Duration = Duration::from_millis(20);

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// The process that took it: a forked one has a copy, which is not its own to unlock.
    owner: u32,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.owner == process::id() {
            // Else closing it does.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

impl Lock {
    /// Locks the file at `path`, which is made where it is not there; waits for as long as `patience` lasts.
    pub(crate) fn file(path: &Path, mode: Mode, patience: Duration) -> Result<Self> {
        let open = |write: bool| {
            let mut options = OpenOptions::new();
            options.read(true).mode(0o600);
            if write { options.append(true).create(true).open(path) } else { options.open(path) }
        };
        // A file system that has become read-only can still be read from, and nobody makes the file there.
        let read_only = |error: io::Error| match (error.kind(), path.parent()) {
            (io::ErrorKind::ReadOnlyFilesystem, Some(parent)) => File::open(parent),
            _ => Err(error),
        };
        let file = open(false).or_else(|_| open(true)).or_else(read_only).at("open", path)?;
        Self::of(file, path, mode, patience)
    }

    /// Locks the directory at `path`. None when it is not there.
    pub(crate) fn directory(path: &Path, mode: Mode) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("open", path)?,
        };
        Self::of(file, path, mode, Duration::ZERO).map(Some)
    }

    fn of(file: File, path: &Path, mode: Mode, patience: Duration) -> Result<Self> {
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let start = Instant::now();
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self { file, owner: process::id() }),
                Err(Errno::WOULDBLOCK) if start.elapsed() >= patience => {
                    return Err(Error::Busy { path: path.to_owned() });
                }
                Err(Errno::WOULDBLOCK) => std::thread::sleep(RETRY),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).at("lock", path),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_hold_what_was_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let take = || Lock::file(&path, Mode::Exclusive, Duration::ZERO);
        let held = take().unwrap();
        assert!(matches!(take(), Err(Error::Busy { .. })));
        // As a program has it that is being started.
        let _copy = held.file.try_clone().unwrap();
        drop(held);
        take().unwrap();
        // A fork's copy of a lock, which is dropped there.
        let held = take().unwrap();
        drop(Lock { file: held.file.try_clone().unwrap(), owner: held.owner + 1 });
        assert!(matches!(take(), Err(Error::Busy { .. })));
    }
}
