//! Processes that were stopped (SIGSTOP, signal(7)), and whose parents have been told so.
//!
//! CRIU sends the signal again, and a restored process would stop when the session runs: its parent would be told once more,
//! by SIGCHLD and by wait4(2). So it is had to stop before anybody runs, and what its parent is told is taken away again as far
//! as it did not wait when the session was saved.

use std::fs;
use std::io;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::traced::{Traced, bit};
use crate::container::processes::Process;
use crate::kernel::objects::Kernel;

/// `SIGNAL_STOP_STOPPED` (linux/sched/signal.h).
const STOPPED: u32 = 1;
/// What CRIU may have sent; the first can neither be blocked nor handled.
const SIGNALS: [Signal; 4] = [Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// A process that is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stopped {
    /// Its pid in the session.
    process: u32,
    /// Whether its parent has still to hear of that from wait4(2).
    waits: bool,
}

/// Those of these processes.
///
/// # Errors
/// When the kernel's memory is not understood.
pub(super) fn all(processes: &[Process], kernel: &Kernel) -> io::Result<Vec<Stopped>> {
    let mut all = Vec::new();
    for process in processes.iter().filter(|p| p.state != 'Z') {
        let signal = kernel.follow(kernel.task(process.outside)?, "task_struct", "signal")?;
        let word = |member| {
            let bytes = kernel.memory().read(signal + kernel.offset("signal_struct", member)?, 4)?;
            bytes.try_into().map(u32::from_ne_bytes).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))
        };
        if word("flags")? & STOPPED != 0 {
            all.push(Stopped { process: process.inside, waits: word("group_exit_code")? != 0 });
        }
    }
    Ok(all)
}

/// Has these processes stop before anybody runs.
pub(super) fn put_back(traced: &mut Traced<'_>, processes: &[Process], all: &[Stopped]) {
    for stopped in all {
        let Some(process) = processes.iter().find(|p| p.inside == stopped.process) else { continue };
        if let Err(error) = stop(traced, processes, process, stopped.waits) {
            // It stops when it runs.
            tracing::warn!("the parent of {} may be told again that it has stopped: {error}", process.name);
        }
    }
}

fn stop(traced: &mut Traced<'_>, processes: &[Process], process: &Process, waits: bool) -> io::Result<()> {
    let own = Signals::of(process.outside)?;
    let Some(signal) = SIGNALS.into_iter().find(|s| own.waits_for(*s)) else { return Ok(()) };
    let mut threads = vec![process.outside];
    for entry in fs::read_dir(process.proc("task"))? {
        let id = entry?.file_name().to_str().and_then(|n| n.parse::<u32>().ok());
        threads.extend(id.filter(|id| *id != process.outside));
    }
    let parent = processes.iter().find(|p| p.outside == process.parent);
    let child = bit(Signal::SIGCHLD as i32);
    let pending = |parent: &Process| Signals::of(parent.outside).map(|signals| signals.pending & child != 0);
    let before = parent.map(pending).transpose()?;
    traced.stop(&threads, signal)?;
    let Some((parent, before)) = parent.zip(before) else { return Ok(()) };
    let told = !before && pending(parent)?;
    let mut options = (libc::WSTOPPED | libc::WNOHANG) as u64;
    if waits {
        if !told {
            return Ok(());
        }
        options |= libc::WNOWAIT as u64;
    }
    let arguments = [libc::P_PID as u64, process.inside.into(), 0, options, 0];
    match traced.call(parent.outside, libc::SYS_waitid, arguments, told.then_some(Signal::SIGCHLD))? {
        0 => Ok(()),
        error => Err(io::Error::other(format!("waitid: {error}"))),
    }
}

/// The signals of a process' first thread, as sets (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Signals {
    /// Wait for the thread or its process.
    pending: u64,
    blocked: u64,
    /// Have handlers.
    handled: u64,
}

impl Signals {
    fn of(pid: u32) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(format!("/proc/{pid}/status"))?))
    }

    fn parse(status: &str) -> Self {
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default()
        };
        Self { pending: field("SigPnd") | field("ShdPnd"), blocked: field("SigBlk"), handled: field("SigCgt") }
    }

    /// Whether `signal` waits and will stop the process.
    fn waits_for(self, signal: Signal) -> bool {
        self.pending & !self.blocked & !self.handled & bit(signal as i32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_stop_a_process_is_known_from_proc() {
        let status = "SigPnd:\t0000000000040000\nShdPnd:\t0000000000080000\nSigBlk:\t0000000000080000\nSigCgt:\t0000000000000000\n";
        let signals = Signals::parse(status);
        assert!(signals.waits_for(Signal::SIGSTOP));
        assert!(!signals.waits_for(Signal::SIGTSTP));
        assert!(!signals.waits_for(Signal::SIGCHLD));
        assert_eq!(Signals::parse(""), Signals::default());
    }
}
