//! How paths of the session are opened.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Opens what a content names by a path of the session.
pub trait Files {
    /// Opens `path`, an absolute path in the session, with `flags`; none of them makes or truncates anything.
    ///
    /// # Errors
    /// Those of openat2(2).
    fn open(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd>;
}

/// A directory that is the session's root.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// `directory` as the root.
    #[must_use]
    pub fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

impl Files for Root {
    fn open(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        // O_PATH goes with few others.
        let never = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NOCTTY };
        let flags = flags | OFlags::CLOEXEC | never;
        Ok(rustix::fs::openat2(self.0.as_fd(), path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?)
    }
}
