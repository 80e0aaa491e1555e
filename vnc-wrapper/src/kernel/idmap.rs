//! Which ids outside the ids of a session are (user_namespaces(7), subuid(5)).
//!
//! As root a session gets an id range of its own: nothing in it has an id that anything outside has. A normal user's
//! session has the user's own id as its root and the ranges that /etc/subuid and /etc/subgid grant for everybody else.

use std::io;
use std::path::Path;

use freezeframe_protocol::{Failure, error_name};

/// Ids that a session has.
pub const COUNT: u32 = 65536;

/// The range used by root where /etc/subuid grants it none: the last of those that systemd keeps for containers.
pub const DEFAULT_FIRST: u32 = 0x6FFF_0000;

/// More than /etc/subuid has, in bytes.
const MAX_TABLE: u64 = 16 << 20;

/// One line of /proc/PID/uid_map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The ids of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<Range>,
    /// Group ids.
    pub gids: Vec<Range>,
    /// Written by newuidmap and newgidmap rather than by ourselves.
    pub by_helper: bool,
}

/// Why there is no map.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdMapError {
    /// /etc/subuid or /etc/subgid grants too little.
    #[error("{file} grants {user} no range of {COUNT} ids")]
    NoRange {
        /// The file.
        file: &'static str,
        /// The user, by name.
        user: String,
    },
}

impl From<IdMapError> for Failure {
    fn from(error: IdMapError) -> Self {
        let IdMapError::NoRange { user, .. } = &error;
        let command = crate::doctor::free_range::Tables::read().command(user);
        let hint = match command {
            Some(command) => format!("as root: {command}"),
            None => format!("as root: make room in /etc/subuid and /etc/subgid, and grant {user} {COUNT} ids in each"),
        };
        Failure { name: error_name::MACHINE_LACKS.into(), message: error.to_string(), hint }
    }
}

impl IdMap {
    /// The map that sessions of the user who runs this program have.
    ///
    /// # Errors
    /// [`IdMapError::NoRange`] for a normal user without ranges.
    pub fn for_current_user() -> Result<Self, IdMapError> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let name = user_name(uid);
        let read = |file: &str| freezeframe_store::bounded::read_text(Path::new(file), MAX_TABLE).unwrap_or_default();
        Self::for_user(uid, gid, &name, &read("/etc/subuid"), &read("/etc/subgid"))
    }

    /// [`IdMap::for_current_user`] with everything it reads passed in.
    fn for_user(uid: u32, gid: u32, name: &str, subuid: &str, subgid: &str) -> Result<Self, IdMapError> {
        let granted = (granted_range(subuid, name, uid), granted_range(subgid, name, uid));
        if uid == 0 {
            let first = match granted {
                (Some(uids), Some(gids)) if uids == gids => uids,
                _ => DEFAULT_FIRST,
            };
            return Ok(Self::from_first(first));
        }
        let missing = |file| IdMapError::NoRange { file, user: name.to_owned() };
        let map = |own, first| {
            vec![Range { inside: 0, outside: own, count: 1 }, Range { inside: 1, outside: first, count: COUNT - 1 }]
        };
        Ok(Self {
            uids: map(uid, granted.0.ok_or_else(|| missing("/etc/subuid"))?),
            gids: map(gid, granted.1.ok_or_else(|| missing("/etc/subgid"))?),
            by_helper: true,
        })
    }

    /// The map of the user namespace that this process is in.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_this_namespace() -> io::Result<Self> {
        let read = |file: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/self").join(file))?;
            read_map(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("the {file} is {text:?}")))
        };
        Ok(Self { uids: read("uid_map")?, gids: read("gid_map")?, by_helper: false })
    }

    /// The map of a session whose ids are the [`COUNT`] from `first` on.
    pub fn from_first(first: u32) -> Self {
        let whole = vec![Range { inside: 0, outside: first, count: COUNT }];
        Self { uids: whole.clone(), gids: whole, by_helper: false }
    }

    /// For an idmapped mount ([`super::mounts::show_with_ids`]): files that have the ids from `on_disk` on are shown with those
    /// from `shown` on. Files of the host's root stay root's: an overlay makes its whiteouts and scratch as root.
    pub fn of_mount(on_disk: u32, shown: u32) -> Self {
        let root = Range { inside: 0, outside: 0, count: 1 };
        let ranges = vec![root, Range { inside: on_disk, outside: shown, count: COUNT }];
        Self { uids: ranges.clone(), gids: ranges, by_helper: false }
    }

    /// The map of a namespace within one that has this map: every id stays itself. Range by range, because the kernel
    /// takes none that crosses the ranges of the namespace around it.
    pub fn nested(&self) -> Self {
        let itself = |ranges: &[Range]| ranges.iter().map(|r| Range { outside: r.inside, ..*r }).collect();
        Self { uids: itself(&self.uids), gids: itself(&self.gids), by_helper: false }
    }

    /// First id of the range that makes up most of the map: what a base's files belong to depends on it.
    pub fn first_id(&self) -> u32 {
        self.uids.last().map_or(0, |range| range.outside)
    }

    /// The outside id of the user `inside`, if the map has it.
    pub fn outside_uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// The outside id of the group `inside`, if the map has it.
    pub fn outside_gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }
}

