//! How the kernel schedules a thread, as far as CRIU does not save it.

use std::fs;
use std::io;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// `IOPRIO_WHO_PROCESS` (linux/ioprio.h): one thread.
const ONE_THREAD: libc::c_int = 1;

/// Of one thread: where it may run, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// Numbers of the processors that it may run on (sched_setaffinity(2)).
    pub processors: Vec<usize>,
    /// Class and level (ioprio_set(2)).
    pub io_priority: i32,
    /// How late its timers may be, in nanoseconds (PR_SET_TIMERSLACK(2const)).
    pub timer_slack: u64,
}

impl Scheduling {
    /// That of the thread `id`.
    ///
    /// # Errors
    /// When there is no such thread.
    pub fn of(id: u32) -> io::Result<Self> {
        let set = sched_getaffinity(Some(pid(id)?))?;
        // SAFETY: ioprio_get(2) takes numbers only.
        let io_priority = unsafe { libc::syscall(libc::SYS_ioprio_get, ONE_THREAD, id) };
        if io_priority < 0 {
            return Err(io::Error::last_os_error());
        }
        let slack = fs::read_to_string(slack(id))?;
        Ok(Self {
            processors: (0..CpuSet::MAX_CPU).filter(|n| set.is_set(*n)).collect(),
            io_priority: io_priority.try_into().unwrap_or_default(),
            timer_slack: slack.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?,
        })
    }

    /// Gives it to the thread `id`. Processors that are not there are left out.
    ///
    /// # Errors
    /// When there is no such thread, or none of its processors.
    pub fn give(&self, id: u32) -> io::Result<()> {
        let mut set = CpuSet::new();
        self.processors.iter().filter(|n| **n < CpuSet::MAX_CPU).for_each(|n| set.set(*n));
        sched_setaffinity(Some(pid(id)?), &set)?;
        // SAFETY: ioprio_set(2) takes numbers only.
        if unsafe { libc::syscall(libc::SYS_ioprio_set, ONE_THREAD, id, self.io_priority) } != 0 {
            return Err(io::Error::last_os_error());
        }
        fs::write(slack(id), self.timer_slack.to_string())
    }
}

fn slack(id: u32) -> String {
    format!("/proc/{id}/timerslack_ns")
}

fn pid(id: u32) -> io::Result<Pid> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_what_is_found() {
        let (told, thread) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            told.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
            let _ = wait.recv();
        });
        let thread = thread.recv().unwrap();
        let mut wanted = Scheduling::of(thread).unwrap();
        wanted.processors.truncate(1);
        (wanted.io_priority, wanted.timer_slack) = (2 << 13 | 5, 123_456);
        wanted.give(thread).unwrap();
        assert_eq!(Scheduling::of(thread).unwrap(), wanted);
        drop(end);
        other.join().unwrap();
    }
}
