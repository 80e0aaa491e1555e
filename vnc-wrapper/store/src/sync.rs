//! Making what was written durable, in the order that the commit point needs.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{IoContext, Result};

/// Makes the entries of `directory` durable (not the contents of the files in it).
///
/// # Errors
/// When the directory cannot be opened or the device fails.
pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|d| d.sync_all()).at("sync", directory)
}

/// Makes everything on the file system that holds `path` durable, as `syncfs(2)` does.
///
/// # Errors
/// When `path` cannot be opened or the device fails.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let file = File::open(path).at("open", path)?;
    rustix::fs::syncfs(&file).at("sync", path)
}

/// Puts `bytes` at `path` at once: a reader sees the old contents or the new ones, also after a crash at any line.
///
/// # Errors
/// When writing, syncing or renaming fails; the old contents then stand.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.partial"));
    let written = (|| {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    })();
    if written.is_err() {
        // The error of the write is the one to tell; a leftover has a name that every reader passes over.
        let _ = fs::remove_file(&partial);
    }
    written.at("write", path)?;
    match path.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}