fn outside(ranges: &[Range], id: u32) -> Option<u32> {
    ranges.iter().find(|r| (r.inside..r.inside + r.count).contains(&id)).map(|r| r.outside + (id - r.inside))
}

/// The first id of the first range in `table` (subuid(5)) that is `name`'s or `uid`'s and large enough.
fn granted_range(table: &str, name: &str, uid: u32) -> Option<u32> {
    let number = uid.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        let fits = (owner == name || owner == number) && count >= COUNT && first.checked_add(COUNT).is_some();
        fits.then_some(first)
    })
}

/// The name of user `uid` in /etc/passwd, or the number where it has none.
pub fn user_name(uid: u32) -> String {
    nix::unistd::User::from_uid(uid.into()).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Text for /proc/PID/uid_map.
pub(super) fn map_text(ranges: &[Range]) -> String {
    ranges.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.count)).collect()
}

/// Reads /proc/PID/uid_map (user_namespaces(7)).
pub fn read_map(text: &str) -> Option<Vec<Range>> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|n| n.parse().ok());
        Some(Range { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
    };
    text.lines().map(range).collect()
}

/// `path` of process `pid` in /proc.
pub(super) fn proc_file(pid: u32, file: &str) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_range_of_its_own_even_where_none_is_granted() {
        let map = IdMap::for_user(0, 0, "root", "", "").unwrap();
        assert_eq!(map.uids, [Range { inside: 0, outside: DEFAULT_FIRST, count: COUNT }]);
        assert_eq!(map.outside_uid(1000), Some(DEFAULT_FIRST + 1000));
        assert_eq!(map.outside_uid(COUNT), None);
    }

    #[test]
    fn root_uses_a_granted_range_only_where_both_tables_agree() {
        let table = "root:200000:65536\n";
        assert_eq!(IdMap::for_user(0, 0, "root", table, table).unwrap().uids[0].outside, 200_000);
        assert_eq!(IdMap::for_user(0, 0, "root", table, "").unwrap().uids[0].outside, DEFAULT_FIRST);
    }

    #[test]
    fn an_id_map_is_read_whole_or_not_at_all() {
        let range = |inside, outside, count| Range { inside, outside, count };
        assert_eq!(read_map("  0  1000 1\n 1 100000 65535\n"), Some(vec![range(0, 1000, 1), range(1, 100_000, 65535)]));
        assert_eq!(read_map("0 0\n"), None);
    }

    #[test]
    fn a_mount_shows_one_range_as_another_and_root_as_root() {
        let map = IdMap::of_mount(DEFAULT_FIRST, 700_000);
        assert_eq!(map.uids, map.gids);
        let outside = |inside| map.outside_uid(inside);
        assert_eq!((outside(0), outside(DEFAULT_FIRST + 1000)), (Some(0), Some(701_000)));
        assert_eq!((outside(1), outside(DEFAULT_FIRST + COUNT)), (None, None));
    }

    #[test]
    fn a_normal_user_is_root_inside_and_needs_both_tables() {
        let table = "# comment\nbroken\nsmall:1:10\nann:100000:65536\n";
        let map = IdMap::for_user(1000, 1001, "ann", table, "1000:300000:70000\n").unwrap();
        assert_eq!(map.outside_uid(0), Some(1000));
        assert_eq!(map.outside_gid(0), Some(1001));
        assert_eq!(map.outside_uid(1000), Some(100_999));
        assert_eq!(map.outside_gid(1000), Some(300_999));
        let nested = map.nested();
        assert_eq!(
            nested.uids,
            [Range { inside: 0, outside: 0, count: 1 }, Range { inside: 1, outside: 1, count: COUNT - 1 }]
        );
        let error = IdMap::for_user(1000, 1000, "bob", table, table).unwrap_err();
        assert_eq!(error, IdMapError::NoRange { file: "/etc/subuid", user: "bob".into() });
    }
}
