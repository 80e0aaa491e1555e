//! The two passes over a layer.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, linkat, openat, unlinkat};

use super::{LayerError, entry};
use crate::kernel::file_range;

/// Set from elsewhere to end the first pass early.
pub type Cancelled = AtomicBool;

/// A change this close to the start of the first pass may share its ctime with a later one: the kernel stamps files with
/// a clock that moves once a tick, of 10 ms at most (`ktime_get_coarse_real_ts64`).
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// Directories nested deeper are refused: each level takes two descriptors and a piece of the stack while it is walked.
pub(super) const MAX_DEPTH: u32 = 256;

// What was saved must be packed: the store counts the layer's root and its upper directory too.
const _: () = assert!(MAX_DEPTH as usize + 2 < freezeframe_store::MAX_DEPTH);

/// What tells whether an entry is still what was copied. The ctime cannot be set by programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    mode: u32,
    size: i64,
    ctime: (i64, u64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self { inode: stat.st_ino, mode: stat.st_mode, size: stat.st_size, ctime: (stat.st_ctime, stat.st_ctime_nsec) }
    }
}

/// One directory that a capture copies, and the name that its copy has.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The directory.
    pub source: &'a Path,
    /// Its copy's name in the target.
    pub name: &'static str,
    /// Whether only what is in it counts: of the directory itself nothing is copied, nor of directories in it.
    pub only_files: bool,
    /// Whether what is mounted below it is passed over, and where it is mounted.
    pub one_file_system: bool,
    /// What is added to every user and group id, those in ACLs and capabilities among them, modulo 2^32.
    pub shift: u32,
}

/// A part that is open.
#[derive(Debug)]
struct Open {
    source: OwnedFd,
    name: &'static str,
    only_files: bool,
    device: Option<u64>,
    shift: u32,
}

/// A copy of a layer in the making.
#[derive(Debug)]
pub struct Capture {
    parts: Vec<Open>,
    target: OwnedFd,
    stamps: HashMap<PathBuf, Stamp>,
    /// Stamps with a ctime from here on say nothing.
    unsure_from: (i64, u64),
}

/// Copies `parts`, which nothing changes, into the new directory `target`.
///
/// # Errors
/// The first entry that could not be copied.
pub fn copy_whole(parts: &[Part<'_>], target: &Path) -> Result<(), LayerError> {
    let mut capture = Capture::new(parts, target)?;
    capture.pass(Pass::Only)
}

/// Copies `parts`, which nothing changes, into the directories that have their names below `target`. Directories that are there
/// stay those that they are, and get what belongs to the copied ones; anything else of the same name is replaced.
///
/// # Errors
/// The first entry that could not be copied.
pub fn copy_into(parts: &[Part<'_>], target: OwnedFd) -> Result<(), LayerError> {
    let parts = parts.iter().map(Open::new).collect::<Result<_, _>>()?;
    let mut capture = Capture { parts, target, stamps: HashMap::new(), unsure_from: (0, 0) };
    capture.pass(Pass::Into)
}

/// How a directory is walked.
#[derive(Clone, Copy)]
struct Walk<'a> {
    pass: Pass<'a>,
    only_files: bool,
    device: Option<u64>,
    shift: u32,
    depth: u32,
}

impl Walk<'_> {
    /// What an entry is, with the ids that its copy gets; none for what is on another file system.
    fn stat(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Stat>> {
        let mut stat = entry::stat(parent, name)?;
        stat.st_uid = stat.st_uid.wrapping_add(self.shift);
        stat.st_gid = stat.st_gid.wrapping_add(self.shift);
        Ok(self.device.is_none_or(|device| device == stat.st_dev).then_some(stat))
    }
}

#[derive(Clone, Copy)]
enum Pass<'a> {
    /// Nothing changes meanwhile; nothing comes after.
    Only,
    /// The same, into what is there.
    Into,
    /// The session runs: what vanishes or changes meanwhile is left to the second pass.
    First(&'a Cancelled),
    /// The session is frozen: everything counts.
    Second,
}

fn open_part(path: &Path) -> Result<OwnedFd, LayerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, path, flags, Mode::empty()).map_err(|e| at("open", path)(e.into()))
}

