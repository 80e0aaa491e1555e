//! Files and directories: where they are, how they were opened, and the position.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{FlockOperation, SeekFrom as Whence};

use super::kind::Kind;
use super::{Error, Finding, Names, Seen, common, fit};
use crate::process::fdinfo::{LockAccess, LockKind};
use crate::record::objects::{Content, FileDescription, FileLock, LockRange};
use crate::sys::descriptor;

/// Flags that a file is opened with again: not those that make it, cut it or ask for one without a name (`__O_TMPFILE`).
pub const OPEN_FLAGS: u32 = !((libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC) as u32 | 0o20_000_000 | SIGNALS);
const SIGNALS: u32 = libc::O_ASYNC as u32;
/// What the kernel appends to the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";
/// How much is copied at once, in bytes.
const PIECE: usize = 1 << 20;

/// What would be lost: the file of a descriptor that lies outside of all mounts that the session sees, locks that belong to a process,
/// and leases.
#[must_use]
pub fn look(seen: &Seen) -> Option<Finding> {
    if seen.link.starts_with(b"(unreachable)") {
        return Some(seen.finding("it is not below the session's root directory"));
    }
    let lock = seen.info.locks.iter().find(|lock| !matches!(lock.kind, LockKind::Flock | LockKind::OpenFile))?;
    Some(seen.finding(format!("a lock on it ({:?})", lock.kind)))
}

/// Its locks that belong to the description.
fn locks(seen: &Seen) -> impl Iterator<Item = FileLock> {
    seen.info.locks.iter().filter_map(|lock| {
        let range = match lock.kind {
            LockKind::Flock => None,
            LockKind::OpenFile => Some(LockRange { start: lock.start, last: lock.end }),
            _ => return None,
        };
        Some(FileLock { exclusive: lock.access == LockAccess::Write, range })
    })
}

/// Its path, without what the kernel appends when it has no name any more.
#[must_use]
pub fn path(seen: &Seen) -> &[u8] {
    match seen.link.strip_suffix(DELETED) {
        // A directory has no links when it is gone; a file may have others, under names that only a walk would find.
        Some(path) if seen.stat.st_nlink == 0 => path,
        _ => &seen.link,
    }
}

/// Its record; the number in the snapshot is `id`. `content` says where its content is: the caller knows which names lead to the
/// same inode in the session.
///
/// # Errors
/// When it is no file, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32, content: Content) -> Result<FileDescription, Error> {
    if seen.link.first() != Some(&b'/') {
        return Err(seen.refused("it has no path in the session"));
    }
    Ok(FileDescription {
        common: common::take(seen, id)?,
        path: fit(seen, "its path", path(seen).to_vec())?,
        content,
        position: seen.info.position,
        locks: fit(seen, "its locks", locks(seen).collect::<Vec<_>>())?,
    })
}

/// Opens it again.
///
/// # Errors
/// When it is not there, or may not be opened so any more.
pub fn give(record: &FileDescription, names: &impl Names) -> Result<OwnedFd, Error> {
    let who = || format!("{} ({})", record.path.escape_ascii(), record.common.id);
    let flags = record.common.flags & OPEN_FLAGS;
    let made = match record.content {
        Content::Named => names.open(&record.path, flags),
        Content::Unlinked { number } => names.unlinked(number, flags),
        Content::Object { object } => names.object(object, flags),
    }
    .map_err(Error::given(who(), "open"))?;
    if flags & libc::O_PATH.cast_unsigned() == 0 && record.position != 0 {
        let position = Whence::Start(record.position.cast_unsigned());
        rustix::fs::seek(&made, position).map_err(|error| Error::given(who(), "lseek")(error.into()))?;
    }
    for lock in record.locks.iter() {
        let locked = match &lock.range {
            Some(range) => descriptor::lock(made.as_fd(), lock.exclusive, range.start, range.last),
            None => {
                use FlockOperation::{NonBlockingLockExclusive as Exclusive, NonBlockingLockShared as Shared};
                let operation = if lock.exclusive { Exclusive } else { Shared };
                rustix::fs::flock(&made, operation).map_err(Into::into)
            }
        };
        locked.map_err(Error::given(who(), "lock"))?;
    }
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}

/// Whether the content of what is seen has to be kept apart, for no name leads to it.
#[must_use]
pub fn is_unlinked(seen: &Seen) -> bool {
    seen.stat.st_nlink == 0 && Kind::of(seen) == Kind::File
}

/// Copies content from `from`, a description of our own, to the empty file `to`; holes stay holes.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub fn copy_content(from: &mut File, to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(&*from, Whence::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = rustix::fs::seek(&*from, Whence::Hole(data))?.min(size);
        at = data;
        while at < hole {
            let length = (hole - at).min(PIECE as u64) as usize;
            from.read_exact_at(&mut buffer[..length], at)?;
            to.write_all_at(&buffer[..length], at)?;
            at += length as u64;
        }
    }
    from.seek(SeekFrom::Start(0)).map(drop)
}
