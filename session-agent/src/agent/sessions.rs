//! The sessions that have a directory: finding them again, noticing their end, one operation at a time.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_api::{Result, names};
use freezeframe_protocol::{control_socket, session_runtime_dir};
use freezeframe_store::session::Network;
use freezeframe_store::{SessionId, SessionRecord};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{info, warn};
use zbus::object_server::SignalEmitter;

use super::control::Control;
use super::session::SessionObject;
use super::state::{Phase, Session, crashed};
use super::{Agent, failure};

/// How long what is left in the store may stay because others use the store.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(120);

/// How often a wrapper that was found saving or stopping is asked whether it is done.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long a wrapper may take to say what it is doing.
const ANSWER: Duration = Duration::from_secs(10);

/// One operation on one session; dropped, the session is free for the next.
#[derive(Debug)]
pub(crate) struct Operation {
    agent: Arc<Agent>,
    pub(crate) id: SessionId,
    serial: u64,
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(session) = self.agent.lock().same(self.id.as_str(), self.serial) {
            session.phase = session.resting();
        }
        let (agent, id) = (self.agent.clone(), self.id.clone());
        tokio::spawn(async move { agent.tell_state(id.as_str()).await });
    }
}

impl Operation {
    /// The operation that [`super::state::State::begin`] allowed; made while the lock is not held.
    pub(crate) fn new(agent: &Arc<Agent>, id: SessionId, serial: u64) -> Self {
        Self { agent: agent.clone(), id, serial }
    }

    /// The session's wrapper.
    pub(crate) fn control(&self) -> Result<Control> {
        self.agent.control(self.id.as_str())
    }

    /// Shows the session in another phase.
    pub(crate) async fn phase(&self, phase: Phase) {
        if let Some(session) = self.agent.lock().same(self.id.as_str(), self.serial) {
            session.phase = phase;
        }
        self.agent.tell_state(self.id.as_str()).await;
    }

    /// The session's wrapper is gone.
    pub(crate) fn forget_control(&self) {
        if let Some(session) = self.agent.lock().same(self.id.as_str(), self.serial) {
            session.control = None;
        }
    }

    /// Takes the session off the list if its directory is gone; answers whether it is.
    pub(crate) async fn settle(&self) -> bool {
        self.agent.settle(&self.id, self.serial).await
    }
}

impl Agent {
    /// Begins an operation, or says what the session is busy with.
    pub(crate) async fn begin(self: &Arc<Self>, id: &str, to: Phase) -> Result<Operation> {
        let session = SessionId::new(id).map_err(|e| failure::of_store(&e))?;
        let serial = self.lock().begin(id, to)?;
        let operation = Operation::new(self, session, serial);
        self.tell_state(id).await;
        Ok(operation)
    }

    /// The wrapper of a session that has one.
    pub(crate) fn control(&self, id: &str) -> Result<Control> {
        let state = self.lock();
        let session = state.session(id)?;
        match (&session.control, session.phase) {
            (Some(control), _) => Ok(control.clone()),
            (None, Phase::Starting) => {
                Err(Phase::Starting.begin(id, Phase::Saving).err().unwrap_or_else(|| crashed(id)))
            }
            (None, _) => Err(crashed(id)),
        }
    }

    /// Where a session's wrapper listens.
    pub(crate) fn control_socket(&self, id: &str) -> PathBuf {
        control_socket(&session_runtime_dir(&self.dirs.runtime, id))
    }

    /// Puts a session on the list and on the bus; answers its serial number.
    pub(crate) async fn add_session(self: &Arc<Self>, record: SessionRecord, phase: Phase) -> Result<u64> {
        let id = record.id.to_string();
        let serial = {
            let mut state = self.lock();
            let serial = state.serial();
            state.sessions.insert(id.clone(), Session { serial, record, phase, control: None, unreachable: None });
            serial
        };
        let object = SessionObject::new(self, &id);
        self.connection.object_server().at(names::session_path(&id), object).await?;
        Ok(serial)
    }

