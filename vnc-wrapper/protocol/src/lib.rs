//! What the agent and a wrapper say to each other.
//!
//! Two ways, both private to one user:
//!
//! - **Verbs.** The agent starts `vnc-wrapper VERB …` and reads JSON lines ([`Line`]) from its standard output: any number
//!   of [`Line::Progress`], then one [`Line::Done`] or [`Line::Failed`]. `vnc-wrapper session` forks its supervisor away
//!   before it says `Done`, so that a session outlives the agent that started it.
//! - **Control.** A supervisor serves `Wrapper1` on the socket [`control_socket`] (0600), as D-Bus without a bus. The
//!   peers sit in different user namespaces, so the socket uses the ANONYMOUS mechanism and the server checks
//!   `SO_PEERCRED` instead.
//!
//! Errors travel as the last part of a name under `io.github.freezeframe.Error` with a message and a hint ([`Failure`]);
//! the names are in [`error_name`].

#![allow(missing_docs, reason = "zbus::proxy makes items without documentation; the trait itself is documented")]

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Object path of `Wrapper1` on the control socket.
pub const OBJECT_PATH: &str = "/io/github/freezeframe/Wrapper1";

/// In front of every error name on a bus.
pub const ERROR_PREFIX: &str = "io.github.freezeframe.Error.";

pub mod engine;

/// Names of errors, without [`ERROR_PREFIX`].
pub mod error_name {
    /// An argument cannot be used.
    pub const INVALID_ARGUMENT: &str = "InvalidArgument";
    /// Nothing of that name is there.
    pub const NOT_FOUND: &str = "NotFound";
    /// That name is taken.
    pub const EXISTS: &str = "Exists";
    /// Pre-flight found what cannot be saved.
    pub const REFUSED: &str = "Refused";
    /// It needs root.
    pub const NEEDS_ROOT: &str = "NeedsRoot";
    /// The machine lacks something; `sessionctl doctor` says what.
    pub const MACHINE_LACKS: &str = "MachineLacks";
    /// Something else is being done with the session.
    pub const BUSY: &str = "Busy";
    /// It was cancelled.
    pub const CANCELLED: &str = "Cancelled";
    /// A file on disk is damaged, or of a later release.
    pub const DAMAGED: &str = "Damaged";
    /// The disk is full, or a quota is.
    pub const NO_SPACE: &str = "NoSpace";
    /// What did it was ended before it was done: it says nothing of what it was about.
    pub const INTERRUPTED: &str = "Interrupted";
    /// The engine, the container or the system failed.
    pub const FAILED: &str = "Failed";
    /// A verb of a later release.
    pub const NOT_AVAILABLE: &str = "NotAvailable";
}

/// Why something was not done, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One of [`error_name`].
    pub name: String,
    /// What failed and why, as a sentence without a full stop.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// One line of a verb's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// Something is being done.
    Progress {
        /// What, in a few words for the user.
        stage: String,
        /// 0 to 1 of the whole verb; below 0 when it is not known.
        fraction: f64,
    },
    /// It is done; the result depends on the verb ([`CheckItem`] list for `doctor`, [`Resumed`] for `session`).
    Done(serde_json::Value),
    /// It is not done, and nothing of it is left.
    Failed(Failure),
}

/// Result of `vnc-wrapper session`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// Time from the call until the desktop ran, in milliseconds.
    pub elapsed_ms: f64,
}

/// One thing that `vnc-wrapper doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckItem {
    /// Stable name: `criu`, `user-namespaces`, `disk-space`, ….
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What does not work without it: `start` or `save`, which forbids the use of Freezeframe; or what can be done without,
    /// such as `base build`, `network`, `large desktops`; empty when all is well.
    pub needed_for: String,
    /// What was found.
    pub found: String,
    /// The command that mends it; empty when all is well or no command does.
    pub remedy: String,
}

/// One finding of the pre-flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The process, as numbered inside the session.
    pub pid: u32,
    /// Its application.
    pub application: String,
    /// Title of its window; empty when it has none.
    pub window: String,
    /// What cannot be saved.
    pub object: String,
    /// Whether it stops the save; else it is closed.
    pub blocking: bool,
    /// What the user can do.
    pub remedy: String,
}

