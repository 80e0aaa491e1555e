//! Taking away what nobody needs any more.
//!
//! A collection holds the store's lock alone: nobody reads or writes chunks meanwhile, so what looks unfinished was left
//! behind. It goes in steps, and a crash between any two of them leaves every remaining snapshot as it was:
//!
//! 1. Snapshots deleted long enough ago get a name that readers pass over, durably, and are removed.
//! 2. What killed writers left is removed: names with a dot, raw files of snapshots that are whole or gone. A snapshot that
//!    is being written right now holds its own lock and is passed over.
//! 3. All chunks that the remaining snapshots refer to are marked. If one of them cannot be read, nobody knows what it
//!    refers to, and the rest is left for another day: the report names it.
//! 4. Packs that nobody needs are removed, which needs no room: the indexes go first, durably, then the packs: an index never
//!    stands alone.
//! 5. Packs of which less than half is referred to are rewritten, as are small ones when there are many: what is live is
//!    stored again, durably, and only then is the old pack removed. On a full disk that is left for another day.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, IoContext, Kind, Result};
use crate::hash::{ChunkHash, ChunkSet};
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::lock::{Lock, Mode};
use crate::pack::{Catalogue, ChunkKind, ChunkReader, ChunkWriter, PackId, ids};
use crate::snapshot::lock_if_there;
use crate::stage::State;
use crate::tree::{Visit, visit};
use crate::usage::bytes_below;

/// What a collection may take away.
#[derive(Clone, Copy, Debug)]
pub struct GcOptions {
    /// Now.
    pub now: Timestamp,
    /// Deleted snapshots stay for this long.
    pub keep_deleted: SignedDuration,
    /// How long to wait for others to finish with the store.
    pub wait: Duration,
    /// Packs of which a smaller part than this is live are rewritten.
    pub rewrite_below: f64,
    /// When there are more packs than this that are small, they are rewritten into one.
    pub small_packs: usize,
}

impl GcOptions {
    /// What is right for everyday: deleted snapshots stay for a day, and nobody is waited for.
    pub fn at(now: Timestamp) -> Self {
        let keep_deleted = SignedDuration::from_hours(24);
        Self { now, keep_deleted, wait: Duration::ZERO, rewrite_below: 0.5, small_packs: 32 }
    }
}

/// A pack shorter than this is small.
const SMALL: u64 = 4 << 20;

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Snapshots that had been deleted, and are gone now.
    pub snapshots_removed: Vec<SnapshotId>,
    /// Files and directories of killed writers that are gone now.
    pub leftovers_removed: u64,
    /// Raw files of ids that are ours only in a user namespace: [`Store::clear_leftovers`] removes them there.
    pub leftovers_kept: u64,
    /// Packs that nobody needed, those that were rewritten among them.
    pub packs_removed: u64,
    /// Packs whose live part was stored again.
    pub packs_rewritten: u64,
    /// Packs that are to be rewritten and were not, because the disk has no room for it.
    pub packs_postponed: u64,
    /// Bytes of snapshots and store before.
    pub bytes_before: u64,
    /// Bytes of snapshots and store after.
    pub bytes_after: u64,
    /// Snapshots that cannot be read, and why. While there are any, no pack is removed.
    pub unreadable: Vec<(SnapshotId, String)>,
}

impl Store {
    /// Takes away what nobody needs any more.
    ///
    /// # Errors
    /// [`Error::Busy`] when others use the store, [`Error::Cancelled`], or what went wrong; every snapshot that was not
    /// deleted is then as it was.
    pub fn gc(&self, options: &GcOptions, cancel: &AtomicBool) -> Result<GcReport> {
        let lock = Arc::new(Lock::file(&self.lock_path(), Mode::Exclusive, options.wait)?);
        let mut report = GcReport { bytes_before: self.bytes()?, ..GcReport::default() };
        self.remove_deleted(options, &mut report)?;
        self.remove_leftovers(&mut report)?;
        check(cancel)?;
        self.remove_dead_packs(options, &lock, cancel, &mut report)?;
        report.bytes_after = self.bytes()?;
        self.reserve().fill();
        Ok(report)
    }

    /// Takes away what killed writers left, and nothing else; answers how much.
    ///
    /// # Errors
    /// [`Error::Busy`] when others use the store for longer than `wait`, or when something cannot be removed.
    pub fn clear_leftovers(&self, wait: Duration) -> Result<u64> {
        let _lock = Lock::file(&self.lock_path(), Mode::Exclusive, wait)?;
        let mut report = GcReport::default();
        self.remove_leftovers(&mut report)?;
        Ok(report.leftovers_removed)
    }

    fn bytes(&self) -> Result<u64> {
        Ok(bytes_below(&self.snapshots())? + bytes_below(&self.root().join("store"))?)
    }

