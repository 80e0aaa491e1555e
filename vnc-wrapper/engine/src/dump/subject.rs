//! What was frozen, process by process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libc::pid_t;

use super::Error;
use super::view::namespace;
use crate::process::stat::{self, Stat};
use crate::process::status::{self, Status};
use crate::process::tree::{Life, Process};

/// Namespaces that a record can name, by their links; `pid_for_children` and `time_for_children` are those of children to come.
const NAMESPACES: [&str; 10] =
    ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];

/// A process that was frozen, or that has ended and waits for its parent.
pub(super) struct Subject {
    /// As we see it.
    pub(super) pid: pid_t,
    /// Its number in the snapshot.
    pub(super) id: u32,
    /// Its threads that stand still.
    pub(super) tids: Vec<pid_t>,
    /// What the kernel says of it.
    pub(super) stat: Stat,
    /// The same, of its first living thread, or of what is left.
    pub(super) status: Status,
}

impl Subject {
    /// All processes of `pids`, with their threads that stand still.
    pub(super) fn all(
        pids: impl IntoIterator<Item = pid_t>,
        held: &BTreeMap<pid_t, Vec<pid_t>>,
    ) -> Result<Vec<Self>, Error> {
        let mut subjects: Vec<Self> = Vec::new();
        let mut sorted: Vec<pid_t> = pids.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        for pid in sorted {
            let directory = PathBuf::from(format!("/proc/{pid}"));
            let stat = match stat::read(&directory) {
                // A zombie that somebody outside has reaped.
                Err(error) if gone(&error) && !held.contains_key(&pid) => continue,
                stat => stat.map_err(Error::read(pid, pid, "stat"))?,
            };
            let tids = held.get(&pid).cloned().unwrap_or_default();
            let of = tids.first().map_or_else(|| directory.clone(), |tid| directory.join(format!("task/{tid}")));
            let status = status::read(&of).map_err(Error::read(pid, pid, "status"))?;
            subjects.push(Self { pid, id: subjects.len() as u32 + 1, tids, stat, status });
        }
        Ok(subjects)
    }

    /// Its thread that speaks for the process: the first one that lives.
    pub(super) fn speaker(&self) -> Option<pid_t> {
        self.tids.first().copied()
    }

    /// The directory of a thread.
    pub(super) fn task(&self, tid: pid_t) -> PathBuf {
        PathBuf::from(format!("/proc/{}/task/{tid}", self.pid))
    }

    /// The directory of what speaks for the process.
    pub(super) fn directory(&self) -> PathBuf {
        self.speaker().map_or_else(|| PathBuf::from(format!("/proc/{}", self.pid)), |tid| self.task(tid))
    }

    /// How far it has ended.
    pub(super) fn life(&self) -> Life {
        Process::from(&self.stat).life
    }
}

/// Whether an error says that a process is gone.
pub(super) fn gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// The namespaces of a process or thread.
pub(super) fn namespaces(directory: &Path) -> std::io::Result<Vec<(&'static str, PathBuf)>> {
    let mut all = Vec::new();
    for name in NAMESPACES {
        match namespace(directory, name) {
            Ok(link) => all.push((name, link)),
            // A kernel without it; the next pid namespace of one that has made none yet.
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
