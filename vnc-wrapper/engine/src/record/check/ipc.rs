//! Whether the records of what ipc namespaces hold fit together.

use std::collections::{HashMap, HashSet};

use super::values::{PID_MAX, ensure, refers};
use super::{Known, Result};
use crate::memory::PAGE;
use crate::record::Record;
use crate::record::ipc::{IpcLimits, IpcObject, MessageQueue, PosixQueue, PosixQueueEnd, Segment, SemaphoreSet};
use crate::record::memory::Origin;
use crate::record::rights::NamespaceKind;

/// Permissions.
const MODE: u32 = 0o777;
/// `SEMVMX`, the highest value of a semaphore (include/uapi/linux/sem.h).
const HIGHEST: u32 = 32_767;
/// `MQ_PRIO_MAX` (include/uapi/linux/mqueue.h).
const PRIORITIES: u32 = 32_768;

/// What only one object of a kind may have in a namespace.
#[derive(PartialEq, Eq, Hash)]
enum Only<'a> {
    Identifier(&'static str, i32),
    Key(&'static str, i32),
    Name(&'a [u8]),
}

impl Known<'_> {
    fn ipc_namespace(&self, who: &str, namespace: u32) -> Result {
        let right = self.namespaces.get(&namespace).is_some_and(|it| it.kind == NamespaceKind::Ipc);
        refers(right, who, "ipc namespace", namespace)
    }

    fn ipc_object(&self, who: &str, it: &IpcObject) -> Result {
        self.ipc_namespace(who, it.namespace)?;
        ensure(it.identifier >= 0, who, || "its identifier is below 0".to_owned())?;
        ensure(it.mode & !MODE == 0, who, || format!("it has the mode {:o}", it.mode))
    }

    pub(super) fn segment(&self, who: &str, it: &Segment, size: u64) -> Result {
        self.ipc_object(who, &it.ipc)?;
        ensure(size > 0, who, || "it is empty".to_owned())?;
        ensure(it.creator <= PID_MAX, who, || format!("its creator has the pid {}", it.creator))?;
        ensure(!it.removed || it.ipc.key == 0, who, || "it was removed and has a key".to_owned())
    }

    pub(super) fn semaphore_set(&self, it: &SemaphoreSet) -> Result {
        let who = format!("set of semaphores {}", it.ipc.identifier);
        self.ipc_object(&who, &it.ipc)?;
        ensure(!it.semaphores.is_empty(), &who, || "it has no semaphore".to_owned())?;
        let within = it.semaphores.iter().all(|one| one.value <= HIGHEST && one.process <= PID_MAX);
        ensure(within, &who, || "a semaphore has a value that none can have".to_owned())?;
        let mut known = HashSet::new();
        it.undo.iter().try_for_each(|undo| {
            refers(self.alive.contains(&undo.process), &who, "process", undo.process)?;
            let there = (undo.semaphore as usize) < it.semaphores.len();
            refers(there, &who, "semaphore", undo.semaphore)?;
            let new = known.insert((undo.process, undo.semaphore));
            let highest = HIGHEST.cast_signed();
            let within = undo.adjustment != 0 && (-highest - 1..=highest).contains(&undo.adjustment);
            ensure(new && within, &who, || format!("an adjustment by {} as a process ends", undo.adjustment))
        })
    }

    pub(super) fn message_queue(&self, it: &MessageQueue) -> Result {
        let who = format!("message queue {}", it.ipc.identifier);
        self.ipc_object(&who, &it.ipc)?;
        ensure(it.messages.iter().all(|message| message.kind > 0), &who, || "a message has no type".to_owned())
    }

    pub(super) fn posix_queue(&self, it: &PosixQueue) -> Result {
        let who = format!("POSIX message queue {}", it.id);
        self.ipc_namespace(&who, it.namespace)?;
        let name = &it.name[..];
        let right = !name.is_empty() && !name.iter().any(|byte| b"/\0".contains(byte)) && name != b"." && name != b"..";
        ensure(right, &who, || format!("the name \"{}\"", name.escape_ascii()))?;
        ensure(it.mode & !0o7777 == 0, &who, || format!("it has the mode {:o}", it.mode))?;
        let most = it.messages.len() as u64;
        ensure(it.capacity > 0 && most <= u64::from(it.capacity), &who, || {
            format!("{most} messages, where {} may be", it.capacity)
        })?;
        let fit = it.messages.iter().all(|one| one.bytes.len() as u64 <= u64::from(it.length));
        ensure(it.length > 0 && fit, &who, || format!("a message is longer than {} bytes", it.length))?;
        let sorted = it.messages.windows(2).all(|pair| pair[0].priority >= pair[1].priority);
        let within = it.messages.iter().all(|one| one.priority < PRIORITIES);
        ensure(sorted && within, &who, || "its priorities rise, or are too high".to_owned())
    }

    pub(super) fn posix_queue_end(&self, who: &str, it: &PosixQueueEnd) -> Result {
        refers(self.queues.contains(&it.queue), who, "POSIX message queue", it.queue)
    }

    pub(super) fn ipc_limits(&self, it: &IpcLimits) -> Result {
        let who = format!("limits of namespace {}", it.namespace);
        self.ipc_namespace(&who, it.namespace)?;
        let right = it.semaphores.len() == 4 && matches!(it.posix.len(), 0 | 5);
        ensure(right, &who, || "some of them are missing".to_owned())
    }

    /// Identifiers, keys and names are one object's each, and no descriptor is of a segment.
    pub(super) fn ipc(&self, records: &[Record]) -> Result {
        let mut known: HashMap<u32, HashSet<Only<'_>>> = HashMap::new();
        for record in records {
            let kind = record.kind().name;
            let (namespace, only) = match record {
                Record::SemaphoreSet(it) => (it.ipc.namespace, keys(kind, &it.ipc)),
                Record::MessageQueue(it) => (it.ipc.namespace, keys(kind, &it.ipc)),
                Record::SharedObject(it) => match &it.origin {
                    Origin::SystemV { segment } => (segment.ipc.namespace, keys("a segment", &segment.ipc)),
                    _ => continue,
                },
                Record::PosixQueue(it) if !it.unlinked => (it.namespace, vec![Only::Name(&it.name)]),
                _ => continue,
            };
            let known = known.entry(namespace).or_default();
            for one in only {
                let what = match &one {
                    Only::Identifier(_, number) => format!("its identifier {number}"),
                    Only::Key(_, key) => format!("its key {key:#x}"),
                    Only::Name(name) => format!("its name \"{}\"", name.escape_ascii()),
                };
                ensure(known.insert(one), kind, || format!("{what} is another's too"))?;
            }
        }
        Ok(())
    }

    /// A mapping of a segment does not go beyond it.
    pub(super) fn attached(&self, who: &str, object: u32, end: u64, private: bool) -> Result {
        let Some(size) = self.segments.get(&object) else { return Ok(()) };
        let within = end <= size.div_ceil(PAGE).saturating_mul(PAGE);
        ensure(within && !private, who, || "it goes beyond the segment, or is private".to_owned())
    }
}

fn keys(kind: &'static str, it: &IpcObject) -> Vec<Only<'static>> {
    let key = (it.key != 0).then_some(Only::Key(kind, it.key));
    std::iter::once(Only::Identifier(kind, it.identifier)).chain(key).collect()
}
