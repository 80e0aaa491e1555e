//! Lists of chunks, cut by content; drawn in the module's head.

use crate::error::{Error, Result};
use crate::hash::{ChunkHash, HASH_LENGTH};
use crate::pack::{ChunkKind, ChunkReader, ChunkWriter, MAX_CHUNK, pack_of};
use crate::wire::{Decoder, Encoder, Flaw};

/// Hashes that a list names in place.
pub(crate) const INLINE: usize = 8;
/// A list chunk is not cut before it has this many hashes …
const SHORTEST: usize = 4;
/// … is cut behind a hash whose first byte is below this (of 256): every 16th …
const CUT_BELOW: u8 = 16;
/// … and at this many at the latest.
const LONGEST: usize = 512;
/// Levels of lists; three are enough for 256 GiB.
const MAX_LEVEL: u8 = 8;

/// The chunks of a file or stream, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRef {
    /// 0: the hashes name the chunks. More: they name lists of the level below.
    pub level: u8,
    /// At most a few.
    pub hashes: Vec<ChunkHash>,
}

impl ListRef {
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u8(self.level);
        out.varint(self.hashes.len() as u64);
        self.hashes.iter().for_each(|hash| out.raw(hash.as_bytes()));
    }

    pub(crate) fn decode(input: &mut Decoder<'_>) -> Result<Self, Flaw> {
        let level = input.u8()?;
        let count = input.varint()?;
        if level > MAX_LEVEL || count > INLINE as u64 {
            return Err("a list in it is too long".into());
        }
        let hashes = (0..count).map(|_| Ok(ChunkHash::from_bytes(input.array()?))).collect::<Result<_, Flaw>>()?;
        Ok(Self { level, hashes })
    }
}

/// Makes a list while its chunks are stored.
#[derive(Debug, Default)]
pub(super) struct ListBuilder {
    levels: Vec<Vec<u8>>,
}

impl ListBuilder {
    pub(super) fn push(&mut self, hash: &ChunkHash, writer: &mut ChunkWriter) -> Result<()> {
        self.push_at(0, hash, writer)
    }

    fn push_at(&mut self, level: usize, hash: &ChunkHash, writer: &mut ChunkWriter) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let Some(list) = self.levels.get_mut(level) else { return Ok(()) };
        list.extend_from_slice(hash.as_bytes());
        let count = list.len() / HASH_LENGTH;
        let here = hash.as_bytes()[0] < CUT_BELOW && *hash != ChunkHash::ZERO_PAGE;
        if (count >= SHORTEST && here) || count >= LONGEST { self.cut(level, writer) } else { Ok(()) }
    }

    fn cut(&mut self, level: usize, writer: &mut ChunkWriter) -> Result<()> {
        let Some(list) = self.levels.get_mut(level) else { return Ok(()) };
        let list = std::mem::take(list);
        let hash = writer.put(&list, ChunkKind::Meta)?;
        self.push_at(level + 1, &hash, writer)
    }

    pub(super) fn finish(mut self, writer: &mut ChunkWriter) -> Result<ListRef> {
        let mut level = 0;
        loop {
            let (rest, top) = (self.levels.get(level).map_or(0, Vec::len), level + 1 >= self.levels.len());
            if top && rest <= INLINE * HASH_LENGTH {
                let list = self.levels.pop().unwrap_or_default();
                let hashes = list.as_chunks().0.iter().map(|&hash| ChunkHash::from_bytes(hash)).collect();
                return Ok(ListRef { level: u8::try_from(level).unwrap_or(u8::MAX), hashes });
            }
            if rest > 0 {
                self.cut(level, writer)?;
            }
            level += 1;
        }
    }
}

/// Walks a list: `visit` gets every hash in it, with whether it names a chunk of the file or stream itself (or else a list).
/// `budget` bounds how many that may be, and is reduced by as many as there were.
pub(crate) fn walk(
    list: &ListRef,
    reader: &mut ChunkReader,
    budget: &mut u64,
    visit: &mut dyn FnMut(ChunkHash, bool) -> Result<()>,
) -> Result<()> {
    walk_level(list.level, &list.hashes, reader, budget, visit)
}

fn walk_level(
    level: u8,
    hashes: &[ChunkHash],
    reader: &mut ChunkReader,
    budget: &mut u64,
    visit: &mut dyn FnMut(ChunkHash, bool) -> Result<()>,
) -> Result<()> {
    for hash in hashes {
        *budget = budget.checked_sub(1).ok_or_else(|| flaw(reader, hash, "goes on without end"))?;
        visit(*hash, level == 0)?;
        if level > 0 {
            let bytes = reader.read(hash)?;
            let (below, rest) = bytes.as_chunks::<HASH_LENGTH>();
            if !rest.is_empty() || bytes.len() > MAX_CHUNK {
                return Err(flaw(reader, hash, "is malformed"));
            }
            let below: Vec<ChunkHash> = below.iter().map(|&hash| ChunkHash::from_bytes(hash)).collect();
            walk_level(level - 1, &below, reader, budget, visit)?;
        }
    }
    Ok(())
}

fn flaw(reader: &ChunkReader, hash: &ChunkHash, reason: &str) -> Error {
    let located = reader.locate(hash).ok().and_then(|location| pack_of(reader.catalogue(), location).ok());
    let path = located.map(|pack| pack.path.clone()).unwrap_or_default();
    Error::Damaged { path, reason: format!("list {hash} {reason}") }
}
