//! Processes that cannot be stopped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Session, Trouble};
use crate::container::processes::Process;

/// A thread that waits for a disk goes on within this time, mostly.
const BRIEFLY: Duration = Duration::from_millis(50);

/// Whether a thread of `process` waits in the kernel where no signal and no debugger reaches it (state D of
/// proc_pid_stat(5)): for a file system that does not answer, or for a child made by vfork(2).
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if session.frozen {
        return Ok(Vec::new());
    }
    let threads = fs::read_dir(process.proc("task"))?;
    let waits = threads.flatten().filter_map(|t| Some((t.path(), wait(&t.path())?)));
    let waits: Vec<(PathBuf, String)> = waits.collect();
    if waits.is_empty() {
        return Ok(Vec::new());
    }
    std::thread::sleep(BRIEFLY);
    let remedy = "wait until that has ended; if it does not, end the application";
    let stuck = waits.iter().any(|(thread, before)| wait(thread).as_ref() == Some(before));
    Ok(stuck.then(|| Trouble::passing("it waits in the kernel and cannot be stopped", remedy)).into_iter().collect())
}

/// Which wait a thread is in, by the times that it was switched away; none when it is in none of this kind.
fn wait(thread: &Path) -> Option<String> {
    let status = fs::read_to_string(thread.join("status")).ok()?;
    waiting_in(&status).map(str::to_owned)
}

fn waiting_in(status: &str) -> Option<&str> {
    let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    field("State")?.starts_with('D').then(|| field("voluntary_ctxt_switches"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_interrupted_is_a_wait() {
        let status = |state: &str| format!("Name:\tD\nState:\t{state}\nvoluntary_ctxt_switches:\t9\n");
        assert_eq!(waiting_in(&status("D (disk sleep)")), Some("9"));
        assert_eq!(waiting_in(&status("S (sleeping)")), None);
    }
}
