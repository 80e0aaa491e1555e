//! Whether records fit together. Pure; everything in a foreign snapshot is hostile, and a resume trusts what passes here:
//! numbers that are referred to exist, are of the right kind and given once; ranges are whole pages and do not overlap;
//! ids of processes are within their range and belong to one.

mod inet;
mod ipc;
mod sockets;
mod terminals;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::inet::TcpSocket;
use super::memory::{Backing, Mapping, Origin};
use super::objects::{Common, Content, DescriptorTable};
use super::process::{Process, State, Thread, Timers};
use super::rights::{Namespace, NamespaceKind};
use super::sockets::UnixSocket;
use super::terminals::Terminal;
use super::{Owner, Record, Run};
use crate::memory::PAGE;
use values::{
    PID_MAX, actions, credentials, ensure, fail, filter, ids, inotify, locks, path, pipe, ranges, refers, signal,
    signals,
};

/// The end of the addresses that programs can map, with five levels of page tables (TASK_SIZE_MAX of
/// arch/x86/include/asm/page_64.h). Only vsyscall is above it.
const ADDRESS_END: u64 = (1 << 56) - PAGE;
/// Where the kernel shows vsyscall (VSYSCALL_ADDR).
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
/// No descriptor is larger: `fs.nr_open` cannot be above it (fs/file.c, `sysctl_nr_open_max` rounded down).
const DESCRIPTOR_MAX: u32 = 0x7fff_ffbf;

/// Why content is not to be resumed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the process content contradicts itself: {who}: {reason}; no release of Freezeframe wrote it so, do not resume it"
)]
pub struct Contradiction {
    /// The record.
    pub who: String,
    /// What does not fit.
    pub reason: String,
}

type Result<T = ()> = std::result::Result<T, Contradiction>;

/// Checks all records of one stream, and the pages that it has.
///
/// # Errors
/// The first [`Contradiction`] that is found.
pub fn check<'a>(records: &[Record], regions: impl IntoIterator<Item = (Owner, &'a [Run])>) -> Result {
    let known = Known::gather(records)?;
    for record in records {
        known.record(record)?;
    }
    known.tree()?;
    known.terminals(records)?;
    known.waiting()?;
    known.waiting_for_accept()?;
    known.ipc(records)?;
    known.mappings(records)?;
    for (owner, runs) in regions {
        known.region(owner, runs)?;
    }
    Ok(())
}

/// All numbers that records give, by kind.
#[derive(Default)]
struct Known<'a> {
    processes: BTreeMap<u32, &'a Process>,
    /// Processes with a thread that is their first.
    led: HashSet<u32>,
    /// Processes with any thread.
    alive: HashSet<u32>,
    actions: HashSet<u32>,
    credentials: HashSet<u32>,
    namespaces: BTreeMap<u32, &'a Namespace>,
    filters: HashSet<u32>,
    spaces: HashSet<u32>,
    objects: HashMap<u32, u64>,
    /// Those of System V.
    segments: HashMap<u32, u64>,
    /// POSIX message queues.
    queues: HashSet<u32>,
    tables: HashSet<u32>,
    pipes: HashSet<u32>,
    descriptions: HashSet<u32>,
    sockets: HashMap<u32, &'a UnixSocket>,
    tcp: HashMap<u32, &'a TcpSocket>,
    devpts: HashSet<u32>,
    terminals: BTreeMap<u32, &'a Terminal>,
    /// Ids of processes and threads in the session's namespace.
    pids: HashSet<u32>,
}

