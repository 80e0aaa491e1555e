//! Reading and writing the JSON records. Bytes from disk are hostile until checked: bounded, parsed, versioned.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, IoContext, Result};
use crate::sync::write_atomically;

/// No record is larger than this, in bytes; a larger file is refused unread.
pub const MAX_RECORD: u64 = 16 << 20;

/// A record that is kept in a file of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// The newest format that this release writes and reads; its first was 1.
    const FORMAT: u32;
    /// Checks what the type cannot express.
    ///
    /// # Errors
    /// The text says what is wrong with the record.
    fn check(&self) -> std::result::Result<(), String> {
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Reads the record at `path`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::TooNew`] when a later release wrote it, [`Error::Damaged`] otherwise.
pub fn read<R: Record>(path: &Path) -> Result<R> {
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    let file = File::open(path).at("read", path)?;
    let mut bytes = Vec::new();
    file.take(MAX_RECORD + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > MAX_RECORD {
        return Err(damaged(format!("it is larger than {MAX_RECORD} bytes")));
    }
    let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    if format > R::FORMAT {
        return Err(Error::TooNew { path: path.to_owned(), found: format, known: R::FORMAT });
    }
    let record: R = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    record.check().map_err(damaged)?;
    Ok(record)
}

/// Writes the record to `path`, atomically and durably.
///
/// # Errors
/// As [`write_atomically`].
pub fn write<R: Record>(path: &Path, record: &R) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|e| Error::Damaged { path: path.to_owned(), reason: e.to_string() })?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}
