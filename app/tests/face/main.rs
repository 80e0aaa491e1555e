//! The program itself on screens of its own: started, looked at and used as people do, by keys, pointer and pixels.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod accessible;
mod accessible_acts;
mod agent;
mod hostile;
mod language;
mod live_shared;
mod live_view;
mod many;
mod menus;
mod narrow;
mod pictures;
mod preferences;
mod shortcuts;
mod stage;
mod timeline;
mod transfer;
