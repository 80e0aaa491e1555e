//! An id range for every session of root: no two that run at the same time have an id in common.
//!
//! Files of bases and layers keep their ids on disk, whichever range a session has; idmapped mounts show the one in place of the
//! other ([`crate::kernel::mounts::show_with_ids`]). A normal user's sessions share the user's range: only root may have such
//! mounts of a disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use crate::doctor::free_range::Tables;
use crate::kernel::idmap::{COUNT, DEFAULT_FIRST, read_map};

/// Where ranges are taken, for all of root's agents on this machine. Root alone can write there.
const DIRECTORY: &str = "/run/freezeframe";
/// The file in it; which ids are taken is in its locks alone, so that nothing is left of a session that was killed.
const REGISTRY: &str = "id-ranges";

/// What systemd keeps for containers begins there (systemd.io/UIDS-GIDS); [`DEFAULT_FIRST`] is the last of it.
const CONTAINERS_FIRST: u32 = 0x0008_0000;
/// More ranges are not looked at: more sessions do not run on one machine.
pub const MOST: usize = 1024;

/// A range of [`COUNT`] ids that no other session has for as long as this, or a copy of it in a child, lives.
#[derive(Debug)]
pub struct OwnRange {
    first: u32,
    /// With the lock on the bytes whose numbers are the ids (fcntl_locking(2), open file description locks).
    _taken: File,
}

impl OwnRange {
    /// Takes a range that is free; none where root has no more than the one at `on_disk`, which files belong to, or all others
    /// are taken.
    ///
    /// # Errors
    /// When the machine's registry cannot be used.
    pub fn take(on_disk: u32) -> io::Result<Option<Self>> {
        Self::take_of(&Pool::of_this_machine(on_disk), &open_registry(Path::new(DIRECTORY))?)
    }

    fn take_of(pool: &Pool, registry: &File) -> io::Result<Option<Self>> {
        for &first in &pool.firsts {
            // A file description of its own: copies of one would not keep each other out.
            let taken = reopen(registry)?;
            if lock(&taken, first)? {
                return Ok(Some(Self { first, _taken: taken }));
            }
        }
        Ok(None)
    }

    /// Its first id.
    pub fn first(&self) -> u32 {
        self.first
    }
}

fn reopen(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Locks the bytes of the range from `first` on; false when somebody has one of them.
fn lock(file: &File, first: u32) -> io::Result<bool> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: first.into(),
        l_len: COUNT.into(),
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open_registry(directory: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let there = fs::symlink_metadata(directory)?;
    if !there.is_dir() || there.uid() != rustix::process::geteuid().as_raw() || there.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!("{} is not a directory of root alone", directory.display())));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(directory.join(REGISTRY))
}

/// The ranges that sessions of root can be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// The first id of each, in the order in which they are tried.
    pub firsts: Vec<u32>,
    /// Whether they are those that /etc/subuid and /etc/subgid grant to root.
    pub granted: bool,
}

impl Pool {
    /// Those of this machine without the one at `on_disk`.
    pub fn of_this_machine(on_disk: u32) -> Self {
        // In a container root itself may have few ids.
        let ours = |file| fs::read_to_string(file).ok().and_then(|text| read_map(&text)).unwrap_or_default();
        let have = |file| ours(file).iter().map(|r| r.inside..r.inside.saturating_add(r.count)).collect::<Vec<_>>();
        Self::from(&Tables::read(), &[have("/proc/self/uid_map"), have("/proc/self/gid_map")], on_disk)
    }

    /// What root is granted, as users and as groups alike. Where that is nothing, what systemd keeps for containers and nobody
    /// else is granted, from its end on. `there` are the ids that root has at all, of users and of groups.
    fn from(tables: &Tables, there: &[Vec<Range<u32>>; 2], on_disk: u32) -> Self {
        let [users, groups] = [&tables.subuid, &tables.subgid].map(|table| ranges_of_root(table));
        let both = users.iter().flat_map(|a| groups.iter().map(|b| a.start.max(b.start)..a.end.min(b.end)));
        let mut granted: Vec<u32> = both.flat_map(|both| firsts(&both)).collect();
        granted.sort_unstable();
        granted.dedup_by(|next, before| *next < before.saturating_add(COUNT));
        let is_granted = !granted.is_empty();
        let overlaps = |first: u32, range: &Range<u32>| range.start < first.saturating_add(COUNT) && first < range.end;
        let taken = if is_granted { Vec::new() } else { tables.taken() };
        let containers = || firsts(&(CONTAINERS_FIRST..DEFAULT_FIRST)).collect::<Vec<_>>().into_iter().rev();
        let all: Box<dyn Iterator<Item = u32>> =
            if is_granted { Box::new(granted.into_iter()) } else { Box::new(containers()) };
        let exists =
            |first: u32| there.iter().all(|have| have.iter().any(|r| r.start <= first && first + (COUNT - 1) < r.end));
        let free = all.filter(|first| {
            !overlaps(*first, &(on_disk..on_disk.saturating_add(COUNT)))
                && !taken.iter().any(|range| overlaps(*first, range))
                && exists(*first)
        });
        Self { firsts: free.take(MOST).collect(), granted: is_granted }
    }
}

