//! `vnc-wrapper rehearse`: whether a snapshot can be resumed, found out by doing it, on a throw-away layer.
//!
//! The processes are made and never run: they stay stopped, with no way out and no viewers, in namespaces of this verb's
//! own, and go with it.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use freezeframe_protocol::{Failure, error_name, session_runtime_dir};
use freezeframe_store::record::Record;
use freezeframe_store::{SessionRecord, SnapshotId, Store, layout};
use nix::sched::{CloneFlags, unshare};

use super::session::needs_root;
use super::{Directories, boot, cannot_isolate, isolate, lock};
use crate::failure::{ToFailure, failure};
use crate::kernel::idmap::IdMap;
use crate::kernel::process::{Fork, close_from, fork};
use crate::report::Report;

/// What the directories of rehearsals begin with, beside those of sessions, all of whose readers pass it over.
const PREFIX: &str = ".rehearsal.";

/// Resumes the snapshot `id`, and ends what was made. Returns the exit status.
pub fn rehearse(data: &Path, runtime: &Path, id: &SnapshotId) -> i32 {
    close_from(3);
    let mut report = Report::new(io::stdout());
    let outcome = prepare(data, runtime, id).and_then(|boot| {
        let directories = boot.directories.clone();
        let outcome = in_a_child(boot, runtime, id, &mut report);
        clear(&directories);
        outcome
    });
    report.end(outcome.map(|()| serde_json::Value::Null))
}

fn prepare(data: &Path, runtime: &Path, id: &SnapshotId) -> Result<boot::Boot, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(needs_root());
    }
    let store = Store::open(data).map_err(|e| e.to_failure())?;
    let manifest = store.manifest(id).map_err(|e| e.to_failure())?;
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
    let map = IdMap::for_current_user()?;
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
        first_id: map.first_id(),
        store,
        record,
        directories,
        map,
        privileged: true,
        resume: Some(id.clone()),
    })
}

/// The child is process 1 of its pid namespace: whatever was made ends with it.
fn in_a_child<W: Write>(
    boot: boot::Boot,
    runtime: &Path,
    id: &SnapshotId,
    report: &mut Report<W>,
) -> Result<(), Failure> {
    report.progress("restoring it on the side, without running it", 0.1);
    let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWCGROUP;
    unshare(own).map_err(|error| cannot_isolate(&error.into()))?;
    let (told, mut tell) = io::pipe().map_err(|e| e.to_failure())?;
    match fork().map_err(|e| e.to_failure())? {
        Fork::Child => {
            drop(told);
            let isolated = isolate(&io::stderr(), boot.store.root(), runtime);
            let outcome = isolated.map_err(|error| cannot_isolate(&error)).and_then(|()| boot::rehearse(&boot, id));
            let text = serde_json::to_vec(&outcome.err()).unwrap_or_default();
            std::process::exit(i32::from(tell.write_all(&text).is_err()))
        }
        Fork::Parent(child) => {
            drop((tell, boot));
            let outcome: Option<Failure> = serde_json::from_reader(told).map_err(|_| {
                failure(error_name::FAILED, "the attempt to resume the snapshot was ended", "see the agent's log")
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
