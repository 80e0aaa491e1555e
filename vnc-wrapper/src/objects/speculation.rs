//! Speculation that threads have switched off for themselves (PR_SET_SPECULATION_CTRL, prctl(2)), which CRIU does not save; the
//! engine gives it back where it can have threads make system calls.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::{CLOSE, Session, Trouble};
use crate::container::processes::Process;
use crate::kernel::vdso;

/// `PR_SPEC_STORE_BYPASS` and `PR_SPEC_INDIRECT_BRANCH` (linux/prctl.h), and where /proc/TID/status has them.
const KINDS: [(u64, &str); 2] = [(0, "Speculation_Store_Bypass:"), (1, "SpeculationIndirectBranch:")];
/// `PR_SPEC_DISABLE` and `PR_SPEC_FORCE_DISABLE`, and how a thread's status says them (`task_seccomp`, linux/fs/proc/array.c).
const VALUES: [(u64, &str); 4] = [
    (4, "thread mitigated"),
    (8, "thread force mitigated"),
    (4, "conditional disabled"),
    (8, "conditional force disabled"),
];

/// What a thread has switched off, in the numbers of prctl(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Off {
    /// Which kind of speculation.
    pub kind: u64,
    /// How: for now, or for good.
    pub how: u64,
}

/// What `thread` has switched off.
///
/// # Errors
/// When it has ended.
pub fn of(thread: u32) -> io::Result<Vec<Off>> {
    Ok(read(&fs::read_to_string(format!("/proc/{thread}/status"))?))
}

fn read(status: &str) -> Vec<Off> {
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let off = |(kind, name): &(u64, &str)| {
        let said = value(name)?;
        VALUES.iter().find(|(_, words)| *words == said).map(|(how, _)| Off { kind: *kind, how: *how })
    };
    KINDS.iter().filter_map(off).collect()
}

/// What would be lost of a process.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if process.state == 'Z' || !has_any(process)? || ((session.can_call)() && vdso::can_call(process.outside)?) {
        return Ok(Vec::new());
    }
    let object = "it has switched speculation off for itself (PR_SET_SPECULATION_CTRL), which the engine cannot save";
    Ok(vec![Trouble::blocking(object, CLOSE)])
}

fn has_any(process: &Process) -> io::Result<bool> {
    for entry in fs::read_dir(process.proc("task"))? {
        let thread = entry?.file_name().to_str().and_then(|n| n.parse().ok());
        // A thread that has ended meanwhile has switched nothing off.
        if thread.is_some_and(|thread| of(thread).is_ok_and(|off| !off.is_empty())) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_read_from_a_threads_status() {
        let status = |store: &str, branch: &str| {
            format!(
                "Name:\tx\nSpeculation_Store_Bypass:\t{store}\nSpeculationIndirectBranch:\t{branch}\nCpus_allowed:\t3\n"
            )
        };
        assert_eq!(read(&status("thread vulnerable", "conditional enabled")), []);
        assert_eq!(read(&status("not vulnerable", "always disabled")), []);
        let both = read(&status("thread force mitigated", "conditional disabled"));
        assert_eq!(both, [Off { kind: 0, how: 8 }, Off { kind: 1, how: 4 }]);
        assert_eq!(read(""), []);
    }
}
