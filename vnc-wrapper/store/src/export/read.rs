//! Reading an export.

use std::io::Read;

use jiff::Timestamp;

use super::blocks::Unpacker;
use super::error::{Error, Result};
use super::frame::{Frame, FrameReader, Tag, signed};
use super::head::Head;
use super::{Bases, InPlace, Watch, base, commit, objects};
use crate::content::Content;
use crate::hash::ChunkHash;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::manifest::{ImportMark, Manifest, Marks};
use crate::pack::{ChunkKind, ChunkWriter};
use crate::record::Record;
use crate::sign::{PublicKey, Signature};
use crate::tree::Progress;

/// On which terms a file is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// A key that is trusted this time, besides the user's own and those of [`Store::trusted_keys`].
    pub trust: Option<PublicKey>,
    /// A snapshot is taken also where its base is neither here nor in the file: to look at it, check it and keep it.
    pub without_base: bool,
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The snapshot.
    pub id: SnapshotId,
    /// The key that signed it.
    pub key: PublicKey,
    /// Whether it was there before; only its deletion was taken back then, if it was deleted.
    pub was_there: bool,
    /// The base that came with it, if it was not there before.
    pub new_base: Option<String>,
    /// Chunks that were not there before.
    pub new_chunks: u64,
    /// Bytes that the store has grown by.
    pub new_bytes: u64,
}

/// All in front of the chunks, signed by a trusted key.
struct Front {
    head: Head,
    content: Content,
    base: Option<Content>,
    thumbnail: Option<Vec<u8>>,
}

impl Store {
    /// Takes in the snapshot that `from` holds, if it is what somebody trusted has signed, to the last bit. `from` is read
    /// once, from front to end, and has to end there.
    ///
    /// # Errors
    /// As [`Error`] says; whatever it is, nothing of the snapshot is visible then.
    pub fn import(&self, from: impl Read, options: ImportOptions, watch: &Watch<'_>) -> Result<Imported> {
        self.import_with(from, options, &InPlace, watch)
    }

