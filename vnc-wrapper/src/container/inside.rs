//! Reaching files and sockets of a session from outside, without being led astray.
//!
//! Through /proc/PID/root an absolute symbolic link of the session would lead into the outside's own files. So every
//! path is resolved with the session's root as the root of all (openat2(2), RESOLVE_IN_ROOT), and what was found is
//! used by its descriptor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

/// What the session of `init` has at `path`, opened with `flags` and without following a link at its end.
///
/// # Errors
/// When nothing is there, or it cannot be opened.
pub fn open_at(init: u32, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let root = open(format!("/proc/{init}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    };
    Ok(openat2(&root, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// A socket of a session, found once; it stays this one whatever the session does to its name.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// The socket that the session of `init` has at `path`.
    ///
    /// # Errors
    /// When nothing is there, or no socket.
    pub fn find(init: u32, path: &str) -> io::Result<Self> {
        let found = open_at(init, path, OFlags::PATH)?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Socket {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path} of the session is no socket")));
        }
        Ok(Self(found))
    }

    /// A path that leads to it for as long as `self` lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// Whether the session of `init` has a socket at `path`.
pub fn has_socket(init: u32, path: &str) -> bool {
    Socket::find(init, path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_link_leads_nowhere_outside() {
        let outside = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(outside.path().join("socket")).unwrap();
        // Our own root stands for a session's: what is found through it is found, what is no socket is not.
        let direct = outside.path().join("socket");
        let own = std::process::id();
        let found = Socket::find(own, direct.to_str().unwrap()).unwrap();
        UnixStream::connect(found.path()).unwrap();
        let link = outside.path().join("link");
        symlink(&direct, &link).unwrap();
        assert!(Socket::find(own, link.to_str().unwrap()).is_err(), "a link was followed");
        assert!(!has_socket(own, "/dev/null"));
    }
}
