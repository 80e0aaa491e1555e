//! `vnc-wrapper rehearse`: whether a snapshot can be resumed, found out by doing it, on a throw-away layer.
//!
//! The processes are made and never run: they stay stopped, with no way out and no viewers, in namespaces of this verb's
//! own, and go with it.

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

use freezeframe_protocol::{Failure, Line, error_name, session_runtime_dir};
use freezeframe_store::record::{MAX_RECORD, Record};
use freezeframe_store::{Manifest, SessionRecord, SnapshotId, Store, layout};
use nix::sched::{CloneFlags, unshare};

use super::session::{Session, is_native, needs_root};
use super::{Directories, boot, cannot_isolate, isolate, lock};
use crate::failure::{ToFailure, failure};
use crate::kernel::idmap::IdMap;
use crate::kernel::process::{Fork, close_from, fork};
use crate::kernel::userns;
use crate::report::Report;

/// The wrapper's program, whatever became of its file: a supervisor is process 1 of its pid namespace.
const OWN_PROGRAM: &str = "/proc/1/exe";

/// What the directories of rehearsals begin with, beside those of sessions, all of whose readers pass it over.
const PREFIX: &str = ".rehearsal.";

/// Resumes the snapshot `id`, and ends what was made. Returns the exit status.
///
/// One that is not committed yet is made of its `raw` files, and its manifest comes from standard input.
/// `nested`: this process is root of its user's namespace already.
pub fn rehearse(data: &Path, runtime: &Path, id: &SnapshotId, raw: Option<&Path>, nested: bool) -> i32 {
    close_from(3);
    let mut report = Report::new(io::stdout());
    let outcome = prepare(data, runtime, id, raw, nested).and_then(|boot| {
        let directories = boot.directories.clone();
        let outcome = in_a_child(boot, runtime, &mut report);
        clear(&directories);
        outcome
    });
    report.end(outcome.map(|()| serde_json::Value::Null))
}

/// Tries the snapshot that is being written, of which `raw` is all but the `manifest`, before its session ends. The verb runs in
/// a process of its own, since it makes namespaces; the session is frozen meanwhile.
///
/// # Errors
/// `Damaged` when it cannot be restored; otherwise why it could not be tried.
pub(super) fn of_unsaved(session: &Session, manifest: &Manifest, raw: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure {
        message: format!("what was saved could not be tried: {error}"),
        ..error.to_failure()
    };
    let runtime = session.directories.runtime.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let mut command = Command::new(OWN_PROGRAM);
    command.arg("rehearse").arg("--data").arg(session.store.root()).arg("--runtime").arg(runtime);
    command.args(["--id", manifest.id.as_str()]).arg("--raw").arg(raw);
    if !session.privileged {
        command.arg("--nested");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let told = child.stdin.take().map_or(Ok(()), |stdin| {
        let text = serde_json::to_vec(manifest)?;
        (&stdin).write_all(&text)
    });
    let lines = child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok);
    let outcome = lines.filter_map(|line| serde_json::from_str(&line).ok()).find_map(|line| match line {
        Line::Progress { .. } => None,
        Line::Done(_) => Some(Ok(())),
        Line::Failed(failure) => Some(Err(failure)),
    });
    let status = child.wait().map_err(failed)?;
    let ended = || {
        told.map_err(failed)?;
        let text = format!("what was saved could not be tried: the attempt was ended ({status})");
        Err(failure(error_name::INTERRUPTED, text, ""))
    };
    outcome.unwrap_or_else(ended)
}

/// The manifest of a snapshot that is not committed yet.
fn manifest_from_standard_input() -> Result<Manifest, Failure> {
    let mut text = Vec::new();
    io::stdin().take(MAX_RECORD).read_to_end(&mut text).map_err(|e| e.to_failure())?;
    serde_json::from_slice(&text)
        .map_err(|error| failure(error_name::INVALID_ARGUMENT, format!("the manifest cannot be read: {error}"), ""))
}