    /// Step 1.
    fn remove_deleted(&self, options: &GcOptions, report: &mut GcReport) -> Result<()> {
        let mut gone = Vec::new();
        for id in self.snapshot_ids()? {
            // Marks that cannot be read say nothing.
            let Ok(marks) = self.marks(&id) else { continue };
            let old = |at: Timestamp| options.now.duration_since(at) >= options.keep_deleted;
            if marks.deleted.is_some_and(old) && !marks.pinned {
                let directory = self.snapshot_dir(&id);
                let partial = crate::io::partial_of(&directory);
                self.disk().rename(&directory, &partial)?;
                gone.push((id, partial));
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        // Before anything that it refers to goes.
        self.disk().sync_directory(&self.snapshots())?;
        for (id, partial) in gone {
            self.disk().remove_tree(&partial)?;
            report.snapshots_removed.push(id);
        }
        Ok(())
    }

    /// Step 2.
    fn remove_leftovers(&self, report: &mut GcReport) -> Result<()> {
        for name in names(&self.raw())? {
            let id = SnapshotId::new(name.as_str()).ok();
            let path = self.raw().join(&name);
            let wanted = match &id {
                Some(id) => matches!(self.state(id), Ok(State::Committing | State::Damaged)),
                None => false,
            };
            if wanted {
                continue;
            }
            match lock_if_there(&path, Mode::Exclusive) {
                // Being written, or read.
                Err(Error::Busy { .. }) | Ok(None) => continue,
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotADirectory => {}
                other => drop(other?),
            }
            // A writer may have committed since.
            let committed = id.is_some_and(|id| matches!(self.state(&id), Ok(State::Committing)));
            if !committed && path.exists() {
                match self.disk().remove_tree(&path) {
                    Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                        report.leftovers_kept += 1;
                    }
                    removed => {
                        removed?;
                        report.leftovers_removed += 1;
                    }
                }
            }
        }
        for name in names(&self.snapshots())? {
            let path = self.snapshots().join(&name);
            if name.starts_with('.') {
                if !id_of_partial(&name).is_some_and(|id| self.is_being_written(&id)) {
                    self.disk().remove_tree(&path)?;
                    report.leftovers_removed += 1;
                }
                continue;
            }
            for below in names(&path).unwrap_or_default() {
                // Only what a killed writer of one file left: marks are written without any lock, and in an instant.
                let path = path.join(&below);
                if below.starts_with('.') && is_old(&path) {
                    self.disk().remove_file(&path)?;
                    report.leftovers_removed += 1;
                }
            }
        }
        for directory in [self.packs(), self.indexes()] {
            for name in names(&directory)?.iter().filter(|name| name.starts_with('.')) {
                self.disk().remove_file(&directory.join(name))?;
                report.leftovers_removed += 1;
            }
        }
        // Packs whose writer was killed before it wrote their index.
        let indexed = ids(&self.indexes(), ".idx")?;
        for id in ids(&self.packs(), ".pack")? {
            if indexed.binary_search(&id).is_err() {
                self.disk().remove_file(&self.packs().join(format!("{id}.pack")))?;
                report.leftovers_removed += 1;
            }
        }
        Ok(())
    }

    /// Whether a [`crate::SnapshotWriter`] of that id lives: it holds its raw directory, first under one name, then under
    /// the other.
    fn is_being_written(&self, id: &SnapshotId) -> bool {
        [self.partial_raw(id), self.raw().join(id.as_str())]
            .iter()
            .any(|path| matches!(lock_if_there(path, Mode::Exclusive), Err(Error::Busy { .. })))
    }

    /// Step 3: the chunks that all snapshots refer to. None when one of them cannot be read.
    fn live(&self, lock: &Arc<Lock>, catalogue: &Arc<Catalogue>, report: &mut GcReport) -> Result<Option<Live>> {
        let mut reader = ChunkReader::new(Arc::clone(lock), Arc::clone(catalogue), self.packs())?;
        let mut live = Live::default();
        for id in self.snapshot_ids()? {
            let content = match self.content(&id) {
                Ok(content) => content,
                Err(Error::Committing { .. }) => continue,
                Err(error) => {
                    report.unreadable.push((id, error.to_string()));
                    continue;
                }
            };
            let path = self.content_path(&id);
            let mut missing = None;
            let visited = [&content.images, &content.layer].into_iter().try_for_each(|tree| {
                visit(tree, &mut reader, &path, &mut |hash, kind| {
                    let (set, found) = match kind {
                        Visit::Read => (&mut live.meta, true),
                        Visit::Data => (&mut live.data, catalogue.find(&hash).is_some()),
                    };
                    set.insert(hash);
                    if !found {
                        missing = Some(hash);
                    }
                    Ok(())
                })
            });
            if let Err(error) = visited.and_then(|()| missing.map_or(Ok(()), |hash| reader.locate(&hash).map(drop))) {
                report.unreadable.push((id, error.to_string()));
            }
        }
        Ok(report.unreadable.is_empty().then_some(live))
    }

    /// Steps 3 to 5.
    fn remove_dead_packs(
        &self,
        options: &GcOptions,
        lock: &Arc<Lock>,
        cancel: &AtomicBool,
        report: &mut GcReport,
    ) -> Result<()> {
        let catalogue = self.load_catalogue()?;
        let Some(live) = self.live(lock, &catalogue, report)? else { return Ok(()) };
        let mut sizes = vec![0u64; catalogue.packs.len()];
        for (_, location) in catalogue.iter().filter(|(hash, _)| live.has(hash)) {
            if let Some(size) = sizes.get_mut(location.pack as usize) {
                *size += u64::from(location.length);
            }
        }
        let small = catalogue.packs.iter().zip(&sizes).filter(|(pack, size)| **size > 0 && pack.length < SMALL).count();
        let (mut dead, mut sparse): (Vec<PackId>, Vec<PackId>) = (Vec::new(), Vec::new());
        for (pack, &live) in catalogue.packs.iter().zip(&sizes) {
            let raw: u64 = pack.blocks.iter().map(|block| u64::from(block.raw)).sum();
            let merge = small > options.small_packs && pack.length < SMALL;
            if live == 0 {
                dead.push(pack.id);
            } else if merge || (live as f64) < raw as f64 * options.rewrite_below {
                sparse.push(pack.id);
            }
        }
        // All that is live is in other packs. What a later release wrote is for it to judge.
        let broken = catalogue.broken.iter().filter(|broken| matches!(broken.error, Error::Damaged { .. }));
        dead.extend(broken.map(|broken| broken.id));
        check(cancel)?;
        self.remove_dead(&dead, &live)?;
        report.packs_removed += dead.len() as u64;
        if sparse.is_empty() {
            return Ok(());
        }
        match self.rewrite(&sparse, &live, lock, &catalogue, cancel) {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::NoSpace => {
                report.packs_postponed = sparse.len() as u64;
                // What was written of it takes the room that there is.
                return self.remove_leftovers(report);
            }
            Err(error) => return Err(error),
        }
        drop(catalogue);
        self.remove_dead(&sparse, &live)?;
        report.packs_rewritten += sparse.len() as u64;
        report.packs_removed += sparse.len() as u64;
        Ok(())
    }

    /// Removes packs, if without them every chunk that is needed is still there: nothing is worth more than this.
    fn remove_dead(&self, dead: &[PackId], live: &Live) -> Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        let others = Catalogue::load_but(&self.indexes(), &self.packs(), &|id| dead.contains(&id))?;
        if let Some(hash) = live.iter().find(|hash| others.find(hash).is_none()) {
            let reason = format!("chunk {hash} would be lost, so nothing was removed");
            return Err(Error::Damaged { path: self.packs(), reason });
        }
        self.remove_packs(dead)
    }

