//! Agent and `sessionctl`, end to end over a real D-Bus, with a wrapper that is a stand-in
//! (`tests/support/fake_wrapper.rs`). Each test has a bus, directories and processes of its own.

mod errors;
mod interface;
mod lifecycle;
mod recovery;
mod world;
