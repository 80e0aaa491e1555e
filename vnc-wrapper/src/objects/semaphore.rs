//! What the end of a process gives back to System V semaphores (SEM_UNDO, semop(2)).

use std::io;

use super::{CLOSE, Session, Trouble};
use crate::container::processes::{Process, has_ended};
use crate::kernel::semaphores;

/// What would be lost of a process.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if process.state == 'Z' {
        return Ok(Vec::new());
    }
    let sets = session.semaphores()?;
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let object = match session.kernel().map(|kernel| semaphores::has_undo(kernel, process.outside, sets)) {
        Some(Ok(false)) => return Ok(Vec::new()),
        Some(Err(error)) if has_ended(&error) => return Ok(Vec::new()),
        Some(Ok(true)) => {
            "it would give something back to semaphores at its end (SEM_UNDO), which the engine would lose"
        }
        Some(Err(_)) | None => {
            "it may have to give something back to semaphores at its end (SEM_UNDO), and the kernel does not let us see"
        }
    };
    Ok(vec![Trouble::blocking(object, CLOSE)])
}
