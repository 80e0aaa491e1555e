//! What the pre-flight tells of: a process, its window, the object, and the remedy.

use std::collections::HashMap;

use freezeframe_protocol::Finding;
use freezeframe_store::manifest::Window;
use freezeframe_text::{MESSAGE, NAME, line};

use crate::container::processes::Process;
use crate::objects::{CLOSE, Trouble};

/// Names of programs that a desktop does not do without: session buses.
const BUSES: [&str; 2] = ["dbus-daemon", "dbus-broker"];

/// Gives names to processes: their windows are their own, or those of the nearest process that they descend from.
#[derive(Debug)]
pub(super) struct Names<'a> {
    parents: HashMap<u32, u32>,
    inside: HashMap<u32, u32>,
    windows: &'a [Window],
    essential: &'a [u32],
}

impl<'a> Names<'a> {
    /// For these processes and windows; the session ends with those that have the pids `essential` inside.
    pub(super) fn new(processes: &[Process], windows: &'a [Window], essential: &'a [u32]) -> Self {
        Self {
            parents: processes.iter().map(|p| (p.outside, p.parent)).collect(),
            inside: processes.iter().map(|p| (p.outside, p.inside)).collect(),
            windows,
            essential,
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
        let window = self.window(process);
        Finding {
            pid: process.inside,
            application: line(&process.name, NAME),
            remedy: self.remedy(process, &window, trouble.remedy),
            window,
            object: line(trouble.object, MESSAGE),
            blocking: trouble.blocking,
        }
    }

    /// A remedy that works: what has no window cannot be closed, and what the desktop lives on cannot be ended alone.
    fn remedy(&self, process: &Process, window: &str, usual: &str) -> String {
        let is_essential =
            process.inside == 1 || self.essential.contains(&process.inside) || BUSES.contains(&&*process.name);
        match usual {
            CLOSE if is_essential => {
                "it is a part of the desktop, which would end with it: resume an earlier snapshot, or \
                                      start a new session and copy your files there"
                    .to_owned()
            }
            CLOSE if window.is_empty() => {
                format!(
                    "it has no window to close: end it by `sudo kill {}` in a terminal of the session",
                    process.inside
                )
            }
            usual => usual.to_owned(),
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
        let names = Names::new(&processes, &windows, &[]);
        let titles: Vec<String> = processes.iter().map(|p| names.window(p)).collect();
        assert_eq!(titles, ["", "shell", "shell", ""]);
        let finding = names.finding(&processes[2], Trouble::blocking("it is odd", "wait"));
        assert_eq!(sentence(&finding), "p3 “shell” (process 3): it is odd");
    }

    #[test]
    fn a_loop_among_parents_comes_to_an_end() {
        let processes = [process(100, 1, 101), process(101, 2, 100)];
        assert_eq!(Names::new(&processes, &[], &[]).window(&processes[0]), "");
    }

    #[test]
    fn issue_9_11_a_remedy_is_one_that_works() {
        let processes = [process(100, 1, 9), process(101, 2, 100), process(102, 3, 100), process(103, 4, 102)];
        let windows = [Window { title: "shell".into(), application: "XTerm".into(), pid: 3 }];
        let names = Names::new(&processes, &windows, &[2]);
        let remedy = |at: usize, usual| names.finding(&processes[at], Trouble::blocking("it is odd", usual)).remedy;
        assert!(remedy(0, CLOSE).contains("part of the desktop") && remedy(1, CLOSE).contains("part of the desktop"));
        assert_eq!((remedy(2, CLOSE), remedy(3, CLOSE)), (CLOSE.to_owned(), CLOSE.to_owned()));
        assert_eq!(remedy(1, "unmount it"), "unmount it");
        let names = Names::new(&processes, &[], &[]);
        assert!(names.finding(&processes[3], Trouble::blocking("x", CLOSE)).remedy.contains("`sudo kill 4`"));
        let bus = Process { name: "dbus-daemon".into(), ..process(104, 5, 100) };
        assert!(names.finding(&bus, Trouble::blocking("x", CLOSE)).remedy.contains("part of the desktop"));
    }
}
