//! Ids as the session sees them, and the credentials that its threads share.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::pid_t;

use super::Error;
use super::error::fit;
use crate::process::id_map::{self, IdMap, Of};
use crate::process::status::{Ids, Status};
use crate::record::Record;
use crate::record::rights::Credentials;

/// How ids of the reader become those of the session.
pub(super) struct View {
    /// How many pid namespaces lie between the reader's and the session's.
    level: usize,
    /// The directory of the session's first process in `/proc`.
    first: PathBuf,
    users: Option<IdMap>,
    groups: Option<IdMap>,
}

impl View {
    /// That of the session whose first process is in `directory`, with this `status`.
    pub(super) fn of(directory: &Path, status: &Status) -> io::Result<Self> {
        // Within one user namespace the file shows that namespace's parent.
        let other = namespace(directory, "user")? != namespace(Path::new("/proc/self"), "user")?;
        let map = |of| id_map::read(directory, of);
        Ok(Self {
            level: status.pids.len() - 1,
            first: directory.to_owned(),
            users: if other { Some(map(Of::Users)?) } else { None },
            groups: if other { Some(map(Of::Groups)?) } else { None },
        })
    }

    /// Whether the session has a pid namespace that we are not in.
    pub(super) fn is_below(&self) -> bool {
        self.level > 0
    }

    /// Pids of a process from the session's namespace to its own.
    pub(super) fn inner(&self, pids: &[pid_t]) -> Vec<u32> {
        pids.iter().skip(self.level).map(|pid| pid.cast_unsigned()).collect()
    }

    /// A pid in the session's namespace; 0 for one that is not there.
    pub(super) fn pid(&self, pids: &[pid_t]) -> u32 {
        pids.get(self.level).map_or(0, |pid| pid.cast_unsigned())
    }

    /// Where we find what the session has under an absolute `path`.
    pub(super) fn locate(&self, path: &[u8]) -> PathBuf {
        locate(&self.first.join("root"), path)
    }

    /// User and group of a file, as the session has them; the highest number for one that it has no name for.
    pub(super) fn owner(&self, user: u32, group: u32) -> (u32, u32) {
        let of = |map: Option<&IdMap>, id| inside(map, id).unwrap_or(u32::MAX);
        (of(self.users.as_ref(), user), of(self.groups.as_ref(), group))
    }

    /// Whether the session has a user, or a group, of that number.
    pub(super) fn knows(&self, id: u32, is_user: bool) -> bool {
        let map = if is_user { &self.users } else { &self.groups };
        map.as_ref().is_none_or(|map| map.outside(id).is_some())
    }

    /// The directory of the session's first process in `/proc`.
    pub(super) fn first(&self) -> &Path {
        &self.first
    }

    fn users(&self, ids: &Ids) -> Option<Vec<u32>> {
        each(ids).into_iter().map(|id| inside(self.users.as_ref(), id)).collect()
    }

    fn groups(&self, ids: &[u32]) -> Option<Vec<u32>> {
        ids.iter().map(|id| inside(self.groups.as_ref(), *id)).collect()
    }
}

/// Where we find what has an absolute `path` below `root`.
pub(super) fn locate(root: &Path, path: &[u8]) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)))
}

fn each(ids: &Ids) -> [u32; 4] {
    [ids.real, ids.effective, ids.saved, ids.file_system]
}

fn inside(map: Option<&IdMap>, id: u32) -> Option<u32> {
    map.map_or(Some(id), |map| map.inside(id))
}

/// A namespace of a process or thread, by the name of its link.
pub(super) fn namespace(directory: &Path, name: &str) -> io::Result<PathBuf> {
    std::fs::read_link(directory.join("ns").join(name))
}

/// Credentials, each once.
#[derive(Default)]
pub(super) struct Rights {
    known: Vec<Credentials>,
}

impl Rights {
    /// The number of these credentials of process `pid`.
    pub(super) fn number(&mut self, pid: pid_t, status: &Status, secure_bits: u32, view: &View) -> Result<u32, Error> {
        let unknown = |what: &str| {
            let why = "the session's user namespace has no name for one of them";
            Error::refused(pid, what, why)
        };
        let all = [&each(&status.gids)[..], &status.groups].concat();
        let groups = view.groups(&all).ok_or_else(|| unknown("its groups"))?;
        let users = view.users(&status.uids).ok_or_else(|| unknown("its users"))?;
        let sets = status.capabilities;
        let id = self.known.len() as u32 + 1;
        let new = Credentials {
            id,
            users: fit(pid, "users", users)?,
            groups: fit(pid, "groups", groups[..4].to_vec())?,
            supplementary: fit(pid, "groups", groups[4..].to_vec())?,
            inheritable: sets.inheritable,
            permitted: sets.permitted,
            effective: sets.effective,
            bounding: sets.bounding,
            ambient: sets.ambient,
            secure_bits,
            no_new_privileges: status.no_new_privileges.unwrap_or(false),
        };
        let same = |known: &&Credentials| Credentials { id, ..(*known).clone() } == new;
        if let Some(known) = self.known.iter().find(same) {
            return Ok(known.id);
        }
        self.known.push(new);
        Ok(id)
    }

    /// The records.
    pub(super) fn records(self) -> impl Iterator<Item = Record> {
        self.known.into_iter().map(Record::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::status;

    #[test]
    fn ids_are_those_of_the_session() {
        let users = Some(id_map::parse(b"0 1000 1\n1 100000 65536\n", Of::Users).unwrap());
        let view = View { level: 1, first: PathBuf::new(), groups: users.clone(), users };
        assert_eq!((view.inner(&[500, 7, 3]), view.pid(&[500]), view.pid(&[500, 7])), (vec![7, 3], 0, 7));
        let ids = Ids { real: 1000, effective: 100_999, saved: 1000, file_system: 1000 };
        assert_eq!(view.users(&ids), Some(vec![0, 1000, 0, 0]));
        assert_eq!(view.users(&Ids { saved: 7, ..ids }), None);
    }

    #[test]
    fn the_same_credentials_have_one_number() {
        let status = status::read(Path::new("/proc/self")).unwrap();
        let view = View::of(Path::new("/proc/self"), &status).unwrap();
        let mut rights = Rights::default();
        let numbers: Vec<u32> =
            [0, 1, 0].into_iter().map(|bits| rights.number(1, &status, bits, &view).unwrap()).collect();
        assert_eq!(numbers, [1, 2, 1]);
        assert_eq!(rights.records().count(), 2);
    }
}
