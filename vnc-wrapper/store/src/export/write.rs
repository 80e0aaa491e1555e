//! Writing an export.

use std::io::Write;
use std::path::Path;

use super::blocks::Packer;
use super::error::{Error, Result};
use super::frame::{FrameWriter, Tag, check, signed};
use super::head::Head;
use super::{Bases, InPlace, Watch, objects, thumbnail};
use crate::content::Content;
use crate::hash::ChunkHash;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::{ChunkKind, ChunkReader, Location};
use crate::sign::{PublicKey, SigningKey};
use crate::tree::Progress;

/// What is to be in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The base too, for receivers that do not have it.
    pub with_base: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The key that signed it: what its maker gives the receiver.
    pub key: PublicKey,
    /// Chunks in it.
    pub chunks: u64,
    /// Bytes of them before compression.
    pub bytes: u64,
}

/// One chunk that goes into the file.
struct Wanted {
    location: Location,
    hash: ChunkHash,
    kind: ChunkKind,
}

impl Store {
    /// Writes the snapshot of that id to `to`, signed with the user's key. `to` is written from front to end, in large pieces.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] for snapshot or base, [`crate::Error::Committing`] before it is packed,
    /// [`crate::Error::Damaged`] when the store is; whatever `to` refuses. What was written by then is no export.
    pub fn export(
        &self,
        id: &SnapshotId,
        to: impl Write,
        options: ExportOptions,
        watch: &Watch<'_>,
    ) -> Result<Exported> {
        self.export_with(id, to, options, &InPlace, watch)
    }

    /// The same, with the base taken up by `bases`.
    ///
    /// # Errors
    /// As [`Store::export`], and what `bases` says.
    pub fn export_with(
        &self,
        id: &SnapshotId,
        to: impl Write,
        options: ExportOptions,
        bases: &dyn Bases,
        watch: &Watch<'_>,
    ) -> Result<Exported> {
        // No collection takes anything away until the end.
        let _lock = self.lock_shared()?;
        let manifest = self.manifest(id)?;
        let base = self.base(&manifest.base)?;
        if base.identity != manifest.base_identity {
            return Err(Error::BaseNameTaken { name: base.name, wanted: manifest.base_identity, found: base.identity });
        }
        let key = self.signing_key()?;
        let mut content = self.content(id)?;
        // What it cost here says nothing elsewhere.
        content.new_bytes = 0;
        let base_content = if options.with_base { Some(bases.take_up(self, id, &base, watch)?) } else { None };
        let mut reader = self.chunk_reader()?;
        let mut wanted = Vec::new();
        for tree in [Some(&content), base_content.as_ref()].into_iter().flatten() {
            collect(tree, &self.content_path(id), &mut reader, &mut wanted, watch)?;
        }
        wanted.sort_unstable_by_key(|w| w.location);
        wanted.dedup_by_key(|w| w.location);
        let bytes = wanted.iter().map(|w| u64::from(w.location.length)).sum();
        let label = self.marks(id)?.label.unwrap_or_else(|| manifest.label.clone());
        let head = Head {
            program: concat!("freezeframe ", env!("CARGO_PKG_VERSION")).to_owned(),
            key: key.public(),
            manifest,
            label,
            first_id: base.first_id,
            base: options.with_base.then_some(base),
            chunks: wanted.len() as u64,
            bytes,
        };
        let mut frames = FrameWriter::begin(to, watch.cancel)?;
        frames.frame(Tag::Head, &head.to_bytes()?)?;
        frames.frame(Tag::Content, &content.to_bytes())?;
        if let Some(content) = &base_content {
            frames.frame(Tag::Base, &content.to_bytes())?;
        }
        if let Some(png) = thumbnail::read(self, id)? {
            frames.frame(Tag::Thumbnail, &png)?;
        }
        sign(&mut frames, Tag::HeadSignature, &key)?;
        write_chunks(&wanted, &mut reader, &mut frames, bytes, watch)?;
        sign(&mut frames, Tag::Signature, &key)?;
        frames.finish()?;
        Ok(Exported { key: key.public(), chunks: head.chunks, bytes })
    }
}

/// Appends all chunks that `content` refers to.
fn collect(
    content: &Content,
    path: &Path,
    reader: &mut ChunkReader,
    wanted: &mut Vec<Wanted>,
    watch: &Watch<'_>,
) -> Result<()> {
    let mut found = Vec::new();
    for tree in [&content.images, &content.layer] {
        check(watch.cancel)?;
        objects::references(tree, reader, path, &mut |hash, kind| found.push((hash, kind)))?;
    }
    for (hash, kind) in found {
        wanted.push(Wanted { location: reader.locate(&hash)?, hash, kind });
    }
    Ok(())
}

fn sign<W: Write>(frames: &mut FrameWriter<'_, W>, tag: Tag, key: &SigningKey) -> Result<()> {
    let signature = key.sign(&signed(tag, &frames.hash()));
    frames.frame(tag, &signature.0)
}

/// Writes all chunks in the order in which they lie in the packs, so that every block is unpacked once.
fn write_chunks<W: Write>(
    wanted: &[Wanted],
    reader: &mut ChunkReader,
    frames: &mut FrameWriter<'_, W>,
    total: u64,
    watch: &Watch<'_>,
) -> Result<()> {
    let mut done = 0;
    for (kind, tag) in [(ChunkKind::Meta, Tag::Lists), (ChunkKind::Data, Tag::Chunks)] {
        let mut packer = Packer::new()?;
        for chunk in wanted.iter().filter(|w| w.kind == kind) {
            if let Some(frame) = packer.add(reader.read(&chunk.hash)?)? {
                frames.frame(tag, &frame)?;
                (watch.progress)(Progress { done, total });
            }
            done += u64::from(chunk.location.length);
        }
        if let Some(frame) = packer.rest()? {
            frames.frame(tag, &frame)?;
        }
    }
    (watch.progress)(Progress { done, total });
    Ok(())
}
