//! Files and directories that somebody has open or mapped, and that have no name any more. The content of a file is in regions, as
//! that of a memfd; a directory is empty.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::file::WITHOUT_NAME;
use super::{Error, Names, Seen, fit};
use crate::record::memory::{Origin, SharedObject};

/// Until it has its own.
const MODE: u32 = 0o700;
/// How many names are tried that others might have.
const TRIES: u32 = 1000;

/// The record of what is seen; the number in the snapshot is `id`. `near` is a directory of its file system. Its descriptions are
/// files ([`super::file`]) with that content, its pages are read by [`crate::memory::shared::read_file`].
///
/// # Errors
/// When it is neither file nor directory, or too long.
pub fn take(seen: &Seen, id: u32, near: &[u8]) -> Result<SharedObject, Error> {
    let near = fit(seen, "a directory of its file system", near.to_vec())?;
    let (origin, size) = match FileType::from_raw_mode(seen.stat.st_mode) {
        FileType::RegularFile => {
            (Origin::File { near, linkable: seen.info.flags & WITHOUT_NAME != 0 }, seen.stat.st_size)
        }
        FileType::Directory => (Origin::Directory { near }, 0),
        _ => return Err(seen.refused("it has no name any more, and is neither file nor directory")),
    };
    Ok(SharedObject {
        id,
        origin,
        size: u64::try_from(size).map_err(|_| seen.refused("its length is below 0"))?,
        seals: 0,
        user: seen.stat.st_uid,
        group: seen.stat.st_gid,
        mode: seen.stat.st_mode & 0o7777,
    })
}

/// Makes it, empty and for its maker alone.
///
/// # Errors
/// When it is of another kind, or the file system does not take it.
pub fn give(record: &SharedObject, names: &impl Names) -> Result<OwnedFd, Error> {
    let who = || format!("a file without a name ({})", record.id);
    let failed = |call| move |error: Errno| Error::given(who(), call)(error.into());
    let open = |near: &[u8]| {
        let flags = (libc::O_PATH | libc::O_DIRECTORY).cast_unsigned();
        names.open(near, flags).map_err(Error::given(format!("{}, in {}", who(), near.escape_ascii()), "open"))
    };
    match &record.origin {
        Origin::File { near, linkable } => {
            let made = file(open(near)?.as_fd(), *linkable).map_err(failed("open"))?;
            rustix::fs::ftruncate(&made, record.size).map_err(failed("ftruncate"))?;
            Ok(made)
        }
        Origin::Directory { near } => directory(open(near)?.as_fd()).map_err(failed("mkdir")),
        _ => Err(Error::Refused { what: who(), reason: "it is no file that can be made".to_owned() }),
    }
}

fn file(near: BorrowedFd<'_>, linkable: bool) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let unnamed = flags | OFlags::TMPFILE | if linkable { OFlags::empty() } else { OFlags::EXCL };
    match rustix::fs::openat(near, ".", unnamed, Mode::from_raw_mode(MODE)) {
        // A file system that makes no files without names.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        made => return made,
    }
    free_name(|name| {
        let made = rustix::fs::openat(near, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(MODE))?;
        rustix::fs::unlinkat(near, name, AtFlags::empty())?;
        Ok(made)
    })
}

fn directory(near: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    free_name(|name| {
        rustix::fs::mkdirat(near, name, Mode::from_raw_mode(MODE))?;
        let opened = rustix::fs::openat(near, name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        rustix::fs::unlinkat(near, name, AtFlags::REMOVEDIR)?;
        opened
    })
}

/// Calls `make` with names until it finds one that nothing has.
fn free_name(make: impl Fn(&str) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let names = (0..TRIES).map(|number| format!(".freezeframe-{}-{number}", std::process::id()));
    names.map(|name| make(&name)).find(|made| !matches!(made, Err(Errno::EXIST))).unwrap_or(Err(Errno::EXIST))
}
