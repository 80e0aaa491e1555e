//! The index of one pack; its format is drawn in the module's head.

use super::{INDEX_LINE, MAX_BLOCK, MAX_CHUNK, PACK_HEADER, PackId};
use crate::hash::ChunkHash;
use crate::wire::{Decoder, Encoder, Flaw, unseal};

const MAGIC: [u8; 8] = *b"FFINDX1\n";
/// The newest version that this release writes and reads.
pub(crate) const VERSION: u32 = 1;

/// Where a block is, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    /// Bytes in the pack.
    pub(crate) stored: u32,
    /// Bytes before compression.
    pub(crate) raw: u32,
    /// BLAKE3 of the bytes in the pack.
    pub(crate) checksum: [u8; 32],
}

/// Where a chunk is in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: ChunkHash,
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// All that an index file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) pack: PackId,
    pub(crate) pack_length: u64,
    pub(crate) blocks: Vec<Block>,
    /// In the order of hashes, each once.
    pub(crate) chunks: Vec<Entry>,
}

/// Why an index cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IndexFlaw {
    /// Its bytes are not what was written.
    Damaged(Flaw),
    /// A later release wrote it.
    TooNew(u32),
}

impl From<Flaw> for IndexFlaw {
    fn from(flaw: Flaw) -> Self {
        Self::Damaged(flaw)
    }
}

/// The file of `index`. Its blocks have to lie end to end.
pub(crate) fn serialise(index: &mut Index) -> Vec<u8> {
    index.chunks.sort_unstable_by_key(|entry| entry.hash);
    let mut out = Encoder(Vec::with_capacity(80 + index.blocks.len() * 48 + index.chunks.len() * INDEX_LINE as usize));
    out.raw(&MAGIC);
    out.u32(VERSION);
    out.u32(u32::try_from(index.blocks.len()).unwrap_or(u32::MAX));
    out.u32(u32::try_from(index.chunks.len()).unwrap_or(u32::MAX));
    out.u32(0);
    out.u64(index.pack_length);
    out.raw(&index.pack.0);
    for block in &index.blocks {
        out.u64(block.offset);
        out.u32(block.stored);
        out.u32(block.raw);
        out.raw(&block.checksum);
    }
    for chunk in &index.chunks {
        out.raw(chunk.hash.as_bytes());
        out.u32(chunk.block);
        out.u32(chunk.offset);
        out.u32(chunk.length);
    }
    out.seal()
}

/// Reads an index file, and believes nothing in it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Index, IndexFlaw> {
    let mut input = Decoder(unseal(bytes)?);
    if input.array()? != MAGIC {
        return Err(Flaw::from("it does not begin as an index does").into());
    }
    let version = input.u32()?;
    if version > VERSION {
        return Err(IndexFlaw::TooNew(version));
    }
    let (blocks, chunks, zero) = (input.u32()? as usize, input.u32()? as usize, input.u32()?);
    let pack_length = input.u64()?;
    let pack = PackId(input.array()?);
    let expected = blocks.checked_mul(48).and_then(|b| b.checked_add(chunks.checked_mul(INDEX_LINE as usize)?));
    if zero != 0 || expected != Some(input.0.len()) {
        return Err(Flaw::from("its length is not what its header says").into());
    }
    let blocks = parse_blocks(&mut input, blocks, pack_length)?;
    let mut found = Vec::with_capacity(chunks);
    let mut previous = None;
    for _ in 0..chunks {
        let entry = Entry {
            hash: ChunkHash::from_bytes(input.array()?),
            block: input.u32()?,
            offset: input.u32()?,
            length: input.u32()?,
        };
        let raw = blocks.get(entry.block as usize).map_or(0, |block| block.raw);
        let fits = (1..=MAX_CHUNK as u32).contains(&entry.length)
            && entry.offset.checked_add(entry.length).is_some_and(|end| end <= raw);
        if !fits {
            return Err(Flaw::from("a chunk in it lies outside of its block").into());
        }
        if previous >= Some(entry.hash) {
            return Err(Flaw::from("its chunks are out of order").into());
        }
        previous = Some(entry.hash);
        found.push(entry);
    }
    Ok(Index { pack, pack_length, blocks, chunks: found })
}

fn parse_blocks(input: &mut Decoder<'_>, count: usize, pack_length: u64) -> Result<Vec<Block>, Flaw> {
    let mut blocks = Vec::with_capacity(count);
    let mut end = PACK_HEADER as u64;
    for _ in 0..count {
        let block = Block { offset: input.u64()?, stored: input.u32()?, raw: input.u32()?, checksum: input.array()? };
        if block.offset != end || block.raw as usize > MAX_BLOCK || block.stored as usize > 2 * MAX_BLOCK {
            return Err("its blocks do not fit together".into());
        }
        end += u64::from(block.stored);
        blocks.push(block);
    }
    if end == pack_length { Ok(blocks) } else { Err("its blocks do not fill its pack".into()) }
}
