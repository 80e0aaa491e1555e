//! Errors of the store and of wrappers, as errors of the API.

use std::panic::AssertUnwindSafe;

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::Failure;
use freezeframe_store as store;
use freezeframe_text::{MESSAGE, lines};
use futures_util::FutureExt;

/// An error of the store, with what to do.
pub(crate) fn of_store(error: &store::Error) -> Error {
    match error.kind() {
        store::Kind::Cancelled => cancelled(),
        kind => Error::new(ErrorKind::from_name(kind.name()), error.to_string()).hint(error.hint()),
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
        // Of a verb of the wrapper.
        E::Base(error) => match error.downcast_ref::<Error>() {
            Some(error) => return error.clone(),
            None => ErrorKind::Failed,
        },
        E::UnknownKey { key } => {
            let text = format!("this export was signed with a key that is not trusted here: {key}");
            return Error::new(ErrorKind::Untrusted, text)
                .hint(format!(
                    "Ask its maker for the key (`sessionctl key` prints it), compare, and import it with --trust {key}"
                ))
                .key(key.to_string());
        }
        E::Write(source) => {
            let kind = ErrorKind::from_name(store::Kind::of_io(source).name());
            return Error::new(kind, text).hint(store::error::io_hint(source, None));
        }
        E::Read(_) => ErrorKind::Failed,
        E::NotAnExport => ErrorKind::InvalidArgument,
        E::TooNew { .. } | E::Truncated | E::Trailing | E::Damaged(_) => ErrorKind::Damaged,
        E::Differs { .. } | E::BaseNameTaken { .. } => ErrorKind::Exists,
        E::BaseMissing { .. } => ErrorKind::NotFound,
    };
    Error::new(kind, text)
}

/// A call whose bug, should it have one, is its answer: a D-Bus method that panics would leave its caller waiting forever.
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

    #[test]
    fn issue_9_14_the_kinds_of_the_store_are_kinds_of_the_api() {
        for kind in store::Kind::ALL {
            assert_eq!(ErrorKind::from_name(kind.name()).name(), kind.name());
        }
    }

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
            error_name::INTERRUPTED,
            error_name::FAILED,
            error_name::NOT_AVAILABLE,
        ] {
            assert_eq!(ErrorKind::from_name(name).name(), name);
        }
    }
}
