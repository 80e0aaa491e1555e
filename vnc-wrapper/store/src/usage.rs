//! How much space things take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{IoContext, Result};

/// Bytes of all files at and below `path`: each inode once, holes not counted.
///
/// # Errors
/// When something cannot be read for another reason than that it vanished.
pub fn bytes_below(path: &Path) -> Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = open.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.at("read", &path)?,
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).at("list", &path)? {
                open.push(entry.at("list", &path)?.path());
            }
        } else if seen.insert((metadata.dev(), metadata.ino())) {
            // A file just written may have no blocks yet, a sparse one has fewer than its length says.
            bytes += metadata.len().min(metadata.blocks().saturating_mul(512).max(1));
        }
    }
    Ok(bytes)
}
