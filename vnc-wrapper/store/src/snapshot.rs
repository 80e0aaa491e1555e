//! Writing and removing snapshots. A snapshot is whole or not there.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

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
    /// The locked directory of the raw dump: while it is locked, somebody is writing.
    _lock: File,
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
        let place = self.store.snapshot_dir(&self.id);
        rename(&partial, &place)?;
        if let Err(error) = sync_directory(&self.store.snapshots()) {
            // What is reported as failed must not be seen either.
            rename(&place, &partial)?;
            return Err(error);
        }
        self.committed = true;
        Ok(())
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
        let raw = self.raw().join(format!(".{id}.partial"));
        make_private(&raw)?;
        let lock = File::open(&raw).at("open", &raw)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).at("lock", &raw)?;
        let writer = SnapshotWriter { store: self.clone(), id, committed: false, _lock: lock };
        // Open to all below a directory that is open to nobody: the engine reads the images through a descriptor with the
        // ids of the session that it restores.
        let images = writer.images_dir();
        DirBuilder::new().mode(0o755).create(&images).at("create", &images)?;
        Ok(writer)
    }

    /// Takes away what writers left behind that are not alive any more.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_leftovers(&self) -> Result<()> {
        // The raw dumps last: their locks tell who is alive.
        for directory in [self.snapshots(), self.raw()] {
            for entry in fs::read_dir(&directory).at("list", &directory)? {
                let path = entry.at("list", &directory)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let id = name.trim_start_matches('.').trim_end_matches(".partial");
                let whole = !name.starts_with('.') && self.snapshots().join(id).exists();
                if !whole && !self.is_being_written(id) {
                    fs::remove_dir_all(&path).at("remove", &path)?;
                }
            }
        }
        Ok(())
    }
}

impl Store {
    fn is_being_written(&self, id: &str) -> bool {
        let raw = [format!(".{id}.partial"), id.to_owned()].map(|name| self.raw().join(name));
        let locked = |directory: File| flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err();
        raw.iter().any(|path| File::open(path).is_ok_and(locked))
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).at("rename", from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_when_their_writer_is_gone_and_not_before() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let entries = || fs::read_dir(store.raw()).unwrap().count();
        let writer = store.begin_snapshot(SnapshotId::random()).unwrap();
        store.remove_leftovers().unwrap();
        assert!(writer.images_dir().is_dir(), "a live writer's dump was taken away");
        // As a killed process would: without its clean-up, but with its descriptors closed.
        let mut writer = writer;
        writer.committed = true;
        drop(writer);
        assert_eq!(entries(), 1);
        store.remove_leftovers().unwrap();
        assert_eq!(entries(), 0);
        let dropped = store.begin_snapshot(SnapshotId::random()).unwrap();
        drop(dropped);
        assert_eq!(entries(), 0);
    }
}
