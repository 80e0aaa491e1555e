//! User namespaces: whether this user may make them, and the ids in them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use freezeframe_protocol::{CheckItem, Failure};

use super::free_range::Tables;
use super::places::existing;
use super::{Who, good, lacking, needed_for};
use crate::container::ranges::{MOST, Pool};
use crate::kernel::idmap::{DEFAULT_FIRST, IdMap, IdMapError};
use crate::kernel::mounts;
use crate::kernel::userns::spawn_in_user_namespace;

/// Kernel settings that can forbid namespaces: the file below /proc/sys, whether it binds root too, the value that forbids
/// (below it everything forbids; none: this very value), and the value that allows.
const KNOBS: [Knob; 8] = [
    Knob { file: "user/max_user_namespaces", root_too: true, forbids: "0", allows: "15000" },
    Knob { file: "user/max_mnt_namespaces", root_too: true, forbids: "0", allows: "15000" },
    Knob { file: "user/max_pid_namespaces", root_too: true, forbids: "0", allows: "15000" },
    Knob { file: "user/max_net_namespaces", root_too: true, forbids: "0", allows: "15000" },
    Knob { file: "user/max_ipc_namespaces", root_too: true, forbids: "0", allows: "15000" },
    Knob { file: "user/max_uts_namespaces", root_too: true, forbids: "0", allows: "15000" },
    Knob { file: "kernel/unprivileged_userns_clone", root_too: false, forbids: "0", allows: "1" },
    Knob { file: "kernel/apparmor_restrict_unprivileged_userns", root_too: false, forbids: "1", allows: "0" },
];

struct Knob {
    file: &'static str,
    root_too: bool,
    forbids: &'static str,
    allows: &'static str,
}

pub(super) fn check(who: &Who, data: &Path) -> Vec<CheckItem> {
    let map = IdMap::for_current_user();
    let own = map.as_ref().ok().filter(|_| who.is_root()).map(|map| {
        let pool = Pool::of_this_machine(map.first_id());
        let first = pool.firsts.first().copied().unwrap_or(DEFAULT_FIRST);
        let shown = mounts::show_with_ids(&existing(data), &IdMap::of_mount(map.first_id(), first));
        of_each_session(&pool, shown.map(drop).map_err(|e| format!("{}: {e}", data.display())), &Tables::read())
    });
    let settings = settings(who, |file| fs::read_to_string(Path::new("/proc/sys").join(file)).ok());
    let tried = map.as_ref().ok().map(try_namespace);
    own.into_iter().chain([ranges(who, map), namespaces(settings, tried)]).collect()
}

/// Whether each session of root gets a range that no other has. `shown` tells whether files can be shown with its ids.
fn of_each_session(pool: &Pool, shown: Result<(), String>, tables: &Tables) -> CheckItem {
    const NAME: &str = "session-id-ranges";
    match (pool.firsts.len(), shown) {
        (0, _) => {
            let found = "root has one range of ids, which all its sessions share";
            // Without a grant it is root of a container, which has no more.
            let command = tables.command_for_sessions().filter(|_| pool.granted);
            lacking(NAME, needed_for::KEEPING_APART, found, command.unwrap_or_default())
        }
        (_, Err(error)) => {
            let found =
                format!("all sessions share one range of ids, since files cannot be shown with others: {error}");
            lacking(NAME, needed_for::KEEPING_APART, found, "")
        }
        (MOST.., Ok(())) => good(NAME, "each session has a range of ids that no other has"),
        (count, Ok(())) => good(NAME, format!("{count} sessions at a time have a range of ids that no other has")),
    }
}

/// Settings that forbid, as found and as they have to be.
fn settings(who: &Who, read: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let binding = KNOBS.iter().filter(|knob| knob.root_too || !who.is_root());
    let forbidding = binding.filter(|knob| read(knob.file).is_some_and(|value| value.trim() == knob.forbids));
    let key = |knob: &Knob| knob.file.replace('/', ".");
    forbidding.map(|k| (format!("{}={}", key(k), k.forbids), format!("{}={}", key(k), k.allows))).collect()
}

