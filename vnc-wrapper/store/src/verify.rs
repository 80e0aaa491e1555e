//! Reading everything back, and telling what is damaged and which snapshots that touches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, IoContext, Result};
use crate::hash::{ChunkHash, ChunkSet};
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::{Catalogue, ChunkReader, Location, Unpacker, check_header, slice};
use crate::stage::State;
use crate::tree::{Progress, ProgressFn, visit};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file that is damaged or missing.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// The snapshots that cannot be resumed because of it; maybe none.
    pub snapshots: Vec<SnapshotId>,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The snapshots that were looked at.
    pub snapshots: Vec<SnapshotId>,
    /// Bytes of packs that were read.
    pub bytes: u64,
    /// What is damaged, by path.
    pub damages: Vec<Damage>,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty()
    }

    /// The snapshots that cannot be resumed.
    pub fn touched(&self) -> BTreeSet<&SnapshotId> {
        self.damages.iter().flat_map(|damage| &damage.snapshots).collect()
    }

    /// What is wrong with a snapshot, in words: none when nothing is.
    pub fn damage_of(&self, id: &SnapshotId) -> Option<String> {
        let mut touching = self.damages.iter().filter(|damage| damage.snapshots.contains(id));
        let first = touching.next()?;
        let more = match touching.count() {
            0 => String::new(),
            more => format!(", and {more} more files are damaged"),
        };
        Some(format!("{} is damaged: {}{more}", first.path.display(), first.reason))
    }
}

/// Damages while they are collected: what is wrong with a file, and whom it touches.
#[derive(Debug, Default)]
struct Findings(BTreeMap<PathBuf, (String, BTreeSet<SnapshotId>)>);

impl Findings {
    fn add(&mut self, error: &Error, fallback: &Path, snapshot: Option<&SnapshotId>) {
        let (path, reason) = match error {
            Error::Damaged { path, .. } | Error::TooNew { path, .. } | Error::Io { path, .. } => {
                (path.as_path(), error.reason())
            }
            other => (fallback, other.to_string()),
        };
        let path = if path.as_os_str().is_empty() { fallback } else { path };
        let (_, touched) = self.0.entry(path.to_owned()).or_insert_with(|| (reason, BTreeSet::new()));
        touched.extend(snapshot.cloned());
    }
}

impl Store {
    /// Reads everything back, or all that one snapshot consists of. Raw files of snapshots that are still being committed
    /// carry no checksums: of them only the records are checked.
    ///
    /// Damage is a finding and not an error. A snapshot is touched by what it cannot be resumed without.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Busy`], [`Error::Cancelled`], or when directories cannot be listed.
    pub fn verify(
        &self,
        only: Option<&SnapshotId>,
        cancel: &AtomicBool,
        progress: ProgressFn<'_>,
    ) -> Result<VerifyReport> {
        let lock = self.lock_shared()?;
        let ids = match only {
            Some(id) if !self.snapshot_dir(id).exists() => {
                return Err(Error::NotFound { what: "snapshot", name: id.to_string() });
            }
            Some(id) => vec![id.clone()],
            None => self.snapshot_ids()?,
        };
        let catalogue = self.load_catalogue()?;
        let mut reader = ChunkReader::new(lock, Arc::clone(&catalogue), self.packs())?;
        let mut findings = Findings::default();
        for broken in &catalogue.broken {
            findings.add(&broken.error, &broken.path, None);
        }
        let mut errors = Vec::new();
        let mut wanted = only.map(|_| Vec::new());
        for id in &ids {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            if let Err(error) = self.check_records(id) {
                findings.add(&error, &self.snapshot_dir(id), Some(id));
            }
            let mut want = |at: Location, hash: ChunkHash| {
                if let Some(wanted) = &mut wanted {
                    wanted.push((at, hash));
                }
            };
            errors.push(self.visit_chunks(id, &mut reader, &mut want));
        }
        if let Some(wanted) = &mut wanted {
            wanted.sort_unstable();
            wanted.dedup();
        }
        let reading = Reading::new(&catalogue, wanted, cancel, progress);
        let bytes = reading.run(&mut findings)?;
        let bad = reading.bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (id, error) in ids.iter().zip(errors) {
            if let Some(error) = error {
                findings.add(&error, &self.content_path(id), Some(id));
            }
        }
        if !bad.is_empty() {
            // Looked at a second time rather than kept: the chunks of some thousand snapshots take hundreds of megabytes.
            for id in &ids {
                if cancel.load(Ordering::Relaxed) {
                    return Err(Error::Cancelled);
                }
                let mut touch = |at: Location, hash: ChunkHash| {
                    if let Some(path) = bad.path(&catalogue, at, &hash)
                        && let Some((_, touched)) = findings.0.get_mut(path)
                        && !touched.contains(id)
                    {
                        touched.insert(id.clone());
                    }
                };
                // What cannot be read of it was found the first time.
                let _ = self.visit_chunks(id, &mut reader, &mut touch);
            }
        }
        if only.is_some() {
            // Damage elsewhere was not looked for, and what was met by chance is not this snapshot's.
            findings.0.retain(|_, (_, touched)| !touched.is_empty());
        }
        let damage = |(path, (reason, touched)): (PathBuf, (String, BTreeSet<SnapshotId>))| Damage {
            path,
            reason,
            snapshots: touched.into_iter().collect(),
        };
        Ok(VerifyReport { snapshots: ids, bytes, damages: findings.0.into_iter().map(damage).collect() })
    }

