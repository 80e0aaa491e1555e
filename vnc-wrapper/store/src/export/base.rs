//! The base in an export: taken up where it is asked for, put in its place where it is missing.
//!
//! Both take a process that has the ids of the base's files: root, or one in the user's namespace. Whoever exports or imports may be
//! neither, and has it done by [`Bases`]. In the file the base has the normal form ([`crate::form`]), and the importer gives it ids
//! of its own; older files have it as it lay on their maker's disk.

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
use crate::form::{Lay, Local, What};
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::record;
use crate::sync::{sync_directory, sync_file_system};
use crate::tree::Taken;

/// Who takes up bases, and puts them in their places.
pub trait Bases {
    /// Stores the base's tree, as the layer of a content of `id` without images. The caller holds off collections.
    ///
    /// # Errors
    /// When it cannot be read or stored.
    fn take_up(&self, store: &Store, id: &SnapshotId, base: &BaseRecord, watch: &Watch<'_>) -> Result<Content>;

    /// Makes the base of this record from such a content, whose chunks are in the store.
    ///
    /// # Errors
    /// When it cannot be made; nothing of it is visible then.
    fn put(&self, store: &Store, record: &BaseRecord, content: &Content, watch: &Watch<'_>) -> Result<()>;
}

/// Does it in this process, exactly as files lie.
#[derive(Clone, Copy, Debug)]
pub struct InPlace;

impl Bases for InPlace {
    fn take_up(&self, store: &Store, id: &SnapshotId, base: &BaseRecord, watch: &Watch<'_>) -> Result<Content> {
        capture(store, id, base, Taken::AsItIs, watch)
    }

    fn put(&self, store: &Store, record: &BaseRecord, content: &Content, watch: &Watch<'_>) -> Result<()> {
        put(store, record, content, None, watch)
    }
}

impl Store {
    /// [`Bases::take_up`] in this process, in the normal form, of a base that lies as `here` says. Its chunks are garbage when the
    /// export is done; what is left of them until the next collection makes another export quick.
    ///
    /// # Errors
    /// As there.
    pub fn take_up_base(&self, id: &SnapshotId, base: &BaseRecord, here: Local, watch: &Watch<'_>) -> Result<Content> {
        capture(self, id, base, Taken::Normal(What::Base, here), watch)
    }

    /// [`Bases::put`] in this process, so that the base lies as `here` says; the record says that its files belong to the range from
    /// `first_id` on.
    ///
    /// # Errors
    /// As there.
    pub fn put_base(
        &self,
        record: &BaseRecord,
        content: &Content,
        (here, first_id): (Local, u32),
        watch: &Watch<'_>,
    ) -> Result<()> {
        let from = (!content.normal).then(|| Local::of_root(record.first_id));
        let record = BaseRecord { first_id, ..record.clone() };
        put(self, &record, content, Some(Lay { what: What::Base, from, to: here }), watch)
    }
}

fn capture(store: &Store, id: &SnapshotId, base: &BaseRecord, taken: Taken, watch: &Watch<'_>) -> Result<Content> {
    let root = store.base_dir(&base.name)?.join("root");
    let layer = objects::capture(store, &root, taken, watch)?;
    let normal = matches!(taken, Taken::Normal(..));
    Ok(Content { snapshot: id.clone(), images: TreeRef::default(), layer, normal, new_bytes: 0 })
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
fn put(store: &Store, record: &BaseRecord, content: &Content, form: Option<Lay>, watch: &Watch<'_>) -> Result<()> {
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
        objects::lay_out(store, &content.layer, &partial.join("root"), form, watch)?;
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
