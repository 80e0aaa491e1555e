//! The second stage of a snapshot: from raw files into the store, in the background.
//!
//! ```text
//! chunks into packs, packs and indexes durable      [`ChunkWriter`]
//! snapshots/<id>/content                            by a rename: now the snapshot is whole
//! store/raw/<id>                                    removed, unless somebody reads it
//! ```
//!
//! Killed anywhere, what is there decides: with a content the snapshot is whole and what is left of its raw files is
//! garbage; without one it is still being committed, and any later process packs it again ([`Store::pending`]). Chunks that
//! the killed one had stored durably are found and not stored again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::content::Content;
use crate::error::{Error, Result};
use crate::form::{Attributes, Lay, Local, What};
use crate::hash::ChunkHash;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::lock::{Lock, Mode};
use crate::manifest::Manifest;
use crate::pack::{Catalogue, ChunkReader, ChunkWriter, Written};
use crate::snapshot::lock_if_there;
use crate::tree::{Capture, Laid, Progress, ProgressFn, Taken, lay_out, visit};

/// How long a user of the store waits for a collection to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there as raw files, can be resumed, and waits to be packed.
    Committing,
    /// It is packed.
    Whole,
    /// What it consists of is neither there raw, nor is its content readable.
    Damaged,
}

impl State {
    /// The word for it in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committing => "committing",
            Self::Whole => "whole",
            Self::Damaged => "damaged",
        }
    }
}

/// What a snapshot can be resumed from.
#[derive(Debug)]
pub enum Source {
    /// From files. They stay for as long as this value lives.
    Raw(RawSource),
    /// By [`Store::materialise`].
    Packed,
}

/// The raw files of a snapshot, held.
#[derive(Debug)]
pub struct RawSource {
    /// The engine's images.
    pub images: PathBuf,
    /// The layer.
    pub layer: PathBuf,
    _lock: Lock,
}

/// What packing a snapshot came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackReport {
    /// Bytes before compression and deduplication.
    pub raw_bytes: u64,
    /// Bytes that were added to the store.
    pub new_bytes: u64,
}

impl Store {
    /// Holds what snapshots are made of, so that no collection takes anything away.
    pub(crate) fn lock_shared(&self) -> Result<Arc<Lock>> {
        Ok(Arc::new(Lock::file(&self.lock_path(), Mode::Shared, PATIENCE)?))
    }

    pub(crate) fn load_catalogue(&self) -> Result<Arc<Catalogue>> {
        Ok(Arc::new(Catalogue::load(&self.indexes(), &self.packs())?))
    }

    /// A reader of all chunks that the store has now.
    ///
    /// # Errors
    /// [`Error::Busy`] while a collection runs for too long; else when the store cannot be read.
    pub fn chunk_reader(&self) -> Result<ChunkReader> {
        let lock = self.lock_shared()?;
        ChunkReader::new(lock, self.load_catalogue()?, self.packs())
    }

    /// A writer of chunks, which stores none that the store has already.
    ///
    /// # Errors
    /// As [`Store::chunk_reader`].
    pub fn chunk_writer(&self) -> Result<ChunkWriter> {
        let lock = self.lock_shared()?;
        Ok(ChunkWriter::new(self, lock, self.load_catalogue()?))
    }

