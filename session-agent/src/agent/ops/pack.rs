//! Packing: what makes a snapshot small, in the background, after its save has ended.
//!
//! One snapshot is packed at a time, each by a verb of the wrapper in its own job. Nobody has to ask for it: what waits
//! is found when the agent starts, when a snapshot appears, and now and then. A verb outlives an agent that is killed; the
//! next agent then waits for it or does its work, whichever is left to do.
//!
//! Cancelling the job puts it off: the snapshot stays `committing` and is resumed from its raw files. It is packed by
//! the first to ask for that or for what needs it (an export), after the next collection, or by the next agent.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_api::records::Packed;
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::{SnapshotId, State};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use zbus::zvariant::OwnedObjectPath;

use crate::agent::job::{Cancel, Job};
use crate::agent::state::Packing;
use crate::agent::{Agent, failure};

/// When what is left to be packed is looked at again, if nothing else happens: soon at first, since what packed it may have been
/// killed, or it was deleted and brought back just then.
const SOON: Duration = Duration::from_secs(5);
/// Twice as late each time, up to this.
const AGAIN: Duration = Duration::from_secs(600);

/// How often a snapshot that somebody else packs is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Takes a packing off the list, however it ends.
struct Listed {
    agent: Arc<Agent>,
    id: SnapshotId,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.agent.lock().packs.remove(self.id.as_str());
    }
}

impl Agent {
    /// Packs whatever waits for it, for as long as the agent runs.
    pub(crate) async fn keep_packing(self: Arc<Self>) {
        let mut wait = SOON;
        loop {
            let left = self.pack_pending().await.unwrap_or_else(|error| {
                warn!(%error, "cannot look for what waits to be packed");
                true
            });
            let look = if left { wait } else { AGAIN };
            // Either is a reason to look again.
            wait = match timeout(look, self.pack_wanted.notified()).await {
                Ok(()) => SOON,
                Err(_) => (2 * wait).min(AGAIN),
            };
        }
    }

    /// Has everything packed that waits for it; whether anything does.
    async fn pack_pending(self: &Arc<Self>) -> Result<bool> {
        let store = self.store.clone();
        let pending = tokio::task::spawn_blocking(move || store.pending())
            .await
            .map_err(|e| Error::new(ErrorKind::Failed, e.to_string()))?
            .map_err(|e| failure::of_store(&e))?;
        let mut left = false;
        for id in pending {
            if !self.lock().put_off.contains(id.as_str()) {
                self.packing(&id).await?;
                left = true;
            }
        }
        Ok(left)
    }

    /// Packs a snapshot, or answers the job that does so already.
    pub(crate) async fn pack(self: &Arc<Self>, id: &str) -> Result<OwnedObjectPath> {
        self.good_snapshot(id)?;
        let id = SnapshotId::new(id).map_err(|e| failure::of_store(&e))?;
        Ok(self.packing(&id).await?.job)
    }

    /// Waits until a snapshot is packed.
    pub(super) async fn packed(self: &Arc<Self>, id: &SnapshotId) -> Result<()> {
        if self.store.state(id).map_err(|e| failure::of_store(&e))? != State::Committing {
            return Ok(());
        }
        let mut outcome = self.packing(id).await?.outcome;
        let lost = || Error::new(ErrorKind::Failed, format!("packing snapshot {id} ended without an answer"));
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| lost())?.clone();
        outcome.ok_or_else(lost)?.map(drop)
    }

    async fn packing(self: &Arc<Self>, id: &SnapshotId) -> Result<Packing> {
        let _list = self.pack_list.lock().await;
        if let Some(packing) = self.lock().packs.get(id.as_str()) {
            return Ok(packing.clone());
        }
        self.lock().put_off.remove(id.as_str());
        let (sender, outcome) = watch::channel(None);
        let listed = Listed { agent: self.clone(), id: id.clone() };
        let work = |job: Job| async move {
            // It is on the list once this can be had.
            drop(listed.agent.pack_list.lock().await);
            let mut outcome = listed.agent.pack_now(&listed.id, &job).await;
            if let Err(error) = &mut outcome
                && error.kind == ErrorKind::Cancelled
            {
                *error = listed.agent.put_off(&listed.id);
            }
            sender.send_replace(Some(outcome.clone()));
            outcome
        };
        let job = self.job("pack", Cancel::Verb, work).await?;
        let packing = Packing { job, outcome };
        self.lock().packs.insert(id.to_string(), packing.clone());
        Ok(packing)
    }

    /// Packs it no more unless somebody asks for it, and takes away what was packed of it.
    fn put_off(self: &Arc<Self>, id: &SnapshotId) -> Error {
        self.lock().put_off.insert(id.to_string());
        self.remove_leftovers();
        let text =
            format!("packing snapshot {id} was cancelled; it is whole and can be resumed, but takes its full size");
        Error::new(ErrorKind::Cancelled, text).hint("`sessionctl gc` has it packed, and so has the agent's next start.")
    }

    /// Packs again what was put off.
    pub(super) fn pack_what_was_put_off(&self) {
        self.lock().put_off.clear();
        self.pack_wanted.notify_one();
    }

    async fn pack_now(self: &Arc<Self>, id: &SnapshotId, job: &Job) -> Result<Packed> {
        let of_store = |e: freezeframe_store::Error| failure::of_store(&e);
        job.progress("Waiting to be packed", -1.0).await;
        let _turn = tokio::select! {
            turn = self.packing.lock() => turn,
            () = job.cancel_asked() => return Err(failure::cancelled()),
        };
        loop {
            if self.store.marks(id).map_err(of_store)?.deleted.is_some() {
                return Err(Error::new(ErrorKind::NotFound, format!("snapshot {id} was deleted")));
            }
            if self.store.state(id).map_err(of_store)? != State::Committing {
                break;
            }
            job.count_bytes(self.store.manifest(id).map_err(of_store)?.raw_bytes());
            let arguments: [&OsStr; 3] = ["pack".as_ref(), "--id".as_ref(), id.as_str().as_ref()];
            match self.verb(&arguments, Stdio::null(), Some(job)).await {
                Ok(_) => break,
                // The verb of an agent that was killed is at it, or somebody else uses the store.
                Err(error) if error.kind == ErrorKind::Busy => tokio::select! {
                    () = sleep(LOOK) => {}
                    () = job.cancel_asked() => return Err(failure::cancelled()),
                },
                Err(error) if error.kind == ErrorKind::Cancelled => {
                    if self.store.state(id).map_err(of_store)? != State::Committing {
                        // It was done by then.
                        break;
                    }
                    return Err(error);
                }
                Err(error) => return Err(error.context(&format!("snapshot {id} could not be packed"))),
            }
        }
        self.rescan().await?;
        let content = self.store.content(id).map_err(of_store)?;
        info!(snapshot = id.as_str(), raw_bytes = content.raw_bytes(), new_bytes = content.new_bytes, "packed");
        Ok(Packed { snapshot: id.to_string(), raw_bytes: content.raw_bytes(), new_bytes: content.new_bytes })
    }
}
