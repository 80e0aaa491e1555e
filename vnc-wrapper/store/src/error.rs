//! Errors of the store. Each names the file or the name it is about; the faces turn them into a sentence and a remedy.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
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

/// What kind of error it is: the one mapping from what goes wrong here to what users and scripts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An argument cannot be used.
    InvalidArgument,
    /// Nothing of that name is there.
    NotFound,
    /// That name is taken.
    Exists,
    /// Something else is being done with it.
    Busy,
    /// It was cancelled.
    Cancelled,
    /// A file is damaged, or of a later release.
    Damaged,
    /// The disk is full, or a quota is.
    NoSpace,
    /// The system refused.
    Failed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Exists,
        Self::Busy,
        Self::Cancelled,
        Self::Damaged,
        Self::NoSpace,
        Self::Failed,
    ];

    /// Its stable name, which is that of the errors of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::NotFound => "NotFound",
            Self::Exists => "Exists",
            Self::Busy => "Busy",
            Self::Cancelled => "Cancelled",
            Self::Damaged => "Damaged",
            Self::NoSpace => "NoSpace",
            Self::Failed => "Failed",
        }
    }

    /// The kind of a system error.
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Failed,
        }
    }
}

/// What to do about a system error, which came of something at `path`; empty where there is nothing to be said in general.
pub fn io_hint(error: &io::Error, path: Option<&Path>) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            "Make room on that disk and try again: `sessionctl delete` and `gc` need none themselves.".to_owned()
        }
        io::ErrorKind::QuotaExceeded => "Make room within your quota and try again.".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => {
            let place = path.and_then(mount_point).map_or_else(|| "there".to_owned(), |at| at.display().to_string());
            format!(
                "The file system at {place} is mounted read-only. Make it writable (mount -o remount,rw), and try again."
            )
        }
        _ => String::new(),
    }
}

/// The mount point of the file system that holds `path`, or would.
fn mount_point(path: &Path) -> Option<PathBuf> {
    // Of what there is, without symbolic links on the way.
    let there = path.ancestors().find_map(|path| fs::canonicalize(path).ok())?;
    let mut above = there.ancestors().filter_map(|path| Some((path, fs::metadata(path).ok()?.dev())));
    let (mut point, device) = above.next()?;
    for (path, of) in above {
        if of != device {
            break;
        }
        point = path;
    }
    Some(point.to_owned())
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => Kind::of_io(source),
            Self::Damaged { .. } | Self::TooNew { .. } => Kind::Damaged,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Ambiguous { .. } | Self::BadName { .. } => Kind::InvalidArgument,
            Self::Exists { .. } => Kind::Exists,
            Self::Busy { .. } | Self::Committing { .. } => Kind::Busy,
            Self::Cancelled => Kind::Cancelled,
            Self::Exposed { .. } | Self::Unsupported { .. } => Kind::Failed,
        }
    }

    /// What to do about it; empty where there is nothing to be said in general.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { source, path, .. } => io_hint(source, Some(path)),
            Self::Damaged { .. } => "Bring that file back from a backup, or remove its directory.".to_owned(),
            Self::TooNew { .. } => "Update Freezeframe.".to_owned(),
            Self::Exists { .. } => "Choose another name.".to_owned(),
            Self::Busy { .. } => "Wait until that is done and try again.".to_owned(),
            Self::Committing { name } => {
                format!("It is packed in the background; `sessionctl show {name}` says when that is done.")
            }
            Self::Exposed { path, .. } => format!("Else remove {}: a new key is made then.", path.display()),
            Self::Unsupported { .. } => "Remove it in the session, and save again.".to_owned(),
            Self::NotFound { .. } | Self::Ambiguous { .. } | Self::BadName { .. } | Self::Cancelled => String::new(),
        }
    }

    /// Whether the file system that it was to be written to is read-only or full: what was found may be told all the same.
    pub fn is_unwritable(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let unwritable = [StorageFull, QuotaExceeded, ReadOnlyFilesystem];
        matches!(self, Self::Io { source, .. } if unwritable.contains(&source.kind()))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_9_9_a_read_only_file_system_is_named() {
        let of = |code: i32| io::Error::from_raw_os_error(code);
        let path = Path::new("/proc/sys/nothing/of/that/name");
        let erofs = Error::Io { action: "create", path: path.to_owned(), source: of(30) };
        assert!(erofs.hint().contains("file system at /proc is mounted read-only"), "{}", erofs.hint());
        assert_eq!((erofs.kind(), erofs.is_unwritable()), (Kind::Failed, true));
        let full = Error::Io { action: "write", path: path.to_owned(), source: of(28) };
        assert_eq!((full.kind(), full.is_unwritable()), (Kind::NoSpace, true));
        assert_eq!(Kind::of_io(&of(122)), Kind::NoSpace);
    }
}