    /// The same, with the base put in its place by `bases`.
    ///
    /// # Errors
    /// As [`Store::import`], and what `bases` says.
    pub fn import_with(
        &self,
        from: impl Read,
        options: ImportOptions,
        bases: &dyn Bases,
        watch: &Watch<'_>,
    ) -> Result<Imported> {
        let mut frames = FrameReader::begin(from, watch.cancel)?;
        let front = read_front(&mut frames, |key| Ok(options.trust == Some(*key) || self.trusts(key)?))?;
        let (head, id) = (&front.head, &front.head.manifest.id);
        // Holds off collections until the end, so that what is found to be there stays there.
        let mut writer = self.chunk_writer()?;
        let was_there = is_there(self, &front)?;
        let new_base = match base::is_missing(self, head) {
            Err(Error::BaseMissing { .. } | Error::BaseNameTaken { .. }) if options.without_base => false,
            missing => missing?,
        };
        read_chunks(frames, head, &mut writer, watch)?;
        // From here on the file is what its maker signed.
        let written = writer.finish()?;
        objects::check_whole(self, &front.content, front.base.as_ref(), watch)?;
        if let (true, Some(record), Some(content)) = (new_base, &head.base, &front.base) {
            bases.put(self, record, content, watch)?;
        }
        if was_there {
            undelete(self, id)?;
        } else {
            let marks = Marks {
                format: Marks::FORMAT,
                label: (head.label != head.manifest.label).then(|| head.label.clone()),
                imported: Some(ImportMark { at: Timestamp::now(), key: head.key }),
                ..Marks::default()
            };
            let content = Content { new_bytes: written.bytes, ..front.content.clone() };
            commit::snapshot(self, &head.manifest, &marks, &content, front.thumbnail.as_deref())?;
        }
        Ok(Imported {
            id: id.clone(),
            key: head.key,
            was_there,
            new_base: new_base.then(|| head.manifest.base.clone()),
            new_chunks: written.chunks,
            new_bytes: written.bytes,
        })
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(what.to_owned())
}

/// Reads up to the first signature, and checks it.
fn read_front<R: Read>(frames: &mut FrameReader<'_, R>, trusted: impl Fn(&PublicKey) -> Result<bool>) -> Result<Front> {
    let first = frames.next()?;
    if first.tag != Tag::Head {
        return Err(damaged("it does not begin with its head"));
    }
    let mut parts: [Option<Vec<u8>>; 3] = Default::default();
    let order = [Tag::Content, Tag::Base, Tag::Thumbnail];
    let mut least = 0;
    let signature = loop {
        let frame = frames.next()?;
        if frame.tag == Tag::HeadSignature {
            break frame;
        }
        let at = order.iter().position(|tag| *tag == frame.tag).filter(|at| *at >= least);
        let at = at.ok_or_else(|| damaged("its parts are not in order"))?;
        parts[at] = Some(frame.body);
        least = at + 1;
    };
    // The signature comes before all else: who altered the head altered what the head says too.
    let key = key_of(&first.body)?;
    check_signature(&signature, &key)?;
    if !trusted(&key)? {
        return Err(Error::UnknownKey { key });
    }
    let mut head = Head::parse(&first.body)?;
    // What the base here has may be something else.
    head.manifest.first_id.get_or_insert(head.first_id);
    let [content, base, thumbnail] = parts;
    let content = content.ok_or_else(|| damaged("it does not say what it consists of"))?;
    if head.base.is_some() != base.is_some() {
        return Err(damaged("its head and its parts differ about the base"));
    }
    let id = head.manifest.id.clone();
    let parse = |bytes: Vec<u8>| objects::parse(&bytes, &id);
    Ok(Front { content: parse(content)?, base: base.map(parse).transpose()?, head, thumbnail })
}

/// The key in a head, before anything else of it is looked at.
fn key_of(head: &[u8]) -> Result<PublicKey> {
    #[derive(serde::Deserialize)]
    struct KeyOnly {
        key: PublicKey,
    }
    let KeyOnly { key } =
        serde_json::from_slice(head).map_err(|e| Error::Damaged(format!("its head cannot be read ({e})")))?;
    Ok(key)
}

fn check_signature(frame: &Frame, key: &PublicKey) -> Result<()> {
    let signature =
        <[u8; 64]>::try_from(frame.body.as_slice()).map_err(|_| damaged("a signature in it is too short"))?;
    if key.verify(&signed(frame.tag, &frame.before), &Signature(signature)) {
        return Ok(());
    }
    Err(damaged("its signature does not fit its bytes"))
}

/// Whether the snapshot is here already, the very same.
fn is_there(store: &Store, front: &Front) -> Result<bool> {
    let id = &front.head.manifest.id;
    let here = match store.manifest(id) {
        Err(crate::Error::NotFound { .. }) => return Ok(false),
        other => other?,
    };
    let content = store.content(id)?;
    let same = (&content.images, &content.layer) == (&front.content.images, &front.content.layer);
    // One that was made or imported by an old release does not say it.
    let here = Manifest { first_id: here.first_id.or(front.head.manifest.first_id), ..here };
    if same && here == front.head.manifest { Ok(true) } else { Err(Error::Differs { id: id.clone() }) }
}

/// Stores all chunks that are new, and checks how the file ends. Nothing in it counts before this has returned.
fn read_chunks<R: Read>(
    mut frames: FrameReader<'_, R>,
    head: &Head,
    writer: &mut ChunkWriter,
    watch: &Watch<'_>,
) -> Result<()> {
    let (mut count, mut done) = (0_u64, 0_u64);
    let mut unpacker = Unpacker::new()?;
    let end = loop {
        let frame = frames.next()?;
        let kind = match frame.tag {
            Tag::Lists => ChunkKind::Meta,
            Tag::Chunks => ChunkKind::Data,
            Tag::Signature => break frame,
            _ => return Err(damaged("its parts are not in order")),
        };
        for chunk in unpacker.chunks(&frame.body)? {
            (count, done) = (count + 1, done + chunk.len() as u64);
            if count > head.chunks || done > head.bytes {
                return Err(damaged("it has more chunks than its head says"));
            }
            writer.put_named(ChunkHash::of(chunk), chunk, kind)?;
        }
        (watch.progress)(Progress { done, total: head.bytes });
    };
    check_signature(&end, &head.key)?;
    frames.end()?;
    if (count, done) != (head.chunks, head.bytes) {
        return Err(damaged("it has fewer chunks than its head says"));
    }
    Ok(())
}

/// Takes back the deletion of a snapshot: somebody wants it again.
fn undelete(store: &Store, id: &SnapshotId) -> Result<()> {
    let marks = store.marks(id)?;
    if marks.deleted.is_some() {
        store.write_marks(id, &Marks { deleted: None, ..marks })?;
    }
    Ok(())
}
