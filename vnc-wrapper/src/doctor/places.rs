//! The directories that Freezeframe works in: their room, their file systems, their owners.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use freezeframe_protocol::{CheckItem, display_socket, session_runtime_dir};
use freezeframe_store::id::MAX_NAME;

use super::{Who, good, lacking, needed_for};

/// Below this much room it is told: a base takes one to two of it, and a snapshot of a large desktop more than one.
const WANTED: u64 = 5 << 30;
/// Below this much room not even a small desktop can be saved.
const LEAST: u64 = 256 << 20;
/// File systems that can hold a session's layer: they have file handles, extended attributes and whiteouts.
const FITTING: [&str; 5] = ["ext4", "xfs", "btrfs", "f2fs", "bcachefs"];
/// Longest path of a Unix socket (unix(7)), without its final zero.
const MAX_SOCKET: usize = 107;

pub(super) fn check(who: &Who, data: &Path, runtime: &Path) -> Vec<CheckItem> {
    let there = existing(data);
    let free = rustix::fs::statvfs(&there).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = fs::canonicalize(&there).unwrap_or(there);
    vec![disk_space(data, free), file_system(data, kind_of_mount(&mounts, &real)), runtime_directory(who, runtime)]
}

/// `path`, or the nearest directory above it that is there.
pub(super) fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn disk_space(data: &Path, free: Option<u64>) -> CheckItem {
    const NAME: &str = "disk-space";
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    match free {
        Some(free) if free >= WANTED => good(NAME, format!("{:.1} GiB free in {}", gibibytes(free), data.display())),
        Some(free) => {
            let found = format!("only {:.1} GiB free in {}; make room", gibibytes(free), data.display());
            lacking(NAME, if free < LEAST { needed_for::SAVE } else { needed_for::LARGE_DESKTOPS }, found, "")
        }
        None => lacking(NAME, needed_for::SAVE, format!("the room in {} cannot be told", data.display()), ""),
    }
}

fn file_system(data: &Path, kind: Option<String>) -> CheckItem {
    const NAME: &str = "file-system";
    match kind {
        Some(kind) if FITTING.contains(&kind.as_str()) => good(NAME, format!("{} is on {kind}", data.display())),
        Some(kind) => {
            let found = format!("{} is on {kind}; sessions need ext4, xfs or btrfs", data.display());
            lacking(
                NAME,
                needed_for::START,
                found,
                "export XDG_DATA_HOME=DIRECTORY, one on a disk with ext4, xfs or btrfs",
            )
        }
        None => lacking(NAME, needed_for::START, format!("the file system of {} cannot be told", data.display()), ""),
    }
}

/// The kind of file system that `path` is on, by the table of mounts (proc(5), /proc/PID/mountinfo).
fn kind_of_mount(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (front, behind) = line.split_once(" - ")?;
        let point = unescaped(front.split(' ').nth(4)?);
        path.starts_with(&point).then(|| (point.as_os_str().len(), behind.split(' ').next().map(str::to_owned)))
    };
    // The last one of the longest: it lies on top.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).and_then(|(_, kind)| kind)
}

/// A path of that table: blanks and the like are written as `\040`.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let code = (*first == b'\\').then_some(digits).flatten().and_then(|d| u8::from_str_radix(d, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

fn runtime_directory(who: &Who, runtime: &Path) -> CheckItem {
    const NAME: &str = "runtime-directory";
    let shown = runtime.display();
    let longest = display_socket(&session_runtime_dir(runtime, &"x".repeat(MAX_NAME)));
    if longest.as_os_str().len() > MAX_SOCKET {
        let found = format!("{shown} is too long for the sockets in it");
        return lacking(NAME, needed_for::START, found, format!("export XDG_RUNTIME_DIR=/run/user/{}", who.uid));
    }
    let make = || format!("install -d -m 700 -o {} {shown}", who.name);
    match fs::symlink_metadata(runtime) {
        Ok(there) if there.is_dir() && there.uid() == who.uid && there.mode() & 0o077 == 0 => {
            good(NAME, format!("{shown} is private to {}", who.name))
        }
        Ok(there) if there.is_dir() && there.uid() == who.uid => {
            lacking(NAME, needed_for::START, format!("{shown} is open to others"), format!("chmod 700 {shown}"))
        }
        Ok(_) => lacking(NAME, needed_for::START, format!("{shown} is not a directory of {}", who.name), make()),
        // Root may make it; anybody else gets it from their login.
        Err(_) if who.is_root() => good(NAME, format!("{shown} is made when it is needed")),
        Err(error) => lacking(NAME, needed_for::START, format!("{shown} cannot be used: {error}"), make()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const MOUNTS: &str = "25 1 254:0 / / rw - ext4 /dev/vda rw\n30 25 0:22 / /run rw shared:1 - tmpfs tmpfs rw\n\
        31 25 0:23 / /mnt/my\\040disk rw - nfs4 host:/x rw\n32 25 0:24 / /run rw - overlay overlay rw\n";

    #[test]
    fn the_mount_that_a_path_is_on_is_the_nearest_and_the_last() {
        let kind = |path: &str| kind_of_mount(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(kind("/root/.local/share"), "ext4");
        assert_eq!(kind("/mnt/my disk/x"), "nfs4");
        assert_eq!(kind("/mnt/my diskette"), "ext4");
        assert_eq!(kind("/run/user"), "overlay");
    }

    #[test]
    fn layers_need_a_real_disk() {
        let data = Path::new("/d");
        assert!(file_system(data, Some("btrfs".into())).ok);
        for kind in ["overlay", "tmpfs", "nfs4", "fuse.sshfs"] {
            let item = file_system(data, Some(kind.into()));
            assert!(!item.ok && item.found.contains(kind), "{item:?}");
        }
    }

    #[test]
    fn little_room_is_told() {
        assert!(disk_space(Path::new("/d"), Some(WANTED)).ok);
        let item = disk_space(Path::new("/d"), Some(3 << 29));
        assert!(!item.ok && item.found.contains("1.5 GiB"), "{item:?}");
        // It forbids nothing yet.
        assert_eq!(item.needed_for, "large desktops");
        assert_eq!(disk_space(Path::new("/d"), Some(LEAST - 1)).needed_for, "save");
    }

    #[test]
    fn sockets_need_a_short_and_private_directory() {
        let directory = tempfile::tempdir().unwrap();
        let who = Who::current();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(runtime_directory(&who, directory.path()).remedy.starts_with("chmod 700"));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(runtime_directory(&who, directory.path()).ok);
        assert!(runtime_directory(&who, &directory.path().join("x".repeat(80))).found.contains("too long"));
        let other = Who { uid: who.uid + 1, name: "ann".into() };
        assert!(!runtime_directory(&other, directory.path()).ok);
    }
}
