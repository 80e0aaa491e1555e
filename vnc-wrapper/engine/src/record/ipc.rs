//! What an ipc namespace holds (sysvipc(7), mq_overview(7)), and its limits. System V shared memory is a
//! [`super::memory::SharedObject`].

use super::objects::Common;
use super::wire::{Bytes, List, fields};

fields! {
    /// What every System V object has (`struct ipc64_perm`). Ids are those of the session's user namespace.
    pub struct IpcObject {
        /// Its identifier, which programs know: one for all objects of its kind.
        pub identifier: i32,
        /// Its key; 0 (IPC_PRIVATE): none, or none any more.
        pub key: i32,
        /// The number of the ipc namespace.
        pub namespace: u32,
        /// Owner.
        pub user: u32,
        /// The owner's group.
        pub group: u32,
        /// Who made it.
        pub creator_user: u32,
        /// The group of who made it.
        pub creator_group: u32,
        /// Permissions.
        pub mode: u32,
    }
}

fields! {
    /// A System V segment (shmget(2)), but for its pages.
    pub struct Segment {
        /// What every System V object has.
        pub ipc: IpcObject,
        /// The process that made it, as a pid of the session; 0: nobody that the session knows.
        pub creator: u32,
        /// SHM_DEST: it was removed and goes when nobody has it attached any more.
        pub removed: bool,
        /// SHM_LOCKED.
        pub locked: bool,
    }
}

fields! {
    /// A set of System V semaphores (semget(2)).
    pub struct SemaphoreSet {
        /// What every System V object has.
        pub ipc: IpcObject,
        /// When it was last operated on (`sem_otime`), in seconds since 1970; 0: never. Programs ask whether it ever was.
        pub operated: i64,
        /// Its semaphores, in their order.
        pub semaphores: List<Semaphore, 65_536>,
        /// What is done to them as processes end.
        pub undo: List<SemaphoreUndo, 65_536>,
    }
}

fields! {
    /// A System V semaphore.
    pub struct Semaphore {
        /// GETVAL.
        pub value: u32,
        /// GETPID: who operated on it last, as a pid of the session; 0: nobody.
        pub process: u32,
    }
}

fields! {
    /// What is done to a semaphore when a process ends (SEM_UNDO).
    pub struct SemaphoreUndo {
        /// The number of the process.
        pub process: u32,
        /// Which semaphore of the set.
        pub semaphore: u32,
        /// What is added to its value (`semadj`); not 0.
        pub adjustment: i32,
    }
}

fields! {
    /// A System V message queue (msgget(2)).
    pub struct MessageQueue {
        /// What every System V object has.
        pub ipc: IpcObject,
        /// `msg_qbytes`: how many bytes it may hold.
        pub capacity: u64,
        /// What waits in it, in the order of arrival.
        pub messages: List<QueuedMessage, 1_048_576>,
    }
}

fields! {
    /// A message in a System V queue.
    pub struct QueuedMessage {
        /// `mtype`, above 0.
        pub kind: i64,
        /// `mtext`.
        pub bytes: Bytes<16_777_216>,
    }
}

fields! {
    /// A POSIX message queue (mq_open(3)).
    pub struct PosixQueue {
        /// Its number in this snapshot.
        pub id: u32,
        /// The number of the ipc namespace.
        pub namespace: u32,
        /// Its name, without the slash; of one that was unlinked, the name that it had.
        pub name: Bytes<255>,
        /// mq_unlink(3): only who has it open can use it.
        pub unlinked: bool,
        /// Owner, as an id of the session's user namespace.
        pub user: u32,
        /// Group, likewise.
        pub group: u32,
        /// Permissions.
        pub mode: u32,
        /// `mq_maxmsg`: how many messages it may hold.
        pub capacity: u32,
        /// `mq_msgsize`: how long a message may be, in bytes.
        pub length: u32,
        /// What waits in it, in the order in which it is received.
        pub messages: List<PosixMessage, 65_536>,
    }
}

fields! {
    /// A message in a POSIX queue.
    pub struct PosixMessage {
        /// Its priority, below MQ_PRIO_MAX (32,768).
        pub priority: u32,
        /// What was sent.
        pub bytes: Bytes<16_777_216>,
    }
}

fields! {
    /// An open POSIX message queue.
    pub struct PosixQueueEnd {
        /// What every description has.
        pub common: Common,
        /// The number of the queue.
        pub queue: u32,
    }
}

fields! {
    /// The limits of an ipc namespace, where they are not what the kernel gives a new one (`/proc/sys/kernel`,
    /// `/proc/sys/fs/mqueue`; proc_sys_kernel(5), mq_overview(7)).
    pub struct IpcLimits {
        /// The number of the ipc namespace.
        pub namespace: u32,
        /// `shmmax`: bytes of a segment.
        pub segment: u64,
        /// `shmall`: pages of all segments.
        pub pages: u64,
        /// `shmmni`: how many segments.
        pub segments: u64,
        /// `shm_rmid_forced`: segments go with who made them, or with who has them attached last.
        pub forced: bool,
        /// `msgmax`: bytes of a message.
        pub message: u64,
        /// `msgmnb`: bytes of a new queue.
        pub queue: u64,
        /// `msgmni`: how many queues.
        pub queues: u64,
        /// `sem`: semaphores of a set, of all sets, operations of a call, sets.
        pub semaphores: List<u64, 4>,
        /// `queues_max`, `msg_max`, `msgsize_max`, `msg_default`, `msgsize_default`; empty: not known.
        pub posix: List<u64, 5>,
    }
}
