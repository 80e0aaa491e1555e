//! Everything that must be of one instant, read while all stand still.

use std::collections::BTreeMap;

use libc::pid_t;

use super::before::{Before, Sleeps};
use super::error::fit;
use super::facts::{Facts, Namespaces};
use super::filters::Filters;
use super::inside::{Answers, Questions};
use super::ipc::Ipc;
use super::ipc::segments::Segments;
use super::pages::{self, Pages};
use super::share::Shared;
use super::sockets::Inside;
use super::space::Objects;
use super::subject::Subject;
use super::table::{Descriptions, Taken};
use super::thread::{self, Waiting};
use super::view::{Rights, View};
use super::{Error, namespaces, outside, process, space, subject};
use crate::fault::{self, Step};
use crate::freeze::Frozen;
use crate::objects::Finding;
use crate::process::tree::{self, Life, Tree};
use crate::process::{order, timers};
use crate::record::Record;
use crate::record::rights::NamespaceKind;
use crate::remote;
use crate::sys::kcmp::{self, What};

/// How often a process's timers are asked when one goes off meanwhile.
const TRIES: u32 = 8;

/// What was collected.
pub(super) struct Content {
    pub(super) records: Vec<Record>,
    pub(super) pages: Vec<Pages>,
    pub(super) processes: usize,
    pub(super) threads: usize,
    pub(super) findings: Vec<Finding>,
    pub(super) idle: usize,
}

fn point(step: Step) -> Result<(), Error> {
    fault::point(step).map_err(Error::Step)
}

/// Collects the processes `pids` of the session, of which `frozen` holds the threads.
pub(super) fn collect(
    frozen: &mut Frozen<'_>,
    pids: Vec<pid_t>,
    session: &super::Session<'_>,
    before: &mut Before,
) -> Result<Content, Error> {
    let root = session.root;
    let filters = Filters::new(session.filters.as_ref());
    let held = held(frozen);
    let subjects = Subject::all(pids.into_iter().chain(held.keys().copied()), &held)?;
    point(Step::DumpListed)?;
    let first = subjects.iter().find(|subject| subject.pid == root).ok_or(tree::NoTree::NoRoot(root))?;
    let view = View::of(&first.directory(), &first.status).map_err(Error::read(root, root, "the namespaces"))?;
    // Before anything is done in them: that would be seen.
    before.facts.retain(|pid, facts| {
        subjects.iter().find(|subject| subject.pid == *pid).is_some_and(|subject| facts.hold(subject, frozen))
    });
    let session = subject::namespaces(&first.directory()).map_err(Error::read(root, root, "the namespaces"))?;
    for subject in &subjects {
        check(subject, &session, before.facts.get(&subject.pid))?;
    }
    let mut collector = Collector::new(&subjects, view, filters, std::mem::take(&mut before.sleeps));
    collector.content.idle = before.facts.len();
    let mut tree = Vec::new();
    // The first process first: all others are in its namespaces.
    let (first, others): (Vec<&Subject>, Vec<&Subject>) = subjects.iter().partition(|subject| subject.pid == root);
    for subject in first.into_iter().chain(others) {
        let parent = collector.parent(subject, root);
        let subreaper = collector.process(frozen, subject, root)?;
        tree.push(tree::Process { subreaper, parent: parent.unwrap_or(0), ..(&subject.stat).into() });
        point(Step::DumpProcess)?;
    }
    // What has no order could not be made again.
    order::order(&Tree::new(root, tree)?)?;
    collector.memory(frozen, root, before)?;
    collector.finish(root)
}

/// The threads that are held, by process, the leader first.
fn held(frozen: &Frozen<'_>) -> BTreeMap<pid_t, Vec<pid_t>> {
    let mut held: BTreeMap<pid_t, Vec<pid_t>> = BTreeMap::new();
    for thread in frozen.threads() {
        held.entry(thread.who().pid).or_default().push(thread.who().tid);
    }
    for (pid, tids) in &mut held {
        tids.sort_by_key(|tid| (tid != pid, *tid));
    }
    held
}

