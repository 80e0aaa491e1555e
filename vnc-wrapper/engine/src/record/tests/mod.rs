//! Content that is sound, for the tests of both sides.

mod contradictions;
mod hostile;
mod inet;
mod ipc;
mod round_trip;

use super::memory::{AddressSpace, Backing, Mapping, SharedObject};
use super::objects::{
    Common, Content, Descriptor, DescriptorTable, EventFd, FileDescription, FileLock, LockRange, Pipe, PipeEnd,
    TableLock,
};
use super::process::{Limit, Limits, Process, SignalActions, Thread};
use super::rights::{Credentials, Filter, Namespace, NamespaceKind};
use super::wire::{Bytes, List};
use super::{Owner, Record, Run, Writer, features};

pub(crate) fn bytes<const MOST: usize>(text: impl AsRef<[u8]>) -> Bytes<MOST> {
    text.as_ref().to_vec().try_into().unwrap()
}

pub(crate) fn list<T, const MOST: usize>(items: Vec<T>) -> List<T, MOST> {
    items.try_into().unwrap()
}

fn process(id: u32, parent: Option<u32>) -> Process {
    Process {
        id,
        parent,
        pids: list(vec![100 + id]),
        group: 101,
        session: 101,
        directory: bytes("/home/user"),
        root: bytes("/"),
        space: Some(1),
        table: Some(1),
        actions: Some(1),
        namespaces: list(vec![1, 2]),
        signals: list(vec![bytes([7; 128])]),
        ..Process::default()
    }
}

fn thread(process: u32) -> Thread {
    Thread {
        process,
        tids: list(vec![100 + process]),
        name: bytes("guest"),
        registers: bytes([1; 216]),
        xstate: bytes([2; 832]),
        credentials: 1,
        filters: list(vec![1]),
        ..Thread::default()
    }
}

/// A parent and its child, which share all that can be shared.
pub(crate) fn sound() -> Vec<Record> {
    let common = |id| Common { id, ..Common::default() };
    let mapping = |start, end, backing| Mapping { space: 1, start, end, backing, protection: 3, ..Mapping::default() };
    vec![
        Namespace {
            id: 1,
            kind: NamespaceKind::User { users: list(vec![]), groups: list(vec![]), setgroups_denied: true },
            ..Namespace::default()
        }
        .into(),
        Namespace { id: 2, kind: NamespaceKind::Pid { last: 102 }, owner: Some(1), ..Namespace::default() }.into(),
        Credentials { id: 1, users: list(vec![1000; 4]), groups: list(vec![1000; 4]), ..Credentials::default() }.into(),
        Filter { id: 1, program: bytes([6, 0, 0, 0, 0, 0, 0xff, 0x7f]), flags: 0 }.into(),
        SignalActions { id: 1, ..SignalActions::default() }.into(),
        AddressSpace {
            id: 1,
            executable: bytes("/usr/bin/guest"),
            bounds: list(vec![0x1000; 11]),
            ..AddressSpace::default()
        }
        .into(),
        SharedObject { id: 1, size: 8192, ..SharedObject::default() }.into(),
        mapping(0x1000, 0x3000, Backing::Anonymous).into(),
        mapping(0x3000, 0x5000, Backing::Object { object: 1, offset: 0, private: false }).into(),
        Pipe { id: 1, capacity: 65_536, queue: list(vec![bytes("waits")]), ..Pipe::default() }.into(),
        PipeEnd { common: common(1), pipe: 1, quiet: true }.into(),
        EventFd { common: common(2), count: 3, semaphore: true }.into(),
        FileDescription {
            common: common(3),
            path: bytes("/tmp/a"),
            content: Content::Named,
            position: 5,
            locks: list(vec![
                FileLock { exclusive: true, range: None },
                FileLock { exclusive: false, range: Some(LockRange { start: 5, last: None }) },
            ]),
        }
        .into(),
        DescriptorTable {
            id: 1,
            descriptors: list(
                (1..4).map(|n| Descriptor { number: n, description: n, close_on_exec: n == 2 }).collect(),
            ),
            locks: list(vec![TableLock {
                descriptor: 2,
                exclusive: true,
                range: Some(LockRange { start: 4, last: Some(4) }),
            }]),
        }
        .into(),
        process(1, None).into(),
        process(2, Some(1)).into(),
        thread(1).into(),
        thread(2).into(),
        Limits { process: 1, limits: list(vec![Limit { soft: 1, hard: 2 }; 16]) }.into(),
    ]
}

pub(crate) fn run(first: u64, count: u32) -> Run {
    Run { first, count }
}

/// Pages, each full of its number.
pub(crate) fn pages(numbers: &[u8]) -> Vec<u8> {
    numbers.iter().flat_map(|number| [*number; 4096]).collect()
}

/// A whole stream of [`sound`] with pages 1 and 4 of the space and 0 of the object.
pub(crate) fn stream() -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), features::X86_64).unwrap();
    for (place, record) in sound().iter().enumerate() {
        writer.record(record).unwrap();
        if place == 6 {
            writer.region(Owner::Object(1), &[run(0, 1)], &pages(&[9])).unwrap();
        }
    }
    writer.region(Owner::Space(1), &[run(1, 1), run(4, 1)], &pages(&[1, 4])).unwrap();
    writer.finish().unwrap()
}
