//! Room that is kept for small records, so that `delete`, `unpin` and their like work on a disk with 0 bytes free.
//!
//! `.reserve` in the data directory holds nothing. A record that meets a full disk takes a piece of it and is written again, as
//! atomically as ever; afterwards the reserve takes back what it can, which is all of it when the record took the place of one of
//! the same size. A crash in between leaves a smaller reserve and no other trace, so its writes need no order and no watcher.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::error::{Error, Kind, Result};

/// Its size in bytes: room for a first mark on a thousand snapshots.
const SIZE: u64 = 4 << 20;
/// What is taken of it, or given back, at a time: more than a record and the directory entries for it.
const PIECE: u64 = 64 << 10;

/// The reserve of a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    fn open(&self) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.0)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// Takes back as much room as there is. A disk that has none, or cannot be written, has no reserve.
    pub(crate) fn fill(&self) {
        let filled = || {
            if std::fs::metadata(&self.0).is_ok_and(|file| file.len() >= SIZE) {
                return Ok(());
            }
            let file = self.open()?;
            let mut length = file.metadata()?.len();
            if fallocate(&file, FallocateFlags::empty(), 0, SIZE).is_ok() {
                return Ok(());
            }
            // Then as much of it as there is.
            while length < SIZE {
                fallocate(&file, FallocateFlags::empty(), length, PIECE)?;
                length += PIECE;
            }
            Ok::<_, io::Error>(())
        };
        let _ = filled();
    }

    /// Gives a piece up; answers whether there was one.
    fn spend(&self) -> io::Result<bool> {
        let file = self.open()?;
        let length = file.metadata()?.len();
        if length == 0 {
            return Ok(false);
        }
        file.set_len(length.saturating_sub(PIECE))?;
        // Only then can others have it.
        file.sync_all()?;
        Ok(true)
    }

    /// Does `write`, which writes one small record, and again with room of the reserve where there is no other.
    pub(crate) fn with_room(&self, mut write: impl FnMut() -> Result<()>) -> Result<()> {
        loop {
            match write() {
                Err(error @ Error::Io { .. }) if error.kind() == Kind::NoSpace => {
                    // Whatever keeps the reserve from being had, the disk is what is full.
                    if !self.spend().unwrap_or(false) {
                        return Err(error);
                    }
                }
                other => {
                    self.fill();
                    return other;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_9_9_a_record_takes_room_of_the_reserve_which_takes_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".reserve");
        let reserve = Reserve::at(path.clone());
        let length = || std::fs::metadata(&path).unwrap().len();
        reserve.fill();
        assert_eq!(length(), SIZE);
        let full = || Error::Io { action: "write", path: path.clone(), source: io::ErrorKind::StorageFull.into() };
        let mut tries = 0;
        let two_pieces = || {
            tries += 1;
            if length() > SIZE - 2 * PIECE { Err(full()) } else { Ok(()) }
        };
        reserve.with_room(two_pieces).unwrap();
        assert_eq!((tries, length()), (3, SIZE));
        // Never enough: the error is the disk's.
        let error = reserve.with_room(|| Err(full())).unwrap_err();
        assert_eq!((error.kind(), length()), (Kind::NoSpace, 0));
        // Other errors are not for it.
        reserve.fill();
        let error = reserve.with_room(|| Err(Error::Cancelled)).unwrap_err();
        assert!(matches!(error, Error::Cancelled) && length() == SIZE);
    }
}
