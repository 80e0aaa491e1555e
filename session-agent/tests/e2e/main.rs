//! Agent and `sessionctl`, end to end over a real D-Bus, with a wrapper that is a stand-in
//! (`tests/support/fake_wrapper.rs`). Each test has a bus, directories and processes of its own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails; clippy sees only functions marked as tests")]

mod automatic;
mod errors;
mod interface;
mod lifecycle;
mod privacy;
mod recovery;
mod settings;
mod store;
mod tray;
mod world;
