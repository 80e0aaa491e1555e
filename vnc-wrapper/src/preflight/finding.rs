//! What the pre-flight tells of: a process, its window, the object, and the remedy.

use std::collections::HashMap;

use freezeframe_protocol::Finding;
use freezeframe_store::manifest::Window;

use crate::container::processes::Process;

/// Something that is not saved, of no process yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trouble {
    /// What it is, in words that go on from the application's name.
    pub(super) object: String,
    /// What the user can do.
    pub(super) remedy: &'static str,
    /// Whether it stops the save; else it is closed when the snapshot is resumed.
    pub(super) blocking: bool,
    /// Whether it may be gone in a moment without anybody doing anything.
    pub(super) passing: bool,
}

impl Trouble {
    /// What stops a save until somebody does something.
    pub(super) fn blocking(object: impl Into<String>, remedy: &'static str) -> Self {
        Self { object: object.into(), remedy, blocking: true, passing: false }
    }

    /// What stops a save, and is usually over in a moment.
    pub(super) fn passing(object: impl Into<String>, remedy: &'static str) -> Self {
        Self { passing: true, ..Self::blocking(object, remedy) }
    }

    /// What is merely closed.
    pub(super) fn closed(object: impl Into<String>, remedy: &'static str) -> Self {
        Self { blocking: false, ..Self::blocking(object, remedy) }
    }
}

/// Gives names to processes: their windows are their own, or those of the nearest process that they descend from.
#[derive(Debug)]
pub(super) struct Names<'a> {
    parents: HashMap<u32, u32>,
    inside: HashMap<u32, u32>,
    windows: &'a [Window],
}

impl<'a> Names<'a> {
    /// For these processes and windows.
    pub(super) fn new(processes: &[Process], windows: &'a [Window]) -> Self {
        Self {
            parents: processes.iter().map(|p| (p.outside, p.parent)).collect(),
            inside: processes.iter().map(|p| (p.outside, p.inside)).collect(),
            windows,
        }
    }

    /// Title of the window that a process belongs to; empty when it has none.
    pub(super) fn window(&self, process: &Process) -> String {
        let mut outside = process.outside;
        // No process has more ancestors than there are processes.
        for _ in 0..=self.parents.len() {
            let inside = self.inside.get(&outside).copied();
            if let Some(window) = self.windows.iter().find(|w| w.pid != 0 && Some(w.pid) == inside) {
                return window.title.clone();
            }
            let Some(parent) = self.parents.get(&outside) else { break };
            outside = *parent;
        }
        String::new()
    }

    /// The finding.
    pub(super) fn finding(&self, process: &Process, trouble: Trouble) -> Finding {
        Finding {
            pid: process.inside,
            application: process.name.clone(),
            window: self.window(process),
            object: trouble.object,
            blocking: trouble.blocking,
            remedy: trouble.remedy.to_owned(),
        }
    }
}

/// A finding in one sentence.
pub fn sentence(finding: &Finding) -> String {
    let window = if finding.window.is_empty() { String::new() } else { format!(" “{}”", finding.window) };
    format!("{}{window} (process {}): {}", finding.application, finding.pid, finding.object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(outside: u32, inside: u32, parent: u32) -> Process {
        Process { outside, inside, parent, threads: 1, name: format!("p{inside}"), tracer: 0, state: 'S' }
    }

    #[test]
    fn a_window_is_that_of_the_nearest_ancestor() {
        let processes = [process(100, 1, 9), process(101, 2, 100), process(102, 3, 101), process(103, 4, 100)];
        let windows = [Window { title: "shell".into(), application: "XTerm".into(), pid: 2 }];
        let names = Names::new(&processes, &windows);
        let titles: Vec<String> = processes.iter().map(|p| names.window(p)).collect();
        assert_eq!(titles, ["", "shell", "shell", ""]);
        let finding = names.finding(&processes[2], Trouble::blocking("it is odd", "wait"));
        assert_eq!(sentence(&finding), "p3 “shell” (process 3): it is odd");
    }

    #[test]
    fn a_loop_among_parents_comes_to_an_end() {
        let processes = [process(100, 1, 101), process(101, 2, 100)];
        assert_eq!(Names::new(&processes, &[]).window(&processes[0]), "");
    }
}
