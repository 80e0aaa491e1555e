//! Saving sessions by themselves, and thinning the timeline after it. When is decided by [`crate::rules::automatic`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freezeframe_api::names::ROOT;
use freezeframe_api::records::{AutomaticTrouble, RetentionOptions, SaveOptions, Saved};
use freezeframe_api::{Error, ErrorKind, Result};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Agent;
use super::manager::Manager;
use super::state::Phase;
use crate::rules::automatic::{Candidate, Decision, decide};

/// No wait is longer without a look at the clock, which may be set meanwhile, or stand still while the machine sleeps.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A session whose picture takes longer is saved without a look at it.
const PICTURE: Duration = Duration::from_secs(10);

/// What is remembered of one session until the agent ends.
#[derive(Debug, Default)]
struct Memory {
    /// Which session of that name it is.
    serial: u64,
    saved: Option<Timestamp>,
    failed: Option<Timestamp>,
    failures: u32,
    passed_over: Option<Timestamp>,
    /// The screen as it was at the session's last automatic save.
    screen: Option<Vec<u8>>,
    trouble: Option<AutomaticTrouble>,
    /// Why the last snapshot is not verified although it should be.
    unverified: Option<AutomaticTrouble>,
}

impl Memory {
    fn troubles(&self) -> impl Iterator<Item = &AutomaticTrouble> {
        self.trouble.iter().chain(&self.unverified)
    }
}

/// What has to do with saving sessions by themselves.
#[derive(Debug, Default)]
pub(super) struct Automatic {
    paused: AtomicBool,
    memories: Mutex<BTreeMap<String, Memory>>,
    changed: Notify,
}

impl Automatic {
    /// Something has changed that a decision may hang on.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> Vec<AutomaticTrouble> {
        self.lock().values().flat_map(Memory::troubles).cloned().collect()
    }
}

impl Agent {
    /// Whether no session is saved by itself until further notice.
    pub(crate) fn automatic_paused(&self) -> bool {
        self.automatic.paused.load(Ordering::SeqCst)
    }

    /// Sets it.
    pub(crate) fn pause_automatic(&self, paused: bool) {
        self.automatic.paused.store(paused, Ordering::SeqCst);
        info!(paused, "automatic snapshots");
        self.automatic.look_again();
    }

    /// Sessions that could not be saved by themselves the last time, or whose snapshot could not be verified.
    pub(crate) fn automatic_trouble(&self) -> Vec<AutomaticTrouble> {
        self.automatic.troubles()
    }

    /// Saves sessions by themselves for as long as the agent runs.
    pub(crate) async fn keep_saving(self: Arc<Self>) {
        loop {
            let now = Timestamp::now();
            let candidates = self.candidates(now).await;
            let wait = match decide(now, &self.config().automatic, self.automatic_paused(), &candidates) {
                Decision::Save(id) => {
                    self.save_of_itself(&id, now).await;
                    continue;
                }
                Decision::Wait(wait) => wait.unsigned_abs().min(LONGEST_WAIT),
                Decision::Rest => LONGEST_WAIT,
            };
            // Either is a reason to look.
            let _ = timeout(wait, self.automatic.changed.notified()).await;
        }
    }

    async fn candidates(&self, now: Timestamp) -> Vec<Candidate> {
        let forgotten = {
            let state = self.lock();
            let mut memories = self.automatic.lock();
            let before = memories.values().flat_map(Memory::troubles).count();
            memories.retain(|id, m| state.sessions.get(id).is_some_and(|s| s.serial == m.serial));
            memories.values().flat_map(Memory::troubles).count() != before
        };
        if forgotten {
            self.tell_trouble().await;
        }
        let state = self.lock();
        let memories = self.automatic.lock();
        let candidate = |(id, session): (&String, &super::state::Session)| {
            let record = &session.record;
            // One dated after now says nothing: the clock was wrong.
            let taken = state.snapshots.values().filter_map(|s| s.manifest.as_ref().ok());
            let taken = taken.filter(|m| m.session == record.id && m.lineage == record.lineage).map(|m| m.created);
            let memory = memories.get(id);
            let remembered = memory.and_then(|m| m.saved);
            let saved = taken.chain([record.started]).chain(remembered).filter(|then| *then <= now).max();
            Candidate {
                session: id.clone(),
                at_rest: session.phase == Phase::Running,
                saving: session.phase == Phase::Saving,
                saved: saved.unwrap_or(Timestamp::UNIX_EPOCH),
                failed: memory.and_then(|m| m.failed),
                failures: memory.map_or(0, |m| m.failures),
                passed_over: memory.and_then(|m| m.passed_over),
            }
        };
        state.sessions.iter().map(candidate).collect()
    }

