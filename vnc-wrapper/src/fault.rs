//! Named points at which a save or resume can be told to fail, for tests.
//!
//! `FREEZEFRAME_FAULTS` names a file; a point fails while the file holds its name on a line of its own. Without the
//! variable, which nobody but a test sets, every point is free.

use std::io;

/// Fails if the point `name` is told to.
///
/// # Errors
/// An error that names the point.
pub fn point(name: &str) -> io::Result<()> {
    let Some(file) = std::env::var_os("FREEZEFRAME_FAULTS") else { return Ok(()) };
    let told = std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line == name));
    if told { Err(io::Error::other(format!("told to fail at {name}"))) } else { Ok(()) }
}
