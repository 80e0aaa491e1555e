//! Why something was not saved.

use std::fmt;
use std::io;

use libc::pid_t;

use crate::process::order::NoOrder;
use crate::process::tree::NoTree;
use crate::record::{self, TooMany, check::Contradiction};
use crate::remote::Who;
use crate::{freeze, objects, remote};

/// Something that no record can hold. Nothing was written, and everything runs on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The process.
    pub process: Who,
    /// What of it: `descriptor 5, anon_inode:[io_uring]`.
    pub what: String,
    /// Why, as the end of a sentence.
    pub why: String,
}

impl Refused {
    /// Whether it may be gone when the programs have run for a moment.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.why.ends_with(objects::PASSES)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, what, why } = self;
        write!(out, "{} (process {}) cannot be saved: {what}: {why}", process.name, process.pid)
    }
}

/// Why a session was not saved. Everything runs on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It holds something that no record can.
    #[error("{0}")]
    Refused(Refused),
    /// It could not be frozen.
    #[error(transparent)]
    Freeze(#[from] freeze::Error),
    /// A call in a thread of it failed.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// What the kernel says of a process could not be read.
    #[error("cannot read {what} of {who}: {error}")]
    Read {
        /// The process or thread.
        who: Who,
        /// What.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// Its processes are no tree.
    #[error("the session's processes are no tree: {0}")]
    NoTree(#[from] NoTree),
    /// Its tree could not be made again.
    #[error("the session's processes could not be made again: {0}")]
    NoOrder(#[from] NoOrder),
    /// The records contradict each other: a fault of the engine, found before anything was written.
    #[error("a save of this session would be useless: {0}")]
    Contradiction(#[from] Contradiction),
    /// It could not be written.
    #[error(transparent)]
    Format(#[from] record::Error),
    /// A step was made to fail.
    #[error("{0}")]
    Step(io::Error),
}

impl Error {
    /// A refusal.
    pub(super) fn refused(pid: pid_t, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused(Refused { process: Who::of(pid, pid), what: what.into(), why: why.into() })
    }

    /// What an object of a process answered.
    pub(super) fn object(pid: pid_t) -> impl FnOnce(objects::Error) -> Self {
        move |error| match error {
            objects::Error::Refused { what, reason } => Self::refused(pid, what, reason),
            objects::Error::Call { what, call, error } => {
                Self::Read { who: Who::of(pid, pid), what: format!("{what} by {call}"), error }
            }
        }
    }

    /// More of something than a record takes.
    pub(super) fn too_many(pid: pid_t, what: &str, error: &TooMany) -> Self {
        Self::refused(pid, what, error.to_string())
    }

    /// Something that could not be read.
    pub(super) fn read(pid: pid_t, tid: pid_t, what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Read { who: Who::of(pid, tid), what, error }
    }
}

/// A bounded value of a record, or a refusal by the name of `what`.
pub(super) fn fit<T, U: TryFrom<T, Error = TooMany>>(pid: pid_t, what: &str, value: T) -> Result<U, Error> {
    U::try_from(value).map_err(|error| Error::too_many(pid, what, &error))
}
