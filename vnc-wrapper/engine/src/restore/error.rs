//! Why processes were not made again: always by the names of process, object and call.

use std::fmt;
use std::io;

use crate::process::order::NoOrder;
use crate::process::tree::NoTree;
use crate::record;
use crate::record::check::Contradiction;

/// A thread of the session, as errors name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// Its process, as the session sees it.
    pub pid: u32,
    /// Itself; the process's number for its first thread.
    pub tid: u32,
    /// What it is called; empty where the content has no name.
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, tid, name } = self;
        match name.as_str() {
            "" => write!(out, "process {pid}")?,
            name => write!(out, "{name} (process {pid})")?,
        }
        if tid != pid { write!(out, ", thread {tid}") } else { Ok(()) }
    }
}

/// What of a process a step was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// The place from which calls are made in it.
    Stub,
    /// Itself: its id, session, group, end.
    Process,
    /// A thread.
    Thread(u32),
    /// A mapping, by its first address.
    Mapping(u64),
    /// The addresses of the program's parts, and its file.
    Program,
    /// What the kernel lays into memory.
    Vdso,
    /// A descriptor.
    Descriptor(u32),
    /// Shared memory, or a file without a name, by its number.
    Shared(u32),
    /// A Unix socket, or its file.
    Socket,
    /// Working directory, root and umask.
    Directory,
    /// What happens at a signal.
    Signal(u8),
    /// A signal that waits.
    Waiting(i32),
    /// A timer; -1 and less: ITIMER_REAL and others.
    Timer(i32),
    /// Users, groups, capabilities.
    Credentials,
    /// A seccomp filter.
    Filter(u32),
    /// The one that every process of the session begins with.
    OwnFilter,
    /// A resource limit.
    Limit(u32),
    /// How a thread is scheduled.
    Scheduling,
    /// What a thread told the kernel of its own memory.
    Registration,
    /// The call that it waited in.
    Wait,
    /// Registers and signal mask.
    Registers,
    /// What else prctl(2) and its kin set.
    Settings,
    /// A file system, by whom it is mounted.
    Mount,
    /// Its controlling terminal.
    Terminal,
    /// Its ipc namespace.
    Ipc,
    /// A set of System V semaphores, by its identifier.
    Semaphores(i32),
    /// A System V message queue, by its identifier.
    Queue(i32),
    /// A POSIX message queue, by its number.
    PosixQueue(u32),
}

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stub => out.write_str("the place for calls"),
            Self::Process => out.write_str("the process"),
            Self::Thread(tid) => write!(out, "thread {tid}"),
            Self::Mapping(start) => write!(out, "the mapping at {start:#x}"),
            Self::Program => out.write_str("the program's file and addresses"),
            Self::Vdso => out.write_str("the vdso"),
            Self::Shared(number) => write!(out, "shared object {number}"),
            Self::Descriptor(number) => write!(out, "descriptor {number}"),
            Self::Socket => out.write_str("a socket"),
            Self::Directory => out.write_str("the working directory"),
            Self::Signal(signal) => write!(out, "the action of signal {signal}"),
            Self::Waiting(signal) => write!(out, "signal {signal}, which waits"),
            Self::Timer(id @ ..0) => write!(out, "interval timer {}", -1 - id),
            Self::Timer(id) => write!(out, "timer {id}"),
            Self::Credentials => out.write_str("its credentials"),
            Self::Filter(id) => write!(out, "seccomp filter {id}"),
            Self::OwnFilter => out.write_str("the session's own seccomp filter"),
            Self::Limit(resource) => write!(out, "limit {resource}"),
            Self::Scheduling => out.write_str("its scheduling"),
            Self::Registration => out.write_str("a registration of memory with the kernel"),
            Self::Wait => out.write_str("the call in which it waits"),
            Self::Registers => out.write_str("its registers"),
            Self::Settings => out.write_str("its settings"),
            Self::Mount => out.write_str("a file system"),
            Self::Terminal => out.write_str("its controlling terminal"),
            Self::Ipc => out.write_str("its ipc namespace"),
            Self::Semaphores(id) => write!(out, "System V semaphores {id}"),
            Self::Queue(id) => write!(out, "System V message queue {id}"),
            Self::PosixQueue(number) => write!(out, "POSIX message queue {number}"),
        }
    }
}

/// Why nothing was restored. Nothing is left of what was begun.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content cannot be read.
    #[error(transparent)]
    Content(#[from] record::Error),
    /// The content contradicts itself.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The processes are no tree.
    #[error("the processes cannot be made again: {0}")]
    NoTree(#[from] NoTree),
    /// The tree has no order in which it can be made.
    #[error("the processes cannot be made again: {0}")]
    NoOrder(#[from] NoOrder),
    /// The content holds what this release cannot restore.
    #[error("{what} cannot be restored: {why}")]
    Unable {
        /// Which object.
        what: String,
        /// Why.
        why: String,
    },
    /// Something of the session could not be opened or made.
    #[error("cannot restore {what}: {call}: {error}")]
    Object {
        /// Which object.
        what: String,
        /// What was called.
        call: &'static str,
        /// Why.
        error: io::Error,
    },
    /// A step in a process failed.
    #[error("cannot restore {object} of {process}: {call}: {error}")]
    Step {
        /// The process or thread.
        process: Name,
        /// What of it.
        object: Object,
        /// The call, with its arguments where it was made in the process.
        call: String,
        /// Why.
        error: io::Error,
    },
    /// A process ended before it was complete.
    #[error("cannot restore {object} of {process}: it has ended in {call}")]
    Ended {
        /// The process or thread.
        process: Name,
        /// What of it.
        object: Object,
        /// What it was to do.
        call: String,
    },
}

impl Error {
    pub(super) fn unable(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Unable { what: what.to_string(), why: why.to_string() }
    }

    /// The number of the error that the kernel gave, if it gave one.
    #[must_use]
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Object { error, .. } | Self::Step { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}

/// What a step answers.
pub(super) type Result<T = ()> = std::result::Result<T, Error>;
