//! The verbs of `vnc-wrapper`.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, Subcommand};
use freezeframe_protocol::Failure;
use freezeframe_store::{Progress, ProgressFn, SessionId, SnapshotId, Store};

use crate::container::limits::Limits;
use crate::container::{enter, furnish};
use crate::criu::{probe, provision};
use crate::failure::ToFailure;
use crate::kernel::idmap::IdMap;
use crate::kernel::process::be_nice;
use crate::kernel::process::close_from;
use crate::kernel::userns;
use crate::objects::inotify;
use crate::report::Report;
use crate::{base, doctor, supervisor};

#[derive(Debug, Parser)]
#[command(name = "vnc-wrapper", version, about = "Runs, saves and resumes sessions on behalf of session-agent")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Args)]
struct Places {
    /// The user's data directory
    #[arg(long)]
    data: PathBuf,
    /// The user's runtime directory
    #[arg(long)]
    runtime: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start or resume a session and supervise it
    Session {
        #[command(flatten)]
        places: Places,
        /// The session, whose record is there
        #[arg(long)]
        id: SessionId,
        /// The snapshot to resume
        #[arg(long)]
        resume: Option<SnapshotId>,
        /// How many processes and threads it may have
        #[arg(long)]
        max_processes: Option<u32>,
        /// How much of the machine's memory it may have, in percent
        #[arg(long)]
        max_memory_percent: Option<u32>,
    },
    /// Remove what a session left whose supervisor died
    Discard {
        #[command(flatten)]
        places: Places,
        /// The session
        #[arg(long)]
        id: SessionId,
    },
    /// Build, import or remove a base
    #[command(subcommand)]
    Base(BaseVerb),
    /// Find out what this machine lacks
    Doctor {
        #[command(flatten)]
        places: Places,
    },
    /// Chunk, deduplicate and compress a snapshot that is committed raw
    Pack {
        #[command(flatten)]
        places: Places,
        /// The snapshot
        #[arg(long)]
        id: SnapshotId,
    },
    /// Remove what ended saves and resumes have left in the store
    Clear {
        #[command(flatten)]
        places: Places,
    },
    /// Try whether a snapshot can be resumed, without running it
    Rehearse {
        #[command(flatten)]
        places: Places,
        /// The snapshot
        #[arg(long)]
        id: SnapshotId,
        /// Its raw files, when it is not committed yet; its manifest is read from standard input (used by the supervisor)
        #[arg(long, hide = true)]
        raw: Option<PathBuf>,
        /// That this process is root of its user's namespace already (used by the supervisor)
        #[arg(long, hide = true)]
        nested: bool,
    },
    /// Fetch the engine, where this machine has none that works
    Engine {
        #[command(flatten)]
        places: Places,
    },
    /// Sleep with a few sockets open, to be dumped by a probe of CRIU
    #[command(name = probe::TARGET_VERB, hide = true)]
    ProbeTarget,
    /// Run a program in a session (used by the supervisor); what and where is read from descriptor 3
    #[command(hide = true)]
    Enter,
    /// Make the inside of a session that is resumed (used by the supervisor); what and where is read from descriptor 3
    #[command(hide = true)]
    Furnish,
    /// Put file events back into a session that was restored (used by the supervisor)
    #[command(hide = true)]
    Replay,
}

#[derive(Debug, Subcommand)]
enum BaseVerb {
    /// Build a base from a recipe
    Build {
        #[command(flatten)]
        places: Places,
        /// The base's name
        #[arg(long)]
        name: String,
        /// The recipe's file
        #[arg(long)]
        recipe: PathBuf,
    },
    /// Import a base from the tar on standard input
    Import {
        #[command(flatten)]
        places: Places,
        /// The base's name
        #[arg(long)]
        name: String,
        /// Where the tar comes from, in words
        #[arg(long, default_value = "import")]
        origin: String,
    },
    /// Store a base for an export (used by the agent); what it consists of is the answer
    #[command(hide = true)]
    TakeUp {
        #[command(flatten)]
        places: Places,
        /// The base's name
        #[arg(long)]
        name: String,
        /// The snapshot that is exported
        #[arg(long)]
        id: SnapshotId,
    },
    /// Make the base of an import (used by the agent) from what the store has; what that is comes from standard input
    #[command(hide = true)]
    Put {
        #[command(flatten)]
        places: Places,
    },
    /// Remove a base
    Remove {
        #[command(flatten)]
        places: Places,
        /// The base's name
        #[arg(long)]
        name: String,
    },
}

