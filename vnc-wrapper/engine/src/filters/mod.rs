//! Seccomp filters that programs install for themselves (seccomp(2)), which the kernel shows to root alone.
//!
//! A session's threads all begin with a filter that asks before another one is installed (`SECCOMP_RET_USER_NOTIF`).
//! [`watch`] answers, and writes down what it saw in a [`log`](mod@log), about threads as [`look`] sees them; a save finds in it
//! what each thread has, and [`program`] says what that does to calls.

pub mod log;
pub mod look;
pub mod program;
#[cfg(test)]
mod tests;
pub mod watch;

use std::sync::{Arc, Mutex};

pub use log::{Filter, Id, Log, Seen, Unclear};

/// A log that is written to while others read it.
pub type Shared = Arc<Mutex<Log>>;

/// Filters of a thread, oldest first.
pub type Chain = Arc<[Arc<Filter>]>;
