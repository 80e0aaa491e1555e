//! Named points at which a save or resume can be told to fail, for tests.
//!
//! `FREEZEFRAME_FAULTS` names a file; a point fails while the file holds its name on a line, and panics while it holds `panic`
//! and the name; `full` and the name stand for a full disk. Without the variable, which nobody but a test sets, every point is free.

use std::io;
use std::path::Path;

/// Fails if the point `name` is told to.
///
/// # Errors
/// An error that names the point.
///
/// # Panics
/// If that is what the point is told to do: it stands for a bug.
#[allow(clippy::panic, reason = "asked for by a test")]
pub fn point(name: &str) -> io::Result<()> {
    let Some(file) = std::env::var_os("FREEZEFRAME_FAULTS") else { return Ok(()) };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if text.lines().any(|line| line.strip_prefix("panic ") == Some(name)) {
        panic!("told to panic at {name}");
    }
    if text.lines().any(|line| line.strip_prefix("full ") == Some(name)) {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    let told = text.lines().any(|line| line == name);
    if told { Err(io::Error::other(format!("told to fail at {name}"))) } else { Ok(()) }
}

/// Cuts `file` in half if the point `name` is told to: damage that only reading it back finds.
///
/// # Errors
/// When it is told to and the file cannot be cut.
pub fn damage(name: &str, file: &Path) -> io::Result<()> {
    if point(name).is_ok() {
        return Ok(());
    }
    let file = std::fs::OpenOptions::new().write(true).open(file)?;
    file.set_len(file.metadata()?.len() / 2)
}
