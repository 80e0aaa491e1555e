//! Threads as `/proc` shows them, for the log.

use std::io;
use std::path::PathBuf;

use libc::pid_t;

use super::log::{Id, Seen};
use crate::process::{stat, status};

fn task(pid: pid_t, tid: pid_t) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}"))
}

/// Which thread `tid` of process `pid` is.
///
/// # Errors
/// When it has ended.
pub fn id(pid: pid_t, tid: pid_t) -> io::Result<Id> {
    Ok(Id { tid, start: stat::read(&task(pid, tid))?.start })
}

/// Whether that thread is there.
#[must_use]
pub fn lives(id: Id) -> bool {
    self::id(id.tid, id.tid).is_ok_and(|now| now == id)
}

/// How many filters a thread has.
///
/// # Errors
/// When it has ended; `Unsupported` on a kernel that does not count them (before 5.9).
pub fn depth(tid: pid_t) -> io::Result<usize> {
    count(&status::read(&task(tid, tid))?)
}

/// How many filters it has, by its `status`.
///
/// # Errors
/// `Unsupported` on a kernel that does not count them.
pub fn count(status: &status::Status) -> io::Result<usize> {
    match (status.seccomp, status.seccomp_filters) {
        (_, Some(count)) => Ok(count as usize),
        (None | Some(0), None) => Ok(0),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel does not say how many seccomp filters it has")),
    }
}

/// The thread `tid`.
///
/// # Errors
/// When it has ended, and those of [`depth`].
pub fn seen(tid: pid_t) -> io::Result<Seen> {
    let now = status::read(&task(tid, tid))?;
    let process = *now.tgids.first().ok_or(io::ErrorKind::InvalidData)?;
    let mut threads: Vec<Id> =
        crate::freeze::threads(process).into_iter().filter_map(|tid| id(process, tid).ok()).collect();
    threads.sort_unstable();
    let mut ancestors = Vec::new();
    let mut parent = stat::read(&task(process, process))?.parent;
    while parent > 0 {
        let status = status::read(&task(parent, parent))?;
        // The first process of a pid namespace adopts orphans.
        if status.tgids.last() == Some(&1) {
            break;
        }
        ancestors.push(id(parent, parent)?);
        parent = stat::read(&task(parent, parent))?.parent;
    }
    Ok(Seen { thread: id(process, tid)?, process: id(process, process)?, threads, ancestors, depth: count(&now)? })
}
