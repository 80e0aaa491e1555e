//! `vnc-wrapper session`: one supervisor for one running session.
//!
//! The supervisor is process 1 of a pid namespace, and root of mount and cgroup namespaces, of its own: when it dies, of
//! whatever cause, the kernel ends everything that it started and takes every mount away. [`boot`] makes the session,
//! [`session`] holds it, [`control`] is what the agent calls, [`save`], [`exec`] and [`end`] do it.

mod boot;
mod control;
mod end;
mod exec;
mod host;
mod ids;
mod peer;
mod rehearsal;
mod save;
mod saved;
mod session;
mod system_bus;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use freezeframe_protocol::{Failure, Line, error_name, session_runtime_dir};
use freezeframe_store::{SessionId, SnapshotId, Store, layout};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::FlockOperation;

use crate::container::limits::{Group, Limits};
use crate::container::own_files;
use crate::container::ranges::OwnRange;
use crate::engine::cache;
use crate::failure::{ToFailure, failure};
use crate::kernel::idmap::IdMap;
use crate::kernel::process::{Fork, close_from, fork, lead_session};
use crate::kernel::{keyring, process, userns};
use crate::report::Report;

pub use rehearsal::rehearse;

/// What `vnc-wrapper session` was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The user's data directory.
    pub data: PathBuf,
    /// The user's runtime directory.
    pub runtime: PathBuf,
    /// The session, whose record is there.
    pub id: SessionId,
    /// The snapshot to resume; none to start from the base.
    pub resume: Option<SnapshotId>,
    /// What the session may have of the machine.
    pub limits: Limits,
}

/// Directories of one session.
#[derive(Clone, Debug)]
pub struct Directories {
    /// `sessions/<id>`.
    pub session: PathBuf,
    /// Its sockets.
    pub runtime: PathBuf,
    /// What its supervisor writes down; outlives the session.
    pub log: PathBuf,
}

impl Directories {
    fn new(store: &Store, runtime: &Path, id: &SessionId) -> Self {
        Self {
            session: store.session_dir(id),
            runtime: session_runtime_dir(runtime, id.as_str()),
            log: store.session_log(id),
        }
    }

    fn layer(&self) -> PathBuf {
        self.session.join("layer")
    }

    fn work(&self) -> PathBuf {
        self.session.join("work")
    }

    /// The overlay's index, in its work directory (Documentation/filesystems/overlayfs.rst, "Index").
    fn index(&self) -> PathBuf {
        self.work().join("index")
    }

    fn root(&self) -> PathBuf {
        self.session.join("root")
    }

    /// The copies of its own files, where it is resumed from a snapshot that has them.
    fn own(&self) -> PathBuf {
        self.session.join(own_files::DIRECTORY)
    }
}

/// Starts the supervisor and reports until its session runs. Returns the exit status.
pub fn run(request: &Request) -> i32 {
    let begun = Instant::now();
    // Whatever else whoever started us had open is not the session's.
    close_from(3);
    let mut report = Report::new(io::stdout());
    match launch(request, begun, &mut report) {
        Ok(status) => status,
        Err(error) => report.end(Err(error)),
    }
}

fn launch<W: Write>(request: &Request, begun: Instant, report: &mut Report<W>) -> Result<i32, Failure> {
    let told = |error: io::Error| error.to_failure();
    let store = Store::open(&request.data).map_err(|e| e.to_failure())?;
    let record = store.session(&request.id).map_err(|e| e.to_failure())?;
    let directories = Directories::new(&store, &request.runtime, &request.id);
    layout::make_private(&directories.runtime).map_err(|e| e.to_failure())?;
    let lock = lock(&directories.session)?;
    let log = open_log(&directories.log).map_err(told)?;
    let privileged = rustix::process::geteuid().is_root();
    let mut map = IdMap::for_current_user()?;
    let first_id = map.first_id();
    if !privileged {
        userns::enter_user_namespace(&map).map_err(|error| cannot_isolate(&error))?;
        map = map.nested();
    }
    let range = own_range(&map, privileged);
    // One that cannot be read is reported where the rest of the snapshot is.
    let layer_first_id = request.resume.as_ref().and_then(|snapshot| store.manifest(snapshot).ok()?.first_id);
    let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWCGROUP;
    let group = if privileged { own_group(&directories.session, request.limits) } else { None };
    let apart = || Ok(unshare(own)?);
    group.as_ref().map_or_else(apart, |group| group.within(apart)).map_err(|error| cannot_isolate(&error))?;
    let (lines, to_parent) = io::pipe().map_err(told)?;
    match fork().map_err(told)? {
        Fork::Child => {
            drop(lines);
            let outcome = isolate(&log, &request.data, &request.runtime);
            let mut report = Report::new(to_parent);
            let status = match outcome {
                Ok(()) => {
                    let boot = boot::Boot {
                        lock,
                        first_id,
                        store,
                        record,
                        directories,
                        map,
                        range,
                        group,
                        privileged,
                        resume: request.resume.clone(),
                        raw: None,
                        layer_first_id,
                    };
                    boot::run(boot, begun, report)
                }
                Err(error) => report.end(Err(cannot_isolate(&error))),
            };
            std::process::exit(status)
        }
        Fork::Parent(_) => {
            drop(to_parent);
            Ok(forward(lines, report, &directories))
        }
    }
}

