//! What can go wrong with an export. Each says what to do where there is something to do.

use std::io;

use crate::id::SnapshotId;
use crate::sign::PublicKey;

/// The result of an export or import.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a snapshot was not exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store of this user.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The file could not be written.
    #[error("cannot write the export: {0}")]
    Write(#[source] io::Error),
    /// The file could not be read.
    #[error("cannot read the export: {0}")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("this is not an exported snapshot: it does not begin as one")]
    NotAnExport,
    /// A later release wrote it.
    #[error("this export has format {found}, and this release reads up to {known}: update Freezeframe to import it")]
    TooNew {
        /// The format found in it.
        found: u32,
        /// The newest format that this release knows.
        known: u32,
    },
    /// It ends too early.
    #[error("this export is cut short: get the whole file")]
    Truncated,
    /// It goes on after its end.
    #[error("this export has bytes after its end, so it is not the file that was signed")]
    Trailing,
    /// A part of it is not as its maker wrote it.
    #[error("this export was altered or damaged: {0}")]
    Damaged(String),
    /// It is whole, and made by somebody unknown.
    #[error(
        "this export was signed with a key that is not trusted here: {key}. Ask its maker for the key, compare, and import \
         it with --trust {key}"
    )]
    UnknownKey {
        /// The key that signed it.
        key: PublicKey,
    },
    /// The id belongs to another snapshot here.
    #[error("there is a snapshot {id} already, and it is not the one in this export; nothing was changed")]
    Differs {
        /// The id.
        id: SnapshotId,
    },
    /// Its base is neither here nor in the file.
    #[error(
        "this snapshot stands on the base {name:?} (identity {identity}), which is neither here nor in the export: have it \
         exported again with --with-base"
    )]
    BaseMissing {
        /// The base's name.
        name: String,
        /// Its identity.
        identity: String,
    },
    /// Another base has that name here.
    #[error(
        "this snapshot stands on a base {name:?} with the identity {wanted}, and the base of that name here is another \
         ({found}): rename or remove the one here first"
    )]
    BaseNameTaken {
        /// The base's name.
        name: String,
        /// The identity that the snapshot stands on.
        wanted: String,
        /// The identity of the base here.
        found: String,
    },
    /// What was asked to take up a base, or to put it in its place ([`super::Bases`]), did not.
    #[error("{0}")]
    Base(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
