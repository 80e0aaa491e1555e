//! The order in which a tree of processes is made: pure, steps for others to take.
//!
//! A process is born in its creator's session and group and can leave the session only for one of its own (setsid(2)); an
//! orphan goes to the nearest subreaper (`find_new_reaper` in kernel/exit.c); a group is joined only within its session
//! (setpgid(2)). So sessions come first, with the children that a leader had before; then groups; ends come last. Where a
//! leader has ended, a temporary process has its id meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use libc::pid_t;

use super::tree::{Life, Process, Tree};

#[cfg(test)]
mod tests;

/// A step. A subreaper becomes one as soon as it is made. Hang-up signals that groups get as leaders end are the caller's to
/// keep away, by blocking them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `by` forks `pid`.
    Fork {
        /// The new process.
        pid: pid_t,
        /// Its creator, which stays its parent.
        by: pid_t,
    },
    /// `by` forks a helper, which forks `pid` and ends; the kernel then makes `pid` a child of `parent`.
    Orphan {
        /// The new process.
        pid: pid_t,
        /// Where the helper comes from.
        by: pid_t,
        /// The parent that the kernel finds.
        parent: pid_t,
    },
    /// `pid` makes a session of its own.
    Session {
        /// The process.
        pid: pid_t,
    },
    /// `pid` joins `group`, or makes it where that is its own id.
    Group {
        /// The process.
        pid: pid_t,
        /// The group.
        group: pid_t,
    },
    /// `pid`, which was there for its id only, ends and is reaped by its parent.
    Leave {
        /// The process.
        pid: pid_t,
    },
    /// `pid` ends and is not reaped.
    End {
        /// The process.
        pid: pid_t,
        /// The status that its parent gets (`waitpid(2)`).
        status: i32,
    },
}

/// What has no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOrder {
    /// The root is in a session or group that a process below it leads.
    #[error("process {0}, the first of the tree, is in a session or group of a process below it")]
    Root(pid_t),
    /// Nobody can make it a child of its parent in its session.
    #[error(
        "process {pid} cannot be made a child of {parent} in session {session}: no process of that session is where the kernel would find that parent for an orphan"
    )]
    Session {
        /// The process.
        pid: pid_t,
        /// Its parent.
        parent: pid_t,
        /// The session in which it has to be born.
        session: pid_t,
    },
    /// It cannot join its group.
    #[error("process {pid} cannot join group {group}: within its session nobody can keep that group meanwhile")]
    Group {
        /// The process.
        pid: pid_t,
        /// The group.
        group: pid_t,
    },
}

/// The steps that make `tree`, from its root alone in its session and group.
///
/// # Errors
/// When no order is found; names the first process that cannot be made.
pub fn order(tree: &Tree) -> Result<Vec<Step>, NoOrder> {
    let root = tree.root();
    if [root.session, root.group].iter().any(|id| *id != root.pid && tree.get(*id).is_some()) {
        return Err(NoOrder::Root(root.pid));
    }
    let mut plan = Plan {
        tree,
        born: births(tree),
        made: BTreeMap::from([(root.pid, Place { parent: root.parent, session: root.session, group: root.group })]),
        temporary: Vec::new(),
        steps: Vec::new(),
    };
    plan.sessions()?;
    plan.groups()?;
    let leave: Vec<Step> = plan.temporary.iter().rev().map(|pid| Step::Leave { pid: *pid }).collect();
    plan.steps.extend(leave);
    for process in tree.processes() {
        if let Life::Zombie(status) = process.life {
            plan.steps.push(Step::End { pid: process.pid, status });
        }
    }
    Ok(plan.steps)
}

/// The session in which each process has to be born; without one for a leader that may be born in any.
fn births(tree: &Tree) -> BTreeMap<pid_t, pid_t> {
    let mut from_the_root = vec![tree.root().pid];
    let mut at = 0;
    while at < from_the_root.len() {
        from_the_root
            .extend(tree.children(from_the_root[at]).map(|child| child.pid).filter(|pid| *pid != tree.root().pid));
        at += 1;
    }
    let mut births = BTreeMap::new();
    for process in from_the_root.iter().rev().filter_map(|pid| tree.get(*pid)) {
        // A leader with children of another session has forked them before it made its own; but a reaper gets them.
        let before = || {
            let mut children = tree.children(process.pid).filter_map(|child| births.get(&child.pid).copied());
            children.find(|session| *session != process.pid)
        };
        let reaps = tree.reaper(process.pid) == process.pid;
        let session =
            if process.session == process.pid { if reaps { None } else { before() } } else { Some(process.session) };
        births.extend(session.map(|session| (process.pid, session)));
    }
    births
}

/// Where a process stands while the plan is made.
#[derive(Clone, Copy)]
struct Place {
    parent: pid_t,
    session: pid_t,
    group: pid_t,
}

struct Plan<'t> {
    tree: &'t Tree,
    born: BTreeMap<pid_t, pid_t>,
    made: BTreeMap<pid_t, Place>,
    temporary: Vec<pid_t>,
    steps: Vec<Step>,
}