    /// Saves a session, unless its screen is as it was. Answers when that is done, so that there are never two at once.
    async fn save_of_itself(self: &Arc<Self>, id: &str, now: Timestamp) {
        let screen = if self.config().automatic.only_if_changed {
            timeout(PICTURE, self.screenshot(id)).await.ok().and_then(Result::ok)
        } else {
            None
        };
        let as_it_was = self.remember(id, |m| screen.is_some() && m.screen == screen);
        if as_it_was {
            self.remember(id, |m| m.passed_over = Some(now));
            return;
        }
        let options = SaveOptions { automatic: true, ..SaveOptions::default() };
        match self.save_and_wait(id, options).await {
            Ok(saved) => {
                info!(session = id, snapshot = saved.snapshot, "saved by itself");
                self.remember(id, |m| m.screen = screen);
                self.thin_out().await;
            }
            // Somebody else does something with it, or took this back: nothing is wrong with it.
            Err(error) if matches!(error.kind, ErrorKind::Busy | ErrorKind::Cancelled | ErrorKind::NotFound) => {
                self.remember(id, |m| m.passed_over = Some(now));
            }
            Err(error) => {
                warn!(session = id, "cannot be saved by itself: {error}");
                let Error { kind, message, hint, .. } = error;
                let (session, name) = (id.to_owned(), kind.name().to_owned());
                let trouble = AutomaticTrouble { session, snapshot: String::new(), name, message, hint };
                let new = self.remember(id, |m| {
                    (m.failed, m.failures) = (Some(now), m.failures.saturating_add(1));
                    m.trouble.replace(trouble).is_none()
                });
                // Once is enough: it stays until a save goes well.
                if new {
                    self.tell_trouble().await;
                }
            }
        }
    }

    async fn save_and_wait(self: &Arc<Self>, id: &str, options: SaveOptions) -> Result<Saved> {
        let (sender, outcome) = tokio::sync::oneshot::channel();
        self.save_telling(id, options, Some(sender)).await?;
        outcome.await.map_err(|_| Error::new(ErrorKind::Failed, "the save ended without an answer"))?
    }

    /// A session was saved, by whomever: what kept it from being saved is over, and a bad snapshot is not its last one.
    pub(super) async fn saved_well(&self, id: &str) {
        let told = self.remember(id, |m| {
            (m.saved, m.failed, m.failures, m.passed_over) = (Some(Timestamp::now()), None, 0, None);
            let over = m.troubles().count() > 0;
            (m.trouble, m.unverified) = (None, None);
            over
        });
        if told {
            self.tell_trouble().await;
        }
    }

    /// The last snapshot of a session is not verified, although that is what the user wants of every one.
    pub(super) async fn not_verified(&self, id: &str, snapshot: &str, error: &Error) {
        let Error { kind, message, hint, .. } = error.clone();
        let (session, name) = (id.to_owned(), kind.name().to_owned());
        let trouble = AutomaticTrouble { session, snapshot: snapshot.to_owned(), name, message, hint };
        self.remember(id, |m| m.unverified = Some(trouble));
        self.tell_trouble().await;
    }

    fn remember<T>(&self, id: &str, change: impl FnOnce(&mut Memory) -> T) -> T {
        let serial = self.lock().sessions.get(id).map_or(0, |s| s.serial);
        let mut memories = self.automatic.lock();
        let memory = memories.entry(id.to_owned()).or_default();
        if memory.serial != serial {
            *memory = Memory { serial, ..Memory::default() };
        }
        change(memory)
    }

    /// Deletes what the rules say, where there are rules.
    async fn thin_out(self: &Arc<Self>) {
        if self.config().retention.keep_everything() {
            return;
        }
        if let Err(error) = self.retention(RetentionOptions { apply: true, ..RetentionOptions::default() }).await {
            warn!(%error, "cannot delete what the rules say");
        }
    }

    async fn tell_trouble(&self) {
        let told = async {
            let manager = self.connection.object_server().interface::<_, Manager>(ROOT).await?;
            manager.get().await.automatic_trouble_changed(manager.signal_emitter()).await
        };
        if let Err(error) = told.await {
            warn!(%error, "cannot tell that a session could not be saved by itself");
        }
    }
}