    /// What a packed snapshot consists of.
    ///
    /// # Errors
    /// [`Error::Committing`] when it is not packed yet, [`Error::NotFound`], or what is wrong with the file.
    pub fn content(&self, id: &SnapshotId) -> Result<Content> {
        match Content::read(&self.content_path(id), id) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let name = id.to_string();
                Err(match self.snapshot_dir(id).exists() {
                    true => Error::Committing { name },
                    false => Error::NotFound { what: "snapshot", name },
                })
            }
            other => other,
        }
    }

    /// How far a snapshot has come. Of its chunks nothing is read: whether they are good is for [`Store::verify`] to say.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the file system fails.
    pub fn state(&self, id: &SnapshotId) -> Result<State> {
        let raw = self.layer_dir(id).is_dir() && self.images_dir(id).is_dir();
        match self.content(id) {
            Ok(_) => Ok(State::Whole),
            Err(error @ Error::NotFound { .. }) => Err(error),
            Err(_) if raw => Ok(State::Committing),
            // Packed since it was looked for.
            Err(Error::Committing { .. }) if self.content(id).is_ok() => Ok(State::Whole),
            Err(_) => Ok(State::Damaged),
        }
    }

    /// Snapshots that wait to be packed, the oldest first. Deleted ones are not among them.
    ///
    /// # Errors
    /// When the snapshots cannot be listed.
    pub fn pending(&self) -> Result<Vec<SnapshotId>> {
        let mut pending = Vec::new();
        for listed in self.list_snapshots()? {
            let Ok(id) = SnapshotId::new(listed.name) else { continue };
            let deleted = self.marks(&id).is_ok_and(|marks| marks.deleted.is_some());
            if !deleted && matches!(self.state(&id), Ok(State::Committing)) {
                pending.push(id);
            }
        }
        Ok(pending)
    }

    /// What a snapshot can be resumed from.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with it.
    pub fn source(&self, id: &SnapshotId) -> Result<Source> {
        if let Some(lock) = lock_if_there(&self.raw().join(id.as_str()), Mode::Shared)?
            && self.state(id)? == State::Committing
        {
            return Ok(Source::Raw(RawSource { images: self.images_dir(id), layer: self.layer_dir(id), _lock: lock }));
        }
        self.content(id).map(|_| Source::Packed)
    }

    /// Bytes that packing the snapshot added to the store: what only it used at that time. None before it is packed.
    ///
    /// # Errors
    /// As [`Store::content`].
    pub fn own_bytes(&self, id: &SnapshotId) -> Result<Option<u64>> {
        match self.content(id) {
            Err(Error::Committing { .. }) => Ok(None),
            other => Ok(Some(other?.new_bytes)),
        }
    }

    /// Packs a snapshot that is there raw. One that is whole already is left as it is, but for leftovers.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process is at it, [`Error::Cancelled`], or what went wrong; the snapshot then is what it
    /// was before.
    pub fn pack(&self, id: &SnapshotId, cancel: &AtomicBool, progress: ProgressFn<'_>) -> Result<PackReport> {
        let directory = self.snapshot_dir(id);
        let not_found = || Error::NotFound { what: "snapshot", name: id.to_string() };
        let store_lock = self.lock_shared()?;
        let _packing = lock_if_there(&directory, Mode::Exclusive)?.ok_or_else(not_found)?;
        let manifest = self.manifest(id)?;
        if let State::Whole | State::Damaged = self.state(id)? {
            let content = self.content(id)?;
            self.remove_raw(id)?;
            return Ok(PackReport { raw_bytes: content.raw_bytes(), new_bytes: content.new_bytes });
        }
        let mut writer = ChunkWriter::new(self, store_lock, self.load_catalogue()?);
        let far = Progress { done: 0, total: manifest.raw_bytes() };
        let mut capture = Capture { writer: &mut writer, cancel, progress, far };
        let raw = manifest.raw_form();
        let images = capture.tree(&self.images_dir(id), Taken::Pages)?;
        let layer = raw.map_or(Taken::AsItIs, |here| Taken::Normal(What::Layer, here));
        let layer = capture.tree(&self.layer_dir(id), layer)?;
        let written = writer.finish()?;
        let mut content =
            Content { snapshot: id.clone(), images, layer, normal: raw.is_some(), new_bytes: written.bytes };
        content.new_bytes += content.to_bytes().len() as u64;
        self.disk().write_atomically(&self.content_path(id), &content.to_bytes())?;
        // From here on it is whole, whatever happens to the raw files: what is left of them is for a collection.
        let _ = self.remove_raw(id);
        progress(Progress { done: content.raw_bytes(), total: content.raw_bytes() });
        Ok(PackReport { raw_bytes: content.raw_bytes(), new_bytes: content.new_bytes })
    }

    /// Removes the raw files of a snapshot, unless somebody reads them. Returns whether they are gone.
    pub(crate) fn remove_raw(&self, id: &SnapshotId) -> Result<bool> {
        let raw = self.raw().join(id.as_str());
        let _lock = match lock_if_there(&raw, Mode::Exclusive) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(true),
            Err(Error::Busy { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        // Under a name that says so first, because removing takes many steps.
        let gone = crate::io::partial_of(&raw);
        self.disk().rename(&raw, &gone)?;
        self.disk().remove_tree(&gone)?;
        Ok(true)
    }

    /// Gives `each` every chunk that a packed snapshot consists of, checked, those of its lists and trees among them, each
    /// once, and those that lie together one after the other.
    ///
    /// # Errors
    /// As [`Store::content`]; what is damaged; what `each` returns.
    pub fn for_each_chunk(&self, id: &SnapshotId, each: &mut dyn FnMut(&ChunkHash, &[u8]) -> Result<()>) -> Result<()> {
        let mut reader = self.chunk_reader()?;
        for hash in self.chunks_of(id, &mut reader)? {
            each(&hash, reader.read(&hash)?)?;
        }
        Ok(())
    }

    /// Every chunk that a packed snapshot consists of, each once, in the order that they lie in.
    ///
    /// # Errors
    /// As [`Store::content`]; what is damaged of its lists and trees.
    pub fn chunks_of(&self, id: &SnapshotId, reader: &mut ChunkReader) -> Result<Vec<ChunkHash>> {
        self.chunks_in(&self.content(id)?, &self.content_path(id), reader)
    }

    fn chunks_in(&self, content: &Content, path: &Path, reader: &mut ChunkReader) -> Result<Vec<ChunkHash>> {
        let catalogue = Arc::clone(reader.catalogue());
        let mut located = Vec::new();
        for tree in [&content.images, &content.layer] {
            let mut missing = None;
            visit(tree, reader, path, &mut |hash, _| {
                match catalogue.find(&hash) {
                    Some(location) => located.push((location, hash)),
                    None => missing = Some(hash),
                }
                Ok(())
            })?;
            if let Some(hash) = missing {
                reader.locate(&hash)?;
            }
        }
        located.sort_unstable_by_key(|(location, _)| *location);
        located.dedup();
        Ok(located.into_iter().map(|(_, hash)| hash).collect())
    }

    /// Makes a snapshot whose chunks were stored by a [`ChunkWriter`]: it is whole at once. That every chunk is there is
    /// checked first; whether each is what it should be was checked by its name.
    ///
    /// # Errors
    /// [`Error::Exists`] when its id is taken, [`Error::Damaged`] when something of it is missing, or what the disk says;
    /// there is no snapshot then.
    pub fn commit_packed(
        &self,
        manifest: &Manifest,
        thumbnail: Option<&[u8]>,
        content: &Content,
        written: &Written,
    ) -> Result<()> {
        let id = &manifest.id;
        let directory = self.snapshot_dir(id);
        let partial = self.new_partial_snapshot(id);
        let path = partial.join("content");
        let mut reader = ChunkReader::new(Arc::clone(&written.lock), self.load_catalogue()?, self.packs())?;
        self.chunks_in(content, &path, &mut reader)?;
        let content = Content { snapshot: id.clone(), ..content.clone() };
        let result = (|| {
            if directory.exists() || self.raw().join(id.as_str()).exists() {
                return Err(Error::Exists { what: "snapshot", name: id.to_string() });
            }
            self.write_partial_snapshot(&partial, manifest, thumbnail)?;
            self.disk().write_atomically(&path, &content.to_bytes())?;
            self.disk().rename(&partial, &directory)
        })();
        if let Err(error) = result {
            // The first error is the one to tell; the leftover has a name that readers pass over.
            let _ = self.disk().remove_tree(&partial);
            return Err(error);
        }
        self.disk().sync_directory(&self.snapshots())
    }

    /// Lays a packed snapshot out: its images below `images`, its layer below `layer`, which must both not be there, exactly as they
    /// are stored. Checks everything that it uses, and the snapshot's records.
    ///
    /// # Errors
    /// [`Error::Committing`] when it is not packed yet: its [`Source`] is raw then. [`Error::Damaged`] names the file that
    /// is damaged. Nothing is left at the targets then.
    pub fn materialise(
        &self,
        id: &SnapshotId,
        images: &Path,
        layer: &Path,
        cancel: &AtomicBool,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        self.lay_snapshot(id, images, (layer, None), cancel, progress)
    }

    /// As [`Store::materialise`], with the layer as it has to lie `here`. One that was stored as it lay on root's disk stays as it is
    /// there where `here` is root's, too: [`Content::normal`] says so, and [`Manifest::first_id`] which ids it has.
    ///
    /// # Errors
    /// As [`Store::materialise`].
    pub fn lay(
        &self,
        id: &SnapshotId,
        images: &Path,
        layer: &Path,
        here: Local,
        cancel: &AtomicBool,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        self.lay_snapshot(id, images, (layer, Some(here)), cancel, progress)
    }

    fn lay_snapshot(
        &self,
        id: &SnapshotId,
        images: &Path,
        (layer, here): (&Path, Option<Local>),
        cancel: &AtomicBool,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        let mut reader = self.chunk_reader()?;
        let manifest = self.check_records(id)?;
        let content = self.content(id)?;
        let form = match here {
            Some(to) if content.normal => Some(Lay { what: What::Layer, from: None, to }),
            Some(to) if to.attributes == Attributes::User => {
                let first = manifest.first_id.or_else(|| Some(self.base(&manifest.base).ok()?.first_id));
                Some(Lay { what: What::Layer, from: Some(Local::of_root(first.unwrap_or(0))), to })
            }
            _ => None,
        };
        let images = Laid { tree: &content.images, path: images, form: None };
        let trees = [images, Laid { tree: &content.layer, path: layer, form }];
        lay_out(&trees, &mut reader, &self.content_path(id), cancel, progress)
    }

    /// Marks a snapshot as deleted. It can be taken back until a collection takes it away.
    ///
    /// # Errors
    /// When its marks cannot be read or written.
    pub fn delete(&self, id: &SnapshotId, now: jiff::Timestamp) -> Result<()> {
        self.mark_deleted(id, Some(now))
    }

    /// Takes a deletion back.
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn undelete(&self, id: &SnapshotId) -> Result<()> {
        self.mark_deleted(id, None)
    }

    fn mark_deleted(&self, id: &SnapshotId, deleted: Option<jiff::Timestamp>) -> Result<()> {
        use crate::record::Record;
        if !fs::exists(self.snapshot_dir(id)).unwrap_or(false) {
            return Err(Error::NotFound { what: "snapshot", name: id.to_string() });
        }
        let marks = self.marks(id)?;
        self.write_marks(id, &crate::manifest::Marks { format: crate::manifest::Marks::FORMAT, deleted, ..marks })
    }
}
