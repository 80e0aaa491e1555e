//! Records of what an ipc namespace holds that do not fit together.

use super::super::check::check;
use super::super::ipc::{
    IpcLimits, IpcObject, MessageQueue, PosixMessage, PosixQueue, PosixQueueEnd, QueuedMessage, Segment, Semaphore,
    SemaphoreSet, SemaphoreUndo,
};
use super::super::memory::{Backing, Mapping, Origin, SharedObject};
use super::super::objects::{Common, Content, FileDescription};
use super::super::rights::{Namespace, NamespaceKind};
use super::{Record, bytes, list, sound};

/// The number of the ipc namespace.
const NAMESPACE: u32 = 9;

struct World {
    object: SharedObject,
    segment: Segment,
    mapping: Mapping,
    sets: Vec<SemaphoreSet>,
    messages: Vec<MessageQueue>,
    queues: Vec<PosixQueue>,
    end: PosixQueueEnd,
    limits: Vec<IpcLimits>,
    more: Vec<Record>,
}

fn ipc(identifier: i32, key: i32) -> IpcObject {
    IpcObject { identifier, key, namespace: NAMESPACE, mode: 0o600, ..IpcObject::default() }
}

fn world() -> World {
    let mapping = Mapping { space: 1, start: 0x9000, end: 0xb000, protection: 3, ..Mapping::default() };
    let backing = Backing::Object { object: 50, offset: 0, private: false };
    let semaphores = list(vec![Semaphore { value: 3, process: 101 }, Semaphore::default()]);
    let undo = list(vec![SemaphoreUndo { process: 1, semaphore: 1, adjustment: -2 }]);
    let message = |kind| QueuedMessage { kind, bytes: bytes("a") };
    let named = |id, unlinked| PosixQueue {
        id,
        namespace: NAMESPACE,
        name: bytes("name"),
        unlinked,
        capacity: 2,
        length: 5,
        messages: list(vec![PosixMessage { priority: 3, bytes: bytes("first") }, PosixMessage::default()]),
        ..PosixQueue::default()
    };
    World {
        object: SharedObject { id: 50, size: 5000, ..SharedObject::default() },
        segment: Segment { ipc: ipc(4, 7), ..Segment::default() },
        mapping: Mapping { backing, ..mapping },
        sets: vec![SemaphoreSet { ipc: ipc(4, 7), semaphores, undo, ..SemaphoreSet::default() }],
        messages: vec![MessageQueue {
            ipc: ipc(4, 7),
            messages: list(vec![message(1), message(5)]),
            ..MessageQueue::default()
        }],
        queues: vec![named(1, false), named(2, true)],
        end: PosixQueueEnd { common: Common { id: 60, ..Common::default() }, queue: 1 },
        limits: vec![IpcLimits { semaphores: list(vec![1; 4]), ..crate::ipc::limits::of_new(NAMESPACE) }],
        more: Vec::new(),
    }
}

fn checked(change: impl FnOnce(&mut World)) -> Result<(), String> {
    let mut world = world();
    change(&mut world);
    let mut records = sound();
    records.push(Namespace { id: NAMESPACE, kind: NamespaceKind::Ipc, ..Namespace::default() }.into());
    world.object.origin = Origin::SystemV { segment: world.segment };
    records.extend([world.object.into(), world.mapping.into(), world.end.into()]);
    records.extend(world.sets.into_iter().map(Record::from));
    records.extend(world.messages.into_iter().map(Record::from));
    records.extend(world.queues.into_iter().map(Record::from));
    records.extend(world.limits.into_iter().map(Record::from));
    records.extend(world.more);
    check(&records, []).map_err(|error| error.to_string())
}

/// What is refused, and a change that brings it about.
type Case<'a> = (&'a str, &'a dyn Fn(&mut World));

