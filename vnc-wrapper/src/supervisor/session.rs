//! A running session, as its supervisor holds it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freezeframe_engine::filters::watch::Watch;
use freezeframe_protocol::engine::Engine as Which;
use freezeframe_protocol::{CheckReport, Failure, Status, error_name};
use freezeframe_store::manifest::{Watched, Window};
use freezeframe_store::{BaseRecord, SessionRecord, Store};
use tokio::sync::{Notify, RwLock, broadcast, watch};

use super::Directories;
use super::boot::{Boot, KillOnDrop, Laid};
use crate::container::limits::Group;
use crate::container::processes::{self, Process};
use crate::container::ranges::OwnRange;
use crate::criu::provision;
use crate::display::Display;
use crate::engine::Engine;
use crate::engine::criu::CriuEngine;
use crate::engine::native::{self, NativeEngine};
use crate::failure::{ToFailure, failure, lost_task};
use crate::kernel::idmap::read_map;
use crate::kernel::mounts::Mount;
use crate::layer::Cancelled;
use crate::objects::Tree;
use crate::preflight::{self, Waiting};

/// Progress of a save: the stage, and 0 to 1.
pub(super) type Progress = (String, f64);

/// How often the pre-flight looks at what may pass by itself, before it tells of it.
const LOOKS: u32 = 10;
/// The time between two of those looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A running session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) store: Store,
    pub(super) record: Mutex<SessionRecord>,
    pub(super) base: BaseRecord,
    /// First id of the range that the files of its layer belong to.
    pub(super) layer_first_id: u32,
    pub(super) directories: Directories,
    pub(super) privileged: bool,
    /// Pid of the session's init as we see it.
    pub(super) init: u32,
    pub(super) init_handle: OwnedFd,
    pub(super) watched: Watched,
    pub(super) display: Arc<Display>,
    /// Held for reading while a program is put into the session, for writing while it is frozen.
    pub(super) entering: RwLock<()>,
    pub(super) waiting: Mutex<Vec<Waiting>>,
    pub(super) doing: Mutex<Doing>,
    pub(super) progress: broadcast::Sender<Progress>,
    /// Where the viewers go if the next save ends the session ([`crate::display::follow`]).
    pub(super) heir: Mutex<Option<OwnedFd>>,
    /// Set when the session was stopped on purpose and nothing of it is left.
    pub(super) ended: watch::Sender<bool>,
    idle: Notify,
    mount: Mutex<Option<Mount>>,
    /// Says that this session has a supervisor.
    _lock: File,
    /// Counts what its processes take.
    pub(super) group: Option<Group>,
    /// Answers the filter of its processes, where that asks.
    pub(super) filters: Option<Watch>,
    /// Keeps its ids from others.
    _range: Option<OwnRange>,
}

/// The one thing that is being done with the session as a whole.
#[derive(Debug, Default)]
pub(super) enum Doing {
    /// It runs.
    #[default]
    Nothing,
    /// It is being saved.
    Saving {
        /// The snapshot's id.
        snapshot: String,
        /// Set to end the save before the freeze.
        cancel: Arc<Cancelled>,
        /// Whether it is too late for that.
        frozen: bool,
    },
    /// It is being ended.
    Stopping,
}

/// Resets [`Session::doing`] when dropped.
pub(super) struct Exclusive<'a>(&'a Session);

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        *self.0.doing() = Doing::Nothing;
        self.0.idle.notify_waiters();
    }
}

impl Session {
    pub(super) fn new(
        boot: Boot,
        laid: Laid,
        (init, filters): (u32, Option<Watch>),
        watched: Watched,
        display: Arc<Display>,
        guard: KillOnDrop,
    ) -> Result<Self, Failure> {
        let gone = || failure(error_name::FAILED, "the session's first process is gone", "");
        Ok(Self {
            store: boot.store,
            record: Mutex::new(boot.record),
            base: laid.base,
            layer_first_id: laid.layer_first_id,
            directories: boot.directories,
            privileged: boot.privileged,
            init,
            init_handle: guard.keep().ok_or_else(gone)?,
            watched,
            display,
            entering: RwLock::new(()),
            waiting: Mutex::default(),
            doing: Mutex::default(),
            progress: broadcast::Sender::new(64),
            heir: Mutex::default(),
            ended: watch::Sender::new(false),
            idle: Notify::new(),
            mount: Mutex::new(Some(laid.mount)),
            _lock: boot.lock,
            group: boot.group,
            filters,
            _range: boot.range,
        })
    }

