//! wait4(2) for one thread that is traced by this process.
//!
//! Never for "any": that would take the end of children that others of this program wait for. waitid(2) with `WEXITED`
//! swallows the stops of traced threads and is not used.

use std::io;
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

/// What a thread did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It ended with this code.
    Exited(c_int),
    /// This signal ended it.
    Killed(c_int),
    /// It stopped: with this signal, for this `PTRACE_EVENT_*` (0: a signal is about to be delivered, or a call stop).
    Stopped {
        /// The signal, with bit 7 set at a call stop.
        signal: c_int,
        /// The event.
        event: c_int,
    },
}

impl Status {
    fn of(raw: c_int) -> Self {
        if libc::WIFEXITED(raw) {
            Self::Exited(libc::WEXITSTATUS(raw))
        } else if libc::WIFSIGNALED(raw) {
            Self::Killed(libc::WTERMSIG(raw))
        } else {
            Self::Stopped { signal: (raw >> 8) & 0xff, event: raw >> 16 }
        }
    }
}

/// What the thread did, if it did anything since the last time; does not wait.
///
/// # Errors
/// `ECHILD`: it is not ours, or gone.
pub fn now(tid: pid_t) -> io::Result<Option<Status>> {
    let mut raw = 0;
    // SAFETY: the kernel writes one int to `raw`.
    match unsafe { libc::waitpid(tid, &raw mut raw, libc::__WALL | libc::WNOHANG) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(Status::of(raw))),
    }
}

/// What the thread did; waits until `deadline`. None: nothing by then.
///
/// A stop takes some µs, which a sleep would make tens: so it looks a few times before it sleeps.
///
/// # Errors
/// As [`now`].
pub fn until(tid: pid_t, deadline: Instant) -> io::Result<Option<Status>> {
    for round in 0u32.. {
        if let Some(status) = now(tid)? {
            return Ok(Some(status));
        }
        if round < 64 {
            std::thread::yield_now();
        } else if Instant::now() >= deadline {
            return now(tid);
        } else {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
    Ok(None)
}

/// Kills process `pid`.
///
/// # Errors
/// `EPERM`. One that is gone is no error.
pub fn kill(pid: pid_t) -> io::Result<()> {
    // SAFETY: numbers only.
    if unsafe { libc::kill(pid, libc::SIGKILL) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}
