//! Whether what an engine restored is what was asked for. Its images may come from somebody else, and the engine believes
//! them: an id map that was changed in them would make the session's root the host's.
//!
//! This is looked at while every process is stopped. The supervisor is process 1 of its pid namespace and has a root that
//! holds little of the host ([`crate::kernel::own_root`]); what a session must not have is compared with that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::processes::{self, Process};
use crate::kernel::idmap::{IdMap, read_map};
use crate::kernel::namespaces;

/// Namespaces in which all processes of a session are (namespaces(7)); an engine saves none below them.
const COMMON: [&str; 4] = ["user", "pid", "ipc", "uts"];
/// Those of which a session may have more, each its own.
const OWN: [&str; 3] = ["mnt", "net", "time"];
/// File systems that are the session's alone where it mounts them; all but the overlay can be mounted by root of a user
/// namespace, and none of them shows anything of a disk.
const OWN_FILE_SYSTEMS: [&str; 6] = ["devpts", "mqueue", "proc", "ramfs", "sysfs", "tmpfs"];
/// Files of a process that are looked at, beside its descriptors (proc_pid(5)).
const FILES: [&str; 3] = ["root", "cwd", "exe"];

/// What a restored session has to have.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The ids of its user namespace.
    pub map: &'a IdMap,
    /// Where its root is mounted, in the supervisor's mounts.
    pub root: &'a Path,
    /// Names in /dev that it may have of the supervisor's.
    pub devices: &'a [&'a str],
}

/// What is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Unexpected {
    /// It cannot be seen.
    #[error("what was restored cannot be looked at: {0}")]
    Unseen(#[from] io::Error),
    /// It is something else.
    #[error(
        "the snapshot would give the session what it must not have ({0}); everything of it was killed before it ran"
    )]
    Foreign(String),
}

fn foreign<T>(what: impl Into<String>) -> Result<T, Unexpected> {
    Err(Unexpected::Foreign(what.into()))
}

/// Looks at the namespaces and id maps of the session's `init`, as soon as they are there.
///
/// # Errors
/// [`Unexpected::Foreign`] when they are not what was asked for.
pub fn check_namespaces(init: u32, map: &IdMap) -> Result<(), Unexpected> {
    let own = std::process::id();
    for kind in COMMON.into_iter().chain(["mnt", "net"]) {
        if namespaces::identity(init, kind)? == namespaces::identity(own, kind)? {
            return foreign(format!("the host's {kind} namespace"));
        }
    }
    if namespaces::parent_of_user(init)? != namespaces::identity(own, "user")? {
        return foreign("a user namespace within another one");
    }
    for (file, asked) in [("uid_map", &map.uids), ("gid_map", &map.gids)] {
        let text = fs::read_to_string(format!("/proc/{init}/{file}"))?;
        if read_map(&text).as_deref() != Some(asked) {
            let found = text.split_whitespace().collect::<Vec<_>>().join(" ");
            return foreign(format!("the {file} {found:?}, which is not its own"));
        }
    }
    Ok(())
}

