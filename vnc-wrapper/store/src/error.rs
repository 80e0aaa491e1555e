//! Errors of the store. Each names the file or the name it is about; the faces turn them into a sentence and a remedy.

use std::io;
use std::path::{Path, PathBuf};

/// The result of a call into the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create", "rename".
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// The system's own answer.
        source: io::Error,
    },
    /// A record is not what this program wrote.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record was written by a later release.
    #[error("{} has format {found}, and this release reads up to {known}", path.display())]
    TooNew {
        /// The record's file.
        path: PathBuf,
        /// The format found in it.
        found: u32,
        /// The newest format that this release knows.
        known: u32,
    },
    /// A secret key can be read by others.
    #[error(
        "{} can be read or written by others (mode {mode:03o}): if nobody has used that, run chmod 600 {}",
        path.display(), path.display()
    )]
    Exposed {
        /// The key's file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Other processes use the store, or another packs the same snapshot; trying again later helps.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// What is in use.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The snapshot is there, but not yet packed into the store.
    #[error("snapshot {name:?} is still being committed")]
    Committing {
        /// The snapshot's id.
        name: String,
    },
    /// Something that the format has no place for.
    #[error("cannot store {}: {reason}", path.display())]
    Unsupported {
        /// What cannot be stored.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// Nothing of that name is there.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// "base", "session" or "snapshot".
        what: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// A shortened id fits several.
    #[error("{name:?} is short for {count} snapshots; give more of the id")]
    Ambiguous {
        /// The shortened id.
        name: String,
        /// How many it fits.
        count: usize,
    },
    /// Something of that name is there already.
    #[error("there is a {what} {name:?} already")]
    Exists {
        /// "base", "session" or "snapshot".
        what: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// A name that cannot be used.
    #[error("{name:?} cannot be the name of a {what}: {rule}")]
    BadName {
        /// "base", "session" or "snapshot".
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl Error {
    /// What is wrong, without the file that it is wrong with.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Damaged { reason, .. } => reason.clone(),
            Self::Io { action, source, .. } => format!("cannot {action} it: {source}"),
            Self::TooNew { found, .. } => format!("it has format {found}, which this release does not know"),
            other => other.to_string(),
        }
    }
}

/// Attaches an action and a path to a system error.
pub trait IoContext<T> {
    /// `action` is a verb ("read", "create", …) that fits in front of `path`.
    ///
    /// # Errors
    /// Returns [`Error::Io`] when `self` is an error.
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source: source.into() })
    }
}
