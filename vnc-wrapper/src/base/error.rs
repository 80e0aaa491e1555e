//! What can go wrong with a base. Each error says what failed and why; its [`Failure`] says what to do.

use std::io;
use std::path::PathBuf;

use freezeframe_protocol::{Failure, error_name};
use freezeframe_store::Error as StoreError;

use super::archive::ArchiveError;
use crate::failure::ToFailure;
use crate::kernel::idmap::IdMapError;

/// Why a base was not made, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no id map for this user.
    #[error(transparent)]
    IdMap(#[from] IdMapError),
    /// A recipe cannot be used.
    #[error("the recipe {} cannot be used: {reason}", path.display())]
    BadRecipe {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program is not there.
    #[error("{program} is not installed")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: &'static str,
        /// The system's own answer.
        source: io::Error,
    },
    /// mmdebstrap ended with an error.
    #[error("mmdebstrap could not install the packages: {reason}")]
    Packages {
        /// Its last words.
        reason: String,
    },
    /// The archive cannot be a base.
    #[error("{name} cannot be a base: {source}")]
    Archive {
        /// The archive's file.
        name: String,
        /// Why not.
        source: ArchiveError,
    },
    /// tar ended with an error.
    #[error("tar could not unpack the files: {reason}")]
    Unpack {
        /// Its last words.
        reason: String,
    },
    /// Somebody else is making or removing the base.
    #[error("the base {name:?} is being made or removed by another process")]
    Busy {
        /// The base's name.
        name: String,
    },
    /// Sessions or snapshots stand on the base.
    #[error("the base {name:?} is needed by {by}")]
    InUse {
        /// The base's name.
        name: String,
        /// Who needs it.
        by: String,
    },
    /// The desktop of an imported base is not known.
    #[error("no desktop was found in {name}: it has none of {}", tried.join(", "))]
    NoDesktop {
        /// The archive's file.
        name: String,
        /// The programs that were looked for.
        tried: Vec<&'static str>,
    },
    /// It was cancelled.
    #[error("it was cancelled")]
    Cancelled,
    /// It failed, and what was made could not be removed.
    #[error("{first}; and what was made of it could not be removed: {cleanup}")]
    Uncleaned {
        /// The first failure.
        first: Box<Error>,
        /// The failure of the clean-up.
        cleanup: Box<Error>,
    },
}

impl Error {
    /// The stable name for callers.
    fn name(&self) -> &'static str {
        match self {
            Self::Store(_) => error_name::EXISTS,
            Self::NoProgram { .. } => error_name::MACHINE_LACKS,
            Self::BadRecipe { .. } | Self::NoDesktop { .. } => error_name::INVALID_ARGUMENT,
            Self::Archive { source, .. } => source.name(),
            Self::Packages { reason } | Self::Unpack { reason } if full_disk(reason) => error_name::NO_SPACE,
            Self::Busy { .. } | Self::InUse { .. } => error_name::BUSY,
            Self::Cancelled => error_name::CANCELLED,
            _ => error_name::FAILED,
        }
    }

    /// What to do about it; empty when there is nothing to say.
    fn hint(&self) -> String {
        match self {
            Self::Store(StoreError::Exists { name, .. }) => format!("remove it first: sessionctl base remove {name}"),
            Self::NoProgram { package, .. } => format!("as root: apt-get install {package}"),
            Self::Packages { reason } | Self::Unpack { reason } if full_disk(reason) => {
                "make room on the disk that holds the data directory, /var/tmp and /tmp".into()
            }
            Self::Packages { reason } if reason.contains("NO_PUBKEY") || reason.contains("keyring") => {
                "the keys of the Debian archive are too old; as root: apt-get install --only-upgrade debian-archive-keyring"
                    .into()
            }
            Self::Packages { .. } => "check that apt-get update works on this machine, then try again".into(),
            Self::Archive { source, .. } => source.hint().into(),
            Self::Busy { .. } => "wait until it has finished".into(),
            Self::InUse { .. } => "delete what needs it first, or keep the base".into(),
            Self::NoDesktop { .. } => "install one of them in it (a terminal will do: package xterm), then import it again".into(),
            _ => String::new(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::IdMap(inner) => inner.into(),
            Error::Uncleaned { first, .. } => Failure { message, ..(*first).into() },
            Error::Store(inner) if !matches!(inner, StoreError::Exists { .. }) => inner.to_failure(),
            error => Failure { name: error.name().into(), hint: error.hint(), message },
        }
    }
}

fn full_disk(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_one() {
        let failure = Failure::from(Error::Unpack { reason: "./x: Cannot write: No space left on device".into() });
        assert_eq!(failure.name, error_name::NO_SPACE);
        assert!(failure.hint.contains("make room"));
    }

    #[test]
    fn what_exists_can_be_removed_by_the_command_of_the_hint() {
        let failure = Failure::from(Error::from(StoreError::Exists { what: "base", name: "xfce".into() }));
        assert_eq!(
            (failure.name.as_str(), failure.hint.as_str()),
            (error_name::EXISTS, "remove it first: sessionctl base remove xfce")
        );
    }
}
