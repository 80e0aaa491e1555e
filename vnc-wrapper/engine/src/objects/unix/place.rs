//! Names of sockets in the file system: bound under the name that programs see, and put where the file is now.
//!
//! getsockname(2) gives what bind(2) got, whatever became of the file: it may have been renamed or unlinked, and a name may be
//! relative to a directory that nobody knows any more. So a socket is bound where its name is free, and its file is
//! moved. An O_PATH descriptor of the file then leads to the socket, with or without a name.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::sys::unix;

/// A way to a bound socket for connect(2).
#[derive(Debug)]
pub enum Door {
    /// By its abstract name.
    Abstract(Vec<u8>),
    /// By its file.
    File(OwnedFd),
}

impl Door {
    /// The name to connect to.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        match self {
            Self::Abstract(name) => name.clone(),
            Self::File(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes(),
        }
    }
}

/// Binds `socket` to `name`, in the file system that this process sees, with its file at `place` (absolute) and these permissions.
/// A socket file that is there is replaced; anything else is an error.
///
/// # Errors
/// Those of bind(2) and of moving files.
pub fn bind(socket: BorrowedFd<'_>, name: &[u8], place: Option<&[u8]>, mode: u32) -> io::Result<Door> {
    if name.first() == Some(&0) {
        unix::bind(socket, name)?;
        return Ok(Door::Abstract(name.to_vec()));
    }
    let place = place.map(|place| Path::new(OsStr::from_bytes(place)));
    let path = Path::new(OsStr::from_bytes(name));
    let file = if path.is_absolute() { absolute(socket, path, place) } else { relative(socket, path, place) }?;
    if place.is_some() {
        // By the descriptor: the file is ours, whatever stands under the name by now.
        fs::set_permissions(format!("/proc/self/fd/{}", file.as_raw_fd()), fs::Permissions::from_mode(mode))?;
    }
    Ok(Door::File(file))
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Moves the file of a socket to its place, or takes it away.
fn settle(from: &Path, place: Option<&Path>) -> io::Result<()> {
    let Some(place) = place else { return fs::remove_file(from) };
    if place == from {
        return Ok(());
    }
    match fs::symlink_metadata(place) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is no socket", place.display())));
        }
        _ => {}
    }
    fs::rename(from, place)
}

/// Directories that were made to bind in, taken away again.
struct Directories(Vec<PathBuf>);

impl Directories {
    /// Makes `directory` and those above it that are missing.
    fn make(directory: &Path) -> io::Result<Self> {
        let mut made = Self(Vec::new());
        let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev().filter(|path| !path.as_os_str().is_empty()) {
            // A way up, once there is what it leads up from.
            if path.exists() {
                continue;
            }
            fs::create_dir(path)?;
            made.0.push(path.to_owned());
        }
        Ok(made)
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        // One that is not empty by now is somebody's.
        self.0.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
    }
}

/// What stands under a name, moved away and put back.
struct Aside {
    at: PathBuf,
    kept: Option<PathBuf>,
}

impl Aside {
    fn of(path: &Path) -> io::Result<Self> {
        let mut aside = Self { at: path.to_owned(), kept: None };
        if fs::symlink_metadata(path).is_ok() {
            let kept = unused(path.parent().unwrap_or(Path::new("/")));
            fs::rename(path, &kept)?;
            aside.kept = Some(kept);
        }
        Ok(aside)
    }

    /// It was the file of the socket that has taken its place.
    fn replaced(mut self) -> io::Result<()> {
        self.kept.take().map_or(Ok(()), fs::remove_file)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            // The name was free a moment ago: its user was moved by us.
            let _ = fs::rename(kept, &self.at);
        }
    }
}

/// A name that nothing in `directory` has.
fn unused(directory: &Path) -> PathBuf {
    let names = (0u32..).map(|number| directory.join(format!(".freezeframe-{}-{number}", std::process::id())));
    let mut free = names.filter(|path| fs::symlink_metadata(path).is_err());
    free.next().unwrap_or_else(|| directory.join(".freezeframe"))
}

fn absolute(socket: BorrowedFd<'_>, path: &Path, place: Option<&Path>) -> io::Result<OwnedFd> {
    let _above = Directories::make(path.parent().unwrap_or(Path::new("/")))?;
    let aside = Aside::of(path)?;
    if place == Some(path) && aside.kept.as_ref().is_some_and(|kept| !is_socket(kept)) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is no socket", path.display())));
    }
    unix::bind(socket, path.as_os_str().as_bytes())?;
    let file = open(path).and_then(|file| settle(path, place).map(|()| file));
    match file {
        Ok(file) if place == Some(path) => aside.replaced().map(|()| file),
        other => other,
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn relative(socket: BorrowedFd<'_>, path: &Path, place: Option<&Path>) -> io::Result<OwnedFd> {
    // Beside where the file will be, for a file cannot be moved to another file system.
    let near = place.and_then(Path::parent).map_or_else(std::env::temp_dir, Path::to_owned);
    let top = unused(&near);
    let upward = path.components().filter(|part| *part == Component::ParentDir).count();
    let base = (0..upward).fold(top.join("x"), |base, _| base.join("x"));
    let _base = Directories::make(&base)?;
    let _above = Directories::make(&base.join(path.parent().unwrap_or(Path::new(""))))?;
    let directory = rustix::fs::open(&base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    unix::in_directory(directory.as_fd(), || unix::bind(socket, path.as_os_str().as_bytes()))?;
    let bound = base.join(path);
    let file = open(&bound)?;
    settle(&bound, place)?;
    Ok(file)
}
