//! Something that a process has open, and what /proc tells of it, each thing read when it is asked for.

use std::cell::OnceCell;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use crate::container::processes::{Process, has_ended};
use crate::kernel::process;

/// A descriptor of a process.
#[derive(Debug)]
pub struct Descriptor<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its number there.
    pub number: i32,
    /// Where it is in /proc.
    pub path: PathBuf,
    /// What its link there says: a path, or the kind of what has none (`socket:[7]`, `anon_inode:inotify`).
    pub link: String,
    metadata: OnceCell<Option<Metadata>>,
    about: OnceCell<String>,
    copy: OnceCell<Option<OwnedFd>>,
}

/// All that `process` has open; nothing once it has ended.
///
/// # Errors
/// When /proc cannot be read.
pub fn open(process: &Process) -> io::Result<Vec<Descriptor<'_>>> {
    let entries = match fs::read_dir(process.proc("fd")) {
        Err(error) if has_ended(&error) => return Ok(Vec::new()),
        other => other?,
    };
    // One that is closed meanwhile is not there.
    let one = |path: PathBuf| {
        let link = fs::read_link(&path).ok()?.to_string_lossy().into_owned();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        let (metadata, about, copy) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Some(Descriptor { process, number, path, link, metadata, about, copy })
    };
    Ok(entries.flatten().filter_map(|entry| one(entry.path())).collect())
}

impl Descriptor<'_> {
    /// What it is of.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.get_or_init(|| fs::metadata(&self.path).ok()).as_ref()
    }

    /// Device and inode of what it is of. All anonymous ones share one.
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.metadata().map(|m| (m.dev(), m.ino()))
    }

    /// What its file in /proc/PID/fdinfo says (proc_pid_fdinfo(5)).
    pub(super) fn about(&self) -> &str {
        let read = || fs::read_to_string(self.process.proc("fdinfo").join(self.number.to_string()));
        self.about.get_or_init(|| read().unwrap_or_default())
    }

    /// The field `key` of that file.
    pub(super) fn field(&self, key: &str) -> Option<&str> {
        field(self.about(), key)
    }

    /// A copy of it (pidfd_getfd(2)).
    pub(super) fn copy(&self) -> Option<&OwnedFd> {
        self.copy.get_or_init(|| process::descriptor(self.process.outside, self.number).ok()).as_ref()
    }

    /// Whether it is a socket.
    pub(super) fn is_socket(&self) -> bool {
        self.link.starts_with("socket:")
    }

    /// The inode number of the socket that it is.
    pub(super) fn socket(&self) -> Option<u64> {
        self.is_socket().then(|| self.metadata().map(Metadata::ino))?
    }

    /// Whether it is of a file system that can have a mount point.
    pub(super) fn has_path(&self) -> bool {
        self.link.starts_with('/') && !self.link.starts_with("/memfd:")
    }

    /// The major number of the device that it is.
    pub(super) fn device(&self) -> Option<u32> {
        let metadata = self.has_path().then(|| self.metadata()).flatten()?;
        let kind = metadata.file_type();
        (kind.is_char_device() || kind.is_block_device()).then(|| rustix::fs::major(metadata.rdev()))
    }
}

/// The field `key` of a file in /proc/PID/fdinfo.
pub(super) fn field<'t>(about: &'t str, key: &str) -> Option<&'t str> {
    about.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_open_is_seen_with_its_kind() {
        let own = std::process::id();
        let process =
            Process { outside: own, inside: 1, parent: 0, threads: 1, name: "t".into(), tracer: 0, state: 'S' };
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
        let all = open(&process).unwrap();
        let found = all.iter().find(|d| d.number == number).unwrap();
        assert!(found.is_socket() && found.socket().is_some() && !found.has_path() && found.device().is_none());
        assert!(found.field("flags").is_some());
        let gone = Process { outside: u32::MAX, ..process };
        assert!(open(&gone).unwrap().is_empty());
    }
}
