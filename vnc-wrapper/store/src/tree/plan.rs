//! What has to be written where, when trees are laid out: by block, so that each is read and decompressed once.

use super::entry::{Entry, Kind};
use super::list::walk;
use super::{MAX_LEAVES, PAGE};
use crate::error::{Error, Result};
use crate::hash::ChunkHash;
use crate::pack::{ChunkReader, Location};

/// One stretch of a chunk, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) location: Location,
    pub(super) hash: ChunkHash,
    /// Number of the file in [`Plan::files`].
    pub(super) file: u32,
    /// Where in the chunk this begins: not at its begin only when the chunk spans a hole.
    pub(super) from: u32,
    pub(super) length: u32,
    /// Where in the file it goes.
    pub(super) offset: u64,
}

/// A file that gets contents.
#[derive(Debug)]
pub(super) struct Target {
    /// Number of the tree that it is in.
    pub(super) tree: usize,
    /// From the tree's root.
    pub(super) path: Vec<u8>,
}

/// All that has to be written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) files: Vec<Target>,
    pub(super) tasks: Vec<Task>,
    pub(super) bytes: u64,
}

impl Plan {
    /// Adds the contents of a file. Its chunks have to be as long, all together, as its stretches of data.
    pub(super) fn add(&mut self, target: Target, entry: &Entry, reader: &mut ChunkReader) -> Result<()> {
        let Kind::File { extents, chunks, .. } = &entry.kind else { return Ok(()) };
        let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let name = String::from_utf8_lossy(&target.path).into_owned();
        let mut leaves = Vec::new();
        let mut budget = MAX_LEAVES.saturating_sub(self.tasks.len() as u64);
        walk(chunks, reader, &mut budget, &mut |hash, leaf| {
            if leaf {
                leaves.push(hash);
            }
            Ok(())
        })?;
        let wrong = || Error::Damaged { path: name.clone().into(), reason: "its chunks have a wrong length".into() };
        let mut rest = extents.iter().copied();
        let (mut offset, mut room) = rest.next().unwrap_or_default();
        for hash in leaves {
            let zero = hash == ChunkHash::ZERO_PAGE;
            let location = if zero { None } else { Some(reader.locate(&hash)?) };
            let whole = location.map_or(PAGE as u32, |location| location.length);
            let mut from = 0;
            while from < whole {
                if room == 0 {
                    (offset, room) = rest.next().ok_or_else(wrong)?;
                }
                let length = u32::try_from(room).unwrap_or(u32::MAX).min(whole - from);
                if let Some(location) = location {
                    self.tasks.push(Task { location, hash, file, from, length, offset });
                }
                self.bytes += u64::from(length);
                from += length;
                offset += u64::from(length);
                room -= u64::from(length);
            }
        }
        if room > 0 || rest.next().is_some() {
            return Err(wrong());
        }
        self.files.push(target);
        Ok(())
    }

    /// Puts the tasks of each block together, the blocks in the order of the packs.
    pub(super) fn sort(&mut self) {
        self.tasks.sort_unstable_by_key(|task| (task.location, task.file, task.offset));
    }
}
