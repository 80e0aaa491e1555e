//! The base in an export: taken up where it is asked for, put in its place where it is missing.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::error::{Error, Result};
use super::head::Head;
use super::{Watch, objects};
use crate::base::{BaseLock, BaseRecord};
use crate::content::{Content, TreeRef};
use crate::error::IoContext;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::Written;
use crate::record;
use crate::sync::{sync_directory, sync_file_system};

/// Stores the base's tree, as the layer of a content without images. Its chunks are garbage when the export is done; the
/// returned lock keeps them until then, and what is left of them until the next collection makes another export quick.
pub(super) fn capture(
    store: &Store,
    id: &SnapshotId,
    base: &BaseRecord,
    watch: &Watch<'_>,
) -> Result<(Content, Written)> {
    let root = store.base_dir(&base.name)?.join("root");
    let (layer, written) = objects::capture(store, &root, watch)?;
    Ok((Content { snapshot: id.clone(), images: TreeRef::default(), layer, new_bytes: 0 }, written))
}

/// Whether the base has to be taken from the file. Checks that snapshot and base fit to what is here; the ids that files belong to
/// may be any.
pub(super) fn is_missing(store: &Store, head: &Head) -> Result<bool> {
    let manifest = &head.manifest;
    match store.base(&manifest.base) {
        Ok(here) if here.identity == manifest.base_identity => Ok(false),
        Ok(here) => {
            Err(Error::BaseNameTaken { name: here.name, wanted: manifest.base_identity.clone(), found: here.identity })
        }
        Err(crate::Error::NotFound { .. }) if head.base.is_some() => Ok(true),
        Err(crate::Error::NotFound { .. }) => {
            Err(Error::BaseMissing { name: manifest.base.clone(), identity: manifest.base_identity.clone() })
        }
        Err(other) => Err(other.into()),
    }
}

/// Makes the base from its tree, visible by one rename at the end. Another import that makes it in the same moment wins, and it is the
/// same one then, or the import ends.
pub(super) fn put(store: &Store, record: &BaseRecord, tree: &TreeRef, watch: &Watch<'_>) -> Result<()> {
    let (partial, target) = (store.partial_base_dir(&record.name)?, store.base_dir(&record.name)?);
    let _lock = BaseLock::take(store, &record.name)?;
    match store.base(&record.name) {
        Ok(here) if here.identity == record.identity => return Ok(()),
        Ok(_) | Err(crate::Error::NotFound { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let made = (|| {
        // What a killed process left; nobody else has the lock.
        remove(&partial)?;
        DirBuilder::new().mode(0o700).create(&partial).at("create", &partial)?;
        objects::lay_out(store, tree, &partial.join("root"), watch)?;
        record::write(&partial.join("base.json"), record)?;
        sync_file_system(&partial)?;
        if target.exists() {
            return Err(Error::Store(crate::Error::Exists { what: "base", name: record.name.clone() }));
        }
        fs::rename(&partial, &target).at("rename", &partial)?;
        Ok(sync_directory(target.parent().unwrap_or(store.root()))?)
    })();
    if made.is_err() {
        // The first error is the one to tell; what stays has a name that every list passes over.
        let _ = remove(&partial);
    }
    made
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => Ok(other.at("remove", path)?),
    }
}
