//! The program itself on screens of its own: started, looked at and used as people do, by keys, pointer and pixels.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod agent;
mod live_shared;
mod live_view;
mod stage;
