//! What Freezeframe keeps on disk, below one data directory that belongs to one user (mode 0700).
//!
//! ```text
//! bases/<name>/base.json            what the base is          (record: `BaseRecord`)
//! bases/<name>/root/                its read-only root file system
//! sessions/<id>/session.json        what the session is       (record: `SessionRecord`)
//! sessions/<id>/{layer,work,…}      its writable layer, while it runs
//! logs/<id>.log                     what the supervisor of the last session of that name wrote down
//! snapshots/<id>/manifest.json      what the snapshot is      (record: `Manifest`)
//! snapshots/<id>/thumbnail.png      the display just before the freeze
//! store/raw/<id>/{images,layer}     the engine's images and the layer, as they were at the freeze
//! ```
//!
//! A snapshot is committed by one rename, that of `snapshots/<id>`, after everything that it refers to was made durable:
//! before that rename there is no snapshot, after it there is a whole one. What a killed writer leaves behind has names
//! that start with a dot or is referred to by nobody, and [`Store::remove_leftovers`] takes it away.
//!
//! Every record carries a format version and every reader checks it, and bounds the size of what it reads
//! ([`record`]). Deliberately absent: D-Bus, namespaces, processes, unsafe code, and any need for root.

pub mod base;
pub mod content;
pub mod error;
pub mod export;
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
pub mod retention;
pub mod session;
pub mod sign;
pub mod snapshot;
pub mod stage;
pub mod sync;
mod tree;
pub mod usage;
pub mod verify;
mod wire;

pub use base::BaseRecord;
pub use content::{Content, TreeRef};
pub use error::{Error, Result};
pub use gc::{GcOptions, GcReport};
pub use hash::{ChunkHash, ChunkSet};
pub use id::{SessionId, SnapshotId};
pub use layout::Store;
pub use manifest::Manifest;
pub use pack::{ChunkKind, ChunkReader, ChunkWriter, Written};
pub use session::SessionRecord;
pub use snapshot::SnapshotWriter;
pub use stage::{PackReport, RawSource, Source, State};
pub use tree::{ListRef, Progress, ProgressFn};
pub use verify::{Damage, VerifyReport};