/// Runs the verb of the command line. Returns the exit status.
pub(crate) fn run() -> i32 {
    let arguments = Arguments::parse();
    if matches!(arguments.verb, Verb::Enter) {
        return enter::run();
    }
    if matches!(arguments.verb, Verb::Furnish) {
        return furnish::run();
    }
    if matches!(arguments.verb, Verb::Replay) {
        return inotify::replay::run();
    }
    log_to_standard_error();
    match arguments.verb {
        Verb::Session { places: Places { data, runtime }, id, resume, max_processes, max_memory_percent } => {
            let limits = Limits { processes: max_processes, memory_percent: max_memory_percent };
            supervisor::run(&supervisor::Request { data, runtime, id, resume, limits })
        }
        Verb::Discard { places, id } => report(|_| supervisor::discard(&places.data, &places.runtime, &id)),
        Verb::Base(BaseVerb::TakeUp { places, name, id }) => {
            count_bytes("storing the base", |tell| base::carried::take_up(&places.data, &name, &id, tell))
        }
        Verb::Base(BaseVerb::Put { places }) => {
            count_bytes("making the base", |tell| base::carried::put(&places.data, tell))
        }
        Verb::Base(verb) => report(|progress| run_base(verb, progress)),
        Verb::Doctor { places } => report(|_| Ok(serde_json::json!(doctor::check(&places.data, &places.runtime)))),
        Verb::Pack { places, id } => pack(&places, &id),
        Verb::Clear { places } => report(|_| clear(&places)),
        Verb::Rehearse { places, id, raw, nested } => {
            // Somebody waits for one that is being written, with the session frozen.
            if raw.is_none() {
                be_nice();
            }
            supervisor::rehearse(&places.data, &places.runtime, &id, raw.as_deref(), nested)
        }
        Verb::Engine { places } => report(|progress| fetch_engine(&places, progress)),
        Verb::ProbeTarget => {
            // What a wrapper holds for its callers may be of the outside, where CRIU cannot look it up.
            close_from(3);
            i32::from(probe::target().is_err())
        }
        Verb::Enter | Verb::Furnish | Verb::Replay => 2,
    }
}

/// Without root, the files of a layer belong to ids that are ours only in a user namespace.
pub(crate) fn enter_user_namespace() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let entered = IdMap::for_current_user().map_err(Failure::from).map(|map| userns::enter_user_namespace(&map));
    entered?.map_err(|e| e.to_failure())
}

/// How long others may take to finish with the store.
const CLEAR_PATIENCE: Duration = Duration::from_secs(120);

fn clear(places: &Places) -> Result<serde_json::Value, Failure> {
    enter_user_namespace()?;
    let removed = Store::open(&places.data).and_then(|store| store.clear_leftovers(CLEAR_PATIENCE));
    Ok(serde_json::json!({ "removed": removed.map_err(|e| e.to_failure())? }))
}

/// Packs at the lowest priority: whoever sits at a desktop goes first. Returns the exit status.
fn pack(places: &Places, id: &SnapshotId) -> i32 {
    be_nice();
    count_bytes("packing the snapshot", |tell| {
        enter_user_namespace()?;
        let packed = Store::open(&places.data).and_then(|store| store.pack(id, &AtomicBool::new(false), tell));
        let answer = packed.map(|p| serde_json::json!({ "raw_bytes": p.raw_bytes, "new_bytes": p.new_bytes }));
        answer.map_err(|e| e.to_failure())
    })
}

/// Does work of the store, and reports how far it is. Returns the exit status.
fn count_bytes(stage: &str, work: impl FnOnce(ProgressFn<'_>) -> Result<serde_json::Value, Failure>) -> i32 {
    // Progress is told by several threads.
    let report = Mutex::new(Report::new(std::io::stdout()));
    let tell = |far: Progress| {
        let fraction = if far.total == 0 { -1.0 } else { far.done as f64 / far.total as f64 };
        report.lock().unwrap_or_else(PoisonError::into_inner).progress(stage, fraction);
    };
    let outcome = work(&tell);
    report.into_inner().unwrap_or_else(PoisonError::into_inner).end(outcome)
}

fn run_base(verb: BaseVerb, progress: base::Progress<'_>) -> Result<serde_json::Value, Failure> {
    let open = |places: &Places| Store::open(&places.data).map_err(|e| e.to_failure());
    let cancel = base::Cancel::on_signals().map_err(|e| e.to_failure())?;
    match verb {
        BaseVerb::Build { places, name, recipe } => {
            let request = base::BuildRequest { recipe, name };
            Ok(base::build(&open(&places)?, &request, &cancel, progress)?)
        }
        BaseVerb::Import { places, name, origin } => {
            let archive = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_failure())?.into();
            let request = base::ImportRequest { name, archive, origin, desktop: Vec::new() };
            Ok(base::import(&open(&places)?, request, &cancel, progress)?)
        }
        BaseVerb::Remove { places, name } => Ok(base::remove(&open(&places)?, &name, progress)?),
        // These count bytes (`run`).
        BaseVerb::TakeUp { .. } | BaseVerb::Put { .. } => Ok(serde_json::Value::Null),
    }
}

fn fetch_engine(places: &Places, progress: base::Progress<'_>) -> Result<serde_json::Value, Failure> {
    let store = Store::open(&places.data).map_err(|e| e.to_failure())?;
    let criu = provision::find_or_fetch(store.root(), progress)?;
    Ok(serde_json::json!({ "engine": format!("criu {}", criu.version), "program": criu.program }))
}

fn report(work: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<serde_json::Value, Failure>) -> i32 {
    let mut report = Report::new(std::io::stdout());
    let outcome = work(&mut |stage, fraction| report.progress(stage, fraction));
    report.end(outcome)
}

fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FREEZEFRAME_LOG").unwrap_or_else(|_| "info".into());
    // A log that cannot be written is passed over: telling so on the same descriptor would panic in the middle of a save.
    let log = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    log.with_writer(std::io::stderr).with_ansi(false).init();
}
