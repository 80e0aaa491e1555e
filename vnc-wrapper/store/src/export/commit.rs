//! Making an imported snapshot visible.

use crate::content::Content;
use crate::error::{Error, Result};
use crate::layout::Store;
use crate::manifest::{Manifest, Marks};
use crate::record;

/// Writes everything of a snapshot but its chunks, which are durable by now, and makes it visible by one rename. A crash
/// before that leaves a directory with a name that every reader passes over, and that a collection takes away.
pub(super) fn snapshot(
    store: &Store,
    manifest: &Manifest,
    marks: &Marks,
    content: &Content,
    thumbnail: Option<&[u8]>,
) -> Result<()> {
    let (disk, target) = (store.disk(), store.snapshot_dir(&manifest.id));
    let partial = store.new_partial_snapshot(&manifest.id);
    let made = (|| {
        store.write_partial_snapshot(&partial, manifest, thumbnail)?;
        record::write_on(disk, &partial.join("marks.json"), marks)?;
        disk.write_atomically(&partial.join("content"), &content.to_bytes())?;
        if target.exists() || store.raw().join(manifest.id.as_str()).exists() {
            return Err(Error::Exists { what: "snapshot", name: manifest.id.to_string() });
        }
        // A rename onto a directory that is not empty fails, so the first one wins.
        disk.rename(&partial, &target)
    })();
    if let Err(error) = made {
        // The error before is the one to tell.
        let _ = disk.remove_tree(&partial);
        return Err(error);
    }
    disk.sync_directory(&store.snapshots())
}
