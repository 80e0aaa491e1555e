//! Named steps that a test makes fail.
//!
//! Every step that changes something in another process, or follows one that did, passes a point. A test arms one point in
//! its own thread, has the work fail there and compares the other process before and after. The points are an enum, so that
//! the tests can go through [`Step::ALL`] and a step that no test reaches is found.

use std::cell::Cell;
use std::io;

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $name:literal,)*) => {
        /// A step that can be made to fail.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Step { $($(#[$doc])* $step,)* }

        impl Step {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            /// Its name in errors.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$step => $name,)* }
            }
        }
    };
}

steps! {
    /// A thread is taken hold of.
    Seize = "remote.seize",
    /// It is asked to stop.
    Interrupt = "remote.interrupt",
    /// It has stopped.
    Stopped = "remote.stopped",
    /// Its registers were read.
    Registers = "remote.registers",
    /// The instruction that makes a call was found.
    Instruction = "remote.instruction",
    /// Its signals are blocked.
    Blocked = "remote.blocked",
    /// Its registers were set for a call.
    CallSet = "remote.call-set",
    /// It stands at the begin of the call.
    CallBegun = "remote.call-begun",
    /// It stands at the end of the call.
    CallDone = "remote.call-done",
    /// Memory was mapped in its process.
    Mapped = "remote.mapped",
    /// A descriptor was opened in its process.
    Opened = "remote.opened",
    /// A System V segment was attached in its process.
    Attached = "remote.attached",
    /// Part of its stack was borrowed.
    Borrowed = "remote.borrowed",
    /// The list of calls was written.
    ListWritten = "remote.list-written",
    /// The list's code may be executed.
    ListReady = "remote.list-ready",
    /// The list has run.
    ListRun = "remote.list-run",
    /// The list's results were read.
    ListRead = "remote.list-read",
    /// A thread is led on by a step.
    Stepped = "remote.stepped",
    /// One of many threads is held.
    FreezeHeld = "freeze.held",
    /// All stand still, at the first look.
    FreezeQuiet = "freeze.quiet",
    /// The first process is made.
    RestoreFirst = "restore.first",
    /// It is held.
    RestoreSeized = "restore.seized",
    /// It has executed its program.
    RestoreExecuted = "restore.executed",
    /// Its memory holds nothing any more.
    RestoreEmptied = "restore.emptied",
    /// The first process has its host's names and clocks.
    RestoreNamespaces = "restore.namespaces",
    /// Something of terminals is as it was.
    RestoreTerminals = "restore.terminals",
    /// An open file description is made.
    RestoreGiven = "restore.given",
    /// The descriptions are in the first process.
    RestoreSent = "restore.sent",
    /// A process was made.
    RestoreForked = "restore.forked",
    /// Something of the ipc namespace is there.
    RestoreIpc = "restore.ipc",
    /// A process has its memory mapped.
    RestoreMapped = "restore.mapped",
    /// Pages are put into memory.
    RestoreFilled = "restore.filled",
    /// A process has its memory as it was.
    RestoreSealed = "restore.sealed",
    /// A process has what belongs to it as a whole.
    RestoreProcess = "restore.process",
    /// A process has its descriptors in their places.
    RestorePlaced = "restore.placed",
    /// A process has its threads.
    RestoreThreads = "restore.threads",
    /// A thread has what belongs to it.
    RestoreThread = "restore.thread",
    /// A process has its timers and waiting signals.
    RestoreTimers = "restore.timers",
    /// A thread has its registers.
    RestoreRegisters = "restore.registers",
    /// The processes of a dump were listed.
    DumpListed = "dump.listed",
    /// A process was asked what only it knows.
    DumpAsked = "dump.asked",
    /// A thread is recorded.
    DumpThread = "dump.thread",
    /// A process is recorded.
    DumpProcess = "dump.process",
    /// An address space is recorded.
    DumpMemory = "dump.memory",
    /// A table of descriptors is recorded.
    DumpTable = "dump.table",
    /// Everything is recorded.
    DumpCollected = "dump.collected",
    /// The messages of a POSIX queue were read out.
    QueueRead = "queue.read",
    /// All were let go.
    DumpReleased = "dump.released",
}

thread_local! {
    static ARMED: Cell<Option<Step>> = const { Cell::new(None) };
    static SKIP: Cell<u32> = const { Cell::new(0) };
    static MET: Cell<bool> = const { Cell::new(false) };
}

/// Makes `step` fail in this thread after it was passed `skip` times, until the guard is dropped. For tests.
#[must_use]
pub fn arm(step: Step, skip: u32) -> Armed {
    ARMED.set(Some(step));
    SKIP.set(skip);
    MET.set(false);
    Armed(())
}

/// A step is made to fail while this lives.
pub struct Armed(());

impl Armed {
    /// Whether the step failed.
    #[must_use]
    pub fn met(&self) -> bool {
        MET.get()
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        ARMED.set(None);
    }
}

/// Fails if `step` is armed in this thread; once.
///
/// # Errors
/// One that names the step.
pub(crate) fn point(step: Step) -> io::Result<()> {
    if ARMED.get() != Some(step) || MET.get() {
        return Ok(());
    }
    if let Some(left) = SKIP.get().checked_sub(1) {
        SKIP.set(left);
        return Ok(());
    }
    MET.set(true);
    Err(io::Error::other(format!("made to fail at {}", step.name())))
}
