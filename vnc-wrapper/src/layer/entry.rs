//! Copying one entry of a layer with everything that belongs to it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use freezeframe_store::form;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, XattrFlags, chownat, copy_file_range,
    ftruncate, ioctl_ficlone, mkdirat, mknodat, openat, readlinkat, seek, statat, symlinkat, utimensat,
};
use rustix::fs::{Gid, Uid};

/// Longest list of attribute names, and longest value, that the kernel has (xattr(7)).
const MAX_ATTRIBUTE: usize = 64 << 10;

/// What kind of entry a stat is of.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Opens a directory below `parent` without following a link.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// What `name` is, without following a link.
pub(super) fn stat(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Stat> {
    Ok(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Opens the regular file `name`, without following a link and without blocking on what is none.
pub(super) fn open_file(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(openat(parent, name, flags, Mode::empty())?))
}

/// Makes `name` in `to`, a copy of the non-directory `name` in `from` with contents, owner, mode, attributes and times. `shift` was
/// added to the ids in `stat`.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &Stat, shift: u32) -> io::Result<()> {
    match kind(stat) {
        FileType::RegularFile => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = open_file(from, name)?;
            let target = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
            copy_contents(&source, &target)?;
        }
        FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?,
        other => mknodat(to, name, other, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
    }
    copy_metadata(from, to, name, stat, shift)
}

/// Makes the directory `name` in `to`. Its metadata is copied when everything in it is there.
pub(super) fn make_directory(to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    Ok(mkdirat(to, name, Mode::RWXU)?)
}

/// Gives `name` in `to` the owner, mode, attributes and times of `name` in `from`. `shift` was added to the ids in `stat`.
pub(super) fn copy_metadata(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
    shift: u32,
) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if kind(stat) != FileType::Symlink {
        // After chown, which clears the set-id bits. `to` is ours alone, so the name cannot become a link meanwhile.
        rustix::fs::chmodat(to, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    copy_attributes(from, to, name, shift)?;
    set_times(to, name, stat)
}

/// Gives `name` in `to` the times of access and change that `stat` has.
pub(super) fn set_times(to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let time = |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives `name` in `to` exactly the attributes of `name` in `from`, the overlay's own, ACLs and capabilities among them, with `shift`
/// added to the ids in them.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, shift: u32) -> io::Result<()> {
    let (source, target) = (through(from, name)?, through(to, name)?);
    let wanted = attribute_names(&source)?;
    for present in attribute_names(&target)? {
        if !wanted.contains(&present) {
            rustix::fs::lremovexattr(&target, &present)?;
        }
    }
    let mut value = vec![0u8; MAX_ATTRIBUTE];
    for attribute in wanted {
        let length = rustix::fs::lgetxattr(&source, &attribute, &mut value[..])?;
        let shifted = match shift {
            0 => None,
            _ => Some(form::shift_ids(attribute.to_bytes(), &value[..length], shift).map_err(io::Error::other)?),
        };
        let value = shifted.as_deref().unwrap_or(&value[..length]);
        rustix::fs::lsetxattr(&target, &attribute, value, XattrFlags::empty())?;
    }
    Ok(())
}

fn attribute_names(path: &CStr) -> io::Result<Vec<CString>> {
    let mut names = vec![0u8; MAX_ATTRIBUTE];
    let length = rustix::fs::llistxattr(path, &mut names[..])?;
    let names = names[..length].split(|&b| b == 0).filter(|n| !n.is_empty());
    Ok(names.filter_map(|n| CString::new(n).ok()).collect())
}

/// A path to `name` that starts at the open directory, for the calls that have no `…at` form. They do not follow a link
/// in its last part, and the part before cannot be exchanged.
pub(super) fn through(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    Ok(CString::new(path)?)
}

/// Copies contents and length, keeping holes as holes; by reference where the file system can.
fn copy_contents(source: &File, target: &File) -> io::Result<()> {
    if ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    let length = source.metadata()?.len();
    ftruncate(target, length)?;
    let mut position = 0;
    while position < length {
        let data = match seek(source, SeekFrom::Data(position)) {
            // A hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            other => other?,
        };
        let end = seek(source, SeekFrom::Hole(data))?.min(length);
        copy_range(source, target, data, end)?;
        position = end;
    }
    Ok(())
}

fn copy_range(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(source.as_fd(), Some(&mut from), target.as_fd(), Some(&mut to), length) {
            // The file became shorter; the copy made while frozen will have it right.
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => {
                return copy_range_by_hand(source, target, from, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_range_by_hand(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0u8; 1 << 17];
    let mut position = start;
    while position < end {
        let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let read = source.read_at(&mut buffer[..wanted], position)?;
        if read == 0 {
            break;
        }
        target.write_all_at(&buffer[..read], position)?;
        position += read as u64;
    }
    Ok(())
}