impl<'a> Known<'a> {
    fn gather(records: &'a [Record]) -> Result<Self> {
        let mut known = Self::default();
        let (mut timers, mut limits, mut ipc_limits) = (HashSet::new(), HashSet::new(), HashSet::new());
        for record in records {
            let (new, number) = match record {
                Record::Process(it) => (known.processes.insert(it.id, it).is_none(), it.id),
                Record::Thread(it) => {
                    let tid = it.tids.first().copied().unwrap_or(0);
                    known.alive.insert(it.process);
                    (known.pids.insert(tid), tid)
                }
                Record::SignalActions(it) => (known.actions.insert(it.id), it.id),
                Record::Timers(it) => (timers.insert(it.process), it.process),
                Record::Limits(it) => (limits.insert(it.process), it.process),
                Record::Credentials(it) => (known.credentials.insert(it.id), it.id),
                Record::Namespace(it) => (known.namespaces.insert(it.id, it).is_none(), it.id),
                Record::Filter(it) => (known.filters.insert(it.id), it.id),
                Record::AddressSpace(it) => (known.spaces.insert(it.id), it.id),
                Record::SharedObject(it) => {
                    if let Origin::SystemV { .. } = it.origin {
                        known.segments.insert(it.id, it.size);
                    }
                    (known.objects.insert(it.id, it.size).is_none(), it.id)
                }
                Record::PosixQueue(it) => (known.queues.insert(it.id), it.id),
                Record::IpcLimits(it) => (ipc_limits.insert(it.namespace), it.namespace),
                Record::DescriptorTable(it) => (known.tables.insert(it.id), it.id),
                Record::Pipe(it) => (known.pipes.insert(it.id), it.id),
                Record::Devpts(it) => (known.devpts.insert(it.id), it.id),
                Record::Terminal(it) => (known.terminals.insert(it.id, it).is_none(), it.id),
                // Sets and queues of System V have identifiers in their namespace.
                Record::Mapping(_) | Record::SemaphoreSet(_) | Record::MessageQueue(_) => continue,
                other => {
                    let id = common(other).map_or(0, |common| common.id);
                    match other {
                        Record::UnixSocket(it) => drop(known.sockets.insert(id, it)),
                        Record::TcpSocket(it) => drop(known.tcp.insert(id, it)),
                        _ => {}
                    }
                    (known.descriptions.insert(id), id)
                }
            };
            ensure(new, record.kind().name, || format!("number {number} is given twice"))?;
        }
        // A thread's number may be the pid of its own process only.
        let mut owners = HashMap::new();
        for process in known.processes.values() {
            let pid = process.pids.first().copied().unwrap_or(0);
            let twice = owners.insert(pid, process.id).is_some();
            ensure(!twice, &format!("process {}", process.id), || format!("pid {pid} is another's too"))?;
        }
        for record in records {
            if let Record::Thread(thread) = record
                && let Some(owner) = thread.tids.first().and_then(|tid| owners.get(tid))
            {
                let who = format!("a thread of process {}", thread.process);
                ensure(*owner == thread.process, &who, || format!("its id is the pid of process {owner}"))?;
                known.led.insert(*owner);
            }
        }
        known.pids.extend(owners.into_keys());
        Ok(known)
    }

    fn record(&self, record: &Record) -> Result {
        match record {
            Record::Process(it) => self.process(it),
            Record::Thread(it) => self.thread(it),
            Record::SignalActions(it) => actions(it),
            Record::Timers(it) => self.timers(it),
            Record::Limits(it) => {
                let who = format!("limits of process {}", it.process);
                refers(self.processes.contains_key(&it.process), &who, "process", it.process)?;
                ensure(it.limits.len() == 16, &who, || format!("{} of them instead of 16", it.limits.len()))?;
                ensure(it.limits.iter().all(|limit| limit.soft <= limit.hard), &who, || {
                    "one is above what it may be raised to".to_owned()
                })
            }
            Record::Credentials(it) => credentials(it),
            Record::Namespace(it) => self.namespace(it),
            Record::Filter(it) => filter(it),
            Record::AddressSpace(it) => {
                let who = format!("address space {}", it.id);
                ensure(it.bounds.len() == 11, &who, || format!("{} addresses instead of 11", it.bounds.len()))?;
                ensure(it.bounds.iter().all(|address| *address <= ADDRESS_END), &who, || {
                    "an address is above all that can be mapped".to_owned()
                })?;
                path(&who, &it.executable)
            }
            Record::SharedObject(it) => {
                let who = format!("shared object {}", it.id);
                ensure(i64::try_from(it.size).is_ok(), &who, || format!("{} bytes long", it.size))?;
                if let Origin::File { near, .. } | Origin::Directory { near } = &it.origin {
                    path(&who, near)?;
                }
                if let Origin::SystemV { segment } = &it.origin {
                    self.segment(&who, segment, it.size)?;
                }
                Ok(())
            }
            Record::DescriptorTable(it) => self.table(it),
            Record::Pipe(it) => pipe(it),
            Record::Mapping(it) => self.mapping(it),
            Record::Devpts(it) => terminals::devpts(it),
            Record::Terminal(it) => self.terminal(it),
            Record::SemaphoreSet(it) => self.semaphore_set(it),
            Record::MessageQueue(it) => self.message_queue(it),
            Record::PosixQueue(it) => self.posix_queue(it),
            Record::IpcLimits(it) => self.ipc_limits(it),
            other => self.description(other),
        }
    }

