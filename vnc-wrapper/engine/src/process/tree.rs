//! A tree of processes as one look at `/proc` found it: pure, from what [`stat`](super::stat) says.
//!
//! All ids are those of one pid namespace, that of the mounted proc.

use std::collections::{BTreeMap, BTreeSet};

use libc::pid_t;

use super::stat::Stat;

/// A process of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: pid_t,
    /// The parent's.
    pub parent: pid_t,
    /// Its process group.
    pub group: pid_t,
    /// Its session.
    pub session: pid_t,
    /// How far it has ended.
    pub life: Life,
    /// Whether orphans below it become its children (`PR_SET_CHILD_SUBREAPER`). `/proc` does not have it: it is asked in the
    /// process itself.
    pub subreaper: bool,
}

/// How far a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Not at all.
    Alive,
    /// Its leader has ended, other threads run on.
    DeadLeader,
    /// All of it; its parent has not asked for its status yet, which is this (`waitpid(2)`).
    Zombie(i32),
}

impl From<&Stat> for Process {
    fn from(stat: &Stat) -> Self {
        let life = match (stat.has_ended(), stat.threads) {
            (false, _) => Life::Alive,
            // The ended leader is counted as long as others run on.
            (true, 2..) => Life::DeadLeader,
            (true, _) => Life::Zombie(stat.exit_code),
        };
        let (pid, parent, group, session) = (stat.pid, stat.parent, stat.group, stat.session);
        Self { pid, parent, group, session, life, subreaper: false }
    }
}

/// Why processes are no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTree {
    /// The first process is not among them.
    #[error("process {0}, the first of the tree, is not there")]
    NoRoot(pid_t),
    /// Two have one id.
    #[error("process {0} was found twice")]
    Twice(pid_t),
    /// A parent is not among them: the look was not of one moment.
    #[error("process {pid} has the parent {parent}, which is not in the tree")]
    Stray {
        /// The process.
        pid: pid_t,
        /// Its parent.
        parent: pid_t,
    },
    /// One that has ended has children, or parents go round in a circle.
    #[error("process {pid} cannot be a child of {parent}")]
    NoParent {
        /// The process.
        pid: pid_t,
        /// Its parent.
        parent: pid_t,
    },
}

/// A tree of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: pid_t,
    all: BTreeMap<pid_t, Process>,
}

impl Tree {
    /// The tree of `root` from all of its processes, in any order.
    ///
    /// # Errors
    /// When they are no tree.
    pub fn new(root: pid_t, processes: impl IntoIterator<Item = Process>) -> Result<Self, NoTree> {
        let mut all = BTreeMap::new();
        for process in processes {
            let pid = process.pid;
            if all.insert(pid, process).is_some() {
                return Err(NoTree::Twice(pid));
            }
        }
        let tree = Self { root, all };
        tree.get(root).ok_or(NoTree::NoRoot(root))?;
        let mut reached = BTreeSet::from([root]);
        let mut next = vec![root];
        while let Some(parent) = next.pop() {
            for child in tree.children(parent).filter(|child| child.pid != root) {
                reached.insert(child.pid);
                next.push(child.pid);
            }
        }
        for process in tree.all.values().filter(|process| process.pid != root) {
            let (pid, parent) = (process.pid, process.parent);
            let above = tree.get(parent).ok_or(NoTree::Stray { pid, parent })?;
            if !reached.contains(&pid) || matches!(above.life, Life::Zombie(_)) {
                return Err(NoTree::NoParent { pid, parent });
            }
        }
        Ok(tree)
    }

    /// The first process.
    #[must_use]
    pub fn root(&self) -> &Process {
        &self.all[&self.root]
    }

    /// The process `pid`.
    #[must_use]
    pub fn get(&self, pid: pid_t) -> Option<&Process> {
        self.all.get(&pid)
    }