/// Refuses what no record can hold of a process, before anything is done in it.
pub(super) fn check(subject: &Subject, session: &Namespaces, facts: Option<&Facts>) -> Result<(), Error> {
    let pid = subject.pid;
    if matches!(subject.life(), Life::Zombie(_)) {
        return Ok(());
    }
    if subject.tids.is_empty() {
        return Err(Error::refused(pid, "it", "it could not be stopped"));
    }
    let now = |tid| subject::namespaces(&subject.task(tid)).map_err(Error::read(pid, tid, "the namespaces"));
    for tid in &subject.tids {
        let before = facts.and_then(|facts| facts.namespaces.get(tid));
        let found = before.map_or_else(|| now(*tid), |before| Ok(before.clone()))?;
        if let Some((name, _)) = found.iter().find(|found| !session.contains(found)) {
            let what = format!("the {name} namespace of thread {tid}");
            return Err(Error::refused(pid, what, "it is nested, and nested namespaces cannot be recorded yet"));
        }
    }
    let speaker = subject.tids[0];
    for tid in &subject.tids[1..] {
        for (what, name) in [(What::Descriptors, "descriptors"), (What::Directories, "a working directory and umask")] {
            let same = kcmp::compare(speaker, *tid, what).map_err(Error::read(pid, *tid, name))?;
            if !same.is_eq() {
                return Err(Error::refused(pid, format!("thread {tid}"), format!("it has {name} of its own")));
            }
        }
    }
    Ok(())
}

/// What is kept of a process until its memory is read.
struct Space<'a> {
    subject: &'a Subject,
    tid: pid_t,
    id: u32,
}

struct Collector<'a> {
    subjects: &'a [Subject],
    view: View,
    /// Those that every thread has.
    filters: Filters<'a>,
    sleeps: Sleeps,
    /// Numbers of processes, and ids of threads and groups as the session sees them.
    numbers: BTreeMap<pid_t, u32>,
    tids: BTreeMap<pid_t, u32>,
    groups: BTreeMap<pid_t, u32>,
    rights: Rights,
    /// The numbers of those that every process is in.
    namespaces: Vec<u32>,
    spaces: Shared<pid_t>,
    tables: Shared<pid_t>,
    actions: Shared<pid_t>,
    directories: Shared<pid_t>,
    /// How many processes use each address space.
    users: BTreeMap<u32, u32>,
    new_spaces: Vec<Space<'a>>,
    new_tables: Vec<Space<'a>>,
    content: Content,
}

impl<'a> Collector<'a> {
    fn new(subjects: &'a [Subject], view: View, filters: Filters<'a>, sleeps: Sleeps) -> Self {
        let numbers = subjects.iter().map(|subject| (subject.pid, subject.id)).collect();
        let mut groups = BTreeMap::new();
        let mut tids = BTreeMap::new();
        for subject in subjects {
            groups.insert(subject.stat.group, view.pid(&subject.status.process_groups));
            tids.insert(subject.pid, view.pid(&subject.status.tgids));
        }
        Self {
            subjects,
            view,
            filters,
            sleeps,
            numbers,
            tids,
            groups,
            rights: Rights::default(),
            namespaces: Vec::new(),
            spaces: Shared::new(1),
            tables: Shared::new(1),
            actions: Shared::new(1),
            directories: Shared::new(1),
            users: BTreeMap::new(),
            new_spaces: Vec::new(),
            new_tables: Vec::new(),
            content: Content {
                records: Vec::new(),
                pages: Vec::new(),
                processes: subjects.len(),
                threads: subjects.iter().map(|subject| subject.tids.len()).sum(),
                findings: Vec::new(),
                idle: 0,
            },
        }
    }

    /// The parent of a process; none for the first. What was put into the session has one outside, and gets the first.
    fn parent(&self, subject: &Subject, root: pid_t) -> Option<pid_t> {
        let parent = subject.stat.parent;
        let parent = if self.numbers.contains_key(&parent) { parent } else { root };
        (subject.pid != root).then_some(parent)
    }