/// The first ids of the whole ranges that fit into `range`; never one with root's own id.
fn firsts(range: &Range<u32>) -> impl Iterator<Item = u32> + use<> {
    let end = range.end;
    (range.start.max(1)..end)
        .step_by(COUNT as usize)
        .filter(move |first| first.checked_add(COUNT).is_some_and(|next| next <= end))
}

/// What a table of subuid(5) grants to root.
fn ranges_of_root(table: &str) -> Vec<Range<u32>> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let is_root = matches!(fields.next()?, "root" | "0");
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        is_root.then(|| first..first.saturating_add(count))
    };
    table.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all_below(end: u32) -> [Vec<Range<u32>>; 2] {
        [end; 2].map(|end| std::iter::once(0..end).collect())
    }

    fn everything() -> [Vec<Range<u32>>; 2] {
        all_below(u32::MAX)
    }

    fn granted(lines: &str) -> Tables {
        Tables { subuid: lines.into(), subgid: lines.into(), ..Tables::default() }
    }

    #[test]
    fn root_without_a_grant_has_what_is_kept_for_containers_but_what_others_have() {
        let pool = Pool::from(&granted("ann:100000:65536\nincus:1000000:2000000000\n"), &everything(), DEFAULT_FIRST);
        assert!(!pool.granted);
        assert_eq!(pool.firsts, [0xe_0000, 0xd_0000, 0xc_0000, 0xb_0000, 0xa_0000, 0x9_0000, 0x8_0000]);
        let pool = Pool::from(&Tables::default(), &everything(), DEFAULT_FIRST);
        assert_eq!((pool.firsts.len(), pool.firsts[0]), (MOST, DEFAULT_FIRST - COUNT));
    }

    #[test]
    fn a_grant_of_one_range_leaves_none_for_sessions() {
        let pool = Pool::from(&granted("root:100000:65536\n"), &everything(), 100_000);
        assert_eq!(pool, Pool { firsts: Vec::new(), granted: true });
    }

    #[test]
    fn a_larger_grant_is_cut_into_ranges() {
        let pool = Pool::from(&granted("root:100000:200000\n0:500000:65536\n"), &everything(), 100_000);
        assert_eq!(pool.firsts, [165_536, 231_072, 500_000]);
        // As users and as groups.
        let tables =
            Tables { subuid: "root:100000:300000\n".into(), subgid: "root:165536:65536\n".into(), ..Tables::default() };
        assert_eq!(Pool::from(&tables, &everything(), 100_000).firsts, [165_536]);
    }

    #[test]
    fn root_of_a_container_has_only_the_ids_of_that() {
        let few = all_below(65536);
        assert!(Pool::from(&Tables::default(), &few, DEFAULT_FIRST).firsts.is_empty());
    }

    /// Issue 9, number 4.
    #[test]
    fn two_sessions_never_have_an_id_in_common_and_a_dead_one_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let registry = open_registry(&directory.path().join("registry")).unwrap();
        // The second overlaps the first.
        let pool = Pool { firsts: vec![100_000, 130_000, 200_000], granted: true };
        let one = OwnRange::take_of(&pool, &registry).unwrap().unwrap();
        let two = OwnRange::take_of(&pool, &registry).unwrap().unwrap();
        assert_eq!((one.first(), two.first()), (100_000, 200_000));
        assert!(OwnRange::take_of(&pool, &registry).unwrap().is_none(), "nothing is left");
        drop(one);
        assert_eq!(OwnRange::take_of(&pool, &registry).unwrap().unwrap().first(), 100_000);
    }

    #[test]
    fn a_registry_that_others_could_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(open_registry(&open).is_err());
        std::os::unix::fs::symlink(directory.path(), directory.path().join("link")).unwrap();
        assert!(open_registry(&directory.path().join("link")).is_err());
    }

    proptest! {
        #[test]
        fn ranges_are_granted_disjoint_and_not_those_of_files(
            users in proptest::collection::vec((1u32..3_000_000, 1u32..400_000), 0..8),
            groups in proptest::collection::vec((1u32..3_000_000, 1u32..400_000), 0..8),
            on_disk in 1u32..3_000_000,
        ) {
            let table = |lines: &[(u32, u32)]| lines.iter().map(|(a, n)| format!("root:{a}:{n}\n")).collect::<String>();
            let tables = Tables { subuid: table(&users), subgid: table(&groups), ..Tables::default() };
            let pool = Pool::from(&tables, &everything(), on_disk);
            let within = |lines: &[(u32, u32)], first: u32| lines.iter().any(|(a, n)| *a <= first && first + COUNT <= a + n);
            for (at, first) in pool.firsts.iter().enumerate() {
                prop_assert!(!pool.granted || (within(&users, *first) && within(&groups, *first)));
                prop_assert!(first + COUNT <= on_disk || on_disk + COUNT <= *first);
                for other in &pool.firsts[at + 1..] {
                    prop_assert!(first + COUNT <= *other || other + COUNT <= *first);
                }
            }
        }
    }
}
