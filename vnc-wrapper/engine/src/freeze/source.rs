//! Which processes are frozen.

use std::collections::BTreeMap;
use std::io;

use libc::pid_t;

/// Lists the processes to freeze. It is asked again and again while they fork.
pub trait Source {
    /// Their ids, as this process sees them.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&mut self) -> io::Result<Vec<pid_t>>;
}

impl<F: FnMut() -> io::Result<Vec<pid_t>>> Source for F {
    fn list(&mut self) -> io::Result<Vec<pid_t>> {
        self()
    }
}

/// `root` and all that descend from it, from one look through `/proc`. Orphans are found where `root` is a subreaper or the
/// first process of a pid namespace.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn descendants(root: pid_t) -> io::Result<Vec<pid_t>> {
    let mut children: BTreeMap<pid_t, Vec<pid_t>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some((_, parent)) = state(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

/// State letter and parent of a thread, from `stat`.
pub(super) fn state(tid: pid_t) -> Option<(char, pid_t)> {
    let stat = std::fs::read(format!("/proc/{tid}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The threads of a process; none when it is gone.
pub(crate) fn threads(pid: pid_t) -> Vec<pid_t> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
