//! Writing and removing snapshots. A snapshot is whole or not there.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::id::SnapshotId;
use crate::layout::{Store, make_private};
use crate::manifest::Manifest;
use crate::record;
use crate::sync::{sync_directory, sync_file_system, write_atomically};

/// A snapshot that is being written. Dropped before [`SnapshotWriter::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter {
    store: Store,
    id: SnapshotId,
    committed: bool,
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
        self.store.raw().join(format!(".{}.partial", self.id))
    }

    fn partial_snapshot(&self) -> PathBuf {
        self.store.snapshots().join(format!(".{}.partial", self.id))
    }

    /// Makes everything durable and the snapshot visible, by one rename at the end.
    ///
    /// A crash before that rename leaves names that every reader passes over, and after it a whole snapshot.
    ///
    /// # Errors
    /// When the disk fails or is full; nothing of the snapshot is then left.
    pub fn commit(mut self, manifest: &Manifest, thumbnail: Option<&[u8]>) -> Result<()> {
        let partial = self.partial_snapshot();
        make_private(&partial)?;
        if let Some(png) = thumbnail {
            write_atomically(&partial.join("thumbnail.png"), png)?;
        }
        record::write(&partial.join("manifest.json"), manifest)?;
        // The engine and the copy of the layer do not sync file by file; this does it once for all of them.
        sync_file_system(&self.store.raw())?;
        rename(&self.partial_raw(), &self.store.raw().join(self.id.as_str()))?;
        sync_directory(&self.store.raw())?;
        rename(&partial, &self.store.snapshot_dir(&self.id))?;
        self.committed = true;
        sync_directory(&self.store.snapshots())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.committed {
            for path in [self.partial_snapshot(), self.partial_raw(), self.store.raw().join(self.id.as_str())] {
                // Whatever stays has a name that readers pass over, and is taken away by `remove_leftovers`.
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}

impl Store {
    /// Starts writing a new snapshot.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn begin_snapshot(&self, id: SnapshotId) -> Result<SnapshotWriter> {
        if self.snapshot_dir(&id).exists() {
            return Err(Error::Exists { what: "snapshot", name: id.to_string() });
        }
        let writer = SnapshotWriter { store: self.clone(), id, committed: false };
        make_private(&writer.partial_raw())?;
        // Open to all below a directory that is open to nobody: the engine reads the images through a descriptor with the
        // ids of the session that it restores.
        let images = writer.images_dir();
        DirBuilder::new().mode(0o755).create(&images).at("create", &images)?;
        Ok(writer)
    }

    /// Takes away what writers left behind that are not alive any more. `alive` says which snapshots are still being
    /// written.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_leftovers(&self, alive: impl Fn(&str) -> bool) -> Result<()> {
        for directory in [self.snapshots(), self.raw()] {
            for entry in fs::read_dir(&directory).at("list", &directory)? {
                let path = entry.at("list", &directory)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let id = name.trim_start_matches('.').trim_end_matches(".partial");
                let whole = !name.starts_with('.') && self.snapshots().join(id).exists();
                if !whole && !alive(id) {
                    fs::remove_dir_all(&path).at("remove", &path)?;
                }
            }
        }
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).at("rename", from)
}
