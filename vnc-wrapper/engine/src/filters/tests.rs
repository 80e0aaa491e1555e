//! The log against a model of the kernel: random lives of processes and threads, in which filters are installed, at once or late,
//! or refused.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::log::{Filter, Id, Log, Seen, Unclear};

/// What happens; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Act {
    Fork(usize),
    /// CLONE_PARENT.
    ForkSibling(usize),
    Thread(usize),
    /// Installs filter `.1`, for all threads of the process when `.2`.
    Install(usize, u8, bool, How),
    /// A call that is on its way comes to its end.
    Finish(usize),
    Exit(usize),
    Exec(usize),
    Adopt(usize),
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The end of the call is seen.
    Seen,
    /// The kernel refuses, which is seen.
    Refused,
    /// The call takes long, and its end is not seen.
    Late,
    LateRefused,
}

#[derive(Clone)]
struct Thread {
    process: Id,
    /// What it has: which installation it was, and of what.
    chain: Vec<(u32, u8)>,
    /// In a call that has not come to its end.
    late: Option<(u8, bool, bool)>,
}

#[derive(Clone)]
struct Process {
    parent: Option<Id>,
    adopts: bool,
}

struct Model {
    threads: BTreeMap<Id, Thread>,
    processes: BTreeMap<Id, Process>,
    log: Log,
    next: i32,
    installed: u32,
}

fn filter(number: u8) -> Filter {
    // RET K with a number of its own.
    Filter::new([6u8, 0, 0, 0, number, 0, 0xff, 0x7f].to_vec(), 0).unwrap()
}

const FIRST: Id = Id { tid: 1, start: 1 };

impl Model {
    fn new() -> Self {
        let first = Thread { process: FIRST, chain: vec![(0, 0)], late: None };
        Self {
            threads: [(FIRST, first)].into(),
            processes: [(FIRST, Process { parent: None, adopts: true })].into(),
            log: Log::new(vec![filter(0)]),
            next: 2,
            installed: 1,
        }
    }

    fn id(&mut self) -> Id {
        self.next += 1;
        Id { tid: self.next, start: 1 }
    }

    fn seen(&self, thread: Id) -> Seen {
        let process = self.threads[&thread].process;
        let mut threads: BTreeSet<Id> = self.of(process).into_iter().collect();
        // A first thread that has ended is shown as long as others run.
        threads.insert(process);
        let mut ancestors = Vec::new();
        let mut at = self.processes[&process].parent;
        while let Some(id) = at.filter(|id| *id != FIRST) {
            ancestors.push(id);
            at = self.processes[&id].parent;
        }
        let depth = self.threads[&thread].chain.len();
        Seen { thread, process, threads: threads.into_iter().collect(), ancestors, depth }
    }

    fn of(&self, process: Id) -> Vec<Id> {
        self.threads.iter().filter(|(_, it)| it.process == process).map(|(id, _)| *id).collect()
    }

    /// A thread that is in no call.
    fn free(&self, which: usize) -> Option<Id> {
        let free: Vec<Id> = self.threads.iter().filter(|(_, it)| it.late.is_none()).map(|(id, _)| *id).collect();
        (!free.is_empty()).then(|| free[which % free.len()])
    }

    fn set(&mut self, thread: Id, filter: u8, all: bool) {
        self.installed += 1;
        let own = self.threads[&thread].clone();
        let others = self.of(own.process);
        if all && !others.iter().all(|id| own.chain.starts_with(&self.threads[id].chain)) {
            return;
        }
        let chain = [own.chain, vec![(self.installed, filter)]].concat();
        for id in if all { others } else { vec![thread] } {
            self.threads.get_mut(&id).unwrap().chain.clone_from(&chain);
        }
    }