impl Open {
    fn new(part: &Part<'_>) -> Result<Self, LayerError> {
        let source = open_part(part.source)?;
        let device = if part.one_file_system {
            Some(rustix::fs::fstat(&source).map_err(|e| at("read", part.source)(e.into()))?.st_dev)
        } else {
            None
        };
        Ok(Self { source, name: part.name, only_files: part.only_files, device, shift: part.shift })
    }
}

impl Capture {
    /// Opens the parts and makes the directory for their copies. A hard link between two parts stays one.
    ///
    /// # Errors
    /// When either cannot be done.
    pub fn new(parts: &[Part<'_>], target: &Path) -> Result<Self, LayerError> {
        std::fs::create_dir(target).map_err(at("make the copy", target))?;
        let target = open_part(target)?;
        let mut opened = Vec::new();
        for part in parts {
            let name = CString::new(part.name).map_err(|e| at("name", part.source)(e.into()))?;
            entry::make_directory(target.as_fd(), &name).map_err(at("make the copy of", part.source))?;
            opened.push(Open::new(part)?);
        }
        Ok(Self { parts: opened, target, stamps: HashMap::new(), unsure_from: (0, 0) })
    }

    /// Copies what is there now, while the session runs.
    ///
    /// # Errors
    /// [`LayerError::Cancelled`], or the first entry that could not be copied for another reason than a change.
    pub fn precopy(&mut self, cancelled: &Cancelled) -> Result<(), LayerError> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(CLOCK_TICK);
        self.unsure_from = (since_epoch.as_secs().cast_signed(), u64::from(since_epoch.subsec_nanos()));
        self.pass(Pass::First(cancelled))
    }

    /// Copies what changed since [`Capture::precopy`], while the session is frozen.
    ///
    /// # Errors
    /// The first entry that could not be copied.
    pub fn finish(&mut self) -> Result<(), LayerError> {
        self.pass(Pass::Second)
    }

