//! Directories whose changes are told by signals (F_NOTIFY, fcntl(2)).

use std::fs::Metadata;
use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};
use crate::kernel::process;

/// What would be lost of a directory: F_NOTIFY makes the process its owner (`fcntl_dirnotify`, fs/notify/dnotify/dnotify.c).
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    // An owner is asked for first: a file system of the network may take its time to say what it is.
    let is_told = descriptor.has_path()
        && descriptor.copy().is_some_and(process::has_owner)
        && descriptor.metadata().is_some_and(Metadata::is_dir);
    let trouble = || {
        Trouble::blocking(
            "it is told of a directory's changes by signals (F_NOTIFY), which the engine would end",
            CLOSE,
        )
    };
    Ok(is_told.then(trouble).into_iter().collect())
}
