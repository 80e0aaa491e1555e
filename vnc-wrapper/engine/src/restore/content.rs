//! The records of a content, by what they are of.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use libc::pid_t;

use crate::process::tree::{self, Life, Tree};
use crate::record::ipc::{IpcLimits, MessageQueue, PosixQueue, SemaphoreSet};
use crate::record::memory::{AddressSpace, Mapping, Origin, SharedObject};
use crate::record::objects::{DescriptorTable, Pipe};
use crate::record::process::{Limits, Process, SignalActions, State, Thread, Timers};
use crate::record::rights::{Credentials, Filter, Namespace, NamespaceKind};
use crate::record::sockets::UnixSocket;
use crate::record::terminals::{Devpts, Terminal};
use crate::record::{Item, Reader, Record, Region, check, features};

use super::error::{Error, Name, Result};

/// All records of a content.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) processes: BTreeMap<u32, Process>,
    /// By process; its first thread first, where that is there.
    pub(super) threads: BTreeMap<u32, Vec<Thread>>,
    pub(super) actions: BTreeMap<u32, SignalActions>,
    pub(super) timers: BTreeMap<u32, Timers>,
    pub(super) limits: BTreeMap<u32, Limits>,
    pub(super) credentials: BTreeMap<u32, Credentials>,
    pub(super) namespaces: BTreeMap<u32, Namespace>,
    pub(super) filters: BTreeMap<u32, Filter>,
    pub(super) spaces: BTreeMap<u32, AddressSpace>,
    /// By address space, in rising order.
    pub(super) mappings: BTreeMap<u32, Vec<Mapping>>,
    pub(super) objects: BTreeMap<u32, SharedObject>,
    pub(super) tables: BTreeMap<u32, DescriptorTable>,
    pub(super) pipes: BTreeMap<u32, Pipe>,
    pub(super) devpts: BTreeMap<u32, Devpts>,
    pub(super) terminals: BTreeMap<u32, Terminal>,
    pub(super) semaphores: Vec<SemaphoreSet>,
    pub(super) messages: Vec<MessageQueue>,
    /// POSIX message queues.
    pub(super) queues: BTreeMap<u32, PosixQueue>,
    pub(super) ipc_limits: Option<IpcLimits>,
    /// Open file descriptions of all kinds.
    pub(super) descriptions: BTreeMap<u32, Record>,
}

impl Content {
    /// Reads the records, up to the first region, which is returned.
    pub(super) fn read<R: Read>(reader: &mut Reader<R>) -> Result<(Self, Option<Region>)> {
        if reader.features() != features::X86_64 {
            return Err(Error::unable("the content", "it needs another processor"));
        }
        let mut records = Vec::new();
        let region = loop {
            match reader.next()? {
                Some(Item::Record(record)) => records.push(record),
                Some(Item::Region(region)) => break Some(region),
                None => break None,
            }
        };
        check::check(&records, [])?;
        Ok((Self::sort(records), region))
    }

    fn sort(records: Vec<Record>) -> Self {
        let mut all = Self::default();
        for record in records {
            match record {
                Record::Process(it) => drop(all.processes.insert(it.id, *it)),
                Record::Thread(it) => all.threads.entry(it.process).or_default().push(*it),
                Record::SignalActions(it) => drop(all.actions.insert(it.id, *it)),
                Record::Timers(it) => drop(all.timers.insert(it.process, *it)),
                Record::Limits(it) => drop(all.limits.insert(it.process, *it)),
                Record::Credentials(it) => drop(all.credentials.insert(it.id, *it)),
                Record::Namespace(it) => drop(all.namespaces.insert(it.id, *it)),
                Record::Filter(it) => drop(all.filters.insert(it.id, *it)),
                Record::AddressSpace(it) => drop(all.spaces.insert(it.id, *it)),
                Record::Mapping(it) => all.mappings.entry(it.space).or_default().push(*it),
                Record::SharedObject(it) => drop(all.objects.insert(it.id, *it)),
                Record::DescriptorTable(it) => drop(all.tables.insert(it.id, *it)),
                Record::Pipe(it) => drop(all.pipes.insert(it.id, *it)),
                Record::Devpts(it) => drop(all.devpts.insert(it.id, *it)),
                Record::Terminal(it) => drop(all.terminals.insert(it.id, *it)),
                Record::SemaphoreSet(it) => all.semaphores.push(*it),
                Record::MessageQueue(it) => all.messages.push(*it),
                Record::PosixQueue(it) => drop(all.queues.insert(it.id, *it)),
                Record::IpcLimits(it) => all.ipc_limits = Some(*it),
                other => {
                    if let Some(common) = check::common(&other) {
                        all.descriptions.insert(common.id, other);
                    }
                }
            }
        }
        for mappings in all.mappings.values_mut() {
            mappings.sort_by_key(|mapping| mapping.start);
        }
        for (process, threads) in &mut all.threads {
            let pid = all.processes.get(process).map_or(0, pid);
            threads.sort_by_key(|thread| (tid(thread) != pid, tid(thread)));
        }
        all
    }

