//! Reading and writing the JSON records. Bytes from disk are hostile until checked: bounded, parsed, versioned.
//!
//! The records of a snapshot carry a checksum, so that [`crate::Store::verify`] finds any change in them. It is the first
//! field, at a fixed place, in this and every later format:
//!
//! ```text
//! {
//!   "checksum": "<BLAKE3 of the whole file, in hexadecimal digits, taken as zeros for this>",
//!   "format": 1,
//! ```

use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bounded;
use crate::error::{Error, IoContext, Result};
use crate::io::Disk;

/// No record is larger than this, in bytes; a larger file is refused unread.
pub const MAX_RECORD: u64 = 16 << 20;

/// A record that is kept in its own file.
pub trait Record: Serialize + DeserializeOwned {
    /// The newest format that this release writes and reads; its first was 1.
    const FORMAT: u32;
    /// Whether its file begins with a checksum.
    const CHECKED: bool = false;
    /// Checks what the type cannot express.
    ///
    /// # Errors
    /// The text says what is wrong with the record.
    fn check(&self) -> std::result::Result<(), String> {
        Ok(())
    }
    /// Makes its texts fit to be shown ([`freezeframe_text`]): the file may have been written by somebody else, or by a
    /// release that took titles as they came. Called after [`Record::check`] on all that is read.
    fn tidy(&mut self) {}
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
    let bytes = match bounded::read(path, MAX_RECORD) {
        Err(error) if [ErrorKind::FileTooLarge, ErrorKind::InvalidInput].contains(&error.kind()) => {
            return Err(Error::Damaged { path: path.to_owned(), reason: error.to_string() });
        }
        other => other.at("read", path)?,
    };
    parse(&bytes, path)
}

/// Reads the record that a file of these bytes holds; `path` is for the error.
///
/// # Errors
/// [`Error::TooNew`] when a later release wrote it, [`Error::Damaged`] otherwise.
pub fn parse<R: Record>(bytes: &[u8], path: &Path) -> Result<R> {
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    if bytes.len() as u64 > MAX_RECORD {
        return Err(damaged(format!("it is larger than {MAX_RECORD} bytes")));
    }
    if R::CHECKED && !checksum_matches(bytes) {
        return Err(damaged("its checksum does not match".into()));
    }
    let FormatOnly { format } = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if format > R::FORMAT {
        return Err(Error::TooNew { path: path.to_owned(), found: format, known: R::FORMAT });
    }
    let mut record: R = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    record.check().map_err(damaged)?;
    record.tidy();
    Ok(record)
}

/// Writes the record to `path`, atomically and durably.
///
/// # Errors
/// As [`crate::sync::write_atomically`].
pub fn write<R: Record>(path: &Path, record: &R) -> Result<()> {
    write_on(&Disk::default(), path, record)
}

/// As [`write()`], to that disk.
pub(crate) fn write_on<R: Record>(disk: &Disk, path: &Path, record: &R) -> Result<()> {
    disk.write_atomically(path, &to_bytes(path, record)?)
}

/// The file of a record; `path` is for the error.
///
/// # Errors
/// [`Error::Damaged`] when it has no form in JSON.
pub fn to_bytes<R: Record>(path: &Path, record: &R) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|e| Error::Damaged { path: path.to_owned(), reason: e.to_string() })?;
    bytes.push(b'\n');
    Ok(if R::CHECKED { with_checksum(&bytes) } else { bytes })
}

const BEFORE: &[u8] = b"{\n  \"checksum\": \"";
const AFTER: &[u8] = b"\",";
const NO_DIGITS: [u8; 64] = [b'0'; 64];

fn digits(beginning: &[u8], rest: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(beginning).update(&NO_DIGITS).update(rest);
    hasher.finalize().to_hex().to_string()
}

/// Puts the checksum in front of the fields of a record.
pub(crate) fn with_checksum(record: &[u8]) -> Vec<u8> {
    let fields = record.strip_prefix(b"{").unwrap_or(record);
    let rest = [AFTER, fields].concat();
    [BEFORE, digits(BEFORE, &rest).as_bytes(), &rest].concat()
}

fn checksum_matches(bytes: &[u8]) -> bool {
    let Some((found, rest)) = bytes.strip_prefix(BEFORE).and_then(|rest| rest.split_first_chunk::<64>()) else {
        return false;
    };
    digits(BEFORE, rest).as_bytes() == found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Marks;

    #[test]
    fn every_changed_byte_of_a_checked_record_is_found() {
        let path = Path::new("marks.json");
        let marks = Marks { format: 1, label: Some("a".into()), pinned: true, ..Marks::default() };
        let bytes = to_bytes(path, &marks).unwrap();
        assert_eq!(parse::<Marks>(&bytes, path).unwrap(), marks);
        assert!(bytes.starts_with(b"{\n  \"checksum\": \""), "{}", String::from_utf8_lossy(&bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                let error = parse::<Marks>(&broken, path).unwrap_err();
                assert!(matches!(error, Error::Damaged { .. }), "{error}");
            }
        }
        for length in 0..bytes.len() {
            assert!(parse::<Marks>(&bytes[..length], path).is_err());
        }
    }

    #[test]
    fn a_record_of_a_later_release_is_told_from_a_damaged_one() {
        let path = Path::new("marks.json");
        let marks = Marks { format: 2, ..Marks::default() };
        let bytes = to_bytes(path, &marks).unwrap();
        assert!(matches!(parse::<Marks>(&bytes, path), Err(Error::TooNew { found: 2, known: 1, .. })));
    }
}
