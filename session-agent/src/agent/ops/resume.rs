//! Resuming a snapshot, beside or in the place of the session that it was taken of.
//!
//! Nothing the user had is lost by it: a running session of the same lineage is saved and stopped first, in one go, and
//! only after all that can be checked was checked. Its viewers follow: see `display/follow.rs` of the wrapper.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use freezeframe_api::records::{ResumeOptions, Resumed, SaveOptions};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::engine::Engine;
use freezeframe_store::record::Record;
use freezeframe_store::{Manifest, SessionId, SessionRecord, SnapshotId};
use jiff::Timestamp;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tracing::warn;
use zbus::zvariant::OwnedObjectPath;

use super::launch::Reservation;
use crate::agent::job::{Cancel, Job};
use crate::agent::sessions::Operation;
use crate::agent::state::Phase;
use crate::agent::{Agent, failure};
use crate::rules::names;

/// Keeps a lineage for the one session that takes the place of others.
#[derive(Debug)]
struct Succession {
    agent: Arc<Agent>,
    lineage: String,
}

impl Drop for Succession {
    fn drop(&mut self) {
        self.agent.lock().resuming.remove(&self.lineage);
    }
}

impl Agent {
    /// Resumes a snapshot.
    pub(crate) async fn resume(self: &Arc<Self>, id: &str, options: ResumeOptions) -> Result<OwnedObjectPath> {
        let began = Instant::now();
        let (manifest, name) = self.resumable(id, options.alongside)?;
        self.programs.wrapper()?;
        let (reservation, replaced, succession) = self.make_room(&manifest, &options)?;
        for operation in &replaced {
            self.tell_state(operation.id.as_str()).await;
        }
        let record = SessionRecord {
            format: SessionRecord::FORMAT,
            id: reservation.id.clone(),
            base: manifest.base,
            base_identity: manifest.base_identity,
            width: manifest.width,
            height: manifest.height,
            network: manifest.network,
            started: Timestamp::now(),
            parent: Some(manifest.id.clone()),
            lineage: manifest.lineage,
            last_snapshot: Some(manifest.id.clone()),
        };
        let label = Some(names::before_resuming(&name));
        let (agent, snapshot) = (self.clone(), manifest.id);
        self.job("resume", Cancel::No, move |job| async move {
            let before = SaveOptions { label, stop: true, ..SaveOptions::default() };
            if !replaced.is_empty() {
                agent.read_back(&snapshot, &job).await?;
            }
            let (mut kept, mut viewers) = (Vec::new(), Vec::new());
            for operation in replaced {
                viewers.extend(hand_over(&operation).await);
                job.progress(format!("Saving {}", operation.id), -1.0).await;
                let saved = agent.save_now(&operation, &before, &job).await;
                let saved = saved.map_err(|e| e.context("the running session could not be saved, and goes on"))?;
                kept.push(saved.snapshot);
            }
            let launched = agent.launch(reservation, record, Some(&snapshot), &job).await;
            drop(succession);
            // A pack that ended while the raw files were read for this left them where they were.
            agent.remove_leftovers();
            agent.note_resume(&snapshot, launched.as_ref().err()).await;
            let session = launched.map_err(|error| remind(error, &kept))?;
            for viewers in viewers {
                agent.take_over(&session, &viewers).await;
            }
            let resume_ms = began.elapsed().as_secs_f64() * 1e3;
            Ok(Resumed { session, snapshot: snapshot.to_string(), resume_ms })
        })
        .await
    }

    /// Notes on the snapshot that it was resumed, or why not. What the machine lacked, or somebody ended, says nothing of it.
    async fn note_resume(&self, snapshot: &SnapshotId, error: Option<&Error>) {
        if error.is_some_and(|e| !matches!(e.kind, ErrorKind::Failed | ErrorKind::Damaged)) {
            return;
        }
        let outcome = error.map_or(Ok(()), |error| Err(error.message.clone()));
        let noted = self.mark(snapshot.as_str(), |m| m.note_resume(outcome, Timestamp::now())).await;
        noted.unwrap_or_else(|error| warn!(%error, "cannot note on snapshot {snapshot} how its resume went"));
    }

    /// Reads the whole snapshot: nothing is stopped for one that turns out to be damaged.
    async fn read_back(&self, snapshot: &SnapshotId, job: &Job) -> Result<()> {
        let (store, id) = (self.store.clone(), snapshot.clone());
        let never = AtomicBool::new(false);
        let report = job.blocking("Checking the snapshot", move |progress| store.verify(Some(&id), &never, progress));
        let report = report.await?.map_err(|e| failure::of_store(&e))?;
        job.count_bytes(0);
        self.note_verified(&report).await;
        match report.damages.first() {
            None => Ok(()),
            Some(damage) => {
                let text = format!(
                    "snapshot {snapshot} cannot be resumed: {} is damaged: {}; nothing was stopped",
                    damage.path.display(),
                    damage.reason
                );
                Err(Error::new(ErrorKind::Damaged, text)
                    .hint(format!("`sessionctl verify {snapshot}` lists all that is damaged in it.")))
            }
        }
    }

