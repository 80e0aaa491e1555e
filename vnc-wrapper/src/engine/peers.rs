//! Who the processes of a session are, for the Unix sockets that a resume makes for them (SO_PEERCRED; our plugin's
//! `vnc-wrapper/plugin/peers.rs`): CRIU makes them before the processes are that again.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::container::processes::{Process, has_ended};

/// A process that is not the session's root. All ids are as the session sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    process: u32,
    /// Effective ids.
    user: u32,
    group: u32,
    /// Its further groups.
    groups: Vec<u32>,
}

/// Those of these processes.
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn all(processes: &[Process]) -> io::Result<Vec<Person>> {
    let mut all = Vec::new();
    for process in processes.iter().filter(|p| p.state != 'Z') {
        let read = |file| fs::read_to_string(process.proc(file));
        let texts = (|| Ok((read("status")?, read("uid_map")?, read("gid_map")?)))();
        match texts {
            Ok((status, users, groups)) => all.extend(person(process.inside, &status, &users, &groups)),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// From /proc/PID/status and the maps of its user namespace, which are as we see them.
fn person(process: u32, status: &str, users: &str, groups: &str) -> Option<Person> {
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.into_iter().flat_map(str::split_whitespace).filter_map(|n| n.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    let effective = |ids: &[u32]| ids.get(1).copied();
    let person = Person {
        process,
        user: inside(users, effective(&field("Uid"))?)?,
        group: inside(groups, effective(&field("Gid"))?)?,
        groups: field("Groups").into_iter().filter_map(|id| inside(groups, id)).collect(),
    };
    ((person.user, person.group) != (0, 0) || !person.groups.is_empty()).then_some(person)
}

/// The id that the outside's `id` is in a session (user_namespaces(7)).
fn inside(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().filter_map(|n| n.parse::<u32>().ok());
        let (inside, outside, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let from_first = id.checked_sub(outside).filter(|n| *n < count)?;
        inside.checked_add(from_first)
    })
}

/// As the plugin reads them.
pub(super) fn encode(people: &[Person]) -> Vec<u8> {
    let words = people.iter().flat_map(|person| {
        let count = u32::try_from(person.groups.len()).unwrap_or_default();
        let groups = person.groups.iter().copied();
        [person.process, person.user, person.group, count].into_iter().chain(groups)
    });
    words.flat_map(u32::to_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_the_session_sees_them() {
        let status = "Uid:\t100\t101000\t100\t100\nGid:\t5\t101001\t5\t5\nGroups:\t101002 7 \n";
        let map = "         0     100000      65536\n";
        let found = person(9, status, map, map).unwrap();
        assert_eq!(found, Person { process: 9, user: 1000, group: 1001, groups: vec![1002] });
        let words: Vec<u8> = [9u32, 1000, 1001, 1, 1002].into_iter().flat_map(u32::to_ne_bytes).collect();
        assert_eq!(encode(&[found]), words);
        assert_eq!(inside("0 1000 1\n1 100000 65535\n", 100_999), Some(1000));
        assert_eq!(inside("0 1000 1\n", 1001), None);
    }

    #[test]
    fn the_sessions_root_is_nobody_else() {
        let status = "Uid:\t100000\t100000\t1\t1\nGid:\t100000\t100000\t1\t1\nGroups:\t\n";
        assert_eq!(person(1, status, "0 100000 65536\n", "0 100000 65536\n"), None);
        assert_eq!(person(1, "", "", ""), None);
    }
}