impl Plan<'_> {
    fn sessions(&mut self) -> Result<(), NoOrder> {
        let tree = self.tree;
        let mut waiting: Vec<&Process> = tree.processes().filter(|process| process.pid != tree.root().pid).collect();
        let mut leaders: Vec<&Process> =
            waiting.iter().copied().filter(|process| process.session == process.pid).collect();
        while !waiting.is_empty() || !leaders.is_empty() {
            let before = waiting.len() + leaders.len();
            waiting.retain(|process| !self.make(process));
            leaders.retain(|leader| !self.lead(leader, &waiting));
            if waiting.len() + leaders.len() == before && !self.lend_a_leader(&waiting) {
                let Some(process) = waiting.first().or(leaders.first()) else { break };
                let session = self.born.get(&process.pid).copied().unwrap_or(process.session);
                return Err(NoOrder::Session { pid: process.pid, parent: process.parent, session });
            }
        }
        Ok(())
    }

    /// Makes `process`, if somebody can now.
    fn make(&mut self, process: &Process) -> bool {
        let (pid, parent) = (process.pid, process.parent);
        let Some(above) = self.made.get(&parent).copied() else { return false };
        let wanted = self.born.get(&pid).copied().unwrap_or(above.session);
        if above.session == wanted {
            self.fork(pid, parent);
            return true;
        }
        let mut members = self.made.iter().filter(|(_, place)| place.session == wanted);
        let Some((by, place)) = members.find(|(member, _)| self.reaper(**member) == parent) else { return false };
        let (by, place) = (*by, *place);
        self.steps.push(Step::Orphan { pid, by, parent });
        self.made.insert(pid, Place { parent, ..place });
        true
    }

    fn fork(&mut self, pid: pid_t, by: pid_t) {
        self.steps.push(Step::Fork { pid, by });
        self.made.insert(pid, Place { parent: by, ..self.made[&by] });
    }

    /// The parent that the kernel finds for an orphan of `pid`.
    fn reaper(&self, pid: pid_t) -> pid_t {
        self.tree.reaper(if self.tree.get(pid).is_some() { pid } else { self.made[&pid].parent })
    }

    /// Makes `leader` one, once it has the children that it had before.
    fn lead(&mut self, leader: &Process, waiting: &[&Process]) -> bool {
        let pid = leader.pid;
        let Some(place) = self.made.get(&pid).copied() else { return false };
        let early = |child: &&Process| child.parent == pid && self.born.get(&child.pid) == Some(&place.session);
        if place.session != pid && waiting.iter().any(early) {
            return false;
        }
        self.session(pid);
        true
    }

    fn session(&mut self, pid: pid_t) {
        self.steps.push(Step::Session { pid });
        self.made.entry(pid).and_modify(|place| *place = Place { session: pid, group: pid, ..*place });
    }

    /// Makes a temporary leader of a session whose own has ended, below the parent of one that waits for it.
    fn lend_a_leader(&mut self, waiting: &[&Process]) -> bool {
        for process in waiting {
            let Some(session) = self.born.get(&process.pid).copied() else { continue };
            let free = self.tree.get(session).is_none() && !self.made.contains_key(&session);
            let outside = self.tree.root().session == session;
            if free
                && !outside
                && self.made.contains_key(&process.parent)
                && self.tree.reaper(process.parent) == process.parent
            {
                self.fork(session, process.parent);
                self.session(session);
                self.temporary.push(session);
                return true;
            }
        }
        false
    }

    fn groups(&mut self) -> Result<(), NoOrder> {
        let tree = self.tree;
        let moved = |plan: &Self| -> Vec<&Process> {
            tree.processes().filter(|process| plan.made[&process.pid].group != process.group).collect()
        };
        let wanted: BTreeSet<(pid_t, pid_t)> =
            moved(self).iter().map(|process| (process.group, process.session)).collect();
        for (group, session) in wanted {
            self.found(group, session);
        }
        // Among them now are those that made a group for others and belong in another one.
        let mut waiting = moved(self);
        while !waiting.is_empty() {
            let before = waiting.len();
            let all = waiting.clone();
            waiting.retain(|process| !self.join(process, &all));
            if waiting.len() == before {
                return Err(NoOrder::Group { pid: waiting[0].pid, group: waiting[0].group });
            }
        }
        Ok(())
    }

    /// Makes `group` in `session`, if it is not there yet and somebody can.
    fn found(&mut self, group: pid_t, session: pid_t) {
        if self.members(group, session) > 0 || group <= 0 {
            return;
        }
        if self.tree.get(group).is_none() && !self.made.contains_key(&group) {
            let member = self.tree.processes().find(|process| self.made[&process.pid].session == session);
            let Some(member) = member else { return };
            self.fork(group, member.pid);
            self.temporary.push(group);
        }
        if self.made.get(&group).is_some_and(|place| place.session == session) && group != session {
            self.group(group, group);
        }
    }

    fn group(&mut self, pid: pid_t, group: pid_t) {
        self.steps.push(Step::Group { pid, group });
        self.made.entry(pid).and_modify(|place| place.group = group);
    }

    fn members(&self, group: pid_t, session: pid_t) -> usize {
        self.made.values().filter(|place| place.group == group && place.session == session).count()
    }

    /// Lets `process` join its group, if that is there and the one that it leaves is not needed any more.
    fn join(&mut self, process: &Process, waiting: &[&Process]) -> bool {
        let place = self.made[&process.pid];
        if place.group == process.group {
            return true;
        }
        let others_want =
            waiting.iter().any(|other| other.group == place.group && self.made[&other.pid].group != place.group);
        let last = self.members(place.group, place.session) == 1;
        let leads = place.session == process.pid;
        if leads || self.members(process.group, place.session) == 0 || last && others_want {
            return false;
        }
        self.group(process.pid, process.group);
        true
    }
}
