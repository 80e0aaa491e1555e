//! Execution domains of threads (personality(2)), which CRIU does not save; the engine gives them back where it can have
//! threads make system calls.

use std::fs;
use std::io;

use super::{Session, Trouble};
use crate::container::processes::Process;
use crate::kernel::vdso;

/// The domain of `thread`; 0 is the usual one.
///
/// # Errors
/// When it has ended.
pub fn of(thread: u32) -> io::Result<u32> {
    let hex = fs::read_to_string(format!("/proc/{thread}/personality"))?;
    u32::from_str_radix(hex.trim(), 16).map_err(io::Error::other)
}

/// What would be lost of a process.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if process.state == 'Z' || !has_one(process)? || ((session.can_call)() && vdso::can_call(process.outside)?) {
        return Ok(Vec::new());
    }
    let object = "it runs in an execution domain of its own (personality), which the engine cannot save";
    Ok(vec![Trouble::blocking(object, "close the application, or start it without `setarch`")])
}

/// Whether a thread of `process` is in another domain than the usual one.
fn has_one(process: &Process) -> io::Result<bool> {
    for entry in fs::read_dir(process.proc("task"))? {
        let thread = entry?.file_name().to_str().and_then(|n| n.parse().ok());
        // A thread that has ended meanwhile is in none.
        if thread.is_some_and(|thread| of(thread).is_ok_and(|domain| domain != 0)) {
            return Ok(true);
        }
    }
    Ok(false)
}