/// Looks at every process of the session of `init`, all of which are stopped.
///
/// # Errors
/// [`Unexpected::Foreign`] when anything is not what was asked for.
pub fn check(init: u32, expected: &Expected<'_>) -> Result<(), Unexpected> {
    check_namespaces(init, expected.map)?;
    let user = namespaces::identity(init, "user")?;
    let host = Host::look(expected)?;
    let mut seen = BTreeSet::new();
    for process in processes::list(init)? {
        let Some(thread) = process.live_thread()? else { continue };
        match check_thread(init, user, thread, &process, &host, &mut seen) {
            // It has ended since it was listed, and can do nothing any more.
            Err(Unexpected::Unseen(error))
                if processes::has_ended(&error) && process.live_thread()? != Some(thread) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Looks at one thread for all of its process: an engine restores no threads that have namespaces apart. `seen` are the mount
/// namespaces that were looked at.
fn check_thread(
    init: u32,
    user: (u64, u64),
    thread: u32,
    process: &Process,
    host: &Host,
    seen: &mut BTreeSet<(u64, u64)>,
) -> Result<(), Unexpected> {
    for kind in COMMON {
        if namespaces::identity(thread, kind)? != namespaces::identity(init, kind)? {
            return foreign(format!("{} in another {kind} namespace", process.name));
        }
    }
    for kind in OWN {
        let found = namespaces::identity(thread, kind)?;
        if namespaces::owner(thread, kind)? != user && !(kind == "time" && is_ours(kind, found)?) {
            return foreign(format!("{} in a {kind} namespace that is not the session's", process.name));
        }
    }
    let cgroup = namespaces::identity(thread, "cgroup")?;
    if !is_ours("cgroup", cgroup)? && namespaces::owner(thread, "cgroup")? != user {
        return foreign(format!("{} in a cgroup namespace that is not the session's", process.name));
    }
    if seen.insert(namespaces::identity(thread, "mnt")?) {
        let table = fs::read_to_string(format!("/proc/{thread}/mountinfo"))?;
        host.judge(&table).or_else(|what| foreign(format!("{}: {what}", process.name)))?;
    }
    Ok(())
}

/// Looks at what every process of the session of `init` has open, once the engine has closed what it had open in them.
///
/// # Errors
/// [`Unexpected::Foreign`] when it is something of the host's.
pub fn check_open(init: u32, expected: &Expected<'_>) -> Result<(), Unexpected> {
    let host = Host::look(expected)?;
    for process in processes::list(init)? {
        let Some(thread) = process.live_thread()? else { continue };
        match check_files(thread, &process, &host) {
            Err(Unexpected::Unseen(error))
                if processes::has_ended(&error) && process.live_thread()? != Some(thread) => {}
            other => other?,
        }
    }
    Ok(())
}

fn is_ours(kind: &str, found: (u64, u64)) -> io::Result<bool> {
    Ok(found == namespaces::identity(std::process::id(), kind)?)
}

/// No file that the process has open lies on a mount of the supervisor's.
fn check_files(thread: u32, process: &Process, host: &Host) -> Result<(), Unexpected> {
    let directory = Path::new("/proc").join(thread.to_string());
    let mut paths: Vec<_> = FILES.iter().map(|name| directory.join(name)).collect();
    for entry in fs::read_dir(directory.join("fd"))? {
        paths.push(entry?.path());
    }
    for path in paths {
        let found = match statx(CWD, &path, AtFlags::empty(), StatxFlags::MNT_ID) {
            // A kernel thread or a process that has ended and is not waited for has none.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => continue,
            other => other.map_err(io::Error::from)?,
        };
        if host.mounts.contains(&found.stx_mnt_id) {
            let shown = fs::read_link(&path).unwrap_or_default();
            return foreign(format!("{} with {} of the host", process.name, shown.display()));
        }
    }
    Ok(())
}

/// What of the host a session could be given: the file systems and mounts of the supervisor.
#[derive(Debug, Default)]
struct Host {
    /// Devices (major:minor) of its file systems, by which the same one is known in any mount namespace.
    file_systems: BTreeSet<String>,
    /// Ids of its mounts, but for the session's root.
    mounts: BTreeSet<u64>,
    /// The device of the session's root.
    root: String,
    /// The device and the path within it of each device node that sessions have.
    devices: BTreeSet<(String, String)>,
}

impl Host {
    fn look(expected: &Expected<'_>) -> Result<Self, Unexpected> {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        // As the kernel shows it: the data directory may be reached through a link.
        let root = fs::canonicalize(expected.root)?;
        let expected = Expected { map: expected.map, root: &root, devices: expected.devices };
        Self::read(&table, &expected).ok_or_else(|| io::Error::other("the session's root is not mounted").into())
    }

    fn read(table: &str, expected: &Expected<'_>) -> Option<Self> {
        let mut host = Self::default();
        let mut points = BTreeMap::new();
        for line in table.lines().filter_map(Line::parse) {
            if Path::new(&line.point) == expected.root {
                host.root = line.device;
                continue;
            }
            host.mounts.insert(line.id);
            host.file_systems.insert(line.device.clone());
            points.insert(line.point.clone(), line);
        }
        for name in expected.devices {
            // A node of its own in the supervisor's /dev, or one of the host's that is bound there.
            if let Some(bound) = points.get(&format!("/dev/{name}")) {
                host.devices.insert((bound.device.clone(), bound.root.clone()));
            } else if let Some(own) = points.get("/dev") {
                host.devices.insert((own.device.clone(), format!("/{name}")));
            }
        }
        (!host.root.is_empty()).then_some(host)
    }

    /// Judges the mounts of a process of the session.
    fn judge(&self, table: &str) -> Result<(), String> {
        let mut has_root = false;
        for text in table.lines() {
            let line = Line::parse(text).ok_or_else(|| format!("a mount that cannot be read: {text}"))?;
            let shown = format!("{} ({}) at {}", line.kind, line.root, line.point);
            if line.device == self.root {
                has_root |= line.point == "/";
            } else if self.devices.contains(&(line.device.clone(), line.root.clone())) {
                // A device node.
            } else if self.file_systems.contains(&line.device) {
                return Err(format!("a mount of the host's {shown}"));
            } else if !OWN_FILE_SYSTEMS.contains(&&*line.kind) {
                return Err(format!("a mount of {shown}"));
            }
        }
        if has_root { Ok(()) } else { Err("a root that is not its layer".to_owned()) }
    }
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug)]
struct Line {
    id: u64,
    device: String,
    root: String,
    point: String,
    kind: String,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.split_once(" - ")?;
        let mut fields = before.split(' ');
        let id = fields.next()?.parse().ok()?;
        let device = fields.nth(1)?.to_owned();
        let (root, point) = (fields.next()?.to_owned(), unescape(fields.next()?));
        Some(Self { id, device, root, point, kind: after.split(' ').next()?.to_owned() })
    }
}

/// Blanks and backslashes in paths are written as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPERVISOR: &str = "\
        138 116 0:50 / / rw - tmpfs tmpfs rw\n\
        139 138 254:0 /etc /etc rw - ext4 /dev/vda rw\n\
        140 138 0:22 / /sys rw - sysfs sysfs rw\n\
        158 138 0:52 / /dev rw - tmpfs tmpfs rw\n\
        119 156 0:53 / /data\\040of/root rw - overlay freezeframe rw\n";
    const SESSION: &str = "\
        201 200 0:53 / / rw - overlay freezeframe rw\n\
        202 201 0:60 / /proc rw - proc proc rw\n\
        203 201 0:61 / /dev rw - tmpfs tmpfs rw\n\
        204 203 0:52 /null /dev/null rw - tmpfs tmpfs rw\n";

    fn host() -> Host {
        let map = IdMap { uids: Vec::new(), gids: Vec::new(), by_helper: false };
        let expected = Expected { map: &map, root: Path::new("/data of/root"), devices: &["null", "zero"] };
        Host::read(SUPERVISOR, &expected).unwrap()
    }

    #[test]
    fn a_session_has_its_layer_its_own_file_systems_and_its_devices() {
        assert_eq!(host().judge(SESSION), Ok(()));
        assert!(!host().mounts.contains(&119), "its root is its own");
    }

    #[test]
    fn a_mount_of_the_host_is_seen() {
        for (mount, why) in [
            ("205 201 254:0 /etc/passwd /etc/passwd rw - ext4 /dev/vda rw\n", "of the host"),
            ("205 201 0:22 / /sys rw - sysfs sysfs rw\n", "of the host"),
            ("205 203 0:52 / /mnt rw - tmpfs tmpfs rw\n", "of the host"),
            ("205 203 8:1 / /mnt rw - ext4 /dev/sda1 rw\n", "ext4"),
            ("205 203 0:99 / /mnt rw - overlay x rw,lowerdir=/etc\n", "overlay"),
            ("not a mount\n", "cannot be read"),
        ] {
            let problem = host().judge(&format!("{SESSION}{mount}")).unwrap_err();
            assert!(problem.contains(why), "{problem}");
        }
        assert!(host().judge("202 201 0:60 / / rw - tmpfs tmpfs rw\n").is_err(), "another root");
    }
}
