//! An entry of a watched directory, and what is done to it so that an event arises.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat, unlinkat};

use super::plan::Deed;

/// Where what is in the way goes for a moment, in its own directory.
const AWAY: &[u8] = b".freezeframe.away";

/// Reads a byte, or an entry.
pub(super) fn read_some(file: &OwnedFd) -> io::Result<()> {
    if FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::Directory {
        return Ok(rustix::fs::Dir::read_from(file)?.next().transpose().map(drop)?);
    }
    Ok(rustix::io::read(file, &mut [0u8; 1]).map(drop)?)
}

/// An entry of a directory.
pub(super) struct Entry<'a> {
    pub(super) at: BorrowedFd<'a>,
    pub(super) name: &'a [u8],
}

impl Entry<'_> {
    fn stat(&self) -> Option<rustix::fs::Stat> {
        statat(self.at, self.name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// Does `act` while nothing has this name.
    pub(super) fn cleared(&self, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.stat().is_none() {
            return act();
        }
        let away = Entry { at: self.at, name: AWAY };
        self.rename(&away)?;
        let done = act();
        away.rename(self)?;
        done
    }

    /// Away and back, under a name that nobody else has.
    pub(super) fn rename_and_back(
        &self,
        heard: impl FnOnce(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let away = Entry { at: self.at, name: AWAY };
        heard(&mut || self.rename(&away))?;
        away.rename(self)
    }

    pub(super) fn rename(&self, to: &Entry<'_>) -> io::Result<()> {
        Ok(rustix::fs::renameat(self.at, self.name, to.at, to.name)?)
    }

    pub(super) fn make(&self, directory: bool) -> io::Result<()> {
        let mode = Mode::from_raw_mode(0o700);
        if directory {
            return Ok(rustix::fs::mkdirat(self.at, self.name, mode)?);
        }
        // Without opening it, which would be an event of its own.
        Ok(rustix::fs::mknodat(self.at, self.name, FileType::RegularFile, mode, 0)?)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        let is_directory = self.stat().is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        Ok(unlinkat(self.at, self.name, flags)?)
    }

    pub(super) fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(openat(self.at, self.name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())?)
    }

    /// Whether reading it makes the event, and nothing else.
    pub(super) fn can_be_read(&self, directory: bool, deed: Deed) -> bool {
        let Some(stat) = self.stat() else { return false };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => directory,
            FileType::RegularFile => !directory && (deed != Deed::Access || stat.st_size > 0),
            _ => false,
        }
    }

    pub(super) fn read(
        &self,
        deed: Deed,
        heard: impl Fn(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut file = None;
        let open = &mut || self.open(OFlags::RDONLY).map(|opened| file = Some(opened));
        if deed == Deed::Open {
            return heard(open);
        }
        open()?;
        heard(&mut || match deed {
            Deed::Access => file.as_ref().map_or(Ok(()), read_some),
            _ => {
                drop(file.take());
                Ok(())
            }
        })
    }
}