    /// The records of one process but for memory and descriptors. Returns whether it is a subreaper.
    fn process(&mut self, frozen: &mut Frozen<'_>, subject: &'a Subject, root: pid_t) -> Result<bool, Error> {
        let parent = self.parent(subject, root).and_then(|parent| self.numbers.get(&parent).copied());
        let Some(speaker) = subject.speaker() else {
            self.content.records.push(process::record(subject, parent, &self.view)?.into());
            return Ok(false);
        };
        let mut record = process::record(subject, parent, &self.view)?;
        for tid in &subject.tids {
            let status = thread::status(subject, *tid)?;
            self.filters.look(subject.pid, *tid, &status, frozen.thread(*tid))?;
            self.tids.insert(*tid, self.view.pid(&status.pids));
        }
        let pid = subject.pid;
        let timers = timers::read(format!("/proc/{pid}").as_ref()).map_err(Error::read(pid, pid, "timers"))?;
        let caught = process::caught(subject);
        let mut tries = 0;
        let (asked, answers, waiting) = loop {
            let before = Waiting::of(subject)?;
            let mut questions = Questions::default();
            let of_thread = thread::Asked::ask(&mut questions);
            let of_process = process::Asked::ask(&mut questions, &caught, &timers);
            let of_names = (subject.pid == root).then(|| namespaces::Asked::ask(&mut questions));
            let (held, mut answers) = ask(frozen, subject, speaker, questions)?;
            outside::of_process(subject, &self.view, &of_process, &mut answers);
            complete(subject, speaker, &held, &of_thread, &mut answers)?;
            let waiting = Waiting::of(subject)?;
            tries += 1;
            // A timer that went off in between would be in both.
            if waiting == before || tries == TRIES {
                if let Some(of_names) = &of_names {
                    let last = self.last_pid(frozen, speaker)?;
                    let records = namespaces::records(subject, (of_names, &answers), last)?;
                    self.namespaces = records.iter().map(|record| record.id).collect();
                    self.content.records.extend(records.into_iter().map(Record::from));
                }
                self.thread(subject, speaker, &held, (&of_thread, &answers), &waiting)?;
                break (of_process, answers, waiting);
            }
        };
        point(Step::DumpAsked)?;
        for tid in &subject.tids[1..] {
            let mut questions = Questions::default();
            let of_thread = thread::Asked::ask(&mut questions);
            let (held, mut answers) = ask(frozen, subject, *tid, questions)?;
            complete(subject, *tid, &held, &of_thread, &mut answers)?;
            self.thread(subject, *tid, &held, (&of_thread, &answers), &waiting)?;
        }
        record.signals = waiting.shared(pid)?;
        record.namespaces = fit(pid, "namespaces", self.namespaces.clone())?;
        record.subreaper = asked.subreaper(&answers);
        record.dumpable = asked.dumpable(&answers);
        self.parts(subject, speaker, &mut record, (&asked, &answers))?;
        let subreaper = record.subreaper;
        self.content.records.push(record.into());
        self.content.records.push(asked.timers(subject, &answers, &self.tids)?.into());
        self.content.records.push(process::limits(subject)?.into());
        Ok(subreaper)
    }

    /// The newest pid of the session.
    fn last_pid(&self, frozen: &mut Frozen<'_>, speaker: pid_t) -> Result<u32, Error> {
        let Some(stopped) = frozen.thread(speaker).filter(|_| self.view.is_below()) else { return Ok(0) };
        let mut thread = stopped.thread()?;
        let last = namespaces::last_pid(&mut thread);
        thread.close()?;
        Ok(last.unwrap_or_else(|| self.tids.values().copied().max().unwrap_or(0)))
    }

    /// What a process may share with others: address space, descriptors, signal actions.
    fn parts(
        &mut self,
        subject: &'a Subject,
        tid: pid_t,
        record: &mut crate::record::process::Process,
        of: (&process::Asked, &Answers),
    ) -> Result<(), Error> {
        let pid = subject.pid;
        let compare = |what| move |one: &pid_t, other: &pid_t| kcmp::compare(*one, *other, what);
        let read = || Error::read(pid, tid, "what it shares with others");
        let (_, own) = self.directories.number(tid, compare(What::Directories)).map_err(read())?;
        if !own {
            let why = "it shares them with another process, which cannot be recorded yet";
            return Err(Error::refused(pid, "its working directory and umask", why));
        }
        let (space, new) = self.spaces.number(tid, compare(What::Memory)).map_err(read())?;
        *self.users.entry(space).or_default() += 1;
        if new {
            self.new_spaces.push(Space { subject, tid, id: space });
            self.content.records.push(space::record(subject, space, of, &self.view)?.into());
        }
        let (table, new) = self.tables.number(tid, compare(What::Descriptors)).map_err(read())?;
        if new {
            self.new_tables.push(Space { subject, tid, id: table });
        }
        let (actions, new) = self.actions.number(tid, compare(What::Handlers)).map_err(read())?;
        if new {
            self.content.records.push(of.0.actions(subject, actions, of.1)?.into());
        }
        (record.space, record.table, record.actions) = (Some(space), Some(table), Some(actions));
        Ok(())
    }

    fn thread(
        &mut self,
        subject: &Subject,
        tid: pid_t,
        held: &thread::Held,
        of: (&thread::Asked, &Answers),
        waiting: &Waiting,
    ) -> Result<(), Error> {
        let mut record =
            thread::record(subject, tid, held, of, (&self.view, &self.sleeps, &mut self.filters), &mut self.rights)?;
        record.signals = waiting.own(subject.pid, tid)?;
        self.content.records.push(record.into());
        point(Step::DumpThread)
    }

