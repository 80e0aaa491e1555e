//! From the reference of a tree to its entries, and to all chunks that it refers to.

use std::path::Path;

use super::entry::{self, Entry, Kind};
use super::list::{ListRef, walk};
use super::{MAX_LEAVES, MAX_STREAM};
use crate::content::TreeRef;
use crate::error::{Error, Result};
use crate::hash::ChunkHash;
use crate::pack::ChunkReader;

/// What a chunk is to the tree that refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Part of a list or stream, and was read.
    Read,
    /// Bytes of a file, and was not read.
    Data,
}

/// The entries of a tree, in the order of the stream. `path` is the file to name when they make no sense.
pub(crate) fn unfold(tree: &TreeRef, reader: &mut ChunkReader, path: &Path) -> Result<Vec<Entry>> {
    unfold_visiting(tree, reader, path, &mut |_| {})
}

fn unfold_visiting(
    tree: &TreeRef,
    reader: &mut ChunkReader,
    path: &Path,
    seen: &mut dyn FnMut(ChunkHash),
) -> Result<Vec<Entry>> {
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    let entries = stream(&tree.entries, reader, path, seen)?;
    let access_times = stream(&tree.access_times, reader, path, seen)?;
    let all = entry::decode_all(&entries, &access_times).map_err(damaged)?;
    let count = all.iter().filter(|entry| entry.kind != Kind::End).count();
    if count as u64 != tree.count || all.is_empty() {
        return Err(damaged(format!("its tree has {count} entries instead of {}", tree.count)));
    }
    Ok(all)
}

/// All bytes of a stream.
fn stream(list: &ListRef, reader: &mut ChunkReader, path: &Path, seen: &mut dyn FnMut(ChunkHash)) -> Result<Vec<u8>> {
    let mut leaves = Vec::new();
    walk(list, reader, &mut (MAX_STREAM / 64), &mut |hash, leaf| {
        seen(hash);
        if leaf {
            leaves.push(hash);
        }
        Ok(())
    })?;
    let mut bytes = Vec::new();
    for hash in leaves {
        bytes.extend_from_slice(reader.read(&hash)?);
        if bytes.len() as u64 > MAX_STREAM {
            return Err(Error::Damaged { path: path.to_owned(), reason: "its tree goes on without end".into() });
        }
    }
    Ok(bytes)
}

/// Gives `visit` every chunk that the tree refers to, as often as it does. Pages of zeros are no chunks.
pub(crate) fn visit(
    tree: &TreeRef,
    reader: &mut ChunkReader,
    path: &Path,
    visit: &mut dyn FnMut(ChunkHash, Visit) -> Result<()>,
) -> Result<()> {
    let mut of_streams = Vec::new();
    let entries = unfold_visiting(tree, reader, path, &mut |hash| of_streams.push(hash))?;
    for hash in of_streams {
        visit(hash, Visit::Read)?;
    }
    let mut budget = MAX_LEAVES;
    for entry in entries {
        if let Kind::File { chunks, .. } = &entry.kind {
            walk(chunks, reader, &mut budget, &mut |hash, leaf| match (leaf, hash) {
                (true, ChunkHash::ZERO_PAGE) => Ok(()),
                (true, _) => visit(hash, Visit::Data),
                (false, _) => visit(hash, Visit::Read),
            })?;
        }
    }
    Ok(())
}