    /// Step 5: stores what is live of the packs `sparse` again, where no other pack has it.
    fn rewrite(
        &self,
        sparse: &[PackId],
        live: &Live,
        lock: &Arc<Lock>,
        catalogue: &Arc<Catalogue>,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let others = Catalogue::load_but(&self.indexes(), &self.packs(), &|id| sparse.contains(&id))?;
        let mut reader = ChunkReader::new(Arc::clone(lock), Arc::clone(catalogue), self.packs())?;
        let of_packs = |number: u32| catalogue.packs.get(number as usize).is_some_and(|pack| sparse.contains(&pack.id));
        let mut chunks: Vec<_> = catalogue
            .iter()
            .filter(|(hash, location)| live.has(hash) && of_packs(location.pack) && others.find(hash).is_none())
            .collect();
        chunks.sort_unstable_by_key(|(_, location)| **location);
        let mut writer = ChunkWriter::new(self, Arc::clone(lock), Arc::new(others));
        for (hash, _) in chunks {
            check(cancel)?;
            let kind = if live.meta.contains(hash) { ChunkKind::Meta } else { ChunkKind::Data };
            writer.put(reader.read(hash)?, kind)?;
        }
        writer.finish().map(drop)
    }

    /// Step 4.
    fn remove_packs(&self, dead: &[PackId]) -> Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        for id in dead {
            self.disk().remove_file(&self.indexes().join(format!("{id}.idx")))?;
        }
        self.disk().sync_directory(&self.indexes())?;
        for id in dead {
            self.disk().remove_file(&self.packs().join(format!("{id}.pack")))?;
        }
        self.disk().sync_directory(&self.packs())
    }
}

/// What is referred to.
#[derive(Debug, Default)]
struct Live {
    data: ChunkSet,
    /// Parts of lists and trees.
    meta: ChunkSet,
}

impl Live {
    fn iter(&self) -> impl Iterator<Item = &ChunkHash> {
        self.data.iter().chain(&self.meta)
    }

    fn has(&self, hash: &ChunkHash) -> bool {
        self.data.contains(hash) || self.meta.contains(hash)
    }
}

fn check(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

/// All names in `directory`, those with a dot too.
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).at("list", directory)? {
        names.extend(entry.at("list", directory)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// The snapshot that a name made by [`crate::io::partial_of`] belongs to.
fn id_of_partial(name: &str) -> Option<SnapshotId> {
    let (id, _random) = name.strip_prefix('.')?.strip_suffix(".partial")?.rsplit_once('.')?;
    SnapshotId::new(id).ok()
}

/// Whether a file was last written to longer ago than writing one takes.
fn is_old(path: &PathBuf) -> bool {
    let age = fs::symlink_metadata(path).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_secs(60))
}
