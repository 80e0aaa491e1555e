//! Starting a session's wrapper, for a new session and for a resumed one.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::Arc;

use freezeframe_api::records::{StartOptions, Started};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::record::Record;
use freezeframe_store::session::Network;
use freezeframe_store::{SessionId, SessionRecord, SnapshotId};
use jiff::Timestamp;
use tracing::{info, warn};
use zbus::zvariant::OwnedObjectPath;

use crate::agent::control::Control;
use crate::agent::job::{Cancel, Job};
use crate::agent::state::{Phase, State};
use crate::agent::{Agent, failure};
use crate::rules::names;
use crate::rules::size::Size;

/// A name that is kept for a session about to be made.
#[derive(Debug)]
pub(super) struct Reservation {
    agent: Arc<Agent>,
    pub(super) id: SessionId,
}

impl Reservation {
    /// Keeps `id`, whose being free was checked under the same lock.
    pub(super) fn keep(agent: &Arc<Agent>, state: &mut State, id: SessionId) -> Self {
        state.reserved.insert(id.to_string());
        Self { agent: agent.clone(), id }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.agent.lock().reserved.remove(self.id.as_str());
    }
}

impl Agent {
    /// Whether a session of that name is there, is being made, or has left its directory.
    pub(super) fn name_taken(&self, state: &State, name: &str) -> bool {
        state.sessions.contains_key(name)
            || state.reserved.contains(name)
            || SessionId::new(name).is_ok_and(|id| self.store.session_dir(&id).exists())
    }

    /// Starts a session from a base.
    pub(crate) async fn start(self: &Arc<Self>, options: StartOptions) -> Result<OwnedObjectPath> {
        let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        let config = self.config();
        let size = match &options.size {
            Some(text) => text.parse().map_err(invalid)?,
            None => config.default_size.unwrap_or_default(),
        };
        let network = match options.network.as_deref() {
            None => Network::None,
            Some(word) => Network::from_word(word)
                .ok_or_else(|| invalid(format!("{word:?} is no network: it is none or outbound")))?,
        };
        self.programs.wrapper()?;
        let there = self.store.list_bases().map_err(|e| failure::of_store(&e))?;
        let there: Vec<String> = there.into_iter().map(|b| b.name).collect();
        let base = names::choose_base(options.base.as_deref(), config.default_base.as_deref(), &there)?;
        let base = self.store.base(&base).map_err(|e| failure::of_store(&e))?;
        let reservation = {
            let mut state = self.lock();
            if state.bases.contains(&base.name) {
                let text = format!("base {:?} is being changed just now", base.name);
                return Err(Error::new(ErrorKind::Busy, text).hint("Wait until that is done and try again."));
            }
            let taken = |name: &str| self.name_taken(&state, name);
            let id = match &options.name {
                Some(name) => names::asked_for(name, taken)?,
                None => names::first_free(&names::asked_for(names::DEFAULT_SESSION, |_| false)?, taken),
            };
            Reservation::keep(self, &mut state, id)
        };
        let Size { width, height } = size;
        let record = SessionRecord {
            format: SessionRecord::FORMAT,
            id: reservation.id.clone(),
            base: base.name,
            base_identity: base.identity,
            width,
            height,
            network,
            started: Timestamp::now(),
            parent: None,
            lineage: format!("{:016x}", rand::random::<u64>()),
            last_snapshot: None,
        };
        let agent = self.clone();
        self.job("start", Cancel::No, move |job| async move {
            agent.launch(reservation, record, None, &job).await.map(|session| Started { session })
        })
        .await
    }

    /// Makes the session's directory and starts its wrapper; answers its name. Nothing is left of one that fails.
    pub(super) async fn launch(
        self: &Arc<Self>,
        reservation: Reservation,
        record: SessionRecord,
        snapshot: Option<&SnapshotId>,
        job: &Job,
    ) -> Result<String> {
        let id = record.id.clone();
        self.store.create_session(&record).map_err(|e| failure::of_store(&e))?;
        let serial = self.add_session(record, Phase::Starting).await?;
        drop(reservation);
        let mut arguments: Vec<&OsStr> = vec!["session".as_ref(), "--id".as_ref(), id.as_str().as_ref()];
        if let Some(snapshot) = snapshot {
            arguments.extend::<[&OsStr; 2]>(["--resume".as_ref(), snapshot.as_str().as_ref()]);
        }
        let limits = self.config().limits;
        let limits = [("--max-processes", limits.processes), ("--max-memory-percent", limits.memory_percent)]
            .map(|(option, most)| (option, most.to_string()));
        for (option, most) in limits.iter().filter(|(_, most)| most != "0") {
            arguments.extend::<[&OsStr; 2]>([option.as_ref(), most.as_ref()]);
        }
        let started = async {
            self.verb(&arguments, Stdio::null(), Some(job)).await?;
            Control::connect_soon(&self.control_socket(id.as_str())).await
        };
        match started.await {
            Ok(control) => {
                self.attach(&id, serial, control).await;
                info!(session = id.as_str(), "started");
                Ok(id.to_string())
            }
            Err(error) => {
                let left = self.discard(&id).await.err();
                if let Some(session) = self.lock().same(id.as_str(), serial) {
                    session.phase = Phase::Crashed;
                }
                self.settle(&id, serial).await;
                Err(match left {
                    None => error,
                    Some(left) => Error { message: format!("{}; besides, {}", error.message, left.message), ..error },
                })
            }
        }
    }

    /// Removes what a dead wrapper left of a session.
    pub(super) async fn discard(&self, id: &SessionId) -> Result<()> {
        if !self.store.session_dir(id).exists() {
            return Ok(());
        }
        let arguments: [&OsStr; 3] = ["discard".as_ref(), "--id".as_ref(), id.as_str().as_ref()];
        let discarded = self.verb(&arguments, Stdio::null(), None).await;
        if let Err(error) = &discarded {
            warn!(session = id.as_str(), "cannot discard what is left of it: {error}");
        }
        discarded.map(drop).map_err(|e| e.context(&format!("what is left of session {id} cannot be removed")))
    }
}
