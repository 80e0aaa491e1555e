//! From process content to a tree of processes that goes on exactly where it was.
//!
//! ```text
//! records   read and checked
//! first     a process in its namespaces, with nothing in its memory but a place from which calls are made
//! open      open file descriptions are made here, terminals where the first process mounts them, and sent there
//! tree      it and its descendants make the others, with their pids; all are traced from their birth
//! ipc       System V objects are made, in the ipc namespace of the processes
//! sockets   Unix sockets are made by those that are to show as who made them
//! map       each maps its memory
//! fill      pages are put there, as they are read
//! seal      protections, the program's addresses; directories, signal actions, descriptors
//! threads   made with their ids; each sets what it has alone
//! last      timers, waiting signals, seccomp filters, registers; what is watched for changes
//! run       all go on
//! ```
//!
//! It is all or nothing: until [`Restored::run`] nothing runs any code of its own, and whatever fails, or is dropped, is
//! killed with everything else that was made. The kernel kills it should this process die (`PTRACE_O_EXITKILL`).
//!
//! What it expects of the content, beyond what [`crate::record::check`] does: all records stand before the first region; the
//! first process's pid is 1 where the plan makes a pid namespace.

mod area;
mod content;
mod descriptors;
mod error;
mod files;
mod filters;
mod first;
mod first_files;
mod inet;
mod ipc;
mod list;
mod made;
mod memory;
mod namespaces;
mod nursery;
mod process;
mod rights;
mod sockets;
mod stub;
mod terminals;
mod threads;
mod tree;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::time::Duration;

use libc::pid_t;

use crate::fault::Step as Fault;
use crate::objects::{Finding, memfd};
use crate::record::{Item, Owner, Reader};
use crate::remote::Tracer;
use crate::sys::ptrace;

pub use error::{Error, Name, Object};
pub use files::{Files, Root};
pub use filters::Own;
pub use namespaces::Clocks;
pub use terminals::Terminals;

use content::Content;
use descriptors::Open;
use error::Result;
use made::Made;
use memory::Space;
use nursery::Nursery;
use sockets::Way;
use threads::Pair;
use tree::Forest;

/// Where and how processes are made.
pub struct Plan<'p> {
    /// The namespaces that the first process is made in (`CLONE_NEWUSER` and others).
    pub namespaces: u64,
    /// Called with the first process's pid, as this process sees it, before that runs anything: writes its id maps, and makes
    /// in its namespaces what they are to hold, such as mounts. It must be user 0 in its user namespace.
    pub prepare: &'p mut dyn FnMut(pid_t) -> io::Result<()>,
    /// A time namespace of its own with these clocks; none: the clocks of whom makes it.
    pub clocks: Option<Clocks>,
    /// Where pseudo-terminals are.
    pub terminals: Terminals,
    /// The seccomp filter that every process begins with; none: the processes have those of the content alone.
    pub filter: Option<Own<'p>>,
    /// How paths of the session are opened.
    pub files: &'p dyn Files,
    /// How far the time of day has moved since the save: absolute timers of CLOCK_REALTIME are that much nearer.
    pub passed: Duration,
    /// How long any one wait for a process may take.
    pub patience: Duration,
}

/// Processes that are complete and stand still. Dropped, they are killed.
pub struct Restored<'t> {
    made: Made,
    first: pid_t,
    threads: Vec<pid_t>,
    findings: Vec<Finding>,
    _tracer: &'t Tracer,
}

impl Restored<'_> {
    /// The pid of the first process, as this process sees it.
    #[must_use]
    pub fn first(&self) -> pid_t {
        self.first
    }

    /// What it is without, that a restore may do without.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Lets all go at once. The first process is a child of this one.
    ///
    /// # Errors
    /// When one is gone, because somebody killed it. All others are killed then.
    pub fn run(mut self) -> Result<pid_t> {
        for tid in &self.threads {
            ptrace::detach(*tid, 0).map_err(|error| Error::Object {
                what: format!("thread {tid}"),
                call: "PTRACE_DETACH",
                error,
            })?;
        }
        self.made.let_go();
        Ok(self.first)
    }

    /// Kills all; nothing is left.
    pub fn discard(mut self) {
        self.made.kill();
    }
}

