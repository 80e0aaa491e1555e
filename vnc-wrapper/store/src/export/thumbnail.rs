//! The thumbnail's file, bounded.

use std::fs::File;
use std::io::{self, Read};

use super::error::{Error, Result};
use super::frame::Tag;
use crate::error::IoContext;
use crate::id::SnapshotId;
use crate::layout::Store;

/// The thumbnail of a snapshot, if it has one.
pub(super) fn read(store: &Store, id: &SnapshotId) -> Result<Option<Vec<u8>>> {
    let path = store.snapshot_dir(id).join("thumbnail.png");
    let file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.at("read", &path)?,
    };
    let (limit, mut png) = (Tag::Thumbnail.limit() as u64, Vec::new());
    file.take(limit + 1).read_to_end(&mut png).at("read", &path)?;
    if png.len() as u64 > limit {
        let reason = "it is larger than any thumbnail".to_owned();
        return Err(Error::Store(crate::Error::Damaged { path, reason }));
    }
    Ok(Some(png))
}
