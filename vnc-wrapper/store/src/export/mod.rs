//! A snapshot as one file, to be carried to another machine or user: `*.freezeframe`.
//!
//! ```text
//! magic "\x8bFFSNAP\n" | format u32
//! frames, each: kind u8 | length of the body u32 | body
//!   H   head, JSON: who wrote and signed it, the manifest, the label, the range of ids, sizes, and the
//!       base's record where the base is contained                                       [`Head`]
//!   R   which chunks make up images and layer: as `snapshots/<id>/content`              [`crate::content`]
//!   B   the base, where it is contained: in the form of R, the base in the place of the layer
//!   T   thumbnail, PNG; may be missing
//!   h   Ed25519 signature of "freezeframe export 1: head\0" and the BLAKE3 of all bytes before this frame
//!   C   chunks of files, L chunks of lists and trees; as many frames as are needed: length of the rest, unpacked, u32
//!       | zstd of (number of chunks u32 | length u32 of each | bytes of each)
//!   S   Ed25519 signature of "freezeframe export 1: all\0" and the BLAKE3 of all bytes before this frame
//! and nothing behind it
//! ```
//!
//! Numbers are little-endian. The frames come in this order, each chunk once. Both ways it is a stream: nothing seeks, and
//! memory is bounded by one block of chunks and the names of all of them.
//!
//! What an importer believes, and when:
//!
//! 1. The first signature is checked before anything is stored: it covers all that decides *whether* to import, and how
//!    much will come. So nobody but the owner of a trusted key gets a byte into the store.
//! 2. Chunks are stored while they are read, if they are not there already. Their names are computed, not read. Until
//!    something refers to them they are garbage, and a collection takes them away.
//! 3. After the second signature and the end of the file, and when every chunk that is needed is there, the base is put in
//!    its place and then the snapshot, each by one rename. Whatever fails before that leaves nothing that anybody sees.
//!
//! Files are stored in the normal form ([`crate::form`]), which is bound to no range of ids: whoever lays them gives them ids of
//! its own. Layers and bases of older releases are as they lay on their maker's disk; R and B say so by their version, and the head
//! has their range.
//!
//! Deliberately absent: encryption (`age` or GnuPG do that to any file), several snapshots in a file, and the session's
//! history: a parent that is not here is one that was removed.

mod base;
mod blocks;
mod commit;
mod error;
mod frame;
mod head;
mod objects;
mod read;
mod thumbnail;
mod write;

pub use base::{Bases, InPlace};
pub use error::{Error, Result};
pub use head::Head;
pub use read::{ImportOptions, Imported};
pub use write::{ExportOptions, Exported};

use std::sync::atomic::AtomicBool;

use crate::tree::ProgressFn;

/// How a caller follows a long call and ends it.
pub struct Watch<'a> {
    /// Set by the caller to make the call return [`Error::Cancelled`]; nothing of it stays visible.
    pub cancel: &'a AtomicBool,
    /// Told how many bytes are done, before compression.
    pub progress: ProgressFn<'a>,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("cancel", self.cancel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
