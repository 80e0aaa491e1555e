//! Files and directories that somebody has open or mapped, and that have no name any more. The content of a file is in regions, as
//! that of a memfd; a directory is empty.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

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

/// A directory in which files are made: by this process, or by one of the session, whose file system may take ids from nobody else.
pub trait Place {
    /// openat(2) of `name` in it, for its maker alone.
    ///
    /// # Errors
    /// Those of the call.
    fn open(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd>;

    /// mkdirat(2), for its maker alone.
    ///
    /// # Errors
    /// Those of the call.
    fn make_directory(&self, name: &str) -> io::Result<()>;

    /// unlinkat(2).
    ///
    /// # Errors
    /// Those of the call.
    fn remove(&self, name: &str, flags: AtFlags) -> io::Result<()>;
}

impl Place for OwnedFd {
    fn open(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(self, name, flags, Mode::from_raw_mode(MODE))?)
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self, name, Mode::from_raw_mode(MODE))?)
    }

    fn remove(&self, name: &str, flags: AtFlags) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, flags)?)
    }
}

/// Makes it, empty and for its maker alone, in a directory of its file system, to which `place` leads.
///
/// # Errors
/// When it is of another kind, or the file system does not take it.
pub fn give<P: Place>(
    record: &SharedObject,
    names: &impl Names,
    place: impl FnOnce(OwnedFd) -> io::Result<P>,
) -> Result<OwnedFd, Error> {
    let who = || format!("a file without a name ({})", record.id);
    let failed = |call| move |error: io::Error| Error::given(who(), call)(error);
    let open = |near: &[u8]| {
        let flags = (libc::O_PATH | libc::O_DIRECTORY).cast_unsigned();
        let opened = names.open(near, flags).and_then(place);
        opened.map_err(Error::given(format!("{}, in {}", who(), near.escape_ascii()), "open"))
    };
    match &record.origin {
        Origin::File { near, linkable } => {
            let made = file(&open(near)?, *linkable).map_err(failed("open"))?;
            rustix::fs::ftruncate(&made, record.size).map_err(|error| failed("ftruncate")(error.into()))?;
            Ok(made)
        }
        Origin::Directory { near } => directory(&open(near)?).map_err(failed("mkdir")),
        _ => Err(Error::Refused { what: who(), reason: "it is no file that can be made".to_owned() }),
    }
}

fn file(near: &impl Place, linkable: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let unnamed = flags | OFlags::TMPFILE | if linkable { OFlags::empty() } else { OFlags::EXCL };
    match near.open(".", unnamed) {
        // A file system that makes no files without names.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {}
        made => return made,
    }
    free_name(|name| {
        let made = near.open(name, flags | OFlags::CREATE | OFlags::EXCL)?;
        near.remove(name, AtFlags::empty())?;
        Ok(made)
    })
}

fn directory(near: &impl Place) -> io::Result<OwnedFd> {
    free_name(|name| {
        near.make_directory(name)?;
        let opened = near.open(name, OFlags::DIRECTORY | OFlags::CLOEXEC);
        near.remove(name, AtFlags::REMOVEDIR)?;
        opened
    })
}

/// Calls `make` with names until it finds one that nothing has.
fn free_name(make: impl Fn(&str) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let taken =
        |made: &io::Result<OwnedFd>| made.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EEXIST));
    let names = (0..TRIES).map(|number| format!(".freezeframe-{}-{number}", std::process::id()));
    names.map(|name| make(&name)).find(|made| !taken(made)).unwrap_or(Err(io::ErrorKind::AlreadyExists.into()))
}
