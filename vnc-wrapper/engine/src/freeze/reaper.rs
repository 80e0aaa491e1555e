//! Reaps what ends while `PTRACE_SEIZE` blocks.
//!
//! execve(2) by one of many threads waits until the others are reaped, by their tracer where they have one, and holds the lock
//! that `PTRACE_SEIZE` of any thread of that process wants. So the thread that seizes cannot reap them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libc::pid_t;

use crate::sys::wait::{self, Status};

/// How long a `PTRACE_SEIZE` may take before somebody reaps.
const LONG: Duration = Duration::from_millis(1);

/// What the thread that seizes and the one that reaps share.
pub(super) struct Reaper {
    started: Instant,
    /// When the seize that goes on began, µs after `started`; 0: none does.
    seizing: AtomicU64,
    over: AtomicBool,
    held: Mutex<Vec<pid_t>>,
    reaped: Mutex<Vec<(pid_t, Status)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reaper {
    pub(super) fn new(held: Vec<pid_t>) -> Self {
        Self {
            started: Instant::now(),
            seizing: AtomicU64::new(0),
            over: AtomicBool::new(false),
            held: Mutex::new(held),
            reaped: Mutex::default(),
        }
    }

    /// Runs `seize`; whatever is held and ends meanwhile is reaped.
    pub(super) fn during<T>(&self, tid: pid_t, seize: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        self.seizing.store(self.started.elapsed().as_micros() as u64 + 1, Ordering::Release);
        let seized = seize();
        self.seizing.store(0, Ordering::Release);
        if seized.is_ok() {
            lock(&self.held).push(tid);
        }
        seized
    }

    /// What was learned meanwhile.
    pub(super) fn learned(&self) -> Vec<(pid_t, Status)> {
        std::mem::take(&mut *lock(&self.reaped))
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// The work of the other thread, until [`Reaper::end`].
    pub(super) fn work(&self) {
        while !self.over.load(Ordering::Acquire) {
            let since = self.seizing.load(Ordering::Acquire);
            if since > 0 && self.started.elapsed() > Duration::from_micros(since) + LONG {
                for tid in lock(&self.held).clone() {
                    if let Ok(Some(status)) = wait::now(tid) {
                        lock(&self.reaped).push((tid, status));
                    }
                }
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
