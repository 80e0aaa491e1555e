//! What is looked at while the session still runs.

use std::collections::BTreeMap;

use libc::pid_t;

use super::facts::Facts;
use super::follow::Follow;
use super::watches::Index;
use crate::filters::Shared;
use crate::freeze::idle::Waits;
use crate::remote::processor::Registers;

/// What was seen of threads before the freeze.
pub(super) struct Before {
    pub(super) sleeps: Sleeps,
    pub(super) memory: Follow,
    /// By process.
    pub(super) facts: BTreeMap<pid_t, Facts>,
    pub(super) watches: Index,
}

/// Threads in sleeps that were interrupted before.
#[derive(Default)]
pub(super) struct Sleeps(BTreeMap<pid_t, Sleep>);

/// A thread in a call that the kernel goes on with after an interruption.
struct Sleep {
    waits: Waits,
    /// Where in the kernel it waits (`/proc/TID/wchan`, proc(5)).
    place: String,
}

impl Before {
    /// Looks at `pids`, of which `root` is the first.
    pub(super) fn look(root: pid_t, pids: &[pid_t], filters: Option<&Shared>) -> Self {
        // What takes long first.
        let watches = Index::look(root, pids);
        // Memory first: to follow it interrupts calls.
        let memory = Follow::begin(pids, filters);
        let facts = pids.iter().filter_map(|pid| Some((*pid, Facts::of(*pid)?))).collect();
        Self { sleeps: Sleeps::look(pids), memory, facts, watches }
    }
}

impl Sleeps {
    /// Looks at the threads of `pids`; what has ended meanwhile is left out.
    fn look(pids: &[pid_t]) -> Self {
        let mut sleeps = BTreeMap::new();
        for tid in pids.iter().flat_map(|pid| crate::freeze::threads(*pid)) {
            let file = |name: &str| std::fs::read_to_string(format!("/proc/{tid}/{name}")).ok();
            let waits = file("syscall").and_then(|text| Waits::parse(&text));
            let Some(waits) = waits.filter(|waits| waits.call == libc::SYS_restart_syscall as u64) else { continue };
            if let Some(place) = file("wchan") {
                sleeps.insert(tid, Sleep { waits, place });
            }
        }
        Self(sleeps)
    }

    /// Where in the kernel a thread, which now stands still with these registers in such a call, waits.
    ///
    /// It is in the same call as then: it would have come out of that and made another one, which an interruption would show
    /// by its own number.
    pub(super) fn place(&self, tid: pid_t, registers: &Registers) -> Option<&str> {
        let sleep = self.0.get(&tid)?;
        let same = sleep.waits.stack == registers.stack() && sleep.waits.instruction == registers.instruction();
        same.then_some(sleep.place.as_str())
    }
}