    fn process(&self, it: &Process) -> Result {
        let who = format!("process {}", it.id);
        ids(&who, &it.pids)?;
        ids(&who, &[it.group, it.session])?;
        signals(&who, &it.signals)?;
        signal(&who, it.exit_signal, 0)?;
        self.controlled(&who, it)?;
        if let State::Stopped { signal: by } = it.state {
            signal(&who, by, 1)?;
        }
        ensure((-1000..=1000).contains(&it.oom_score_adj), &who, || format!("oom_score_adj {}", it.oom_score_adj))?;
        ensure(it.dumpable <= 2, &who, || format!("dumpable {}", it.dumpable))?;
        let ended = matches!(it.state, State::Ended { .. });
        if !ended {
            path(&who, &it.directory)?;
            path(&who, &it.root)?;
        }
        for (what, number, set) in [
            ("address space", it.space, &self.spaces),
            ("descriptor table", it.table, &self.tables),
            ("signal actions", it.actions, &self.actions),
        ] {
            match number {
                Some(number) => refers(set.contains(&number), &who, what, number)?,
                None => ensure(ended, &who, || format!("it runs without {what}"))?,
            }
        }
        let mut kinds = HashSet::new();
        for number in it.namespaces.iter() {
            let Some(namespace) = self.namespaces.get(number) else {
                return refers(false, &who, "namespace", *number);
            };
            let new = kinds.insert(std::mem::discriminant(&namespace.kind));
            ensure(new, &who, || format!("namespace {number} is of a kind that it is in already"))?;
        }
        Ok(())
    }

    /// Every process is below the session's first one, and each that runs has a first thread.
    fn tree(&self) -> Result {
        let mut sound = HashSet::new();
        let mut first = None;
        for process in self.processes.values() {
            let who = format!("process {}", process.id);
            if process.parent.is_none() {
                ensure(first.replace(process.id).is_none(), &who, || "a second process without parent".to_owned())?;
            }
            if process.leader_ended.is_some() {
                let left = self.alive.contains(&process.id) && !self.led.contains(&process.id);
                ensure(left, &who, || "not only its first thread has ended".to_owned())?;
            } else if !matches!(process.state, State::Ended { .. }) {
                ensure(self.led.contains(&process.id), &who, || "no thread of it has its pid".to_owned())?;
            }
            let mut way = HashSet::new();
            let mut at = process.id;
            while sound.insert(at) {
                way.insert(at);
                match self.processes.get(&at).map(|it| it.parent) {
                    None => return refers(false, &who, "process", at),
                    Some(None) => break,
                    Some(Some(parent)) if way.contains(&parent) => {
                        return fail(who, format!("it is below itself, by way of process {parent}"));
                    }
                    Some(Some(parent)) => at = parent,
                }
            }
        }
        Ok(())
    }

    fn thread(&self, it: &Thread) -> Result {
        let who = format!("a thread of process {}", it.process);
        let Some(process) = self.processes.get(&it.process) else {
            return refers(false, &who, "process", it.process);
        };
        ids(&who, &it.tids)?;
        ensure(it.tids.len() == process.pids.len(), &who, || "it is in other pid namespaces".to_owned())?;
        ensure(!matches!(process.state, State::Ended { .. }), &who, || "its process has ended".to_owned())?;
        ensure(!it.registers.is_empty(), &who, || "it has no registers".to_owned())?;
        signals(&who, &it.signals)?;
        signal(&who, it.parent_death_signal, 0)?;
        refers(self.credentials.contains(&it.credentials), &who, "credentials", it.credentials)?;
        for number in it.filters.iter() {
            refers(self.filters.contains(number), &who, "filter", *number)?;
        }
        let areas = [Some(it.stack.area.clone()), Some(it.robust.clone()), it.rseq.as_ref().map(|it| it.area.clone())];
        for area in areas.iter().flatten() {
            let end = area.start.checked_add(area.length).filter(|end| *end <= ADDRESS_END);
            ensure(end.is_some(), &who, || format!("{} bytes at {:#x} are no memory", area.length, area.start))?;
        }
        ensure((-20..=19).contains(&it.scheduling.nice), &who, || format!("nice {}", it.scheduling.nice))?;
        ensure(it.scheduling.priority <= 99, &who, || format!("priority {}", it.scheduling.priority))
    }

