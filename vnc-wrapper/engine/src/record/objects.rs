//! Descriptors and what they refer to. Each kind of open file description is a kind of record, so that more can follow.

use super::process::Time;
use super::wire::{Bytes, List, choice, fields};

fields! {
    /// The descriptors of a process, or of several (CLONE_FILES).
    pub struct DescriptorTable {
        /// Its number in this snapshot.
        pub id: u32,
        /// Its descriptors, in rising order.
        pub descriptors: List<Descriptor, 1_048_576>,
        /// Locks that belong to it, and leases.
        @since 2 pub locks: List<TableLock, 65_536>,
    }
}

fields! {
    /// A lock that belongs to the processes which have a table (F_SETLK), or a lease (F_SETLEASE).
    pub struct TableLock {
        /// A descriptor by which it can be taken.
        pub descriptor: u32,
        /// F_WRLCK rather than F_RDLCK.
        pub exclusive: bool,
        /// Which bytes; none: a lease.
        pub range: Option<LockRange>,
    }
}

fields! {
    /// A descriptor.
    pub struct Descriptor {
        /// The number that the process knows.
        pub number: u32,
        /// The number of the open file description.
        pub description: u32,
        /// FD_CLOEXEC.
        pub close_on_exec: bool,
    }
}

fields! {
    /// What every open file description has (`/proc/PID/fdinfo`, F_GETOWN_EX, F_GETSIG).
    pub struct Common {
        /// Its number in this snapshot: one for all descriptions, whatever their kind.
        pub id: u32,
        /// O_ACCMODE, O_NONBLOCK, O_APPEND and others (F_GETFL).
        pub flags: u32,
        /// F_OWNER_TID, F_OWNER_PID or F_OWNER_PGRP.
        pub owner_kind: u32,
        /// Who gets SIGIO, as an id of the session's pid namespace; 0: nobody.
        pub owner: u32,
        /// The signal instead of SIGIO; 0: SIGIO.
        pub signal: u8,
    }
}

fields! {
    /// An open file or directory.
    pub struct FileDescription {
        /// What every description has.
        pub common: Common,
        /// Its path in the session; one that was unlinked: the name it had, for `/proc/PID/fd`.
        pub path: Bytes<4096>,
        /// Where its content is.
        pub content: Content,
        /// Where the next read or write begins, in bytes.
        pub position: i64,
        /// Locks that belong to the description.
        @since 2 pub locks: List<FileLock, 65_536>,
    }
}

fields! {
    /// A lock that belongs to an open file description.
    pub struct FileLock {
        /// Whether nobody else may have one (LOCK_EX, F_WRLCK).
        pub exclusive: bool,
        /// Which bytes (F_OFD_SETLK); none: all of the file (flock(2)).
        pub range: Option<LockRange>,
    }
}

fields! {
    /// Bytes that are locked.
    pub struct LockRange {
        /// The first.
        pub start: u64,
        /// The last; none: to the end, however long the file gets.
        pub last: Option<u64>,
    }
}

choice! {
    /// Where the content of an open file is.
    pub enum Content {
        /// In the session, under the path.
        #[default]
        0 = Named,
        /// In shared memory, or a file or directory without a name.
        2 = Object {
            /// The number of the shared object.
            object: u32,
        },
    }
}

fields! {
    /// A pipe or FIFO and what is in it.
    pub struct Pipe {
        /// Its number in this snapshot.
        pub id: u32,
        /// The path of a FIFO; none for a pipe.
        pub path: Option<Bytes<4096>>,
        /// F_GETPIPE_SZ, in bytes.
        pub capacity: u32,
        /// What waits to be read: a piece for each write in packet mode (O_DIRECT of pipe(2)), else one.
        pub queue: List<Bytes<1_048_576>, 4096>,
        /// Which pieces are packets; empty: none is.
        @since 2 pub packets: List<bool, 4096>,
    }
}

fields! {
    /// An end of a pipe.
    pub struct PipeEnd {
        /// What every description has; its flags say which end.
        pub common: Common,
        /// The pipe's number.
        pub pipe: u32,
        /// Of an end for reading: poll(2) does not report a hang-up, for somebody can write, or nobody could since it was opened.
        @since 2 pub quiet: bool,
    }
}

fields! {
    /// An eventfd(2).
    pub struct EventFd {
        /// What every description has.
        pub common: Common,
        /// The count.
        pub count: u64,
        /// EFD_SEMAPHORE.
        pub semaphore: bool,
    }
}

fields! {
    /// An epoll(7) instance.
    pub struct Epoll {
        /// What every description has.
        pub common: Common,
        /// What it watches (`tfd` lines of `fdinfo`).
        pub watches: List<Watch, 1_048_576>,
    }
}

fields! {
    /// What an epoll instance watches.
    pub struct Watch {
        /// The number of the descriptor at the time of EPOLL_CTL_ADD, which may be closed by now.
        pub number: u32,
        /// The number of the open file description.
        pub description: u32,
        /// EPOLLIN, EPOLLET and others.
        pub events: u32,
        /// What epoll_wait(2) gives back.
        pub data: u64,
    }
}

fields! {
    /// A timerfd (timerfd_create(2), `fdinfo`).
    pub struct TimerFd {
        /// What every description has.
        pub common: Common,
        /// CLOCK_MONOTONIC and others.
        pub clock: i32,
        /// TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET.
        pub flags: u32,
        /// When it goes off, in nanoseconds.
        pub time: Time,
        /// How often it went off since it was read.
        pub ticks: u64,
    }
}

fields! {
    /// A signalfd(2).
    pub struct SignalFd {
        /// What every description has.
        pub common: Common,
        /// The signals that it takes: bit N is signal N + 1.
        pub mask: u64,
    }
}

fields! {
    /// A pidfd (pidfd_open(2)).
    pub struct PidFd {
        /// What every description has.
        pub common: Common,
        /// The process or thread, as an id of the session's pid namespace; none: it has ended and was waited for.
        pub pid: Option<u32>,
        /// PIDFD_THREAD.
        pub thread: bool,
    }
}

fields! {
    /// An inotify(7) instance. Nothing waits in it.
    pub struct Inotify {
        /// What every description has.
        pub common: Common,
        /// What it watches, by rising numbers.
        pub watches: List<InotifyWatch, 1_048_576>,
    }
}

fields! {
    /// What an inotify instance watches.
    pub struct InotifyWatch {
        /// The number that inotify_add_watch(2) gave.
        pub number: u32,
        /// IN_MODIFY and others.
        pub mask: u32,
        /// What is watched, as a path in the session; a link is watched as a link.
        pub path: Bytes<4096>,
    }
}
