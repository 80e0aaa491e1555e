//! Processes as the kernel keeps them, in a model: histories are lived in it, their trees made again in it.

use proptest::prelude::*;

use super::*;

/// The processes of a pid namespace, by id; with the kernel's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World(BTreeMap<pid_t, Process>);

impl World {
    fn new(root: &Process) -> Self {
        Self(BTreeMap::from([(root.pid, root.clone())]))
    }

    fn alive(&self, pid: pid_t) -> &Process {
        let process = &self.0[&pid];
        assert_eq!(process.life, Life::Alive, "{process:?}");
        process
    }

    fn fork(&mut self, pid: pid_t, by: pid_t) {
        let by = self.alive(by).clone();
        let child = Process { pid, parent: by.pid, subreaper: false, ..by };
        assert_eq!(self.0.insert(pid, child), None);
    }

    fn has_group(&self, group: pid_t) -> bool {
        self.0.values().any(|process| process.group == group)
    }

    fn setsid(&mut self, pid: pid_t) -> Result<(), ()> {
        self.alive(pid);
        if self.has_group(pid) {
            return Err(());
        }
        self.0.entry(pid).and_modify(|process| (process.session, process.group) = (pid, pid));
        Ok(())
    }

    fn setpgid(&mut self, pid: pid_t, group: pid_t) -> Result<(), ()> {
        let session = self.alive(pid).session;
        let there = self.0.values().any(|process| process.group == group && process.session == session);
        if session == pid || group != pid && !there {
            return Err(());
        }
        self.0.entry(pid).and_modify(|process| process.group = group);
        Ok(())
    }

    fn exit(&mut self, pid: pid_t, status: i32) {
        let mut reaper = self.alive(pid).parent;
        while reaper != 1 && !self.alive(reaper).subreaper {
            reaper = self.alive(reaper).parent;
        }
        for process in self.0.values_mut().filter(|process| process.parent == pid) {
            process.parent = reaper;
        }
        self.0.entry(pid).and_modify(|process| process.life = Life::Zombie(status));
    }

    fn reap(&mut self, pid: pid_t) {
        let gone = self.0.remove(&pid).unwrap();
        assert!(matches!(gone.life, Life::Zombie(_)) && self.0.values().all(|process| process.parent != pid));
    }

    fn take(&mut self, step: Step, tree: &Tree) {
        match step {
            Step::Fork { pid, by } => self.fork(pid, by),
            Step::Orphan { pid, by, parent } => {
                const HELPER: pid_t = 99_999;
                self.fork(HELPER, by);
                self.fork(pid, HELPER);
                self.exit(HELPER, 0);
                self.reap(HELPER);
                assert_eq!(self.0[&pid].parent, parent, "{step:?}");
            }
            Step::Session { pid } => self.setsid(pid).unwrap(),
            Step::Group { pid, group } => self.setpgid(pid, group).unwrap(),
            Step::Leave { pid } => {
                self.exit(pid, 0);
                self.reap(pid);
            }
            Step::End { pid, status } => self.exit(pid, status),
        }
        if let Step::Fork { pid, .. } | Step::Orphan { pid, .. } = step {
            let subreaper = tree.get(pid).is_some_and(|process| process.subreaper);
            self.0.entry(pid).and_modify(|process| process.subreaper = subreaper);
        }
    }
}

fn root() -> Process {
    Process { pid: 1, parent: 0, group: 1, session: 1, life: Life::Alive, subreaper: false }
}

/// Makes the tree of `world` in another one, and compares.
fn made_again(world: &World) -> Result<(), NoOrder> {
    let tree = Tree::new(1, world.0.values().cloned()).unwrap();
    let steps = order(&tree)?;
    let mut made = World::new(tree.root());
    for step in &steps {
        made.take(*step, &tree);
    }
    assert_eq!(&made, world, "{steps:?}");
    Ok(())
}