/// Makes the processes of the content that `source` reads.
///
/// # Errors
/// [`Error`]; nothing is left of what was begun.
pub fn restore<'t, R: Read>(tracer: &'t Tracer, source: R, mut plan: Plan<'_>) -> Result<Restored<'t>> {
    let mut made = Made::new(plan.patience);
    let mut reader = Reader::begin(source)?;
    let (content, region) = Content::read(&mut reader)?;
    let nursery = Nursery::plan(&content)?;
    let area = area::Area::find(content.taken(), nursery.length())?;
    let root = content.processes.values().find(|process| process.parent.is_none());
    let root = root.ok_or_else(|| Error::unable("the content", "it has no process"))?;
    check_first(root, &plan)?;
    ipc::check(&content, plan.namespaces)?;
    let (stub, channel) = first::make(&mut plan, area, &content.name(root), &mut made)?;
    let (first, root) = (stub.tid, stub.clone());
    namespaces::give(&stub, &content, plan.namespaces, plan.clocks, &channel)?;
    let limits = ipc::Limits::raise(&content, &stub, &channel)?;
    let devpts = terminals::roots(&stub, &content, &plan)?;
    // Paths lead to files from here on: the namespaces are as the plan prepared them.
    let mut open = Open::new(&content, plan.files, plan.passed, &devpts, (&stub, &channel))?;
    open.netlink(&content, &stub)?;
    inet::give(&mut open, &content, &stub)?;
    ipc::queues(&mut open, &content, &stub)?;
    drop(devpts);
    filters::own(&stub, plan.filter.as_mut())?;
    open.send(&stub, &channel)?;
    terminals::own(&stub, &content, &open)?;
    terminals::controlling(&stub, content.free_id()?, &content, &mut open, &mut made)?;
    nursery.make(&stub)?;
    let mut forest = Forest::grow(&content, stub, &open, &mut made)?;
    ipc::make(&content, &forest, (&open, &nursery), &root)?;
    open.sockets(&content, &forest, Way { first: &root, channel: &channel, end: 0 }, &mut made)?;
    forest.end(&open, &mut made)?;
    let pairs = tree::pairs(&content, &forest);

    let mut spaces = BTreeMap::new();
    for (process, stub) in &pairs {
        let record = process.space.filter(|id| !spaces.contains_key(id)).and_then(|id| content.spaces.get(&id));
        if let Some(record) = record {
            spaces.insert(record.id, Space::map(record, &content, stub, (&open, &nursery))?);
        }
    }
    let mut region = region;
    while let Some(pages) = region.take() {
        match pages.owner() {
            Owner::Space(id) => memory::fill(&pages, id, &mut spaces)?,
            Owner::Object(id) => memory::fill_object(&pages, id, &content, (&open, &nursery), &root)?,
        }
        region = match reader.next()? {
            Some(Item::Region(region)) => Some(region),
            Some(Item::Record(record)) => {
                return Err(Error::unable(format!("{} behind pages", record.kind().name), "records come first"));
            }
            None => None,
        };
    }
    for space in spaces.into_values() {
        space.seal(&open, &nursery)?;
    }
    // First: a seal can be against changes of permissions.
    open.own(&content, &root)?;
    for object in content.objects.values() {
        if let Some(made) = open.descriptor(&descriptors::Key::Object(object.id)) {
            memfd::give_seals(made, object)?;
        }
    }
    ipc::undo(&content, &pairs)?;
    let mut findings = ipc::finish(&content, &open, limits, &root)?;
    for (process, stub) in &pairs {
        process::settings(stub, process, &open)?;
        findings.extend(process::memory_score(stub, process)?);
    }
    let mut done = BTreeSet::new();
    for (process, stub) in &pairs {
        if let Some(actions) = process.actions.filter(|id| done.insert(*id)) {
            process::actions(stub, &content.actions[&actions])?;
        }
    }
    let mut all = Vec::new();
    for (process, stub) in &pairs {
        all.push((*process, threads::make(stub, process, content.threads(process.id), &mut made)?));
    }
    let find = |id| {
        let by_id = |pair: &&Pair<'_>| content::tid(pair.record) == id;
        let thread = all.iter().flat_map(|(_, threads)| threads).find(by_id).map(|pair| pair.stub.tid);
        // A process whose first thread has ended, or one that has ended itself.
        thread.or_else(|| forest.id(id))
    };
    if let Some(last) = content.last_pid().filter(|_| plan.namespaces & libc::CLONE_NEWPID as u64 != 0) {
        let first = all.iter().find(|(process, _)| process.parent.is_none());
        let speaks = first.and_then(|(_, threads)| threads.first()).map_or(&root, |pair| &pair.stub);
        process::last_pid(speaks, last, open.number(&descriptors::Key::LastPid)?)?;
    }
    open.late(&content, plan.files, find)?;
    open.owners(&content, find)?;
    let mut done = BTreeSet::new();
    for (process, threads) in &all {
        let Some(Pair { stub, .. }) = threads.first() else { continue };
        if let Some(table) = process.table.filter(|id| done.insert(*id)) {
            open.place(stub, &content.tables[&table], &content, &channel)?;
        }
    }
    let instances = open.instances(&content)?;
    drop((open, channel));
    let mut done = BTreeSet::new();
    for (process, threads) in &all {
        threads.iter().try_for_each(threads::equip)?;
        for pair in threads {
            let early = || filters::early(pair, &content);
            rights::give(&pair.stub, &content.credentials[&pair.record.credentials], early)?;
            // The first process's parent is the thread that restores, which is about to end.
            if process.parent.is_some() {
                threads::after_credentials(pair)?;
            }
        }
        let Some(Pair { stub, .. }) = threads.first() else { continue };
        if let Some(table) = process.table.filter(|id| done.insert(*id)) {
            descriptors::lock(stub, &content.tables[&table])?;
        }
        if let Some(limits) = content.limits.get(&process.id) {
            process::limits(stub, limits)?;
        }
        process::dumpable(stub, process)?;
    }
    last(&content, &all)?;
    instances.watch(plan.files)?;
    let threads = all.iter().flat_map(|(_, threads)| threads.iter().map(|pair| pair.stub.tid)).collect();
    Ok(Restored { made, first, threads, findings, _tracer: tracer })
}