    /// The session's wrapper answers: it runs, and its end will be noticed.
    pub(crate) async fn attach(self: &Arc<Self>, id: &SessionId, serial: u64, control: Control) {
        {
            let mut state = self.lock();
            let Some(session) = state.same(id.as_str(), serial) else { return };
            session.control = Some(control.clone());
            session.unreachable = None;
            session.phase = Phase::Running;
        }
        self.tell_state(id.as_str()).await;
        let (agent, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            control.closed().await;
            if let Some(session) = agent.lock().same(id.as_str(), serial) {
                session.control = None;
                // An operation that is under way says itself what comes next.
                if session.phase == Phase::Running {
                    session.phase = Phase::Crashed;
                }
            }
            if agent.settle(&id, serial).await {
                info!(session = id.as_str(), "ended");
            } else {
                warn!(session = id.as_str(), "its wrapper is gone");
                agent.remove_leftovers();
            }
        });
    }

    /// Takes a session without wrapper and directory off the list; answers whether it is off.
    pub(crate) async fn settle(&self, id: &SessionId, serial: u64) -> bool {
        let there = self.store.session_dir(id).exists();
        let removed = {
            let mut state = self.lock();
            match state.same(id.as_str(), serial) {
                None => return true,
                Some(session) if there || session.control.is_some() => false,
                Some(_) => state.sessions.remove(id.as_str()).is_some(),
            }
        };
        if removed {
            let path = names::session_path(id.as_str());
            if let Err(error) = self.connection.object_server().remove::<SessionObject, _>(&path).await {
                warn!(%error, "cannot take a session off the bus");
            }
        } else {
            self.tell_state(id.as_str()).await;
        }
        removed
    }

    /// Notifies clients that a session's state may have changed.
    pub(crate) async fn tell_state(self: &Agent, id: &str) {
        self.automatic.look_again();
        if !self.lock().sessions.contains_key(id) {
            return;
        }
        let path = names::session_path(id);
        let told = async {
            let object = self.connection.object_server().interface::<_, SessionObject>(&path).await?;
            let emitter = SignalEmitter::new(&self.connection, &path)?;
            object.get().await.state_changed(&emitter).await
        };
        match told.await {
            // It went away meanwhile, or is not on the bus yet.
            Ok(()) | Err(zbus::Error::InterfaceNotFound) => {}
            Err(error) => warn!(%error, "cannot tell a session's state"),
        }
    }

    /// Finds the sessions that have a directory: those with a live wrapper run, the others have crashed.
    pub(crate) async fn discover(self: &Arc<Self>) -> Result<()> {
        for listed in self.store.list_sessions().map_err(|e| failure::of_store(&e))? {
            let Ok(id) = SessionId::new(listed.name.clone()) else { continue };
            let record = listed.record.unwrap_or_else(|error| {
                warn!(%error, "a session's record cannot be read");
                unreadable(id.clone())
            });
            // One that the bus does not take is no reason to be without the others.
            let serial = match self.add_session(record, Phase::Crashed).await {
                Ok(serial) => serial,
                Err(error) => {
                    warn!(session = id.as_str(), %error, "cannot put it on the bus");
                    continue;
                }
            };
            self.reconnect(&id, serial).await;
        }
        self.remove_leftovers();
        Ok(())
    }

    /// Takes away what nobody is at any more: what a wrapper that died in the middle of a save left, or raw files that were
    /// being read when their snapshot had been packed.
    /// In the background, because packs that are under way are waited for.
    pub(crate) fn remove_leftovers(self: &Arc<Self>) {
        if !self.root {
            // Raw files belong to ids that are ours only in a user namespace.
            let agent = self.clone();
            tokio::spawn(async move {
                match agent.verb(&["clear".as_ref()], Stdio::null(), None).await {
                    Ok(answer) => info!(%answer, "looked for what was left in the store"),
                    Err(error) => warn!(%error, "cannot take away what is left in the store"),
                }
            });
            return;
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || match store.clear_leftovers(LEFTOVER_PATIENCE) {
            Ok(0) => {}
            Ok(count) => info!(count, "took away what was left in the store"),
            Err(error) => warn!(%error, "cannot take away what is left in the store"),
        });
    }

    /// Looks again at sessions without wrapper: one may have been in the middle of its start.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        let all: Vec<(SessionId, u64)> = {
            let state = self.lock();
            let crashed = state.sessions.values().filter(|s| s.phase == Phase::Crashed);
            crashed.map(|s| (s.record.id.clone(), s.serial)).collect()
        };
        for (id, serial) in all {
            // Nothing has changed with one whose directory is there: to tell that it has would have every client ask again,
            // which leads here.
            if self.store.session_dir(&id).exists() {
                self.reconnect(&id, serial).await;
            } else {
                self.settle(&id, serial).await;
            }
        }
    }

    async fn reconnect(self: &Arc<Self>, id: &SessionId, serial: u64) {
        let socket = self.control_socket(id.as_str());
        if !socket.exists() {
            return;
        }
        match Control::connect(&socket).await {
            Ok((control, status)) => {
                info!(session = id.as_str(), state = status.state, "found running");
                self.attach(id, serial, control.clone()).await;
                let phase = match status.state.as_str() {
                    "saving" => Phase::Saving,
                    "stopping" => Phase::Stopping,
                    _ => return,
                };
                if self.lock().begin(id.as_str(), phase).is_ok() {
                    let operation = Operation::new(self, id.clone(), serial);
                    self.tell_state(id.as_str()).await;
                    tokio::spawn(async move {
                        // A wrapper that does not answer is not saving either.
                        while timeout(ANSWER, control.status())
                            .await
                            .is_ok_and(|s| s.is_ok_and(|s| s.state != "running"))
                        {
                            tokio::time::sleep(ASK_AGAIN).await;
                        }
                        drop(operation);
                    });
                }
            }
            Err(error) => {
                let reason = error.to_string();
                let known = self.lock().same(id.as_str(), serial).map(|session| session.unreachable.replace(reason));
                // It is tried whenever somebody asks; once is enough to say why it fails.
                if known.is_some_and(|known| known.as_deref() != Some(&*error.message)) {
                    info!(session = id.as_str(), "{error}");
                }
            }
        }
    }
}

/// Stands in for a record that cannot be read, so that the session can be seen and removed.
fn unreadable(id: SessionId) -> SessionRecord {
    SessionRecord {
        format: 1,
        id,
        base: String::new(),
        base_identity: String::new(),
        width: 0,
        height: 0,
        network: Network::None,
        started: Timestamp::UNIX_EPOCH,
        parent: None,
        lineage: String::new(),
        last_snapshot: None,
    }
}