    /// The ids of all snapshots, deleted ones among them.
    pub(crate) fn snapshot_ids(&self) -> Result<Vec<SnapshotId>> {
        Ok(self.list_snapshots()?.into_iter().filter_map(|listed| SnapshotId::new(listed.name).ok()).collect())
    }

    /// Calls `each` with every chunk of a snapshot that the store has, and where; answers the first error.
    fn visit_chunks(
        &self,
        id: &SnapshotId,
        reader: &mut ChunkReader,
        each: &mut dyn FnMut(Location, ChunkHash),
    ) -> Option<Error> {
        let content = match self.content(id) {
            Ok(content) => content,
            Err(error) => {
                // Without a content that can be read it is to be resumed from its raw files, if they are there. A content
                // that is there and cannot be read is a finding even so.
                let committing = matches!(self.state(id), Ok(State::Committing));
                let absent = matches!(error, Error::Committing { .. });
                return (!committing || !absent).then_some(match error {
                    Error::Committing { .. } => Error::Damaged {
                        path: self.content_path(id),
                        reason: "it is missing, and so are the raw files".into(),
                    },
                    other => other,
                });
            }
        };
        let mut first = None;
        let catalogue = Arc::clone(reader.catalogue());
        let path = self.content_path(id);
        for tree in [&content.images, &content.layer] {
            let mut missing = None;
            let visited = visit(tree, reader, &path, &mut |hash, _| {
                match catalogue.find(&hash) {
                    Some(location) => each(location, hash),
                    None => missing = Some(hash),
                }
                Ok(())
            });
            let visited = visited.and_then(|()| missing.map_or(Ok(()), |hash| reader.locate(&hash).map(|_| ())));
            if let Err(error) = visited {
                first.get_or_insert(error);
            }
        }
        first
    }
}

/// What of the packs is bad.
#[derive(Debug, Default)]
struct Bad {
    packs: BTreeSet<u32>,
    blocks: BTreeSet<(u32, u32)>,
    chunks: ChunkSet,
    errors: Vec<Error>,
}

impl Bad {
    fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.blocks.is_empty() && self.chunks.is_empty()
    }

    /// The pack to blame, when the chunk at that location cannot be had.
    fn path<'a>(&self, catalogue: &'a Catalogue, at: Location, hash: &ChunkHash) -> Option<&'a Path> {
        let bad =
            self.packs.contains(&at.pack) || self.blocks.contains(&(at.pack, at.block)) || self.chunks.contains(hash);
        catalogue.packs.get(at.pack as usize).filter(|_| bad).map(|pack| pack.path.as_path())
    }
}

/// A block, by its pack and number, and the chunks of it that are to be checked.
type Wanted = ((u32, u32), Vec<(Location, ChunkHash)>);