    /// All of them, by pid.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.all.values()
    }

    /// The children of `pid`, by pid.
    pub fn children(&self, pid: pid_t) -> impl Iterator<Item = &Process> {
        self.all.values().filter(move |process| process.parent == pid)
    }

    /// The sessions, each with its processes. One that is not a process of the tree has lost its leader, or is the root's and
    /// lies outside.
    #[must_use]
    pub fn sessions(&self) -> BTreeMap<pid_t, Vec<pid_t>> {
        self.by(|process| process.session)
    }

    /// The process groups, as [`sessions`](Self::sessions).
    #[must_use]
    pub fn groups(&self) -> BTreeMap<pid_t, Vec<pid_t>> {
        self.by(|process| process.group)
    }

    fn by(&self, key: impl Fn(&Process) -> pid_t) -> BTreeMap<pid_t, Vec<pid_t>> {
        let mut found: BTreeMap<pid_t, Vec<pid_t>> = BTreeMap::new();
        for process in self.all.values() {
            found.entry(key(process)).or_default().push(process.pid);
        }
        found
    }

    /// Processes whose parent did not fork them in its present session: their creator has ended, or the parent made a session
    /// of its own since.
    pub fn strangers(&self) -> impl Iterator<Item = &Process> {
        self.all.values().filter(|process| {
            let same = |parent: &Process| parent.session == process.session;
            process.pid != self.root && process.session != process.pid && !self.get(process.parent).is_some_and(same)
        })
    }

    /// The nearest of `pid` and those above it that gets orphans: a subreaper, or the root.
    pub(super) fn reaper(&self, pid: pid_t) -> pid_t {
        let mut at = pid;
        while let Some(process) = self.get(at).filter(|process| process.pid != self.root && !process.subreaper) {
            at = process.parent;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::stat;

    fn process(pid: pid_t, parent: pid_t, group: pid_t, session: pid_t) -> Process {
        Process { pid, parent, group, session, life: Life::Alive, subreaper: false }
    }

    #[test]
    fn issue_10_sessions_groups_and_strangers_are_found() {
        let all =
            [process(1, 0, 1, 1), process(5, 1, 5, 5), process(6, 5, 6, 5), process(7, 1, 6, 5), process(8, 1, 4, 4)];
        let tree = Tree::new(1, all).unwrap();
        assert_eq!(tree.sessions()[&5], [5, 6, 7]);
        assert_eq!(tree.groups()[&6], [6, 7]);
        assert_eq!(tree.strangers().map(|process| process.pid).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(tree.children(1).map(|process| process.pid).collect::<Vec<_>>(), [5, 7, 8]);
    }

    #[test]
    fn what_is_no_tree_is_refused_by_name() {
        let zombie = Process { life: Life::Zombie(0), ..process(2, 1, 1, 1) };
        for (all, error) in [
            (vec![process(2, 1, 1, 1)], NoTree::NoRoot(1)),
            (vec![process(1, 0, 1, 1), process(1, 0, 1, 1)], NoTree::Twice(1)),
            (vec![process(1, 0, 1, 1), process(2, 9, 1, 1)], NoTree::Stray { pid: 2, parent: 9 }),
            (vec![process(1, 0, 1, 1), zombie, process(3, 2, 1, 1)], NoTree::NoParent { pid: 3, parent: 2 }),
            (
                vec![process(1, 0, 1, 1), process(2, 3, 1, 1), process(3, 2, 1, 1)],
                NoTree::NoParent { pid: 2, parent: 3 },
            ),
        ] {
            assert_eq!(Tree::new(1, all), Err(error));
        }
    }

    #[test]
    fn a_leader_that_has_ended_is_no_zombie_while_threads_run() {
        let text =
            |threads: u32| format!("7 (x) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 5 {}768", "0 ".repeat(29));
        let life = |threads| Process::from(&stat::parse(text(threads).as_bytes()).unwrap()).life;
        assert_eq!((life(1), life(2)), (Life::Zombie(768), Life::DeadLeader));
    }
}
