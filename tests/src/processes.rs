//! Processes, as /proc shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid here.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its pids in each pid namespace from here inwards, its own the last.
    pub pids: Vec<i32>,
    /// `/proc/PID/comm`.
    pub name: String,
    /// The command line, with blanks between.
    pub command: String,
}

/// All processes of this machine, but for those that are dead and not waited for yet.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter_map(one).collect()
}

fn one(pid: i32) -> Option<Process> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(directory.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if field("State")?.starts_with('Z') {
        return None;
    }
    let command = fs::read(directory.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    Some(Process {
        pid,
        parent: field("PPid")?.parse().ok()?,
        pids: field("NSpid")?.split_whitespace().filter_map(|p| p.parse().ok()).collect(),
        name: field("Name")?.to_owned(),
        command,
    })
}

/// The processes of a session by their pids inside, given its supervisor: all that descend from it and are in a pid
/// namespace below its own.
pub fn inside(supervisor: i32) -> BTreeMap<i32, Process> {
    let all = all();
    let Some(depth) = all.iter().find(|p| p.pid == supervisor).map(|p| p.pids.len()) else { return BTreeMap::new() };
    let mut family = BTreeSet::from([supervisor]);
    loop {
        let children: Vec<i32> =
            all.iter().filter(|p| family.contains(&p.parent) && !family.contains(&p.pid)).map(|p| p.pid).collect();
        if children.is_empty() {
            break;
        }
        family.extend(children);
    }
    let members = all.into_iter().filter(|p| family.contains(&p.pid) && p.pids.len() > depth);
    members.filter_map(|p| Some((*p.pids.last()?, p))).collect()
}
