//! What can go wrong in somebody else's thread, by the names of process, thread and call.

use std::fmt;
use std::io;

use libc::pid_t;

/// A thread, as errors name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// The process.
    pub pid: pid_t,
    /// The thread.
    pub tid: pid_t,
    /// The thread's name, as `/proc/PID/task/TID/comm` has it; empty: read when it is shown.
    pub name: String,
}

impl Who {
    /// Without a name, which would take time to read.
    #[must_use]
    pub(crate) fn unnamed(pid: pid_t, tid: pid_t) -> Self {
        Self { pid, tid, name: String::new() }
    }

    /// Reads the thread's name.
    #[must_use]
    pub fn of(pid: pid_t, tid: pid_t) -> Self {
        let name = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm"));
        Self {
            pid,
            tid,
            name: name
                .ok()
                .filter(|name| name.trim_end() != "")
                .map_or_else(|| "?".to_owned(), |name| name.trim_end().to_owned()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return Self::of(self.pid, self.tid).fmt(out);
        }
        write!(out, "{} (process {}, thread {})", self.name, self.pid, self.tid)
    }
}

/// An error in somebody else's thread.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thread ended, or was killed.
    #[error("{0} has ended")]
    Gone(Who),
    /// It did not do what it was let do for, by the deadline.
    #[error("{who} did not {what} within {milliseconds} ms: it waits in the kernel for something that does not come")]
    Late {
        /// The thread.
        who: Who,
        /// What it was to do.
        what: String,
        /// How long it had.
        milliseconds: u128,
    },
    /// A system call that it was had to make failed.
    #[error("{call} in {who}: {error}")]
    Call {
        /// The thread.
        who: Who,
        /// The call's name and arguments.
        call: String,
        /// Why.
        error: io::Error,
    },
    /// Its own seccomp filter denies the call.
    #[error("{call} in {who}: its seccomp filter denies it")]
    Denied {
        /// The thread.
        who: Who,
        /// The call's name and arguments.
        call: String,
    },
    /// No call can be made in it.
    #[error("no system call can be made in {who}: {why}")]
    Unable {
        /// The thread.
        who: Who,
        /// Why.
        why: String,
    },
    /// Something else that was done to it failed.
    #[error("cannot {what} {who}: {error}")]
    Other {
        /// The thread.
        who: Who,
        /// What was done, with the preposition.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl Error {
    /// `error`, or [`Error::Gone`] when it says so.
    pub(crate) fn other(who: &Who, what: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ESRCH | libc::ECHILD) => Self::Gone(who.clone()),
            _ => Self::Other { who: who.clone(), what, error },
        }
    }

    /// The number of the error that the kernel gave, if it gave one.
    #[must_use]
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Call { error, .. } | Self::Other { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}