/// Makes a user namespace and runs `true` in it.
fn try_namespace(map: &IdMap) -> Result<(), String> {
    let mut command = Command::new("true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = spawn_in_user_namespace(map, &mut command).and_then(|mut child| child.wait());
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// `tried`: none when there are no ids to try it with.
fn namespaces(forbidden: Vec<(String, String)>, tried: Option<Result<(), String>>) -> CheckItem {
    const NAME: &str = "user-namespaces";
    if !forbidden.is_empty() {
        let (found, needed): (Vec<_>, Vec<_>) = forbidden.into_iter().unzip();
        let found = format!("forbidden by {}", found.join(" and "));
        return lacking(NAME, needed_for::START, found, format!("sysctl -w {}", needed.join(" ")));
    }
    match tried {
        Some(Ok(())) => good(NAME, "one was made and left again"),
        Some(Err(error)) if error.contains("package uidmap") => {
            lacking(NAME, needed_for::START, error, "apt-get install uidmap")
        }
        Some(Err(error)) => lacking(NAME, needed_for::START, format!("one cannot be made: {error}"), ""),
        None => lacking(NAME, needed_for::START, "none can be made without ranges of ids (id-ranges)", ""),
    }
}

fn ranges(who: &Who, map: Result<IdMap, IdMapError>) -> CheckItem {
    const NAME: &str = "id-ranges";
    match map {
        Ok(map) => {
            let first = map.uids.last().map_or(0, |range| range.outside);
            good(NAME, format!("sessions of {} have ids from {first} on", who.name))
        }
        Err(error) => {
            let Failure { message, hint, .. } = error.into();
            lacking(NAME, needed_for::START, message, hint.strip_prefix("as root: ").unwrap_or(&hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Who {
        Who { uid: 1000, name: "ann".into() }
    }

    fn root() -> Who {
        Who { uid: 0, name: "root".into() }
    }

    #[test]
    fn a_setting_that_forbids_is_told_with_the_command_that_allows() {
        let debian = |file: &str| (file == "kernel/unprivileged_userns_clone").then(|| "0\n".to_owned());
        let item = namespaces(settings(&ann(), debian), Some(Err("Operation not permitted".into())));
        assert_eq!(item.remedy, "sysctl -w kernel.unprivileged_userns_clone=1");
        assert!(settings(&root(), debian).is_empty(), "it does not bind root");
        let ubuntu = |file: &str| file.contains("apparmor").then(|| "1\n".to_owned());
        assert_eq!(settings(&ann(), ubuntu)[0].1, "kernel.apparmor_restrict_unprivileged_userns=0");
        let none = |file: &str| file.starts_with("user/").then(|| "0\n".to_owned());
        assert_eq!(settings(&root(), none).len(), 6);
        assert!(settings(&ann(), |_| Some("63000\n".into())).is_empty());
    }

    /// Issue 9, number 4.
    #[test]
    fn root_with_one_range_is_proposed_more() {
        let pool = |firsts: &[u32]| Pool { firsts: firsts.to_vec(), granted: true };
        let tables = Tables { subuid: "root:100000:65536\n".into(), ..Tables::default() };
        let item = of_each_session(&pool(&[]), Ok(()), &tables);
        assert_eq!(item.remedy, "usermod --add-subuids 165536-4359839 --add-subgids 165536-4359839 root");
        assert!(of_each_session(&pool(&[165_536]), Ok(()), &tables).found.starts_with("1 "));
        let item = of_each_session(&pool(&[165_536]), Err("/data: Invalid argument".into()), &tables);
        assert!(!item.ok && item.found.contains("/data") && item.remedy.is_empty(), "{item:?}");
        let item = of_each_session(&Pool::default(), Ok(()), &tables);
        assert!(!item.ok && item.remedy.is_empty(), "a container's root has what it has: {item:?}");
    }

    #[test]
    fn what_was_tried_counts() {
        assert!(namespaces(Vec::new(), Some(Ok(()))).ok);
        let item = namespaces(Vec::new(), Some(Err("newuidmap (package uidmap): not found".into())));
        assert_eq!(item.remedy, "apt-get install uidmap");
        assert!(!namespaces(Vec::new(), None).ok);
    }

    #[test]
    fn a_user_without_ranges_gets_the_command() {
        let error = IdMapError::NoRange { file: "/etc/subuid", user: "ann".into() };
        let item = ranges(&ann(), Err(error));
        assert!(item.remedy.starts_with("usermod --add-subuids"), "{item:?}");
        assert!(item.remedy.ends_with(" ann"), "{item:?}");
    }
}