/// Reading the blocks of packs by a thread for each processor.
struct Reading<'a> {
    catalogue: &'a Catalogue,
    blocks: Vec<Wanted>,
    files: Vec<Option<File>>,
    bad: Mutex<Bad>,
    next: AtomicUsize,
    done: AtomicU64,
    total: u64,
    cancel: &'a AtomicBool,
    progress: ProgressFn<'a>,
}

impl<'a> Reading<'a> {
    /// All chunks, or those that are wanted.
    fn new(
        catalogue: &'a Catalogue,
        wanted: Option<Vec<(Location, ChunkHash)>>,
        cancel: &'a AtomicBool,
        progress: ProgressFn<'a>,
    ) -> Self {
        let everything = wanted.is_none();
        let mut by_block: BTreeMap<(u32, u32), Vec<(Location, ChunkHash)>> = BTreeMap::new();
        let chunks =
            wanted.unwrap_or_else(|| catalogue.iter().map(|(hash, location)| (*location, *hash)).collect::<Vec<_>>());
        for (location, hash) in chunks {
            by_block.entry((location.pack, location.block)).or_default().push((location, hash));
        }
        if everything {
            // Blocks all of whose chunks another pack has too are checked as well.
            for (pack, number) in catalogue.packs.iter().zip(0u32..) {
                for (_, block) in pack.blocks.iter().zip(0u32..) {
                    by_block.entry((number, block)).or_default();
                }
            }
        }
        let used: BTreeSet<u32> = by_block.keys().map(|(pack, _)| *pack).collect();
        let mut bad = Bad::default();
        let mut files = Vec::new();
        for (pack, number) in catalogue.packs.iter().zip(0u32..) {
            let wanted = everything || used.contains(&number);
            let opened = wanted.then(|| {
                let file = File::open(&pack.path).at("read", &pack.path)?;
                check_header(&file, pack).map(|()| file)
            });
            files.push(opened.and_then(|opened| {
                opened
                    .map_err(|error| {
                        bad.packs.insert(number);
                        bad.errors.push(error);
                    })
                    .ok()
            }));
        }
        let size = |key: &(u32, u32)| catalogue.packs.get(key.0 as usize)?.blocks.get(key.1 as usize).map(|b| b.stored);
        let total = by_block.keys().filter_map(size).map(u64::from).sum();
        Self {
            catalogue,
            blocks: by_block.into_iter().collect(),
            files,
            bad: Mutex::new(bad),
            next: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            total,
            cancel,
            progress,
        }
    }

    /// Reads them. Returns how many bytes that were.
    fn run(&self, findings: &mut Findings) -> Result<u64> {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 8));
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::Cancelled))).collect()
        });
        results.into_iter().collect::<Result<Vec<()>>>()?;
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        for error in &bad.errors {
            findings.add(error, Path::new("store/packs"), None);
        }
        Ok(self.done.load(Ordering::Relaxed))
    }

    fn work(&self) -> Result<()> {
        let mut unpacker = Unpacker::new().at("decompress", Path::new("a block"))?;
        let mut raw = Vec::new();
        loop {
            let Some((key, chunks)) = self.blocks.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                return Ok(());
            };
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let (Some(pack), Some(Some(file))) =
                (self.catalogue.packs.get(key.0 as usize), self.files.get(key.0 as usize))
            else {
                continue;
            };
            if let Err(error) = unpacker.read(pack, file, key.1, &mut raw) {
                let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
                bad.blocks.insert(*key);
                bad.errors.push(error);
                continue;
            }
            for (location, hash) in chunks {
                if slice(&raw, *location).map(ChunkHash::of) != Some(*hash) {
                    let reason = format!("chunk {hash} is not what its name says");
                    let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
                    bad.chunks.insert(*hash);
                    bad.errors.push(Error::Damaged { path: pack.path.clone(), reason });
                }
            }
            let stored = pack.blocks.get(key.1 as usize).map_or(0, |block| u64::from(block.stored));
            let done = self.done.fetch_add(stored, Ordering::Relaxed) + stored;
            (self.progress)(Progress { done, total: self.total });
        }
    }
}
