//! Saving a session.

use std::sync::Arc;
use std::time::Duration;

use freezeframe_api::records::{SaveOptions, Saved};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol as protocol;
use freezeframe_protocol::engine::VARIABLE;
use freezeframe_store::{Manifest, SnapshotId};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};
use zbus::zvariant::OwnedObjectPath;

use crate::agent::job::{Cancel, Job};
use crate::agent::sessions::Operation;
use crate::agent::state::Phase;
use crate::agent::{Agent, failure};
use crate::rules::names::check_label;

/// How long a wrapper may take to clear away a session that it was told to end.
const CLEARING: Duration = Duration::from_secs(15);

impl Agent {
    /// Refuses, before anything is touched, to save by an engine that needs root.
    pub(super) fn can_save(&self) -> Result<()> {
        if self.engine.is_allowed(self.root) {
            return Ok(());
        }
        let text = "saving by CRIU, which was chosen as the engine, needs root; the session was not touched";
        let hint = format!("Leave {VARIABLE} unset in the agent's environment: the usual engine needs no root");
        Err(Error::new(ErrorKind::NeedsRoot, text).hint(hint))
    }

    /// Saves a session.
    pub(crate) async fn save(self: &Arc<Self>, id: &str, options: SaveOptions) -> Result<OwnedObjectPath> {
        self.save_telling(id, options, None).await
    }

    /// As [`Agent::save`]; `told` gets the outcome too.
    pub(crate) async fn save_telling(
        self: &Arc<Self>,
        id: &str,
        options: SaveOptions,
        told: Option<oneshot::Sender<Result<Saved>>>,
    ) -> Result<OwnedObjectPath> {
        self.can_save()?;
        check_label(options.label.as_deref().unwrap_or_default())?;
        let operation = self.begin(id, Phase::Saving).await?;
        let control = operation.control()?;
        let agent = self.clone();
        self.job("save", Cancel::Save(control), move |job| async move {
            let session = operation.id.to_string();
            let outcome = agent.save_now(&operation, &options, &job).await;
            if outcome.is_ok() {
                agent.saved_well(&session).await;
            }
            // What comes now is of the snapshot; the session is free.
            drop(operation);
            if let Some(told) = told {
                // A caller that does not listen any more does not need it.
                let _ = told.send(outcome.clone());
            }
            let saved = outcome?;
            let id = SnapshotId::new(&*saved.snapshot).map_err(|e| failure::of_store(&e))?;
            if options.stop {
                // The wrapper has restored it on the side before it ended the session.
            } else if options.verify {
                agent.rehearse(&id, &job).await?;
            } else if agent.config().verify_saves {
                agent.rehearse_in_background(&session, id).await;
            }
            Ok(saved)
        })
        .await
    }

    /// Saves within an operation. With the option `stop` the session has ended when this answers.
    pub(super) async fn save_now(
        self: &Arc<Self>,
        operation: &Operation,
        options: &SaveOptions,
        job: &Job,
    ) -> Result<Saved> {
        let id = operation.id.as_str();
        let control = operation.control()?;
        let snapshot = SnapshotId::random();
        let stop = options.stop;
        let options = protocol::SaveOptions {
            snapshot: snapshot.to_string(),
            label: options.label.clone().unwrap_or_default(),
            stop,
            automatic: options.automatic,
        };
        let options = encode(&options)?;
        let mut progress = control.progress().await.map_err(|e| failure::of_call(&e, id))?;
        let answer = control.wrapper.save(&options);
        tokio::pin!(answer);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Some(Ok(signal)) = progress.next() => {
                    if let Ok((stage, fraction)) = signal.body().deserialize::<(String, f64)>() {
                        job.progress(stage, fraction).await;
                    }
                }
                () = control.closed() => break Err(zbus::Error::InputOutput(Arc::new(
                    std::io::ErrorKind::BrokenPipe.into(),
                ))),
            }
        };
        let manifest = match answer {
            Ok(text) => serde_json::from_str::<Manifest>(&text)
                .map_err(|e| Error::new(ErrorKind::Failed, format!("the wrapper's manifest cannot be read: {e}")))?,
            // A wrapper that was killed after its commit, or left before its answer was read, has saved nevertheless.
            Err(error) => match self.store.manifest(&snapshot) {
                Ok(manifest) => manifest,
                Err(_) => return Err(failure::of_call(&error, id)),
            },
        };
        info!(session = id, snapshot = snapshot.as_str(), pause_ms = manifest.pause_ms, "saved");
        self.rescan().await?;
        if stop {
            if let Err(error) = self.mark(snapshot.as_str(), |m| m.note_restore(Ok(()), Timestamp::now())).await {
                warn!(%error, "cannot note that snapshot {snapshot} was restored on the side");
            }
            self.ended(operation, Phase::Stopping).await?;
        }
        Ok(Saved { snapshot: snapshot.to_string(), session: id.to_owned(), pause_ms: manifest.pause_ms })
    }

    /// Waits until a wrapper that was told to end its session is gone, and removes what it may have left.
    pub(super) async fn ended(&self, operation: &Operation, phase: Phase) -> Result<()> {
        operation.phase(phase).await;
        if let Ok(control) = operation.control()
            && timeout(CLEARING, control.closed()).await.is_err()
        {
            let id = operation.id.as_str();
            if self.store.session_dir(&operation.id).exists() {
                let text = format!("session {id:?} does not end");
                return Err(Error::new(ErrorKind::Failed, text).hint(format!("See its log, logs/{id}.log.")));
            }
            warn!(session = id, "all of it is gone but its wrapper; ending that");
            control.kill();
            control.closed().await;
        }
        operation.forget_control();
        if !operation.settle().await {
            warn!(session = operation.id.as_str(), "its wrapper left something behind");
            self.discard(&operation.id).await?;
            operation.settle().await;
        }
        Ok(())
    }
}

/// A record for the wrapper.
pub(super) fn encode<T: serde::Serialize>(record: &T) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|e| Error::new(ErrorKind::Failed, format!("options cannot be written as JSON: {e}")))
}
