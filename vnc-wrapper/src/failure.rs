//! From typed errors to what the user reads: what failed, why, and what to do.

use freezeframe_protocol::{Failure, error_name};

use crate::container::apply::ContainerError;
use crate::container::network::NetworkError;
use crate::engine::EngineError;
use crate::layer::LayerError;
use freezeframe_store as store;
use freezeframe_text::{MESSAGE, lines};

/// Builds a [`Failure`]. Its texts may quote what was found inside a session.
pub fn failure(name: &str, message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure { name: name.to_owned(), message: lines(message.into(), MESSAGE), hint: lines(hint.into(), MESSAGE) }
}

/// What every failure without a better hint says.
const SEE_DOCTOR: &str = "run `sessionctl doctor`; it tells what this machine lacks";

/// A type whose values a user can be told of.
pub trait ToFailure {
    /// The failure to tell.
    fn to_failure(&self) -> Failure;
}

impl ToFailure for Failure {
    fn to_failure(&self) -> Failure {
        self.clone()
    }
}

impl ToFailure for std::io::Error {
    fn to_failure(&self) -> Failure {
        match self.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => no_space(self.to_string()),
            _ => failure(error_name::FAILED, self.to_string(), ""),
        }
    }
}

impl ToFailure for store::Error {
    fn to_failure(&self) -> Failure {
        let text = self.to_string();
        match self {
            Self::Io { source, .. } => Failure { message: text, ..source.to_failure() },
            Self::Damaged { .. } => {
                failure(error_name::DAMAGED, text, "restore the file from a backup, or remove its directory")
            }
            Self::TooNew { .. } => failure(error_name::DAMAGED, text, "use the release of Freezeframe that wrote it"),
            Self::NotFound { .. } | Self::Ambiguous { .. } => failure(error_name::NOT_FOUND, text, ""),
            Self::Exists { .. } => failure(error_name::EXISTS, text, "choose another name"),
            Self::Exposed { .. } => failure(error_name::FAILED, text, ""),
            Self::Busy { .. } | Self::Committing { .. } => failure(error_name::BUSY, text, "try again in a moment"),
            Self::Cancelled => failure(error_name::CANCELLED, text, ""),
            Self::Unsupported { .. } => failure(error_name::FAILED, text, "remove it in the session, and save again"),
            Self::BadName { .. } => failure(error_name::INVALID_ARGUMENT, text, ""),
        }
    }
}

impl ToFailure for LayerError {
    fn to_failure(&self) -> Failure {
        match self {
            Self::Io { source, .. } => Failure { message: self.to_string(), ..source.to_failure() },
            Self::TooDeep { .. } => {
                let hint = "move the innermost directories up, or remove them, and save again";
                failure(error_name::FAILED, self.to_string(), hint)
            }
            Self::Cancelled => failure(error_name::CANCELLED, "the save was cancelled", ""),
        }
    }
}

impl ToFailure for ContainerError {
    fn to_failure(&self) -> Failure {
        failure(error_name::FAILED, self.to_string(), SEE_DOCTOR)
    }
}

impl ToFailure for NetworkError {
    fn to_failure(&self) -> Failure {
        failure(error_name::MACHINE_LACKS, self.to_string(), SEE_DOCTOR)
    }
}

impl ToFailure for EngineError {
    fn to_failure(&self) -> Failure {
        match self {
            Self::Run { .. } => failure(error_name::MACHINE_LACKS, self.to_string(), SEE_DOCTOR),
            Self::InHook(source) => {
                if let Some(error) = source.downcast_ref::<LayerError>() {
                    return error.to_failure();
                }
                if let Some(error) = source.downcast_ref::<NetworkError>() {
                    return error.to_failure();
                }
                if let Some(error) = source.downcast_ref::<store::Error>() {
                    return error.to_failure();
                }
                failure(error_name::FAILED, self.to_string(), "")
            }
            Self::Killed { .. } => failure(
                error_name::FAILED,
                self.to_string(),
                "somebody ended it, or the kernel for want of memory (`dmesg` says so): make room in memory, and try again",
            ),
            Self::WouldLose { .. } => {
                failure(error_name::REFUSED, self.to_string(), "close what it tells of, then save")
            }
            Self::Refused { .. } | Self::Hung { .. } | Self::Statistics(_) => failure(
                error_name::FAILED,
                self.to_string(),
                "the engine's own log is in logs/ of the data directory, in the session's file",
            ),
        }
    }
}

/// What a panic said.
pub fn panic_words(bug: &dyn std::any::Any) -> String {
    let words = bug.downcast_ref::<&str>().map(|text| (*text).to_owned());
    words.or_else(|| bug.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// The task that did `what` ended without a result: because of a bug, or with its runtime.
pub fn lost_task(what: &str, error: tokio::task::JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(bug) => {
            let hint = "please report this, with the session's log in logs/ of the data directory";
            failure(error_name::FAILED, format!("{what} came to a bug in Freezeframe: {}", panic_words(&*bug)), hint)
        }
        Err(error) => failure(error_name::FAILED, format!("{what} was ended: {error}"), ""),
    }
}

/// The disk is full.
pub fn no_space(text: String) -> Failure {
    failure(error_name::NO_SPACE, text, "free some space on the disk that holds the data directory")
}
