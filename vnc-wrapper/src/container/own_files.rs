//! The file systems in memory that every session has for itself, and that end with its processes: their files are part of a
//! snapshot, as the directory [`DIRECTORY`] of its layer.
//!
//! They are copied while all stand still, and given back to a session whose mounts were made again and in which nothing runs.
//! There the ids of the copy have to be the session's own: [`give`] is called by its root ([`super::furnish`]).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::inside;
use crate::layer::{self, Capture, LayerError, Part};

/// Name of their copies in a layer.
pub const DIRECTORY: &str = "own";
/// Where they are mounted ([`super::plan`]), and the names of their copies. A mount point comes after what it lies in.
const OWN: [(&str, &str); 4] = [("dev", "dev"), ("run", "run"), ("tmp", "tmp"), ("dev/shm", "shm")];
/// TMPFS_MAGIC (linux/magic.h).
const TMPFS: i64 = 0x0102_1994;

/// Copies those of the session of `init` into `layer`, with `shift` added to every id. What a save that was tried again has left is
/// replaced.
///
/// # Errors
/// When one is not there, or cannot be copied.
pub fn save(init: u32, layer: &Path, shift: u32) -> Result<(), LayerError> {
    let target = layer.join(DIRECTORY);
    match std::fs::remove_dir_all(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove the copy of", "own")(error));
        }
        _ => {}
    }
    let opened: Vec<(OwnedFd, &'static str)> = OWN
        .iter()
        .map(|(path, name)| Ok((open(init, path).map_err(failed("open", path))?, *name)))
        .collect::<Result<_, LayerError>>()?;
    // A path that begins at the descriptor and does not end with a link.
    let sources: Vec<PathBuf> =
        opened.iter().map(|(fd, _)| PathBuf::from(format!("/proc/self/fd/{}/.", fd.as_raw_fd()))).collect();
    let parts: Vec<Part<'_>> = opened
        .iter()
        .zip(&sources)
        .map(|((_, name), source)| Part { source, name, only_files: false, one_file_system: true, shift })
        .collect();
    // Nothing changes meanwhile.
    Capture::new(&parts, &target)?.finish()
}

fn open(init: u32, path: &str) -> io::Result<OwnedFd> {
    let opened = inside::open_at(init, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    if rustix::fs::fstatfs(&opened)?.f_type != TMPFS {
        return Err(io::Error::other("it is no file system in memory any more; mount it as it was, and save again"));
    }
    Ok(opened)
}

fn failed(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> LayerError {
    let path = PathBuf::from(path);
    move |source| LayerError::Io { action, path, source }
}

/// Puts the copies in `own` into the file systems of this process's root, which are mounted and hold what [`super::plan`] made.
///
/// # Errors
/// When something cannot be copied.
pub fn give(own: &OwnedFd) -> Result<(), LayerError> {
    let sources: Vec<PathBuf> =
        OWN.iter().map(|(_, name)| PathBuf::from(format!("/proc/self/fd/{}/{name}", own.as_raw_fd()))).collect();
    let parts: Vec<Part<'_>> = OWN
        .iter()
        .zip(&sources)
        .map(|((path, _), source)| Part { source, name: path, only_files: false, one_file_system: true, shift: 0 })
        .collect();
    let root = crate::kernel::userns::open_directory(Path::new("/")).map_err(failed("open", "/"))?;
    layer::copy_into(&parts, root)
}
