//! Reading chunks back, each checked.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::PACK_HEADER;
use super::catalogue::{Catalogue, Location, Pack};
use super::index::Block;
use crate::error::{Error, IoContext, Result};
use crate::handles::Handles;
use crate::hash::ChunkHash;
use crate::lock::Lock;

/// Decoded blocks that are kept: lists and trees are read chunk by chunk, and lie together.
const KEPT_BLOCKS: usize = 16;

/// Checks the header of a pack.
pub(crate) fn check_header(file: &File, pack: &Pack) -> Result<()> {
    let mut header = [0; PACK_HEADER];
    file.read_exact_at(&mut header, 0).at("read", &pack.path)?;
    if header == pack.id.header() {
        return Ok(());
    }
    Err(Error::Damaged { path: pack.path.clone(), reason: "its header is not that of this pack".into() })
}

/// Reads and decompresses blocks. One a thread; the buffers are kept.
pub(crate) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
}

impl Unpacker {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, stored: Vec::new() })
    }

    /// Puts the bytes of a block into `raw`, after checking them.
    pub(crate) fn read(&mut self, pack: &Pack, file: &File, number: u32, raw: &mut Vec<u8>) -> Result<()> {
        let damaged = |what: &str| Error::Damaged { path: pack.path.clone(), reason: format!("block {number} {what}") };
        let &Block { offset, stored, raw: length, checksum } =
            pack.blocks.get(number as usize).ok_or_else(|| damaged("is not in its index"))?;
        self.stored.resize(stored as usize, 0);
        file.read_exact_at(&mut self.stored, offset).at("read", &pack.path)?;
        if *blake3::hash(&self.stored).as_bytes() != checksum {
            return Err(damaged("has a wrong checksum"));
        }
        raw.clear();
        raw.reserve(length as usize);
        match self.zstd.decompress_to_buffer(&self.stored, raw) {
            Ok(found) if found == length as usize => Ok(()),
            Ok(_) => Err(damaged("has a wrong length")),
            Err(error) => Err(damaged(&format!("cannot be decompressed: {error}"))),
        }
    }
}

/// Reads chunks by their names. Holds the store's lock, so that no collection takes them away meanwhile.
pub struct ChunkReader {
    _lock: Arc<Lock>,
    catalogue: Arc<Catalogue>,
    missing_in: PathBuf,
    files: Handles<u32>,
    unpacker: Unpacker,
    blocks: VecDeque<((u32, u32), Vec<u8>)>,
}

impl ChunkReader {
    /// Reads what `catalogue` knows. `missing_in` is the directory to name when something is not there.
    pub(crate) fn new(lock: Arc<Lock>, catalogue: Arc<Catalogue>, missing_in: PathBuf) -> Result<Self> {
        let unpacker = Unpacker::new().at("decompress", &missing_in)?;
        let blocks = VecDeque::with_capacity(KEPT_BLOCKS);
        Ok(Self { _lock: lock, catalogue, missing_in, files: Handles::default(), unpacker, blocks })
    }

    /// Whether the store has that chunk. It may be damaged nevertheless.
    pub fn has(&self, hash: &ChunkHash) -> bool {
        self.catalogue.find(hash).is_some()
    }

    pub(crate) fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Where a chunk is, or which file is to blame for that it is nowhere.
    pub(crate) fn locate(&self, hash: &ChunkHash) -> Result<Location> {
        self.catalogue.find(hash).ok_or_else(|| missing(&self.catalogue, &self.missing_in, hash))
    }

    /// The bytes of a chunk, checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the file that is damaged or missing.
    pub fn read(&mut self, hash: &ChunkHash) -> Result<&[u8]> {
        let location = self.locate(hash)?;
        let key = (location.pack, location.block);
        let at = match self.blocks.iter().position(|(known, _)| *known == key) {
            Some(at) => at,
            None => {
                let pack = pack_of(&self.catalogue, location)?;
                let file = self.files.get(location.pack, || open(pack))?;
                let mut raw =
                    if self.blocks.len() < KEPT_BLOCKS { None } else { self.blocks.pop_back() }.unwrap_or_default().1;
                self.unpacker.read(pack, &file, location.block, &mut raw)?;
                self.blocks.push_front((key, raw));
                0
            }
        };
        let path = &pack_of(&self.catalogue, location)?.path;
        let chunk = self.blocks.get(at).and_then(|(_, raw)| slice(raw, location)).unwrap_or_default();
        if ChunkHash::of(chunk) == *hash {
            return Ok(chunk);
        }
        Err(Error::Damaged { path: path.clone(), reason: format!("chunk {hash} is not what its name says") })
    }
}

impl std::fmt::Debug for ChunkReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkReader").finish_non_exhaustive()
    }
}

/// Opens a pack and checks its header.
pub(crate) fn open(pack: &Pack) -> Result<File> {
    let file = File::open(&pack.path).at("read", &pack.path)?;
    check_header(&file, pack)?;
    Ok(file)
}

/// The pack of a location of the same catalogue.
pub(crate) fn pack_of(catalogue: &Catalogue, location: Location) -> Result<&Pack> {
    // Locations are only ever made together with the packs that they are in.
    catalogue.packs.get(location.pack as usize).ok_or(Error::Cancelled)
}

/// The bytes of a chunk in its block.
pub(crate) fn slice(raw: &[u8], location: Location) -> Option<&[u8]> {
    raw.get(location.offset as usize..)?.get(..location.length as usize)
}

fn missing(catalogue: &Catalogue, directory: &std::path::Path, hash: &ChunkHash) -> Error {
    match catalogue.broken.first() {
        Some(broken) => Error::Damaged {
            path: broken.path.clone(),
            reason: format!("{}, and chunk {hash} is in no other pack", broken.error.reason()),
        },
        None => Error::Damaged { path: directory.to_owned(), reason: format!("chunk {hash} is missing") },
    }
}
