//! A range of ids that nobody has yet, for a user to whom none is granted.

use std::fs::File;
use std::io::Read;
use std::ops::Range;

use crate::kernel::idmap::COUNT;

/// Where useradd(8) looks for ranges: SUB_UID_MIN and SUB_UID_MAX of login.defs(5), as they come.
const FIRST: u32 = 100_000;
const LAST: u32 = 600_100_000;

/// For how many sessions root is proposed ranges.
const SESSIONS: u32 = 64;

/// More than any of these tables has, in bytes.
const MAX_TABLE: u64 = 16 << 20;

/// The tables of one machine.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// /etc/subuid, subuid(5).
    pub subuid: String,
    /// /etc/subgid, subgid(5).
    pub subgid: String,
    /// /etc/passwd, passwd(5).
    pub passwd: String,
    /// /etc/group, group(5).
    pub group: String,
}

impl Tables {
    /// Those of this machine; one that cannot be read is empty.
    pub fn read() -> Self {
        let read = |file: &str| {
            let mut bytes = Vec::new();
            File::open(file).and_then(|file| file.take(MAX_TABLE).read_to_end(&mut bytes)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self {
            subuid: read("/etc/subuid"),
            subgid: read("/etc/subgid"),
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
        }
    }

    /// What is taken: ranges granted to anybody, as users or as groups, and the ids of users and groups themselves.
    pub fn taken(&self) -> Vec<Range<u32>> {
        let granted = [&self.subuid, &self.subgid].into_iter().flat_map(|table| table.lines()).filter_map(|line| {
            let mut fields = line.trim().split(':').skip(1);
            let first: u32 = fields.next()?.parse().ok()?;
            Some(first..first.saturating_add(fields.next()?.parse().ok()?))
        });
        // The third field of both tables is the id.
        let own = [&self.passwd, &self.group].into_iter().flat_map(|table| table.lines()).filter_map(|line| {
            let id: u32 = line.split(':').nth(2)?.parse().ok()?;
            Some(id..id.saturating_add(1))
        });
        granted.chain(own).collect()
    }

    /// The first id of the first range of `count` ids in which nothing is taken; none when there is no such range.
    pub fn free(&self, count: u32) -> Option<u32> {
        let mut taken = self.taken();
        taken.sort_unstable_by_key(|range| range.start);
        let mut first = FIRST;
        for range in taken {
            if range.start >= first.saturating_add(count) {
                break;
            }
            first = first.max(range.end);
        }
        (first.checked_add(count - 1)? <= LAST).then_some(first)
    }

    /// The command that grants a user a free range, for root.
    pub fn command(&self, user: &str) -> Option<String> {
        self.command_for(user, COUNT)
    }

    /// The command that grants root ranges for many sessions, for root.
    pub fn command_for_sessions(&self) -> Option<String> {
        self.command_for("root", COUNT * SESSIONS)
    }

    fn command_for(&self, user: &str, count: u32) -> Option<String> {
        let first = self.free(count)?;
        let range = format!("{first}-{}", first + (count - 1));
        Some(format!("usermod --add-subuids {range} --add-subgids {range} {user}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Issue 9, number 17: two users must not be given the same ids.
    #[test]
    fn each_user_is_proposed_a_range_that_no_other_has() {
        let mut tables = Tables::default();
        assert_eq!(
            tables.command("ann").unwrap(),
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann"
        );
        tables.subuid = "ann:100000:65536\n".into();
        assert_eq!(tables.free(COUNT), Some(165_536));
        // One that is granted for groups alone counts as well.
        tables.subgid = "# odd\nann:165536:65536\nbroken\n".into();
        assert_eq!(tables.free(COUNT), Some(231_072));
        tables.passwd = "root:x:0:0::/root:/bin/sh\nlarge:x:240000:240000::/:/bin/sh\n".into();
        assert_eq!(tables.free(COUNT), Some(240_001));
        tables.group = "large:x:300000:\n".into();
        assert_eq!(tables.free(COUNT), Some(300_001));
        tables.subuid = format!("greedy:0:{}\n", u32::MAX);
        assert_eq!((tables.free(COUNT), tables.command("ann")), (None, None));
    }

    #[test]
    fn a_gap_between_others_is_used_when_it_is_wide_enough() {
        let table = |second: u32| Tables { subuid: format!("a:100000:65536\nb:{second}:65536\n"), ..Tables::default() };
        assert_eq!(table(231_072).free(COUNT), Some(165_536));
        assert_eq!(table(231_071).free(COUNT), Some(296_607));
        assert_eq!(
            table(231_072).command_for_sessions().unwrap(),
            "usermod --add-subuids 296608-4490911 --add-subgids 296608-4490911 root"
        );
    }

    proptest! {
        #[test]
        fn what_is_proposed_overlaps_nothing(
            granted in proptest::collection::vec((0u32..2_000_000, 1u32..200_000), 0..30),
            users in proptest::collection::vec(0u32..2_000_000, 0..30),
        ) {
            let line = |(n, (first, count)): (usize, &(u32, u32))| format!("u{n}:{first}:{count}\n");
            let tables = Tables {
                subuid: granted.iter().enumerate().filter(|(n, _)| n % 2 == 0).map(line).collect(),
                subgid: granted.iter().enumerate().filter(|(n, _)| n % 2 == 1).map(line).collect(),
                passwd: users.iter().map(|id| format!("u:x:{id}:100::/:/bin/sh\n")).collect(),
                group: String::new(),
            };
            let first = tables.free(COUNT).unwrap();
            let ours = first..first + COUNT;
            for (start, count) in granted {
                prop_assert!(start + count <= ours.start || start >= ours.end);
            }
            for id in users {
                prop_assert!(!ours.contains(&id));
            }
        }
    }
}