/// What a process can do; `who` is one of those that live.
fn live(world: &mut World, next: &mut pid_t, (what, who, other): (u8, usize, usize), subreapers: bool) {
    let living: Vec<pid_t> = world.0.values().filter(|p| p.life == Life::Alive).map(|p| p.pid).collect();
    let pid = living[who % living.len()];
    let any = *world.0.keys().nth(other % world.0.len()).unwrap();
    match what {
        0..=3 => {
            *next += 1;
            world.fork(*next, pid);
        }
        4 => drop(world.setsid(pid).is_ok()),
        5 => drop(world.setpgid(pid, pid).is_ok()),
        6 => drop(world.setpgid(pid, world.0[&any].group).is_ok()),
        7 if pid != 1 => world.exit(pid, 256),
        8 if matches!(world.0[&any].life, Life::Zombie(_)) => world.reap(any),
        9 if subreapers && pid != 1 => drop(world.0.entry(pid).and_modify(|process| process.subreaper = true)),
        _ => (),
    }
}

fn lived(acts: &[(u8, usize, usize)], subreapers: bool) -> World {
    let (mut world, mut next) = (World::new(&root()), 10);
    for act in acts {
        live(&mut world, &mut next, *act, subreapers);
    }
    world
}

#[test]
fn issue_10_a_desktops_tree_is_made_in_order() {
    let mut world = World::new(&root());
    world.fork(2, 1);
    world.setsid(2).unwrap(); // the session's leader
    world.fork(3, 2);
    world.setsid(3).unwrap(); // a shell in a terminal
    world.fork(4, 3);
    world.setpgid(4, 4).unwrap();
    world.fork(5, 4);
    world.exit(4, 256); // a pipe whose first program has ended
    world.reap(4);
    world.fork(6, 2);
    world.fork(7, 6);
    world.setsid(7).unwrap();
    world.fork(8, 7);
    world.exit(7, 0); // a daemon whose leader has ended
    world.reap(7);
    world.exit(6, 9); // a zombie
    made_again(&world).unwrap();
    let tree = Tree::new(1, world.0.values().cloned()).unwrap();
    let steps = order(&tree).unwrap();
    for step in [
        Step::Fork { pid: 7, by: 1 },
        Step::Session { pid: 7 },
        Step::Orphan { pid: 8, by: 7, parent: 1 },
        Step::Orphan { pid: 5, by: 3, parent: 1 },
        Step::Group { pid: 4, group: 4 },
        Step::Group { pid: 5, group: 4 },
        Step::Leave { pid: 4 },
        Step::Leave { pid: 7 },
        Step::End { pid: 6, status: 9 },
    ] {
        assert!(steps.contains(&step), "{step:?} of {steps:?}");
    }
}

#[test]
fn issue_10_children_from_before_a_session_are_made_before_it() {
    let mut world = World::new(&root());
    world.fork(2, 1);
    world.setsid(2).unwrap();
    world.fork(3, 2);
    world.fork(4, 3);
    world.fork(5, 4);
    world.setsid(4).unwrap();
    world.setsid(3).unwrap();
    world.exit(2, 0);
    world.reap(2);
    made_again(&world).unwrap();
}

#[test]
fn what_cannot_be_made_is_named() {
    let all = [
        root(),
        Process { pid: 2, parent: 1, ..root() },
        Process { pid: 3, parent: 2, session: 7, group: 7, ..root() },
    ];
    let tree = Tree::new(1, all).unwrap();
    assert_eq!(order(&tree), Err(NoOrder::Session { pid: 3, parent: 2, session: 7 }));
    let all = [
        root(),
        Process { pid: 2, parent: 1, group: 3, ..root() },
        Process { pid: 3, parent: 1, group: 3, session: 3, ..root() },
    ];
    assert_eq!(order(&Tree::new(1, all).unwrap()), Err(NoOrder::Group { pid: 2, group: 3 }));
    let all = [Process { session: 2, ..root() }, Process { pid: 2, parent: 1, ..root() }];
    assert_eq!(order(&Tree::new(1, all).unwrap()), Err(NoOrder::Root(1)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_processes_did_their_sessions_are_made_again(acts in proptest::collection::vec((0u8..9, 0usize..64, 0usize..64), 0..80)) {
        // Two groups whose leaders have changed places may be refused; sessions never.
        let made = made_again(&lived(&acts, false));
        prop_assert!(matches!(made, Ok(()) | Err(NoOrder::Group { .. })), "{made:?}");
    }

    #[test]
    fn with_subreapers_a_tree_is_made_right_or_refused(acts in proptest::collection::vec((0u8..10, 0usize..64, 0usize..64), 0..80)) {
        let _ = made_again(&lived(&acts, true));
    }
}
