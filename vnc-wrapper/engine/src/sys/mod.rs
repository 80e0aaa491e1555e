//! System calls that the engine needs, one module a family. No policy here: a function is one call with checked arguments.
//!
//! The only place of this crate with unsafe code.

#![allow(unsafe_code, reason = "this is the module that talks to the kernel; see its head")]

pub mod bare;
pub mod clone;
pub(crate) mod control;
pub mod descriptor;
pub mod diag;
#[cfg(test)]
pub(crate) mod guests;
pub mod inet;
#[cfg(test)]
pub(crate) mod inside;
#[cfg(test)]
pub(crate) mod inside_guests;
pub mod kcmp;
pub mod memory;
#[cfg(test)]
pub(crate) mod memory_guest;
pub mod mqueue;
pub mod namespace;
pub mod netlink;
pub mod pagemap;
pub mod pidfd;
pub mod procmap;
pub mod ptrace;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod task;
pub mod terminal;
#[cfg(test)]
pub(crate) mod terminal_guests;
pub mod trial;
pub mod unix;
pub mod userfaultfd;
pub mod vmcopy;
pub mod wait;
pub mod watch;
