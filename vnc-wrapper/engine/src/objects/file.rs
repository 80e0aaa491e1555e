//! Files and directories: where they are, how they were opened, and the position.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, SeekFrom};

use super::{Error, Finding, Names, Seen, common, fit};
use crate::process::fdinfo::{LockAccess, LockKind};
use crate::record::objects::{Content, FileDescription, FileLock, LockRange};
use crate::sys::descriptor;

/// Flags that a file is opened with again: not those that make it, cut it or ask for one without a name.
pub const OPEN_FLAGS: u32 = !((libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC) as u32 | WITHOUT_NAME | SIGNALS);
/// `__O_TMPFILE` (asm-generic/fcntl.h), which comes with O_DIRECTORY though what it makes is none.
pub(super) const WITHOUT_NAME: u32 = 0o20_000_000;
const SIGNALS: u32 = libc::O_ASYNC as u32;
/// What the kernel appends to the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

/// What would be lost: the file of a descriptor that lies outside of all mounts that the session sees, leases that somebody waits for, and
/// those of file servers.
#[must_use]
pub fn look(seen: &Seen) -> Option<Finding> {
    if seen.link.starts_with(b"(unreachable)") {
        return Some(seen.finding("it is not below the session's root directory"));
    }
    if seen.info.locks.iter().any(|lock| lock.breaking) {
        return Some(seen.passing("somebody waits for its lease on it"));
    }
    let lock = seen.info.locks.iter().find(|lock| lock.kind == LockKind::Delegation)?;
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
    let mut flags = record.common.flags & OPEN_FLAGS;
    if record.common.flags & WITHOUT_NAME != 0 {
        flags &= !libc::O_DIRECTORY.cast_unsigned();
    }
    let made = match record.content {
        Content::Named => names.open(&record.path, flags),
        Content::Object { object } => names.object(object, flags),
    }
    .map_err(Error::given(who(), "open"))?;
    if flags & libc::O_PATH.cast_unsigned() == 0 && record.position != 0 {
        let position = SeekFrom::Start(record.position.cast_unsigned());
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
