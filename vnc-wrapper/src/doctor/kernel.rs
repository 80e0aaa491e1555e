//! The kernel and what it was built with.

use std::fs;
use std::path::Path;

use freezeframe_protocol::CheckItem;

use super::{good, lacking, needed_for};

/// The first kernel that has all that a session needs: overlayfs may be mounted in a user namespace since 5.11.
const FIRST: (u32, u32) = (5, 11);
/// Namespaces that a session has, by their names in /proc/PID/ns.
const NAMESPACES: [&str; 8] = ["user", "pid", "net", "ipc", "uts", "mnt", "cgroup", "time"];
/// The overlay's features that a save needs: without them, inotify watches cannot be dumped.
const OVERLAY_FEATURES: [&str; 2] = ["index", "nfs_export"];
/// Installs the kernel of the distribution.
const INSTALL_KERNEL: &str = "apt-get install linux-image-amd64 (linux-image-arm64 on ARM), then reboot";

pub(super) fn check() -> Vec<CheckItem> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let missing: Vec<&str> =
        NAMESPACES.into_iter().filter(|name| !Path::new("/proc/self/ns").join(name).exists()).collect();
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let parameters = Path::new("/sys/module/overlay/parameters");
    let features = OVERLAY_FEATURES.into_iter().filter(|name| parameters.join(name).exists()).collect::<Vec<_>>();
    vec![
        version(release.trim()),
        namespaces(&missing),
        overlay(&file_systems, parameters.exists().then_some(&features)),
    ]
}

fn version(release: &str) -> CheckItem {
    const NAME: &str = "kernel";
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or_default());
    let this = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if this >= FIRST {
        return good(NAME, format!("Linux {release}"));
    }
    let found = format!("Linux {release}; sessions need {}.{} or later", FIRST.0, FIRST.1);
    lacking(NAME, needed_for::START, found, INSTALL_KERNEL)
}

fn namespaces(missing: &[&str]) -> CheckItem {
    const NAME: &str = "namespaces";
    if missing.is_empty() {
        return good(NAME, format!("the kernel has {} namespaces", NAMESPACES.join(", ")));
    }
    let found = format!("the kernel was built without {} namespaces", missing.join(", "));
    lacking(NAME, needed_for::START, found, INSTALL_KERNEL)
}

/// `features`: those that the loaded module has; none when it is not loaded.
fn overlay(file_systems: &str, features: Option<&Vec<&str>>) -> CheckItem {
    const NAME: &str = "overlayfs";
    let known = file_systems.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    match features {
        _ if !known => lacking(
            NAME,
            needed_for::START,
            "the kernel does not know overlayfs, or has not loaded it",
            "modprobe overlay",
        ),
        Some(features) if features.len() < OVERLAY_FEATURES.len() => {
            let found = "overlayfs lacks the options index and nfs_export, without which file watches cannot be saved";
            lacking(NAME, needed_for::SAVE, found, INSTALL_KERNEL)
        }
        _ => good(NAME, "overlayfs is there, with index and nfs_export"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        assert!(version("6.18.44-fc").ok);
        assert!(version("5.11.0").ok);
        assert!(!version("5.9.0-1-amd64").ok);
        assert!(!version("").ok);
        assert_eq!(version("4.19.0").needed_for, "start");
    }

    #[test]
    fn a_missing_namespace_is_named() {
        assert!(namespaces(&[]).ok);
        assert!(namespaces(&["user", "cgroup"]).found.contains("user, cgroup"));
    }

    #[test]
    fn overlayfs_has_to_be_known_and_new_enough() {
        let both = OVERLAY_FEATURES.to_vec();
        assert!(overlay("nodev\toverlay\n", Some(&both)).ok);
        assert!(overlay("nodev\toverlay\n", None).ok, "built in, without parameters to look at");
        assert_eq!(overlay("nodev\tproc\n", None).remedy, "modprobe overlay");
        assert_eq!(overlay("nodev\toverlay\n", Some(&vec!["index"])).needed_for, "save");
    }
}
