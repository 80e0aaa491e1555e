//! What export and import need of chunks, trees and contents.

use std::path::Path;
use std::sync::Arc;

use super::Watch;
use super::error::{Error, Result};
use super::frame::check;
use crate::content::{Content, TreeRef};
use crate::form::Lay;
use crate::hash::ChunkHash;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::{ChunkKind, ChunkReader, ChunkWriter};
use crate::tree::{self, Capture, Kind, Laid, Progress, Taken, Visit};

/// Stands for the file that is read, in errors that name one.
const EXPORT: &str = "the export";

/// Gives `seen` every chunk that the tree refers to, as often as it does.
pub(super) fn references(
    tree: &TreeRef,
    reader: &mut ChunkReader,
    named: &Path,
    seen: &mut dyn FnMut(ChunkHash, ChunkKind),
) -> crate::Result<()> {
    if *tree == TreeRef::default() {
        return Ok(());
    }
    tree::visit(tree, reader, named, &mut |hash, visit| {
        let kind = match visit {
            Visit::Read => ChunkKind::Meta,
            Visit::Data => ChunkKind::Data,
        };
        seen(hash, kind);
        Ok(())
    })
}

/// Reads a content that came with an export of the snapshot `id`.
pub(super) fn parse(bytes: &[u8], id: &SnapshotId) -> Result<Content> {
    let content = Content::from_bytes(bytes, Path::new(EXPORT)).map_err(of_export)?;
    if content.snapshot == *id {
        return Ok(content);
    }
    Err(Error::Damaged(format!("a part of it is of snapshot {}", content.snapshot)))
}

/// What the parsers of the store say, said of an export.
fn of_export(error: crate::Error) -> Error {
    match error {
        crate::Error::Damaged { reason, path } if path == Path::new(EXPORT) => Error::Damaged(reason),
        crate::Error::Damaged { .. } => Error::Damaged(format!("what it consists of is not whole: {error}")),
        crate::Error::TooNew { found, known, .. } => Error::TooNew { found, known },
        other => Error::Store(other),
    }
}

/// Checks that the store has all that an import consists of, and that the trees are such as sessions and bases make: a
/// device in them would be one of this machine.
pub(super) fn check_whole(store: &Store, content: &Content, base: Option<&Content>, watch: &Watch<'_>) -> Result<()> {
    let mut reader = store.chunk_reader()?;
    if content.images == TreeRef::default() || content.layer == TreeRef::default() {
        return Err(Error::Damaged("it is without images or without a layer".into()));
    }
    if base.is_some_and(|base| base.layer == TreeRef::default()) {
        return Err(Error::Damaged("its base is empty".into()));
    }
    for tree in [Some(content), base].into_iter().flatten().flat_map(|content| [&content.images, &content.layer]) {
        check(watch.cancel)?;
        if *tree == TreeRef::default() {
            continue;
        }
        let mut missing = None;
        let catalogue = Arc::clone(reader.catalogue());
        let seen = &mut |hash, _| missing = missing.or(catalogue.find(&hash).is_none().then_some(hash));
        references(tree, &mut reader, Path::new(EXPORT), seen).map_err(of_export)?;
        if let Some(hash) = missing {
            return Err(Error::Damaged(format!("it lacks chunk {hash}")));
        }
        for entry in tree::unfold(tree, &mut reader, Path::new(EXPORT)).map_err(of_export)? {
            if matches!(entry.kind, Kind::Block { .. } | Kind::Character { .. }) && entry.kind != WHITEOUT {
                let name = String::from_utf8_lossy(&entry.name);
                return Err(Error::Damaged(format!("it has a device, {name:?}, which no session can make")));
            }
        }
    }
    Ok(())
}

/// How an overlay writes down that a file of the base was removed.
const WHITEOUT: Kind = Kind::Character { major: 0, minor: 0 };

/// Stores the tree at `root`. The caller holds off collections, which would take it away.
pub(super) fn capture(store: &Store, root: &Path, taken: Taken, watch: &Watch<'_>) -> Result<TreeRef> {
    let mut writer: ChunkWriter = store.chunk_writer()?;
    let mut capture =
        Capture { writer: &mut writer, cancel: watch.cancel, progress: watch.progress, far: Progress::default() };
    let tree = capture.tree(root, taken)?;
    writer.finish()?;
    Ok(tree)
}

/// Makes the tree at `path`, where nothing may be.
pub(super) fn lay_out(store: &Store, tree: &TreeRef, path: &Path, form: Option<Lay>, watch: &Watch<'_>) -> Result<()> {
    let mut reader = store.chunk_reader()?;
    Ok(tree::lay_out(&[Laid { tree, path, form }], &mut reader, Path::new(EXPORT), watch.cancel, watch.progress)?)
}
