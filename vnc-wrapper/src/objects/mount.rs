//! The mounts that a process sees (proc_pid_mountinfo(5)), and those that the engine cannot save.

use std::fs;
use std::io;

use rustix::fs::{Dir, OFlags};

use super::{Session, Trouble};
use crate::container::inside;
use crate::container::processes::Process;

/// Types of file systems that the engine saves, or makes anew; overlays only where they are the session's own root.
const SAVED: [&str; 14] = [
    "autofs",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "debugfs",
    "devpts",
    "devtmpfs",
    "mqueue",
    "overlay",
    "proc",
    "securityfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

const UNMOUNT: &str = "unmount it (`sudo umount`), then save";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// Its number.
    pub(super) id: u32,
    /// Device number of its file system, as text.
    pub(crate) device: String,
    /// What of that file system is mounted.
    root: String,
    /// Where it is, as the process sees it.
    pub(crate) path: String,
    /// Type of its file system.
    pub(crate) kind: String,
}

/// All mounts that `process` sees; none once it has ended.
pub fn of(process: &Process) -> Vec<MountPoint> {
    fs::read_to_string(process.proc("mountinfo")).unwrap_or_default().lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<MountPoint> {
    let (left, right) = line.split_once(" - ")?;
    let fields: Vec<&str> = left.split(' ').collect();
    let text = |at: usize| fields.get(at).map(|field| (*field).to_owned());
    let kind = right.split(' ').next()?.to_owned();
    Some(MountPoint { id: fields.first()?.parse().ok()?, device: text(2)?, root: text(3)?, path: text(4)?, kind })
}

/// What is mounted in the session and cannot be saved, as a trouble of its first process.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if !session.is_init(process) {
        return Ok(Vec::new());
    }
    let all = of(process);
    let mut found: Vec<Trouble> = all.iter().filter(|m| !is_saved(m, &all)).map(unsaved).collect();
    found.extend(all.iter().filter(|m| is_second(m, &all)).map(bound));
    for queues in all.iter().filter(|m| m.kind == "mqueue") {
        for name in names(process, &queues.path).unwrap_or_default() {
            let object = format!("there is a message queue, /{name}");
            found.push(Trouble::blocking(object, "close the application that made it, or remove it from /dev/mqueue"));
        }
    }
    Ok(found)
}

/// Whether a part of the session's root file system is mounted once more. CRIU takes it for a mount of the outside, by a path
/// that a resumed session does not have.
fn is_second(mount: &MountPoint, all: &[MountPoint]) -> bool {
    mount.path != "/" && all.iter().any(|root| root.path == "/" && root.device == mount.device)
}

fn bound(mount: &MountPoint) -> Trouble {
    let object = format!("the session has a bind mount at {}, which could not be resumed", mount.path);
    Trouble::blocking(object, UNMOUNT)
}

/// The names in the directory that the session of `process` has at `path`.
fn names(process: &Process, path: &str) -> io::Result<Vec<String>> {
    let directory = inside::open_at(process.outside, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let names = Dir::new(directory)?.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    Ok(names.filter(|name| name != "." && name != "..").collect())
}

/// Devices that every session has are binds of the outside's device files, and are found again there.
fn is_saved(mount: &MountPoint, all: &[MountPoint]) -> bool {
    let root = all.iter().find(|m| m.path == "/");
    let own_device = mount.path.starts_with("/dev/");
    let own_root = || root.is_some_and(|root| root.device == mount.device);
    own_device || (SAVED.contains(&mount.kind.as_str()) && (mount.kind != "overlay" || own_root()))
}

fn unsaved(mount: &MountPoint) -> Trouble {
    let object = format!("a file system of the type {} is mounted on {}", mount.kind, mount.path);
    Trouble::blocking(object, UNMOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(device: &str, path: &str, kind: &str) -> MountPoint {
        MountPoint { id: 1, device: device.into(), root: "/".into(), path: path.into(), kind: kind.into() }
    }

    #[test]
    fn a_line_has_its_type_behind_the_dash() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        let (device, root, path) = ("98:0".into(), "/mnt1".into(), "/mnt2".into());
        let wanted = MountPoint { id: 36, device, root, path, kind: "ext3".into() };
        assert_eq!(parse(line), Some(wanted));
        assert_eq!(parse("36 35"), None);
    }

    #[test]
    fn only_the_sessions_own_overlay_is_saved() {
        let all = [mount("0:40", "/", "overlay"), mount("0:40", "/mnt", "overlay"), mount("0:41", "/var/x", "overlay")];
        assert!(is_saved(&all[1], &all) && !is_saved(&all[2], &all));
        assert!(is_saved(&mount("0:5", "/dev/null", "ext4"), &all) && is_saved(&mount("0:6", "/tmp", "tmpfs"), &all));
        assert!(
            !is_saved(&mount("0:7", "/mnt", "ramfs"), &all) && !is_saved(&mount("0:7", "/mnt", "fuse.sshfs"), &all)
        );
    }

    #[test]
    fn a_bind_mount_is_a_second_one_of_the_root() {
        let all = [mount("0:52", "/", "overlay"), mount("0:53", "/proc", "proc"), mount("0:52", "/mnt", "overlay")];
        let second: Vec<bool> = all.iter().map(|m| is_second(m, &all)).collect();
        assert_eq!(second, [false, false, true]);
    }
}
