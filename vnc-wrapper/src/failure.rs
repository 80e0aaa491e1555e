//! From typed errors to what the user reads: what failed, why, and what to do.

use std::error::Error;
use std::path::Path;

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
        of_io(self, self.to_string(), None)
    }
}

/// A system error that came of something at `path`, told as `message`.
pub fn of_io(error: &std::io::Error, message: String, path: Option<&Path>) -> Failure {
    failure(store::Kind::of_io(error).name(), message, store::error::io_hint(error, path))
}

impl ToFailure for store::Error {
    fn to_failure(&self) -> Failure {
        failure(self.kind().name(), self.to_string(), self.hint())
    }
}

impl ToFailure for store::export::Error {
    fn to_failure(&self) -> Failure {
        match self {
            Self::Store(error) => error.to_failure(),
            Self::Cancelled => failure(error_name::CANCELLED, self.to_string(), ""),
            _ => failure(error_name::FAILED, self.to_string(), ""),
        }
    }
}

/// A failure on its way through the engine, which knows only errors.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Told(pub Failure);

/// What an error of whoever the engine called back is to be told as: by its type, or by what caused it.
fn of_hook(error: &(dyn Error + 'static), message: String) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Told(failure)) = error.downcast_ref() {
            return failure.clone();
        }
        let typed: Option<&dyn ToFailure> = (error.downcast_ref::<LayerError>().map(|e| e as &dyn ToFailure))
            .or_else(|| error.downcast_ref::<NetworkError>().map(|e| e as &dyn ToFailure))
            .or_else(|| error.downcast_ref::<store::Error>().map(|e| e as &dyn ToFailure));
        if let Some(typed) = typed {
            return typed.to_failure();
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return of_io(error, message, None);
        }
        cause = error.source();
    }
    failure(error_name::FAILED, message, "")
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
            Self::InHook(source) => of_hook(&**source, self.to_string()),
            // It says nothing of the session or the snapshot.
            Self::Killed { .. } => failure(
                error_name::INTERRUPTED,
                self.to_string(),
                "somebody ended it, or the kernel for want of memory (`dmesg` says so): make room in memory, and try again",
            ),
            Self::WouldLose { .. } => {
                failure(error_name::REFUSED, self.to_string(), "close what it tells of, then save")
            }
            // Its images are written to the data directory.
            Self::Refused { reason, .. } if reason.contains("No space left on device") => no_space(self.to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_9_14_errors_keep_their_kind_through_the_engine() {
        let full = || std::io::Error::from_raw_os_error(libc::ENOSPC);
        let of = |error: Box<dyn Error + Send + Sync>| EngineError::InHook(error).to_failure().name;
        assert_eq!(of(Box::new(full())), error_name::NO_SPACE);
        let wrapped = || store::Error::Io { action: "write", path: "/x".into(), source: full() };
        assert_eq!(of(Box::new(wrapped())), error_name::NO_SPACE);
        assert_eq!(of(Box::new(store::Error::Busy { path: "/x".into() })), error_name::BUSY);
        assert_eq!(of(Box::new(Told(wrapped().to_failure()))), error_name::NO_SPACE);
        assert_eq!(of(Box::new(Told(failure(error_name::DAMAGED, "x", "")))), error_name::DAMAGED);
        assert_eq!(of("told to fail".into()), error_name::FAILED);
        // What the system says keeps its words.
        let error = EngineError::InHook(Box::new(full())).to_failure();
        assert!(error.message.contains("No space left"), "{error:?}");
    }
}
