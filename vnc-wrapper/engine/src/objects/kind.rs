//! Which kind a descriptor is of: by its inode and by the name that the kernel shows for it.

use rustix::fs::FileType;

use super::Seen;
use crate::sys::mqueue;

/// A kind of open file description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of some file system.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, opened by O_PATH.
    Link,
    /// The end of a pipe.
    Pipe,
    /// The end of a FIFO. By O_PATH: no end, but its name.
    Fifo,
    /// A socket.
    Socket,
    /// A character device, by its number (major, minor).
    Character(u32, u32),
    /// A block device, by its number (major, minor).
    Block(u32, u32),
    /// memfd_create(2).
    Memfd,
    /// eventfd(2).
    Event,
    /// timerfd_create(2).
    Timer,
    /// signalfd(2).
    Signal,
    /// epoll(7).
    Poll,
    /// inotify(7).
    Inotify,
    /// pidfd_open(2).
    Process,
    /// mq_open(3).
    Queue,
    /// Another that has no name in a file system, as the kernel calls it: `[io_uring]`, `[userfaultfd]`, `net:[4026531840]`.
    Other(String),
}

const ANONYMOUS: &[u8] = b"anon_inode:";

impl Kind {
    /// The kind of what is seen.
    pub fn of(seen: &Seen) -> Self {
        let link = seen.link.as_slice();
        if let Some(name) = link.strip_prefix(ANONYMOUS) {
            return match name {
                b"[eventfd]" => Self::Event,
                b"[timerfd]" => Self::Timer,
                b"[signalfd]" => Self::Signal,
                b"[eventpoll]" => Self::Poll,
                b"inotify" | b"[inotify]" => Self::Inotify,
                b"[pidfd]" => Self::Process,
                other => Self::Other(other.escape_ascii().to_string()),
            };
        }
        // Paths begin with a slash; other names are the kernel's.
        let named = link.first() == Some(&b'/');
        let number = (rustix::fs::major(seen.stat.st_rdev), rustix::fs::minor(seen.stat.st_rdev));
        match FileType::from_raw_mode(seen.stat.st_mode) {
            FileType::Fifo if link.starts_with(b"pipe:[") => Self::Pipe,
            FileType::Socket if link.starts_with(b"socket:[") => Self::Socket,
            FileType::Fifo if named => Self::Fifo,
            FileType::Directory if named => Self::Directory,
            FileType::Symlink if named => Self::Link,
            FileType::CharacterDevice if named => Self::Character(number.0, number.1),
            FileType::BlockDevice if named => Self::Block(number.0, number.1),
            FileType::RegularFile if named && seen.stat.st_nlink == 0 && link.starts_with(b"/memfd:") => Self::Memfd,
            FileType::RegularFile if named && mqueue::is_one(seen.copy()) => Self::Queue,
            FileType::RegularFile | FileType::Socket if named => Self::File,
            _ => Self::Other(link.escape_ascii().to_string()),
        }
    }
}