    fn pass(&mut self, pass: Pass<'_>) -> Result<(), LayerError> {
        let mut links = HashMap::new();
        for part in std::mem::take(&mut self.parts) {
            let path = Path::new(part.name);
            let name_in_target = CString::new(part.name).map_err(|e| at("name", path)(e.into()))?;
            let target = entry::open_directory(self.target.as_fd(), &name_in_target).map_err(at("open", path))?;
            let Open { only_files, device, shift, .. } = part;
            let walk = Walk { pass, only_files, device, shift, depth: 0 };
            let copied = self.directory(&part.source, &target, path, walk, &mut links);
            let copied = copied.and_then(|()| {
                let stat = walk.stat(part.source.as_fd(), c".").map_err(at("read", path))?;
                let Some(stat) = stat.filter(|_| !only_files) else { return Ok(()) };
                entry::copy_metadata(part.source.as_fd(), target.as_fd(), c".", &stat, shift).map_err(at("copy", path))
            });
            self.parts.push(part);
            copied?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        path: &Path,
        walk: Walk<'_>,
        links: &mut HashMap<(u64, u64), PathBuf>,
    ) -> Result<(), LayerError> {
        if walk.depth > MAX_DEPTH {
            // The path itself would fill the screen.
            let top: PathBuf = path.components().take(4).collect();
            return Err(LayerError::TooDeep { top, limit: MAX_DEPTH });
        }
        let names = names(source.as_fd()).map_err(at("list", path))?;
        if matches!(walk.pass, Pass::Second) {
            self.remove_vanished(target, path, &names)?;
        }
        for name in names {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            if let Pass::First(cancelled) = walk.pass
                && cancelled.load(Ordering::Relaxed)
            {
                return Err(LayerError::Cancelled);
            }
            match self.entry(source.as_fd(), target.as_fd(), &name, &path, walk, links) {
                Err(LayerError::Io { source, .. }) if matches!(walk.pass, Pass::First(_)) && is_change(&source) => {
                    // Whatever it has become is copied by the second pass, onto nothing; what was below it, too.
                    self.stamps.retain(|stamped, _| !stamped.starts_with(&path));
                    links.retain(|_, first| !first.starts_with(&path));
                    remove(target.as_fd(), &name).map_err(at("remove the copy of", &path))?;
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        walk: Walk<'_>,
        links: &mut HashMap<(u64, u64), PathBuf>,
    ) -> Result<(), LayerError> {
        let pass = walk.pass;
        let Some(mut stat) = walk.stat(source, name).map_err(at("read", path))? else { return Ok(()) };
        let known = self.stamps.get(path).copied();
        if entry::kind(&stat) == FileType::Directory {
            if walk.only_files {
                return Ok(());
            }
            let is_there = match pass {
                Pass::Into => entry::stat(target, name).is_ok_and(|stat| entry::kind(&stat) == FileType::Directory),
                _ => known.is_some_and(|stamp| FileType::from_raw_mode(stamp.mode) == FileType::Directory),
            };
            if !is_there {
                remove(target, name).map_err(at("remove the copy of", path))?;
                entry::make_directory(target, name).map_err(at("copy", path))?;
            }
            self.stamps.insert(path.to_owned(), Stamp::of(&stat));
            let below = entry::open_directory(source, name).map_err(at("open", path))?;
            let copy = entry::open_directory(target, name).map_err(at("open the copy of", path))?;
            self.directory(&below, &copy, path, Walk { depth: walk.depth + 1, ..walk }, links)?;
            return entry::copy_metadata(source, target, name, &stat, walk.shift).map_err(at("copy", path));
        }
        if stat.st_nlink > 1 {
            if let Some(first) = links.get(&(stat.st_dev, stat.st_ino)) {
                remove(target, name).map_err(at("remove the copy of", path))?;
                self.stamps.insert(path.to_owned(), Stamp::of(&stat));
                return linkat(&self.target, first, target, name, AtFlags::empty())
                    .map_err(|e| at("link", path)(e.into()));
            }
            links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        let unchanged = known == Some(Stamp::of(&stat)) && Stamp::of(&stat).ctime < self.unsure_from;
        if matches!(pass, Pass::Second) && unchanged && entry::stat(target, name).is_ok() {
            return Ok(());
        }
        if matches!(pass, Pass::First(_)) && entry::kind(&stat) == FileType::RegularFile {
            let file = entry::open_file(source, name).map_err(at("open", path))?;
            file_range::write_back(&file).map_err(at("write back", path))?;
            // Only a stamp taken after the write-back, and before the copy, tells of later changes.
            let again = walk.stat(source, name).map_err(at("read", path))?;
            let again = again.filter(|again| entry::kind(again) == entry::kind(&stat));
            stat = again.ok_or_else(|| at("copy", path)(io::Error::from_raw_os_error(libc::ESTALE)))?;
        }
        if !matches!(pass, Pass::Only) {
            remove(target, name).map_err(at("remove the copy of", path))?;
            self.stamps.insert(path.to_owned(), Stamp::of(&stat));
        }
        entry::copy(source, target, name, &stat, walk.shift).map_err(at("copy", path))
    }

    fn remove_vanished(&mut self, target: &OwnedFd, path: &Path, present: &[CString]) -> Result<(), LayerError> {
        let present: HashSet<&CStr> = present.iter().map(CString::as_c_str).collect();
        for name in names(target.as_fd()).map_err(at("list the copy of", path))? {
            if !present.contains(name.as_c_str()) {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                remove(target.as_fd(), &name).map_err(at("remove the copy of", &path))?;
            }
        }
        Ok(())
    }
}

/// Errors that a change while reading explains.
fn is_change(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENOENT
                | libc::ENOTDIR
                | libc::ELOOP
                | libc::EISDIR
                | libc::ENXIO
                | libc::ESTALE
                | libc::EEXIST
                | libc::ENODATA
                | libc::ESPIPE
        )
    )
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Io { action, path, source }
}

/// Names in a directory but `.` and `..`.
fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    // A fresh descriptor: reading moves the position of the one that is read through.
    let directory = entry::open_directory(directory, c".")?;
    for entry in Dir::new(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Removes `name` and all below it; nothing there is no error.
fn remove(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let directory = entry::open_directory(parent, name)?;
    for below in names(directory.as_fd())? {
        remove(directory.as_fd(), &below)?;
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

#[cfg(test)]
mod tests;
