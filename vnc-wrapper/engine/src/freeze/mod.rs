//! Stops every thread of a set of processes, which may fork, exec, start threads and end meanwhile.
//!
//! [`freeze`] takes hold of what a source lists, asks all of it to stop, and looks again until two looks find nothing new.
//! [`Frozen`] is a guard: dropped, everything runs on, stopped processes stay stopped, interrupted calls go on.
//!
//! What it knows about the kernel (`kernel/ptrace.c`, `kernel/fork.c`, `fs/exec.c`):
//!
//! - A parent in vfork(2) waits uninterruptibly for its child, which is stopped: the child is let run until it has let go of
//!   the parent's memory (`vfork.rs`).
//! - `PTRACE_SEIZE` waits for an execve(2) that waits for its traced siblings to be reaped: another thread reaps them
//!   meanwhile (`reaper.rs`).
//! - A thread that is no leader and execs takes the leader's id; `PTRACE_O_TRACEEXEC` says which id is gone.
//! - Zombies answer `EPERM`; a leader that has ended reports nothing while its threads live.

mod attempt;
pub mod idle;
mod reaper;
mod session;
mod source;
mod vfork;

use std::time::{Duration, Instant};

use libc::pid_t;

use crate::remote::{Stopped, Tracer, Who};
use crate::sys::wait::{self, Status};

pub use session::OwnProc;
pub(crate) use source::threads;
pub use source::{Source, descendants};

/// How long a freeze may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one try, after which everything runs on.
    pub deadline: Duration,
    /// How many tries.
    pub tries: u32,
    /// How long any one wait for a thread may take while all stand still.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(50), tries: 3, patience: Duration::from_millis(50) }
    }
}

/// Why a freeze was given up. Everything runs on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// These threads did not stop in time.
    #[error("{} did not stop within {} ms, {} times", names(.threads), .limits.deadline.as_millis(), .limits.tries)]
    Restless {
        /// Which.
        threads: Vec<Who>,
        /// What was allowed.
        limits: Limits,
    },
    /// Another program traces this thread.
    #[error("{who} is traced by process {tracer}; end the debugger, or detach it")]
    Traced {
        /// The thread.
        who: Who,
        /// The other program.
        tracer: pid_t,
    },
    /// The processes could not be listed.
    #[error("cannot list the processes to freeze: {0}")]
    Source(std::io::Error),
    /// A step failed.
    #[error("cannot freeze or end {who}: {error}")]
    Failed {
        /// The thread, or any one of all.
        who: Who,
        /// Why.
        error: std::io::Error,
    },
}

fn names(threads: &[Who]) -> String {
    let shown: Vec<_> = threads.iter().take(3).map(ToString::to_string).collect();
    let more = threads.len().saturating_sub(3);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

/// Everything that was frozen; dropped, it runs on.
pub struct Frozen<'t> {
    threads: Vec<Stopped<'t>>,
    /// First threads that have ended before the others of their process: held, and nobody else learns their end before us.
    ended: Vec<pid_t>,
    since: Instant,
}

impl<'t> Frozen<'t> {
    /// When the try that succeeded began to stop threads.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Every thread.
    #[must_use]
    pub fn threads(&self) -> &[Stopped<'t>] {
        &self.threads
    }

    /// One thread, to make calls in.
    pub fn thread(&mut self, tid: pid_t) -> Option<&mut Stopped<'t>> {
        self.threads.iter_mut().find(|thread| thread.who().tid == tid)
    }

    /// Kills everything, and waits until it has ended: some ends are reported only once others were waited for, those of first
    /// threads and of the first process of a pid namespace.
    ///
    /// # Errors
    /// The first process that may not be killed; it runs on.
    pub fn end(mut self) -> Result<(), Error> {
        let mut left = Vec::new();
        let mut patience = Duration::ZERO;
        for thread in &self.threads {
            let who = thread.who().clone();
            let killed = wait::kill(who.pid);
            killed.map_err(|error| Error::Failed { who, error })?;
        }
        for thread in &mut self.threads {
            patience = patience.max(thread.patience());
            left.push((thread.who().pid, thread.abandon()));
        }
        left.extend(self.ended.iter().map(|leader| (*leader, *leader)));
        let ours = std::process::id().cast_signed();
        let deadline = Instant::now() + patience;
        while !left.is_empty() && Instant::now() < deadline {
            let before = left.len();
            left.retain(|(pid, tid)| match source::state(*tid) {
                // A child of this process: who started it learns its end. Its other threads have no parent but us.
                Some((state, parent)) if parent == ours && pid == tid => state != 'Z',
                _ => !matches!(wait::now(*tid), Ok(Some(Status::Exited(_) | Status::Killed(_))) | Err(_)),
            });
            if left.len() == before {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(())
    }
}

/// Freezes all that `source` lists, whatever it does meanwhile.
///
/// After an error let the tracing thread end soon: a thread that did not stop in all that time is let go by the kernel then.
///
/// # Errors
/// [`Error`]; everything runs on.
pub fn freeze<'t>(tracer: &'t Tracer, source: &mut dyn Source, limits: Limits) -> Result<Frozen<'t>, Error> {
    let mut attempt = attempt::Attempt::default();
    let mut restless = Vec::new();
    for _ in 0..limits.tries {
        let since = Instant::now();
        match attempt.run(source, limits.deadline) {
            Ok(()) => {
                let (threads, ended) = attempt.still();
                let threads = threads.into_iter().map(|who| Stopped::adopt(tracer, who, limits.patience)).collect();
                return Ok(Frozen { threads, ended, since });
            }
            Err(attempt::Failure::Late(threads)) => restless = threads,
            Err(attempt::Failure::Final(error)) => {
                attempt.thaw();
                return Err(error);
            }
        }
        attempt.thaw();
    }
    Err(Error::Restless { threads: restless, limits })
}

#[cfg(test)]
mod tests;