/// Result of `Wrapper1.Check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Whether a save would go through.
    pub savable: bool,
    /// All findings.
    pub findings: Vec<Finding>,
}

/// What `vnc-wrapper base take-up` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseContent {
    /// What the base consists of, in the form of a snapshot's `content`.
    pub bytes: Vec<u8>,
}

/// What `vnc-wrapper base put` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseToPut {
    /// The base's record, as the export has it.
    pub record: serde_json::Value,
    /// What it consists of.
    pub content: BaseContent,
}

/// Options of `Wrapper1.Save`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveOptions {
    /// The snapshot's id, drawn by the agent.
    pub snapshot: String,
    /// The user's words for it.
    pub label: String,
    /// End the session once the snapshot is whole. The session is never thawed in between.
    pub stop: bool,
    /// Taken by itself rather than asked for.
    #[serde(default)]
    pub automatic: bool,
}

/// Options of `Wrapper1.Execute`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOptions {
    /// The program and its arguments; the program is searched for in the session's PATH.
    pub argv: Vec<String>,
    /// As the session's root rather than its user.
    pub root: bool,
    /// Stay tied to the caller: use the three given descriptors and return the exit status.
    pub wait: bool,
    /// Variables to add to the session's environment.
    pub environment: Vec<(String, String)>,
    /// Working directory inside the session; empty: the home directory.
    pub directory: String,
}

/// What a supervisor is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `running`, `saving` or `stopping`.
    pub state: String,
    /// Viewers connected now.
    pub viewers: u32,
    /// Snapshot being written now; empty for none.
    pub saving: String,
}

/// The directory of one session's sockets (0700), below the user's runtime directory.
pub fn session_runtime_dir(runtime: &Path, session: &str) -> PathBuf {
    runtime.join("freezeframe").join(session)
}

/// Where a supervisor serves `Wrapper1`.
pub fn control_socket(session_runtime: &Path) -> PathBuf {
    session_runtime.join("control")
}

/// Where any VNC client can connect to the session's display (0600).
pub fn display_socket(session_runtime: &Path) -> PathBuf {
    session_runtime.join("display")
}

/// A supervisor's control interface. Records travel as JSON, so that both sides share one definition of each.
#[zbus::proxy(
    interface = "io.github.freezeframe.Wrapper1",
    default_path = "/io/github/freezeframe/Wrapper1",
    gen_blocking = false
)]
pub trait Wrapper1 {
    /// Saves the session ([`SaveOptions`] in, manifest out). Answers when the snapshot is committed; `Progress` says how
    /// far it is.
    fn save(&self, options: &str) -> zbus::Result<String>;

    /// Cancels a save that has not frozen the session yet; answers whether there was one.
    fn cancel_save(&self) -> zbus::Result<bool>;

    /// Runs the pre-flight alone (out: [`CheckReport`]).
    fn check(&self) -> zbus::Result<String>;

    /// Runs a program in the session ([`ExecOptions`] in). With `wait` it takes standard input, output and error, and
    /// answers with the exit status (128 + n for signal n) when the program ends; else it takes no descriptor and
    /// answers with the program's pid inside the session.
    fn execute(&self, options: &str, descriptors: Vec<zbus::zvariant::Fd<'_>>) -> zbus::Result<i32>;

    /// Hands out one end of a connected RFB socket.
    fn open_display(&self) -> zbus::Result<zbus::zvariant::OwnedFd>;

    /// Has the viewers go into this socket (seqpacket) if the next save ends the session.
    fn hand_over(&self, heir: zbus::zvariant::Fd<'_>) -> zbus::Result<()>;

    /// Serves the viewers that a wrapper has put into the other end of this socket.
    fn take_over(&self, viewers: zbus::zvariant::Fd<'_>) -> zbus::Result<()>;

    /// The display as a PNG.
    fn screenshot(&self) -> zbus::Result<Vec<u8>>;

    /// What the supervisor is doing (out: [`Status`]).
    fn status(&self) -> zbus::Result<String>;

    /// Ends the session: asks every process to end, waits a little, then makes them. Answers when all is gone.
    fn stop(&self) -> zbus::Result<()>;

    /// Progress of a save: the stage in a few words, and 0 to 1 of the whole.
    #[zbus(signal)]
    fn progress(&self, stage: String, fraction: f64) -> zbus::Result<()>;
}
