//! Processes under a debugger (ptrace(2)): a process has room for one tracer, and the engine needs it.

use std::io;

use super::{Session, Trouble};
use crate::container::processes::Process;

/// What stops a save of `process`. A frozen one is traced by the engine.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if process.tracer == 0 || session.frozen {
        return Ok(Vec::new());
    }
    let tracer = session.processes.iter().find(|p| p.outside == process.tracer);
    let by = tracer.map_or_else(|| "a debugger".to_owned(), |t| format!("{} ({})", t.name, t.inside));
    let remedy = "detach the debugger (`detach` in gdb), then save";
    Ok(vec![Trouble::blocking(format!("it is being traced by {by}"), remedy)])
}
