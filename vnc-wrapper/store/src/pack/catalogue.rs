//! All indexes of the store, in memory: where every chunk is.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::index::{self, Block, Entry, IndexFlaw};
use super::{INDEX_LINE, MAX_INDEX, PackId};
use crate::error::{Error, IoContext, Result};
use crate::hash::{ChunkHash, HashMapOf};

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// Position in [`Catalogue::packs`].
    pub(crate) pack: u32,
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// One pack whose index is good and whose file has the length that it should.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) id: PackId,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    pub(crate) blocks: Vec<Block>,
}

/// An index that cannot be used, or whose pack cannot.
#[derive(Debug)]
pub(crate) struct BrokenIndex {
    pub(crate) id: PackId,
    /// The index or the pack, whichever is at fault.
    pub(crate) path: PathBuf,
    pub(crate) error: Error,
}

/// Where every chunk is, as of the time of loading. A caller that loads one holds the store's lock, so that nothing in it goes.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) packs: Vec<Pack>,
    pub(crate) broken: Vec<BrokenIndex>,
    chunks: HashMapOf<Location>,
}

impl Catalogue {
    /// Reads all indexes. A damaged one does not stop the others from being used: chunks that only it knows are missing.
    pub(crate) fn load(index_dir: &Path, packs_dir: &Path) -> Result<Self> {
        Self::load_but(index_dir, packs_dir, &|_| false)
    }

    /// As [`Catalogue::load`], as if the packs that `passed_over` picks were not there.
    pub(crate) fn load_but(index_dir: &Path, packs_dir: &Path, passed_over: &dyn Fn(PackId) -> bool) -> Result<Self> {
        let mut found = ids(index_dir, ".idx")?;
        found.retain(|&id| !passed_over(id));
        let mut catalogue = Self::default();
        for id in found {
            let index_path = index_dir.join(format!("{id}.idx"));
            let path = packs_dir.join(format!("{id}.pack"));
            match read(id, &index_path).map_err(|e| (index_path.clone(), e)).and_then(|index| {
                check_length(&path, index.pack_length).map_err(|e| (path.clone(), e))?;
                Ok(index)
            }) {
                Ok(index) => {
                    catalogue.insert(&index.chunks);
                    catalogue.packs.push(Pack { id, path, length: index.pack_length, blocks: index.blocks });
                }
                Err((path, error)) => catalogue.broken.push(BrokenIndex { id, path, error }),
            }
        }
        Ok(catalogue)
    }

    fn insert(&mut self, chunks: &[Entry]) {
        // The number of packs is bounded by what a directory can hold.
        let pack = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.chunks.reserve(chunks.len());
        for &Entry { hash, block, offset, length } in chunks {
            self.chunks.entry(hash).or_insert(Location { pack, block, offset, length });
        }
    }

    pub(crate) fn find(&self, hash: &ChunkHash) -> Option<Location> {
        self.chunks.get(hash).copied()
    }

    /// Bytes that a chunk takes on disk: its part of a compressed block, rounded up, and its line in the index.
    pub(crate) fn stored_bytes(&self, at: Location) -> u64 {
        let block = self.packs.get(at.pack as usize).and_then(|pack| pack.blocks.get(at.block as usize));
        let part = block.map_or(0, |b| (u64::from(b.stored) * u64::from(at.length)).div_ceil(u64::from(b.raw).max(1)));
        part + INDEX_LINE
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ChunkHash, &Location)> {
        self.chunks.iter()
    }
}

/// The ids of all files in `directory` that are named after one and end in `suffix`, in order.
pub(crate) fn ids(directory: &Path, suffix: &str) -> Result<Vec<PackId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(directory).at("list", directory)? {
        let name = entry.at("list", directory)?.file_name();
        ids.extend(name.to_str().and_then(|n| n.strip_suffix(suffix)).and_then(PackId::from_name));
    }
    ids.sort_unstable();
    Ok(ids)
}

fn read(id: PackId, path: &Path) -> Result<index::Index> {
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(MAX_INDEX + 1).read_to_end(&mut bytes)).at("read", path)?;
    if bytes.len() as u64 > MAX_INDEX {
        return Err(damaged(format!("it is larger than {MAX_INDEX} bytes")));
    }
    let index = index::parse(&bytes).map_err(|flaw| match flaw {
        IndexFlaw::Damaged(reason) => damaged(reason),
        IndexFlaw::TooNew(found) => Error::TooNew { path: path.to_owned(), found, known: index::VERSION },
    })?;
    if index.pack != id {
        return Err(damaged(format!("it is the index of pack {}", index.pack)));
    }
    Ok(index)
}

fn check_length(path: &Path, expected: u64) -> Result<()> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Damaged { path: path.to_owned(), reason: "it is missing".into() });
        }
        other => other.at("read", path)?.len(),
    };
    if found == expected {
        return Ok(());
    }
    Err(Error::Damaged { path: path.to_owned(), reason: format!("it has {found} bytes instead of {expected}") })
}
