//! What Freezeframe keeps on disk, below one data directory that belongs to one user (mode 0700).
//!
//! ```text
//! bases/<name>/base.json            what the base is          (record: `BaseRecord`)
//! bases/<name>/root/                its read-only root file system
//! sessions/<id>/session.json        what the session is       (record: `SessionRecord`)
//! sessions/<id>/{layer,work,…}      its writable layer, while it runs
//! logs/<id>.log                     what the supervisor of the last session of that name wrote down
//! snapshots/<id>/manifest.json      what the snapshot is      (record: `Manifest`, with a checksum)
//! snapshots/<id>/marks.json         what the user says of it  (record: `Marks`, with a checksum; absent until then)
//! snapshots/<id>/thumbnail.png      the display just before the freeze; its checksum is in the manifest
//! snapshots/<id>/content            what it consists of, once it is packed          ([`content`])
//! store/packs/<id>.pack             chunks, compressed in blocks                    ([`pack`])
//! store/index/<id>.idx              where in the pack of that id which chunk is     ([`pack`])
//! store/raw/<id>/{images,layer}     the engine's images and the layer, as they were at the freeze, until it is packed
//! .reserve                          room for the records above on a full disk       ([`reserve`])
//! store/lock                        held shared by all who use chunks, alone by a collection
//! ```
//!
//! # The two stages of a snapshot
//!
//! *Raw* ([`snapshot`]): right after the session runs again, everything is synced once, and one rename, that of
//! `snapshots/<id>`, commits the snapshot. Before it there is no snapshot; after it there is one, in state `committing`,
//! that is listed and can be resumed from its raw files.
//!
//! *Packed* ([`stage`]): in the background the raw files are cut into chunks, which are deduplicated against everything in
//! the store, compressed and written; when they are durable, one rename puts `content` in its place, and the snapshot is
//! `whole`. Then the raw files go.
//!
//! What is there decides the state, so that a process killed anywhere leaves nothing to repair: with a content that can be
//! read the snapshot is whole, else with raw files it is committing. What a killed writer left has names that start with a
//! dot or is referred to by nobody, and [`Store::gc`] takes it away.
//!
//! Several processes read and write at once. They only ever add files under names drawn at random and rename them, so two
//! that store the same chunk waste a little room and do no harm; a collection is alone, and says `Busy` where it cannot be.
//!
//! # Figures
//!
//! See [`pack`] for chunk and block sizes as measured on dumps of an XFCE desktop.
//!
//! Every record carries a format version and every reader checks it, and bounds the size of what it reads
//! ([`record`]). Deliberately absent: D-Bus, namespaces, processes, unsafe code, and any need for root.

pub mod base;
pub mod bounded;
pub mod compare;
pub mod content;
pub mod error;
pub mod export;
pub mod form;
#[cfg(test)]
mod fuzz;
pub mod gc;
mod handles;
pub mod hash;
pub mod id;
pub mod io;
pub mod layout;
mod lock;
pub mod manifest;
pub mod pack;
pub mod record;
mod reserve;
pub mod retention;
pub mod session;
pub mod sharing;
pub mod sign;
pub mod snapshot;
pub mod stage;
pub mod sync;
mod tree;
pub mod usage;
pub mod verify;
mod wire;

pub use base::BaseRecord;
pub use compare::{Change, FileChange};
pub use content::{Content, TreeRef};
pub use error::{Error, Kind, Result};
pub use form::{Attributes, Local};
pub use gc::{GcOptions, GcReport};
pub use hash::{ChunkHash, ChunkSet};
pub use id::{SessionId, SnapshotId};
pub use layout::Store;
pub use manifest::Manifest;
pub use pack::{ChunkKind, ChunkReader, ChunkWriter, Written};
pub use session::SessionRecord;
pub use sharing::Sharing;
pub use snapshot::SnapshotWriter;
pub use stage::{PackReport, RawSource, Source, State};
pub use tree::{ListRef, MAX_DEPTH, Progress, ProgressFn};
pub use verify::{Damage, VerifyReport};