    /// Mappings, pages and descriptors. Nothing is changed in any process from here on, but for what is asked of Unix sockets and of
    /// the ipc namespace.
    fn memory(&mut self, frozen: &mut Frozen<'_>, root: pid_t, before: &mut Before) -> Result<(), Error> {
        let speaker = self.subjects.iter().find(|subject| subject.pid == root).and_then(Subject::speaker);
        let mut inside = Inside { frozen, pid: root, tid: speaker.unwrap_or(root) };
        let (ipc, segments) = match self.ipc_namespace() {
            Some(namespace) => {
                let (ipc, segments) = Ipc::look(&mut inside, namespace, &self.view)?;
                (Some(ipc), segments)
            }
            None => (None, Segments::default()),
        };
        let mut objects = Objects::new(segments);
        for Space { subject, tid, id } in std::mem::take(&mut self.new_spaces) {
            let pid = subject.pid;
            // Who shares the memory may have changed its mappings.
            let alone = self.users.get(&id).is_none_or(|users| *users == 1);
            let mapped = match before.facts.remove(&pid).filter(|_| alone) {
                Some(facts) => facts.mapped,
                None => space::mapped(subject)?,
            };
            let guards = pages::guards(tid, &mapped).map_err(Error::read(pid, tid, "the guard regions"))?;
            let mut mappings = Vec::new();
            for mapped in &mapped {
                let mut mapping =
                    space::mapping(pid, tid, id, mapped, &mut objects, (&self.view, &mut before.watches))?;
                mapping.guards = fit(pid, "guard regions", pages::within(&guards, mapped))?;
                mappings.push(mapping);
            }
            self.content.pages.push(Pages::of_space(pid, tid, id, &mappings, before.memory.take(pid, tid))?);
            self.content.records.extend(mappings.into_iter().map(Record::from));
            point(Step::DumpMemory)?;
        }
        let mut descriptions = Descriptions::new(&self.view, &self.tids, &self.groups, &mut before.watches);
        for Space { subject, tid, id } in std::mem::take(&mut self.new_tables) {
            self.content.records.push(descriptions.table(subject, tid, id, &mut objects)?.into());
            point(Step::DumpTable)?;
        }
        let Taken { records, findings, terminals, queues } =
            descriptions.finish(self.subjects, &mut objects, &mut inside)?;
        for record in &mut self.content.records {
            if let Record::Process(process) = record {
                process.terminal = terminals.get(&process.id).copied();
            }
        }
        self.content.records.extend(records);
        self.content.findings = findings;
        match ipc {
            Some(ipc) => {
                let (records, findings) = ipc.take(&mut inside, self.subjects, queues, &self.view)?;
                self.content.records.extend(records);
                self.content.findings.extend(findings);
            }
            None => queues.none()?,
        }
        for (record, pages) in objects.finish(&mut inside)? {
            self.content.records.push(record.into());
            self.content.pages.push(pages);
        }
        Ok(())
    }

    /// The number of the session's own ipc namespace.
    fn ipc_namespace(&self) -> Option<u32> {
        self.content.records.iter().find_map(|record| match record {
            Record::Namespace(it) if it.kind == NamespaceKind::Ipc => Some(it.id),
            _ => None,
        })
    }

    fn finish(mut self, root: pid_t) -> Result<Content, Error> {
        debug_assert_eq!(self.subjects.len(), self.content.processes);
        self.content.records.extend(self.rights.records());
        self.content.records.extend(self.filters.records(root)?);
        point(Step::DumpCollected)?;
        Ok(self.content)
    }
}

/// Finds in other ways what a thread's filters deny it to be asked, and refuses what is left of that.
fn complete(
    subject: &Subject,
    tid: pid_t,
    held: &thread::Held,
    asked: &thread::Asked,
    answers: &mut Answers,
) -> Result<(), Error> {
    if answers.left().is_some() {
        outside::of_thread((tid, &thread::status(subject, tid)?), held, asked, answers);
    }
    answers.left().map_or(Ok(()), |why| Err(Error::refused(subject.pid, format!("thread {tid}"), why)))
}

/// Has a thread answer, and reads its own registers and mask.
fn ask(
    frozen: &mut Frozen<'_>,
    subject: &Subject,
    tid: pid_t,
    questions: Questions,
) -> Result<(thread::Held, Answers), Error> {
    let stopped =
        frozen.thread(tid).ok_or_else(|| Error::refused(subject.pid, format!("thread {tid}"), "it is gone"))?;
    if let Err(remote::Error::Unable { why, .. }) = stopped.registers() {
        return Err(Error::refused(subject.pid, format!("thread {tid}"), why));
    }
    if let Some(vdso) = space::vdso_around(&subject.task(tid), stopped.registers()?.instruction()) {
        // Another kernel's looks otherwise.
        stopped.leave(&vdso)?;
    }
    let mut thread = stopped.thread()?;
    let held = thread::Held { registers: *thread.saved(), mask: thread.mask() };
    let answers = questions.put(&mut thread)?;
    thread.close()?;
    Ok((held, answers))
}
