//! What freezes, dumps and restores the process tree of a session.
//!
//! The rest of the wrapper knows only [`Engine`]; [`criu`] is the first one, [`native`] the one that takes its place.

mod blame;
pub mod cache;
pub mod criu;
mod domains;
pub mod hooks;
mod ids;
mod kept;
pub mod native;
mod peers;
mod plugin;
mod sockets;
mod speculation;
mod stats;
mod stops;
mod terminals;
mod traced;
mod waits;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use freezeframe_engine::filters::Shared;
use freezeframe_engine::filters::watch::Watch;
use freezeframe_store::session::Network;

use crate::container::limits::Group;
use crate::kernel::idmap::IdMap;
use crate::objects::Found;

/// What happens to the processes after a dump that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// They run on.
    Run,
    /// They are ended without running again.
    End,
}

/// What to dump.
#[derive(Debug)]
pub struct DumpRequest<'a> {
    /// Pid of the session's init.
    pub init: u32,
    /// Where the images go; an existing, empty directory.
    pub images: &'a Path,
    /// The mount point of the session's overlay.
    pub root: &'a Path,
    /// How the session reaches the network.
    pub network: Network,
    /// What was seen of its processes' seccomp filters, where the filter that they begin with asks.
    pub filters: Option<Shared>,
    /// What happens then.
    pub after: After,
}

/// What to restore.
#[derive(Debug)]
pub struct RestoreRequest<'a> {
    /// The images; only read.
    pub images: &'a Path,
    /// Where logs and pid files go.
    pub work: &'a Path,
    /// The mount point of an overlay with the layer of the same instant.
    pub root: &'a Path,
    /// The ids that the session gets, whichever it had.
    pub map: &'a IdMap,
    /// What its processes are put into, if anything.
    pub group: Option<&'a Group>,
    /// The copies of its own files ([`crate::container::own_files`]), where an engine does not save those.
    pub own: Option<&'a OwnedFd>,
    /// How the session reached the network.
    pub network: Network,
    /// Who answers the filter that its processes begin with, for an engine that gives them one which asks.
    pub filters: Option<&'a Watch>,
    /// Whether the processes stay stopped, and never run.
    pub stopped: bool,
}

/// How a dump went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DumpReport {
    /// From the first process stopped to the last one running again.
    pub pause: Duration,
    /// Until every process had stopped.
    pub freeze: Duration,
}

/// An error of whoever the engine calls back.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// What is done while every process is stopped. Its error makes the dump fail and the processes run on.
pub type WhileFrozen<'a> = dyn FnMut(DumpReport) -> Result<(), BoxedError> + 'a;

/// A point of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The session's namespaces are there, and its sockets are not.
    Namespaces,
    /// Every process is there, as its images say, and none has run: the last moment at which an error stops the restore.
    Restored,
    /// Everything is there, and stopped, and the engine has closed what it had open in the processes. An error does not
    /// stop the restore any more, but kills what was restored.
    BeforeRun,
}

/// What is done at the points of a restore; gets the pid of the session's init.
pub type Connect<'a> = dyn FnMut(Moment, u32) -> Result<(), BoxedError> + 'a;

/// Freezes, dumps and restores.
///
/// A session's network namespace is saved whole when it has only the loopback; one with a way out is made anew by
/// [`Connect`], because the device of that way belongs to a process of the outside.
///
/// A dump that fails leaves every process running as before. A restore that fails leaves no process behind.
pub trait Engine: Send + Sync {
    /// Its name and version, as manifests record it.
    fn describe(&self) -> String;

    /// Whether threads of a session that it resumes can be had to make system calls, which a few objects need.
    fn can_call(&self) -> bool;

    /// Whether its images hold the files of the session's own file systems; the layer of a snapshot does otherwise.
    fn saves_own_files(&self) -> bool;

    /// Stops the session, writes its images, calls `while_frozen` once, and lets the session run or ends it.
    ///
    /// # Errors
    /// When anything fails, `while_frozen` included; the session then runs on.
    fn dump(&self, request: &DumpRequest<'_>, while_frozen: &mut WhileFrozen<'_>) -> Result<DumpReport, EngineError>;

    /// Makes the processes anew from their images, calling `connect` at each [`Moment`], and lets them run. Returns the pid of the session's init.
    ///
    /// # Errors
    /// When anything fails; no process is then left.
    fn restore(&self, request: &RestoreRequest<'_>, connect: &mut Connect<'_>) -> Result<u32, EngineError>;
}

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine's program could not be used.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It refused or failed; `reason` is its own words.
    #[error("{engine} cannot {action} the session: {reason}")]
    Refused {
        /// Which engine.
        engine: String,
        /// "save" or "resume".
        action: &'static str,
        /// Because of which process, as the wrapper sees it, if that is known.
        process: Option<u32>,
        /// What it said.
        reason: String,
    },
    /// A signal ended it, which nobody of ours sent.
    #[error("{engine} was killed (signal {signal}) while it was to {action} the session")]
    Killed {
        /// Which engine.
        engine: String,
        /// "save" or "resume".
        action: &'static str,
        /// The signal's number.
        signal: i32,
    },
    /// It would have lost something of the session, so it did not save it.
    #[error("{engine} cannot save the session: {}", objects(.found))]
    WouldLose {
        /// Which engine.
        engine: String,
        /// What, all of it.
        found: Vec<Found>,
    },
    /// The work done on the engine's behalf, while it waited, failed.
    #[error("{0}")]
    InHook(#[source] BoxedError),
    /// It made no progress and was ended.
    #[error("{engine} did nothing for {} seconds and was ended", .quiet.as_secs())]
    Hung {
        /// Which engine.
        engine: String,
        /// For how long.
        quiet: Duration,
    },
    /// Its statistics cannot be read.
    #[error("cannot read the engine's statistics: {0}")]
    Statistics(String),
}

fn objects(found: &[Found]) -> String {
    found.iter().map(|found| found.trouble.object.as_str()).collect::<Vec<_>>().join("; ")
}

impl EngineError {
    /// Whether the cause goes away when the programs have run for a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { reason, .. } => passes(reason),
            Self::WouldLose { found, .. } => found.iter().all(|found| found.trouble.passing),
            _ => false,
        }
    }
}

/// Whether what the engine gives as its reason goes away when the programs have run for a moment.
pub fn passes(reason: &str) -> bool {
    PASSING.iter().any(|words| reason.contains(words))
}

/// Words in CRIU's reasons that tell of something which waits to be accepted or received (criu/sk-inet.c, sk-unix.c,
/// sk-queue.c, sk-netlink.c).
const PASSING: [&str; 5] =
    ["In-flight connection", "in-flight socket", "Control messages in queue", "queue is not empty", "has data to read"];