    /// Gives the session the viewers of one that it takes the place of. Failing, it closes them.
    async fn take_over(&self, session: &str, viewers: &OwnedFd) {
        let taken = async {
            self.control(session)?
                .wrapper
                .take_over(viewers.as_fd().into())
                .await
                .map_err(|e| failure::of_call(&e, session))
        };
        if let Err(error) = taken.await {
            warn!(session, %error, "viewers do not follow");
        }
    }

    /// The manifest, and what people call the snapshot, if it is whole and its base the very one that it was taken on. One that
    /// could not be restored is only tried again `alongside`.
    fn resumable(&self, id: &str, alongside: bool) -> Result<(Manifest, String)> {
        // Where nothing is stopped for it, it may be tried again.
        let snapshot = if alongside { self.whole_snapshot(id)? } else { self.good_snapshot(id)? };
        let label = snapshot.marks.label;
        let manifest = snapshot.manifest.map_err(|damage| Error::new(ErrorKind::Damaged, damage))?;
        if !Engine::of_manifest(&manifest.engine).is_allowed(self.root) {
            let text = format!("snapshot {id} was saved by {}, which needs root to resume it", manifest.engine);
            let hint = "Export it, import it as root, and resume it there.";
            return Err(Error::new(ErrorKind::NeedsRoot, text).hint(hint));
        }
        let base = match self.store.base(&manifest.base) {
            Ok(base) => base,
            Err(error) => {
                let error = failure::of_store(&error).context(&format!("snapshot {id} cannot be resumed"));
                return Err(error.hint("A snapshot needs the very base that it was taken on."));
            }
        };
        if base.identity != manifest.base_identity {
            let text = format!("snapshot {id} cannot be resumed: base {:?} was recreated since", manifest.base);
            return Err(Error::new(ErrorKind::NotFound, text)
                .hint("A snapshot needs the very base that it was taken on; bring that one back."));
        }
        // What the timeline calls it.
        let label = Some(label.unwrap_or_else(|| manifest.label.clone())).filter(|label| !label.is_empty());
        let name = label.or_else(|| manifest.windows.first().map(|window| window.title.clone()));
        Ok((manifest, name.unwrap_or_else(|| id.to_owned())))
    }

    /// In one step: finds the sessions to be replaced and begins with them, and keeps the name and the lineage.
    fn make_room(
        self: &Arc<Self>,
        manifest: &Manifest,
        options: &ResumeOptions,
    ) -> Result<(Reservation, Vec<Operation>, Option<Succession>)> {
        let busy = |text: String| {
            Error::new(ErrorKind::Busy, text).hint("Wait until that is done and try again, or use --alongside.")
        };
        let mut begun = Vec::new();
        let mut state = self.lock();
        if state.bases.contains(&manifest.base) {
            return Err(busy(format!("base {:?} is being changed just now", manifest.base)));
        }
        let replaced = if options.alongside { Vec::new() } else { state.of_lineage(&manifest.lineage) };
        if !options.alongside && state.resuming.contains(&manifest.lineage) {
            return Err(busy(format!("another snapshot of {:?} is being resumed", manifest.session.as_str())));
        }
        for id in &replaced {
            state.session(id)?.phase.begin(id, Phase::Saving)?;
        }
        let taken = |name: &str| !replaced.iter().any(|r| r == name) && self.name_taken(&state, name);
        let id: SessionId = match &options.name {
            Some(name) => names::asked_for(name, taken)?,
            None => names::first_free(&manifest.session, taken),
        };
        for replaced in replaced {
            let serial = state.begin(&replaced, Phase::Saving)?;
            begun.push((SessionId::new(replaced).map_err(|e| failure::of_store(&e))?, serial));
        }
        let reservation = Reservation::keep(self, &mut state, id);
        let succession = (!options.alongside).then(|| {
            state.resuming.insert(manifest.lineage.clone());
            Succession { agent: self.clone(), lineage: manifest.lineage.clone() }
        });
        drop(state);
        let begun = begun.into_iter().map(|(id, serial)| Operation::new(self, id, serial)).collect();
        Ok((reservation, begun, succession))
    }
}

/// Has the viewers of a session that is about to be stopped go into a socket, of which this answers the other end. It
/// is not worth a failure: viewers that do not follow are closed.
async fn hand_over(operation: &Operation) -> Option<OwnedFd> {
    let (session, kind) = (operation.id.as_str(), SocketType::SEQPACKET);
    let handed = async {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(|e| Error::new(ErrorKind::Failed, e.to_string()))?;
        let wrapper = operation.control()?.wrapper;
        wrapper.hand_over(theirs.as_fd().into()).await.map_err(|e| failure::of_call(&e, session))?;
        Ok::<_, Error>(ours)
    };
    handed.await.inspect_err(|error| warn!(session, %error, "its viewers will not follow")).ok()
}

/// Adds to the failure where the work of the replaced sessions is.
fn remind(error: Error, kept: &[String]) -> Error {
    if kept.is_empty() {
        return error;
    }
    let text = format!("{}; what ran before is saved as {}", error.message, kept.join(", "));
    Error { message: text, ..error }
}