fn refused(cases: &[Case<'_>]) {
    for (text, change) in cases {
        let error = checked(change).expect_err(text);
        assert!(error.contains(text), "\"{error}\" instead of \"{text}\"");
    }
}

#[test]
fn what_fits_together_passes() {
    assert_eq!(checked(|_| ()), Ok(()));
    // A removed one has no key, which others may have.
    let other = |world: &mut World| (world.segment.removed, world.segment.ipc.key) = (true, 0);
    assert_eq!(checked(other), Ok(()));
}

#[test]
fn issue_10_system_v_objects_that_cannot_be_are_refused() {
    refused(&[
        ("refers to ipc namespace 1", &|it| it.segment.ipc.namespace = 1),
        ("refers to ipc namespace 8", &|it| it.messages[0].ipc.namespace = 8),
        ("its identifier is below 0", &|it| it.segment.ipc.identifier = -1),
        ("it has the mode 1600", &|it| it.sets[0].ipc.mode = 0o1600),
        ("it is empty", &|it| it.object.size = 0),
        ("its creator has the pid 5000000", &|it| it.segment.creator = 5_000_000),
        ("it was removed and has a key", &|it| it.segment.removed = true),
        ("it goes beyond the segment", &|it| it.mapping.end += 0x1000),
        ("or is private", &|it| it.mapping.backing = Backing::Object { object: 50, offset: 0, private: true }),
        ("refers to shared object 50", &|it| {
            let content = Content::Object { object: 50 };
            let common = Common { id: 70, ..Common::default() };
            it.more.push(FileDescription { common, content, path: bytes("/a"), ..FileDescription::default() }.into());
        }),
        ("its identifier 4 is another's too", &|it| it.sets.push(it.sets[0].clone())),
        ("its key 0x7 is another's too", &|it| {
            it.messages.push(MessageQueue { ipc: ipc(5, 7), ..MessageQueue::default() });
        }),
        ("it has no semaphore", &|it| it.sets[0].semaphores = list(vec![])),
        ("a value that none can have", &|it| {
            it.sets[0].semaphores = list(vec![Semaphore { value: 32_768, process: 0 }; 2]);
        }),
        ("refers to process 9", &|it| {
            it.sets[0].undo = list(vec![SemaphoreUndo { process: 9, semaphore: 0, adjustment: 1 }]);
        }),
        ("refers to semaphore 2", &|it| {
            it.sets[0].undo = list(vec![SemaphoreUndo { process: 1, semaphore: 2, adjustment: 1 }]);
        }),
        ("an adjustment by 0", &|it| {
            it.sets[0].undo = list(vec![SemaphoreUndo { process: 1, semaphore: 0, adjustment: 0 }]);
        }),
        ("an adjustment by 32768", &|it| {
            it.sets[0].undo = list(vec![SemaphoreUndo { process: 1, semaphore: 0, adjustment: 32_768 }]);
        }),
        ("an adjustment by 1", &|it| {
            it.sets[0].undo = list(vec![SemaphoreUndo { process: 1, semaphore: 0, adjustment: 1 }; 2]);
        }),
        ("a message has no type", &|it| it.messages[0].messages = list(vec![QueuedMessage::default()])),
    ]);
}

#[test]
fn issue_10_posix_queues_and_limits_that_cannot_be_are_refused() {
    let message = |priority, text: &str| PosixMessage { priority, bytes: bytes(text) };
    refused(&[
        ("refers to ipc namespace 8", &|it| it.queues[0].namespace = 8),
        ("the name \"\"", &|it| it.queues[0].name = bytes("")),
        ("the name \"..\"", &|it| it.queues[0].name = bytes("..")),
        ("the name \"a/b\"", &|it| it.queues[0].name = bytes("a/b")),
        ("the name \"a\\x00b\"", &|it| it.queues[1].name = bytes("a\0b")),
        ("its name \"name\" is another's too", &|it| it.queues[1].unlinked = false),
        ("it has the mode 10600", &|it| it.queues[0].mode = 0o10_600),
        ("2 messages, where 1 may be", &|it| it.queues[0].capacity = 1),
        ("longer than 4 bytes", &|it| it.queues[0].length = 4),
        ("its priorities rise", &|it| it.queues[0].messages = list(vec![message(1, ""), message(2, "")])),
        ("or are too high", &|it| it.queues[0].messages = list(vec![message(32_768, "")])),
        ("number 1 is given twice", &|it| it.queues[1].id = 1),
        ("refers to POSIX message queue 7", &|it| it.end.queue = 7),
        ("number 9 is given twice", &|it| it.limits.push(it.limits[0].clone())),
        ("refers to ipc namespace 2", &|it| it.limits[0].namespace = 2),
        ("some of them are missing", &|it| it.limits[0].semaphores = list(vec![1])),
        ("some of them are missing", &|it| it.limits[0].posix = list(vec![1])),
    ]);
}