    /// The tree of the processes, with the session's ids.
    pub(super) fn tree(&self) -> Result<Tree> {
        let session = |id: &u32| self.processes.get(id).map_or(0, |process| pid(process) as pid_t);
        let processes = self.processes.values().map(|process| tree::Process {
            pid: pid(process) as pid_t,
            parent: process.parent.as_ref().map_or(0, session),
            group: process.group as pid_t,
            session: process.session as pid_t,
            life: match process.state {
                State::Ended { status } => Life::Zombie(status),
                State::Running | State::Stopped { .. } => Life::Alive,
            },
            subreaper: process.subreaper,
        });
        let root = self.processes.values().find(|process| process.parent.is_none());
        Ok(Tree::new(root.map_or(0, |process| pid(process) as pid_t), processes)?)
    }

    /// Whether something of it is in an ipc namespace, or that has limits of its own.
    pub(super) fn has_ipc(&self) -> bool {
        let segment = |object: &SharedObject| matches!(object.origin, Origin::SystemV { .. });
        let system_v = !self.semaphores.is_empty() || !self.messages.is_empty() || self.objects.values().any(segment);
        system_v || !self.queues.is_empty() || self.ipc_limits.is_some()
    }

    /// Its Unix sockets.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &UnixSocket> {
        self.descriptions.values().filter_map(|record| match record {
            Record::UnixSocket(it) => Some(&**it),
            _ => None,
        })
    }

    /// The process with that pid of the session.
    pub(super) fn by_pid(&self, wanted: pid_t) -> Option<&Process> {
        self.processes.values().find(|process| pid(process) as pid_t == wanted)
    }

    /// Its threads.
    pub(super) fn threads(&self, process: u32) -> &[Thread] {
        self.threads.get(&process).map_or(&[], Vec::as_slice)
    }

    /// The name of a process, of its first thread.
    pub(super) fn name(&self, process: &Process) -> Name {
        let name = self.threads(process.id).first().map_or_else(String::new, thread_name);
        Name { pid: pid(process), tid: pid(process), name }
    }

    /// The newest pid that was given out in the session's pid namespace, if that is recorded.
    pub(super) fn last_pid(&self) -> Option<u32> {
        self.namespaces.values().find_map(|namespace| match namespace.kind {
            NamespaceKind::Pid { last } if namespace.parent.is_none() => Some(last),
            _ => None,
        })
    }

    /// Every address that a mapping has.
    pub(super) fn taken(&self) -> Vec<Range<u64>> {
        self.mappings.values().flatten().map(|mapping| mapping.start..mapping.end).collect()
    }

    /// An id that nothing of it has, for helpers.
    pub(super) fn free_id(&self) -> Result<u32> {
        let free = (2..1 << 22).find(|id| !self.is_id(*id));
        free.ok_or_else(|| Error::unable("the processes", "they have every pid"))
    }

    /// Every number that is the id of something, or was that of who made a socket, so that nothing else may have it meanwhile.
    pub(super) fn is_id(&self, id: u32) -> bool {
        let maker = |it: &UnixSocket| it.peer.as_ref().is_some_and(|peer| peer.pid == id);
        let threads = || self.threads.values().flatten().any(|thread| tid(thread) == id);
        let process = |process: &Process| [pid(process), process.group, process.session].contains(&id);
        self.processes.values().any(process) || threads() || self.sockets().any(maker)
    }
}

/// The id of a process in the session's namespace.
pub(super) fn pid(process: &Process) -> u32 {
    process.pids.first().copied().unwrap_or(0)
}

/// The id of a thread in the session's namespace.
pub(super) fn tid(thread: &Thread) -> u32 {
    thread.tids.first().copied().unwrap_or(0)
}

/// The name of a thread, fit to be shown.
pub(super) fn thread_name(thread: &Thread) -> String {
    thread.name.escape_ascii().to_string()
}