    fn exit(&mut self, thread: Id) {
        let Some(process) = self.threads.remove(&thread).map(|thread| thread.process) else { return };
        if !self.of(process).is_empty() {
            return;
        }
        let gone = self.processes.remove(&process).unwrap();
        let mut heir = gone.parent;
        while let Some(id) = heir.filter(|id| !self.processes[id].adopts) {
            heir = self.processes[&id].parent;
        }
        for child in self.processes.values_mut().filter(|child| child.parent == Some(process)) {
            child.parent = Some(heir.unwrap_or(FIRST));
        }
    }

    fn act(&mut self, act: Act) {
        let (Act::Fork(which)
        | Act::ForkSibling(which)
        | Act::Thread(which)
        | Act::Install(which, ..)
        | Act::Exit(which)
        | Act::Exec(which)
        | Act::Adopt(which)
        | Act::Finish(which)) = act
        else {
            let alive = &self.processes;
            let threads = &self.threads;
            self.log.forget(|id| alive.contains_key(&id) || threads.contains_key(&id));
            return;
        };
        let Some(thread) = self.free(which) else { return };
        let own = self.threads[&thread].clone();
        match act {
            Act::Fork(_) | Act::ForkSibling(_) => {
                let id = self.id();
                let sibling = matches!(act, Act::ForkSibling(_));
                let parent = if sibling { self.processes[&own.process].parent } else { Some(own.process) };
                self.processes.insert(id, Process { parent: parent.or(Some(FIRST)), adopts: false });
                self.threads.insert(id, Thread { process: id, ..own });
            }
            Act::Thread(_) => {
                let id = self.id();
                self.threads.insert(id, own);
            }
            Act::Install(_, number, all, how) => {
                self.settle(own.process);
                self.log.begins(&self.seen(thread), filter(number));
                match how {
                    How::Seen => self.set(thread, number, all),
                    How::Refused => {}
                    How::Late | How::LateRefused => {
                        self.threads.get_mut(&thread).unwrap().late = Some((number, all, how == How::LateRefused));
                        return;
                    }
                }
                let depth = self.threads[&thread].chain.len();
                self.log.ends(thread, depth);
            }
            Act::Finish(_) => {
                let late: Vec<Id> =
                    self.threads.iter().filter(|(_, it)| it.late.is_some()).map(|(id, _)| *id).collect();
                if late.is_empty() {
                    return;
                }
                let thread = late[which % late.len()];
                let (number, all, refused) = self.threads.get_mut(&thread).unwrap().late.take().unwrap();
                if !refused {
                    self.set(thread, number, all);
                }
            }
            Act::Exit(_) if own.process != FIRST => self.exit(thread),
            Act::Exec(_) if own.process != FIRST => {
                for id in self.of(own.process) {
                    self.threads.remove(&id);
                }
                self.threads.insert(own.process, own);
            }
            Act::Adopt(_) => {
                self.log.adopts(own.process);
                self.processes.get_mut(&own.process).unwrap().adopts = true;
            }
            _ => {}
        }
    }

    /// What is known of calls in a process before another one is begun there: of threads that have ended.
    fn settle(&mut self, process: Id) {
        for id in self.log.unfinished(process) {
            if !self.threads.contains_key(&id) {
                self.log.gone(id);
            }
        }
    }

    /// What the log says of each thread and what that has, where it says something.
    fn check(&self) -> Result<(), (Id, Unclear)> {
        let mut unclear = None;
        for (id, thread) in &self.threads {
            match self.log.chain(&self.seen(*id)) {
                Ok(chain) => {
                    let has: Vec<Filter> = thread.chain[1..].iter().map(|(_, number)| filter(*number)).collect();
                    let said: Vec<Filter> = chain.iter().map(|filter| (**filter).clone()).collect();
                    assert_eq!(said, has, "of {id:?}");
                }
                Err(error) => unclear = Some((*id, error)),
            }
        }
        unclear.map_or(Ok(()), Err)
    }
}

