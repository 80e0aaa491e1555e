//! The control plane of Freezeframe: the agent (one per user) and `sessionctl`, its terminal face.
//!
//! - [`dirs`], [`programs`], [`config`], [`bus`]: where things are; what both programs must agree on;
//! - [`stderr`]: lines for people, written without a panic;
//! - [`rules`]: pure decisions: sizes, names, which base, which snapshot is meant, what a row of the timeline says;
//! - [`agent`]: the D-Bus service. Its objects only decode, call and map errors;
//! - [`cli`]: `sessionctl`, a plain D-Bus client that shares no state with the agent;
//! - [`tray`]: `freezeframe-tray`, another one, beside the clock.
//!
//! Deliberately absent: namespaces, mounts, process images (the wrapper's), what the store is made of (its own crate),
//! and unsafe code.

pub mod agent;
pub mod bus;
pub mod cli;
pub mod config;
pub mod dirs;
pub mod programs;
pub mod rules;
pub mod stderr;
pub mod tray;
