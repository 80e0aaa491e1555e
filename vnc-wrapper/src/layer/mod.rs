//! Copies of a session's layer, whole and exact.
//!
//! A layer is copied twice for a snapshot: [`Capture::precopy`] while the session runs, and [`Capture::finish`], which
//! copies only what changed since, while every process is frozen. So files and memory are of one instant and the freeze is
//! short. [`copy_whole`] makes the fresh layer of a resumed session.
//!
//! The session can change the layer while it is read, on purpose too: every step goes through an open directory and
//! follows no symbolic link, so that nothing outside the layer is ever read into a snapshot.

mod capture;
mod entry;

pub use capture::{Cancelled, Capture, copy_whole};

use std::io;
use std::path::PathBuf;

/// Why a layer could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The system refused.
    #[error("cannot {action} {} of the session's layer: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file, from the layer's root.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The user cancelled.
    #[error("cancelled")]
    Cancelled,
}
