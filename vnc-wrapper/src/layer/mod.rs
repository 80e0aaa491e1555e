//! Copies of a session's layer, whole and exact.
//!
//! A layer is copied twice for a snapshot: [`Capture::precopy`] while the session runs, and [`Capture::finish`], which
//! copies only what changed since, while every process is frozen. So files and memory are of one instant and the freeze is
//! short. [`copy_whole`] makes the fresh layer of a resumed session.
//!
//! A layer is two directories: the overlay's upper one, and the index in its work directory, by which the overlay knows
//! the other names of a file of the base that has several and was changed by one. Entries of the index are hard links to
//! files of the upper directory, so both are copied together.
//!
//! Both name entries of the base by file handles, which are of one copy of it on one disk. A snapshot's layer is stored without them
//! ([`freezeframe_store::form`]); [`note_names`] keeps what only they said. [`relocate`] gives a layer the handles of the copy of the
//! base that it is laid over. A normal user's overlay has no index: [`without_index`] gives the files in it their other names.
//!
//! The session can change the layer while it is read, on purpose too: every step goes through an open directory and
//! follows no symbolic link, so that nothing outside the layer is ever read into a snapshot.

mod capture;
mod entry;
mod links;
mod names;
mod origin;

pub use capture::{Cancelled, Capture, Part, copy_into, copy_whole};
pub use links::without_index;
pub use names::note as note_names;
pub use origin::relocate;

use std::io;
use std::path::{Path, PathBuf};

/// Name of the upper directory in a copied layer.
pub const UPPER: &str = "upper";
/// Name of the overlay's index in a copied layer.
pub const INDEX: &str = "index";

/// The parts of a layer: the index is there only where the overlay was mounted with one.
pub fn parts<'a>(upper: &'a Path, index: &'a Path) -> Vec<Part<'a>> {
    let mut parts = vec![
        Part { source: upper, name: UPPER, only_files: false, one_file_system: false, shift: 0 },
        // The index's own attributes, and its entries for directories, tell of this mount; the next one makes its own.
        Part { source: index, name: INDEX, only_files: true, one_file_system: false, shift: 0 },
    ];
    parts.retain(|part| part.name == UPPER || part.source.is_dir());
    parts
}

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
    /// Directories are nested too deep.
    #[error("below {} of the session's layer, directories are nested more than {limit} deep", top.display())]
    TooDeep {
        /// How the path begins.
        top: PathBuf,
        /// How deep they may be.
        limit: u32,
    },
    /// The user cancelled.
    #[error("cancelled")]
    Cancelled,
}
