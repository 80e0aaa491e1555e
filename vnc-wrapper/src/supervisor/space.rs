//! Whether the disk has room for a snapshot. A save that filled it would take it away from the session as well.

use freezeframe_protocol::Failure;
use freezeframe_store::usage;

use super::session::Session;
use crate::container::processes::Process;
use crate::failure::{ToFailure, no_space};

/// Kept free besides: for what the session writes meanwhile, for metadata, for the engine's smaller images.
const MARGIN: u64 = 128 << 20;

/// Refuses when layer and memory together are more than what is free.
///
/// # Errors
/// When there is too little room, or it cannot be found out.
pub(super) fn check(session: &Session) -> Result<(), Failure> {
    let layer = usage::bytes_below(&session.directories.layer()).map_err(|e| e.to_failure())?;
    let memory: u64 = session.processes()?.iter().map(Process::resident_bytes).sum();
    let disk = rustix::fs::statvfs(session.store.root()).map_err(|e| std::io::Error::from(e).to_failure())?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = layer + memory + MARGIN;
    if needed <= free {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes >> 20;
    let text = format!(
        "a snapshot may need {} MiB and {} MiB are free in {}",
        mebibytes(needed),
        mebibytes(free),
        session.store.root().display()
    );
    Err(no_space(text))
}
