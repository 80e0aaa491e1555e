//! What is read of a process while it runs, and holds in the pause if the process has done nothing since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libc::pid_t;

use super::subject::{self, Subject};
use crate::freeze::{Frozen, idle, threads};
use crate::process::smaps::{self, Mapped};

/// The links of namespaces, by their names.
pub(super) type Namespaces = Vec<(&'static str, PathBuf)>;

/// What was read of a process all of whose threads waited in calls.
pub(super) struct Facts {
    /// Its threads, from before the rest was read.
    threads: BTreeMap<pid_t, idle::Before>,
    /// The namespaces of each.
    pub(super) namespaces: BTreeMap<pid_t, Namespaces>,
    /// Its mappings.
    pub(super) mapped: Vec<Mapped>,
}

impl Facts {
    /// Those of `pid`: none when something of it runs, so that nothing could be proved.
    pub(super) fn of(pid: pid_t) -> Option<Self> {
        let waits = |tid| Some((tid, idle::Before::of(pid, tid).ok()??));
        let threads: BTreeMap<_, _> = threads(pid).into_iter().map(waits).collect::<Option<_>>()?;
        let task = |tid: &pid_t| PathBuf::from(format!("/proc/{pid}/task/{tid}"));
        let namespaces = threads.keys().map(|tid| Some((*tid, subject::namespaces(&task(tid)).ok()?)));
        let namespaces = namespaces.collect::<Option<_>>()?;
        let mapped = smaps::read(&Path::new("/proc").join(pid.to_string())).ok()?;
        Some(Self { threads, namespaces, mapped })
    }

    /// Whether they still hold: of the same threads, none has done anything but stop. To be asked before anything is done in them.
    pub(super) fn hold(&self, subject: &Subject, frozen: &Frozen<'_>) -> bool {
        let same = self.threads.len() == subject.tids.len();
        same && frozen.threads().iter().filter(|thread| thread.who().pid == subject.pid).all(|thread| {
            let tid = thread.who().tid;
            let proof = || {
                let before = self.threads.get(&tid)?;
                let (runs, registers) = (idle::Runs::of(subject.pid, tid).ok()?, thread.registers().ok()?);
                Some(before.proves_idle(runs, &registers))
            };
            proof() == Some(true)
        })
    }
}