/// A range for a session of root, if there is one for it.
fn own_range(map: &IdMap, privileged: bool) -> Option<OwnRange> {
    if !privileged {
        return None;
    }
    let taken = OwnRange::take(map.first_id());
    taken.inspect_err(|error| tracing::warn!("the session shares its ids with others: {error}")).ok().flatten()
}

/// What limits a session of root, where this machine lets us.
fn own_group(session: &Path, limits: Limits) -> Option<Group> {
    let made = Group::make(session, limits);
    made.inspect_err(|error| tracing::warn!("the session is not limited: {error}")).ok().flatten()
}

/// The session's log, or nothing where it cannot be made: a session does not fail for the lack of a log.
fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).or_else(|error| {
        tracing::warn!("there will be no log of the session: {}: {error}", path.display());
        OpenOptions::new().write(true).open("/dev/null")
    })
}

/// Takes what ties process 1 of a new pid namespace to the outside away from it, the host's mounts among that; what it
/// says goes to `log`.
fn isolate(log: &impl AsFd, data: &Path, runtime: &Path) -> io::Result<()> {
    // Until the session runs, whoever asked for it may end it by ending this process's parent.
    process::end_with_parent(true)?;
    lead_session()?;
    keyring::leave()?;
    host::leave(data, runtime)?;
    cache::give(runtime);
    // Opened only now: a descriptor of the host's /dev would keep that mounted.
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(log)?;
    Ok(())
}

/// Passes the supervisor's lines on until it has said how it ended, or that its session runs.
fn forward<W: Write>(lines: io::PipeReader, report: &mut Report<W>, directories: &Directories) -> i32 {
    for line in BufReader::new(lines).lines() {
        let Some(line) = line.ok().and_then(|text| serde_json::from_str::<Line>(&text).ok()) else { break };
        report.line(&line);
        match line {
            Line::Progress { .. } => {}
            Line::Done(_) => return 0,
            Line::Failed(_) => return 1,
        }
    }
    let message = "the session's wrapper ended before the session ran";
    report.end(Err(failure(error_name::INTERRUPTED, message, format!("see {}", directories.log.display()))))
}

/// Locks a session's directory for as long as the answer, or a copy of it in a child, lives.
fn lock(directory: &Path) -> Result<File, Failure> {
    let file = File::open(directory).map_err(|e| e.to_failure())?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let text = format!("the session of {} has a supervisor already", directory.display());
        failure(error_name::BUSY, text, "stop it first: sessionctl stop SESSION")
    })?;
    Ok(file)
}

fn cannot_isolate(error: &io::Error) -> Failure {
    failure(
        error_name::MACHINE_LACKS,
        format!("cannot isolate the session from this machine: {error}"),
        "run `sessionctl doctor`; it tells what this machine lacks",
    )
}

/// Removes what the session `id` left, whose supervisor is dead; its processes died with it.
///
/// # Errors
/// When its supervisor is alive, or something cannot be removed.
pub fn discard(data: &Path, runtime: &Path, id: &SessionId) -> Result<serde_json::Value, Failure> {
    let store = Store::open(data).map_err(|e| e.to_failure())?;
    let directories = Directories::new(&store, runtime, id);
    let _lock = match lock(&directories.session) {
        Err(_) if !directories.session.exists() => None,
        locked => Some(locked?),
    };
    if !rustix::process::geteuid().is_root() {
        // Its files belong to ids that are ours only inside.
        userns::enter_user_namespace(&IdMap::for_current_user()?).map_err(|error| cannot_isolate(&error))?;
    }
    end::remove(&directories);
    if directories.session.exists() {
        let text = format!("cannot remove all of {}", directories.session.display());
        return Err(failure(error_name::FAILED, text, "see what is in it; the agent's log says why"));
    }
    Ok(serde_json::Value::Null)
}
