//! A session as the `/proc` of its own pid namespace lists it: also what was put into it from outside, which nobody in it has
//! for a child.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libc::pid_t;

use super::Source;
use crate::process::status;
use crate::sys::namespace;

/// How long what was found is believed: pids come back, but not so soon.
const FRESH: Duration = Duration::from_secs(1);

/// Lists a session by a mounted proc of its pid namespace.
///
/// That proc names processes by the session's ids. Ours are found once for each, by a look through our own `/proc`, which is
/// asked again only about processes that neither knows yet.
#[derive(Debug)]
pub struct OwnProc {
    proc: PathBuf,
    /// Device and inode of the pid namespace.
    namespace: (u64, u64),
    /// How many pid namespaces lie between ours and the session's.
    level: usize,
    /// Our ids by the session's.
    known: BTreeMap<pid_t, pid_t>,
    /// Our ids of what is not of the session.
    others: BTreeSet<pid_t>,
    since: Instant,
}

impl OwnProc {
    /// That of the session whose first process is `root`; `proc` is where a proc of its pid namespace is mounted, as we reach it:
    /// `/proc/ROOT/root/proc`.
    ///
    /// # Errors
    /// When the process may not be looked into.
    pub fn new(root: pid_t, proc: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = PathBuf::from(format!("/proc/{root}"));
        let level = status::read(&directory)?.pids.len() - 1;
        let metadata = std::fs::metadata(directory.join("ns/pid"))?;
        Ok(Self {
            proc: proc.into(),
            namespace: (metadata.dev(), metadata.ino()),
            level,
            known: BTreeMap::new(),
            others: BTreeSet::new(),
            since: Instant::now(),
        })
    }

    /// The session's id of one of our processes, if it is of the session.
    fn inner(&self, pid: pid_t) -> Option<pid_t> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let pids = status::read(&directory).ok()?.pids;
        let inner = *pids.get(self.level)?;
        let deeper = pids.len() - self.level - 1;
        (of(&directory, deeper).ok()? == self.namespace).then_some(inner)
    }
}

/// The pid namespace `deeper` levels above that of a process.
fn of(directory: &Path, deeper: usize) -> io::Result<(u64, u64)> {
    let mut namespace = OwnedFd::from(File::open(directory.join("ns/pid"))?);
    for _ in 0..deeper {
        namespace = namespace::parent(namespace.as_fd())?;
    }
    let metadata = File::from(namespace).metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The processes that a mounted proc lists.
fn pids(proc: &Path) -> io::Result<BTreeSet<pid_t>> {
    let mut pids = BTreeSet::new();
    for entry in std::fs::read_dir(proc)? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<pid_t>().ok()));
    }
    Ok(pids)
}

impl Source for OwnProc {
    fn list(&mut self) -> io::Result<Vec<pid_t>> {
        let listed = pids(&self.proc)?;
        if self.since.elapsed() > FRESH {
            self.known.clear();
            self.others.clear();
            self.since = Instant::now();
        }
        self.known.retain(|inner, _| listed.contains(inner));
        if listed.iter().any(|inner| !self.known.contains_key(inner)) {
            let ours: BTreeSet<pid_t> = self.known.values().copied().collect();
            for pid in pids(Path::new("/proc"))? {
                if ours.contains(&pid) || self.others.contains(&pid) {
                    continue;
                }
                match self.inner(pid) {
                    Some(inner) => drop(self.known.insert(inner, pid)),
                    None => drop(self.others.insert(pid)),
                }
            }
        }
        // What is still unknown has ended since.
        Ok(listed.iter().filter_map(|inner| self.known.get(inner).copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::freeze::{Limits, descendants, freeze};
    use crate::remote::tracing;
    use crate::sys::guests::{self, PATIENCE, until};
    use crate::sys::inside::{Inside, put_in, with_proc};
    use crate::testing::as_both_users;

    #[test]
    fn issue_10_what_was_put_into_a_session_is_frozen_with_it() {
        as_both_users("freeze::session::tests::issue_10_what_was_put_into_a_session_is_frozen_with_it", || {
            let guest = Inside::start(with_proc);
            let proc = PathBuf::from(format!("/proc/{}/root{}/proc", guest.pid, guest.directory.path().display()));
            let put = put_in(&guest);
            let mut source = OwnProc::new(guest.pid, &proc).unwrap();
            let expected =
                || -> BTreeSet<pid_t> { descendants(guest.pid).unwrap().into_iter().chain([put.pid]).collect() };
            until("all are listed", || source.list().unwrap().into_iter().collect::<BTreeSet<_>>() == expected());
            assert!(!descendants(guest.pid).unwrap().contains(&put.pid), "nobody in the session is its parent");
            tracing(|tracer| {
                let limits = Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
                let frozen = freeze(tracer, &mut source, limits).unwrap();
                let held: BTreeSet<pid_t> = frozen.threads().iter().map(|thread| thread.who().pid).collect();
                assert_eq!(held, expected());
                assert_eq!(guests::state(put.pid, put.pid), Some('t'));
            });
            // Another child of the first process is found, though everything else is known.
            guest.words[1].store(1, Ordering::SeqCst);
            until("there is one more", || descendants(guest.pid).unwrap().len() == 3);
            until("it is listed", || source.list().unwrap().into_iter().collect::<BTreeSet<_>>() == expected());
        });
    }
}
