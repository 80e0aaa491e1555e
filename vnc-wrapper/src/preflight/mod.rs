//! Looks, before anything is stopped, for what cannot be saved.
//!
//! Each finding names the application, its window, the object and a remedy. Nothing in the session is touched. The rules are
//! those of [`crate::objects`], which the engine asks again when all is frozen; here comes what has to do with the outside:
//! who waits for a program, which connections will be reset, and whether the disk has room. `tests/tests/e2e/preflight` has a
//! program for each kind, and makes the table in `data/docs/preflight.md` of what is said here.

mod finding;
mod refusal;
mod space;

use std::collections::{BTreeSet, HashSet};
use std::io;

use freezeframe_engine::filters::watch::Watch;
use freezeframe_protocol::CheckReport;
use freezeframe_store::manifest::Window;
use freezeframe_store::session::Network;

use crate::container::connections;
use crate::container::processes::Process;
use crate::engine::native;
use crate::kernel::objects::Kernel;
use crate::objects::{self, Session, Tree, Trouble, descriptor};
use finding::Names;

pub use finding::sentence;
pub use refusal::{finding as of_refusal, found as of_found};
pub use space::finding as of_space;

/// A program that somebody outside waits for (`sessionctl exec --wait`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The command, for people.
    pub command: String,
    /// The process outside that is its parent; 0 before it was started.
    pub parent: u32,
    /// Device and inode of the descriptors of the outside that it was given.
    pub descriptors: Vec<(u64, u64)>,
}

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// All processes; the first is the session's init.
    pub processes: &'a [Process],
    /// The windows that are open.
    pub windows: &'a [Window],
    /// Programs that somebody waits for.
    pub waiting: &'a [Waiting],
    /// The session's network.
    pub network: Network,
    /// Processes with which the session ends, by their pids inside.
    pub essential: &'a [u32],
    /// Where names are that the kernel has forgotten.
    pub tree: Option<&'a Tree>,
    /// Whether the native engine saves, which has its own rules.
    pub native: bool,
    /// Who answers the filter of its processes, where that asks.
    pub filters: Option<&'a Watch>,
    /// Whether the engine can have threads of a resumed session make system calls; asked only when that matters.
    pub can_call: &'a dyn Fn() -> bool,
}

/// Checks a session. Also answers whether whatever stops a save may be gone in a moment, so that it is worth another look.
///
/// # Errors
/// When /proc cannot be read for another reason than that a process has ended.
pub fn check(scene: Scene<'_>) -> io::Result<(CheckReport, bool)> {
    let mut report = CheckReport { savable: true, findings: Vec::new() };
    let mut lasting = false;
    let Some(init) = scene.processes.first() else { return Ok((report, false)) };
    let known: HashSet<u32> = scene.processes.iter().map(|p| p.outside).collect();
    let names = Names::new(scene.processes, scene.windows, scene.essential);
    let outside = match scene.network {
        Network::None => Vec::new(),
        Network::Outbound => connections::to_outside(init.outside)?,
    };
    let outside = connections::held(scene.processes, &outside);
    let held: Vec<(u64, u64)> = scene.waiting.iter().flat_map(|w| w.descriptors.iter().copied()).collect();
    let kernel = Kernel::open();
    let session = Session::running(scene.processes, &kernel, &held, scene.can_call, scene.tree);
    let found = if scene.native {
        // The mounts are the container's affair.
        [objects::look_at_mounts(&session)?, native::look(init.outside, scene.filters.map(Watch::log))?].concat()
    } else {
        objects::look(&session)?
    };
    for process in scene.processes {
        let mut troubles = BTreeSet::new();
        // The engine saves what descends from init. Its own parent is the wrapper; another's is not a stranger's.
        if process.outside != init.outside && !known.contains(&process.parent) {
            let by = scene.waiting.iter().find(|w| w.parent == process.parent);
            troubles.insert(tied(by.map_or(&process.name, |w| &w.command)));
        }
        troubles.extend(scene.waiting.iter().filter(|w| holds(process, w)).map(|w| tied(&w.command)));
        troubles.extend(found.iter().filter(|f| f.process == process.outside).map(|f| f.trouble.clone()));
        lasting |= troubles.iter().any(|t| t.blocking && !t.passing);
        report.findings.extend(troubles.into_iter().map(|trouble| names.finding(process, trouble)));
        let closed = outside.iter().filter(|(holder, _)| holder.outside == process.outside);
        report.findings.extend(closed.map(|(_, connection)| {
            let remedy = "none is needed: in what is resumed the application finds it reset, and connects anew";
            names.finding(process, Trouble::closed(connection.describe(), remedy))
        }));
    }
    report.savable = !report.findings.iter().any(|f| f.blocking);
    let passing = !report.savable && !lasting;
    Ok((report, passing))
}

/// Whether a process of the session still has what it was given by whoever waits for it.
pub fn is_held(processes: &[Process], waiting: &Waiting) -> bool {
    processes.iter().any(|p| (waiting.parent != 0 && p.parent == waiting.parent) || holds(p, waiting))
}

/// Whether `process` has one of the descriptors that it was given from outside.
fn holds(process: &Process, waiting: &Waiting) -> bool {
    let is_one = |d: &descriptor::Descriptor<'_>| d.identity().is_some_and(|i| waiting.descriptors.contains(&i));
    !waiting.descriptors.is_empty() && descriptor::open(process).is_ok_and(|all| all.iter().any(is_one))
}

fn tied(command: &str) -> Trouble {
    Trouble::blocking(
        format!("it is tied to the outside by `sessionctl exec --wait` ({command})"),
        "wait until that command has ended, or start it without --wait",
    )
}