fn prepare(
    data: &Path,
    runtime: &Path,
    id: &SnapshotId,
    raw: Option<&Path>,
    nested: bool,
) -> Result<boot::Boot, Failure> {
    let privileged = !nested && rustix::process::geteuid().is_root();
    if !privileged && !is_native(privileged) {
        return Err(needs_root());
    }
    let mut map =
        if nested { IdMap::of_this_namespace().map_err(|e| e.to_failure())? } else { IdMap::for_current_user()? };
    let first_id = map.first_id();
    if !privileged {
        if !nested {
            userns::enter_user_namespace(&map).map_err(|error| cannot_isolate(&error))?;
        }
        map = map.nested();
    }
    let store = Store::open(data).map_err(|e| e.to_failure())?;
    let manifest = match raw {
        Some(_) => manifest_from_standard_input()?,
        None => store.manifest(id).map_err(|e| e.to_failure())?,
    };
    let sessions = store.session_dir(&manifest.session).with_file_name("");
    remove_old(&sessions, runtime).map_err(|e| e.to_failure())?;
    let name = format!("{PREFIX}{id}");
    let directories = Directories {
        session: sessions.join(&name),
        runtime: session_runtime_dir(runtime, &name),
        log: "/dev/null".into(),
    };
    DirBuilder::new().mode(0o700).create(&directories.session).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            failure(error_name::BUSY, "that is being tried already", "wait until it is done")
        }
        _ => e.to_failure(),
    })?;
    layout::make_private(&directories.runtime).map_err(|e| e.to_failure())?;
    let layer_first_id = manifest.first_id;
    let record = SessionRecord {
        format: SessionRecord::FORMAT,
        id: manifest.session,
        base: manifest.base,
        base_identity: manifest.base_identity,
        width: manifest.width,
        height: manifest.height,
        network: manifest.network,
        started: manifest.created,
        parent: Some(id.clone()),
        lineage: manifest.lineage,
        last_snapshot: None,
    };
    Ok(boot::Boot {
        lock: lock(&directories.session)?,
        first_id,
        range: super::own_range(&map, privileged),
        group: None,
        layer_first_id,
        store,
        record,
        directories,
        map,
        privileged,
        resume: Some(id.clone()),
        raw: raw.map(Path::to_owned),
    })
}

/// The child is process 1 of its pid namespace: whatever was made ends with it.
fn in_a_child<W: Write>(boot: boot::Boot, runtime: &Path, report: &mut Report<W>) -> Result<(), Failure> {
    report.progress("restoring it on the side, without running it", 0.1);
    let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWCGROUP;
    unshare(own).map_err(|error| cannot_isolate(&error.into()))?;
    let (told, mut tell) = io::pipe().map_err(|e| e.to_failure())?;
    match fork().map_err(|e| e.to_failure())? {
        Fork::Child => {
            drop(told);
            let isolated = isolate(&io::stderr(), boot.store.root(), runtime);
            let outcome = isolated.map_err(|error| cannot_isolate(&error)).and_then(|()| boot::rehearse(&boot));
            let text = serde_json::to_vec(&outcome.err()).unwrap_or_default();
            std::process::exit(i32::from(tell.write_all(&text).is_err()))
        }
        Fork::Parent(child) => {
            drop((tell, boot));
            let outcome: Option<Failure> = serde_json::from_reader(told).map_err(|_| {
                failure(error_name::INTERRUPTED, "the attempt to resume the snapshot was ended", "see the agent's log")
            })?;
            let child = nix::unistd::Pid::from_raw(child.cast_signed());
            nix::sys::wait::waitpid(child, None).map_err(|e| io::Error::from(e).to_failure())?;
            outcome.map_or(Ok(()), Err)
        }
    }
}

/// Removes what rehearsals left that were killed.
fn remove_old(sessions: &Path, runtime: &Path) -> io::Result<()> {
    for entry in fs::read_dir(sessions)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if name.starts_with(PREFIX) && lock(&entry.path()).is_ok() {
            let runtime = session_runtime_dir(runtime, &name);
            clear(&Directories { session: entry.path(), runtime, log: "/dev/null".into() });
        }
    }
    Ok(())
}

fn clear(directories: &Directories) {
    super::end::remove(directories);
}
