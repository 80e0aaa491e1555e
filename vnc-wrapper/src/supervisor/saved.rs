//! Laying out what a snapshot consists of, for a session that is to be resumed from it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use freezeframe_protocol::Failure;
use freezeframe_store::{Attributes, Local, SnapshotId, Source, Store};

use super::Directories;
use crate::container::own_files;
use crate::failure::ToFailure;
use crate::layer::{self, Part};

/// The engine's images of a snapshot, readable as long as this lives.
#[derive(Debug)]
pub(super) struct Images {
    path: PathBuf,
    /// Whether they are a copy of the session's own.
    copied: bool,
    /// Holds those that are not.
    _source: Option<Source>,
}

impl Images {
    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The processes are there: a copy of the images that was made for them is not needed any more.
    pub(super) fn done(self) {
        if self.copied
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // It goes with the session.
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Makes the layer of a session from the snapshot `id`, and its images readable. Also answers the first id of the range that the
/// layer's files belong to: that of `here`, unless it lies as it was saved; none then.
///
/// # Errors
/// When anything of the snapshot is damaged, or the disk is full.
pub(super) fn lay_out(
    store: &Store,
    id: &SnapshotId,
    directories: &Directories,
    here: Local,
) -> Result<(Images, Option<Local>), Failure> {
    let source = store.source(id).map_err(|e| e.to_failure())?;
    let copy = directories.session.join("resumed");
    let (path, laid) = match &source {
        // Not packed yet: the images are read where they are, and the layer is copied.
        Source::Raw(raw) => {
            copy_layer(&raw.layer, directories)?;
            (raw.images.clone(), None)
        }
        Source::Packed => {
            let images = directories.session.join("images");
            let never = AtomicBool::new(false);
            store.lay(id, &images, &copy, here, &never, &|_| {}).map_err(|e| e.to_failure())?;
            let normal = store.content(id).map_err(|e| e.to_failure())?.normal;
            // Open to all below a directory that is open to nobody: the engine reads them with the ids of the session.
            fs::set_permissions(&images, fs::Permissions::from_mode(0o755)).map_err(|e| e.to_failure())?;
            place(&copy, directories).map_err(|e| e.to_failure())?;
            (images, Some(here).filter(|_| normal || here.attributes == Attributes::User))
        }
    };
    Ok((Images { path, copied: matches!(source, Source::Packed), _source: Some(source) }, laid))
}

/// As [`lay_out`], of the raw files of a snapshot that is not committed yet; whoever writes it waits.
///
/// # Errors
/// When the disk is full.
pub(super) fn lay_out_raw(raw: &Path, directories: &Directories) -> Result<Images, Failure> {
    copy_layer(&raw.join("layer"), directories)?;
    Ok(Images { path: raw.join("images"), copied: false, _source: None })
}

fn copy_layer(layer: &Path, directories: &Directories) -> Result<(), Failure> {
    let copy = directories.session.join("resumed");
    let (upper, index, own) = (layer.join(layer::UPPER), layer.join(layer::INDEX), layer.join(own_files::DIRECTORY));
    let mut parts = layer::parts(&upper, &index);
    if own.exists() {
        let name = own_files::DIRECTORY;
        parts.push(Part { source: &own, name, only_files: false, one_file_system: false, shift: 0 });
    }
    layer::copy_whole(&parts, &copy).map_err(|e| e.to_failure())?;
    place(&copy, directories).map_err(|e| e.to_failure())
}

/// Puts the parts of a layer where the overlay is to find them; within one file system, so that hard links between
/// them stay.
fn place(copy: &Path, directories: &Directories) -> io::Result<()> {
    fs::rename(copy.join(layer::UPPER), directories.layer())?;
    // Without root the overlay has no index; some engines have the own files in their images.
    for (name, place) in [(layer::INDEX, directories.index()), (own_files::DIRECTORY, directories.own())] {
        match fs::rename(copy.join(name), place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::remove_dir(copy)
}
