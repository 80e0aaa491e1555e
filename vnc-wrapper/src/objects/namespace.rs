//! Namespaces of a process that are not its session's: sandboxes, mostly.

use std::fs;
use std::io;

use super::{Session, Trouble};
use crate::container::processes::Process;

/// Namespaces in which every process has to be together with the session's init, by their names in /proc/PID/ns.
const SHARED: [&str; 7] = ["user", "pid_for_children", "ipc", "uts", "cgroup", "time", "time_for_children"];

/// The first namespace that `process` does not share with the session's init.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(init) = session.init() else { return Ok(Vec::new()) };
    let of = |p: &Process, name: &str| fs::read_link(p.proc("ns").join(name)).ok();
    let differs = |name: &&&str| {
        // A process that ends while it is looked at needs no check; init's namespaces are what counts.
        let (Some(own), Some(wanted)) = (of(process, name), of(init, name)) else { return false };
        own != wanted && !(**name == "pid_for_children" && session.is_init(process))
    };
    let Some(name) = SHARED.iter().find(differs) else { return Ok(Vec::new()) };
    let name = name.trim_end_matches("_for_children");
    let article = if name == "ipc" { "an" } else { "a" };
    let object = format!("it runs in {article} {name} namespace of its own (a sandbox)");
    Ok(vec![Trouble::blocking(object, "close the application, or start it without its namespace sandbox")])
}
