//! What the end-to-end tests, the demonstration and the benchmark share: real parts, nothing faked.
//!
//! A [`Stage`] is one user's whole world, made for one test: directories, a D-Bus daemon, and an agent that
//! `sessionctl` starts as it does for everybody. Dropping it ends everything that was started in it, and fails the test
//! when something is left. [`Cache`] holds what is slow to make and never changed: bases and the engine.
//!
//! Deliberately absent: any call into the agent or the wrapper other than through `sessionctl` and the display's socket,
//! which is how users get at them.

mod accessible;
mod app;
mod cache;
mod clean;
mod desktop;
mod disk;
mod drag;
mod outcome;
mod picture;
mod processes;
mod programs;
mod screen;
mod stage;
mod user;
mod viewer;
mod wait;

pub use accessible::Widget;
pub use app::{App, Copied};
pub use cache::Cache;
pub use desktop::{Geometry, QUIET, VIM, Window};
pub use disk::Disk;
pub use outcome::{Outcome, finish};
pub use picture::{Area, Picture};
pub use processes::{Process, all as all_processes, inside as processes_inside};
pub use programs::Programs;
pub use screen::{Screen, VncViewer};
pub use stage::Stage;
pub use user::User;
pub use viewer::{Viewer, keys};
pub use wait::{eventually, wait_until};
