//! Looks, before anything is stopped, for what cannot be saved.
//!
//! Each finding names the application, its window, the object and a remedy. Nothing in the session is touched. What the
//! engine refuses is known by trying: `tests/tests/e2e/preflight` has a program for each kind, and makes the table in
//! `data/docs/preflight.md` of what is said here.

mod descriptors;
mod finding;
mod mounts;
mod namespaces;
mod refusal;
mod sockets;
mod space;
mod state;

use std::collections::{BTreeSet, HashSet};
use std::io;

use freezeframe_protocol::CheckReport;
use freezeframe_store::manifest::Window;
use freezeframe_store::session::Network;

use crate::container::connections;
use crate::container::hidden::{self, Hidden};
use crate::container::processes::Process;
use crate::kernel::objects::Kernel;
use finding::{Names, Trouble};

pub use finding::sentence;
pub use refusal::{finding as of_refusal, loss as of_loss};
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
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// All processes; the first is the session's init.
    pub processes: &'a [Process],
    /// The windows that are open.
    pub windows: &'a [Window],
    /// Programs that somebody waits for.
    pub waiting: &'a [Waiting],
    /// The session's network.
    pub network: Network,
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
    let names = Names::new(scene.processes, scene.windows);
    let mut namespaces = descriptors::Known::default();
    let outside = match scene.network {
        Network::None => Vec::new(),
        Network::Outbound => connections::to_outside(init.outside)?,
    };
    let outside = connections::held(scene.processes, &outside);
    let hidden = hidden::all(scene.processes, Kernel::open().ok().as_ref())?;
    for process in scene.processes {
        let mut troubles = BTreeSet::new();
        // The engine saves what descends from init. Its own parent is the wrapper; another's is not a stranger's.
        if process.outside != init.outside && !known.contains(&process.parent) {
            let by = scene.waiting.iter().find(|w| w.parent == process.parent);
            troubles.insert(tied(by.map_or(&process.name, |w| &w.command)));
        }
        troubles.extend(traced(process, scene.processes));
        troubles.extend(namespaces::trouble(process, init));
        troubles.extend(state::trouble(process));
        troubles.extend(hidden.iter().filter(|(of, _)| *of == process.outside).map(|(_, hidden)| unseen(*hidden)));
        troubles.extend(descriptors::troubles(process, scene.waiting, &mut namespaces)?);
        if process.outside == init.outside {
            troubles.extend(mounts::troubles(init));
        }
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
    processes.iter().any(|p| (waiting.parent != 0 && p.parent == waiting.parent) || descriptors::holds(p, waiting))
}

fn tied(command: &str) -> Trouble {
    Trouble::blocking(
        format!("it is tied to the outside by `sessionctl exec --wait` ({command})"),
        "wait until that command has ended, or start it without --wait",
    )
}

fn unseen(hidden: Hidden) -> Trouble {
    if hidden.passes() {
        Trouble::passing(hidden.what(), "wait until the application answers again, or close it")
    } else {
        Trouble::blocking(hidden.what(), "close the application")
    }
}

fn traced(process: &Process, all: &[Process]) -> Option<Trouble> {
    if process.tracer == 0 {
        return None;
    }
    let tracer = all.iter().find(|p| p.outside == process.tracer);
    let by = tracer.map_or_else(|| "a debugger".to_owned(), |t| format!("{} ({})", t.name, t.inside));
    Some(Trouble::blocking(format!("it is being traced by {by}"), "detach the debugger (`detach` in gdb), then save"))
}
