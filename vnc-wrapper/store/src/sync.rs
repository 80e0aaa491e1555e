//! Making what was written durable, in the order that the commit point needs.

use std::path::Path;

use crate::error::Result;
use crate::io::Disk;

/// Makes the entries of `directory` durable (not the contents of the files in it).
///
/// # Errors
/// When the directory cannot be opened or the device fails.
pub fn sync_directory(directory: &Path) -> Result<()> {
    Disk::default().sync_directory(directory)
}

/// Makes everything on the file system that holds `path` durable, as `syncfs(2)` does.
///
/// # Errors
/// When `path` cannot be opened or the device fails.
pub fn sync_file_system(path: &Path) -> Result<()> {
    Disk::default().sync_file_system(path)
}

/// Puts `bytes` at `path` at once: a reader sees the old contents or the new ones, also after a crash at any line.
///
/// # Errors
/// When writing, syncing or renaming fails; the old contents then stand.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    Disk::default().write_atomically(path, bytes)
}
