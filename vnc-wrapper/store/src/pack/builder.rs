//! Collecting chunks into blocks, and compressed blocks into packs.

use std::path::PathBuf;

use super::index::{self, Block, Entry, Index};
use super::{BLOCK_TARGET, LEVEL, PACK_HEADER, PACK_TARGET, PackId};
use crate::error::{IoContext, Result};
use crate::hash::ChunkHash;
use crate::io::{Disk, DiskFile, partial_of};

/// A block before compression.
#[derive(Debug, Default)]
pub(super) struct RawBlock {
    pub(super) bytes: Vec<u8>,
    /// Hash, offset and length of each chunk in it.
    pub(super) chunks: Vec<(ChunkHash, u32, u32)>,
}

impl RawBlock {
    /// Appends a chunk. Returns the block as it was before, when the chunk did not fit into it any more.
    pub(super) fn push(&mut self, hash: ChunkHash, chunk: &[u8]) -> Option<Self> {
        let full = !self.bytes.is_empty() && self.bytes.len() + chunk.len() > BLOCK_TARGET;
        let before = full.then(|| std::mem::take(self));
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(BLOCK_TARGET);
        }
        // A chunk has at most `MAX_CHUNK` bytes, a block not many more than `BLOCK_TARGET`.
        let [offset, length] = [self.bytes.len(), chunk.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        self.chunks.push((hash, offset, length));
        self.bytes.extend_from_slice(chunk);
        before
    }
}

/// A block as it goes into a pack.
#[derive(Debug)]
pub(super) struct PackedBlock {
    bytes: Vec<u8>,
    raw: u32,
    checksum: [u8; 32],
    chunks: Vec<(ChunkHash, u32, u32)>,
}

/// One thread's compressor.
pub(super) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        // The index has both lengths and a checksum.
        compressor.include_checksum(false)?;
        compressor.include_contentsize(false)?;
        Ok(Self(compressor))
    }

    pub(super) fn compress(&mut self, block: RawBlock) -> std::io::Result<PackedBlock> {
        let bytes = self.0.compress(&block.bytes)?;
        Ok(PackedBlock {
            checksum: *blake3::hash(&bytes).as_bytes(),
            raw: u32::try_from(block.bytes.len()).unwrap_or(u32::MAX),
            bytes,
            chunks: block.chunks,
        })
    }
}

/// Writes packs and their indexes, one after the other.
#[derive(Debug)]
pub(super) struct PackBuilder {
    disk: Disk,
    packs: PathBuf,
    indexes: PathBuf,
    open: Option<OpenPack>,
    /// Bytes of all files made.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct OpenPack {
    file: DiskFile,
    partial: PathBuf,
    index: Index,
}

impl PackBuilder {
    pub(super) fn new(disk: Disk, packs: PathBuf, indexes: PathBuf) -> Self {
        Self { disk, packs, indexes, open: None, bytes: 0 }
    }

    pub(super) fn append(&mut self, block: PackedBlock) -> Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let pack = PackId::random();
                let partial = partial_of(&self.packs.join(format!("{pack}.pack")));
                let index = Index { pack, pack_length: PACK_HEADER as u64, blocks: Vec::new(), chunks: Vec::new() };
                let mut file = self.disk.create(&partial)?;
                let written = file.append(&pack.header());
                let open = self.open.insert(OpenPack { file, partial, index });
                written?;
                open
            }
        };
        open.file.append(&block.bytes)?;
        let index = &mut open.index;
        let number = u32::try_from(index.blocks.len()).unwrap_or(u32::MAX);
        let stored = u32::try_from(block.bytes.len()).unwrap_or(u32::MAX);
        index.blocks.push(Block { offset: index.pack_length, stored, raw: block.raw, checksum: block.checksum });
        index.pack_length += u64::from(stored);
        let of_chunk = |(hash, offset, length)| Entry { hash, block: number, offset, length };
        index.chunks.extend(block.chunks.into_iter().map(of_chunk));
        if index.pack_length >= PACK_TARGET { self.close() } else { Ok(()) }
    }

    /// Makes the open pack and then its index durable under their names. A crash in between leaves a pack without index,
    /// which is garbage.
    pub(super) fn close(&mut self) -> Result<()> {
        let Some(OpenPack { file, partial, mut index }) = self.open.take() else { return Ok(()) };
        let path = self.packs.join(format!("{}.pack", index.pack));
        let renamed = file.sync().and_then(|()| self.disk.rename(&partial, &path));
        if let Err(error) = renamed {
            // The error of the write is the one to tell.
            let _ = self.disk.remove_file(&partial);
            return Err(error);
        }
        self.disk.sync_directory(&self.packs)?;
        let bytes = index::serialise(&mut index);
        if let Err(error) = self.disk.write_atomically(&self.indexes.join(format!("{}.idx", index.pack)), &bytes) {
            // On a full disk the room is wanted at once. Had the index got its name nevertheless, it must not stay alone.
            if !self.indexes.join(format!("{}.idx", index.pack)).exists() {
                let _ = self.disk.remove_file(&path);
            }
            return Err(error);
        }
        self.bytes += index.pack_length + bytes.len() as u64;
        Ok(())
    }

    /// Takes away the pack that was being written.
    pub(super) fn abandon(&mut self) {
        if let Some(open) = self.open.take() {
            // Leftovers have a name that every reader passes over, and a collection takes them away.
            let _ = self.disk.remove_file(&open.partial);
        }
    }
}

/// A compressor for this thread, as an error of the store.
pub(super) fn compressor(packs: &std::path::Path) -> Result<Compressor> {
    Compressor::new().at("compress into", packs)
}
