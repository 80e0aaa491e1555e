//! Namespaces of a process that are not its session's: sandboxes, mostly.

use std::fs;

use super::finding::Trouble;
use crate::container::processes::Process;

/// Namespaces in which every process has to be together with the session's init, by their names in /proc/PID/ns.
const SHARED: [&str; 7] = ["user", "pid_for_children", "ipc", "uts", "cgroup", "time", "time_for_children"];

/// The first namespace that `process` does not share with `init`.
pub(super) fn trouble(process: &Process, init: &Process) -> Option<Trouble> {
    let of = |p: &Process, name: &str| fs::read_link(p.proc("ns").join(name)).ok();
    let differs = |name: &&&str| {
        // A process that ends while it is looked at needs no check; init's namespaces are what counts.
        let (Some(own), Some(wanted)) = (of(process, name), of(init, name)) else { return false };
        own != wanted && !(**name == "pid_for_children" && process.outside == init.outside)
    };
    let name = SHARED.iter().find(differs)?.trim_end_matches("_for_children");
    let article = if name == "ipc" { "an" } else { "a" };
    Some(Trouble::blocking(
        format!("it runs in {article} {name} namespace of its own (a sandbox)"),
        "close the application, or start it without its namespace sandbox",
    ))
}
