//! What belongs to every entry, read from the file system and put back. No call here follows a symbolic link.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    lgetxattr, llistxattr, lremovexattr, lsetxattr, openat, utimensat,
};
use rustix::io::Errno;

use super::entry::{MAX_ATTRIBUTE, Meta, Time};

/// What kind of entry a stat is of.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Opens without changing the access time, where the file is ours.
fn open_quietly(parent: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(openat(parent, name, flags, Mode::empty())?),
        other => Ok(other?),
    }
}

/// Opens a directory below `parent`.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open_quietly(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens the regular file `name` for reading.
pub(super) fn open_file(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open_quietly(parent, name, OFlags::RDONLY)
}

/// The names in a directory but `.` and `..`, in the order of their bytes.
pub(super) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::new(open_directory(directory, c".")?)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A path to `name` that starts at the open directory, for the calls that have no `…at` form.
fn through(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    Ok(CString::new(path)?)
}

/// Reads what belongs to entries. Buffers are kept.
#[derive(Debug)]
pub(super) struct MetaReader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl MetaReader {
    pub(super) fn new() -> Self {
        Self { names: vec![0; MAX_ATTRIBUTE], value: vec![0; MAX_ATTRIBUTE] }
    }

    pub(super) fn read(&mut self, parent: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<Meta> {
        Ok(Meta {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            attributes: self.attributes(parent, name)?,
        })
    }

    fn attributes(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = through(parent, name)?;
        let names = match list(&path, &mut self.names)? {
            names if names.is_empty() => return Ok(Vec::new()),
            names => names,
        };
        let mut attributes = Vec::new();
        for name in names {
            let length = lgetxattr(&path, &name, &mut self.value[..])?;
            attributes.push((name.into_bytes(), self.value.get(..length).unwrap_or_default().to_vec()));
        }
        attributes.sort_unstable();
        Ok(attributes)
    }
}

fn list(path: &CStr, buffer: &mut [u8]) -> io::Result<Vec<CString>> {
    let length = match llistxattr(path, &mut *buffer) {
        // A file system that has none.
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = buffer.get(..length).unwrap_or_default().split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

fn time(seconds: i64, nanoseconds: u64) -> Time {
    Time { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) }
}

/// Gives `name` in `parent`, of which it is known whether it is a symbolic link, everything in `meta`.
pub(super) fn apply(parent: BorrowedFd<'_>, name: &CStr, is_symlink: bool, meta: &Meta) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !is_symlink {
        // After chown, which clears the set-id bits. `parent` is ours alone, so the name cannot become a link meanwhile.
        chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    }
    apply_attributes(parent, name, meta)?;
    let time = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    let times = Timestamps { last_access: time(meta.accessed), last_modification: time(meta.modified) };
    Ok(utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn apply_attributes(parent: BorrowedFd<'_>, name: &CStr, meta: &Meta) -> io::Result<()> {
    let path = through(parent, name)?;
    // A directory with a default ACL gives its new entries one that they must not keep. Most have nothing.
    let mut present = [0u8; 4096];
    for given in list(&path, &mut present)? {
        let wanted = meta.attributes.iter().any(|(wanted, _)| wanted == given.as_bytes());
        if !wanted && given.to_bytes().starts_with(b"system.posix_acl_") {
            lremovexattr(&path, &given)?;
        }
    }
    for (name, value) in &meta.attributes {
        lsetxattr(&path, name.as_slice(), value, XattrFlags::empty()).map_err(|error| {
            let name = String::from_utf8_lossy(name);
            io::Error::new(io::Error::from(error).kind(), format!("attribute {name}: {error}"))
        })?;
    }
    Ok(())
}

/// What `name` is, without following a link.
pub(super) fn stat(parent: &impl AsFd, name: &CStr) -> io::Result<Stat> {
    Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
}
