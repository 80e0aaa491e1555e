//! The agent: a D-Bus service that owns the name, decides, remembers and starts wrappers.
//!
//! [`Agent::run_with_connection`] takes the connection and the directories, so that a whole agent runs inside a test.
//! The D-Bus objects (`manager`, `session`, `snapshot`, `job`) only decode, call and map errors; what is done is
//! in `ops`, what is remembered in `state`. An agent that ends, in whatever way, leaves its sessions running, and
//! the next one finds them.
//!
//! # Locks
//!
//! Code that takes several takes them in this order, from above to below, and none is taken twice:
//!
//! 1. `writing_config` (asynchronous): while config.toml is written;
//! 2. `pack_list` (asynchronous): while a packing is put on the list;
//! 3. `packing` (asynchronous): while a snapshot is packed or the store is collected, so for minutes: nothing that a user waits
//!    for asks for it but a collection;
//! 4. `scanning` (asynchronous): while the store is looked at or marks are written, so that neither overtakes the other;
//! 5. `config` (a mutex): only copied out of, or replaced;
//! 6. `state` (a mutex): what is remembered;
//! 7. the memories of automatic saves, and the progress of a job (mutexes): nothing is taken below them.
//!
//! A mutex is held for no `.await`, no call of the store but a look whether a directory is there, and no call of D-Bus: all calls
//! of the agent meet at `state`. What waits for the disk, the kernel or another process longer than that is done by
//! `spawn_blocking`, for the agent's threads also carry the answers of everybody else.

mod automatic;
mod control;
mod failure;
mod job;
mod manager;
mod ops;
mod session;
mod sessions;
mod sharing;
mod snapshot;
mod state;
mod timeline;
mod verb;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind as ErrorKindOfIo;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freezeframe_api::names::{BUS_NAME, ROOT};
use freezeframe_api::records::{SessionRow, SnapshotRow, TimelineFilter};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::engine::Engine;
use freezeframe_store::Store;
use jiff::{Timestamp, Zoned};
use tracing::{error, info, warn};
use zbus::fdo::RequestNameFlags;

use crate::config::Config;
use crate::dirs::Directories;
use crate::programs::Programs;
use crate::rules::{find, rows};
use state::{Phase, State};

/// How long a new agent waits for the one before it to be gone.
const SUCCESSION: Duration = Duration::from_secs(3);

/// The time between the end of what should never end and its new beginning.
const BEGIN_AGAIN: Duration = Duration::from_secs(5);

/// What an agent needs besides a connection.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The user's directories.
    pub dirs: Directories,
    /// Where our other programs are.
    pub programs: Programs,
    /// The configuration.
    pub config: Config,
    /// Whether this is root of the host.
    pub root: bool,
    /// The engine that saves.
    pub engine: Engine,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    connection: zbus::Connection,
    store: Store,
    dirs: Directories,
    programs: Programs,
    config: Mutex<Config>,
    /// Held while config.toml is written.
    writing_config: tokio::sync::Mutex<()>,
    automatic: automatic::Automatic,
    root: bool,
    engine: Engine,
    state: Mutex<State>,
    scanning: tokio::sync::Mutex<()>,
    /// Held while a snapshot is packed: one at a time. A collection takes its turn among them.
    packing: tokio::sync::Mutex<()>,
    /// Held while a packing is put on the list.
    pack_list: tokio::sync::Mutex<()>,
    /// Something may wait to be packed.
    pack_wanted: tokio::sync::Notify,
    /// What snapshots share may have changed.
    count_wanted: tokio::sync::Notify,
    data_lock: File,
}

impl Agent {
    /// Finds the sessions and snapshots that are there, serves the objects, and takes the name.
    ///
    /// # Errors
    /// When the store cannot be opened, or another agent has the name or the data directory.
    pub async fn run_with_connection(connection: zbus::Connection, setup: Setup) -> Result<Arc<Self>> {
        let Setup { dirs, programs, config, root, engine } = setup;
        let owner = zbus::fdo::DBusProxy::new(&connection).await?;
        let name = zbus::names::BusName::try_from(BUS_NAME).map_err(zbus::Error::from)?;
        if owner.name_has_owner(name).await? {
            return Err(name_taken());
        }
        dirs.make_runtime_own()?;
        let store = Store::open(&dirs.data).map_err(|e| failure::of_store(&e))?;
        let data_lock = lock_data(&dirs).await?;
        let agent = Arc::new(Self {
            connection,
            store,
            dirs,
            programs,
            config: Mutex::new(config),
            writing_config: tokio::sync::Mutex::new(()),
            automatic: automatic::Automatic::default(),
            root,
            engine,
            state: Mutex::default(),
            scanning: tokio::sync::Mutex::new(()),
            packing: tokio::sync::Mutex::new(()),
            pack_list: tokio::sync::Mutex::new(()),
            pack_wanted: tokio::sync::Notify::new(),
            count_wanted: tokio::sync::Notify::new(),
            data_lock,
        });
        let server = agent.connection.object_server();
        server.at(ROOT, zbus::fdo::ObjectManager).await?;
        server.at(ROOT, manager::Manager(agent.clone())).await?;
        agent.watch_snapshots()?;
        agent.rescan().await?;
        agent.discover().await?;
        match agent.connection.request_name_with_flags(BUS_NAME, RequestNameFlags::DoNotQueue.into()).await {
            Ok(_) => {}
            Err(zbus::Error::NameTaken) => return Err(name_taken()),
            Err(error) => return Err(error.into()),
        }
        let kept = agent.clone();
        keep("packing", move || kept.clone().keep_packing());
        let kept = agent.clone();
        keep("counting", move || kept.clone().keep_counting());
        let kept = agent.clone();
        keep("automatic snapshots", move || kept.clone().keep_saving());
        info!(data = %agent.dirs.data.display(), root, "ready");
        Ok(agent)
    }

