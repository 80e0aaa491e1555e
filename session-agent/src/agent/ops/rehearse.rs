//! Verified saves: a snapshot is restored on the side, without running it, to see that it can be resumed.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::Arc;

use freezeframe_api::records::Verified;
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::SnapshotId;
use jiff::Timestamp;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::agent::job::{Cancel, Job};

impl Agent {
    /// Restores the snapshot on the side and notes how that went: verified, or damaged, and then answers the error.
    pub(super) async fn rehearse(&self, id: &SnapshotId, job: &Job) -> Result<()> {
        let arguments: [&OsStr; 3] = ["rehearse".as_ref(), "--id".as_ref(), id.as_str().as_ref()];
        match self.verb(&arguments, Stdio::null(), Some(job)).await {
            Ok(_) => {
                info!(snapshot = id.as_str(), "it can be resumed");
                self.mark(id.as_str(), |m| m.note_restore(Ok(()), Timestamp::now())).await
            }
            // Only what was found is noted. That the attempt was killed, or lacked room, says nothing of the snapshot.
            Err(error) if error.kind != ErrorKind::Damaged => {
                Err(error.context(&format!("snapshot {id} is saved, but it could not be tried")))
            }
            Err(error) => {
                warn!(snapshot = id.as_str(), %error, "it cannot be resumed");
                let why = format!("it could not be restored when that was tried: {}", error.message);
                self.mark(id.as_str(), |m| m.note_restore(Err(why), Timestamp::now())).await?;
                let text = format!("snapshot {id} cannot be resumed: {}", error.message);
                Err(Error::new(ErrorKind::Damaged, text).hint("The session runs on: save it again."))
            }
        }
    }

    /// The same in its own job, which nobody waits for: what is wrong is told as trouble of the session.
    pub(super) async fn rehearse_in_background(self: &Arc<Self>, session: &str, id: SnapshotId) {
        let (agent, session) = (self.clone(), session.to_owned());
        let started = self.job("verify", Cancel::Verb, move |job| async move {
            let outcome = agent.rehearse(&id, &job).await;
            match &outcome {
                // Somebody took this back, or deleted the snapshot.
                Err(error) if matches!(error.kind, ErrorKind::Cancelled | ErrorKind::NotFound) => {}
                Err(error) => agent.not_verified(&session, id.as_str(), error).await,
                Ok(()) => {}
            }
            outcome?;
            Ok(Verified { snapshots: vec![id.to_string()], ..Verified::default() })
        });
        if let Err(error) = started.await {
            warn!(%error, "the snapshot is not verified");
        }
    }
}
