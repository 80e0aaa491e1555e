//! What was made so far; dropped, nothing of it is left.

use std::time::{Duration, Instant};

use libc::pid_t;

use crate::sys::wait::{self, Status};

/// Processes and threads that were made and have not been let go; dropped, they are killed and reaped.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Thread ids, as this process sees them; the first process's first.
    tids: Vec<pid_t>,
    patience: Duration,
}

impl Made {
    pub(super) fn new(patience: Duration) -> Self {
        Self { tids: Vec::new(), patience }
    }

    /// One more.
    pub(super) fn add(&mut self, tid: pid_t) {
        self.tids.push(tid);
    }

    /// One that has ended and was reaped by us.
    pub(super) fn ended(&mut self, tid: pid_t) {
        self.tids.retain(|other| *other != tid);
    }

    /// Those that were let go are no longer ours.
    pub(super) fn let_go(&mut self) {
        self.tids.clear();
    }

    /// Kills and reaps all.
    pub(super) fn kill(&mut self) {
        for tid in &self.tids {
            crate::sys::signal::kill(*tid);
        }
        let deadline = Instant::now() + self.patience;
        // The first process of a pid namespace ends last: it waits until all others were reaped, those that are traced by us.
        while !self.tids.is_empty() && Instant::now() < deadline {
            let before = self.tids.len();
            self.tids
                .retain(|tid| !matches!(wait::now(*tid), Ok(Some(Status::Exited(_) | Status::Killed(_))) | Err(_)));
            if self.tids.len() == before {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.kill();
    }
}
