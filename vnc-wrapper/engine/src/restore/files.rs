//! How paths of the session are opened.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::objects::open_below;

/// Opens what a content names.
pub trait Files {
    /// Opens `path`, an absolute path in the session without symbolic links, with these flags of open(2).
    ///
    /// # Errors
    /// Those of open(2).
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd>;
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
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd> {
        open_below(self.0.as_fd(), path, flags)
    }
}