fn any_act() -> impl Strategy<Value = Act> {
    let how = prop_oneof![
        6 => Just(How::Seen), 1 => Just(How::Refused), 2 => Just(How::Late), 1 => Just(How::LateRefused),
    ];
    prop_oneof![
        3 => any::<usize>().prop_map(Act::Fork),
        1 => any::<usize>().prop_map(Act::ForkSibling),
        3 => any::<usize>().prop_map(Act::Thread),
        6 => (any::<usize>(), 1..4u8, any::<bool>(), how).prop_map(|(a, b, c, d)| Act::Install(a, b, c, d)),
        3 => any::<usize>().prop_map(Act::Finish),
        2 => any::<usize>().prop_map(Act::Exit),
        1 => any::<usize>().prop_map(Act::Exec),
        1 => any::<usize>().prop_map(Act::Adopt),
        1 => Just(Act::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn issue_10_a_chain_that_the_log_gives_is_the_right_one(acts in proptest::collection::vec(any_act(), 1..40)) {
        let mut model = Model::new();
        for act in acts {
            model.act(act);
            let _ = model.check();
        }
    }

    #[test]
    fn issue_10_chains_of_orderly_processes_are_always_known(
        acts in proptest::collection::vec((0..3u8, any::<usize>(), 1..4u8), 1..40),
    ) {
        let mut model = Model::new();
        model.act(Act::Fork(0));
        for (kind, which, number) in acts {
            let process = model.free(which).map(|thread| model.threads[&thread].process);
            // A parent that installs something when its children have something else: those with CLONE_PARENT could be of either.
            let late = kind == 2 && model.processes.values().any(|child| child.parent == process);
            // The first process adopts orphans, so of its children nothing is known.
            if process == Some(FIRST) || late {
                continue;
            }
            match kind {
                0 => model.act(Act::Fork(which)),
                1 => model.act(Act::Thread(which)),
                _ => model.act(Act::Install(which, number, true, How::Seen)),
            }
            prop_assert_eq!(model.check(), Ok(()));
        }
    }
}

fn plain(thread: i32, process: i32, depth: usize) -> Seen {
    let id = |tid| Id { tid, start: 1 };
    Seen { thread: id(thread), process: id(process), threads: vec![id(process), id(thread)], ancestors: vec![], depth }
}

#[test]
fn issue_10_who_takes_the_first_threads_place_has_not_what_that_installed() {
    let mut log = Log::new(vec![filter(0)]);
    let first = Seen { threads: vec![plain(10, 10, 1).thread, plain(11, 10, 1).thread], ..plain(10, 10, 1) };
    log.begins(&first, filter(1));
    log.ends(first.thread, 2);
    // Another thread called execve(2), and its call has not come to its end.
    let alone = Seen { threads: vec![first.thread], ..first };
    log.begins(&alone, filter(2));
    assert_eq!(log.chain(&Seen { depth: 2, ..alone }), Err(Unclear::Several(2)));
}

#[test]
fn issue_10_what_could_be_several_is_not_guessed() {
    let mut log = Log::new(vec![filter(0)]);
    for (thread, number) in [(11, 1), (12, 2)] {
        log.begins(&plain(thread, 10, 1), filter(number));
        log.ends(plain(thread, 10, 1).thread, 2);
    }
    assert_eq!(log.chain(&plain(11, 10, 2)).unwrap()[0].bytes, filter(1).bytes);
    assert_eq!(log.chain(&plain(12, 10, 2)).unwrap()[0].bytes, filter(2).bytes);
    assert_eq!(log.chain(&plain(13, 10, 2)), Err(Unclear::Several(2)), "a thread of either of the two");
    assert_eq!(log.chain(&plain(13, 10, 1)).unwrap(), []);
    assert_eq!(log.chain(&plain(13, 10, 3)), Err(Unclear::Unseen(3)));
    assert_eq!(log.chain(&plain(13, 10, 0)), Err(Unclear::Fewer(0)));
}