    fn timers(&self, it: &Timers) -> Result {
        let who = format!("timers of process {}", it.process);
        refers(self.processes.contains_key(&it.process), &who, "process", it.process)?;
        ensure([0, 3].contains(&it.intervals.len()), &who, || format!("{} intervals", it.intervals.len()))?;
        let rising = it.posix.windows(2).all(|pair| pair[0].id < pair[1].id);
        ensure(rising && it.posix.first().is_none_or(|timer| timer.id >= 0), &who, || "ids do not rise".to_owned())?;
        it.posix.iter().try_for_each(|timer| {
            signal(&who, timer.signal, 0)?;
            ensure(timer.thread <= PID_MAX, &who, || format!("timer {} is for thread {}", timer.id, timer.thread))
        })
    }

    fn namespace(&self, it: &Namespace) -> Result {
        let who = format!("namespace {}", it.id);
        if let Some(owner) = it.owner {
            let user = self.namespaces.get(&owner).is_some_and(|it| matches!(it.kind, NamespaceKind::User { .. }));
            refers(user, &who, "user namespace", owner)?;
        }
        let kind = std::mem::discriminant(&it.kind);
        let mut at = it;
        // Neither user nor pid namespaces are nested deeper (user_namespaces(7), pid_namespaces(7)).
        for _ in 0..33 {
            let Some(parent) = at.parent else { return Ok(()) };
            match self.namespaces.get(&parent) {
                Some(above) if std::mem::discriminant(&above.kind) == kind => at = above,
                _ => return refers(false, &who, "namespace of its kind", parent),
            }
        }
        fail(who, "it is below more than 32 others, or below itself")
    }

    fn table(&self, it: &DescriptorTable) -> Result {
        let who = format!("descriptor table {}", it.id);
        let rising = it.descriptors.windows(2).all(|pair| pair[0].number < pair[1].number);
        ensure(rising, &who, || "its numbers do not rise".to_owned())?;
        let has = |number| it.descriptors.binary_search_by_key(&number, |descriptor| descriptor.number).is_ok();
        if let Some(lock) = it.locks.iter().find(|lock| !has(lock.descriptor)) {
            return refers(false, &who, "descriptor", lock.descriptor);
        }
        ranges(&who, it.locks.iter().filter_map(|lock| lock.range.as_ref()))?;
        it.descriptors.iter().try_for_each(|descriptor| {
            let number = descriptor.number;
            ensure(number <= DESCRIPTOR_MAX, &who, || format!("descriptor {number} is too large"))?;
            refers(self.descriptions.contains(&descriptor.description), &who, "description", descriptor.description)
        })
    }

    fn description(&self, record: &Record) -> Result {
        let Some(common) = common(record) else { return Ok(()) };
        let who = format!("{} ({})", record.kind().name, common.id);
        ensure(common.owner <= PID_MAX && common.owner_kind <= 2, &who, || "its owner is nobody".to_owned())?;
        signal(&who, common.signal, 0)?;
        match record {
            Record::File(it) => {
                ensure(it.position >= 0, &who, || format!("its position is {}", it.position))?;
                locks(&who, it)?;
                if let Content::Object { object } = it.content {
                    let file = self.objects.contains_key(&object) && !self.segments.contains_key(&object);
                    return refers(file, &who, "shared object", object);
                }
                path(&who, &it.path)
            }
            Record::PipeEnd(it) => refers(self.pipes.contains(&it.pipe), &who, "pipe", it.pipe),
            Record::UnixSocket(it) => self.unix_socket(&who, it),
            Record::TcpSocket(it) => self.tcp_socket(&who, it),
            Record::UdpSocket(it) => self.udp_socket(&who, it),
            Record::PidFd(it) => it.pid.map_or(Ok(()), |pid| {
                refers(self.pids.contains(&pid), &who, if it.thread { "thread" } else { "process" }, pid)
            }),
            Record::Inotify(it) => inotify(&who, it),
            Record::TerminalEnd(it) => self.terminal_end(&who, it),
            Record::PosixQueueEnd(it) => self.posix_queue_end(&who, it),
            Record::EventFd(it) => ensure(it.count < u64::MAX, &who, || "its count is too large".to_owned()),
            Record::Epoll(it) => it.watches.iter().try_for_each(|watch| {
                ensure(watch.number <= DESCRIPTOR_MAX, &who, || format!("descriptor {} is too large", watch.number))?;
                refers(self.descriptions.contains(&watch.description), &who, "description", watch.description)
            }),
            _ => Ok(()),
        }
    }

