//! What a packed snapshot consists of: `snapshots/<id>/content`.
//!
//! ```text
//! magic "FFCONT1\n" | version u32: 2 where the layer has the normal form ([`crate::form`]), else 1 | 0 u32
//! id of the snapshot: length and bytes
//! of the images, then of the layer:
//!     entries: list | access times: list | number of entries | bytes before compression
//! bytes that packing it added to the store
//! BLAKE3 of all before                                                            32 bytes
//! ```
//!
//! A list is as drawn in the head of `tree`. The file is written last, by one rename: with it, a snapshot is whole.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, IoContext, Result};
use crate::id::SnapshotId;
use crate::tree::ListRef;
use crate::wire::{Decoder, Encoder, Flaw, unseal};

const MAGIC: [u8; 8] = *b"FFCONT1\n";
/// The newest version that this release writes and reads.
pub const VERSION: u32 = 2;
/// The version of those whose layers were stored as they lay on the disk that they were saved on.
const AS_IT_LAY: u32 = 1;
/// No content file is larger, in bytes; a larger one is refused unread.
pub const MAX_CONTENT: u64 = 64 << 10;

/// A directory with all below it, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeRef {
    /// The stream of entries.
    pub entries: ListRef,
    /// The stream of access times, which change when nothing else does.
    pub access_times: ListRef,
    /// How many entries there are, the directory itself among them.
    pub count: u64,
    /// Bytes of the contents of its files, holes not counted, before compression and deduplication.
    pub raw_bytes: u64,
}

/// What a packed snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The snapshot that it is of.
    pub snapshot: SnapshotId,
    /// The engine's images.
    pub images: TreeRef,
    /// The layer.
    pub layer: TreeRef,
    /// Whether the layer has the normal form ([`crate::form`]); else it is as it lay on the disk, by [`crate::Manifest::first_id`].
    pub normal: bool,
    /// Bytes that packing it added to the store: what it does not share with what was there before.
    pub new_bytes: u64,
}

impl Content {
    /// Bytes before compression and deduplication.
    pub fn raw_bytes(&self) -> u64 {
        self.images.raw_bytes.saturating_add(self.layer.raw_bytes)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.raw(&MAGIC);
        out.u32(if self.normal { VERSION } else { AS_IT_LAY });
        out.u32(0);
        out.bytes(self.snapshot.as_str().as_bytes());
        for tree in [&self.images, &self.layer] {
            tree.entries.encode(&mut out);
            tree.access_times.encode(&mut out);
            out.varint(tree.count);
            out.varint(tree.raw_bytes);
        }
        out.varint(self.new_bytes);
        out.seal()
    }

    /// Reads the bytes of a file; `path` is for the error.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::TooNew`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let damaged = |reason: Flaw| Error::Damaged { path: path.to_owned(), reason };
        let mut input = Decoder(unseal(bytes).map_err(damaged)?);
        let magic: [u8; 8] = input.array().map_err(damaged)?;
        let version = input.u32().map_err(damaged)?;
        if magic != MAGIC {
            return Err(damaged("it does not begin as a content file does".into()));
        }
        if version > VERSION {
            return Err(Error::TooNew { path: path.to_owned(), found: version, known: VERSION });
        }
        Self::decode(&mut input, version > AS_IT_LAY).map_err(damaged)
    }

    fn decode(input: &mut Decoder<'_>, normal: bool) -> Result<Self, Flaw> {
        if input.u32()? != 0 {
            return Err("its header is malformed".into());
        }
        let id = std::str::from_utf8(input.bytes(crate::id::MAX_NAME)?).map_err(|e| e.to_string())?;
        let snapshot = SnapshotId::new(id).map_err(|e| e.to_string())?;
        let images = decode_tree(input)?;
        let layer = decode_tree(input)?;
        let new_bytes = input.varint()?;
        if !input.is_empty() {
            return Err("there is something behind its end".into());
        }
        Ok(Self { snapshot, images, layer, normal, new_bytes })
    }

    /// Reads the file at `path`, which has to be that of `id`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read or is not there, [`Error::Damaged`] or [`Error::TooNew`].
    pub(crate) fn read(path: &Path, id: &SnapshotId) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).at("read", path)?;
        file.take(MAX_CONTENT + 1).read_to_end(&mut bytes).at("read", path)?;
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
        if bytes.len() as u64 > MAX_CONTENT {
            return Err(damaged(format!("it is larger than {MAX_CONTENT} bytes")));
        }
        let content = Self::from_bytes(&bytes, path)?;
        if content.snapshot != *id {
            return Err(damaged(format!("it is the content of snapshot {}", content.snapshot)));
        }
        Ok(content)
    }
}

fn decode_tree(input: &mut Decoder<'_>) -> Result<TreeRef, Flaw> {
    Ok(TreeRef {
        entries: ListRef::decode(input)?,
        access_times: ListRef::decode(input)?,
        count: input.varint()?,
        raw_bytes: input.varint()?,
    })
}