    /// Answers when the bus is gone.
    pub async fn bus_closed(&self) {
        self.connection.closed().await;
    }

    /// Leaves the bus and the data directory; sessions go on.
    pub async fn end(&self) {
        if let Err(error) = rustix::fs::flock(&self.data_lock, rustix::fs::FlockOperation::Unlock) {
            warn!(%error, "cannot unlock the data directory");
        }
        if let Err(error) = self.connection.clone().close().await {
            warn!(%error, "cannot close the connection to the bus");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; if it did, what it guards is still the best that is known.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All sessions.
    async fn list(self: &Arc<Self>) -> Vec<SessionRow> {
        self.look_again().await;
        let state = self.lock();
        state.sessions.values().map(|s| rows::session_row(&s.record, s.phase.word())).collect()
    }

    /// Snapshots in the order they were taken, damaged ones last.
    async fn timeline(self: &Arc<Self>, filter: &TimelineFilter) -> Result<Vec<SnapshotRow>> {
        self.rescan().await?;
        let mut rows: Vec<SnapshotRow> = {
            let state = self.lock();
            let all: Vec<&rows::Snapshot> = state.snapshots.values().collect();
            let candidates: Vec<find::Candidate> = all.iter().map(|s| s.candidate()).collect();
            let taken = find::order(&candidates, Timestamp::now());
            let rows = taken.iter().filter_map(|at| all.get(*at)).map(|s| s.row());
            rows.filter(|r| rows::passes(filter, r)).collect()
        };
        rows::keep_newest(filter, &mut rows);
        Ok(rows)
    }

    async fn find_session(self: &Arc<Self>, spec: &str) -> Result<String> {
        self.look_again().await;
        let state = self.lock();
        let all: Vec<(String, bool)> =
            state.sessions.iter().map(|(id, s)| (id.clone(), s.phase != Phase::Crashed)).collect();
        find::session(spec, &all)
    }

    async fn find_snapshot(self: &Arc<Self>, spec: &str) -> Result<String> {
        self.rescan().await?;
        let all: Vec<find::Candidate> = self.lock().snapshots.values().map(rows::Snapshot::candidate).collect();
        find::snapshot(spec, &all, &Zoned::now())
    }
}

/// Does in the background what never ends, and begins again should a bug end it.
fn keep<F: Future<Output = ()> + Send + 'static>(what: &'static str, work: impl Fn() -> F + Send + 'static) {
    tokio::spawn(async move {
        loop {
            if let Err(bug) = tokio::spawn(work()).await {
                error!("{what} came to a bug, and begins again: {bug}");
            }
            tokio::time::sleep(BEGIN_AGAIN).await;
        }
    });
}

fn name_taken() -> Error {
    Error::new(ErrorKind::Exists, format!("another agent has the name {BUS_NAME} on this bus"))
        .hint("One agent per user is enough; end that one first if you want this one.")
}

/// Two agents on different buses must not decide over the same sessions.
async fn lock_data(dirs: &Directories) -> Result<File> {
    let path = dirs.data.join(".agent.lock");
    let failed = |reason: String| Error::new(ErrorKind::Failed, format!("cannot lock {}: {reason}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.or_else(|error| match error.kind() {
        // What is there can still be looked at. Without the file nobody else has locked it, and nobody can make it.
        ErrorKindOfIo::ReadOnlyFilesystem => File::open(&path).or_else(|_| File::open(&dirs.data)),
        _ => Err(error),
    });
    let file = file.map_err(|e| failed(e.to_string()))?;
    let deadline = tokio::time::Instant::now() + SUCCESSION;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::new(
                    ErrorKind::Exists,
                    format!("another agent, on another bus, uses {}", dirs.data.display()),
                )
                .hint("End that one first, or use its bus (DBUS_SESSION_BUS_ADDRESS)."));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}
