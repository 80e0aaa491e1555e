//! The first stage of a snapshot: raw files, committed by one rename right after the session runs again.
//!
//! ```text
//! store/raw/.<id>.partial/{images,layer}     written by the engine and the copy of the layer, held by a lock
//! snapshots/.<id>.<random>.partial/…         manifest.json, thumbnail.png
//! sync everything
//! store/raw/<id>                             by a rename; nobody refers to it yet
//! snapshots/<id>                             by a rename: now there is a snapshot
//! ```
//!
//! A snapshot is whole or not there. What a killed writer leaves behind is held by no lock, and a collection takes it away
//! ([`Store::gc`]). The second stage is [`crate::stage`].

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::error::{Error, IoContext, Result};
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::lock::{Lock, Mode};
use crate::manifest::Manifest;
use crate::record::{self, Record};

/// A snapshot that is being written. Dropped before [`SnapshotWriter::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter {
    store: Store,
    id: SnapshotId,
    partial: PathBuf,
    /// On the raw directory, whatever it is called: says that it is alive.
    _lock: Lock,
    committed: bool,
}

/// `manifest.json` as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored<M> {
    #[serde(flatten)]
    manifest: M,
    /// BLAKE3 of `thumbnail.png`; none when there is no thumbnail.
    thumbnail: Option<String>,
}

impl Record for Stored<Manifest> {
    const FORMAT: u32 = Manifest::FORMAT;
    const CHECKED: bool = true;
}

impl SnapshotWriter {
    /// Where the engine writes its images.
    pub fn images_dir(&self) -> PathBuf {
        self.partial_raw().join("images")
    }

    /// Where the layer is copied to.
    pub fn layer_dir(&self) -> PathBuf {
        self.partial_raw().join("layer")
    }

    /// The id that the snapshot will have.
    pub fn id(&self) -> &SnapshotId {
        &self.id
    }

    fn partial_raw(&self) -> PathBuf {
        self.store.partial_raw(&self.id)
    }

    /// Makes everything durable and the snapshot visible, by one rename at the end. It is listed from then on, in state
    /// [`crate::State::Committing`], and can be resumed; [`Store::pack`] makes it small.
    ///
    /// A crash before that rename leaves names that every reader passes over, and after it a snapshot.
    ///
    /// # Errors
    /// When the disk fails or is full; nothing of the snapshot is then left.
    pub fn commit(mut self, manifest: &Manifest, thumbnail: Option<&[u8]>) -> Result<()> {
        let (store, raw) = (&self.store, self.store.raw());
        store.write_partial_snapshot(&self.partial, manifest, thumbnail)?;
        // The engine and the copy of the layer do not sync file by file; this does it once for all of them.
        store.disk().sync_file_system(&raw)?;
        store.disk().rename(&self.partial_raw(), &raw.join(self.id.as_str()))?;
        store.disk().sync_directory(&raw)?;
        let place = store.snapshot_dir(&self.id);
        store.disk().rename(&self.partial, &place)?;
        if let Err(error) = store.disk().sync_directory(&store.snapshots()) {
            // What is reported as failed must not be seen either.
            store.disk().rename(&place, &self.partial)?;
            return Err(error);
        }
        self.committed = true;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.committed {
            let raw = self.store.raw().join(self.id.as_str());
            for path in [&self.partial, &self.partial_raw(), &raw] {
                // Whatever stays has a name that readers pass over, and a collection takes it away.
                let _ = self.store.disk().remove_tree(path);
            }
        }
    }
}

impl Store {
    /// Starts writing a new snapshot.
    ///
    /// # Errors
    /// [`Error::Exists`] when the id is taken; else when the directories cannot be made.
    pub fn begin_snapshot(&self, id: SnapshotId) -> Result<SnapshotWriter> {
        let exists = || Error::Exists { what: "snapshot", name: id.to_string() };
        if self.snapshot_dir(&id).exists() || self.raw().join(id.as_str()).exists() {
            return Err(exists());
        }
        let raw = self.partial_raw(&id);
        let lock = loop {
            match self.disk().create_directory(&raw) {
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(exists());
                }
                other => other?,
            }
            // A collection that saw it without lock may have taken it away.
            if let Some(lock) = lock_if_there(&raw, Mode::Exclusive)? {
                break lock;
            }
        };
        let partial = self.new_partial_snapshot(&id);
        let writer = SnapshotWriter { store: self.clone(), id, partial, _lock: lock, committed: false };
        // Open to all below a directory that is open to nobody: the engine reads the images through a descriptor with the
        // ids of the session that it restores.
        let images = writer.images_dir();
        DirBuilder::new().mode(0o755).create(&images).at("create", &images)?;
        Ok(writer)
    }

    pub(crate) fn partial_raw(&self, id: &SnapshotId) -> PathBuf {
        self.raw().join(format!(".{id}.partial"))
    }

    pub(crate) fn new_partial_snapshot(&self, id: &SnapshotId) -> PathBuf {
        crate::io::partial_of(&self.snapshot_dir(id))
    }

    /// Makes the directory `partial` and puts the records of a snapshot into it, durably.
    pub(crate) fn write_partial_snapshot(
        &self,
        partial: &Path,
        manifest: &Manifest,
        thumbnail: Option<&[u8]>,
    ) -> Result<()> {
        self.disk().create_directory(partial)?;
        if let Some(png) = thumbnail {
            self.disk().write_atomically(&partial.join("thumbnail.png"), png)?;
        }
        let thumbnail = thumbnail.map(|png| blake3::hash(png).to_hex().to_string());
        let stored = Stored { manifest: manifest.clone(), thumbnail };
        record::write_on(self.disk(), &partial.join("manifest.json"), &stored)
    }

    /// Checks the records of a snapshot and its thumbnail, byte by byte.
    pub(crate) fn check_records(&self, id: &SnapshotId) -> Result<Manifest> {
        let directory = self.snapshot_dir(id);
        let path = directory.join("manifest.json");
        let damaged = |path: &Path, reason: String| Error::Damaged { path: path.to_owned(), reason };
        let manifest = self.manifest(id)?;
        let stored: Stored<Manifest> = record::read(&path)?;
        if manifest.id != *id {
            return Err(damaged(&path, format!("it is the manifest of snapshot {}", manifest.id)));
        }
        self.marks(id)?;
        let path = directory.join("thumbnail.png");
        let hash = |file: fs::File| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(file).map(|hasher| hasher.finalize().to_hex().to_string())
        };
        let found = match bounded::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => Some(other.and_then(hash).at("read", &path)?),
        };
        match (found, stored.thumbnail) {
            (found, expected) if found == expected => Ok(manifest),
            (None, _) => Err(damaged(&path, "it is missing".into())),
            (Some(_), _) => Err(damaged(&path, "it is not the one that was saved".into())),
        }
    }
}

/// Locks the directory at `path`. None when it is not there, or not any more.
pub(crate) fn lock_if_there(path: &Path, mode: Mode) -> Result<Option<Lock>> {
    let identity = || fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let before = identity();
    let lock = Lock::directory(path, mode)?;
    Ok(lock.filter(|_| before.is_some() && identity() == before))
}