/// What is done when nothing else is left to do.
fn last(content: &Content, all: &[(&crate::record::process::Process, Vec<Pair<'_>>)]) -> Result {
    for (process, threads) in all {
        let Some(Pair { stub, .. }) = threads.first() else { continue };
        if let Some(timers) = content.timers.get(&process.id) {
            process::timers(stub, timers)?;
        }
    }
    let mut done = BTreeSet::new();
    for (process, threads) in all {
        let Some(Pair { stub, .. }) = threads.first() else { continue };
        if let Some(actions) = process.actions.filter(|id| done.insert(*id)) {
            process::last(stub, &content.actions[&actions])?;
        }
        for (place, pair) in threads.iter().enumerate() {
            threads::queue_signals(pair, process, place == 0)?;
        }
        stub.point(Object::Process, Fault::RestoreTimers)?;
    }
    let mut left = BTreeMap::new();
    for (process, threads) in all {
        *left.entry(process.space).or_insert(0) += threads.len();
    }
    for (process, threads) in all {
        let mut registers = Vec::new();
        for pair in threads {
            registers.push(wait::begin(pair, threads::registers(pair)?)?);
        }
        threads.iter().rev().try_for_each(threads::register)?;
        filters::late(threads, content)?;
        for pair in threads.iter().rev() {
            let left = left.entry(process.space).or_default();
            *left -= 1;
            if *left == 0 {
                let sequence = threads::sequence(pair)?;
                memory::drop_area(&pair.stub)?;
                threads::put_sequence(pair, sequence)?;
            }
        }
        for (pair, registers) in threads.iter().zip(registers) {
            threads::give_registers(pair, registers)?;
        }
    }
    Ok(())
}

/// Fails for what no namespace can hold.
fn check_first(root: &crate::record::process::Process, plan: &Plan<'_>) -> Result {
    let what = format!("process {}", content::pid(root));
    if plan.namespaces & libc::CLONE_NEWPID as u64 != 0 && content::pid(root) != 1 {
        return Err(Error::unable(what, "the first process of a pid namespace has the pid 1"));
    }
    if root.pids.len() > 1 {
        return Err(Error::unable(what, "this release cannot make nested pid namespaces"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