    fn mapping(&self, it: &Mapping) -> Result {
        let who = format!("the mapping at {:#x} of address space {}", it.start, it.space);
        refers(self.spaces.contains(&it.space), &who, "address space", it.space)?;
        let special = matches!(it.backing, Backing::Special { .. }) && it.start == VSYSCALL;
        let whole = it.start.is_multiple_of(PAGE) && it.end.is_multiple_of(PAGE) && it.start < it.end;
        let within = it.end <= ADDRESS_END || (special && it.end == VSYSCALL + PAGE);
        ensure(whole && within, &who, || format!("it cannot end at {:#x}", it.end))?;
        ensure(it.protection & !7 == 0, &who, || format!("protection {:#x}", it.protection))?;
        ensure(it.advice.len().is_multiple_of(2), &who, || "its advice is not of two letters each".to_owned())?;
        let mut behind = it.start;
        for guard in it.guards.iter() {
            let end = guard.start.checked_add(guard.length).filter(|end| *end <= it.end && guard.length > 0);
            let whole = guard.start.is_multiple_of(PAGE) && guard.length.is_multiple_of(PAGE) && guard.start >= behind;
            ensure(whole && end.is_some(), &who, || format!("its guard at {:#x} is not within it", guard.start))?;
            behind = end.unwrap_or(behind);
        }
        let offset = match &it.backing {
            Backing::PrivateFile { path: name, offset } | Backing::SharedFile { path: name, offset } => {
                path(&who, name)?;
                *offset
            }
            Backing::Object { object, offset, .. } => {
                refers(self.objects.contains_key(object), &who, "shared object", *object)?;
                *offset
            }
            Backing::Anonymous | Backing::Special { .. } => 0,
        };
        let end = offset.checked_add(it.end - it.start).filter(|end| i64::try_from(*end).is_ok());
        if let (Backing::Object { object, private, .. }, Some(end)) = (&it.backing, end) {
            self.attached(&who, *object, end, *private)?;
        }
        ensure(offset.is_multiple_of(PAGE) && end.is_some(), &who, || format!("offset {offset}"))
    }

    /// No two mappings of one address space overlap.
    fn mappings(&self, records: &[Record]) -> Result {
        let mut ranges: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Mapping(it) => Some((it.space, it.start, it.end)),
                _ => None,
            })
            .collect();
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            let ((space, _, end), (other, start, _)) = (pair[0], pair[1]);
            ensure(
                space != other || end <= start,
                &format!("the mapping at {start:#x} of address space {space}"),
                || "another one overlaps it".to_owned(),
            )?;
        }
        Ok(())
    }

    fn region(&self, owner: Owner, runs: &[Run]) -> Result {
        let (who, pages) = match owner {
            Owner::Space(id) => {
                refers(self.spaces.contains(&id), "a region", "address space", id)?;
                (format!("a region of address space {id}"), ADDRESS_END / PAGE)
            }
            Owner::Object(id) => match self.objects.get(&id) {
                Some(size) => (format!("a region of shared object {id}"), size.div_ceil(PAGE)),
                None => return refers(false, "a region", "shared object", id),
            },
        };
        runs.iter().try_for_each(|run| {
            let end = run.first.checked_add(run.count.into());
            ensure(end.is_some_and(|end| end <= pages), &who, || format!("page {} is behind its end", run.first))
        })
    }
}

/// What an open file description has in common with others; none for records that are not one.
pub(crate) fn common(record: &Record) -> Option<&Common> {
    match record {
        Record::File(it) => Some(&it.common),
        Record::PipeEnd(it) => Some(&it.common),
        Record::EventFd(it) => Some(&it.common),
        Record::Epoll(it) => Some(&it.common),
        Record::TimerFd(it) => Some(&it.common),
        Record::SignalFd(it) => Some(&it.common),
        Record::UnixSocket(it) => Some(&it.common),
        Record::NetlinkSocket(it) => Some(&it.common),
        Record::TcpSocket(it) => Some(&it.common),
        Record::UdpSocket(it) => Some(&it.common),
        Record::PidFd(it) => Some(&it.common),
        Record::Inotify(it) => Some(&it.common),
        Record::TerminalEnd(it) => Some(&it.common),
        Record::PosixQueueEnd(it) => Some(&it.common),
        _ => None,
    }
}
