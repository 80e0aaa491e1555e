//! Errors of the store and of wrappers, as errors of the API.

use std::io;
use std::panic::AssertUnwindSafe;

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::Failure;
use freezeframe_store as store;
use freezeframe_text::{MESSAGE, lines};
use futures_util::FutureExt;

/// An error of the store, with what to do.
pub(crate) fn of_store(error: &store::Error) -> Error {
    let text = error.to_string();
    match error {
        store::Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Error::new(ErrorKind::NoSpace, text).hint("Make room on that disk and try again.")
        }
        store::Error::Io { source, .. } if source.kind() == io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::NoSpace, text).hint("Make room within your quota and try again.")
        }
        store::Error::Io { .. } => Error::new(ErrorKind::Failed, text),
        store::Error::Damaged { .. } => Error::new(ErrorKind::Damaged, text),
        store::Error::TooNew { .. } => Error::new(ErrorKind::Damaged, text).hint("Update Freezeframe."),
        store::Error::NotFound { .. } => Error::new(ErrorKind::NotFound, text),
        store::Error::Ambiguous { .. } | store::Error::BadName { .. } => Error::new(ErrorKind::InvalidArgument, text),
        store::Error::Exists { .. } => Error::new(ErrorKind::Exists, text),
        store::Error::Busy { .. } => Error::new(ErrorKind::Busy, text).hint("Wait until that is done and try again."),
        store::Error::Committing { name } => Error::new(ErrorKind::Busy, text)
            .hint(format!("It is packed in the background; `sessionctl show {name}` says when that is done.")),
        store::Error::Cancelled => cancelled(),
        store::Error::Exposed { path, .. } => {
            Error::new(ErrorKind::Failed, text).hint(format!("Else remove {}: a new key is made then.", path.display()))
        }
        store::Error::Unsupported { .. } => Error::new(ErrorKind::Failed, text),
    }
}

/// The error of what somebody cancelled.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "it was cancelled")
}

/// An error of an export or import.
pub(crate) fn of_export(error: &store::export::Error) -> Error {
    use store::export::Error as E;
    let text = error.to_string();
    let kind = match error {
        E::Store(error) => return of_store(error),
        E::Cancelled => return cancelled(),
        E::UnknownKey { key } => {
            let text = format!("this export was signed with a key that is not trusted here: {key}");
            return Error::new(ErrorKind::Untrusted, text)
                .hint(format!(
                    "Ask its maker for the key (`sessionctl key` prints it), compare, and import it with --trust {key}"
                ))
                .key(key.to_string());
        }
        E::Write(source) if [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&source.kind()) => {
            return Error::new(ErrorKind::NoSpace, text).hint("Make room where the export goes and try again.");
        }
        E::Write(_) | E::Read(_) => ErrorKind::Failed,
        E::NotAnExport => ErrorKind::InvalidArgument,
        E::TooNew { .. } | E::Truncated | E::Trailing | E::Damaged(_) => ErrorKind::Damaged,
        E::Differs { .. } | E::BaseNameTaken { .. } => ErrorKind::Exists,
        E::BaseMissing { .. } => ErrorKind::NotFound,
        E::IdRange { .. } => ErrorKind::MachineLacks,
    };
    Error::new(kind, text)
}

/// A call whose bug, should it have one, is its answer: a D-Bus method that panics would leave its caller waiting for ever.
pub(crate) async fn answered<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|bug| Err(bug_of(&*bug)))
}

/// What a task of ours came to that did not return.
pub(crate) fn lost(error: tokio::task::JoinError) -> Error {
    match error.try_into_panic() {
        Ok(bug) => bug_of(&*bug),
        Err(error) => Error::new(ErrorKind::Failed, format!("it was ended: {error}")),
    }
}

fn bug_of(bug: &dyn std::any::Any) -> Error {
    let words = bug.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let words = words.or_else(|| bug.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned());
    Error::new(ErrorKind::Failed, format!("the agent made a mistake: {words}"))
        .hint("Please report this, with the agent's log.")
}

/// What a verb of the wrapper says when it fails.
pub(crate) fn of_wrapper(failure: Failure) -> Error {
    let (message, hint) = (lines(failure.message, MESSAGE), lines(failure.hint, MESSAGE));
    Error::new(ErrorKind::from_name(&failure.name), message).hint(hint)
}

/// What a call of a running wrapper answers; a broken connection means that it died.
pub(crate) fn of_call(error: &zbus::Error, session: &str) -> Error {
    let error = Error::from_bus(error);
    if error.kind != ErrorKind::Unreachable {
        return error;
    }
    wrapper_died(session)
}

/// The wrapper of that session is not there any more.
pub(crate) fn wrapper_died(session: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("the process that runs session {session:?} ended unexpectedly")).hint(
        format!("`sessionctl list` shows whether it is left; logs/{session}.log in the data directory says more."),
    )
}

#[cfg(test)]
mod tests {
    use freezeframe_protocol::error_name;

    use super::*;

    #[tokio::test]
    async fn issue_9_8_a_call_that_panics_has_an_answer() {
        let error = answered(async { if true { panic!("a bug") } else { Ok(()) } }).await.unwrap_err();
        assert!(error.kind == ErrorKind::Failed && error.message.contains("a bug"), "{error:?}");
        let error = lost(tokio::spawn(async { panic!("another {}", "bug") }).await.unwrap_err());
        assert!(error.message.contains("another bug"), "{error:?}");
    }

    #[test]
    fn the_names_of_the_protocol_are_those_of_the_api() {
        assert_eq!(freezeframe_protocol::ERROR_PREFIX, freezeframe_api::error::PREFIX);
        for name in [
            error_name::INVALID_ARGUMENT,
            error_name::NOT_FOUND,
            error_name::EXISTS,
            error_name::REFUSED,
            error_name::NEEDS_ROOT,
            error_name::MACHINE_LACKS,
            error_name::BUSY,
            error_name::CANCELLED,
            error_name::DAMAGED,
            error_name::NO_SPACE,
            error_name::FAILED,
            error_name::NOT_AVAILABLE,
        ] {
            assert_eq!(ErrorKind::from_name(name).name(), name);
        }
    }
}