    /// Takes the session's overlay away; its processes have to have ended.
    pub(super) fn unmount(&self) {
        drop(self.mount.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn doing(&self) -> std::sync::MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self) -> std::sync::MutexGuard<'_, SessionRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn heir(&self) -> std::sync::MutexGuard<'_, Option<OwnedFd>> {
        self.heir.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins `what` unless something else is being done.
    pub(super) fn begin(&self, what: Doing) -> Result<Exclusive<'_>, Failure> {
        let mut doing = self.doing();
        let busy = match &*doing {
            Doing::Nothing => None,
            Doing::Saving { .. } => Some("it is being saved"),
            Doing::Stopping => Some("it is being stopped"),
        };
        if let Some(busy) = busy {
            return Err(failure(error_name::BUSY, format!("the session is busy: {busy}"), "try again in a moment"));
        }
        *doing = what;
        Ok(Exclusive(self))
    }

    /// Completes when nothing is being done with the session as a whole.
    pub(super) async fn until_idle(&self) {
        loop {
            let changed = self.idle.notified();
            if matches!(*self.doing(), Doing::Nothing) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn tell(&self, stage: &str, fraction: f64) {
        tracing::info!("{stage}");
        // Nobody listening is fine.
        let _ = self.progress.send((stage.to_owned(), fraction));
    }

    pub(super) fn status(&self) -> Status {
        let (state, saving) = match &*self.doing() {
            Doing::Nothing => ("running", String::new()),
            Doing::Saving { snapshot, .. } => ("saving", snapshot.clone()),
            Doing::Stopping => ("stopping", String::new()),
        };
        Status { state: state.to_owned(), viewers: self.display.viewers(), saving }
    }

    /// What is added to an id of its processes to make it one of the files of its layer, modulo 2^32.
    pub(super) fn shift_of_layer(&self) -> std::io::Result<u32> {
        if !self.privileged {
            // Both are as the session has them.
            return Ok(0);
        }
        let map = std::fs::read_to_string(format!("/proc/{}/uid_map", self.init))?;
        let first = read_map(&map).and_then(|ranges| ranges.first().map(|range| range.outside));
        let first = first.ok_or_else(|| std::io::Error::other("the session has no ids"))?;
        Ok(self.layer_first_id.wrapping_sub(first))
    }

    /// The windows that are open; a display that does not answer has none that could be told.
    pub(super) async fn windows(&self) -> Vec<Window> {
        self.display.windows().await.unwrap_or_else(|error| {
            tracing::warn!("cannot list windows: {error}");
            Vec::new()
        })
    }

    pub(super) fn processes(&self) -> Result<Vec<Process>, Failure> {
        processes::list(self.init).map_err(|e| e.to_failure())
    }

    /// Runs the pre-flight. What may pass in a moment is looked at again before it is told.
    ///
    /// It reads the kernel's memory and hundreds of files of /proc, so it is kept off the threads that carry viewers.
    pub(super) async fn check(self: &Arc<Self>, windows: &[Window]) -> Result<CheckReport, Failure> {
        let mut looks = 1;
        loop {
            let (session, seen) = (Arc::clone(self), windows.to_vec());
            let looked = tokio::task::spawn_blocking(move || session.look(&seen)).await;
            let (report, passing) = looked.map_err(|e| lost_task("the check", e))??;
            if !passing || looks == LOOKS {
                return Ok(report);
            }
            looks += 1;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// As [`Session::check`], and whether the disk has room for a snapshot: for before anything of it is written.
    pub(super) async fn check_all(self: &Arc<Self>, windows: &[Window]) -> Result<CheckReport, Failure> {
        let mut report = self.check(windows).await?;
        let session = Arc::clone(self);
        let space = tokio::task::spawn_blocking(move || {
            let processes = session.processes()?;
            preflight::of_space(&processes, &session.directories.layer(), session.store.root())
                .map_err(|e| e.to_failure())
        });
        if let Some(finding) = space.await.map_err(|e| lost_task("the look at the disk", e))?? {
            report.savable = false;
            report.findings.push(finding);
        }
        Ok(report)
    }

    /// Where the names of its files are.
    pub(super) fn tree(&self) -> Tree {
        let base = self.store.base_dir(&self.base.name).map(|base| base.join("root"));
        Tree { layers: std::iter::once(self.directories.layer()).chain(base).collect() }
    }

    /// The processes with which it ends, by their pids inside.
    pub(super) fn essential(&self) -> [u32; 2] {
        [self.watched.display, self.watched.desktop]
    }

    fn look(&self, windows: &[Window]) -> Result<(CheckReport, bool), Failure> {
        let waiting = self.waiting().clone();
        let (processes, network) = (self.processes()?, self.record().network);
        let (tree, essential) = (self.tree(), self.essential());
        // Without an engine nothing is saved anyway.
        let can_call =
            || engine(&self.store, &self.directories, self.privileged).map_or(true, |engine| engine.can_call());
        let scene = preflight::Scene {
            processes: &processes,
            windows,
            waiting: &waiting,
            network,
            essential: &essential,
            tree: Some(&tree),
            native: is_native(self.privileged),
            filters: self.filters.as_ref(),
            can_call: &can_call,
        };
        preflight::check(scene).map_err(|e| e.to_failure())
    }
}

/// Why nothing is saved by CRIU without root, and nothing that it saved is resumed.
pub(super) fn needs_root() -> Failure {
    failure(
        error_name::NEEDS_ROOT,
        "CRIU, which is the engine for this, needs root; the session was not touched",
        "resume a snapshot of CRIU as root; to save, leave FREEZEFRAME_ENGINE unset in the agent's environment",
    )
}

/// Whether the native engine saves; `privileged`: root of the host asks.
pub(super) fn is_native(privileged: bool) -> bool {
    Which::for_user(privileged) == Which::Native
}

/// The engine that saves.
///
/// # Errors
/// When it needs root and we are not, or it is not on this machine.
pub(super) fn engine(store: &Store, directories: &Directories, privileged: bool) -> Result<Box<dyn Engine>, Failure> {
    if is_native(privileged) { Ok(Box::new(NativeEngine)) } else { criu(store, directories, privileged) }
}

/// The engine that resumes from these images: the one that wrote them.
///
/// # Errors
/// As [`engine`].
pub(super) fn engine_of(
    images: &Path,
    store: &Store,
    directories: &Directories,
    privileged: bool,
) -> Result<Box<dyn Engine>, Failure> {
    if native::wrote(images) { Ok(Box::new(NativeEngine)) } else { criu(store, directories, privileged) }
}

fn criu(store: &Store, directories: &Directories, privileged: bool) -> Result<Box<dyn Engine>, Failure> {
    if !privileged {
        return Err(needs_root());
    }
    let criu = provision::find(store.root()).map_err(Failure::from)?;
    Ok(Box::new(CriuEngine::new(criu.command, criu.version, directories.runtime.clone())))
}
