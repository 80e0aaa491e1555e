//! Looking after the store: reading it back, collecting what nobody needs, and saying which snapshots may go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use freezeframe_api::records::{
    CollectOptions, Collected, DamageRow, RetentionOptions, RetentionReport, UnreadableRow, Verified,
};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::retention::plan_shared;
use freezeframe_store::{GcOptions, GcReport, Sharing, SnapshotId, State, VerifyReport};
use freezeframe_text::{MESSAGE, PATH, line};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::timeout;
use tracing::info;
use zbus::zvariant::OwnedObjectPath;

use crate::agent::job::Cancel;
use crate::agent::{Agent, failure};
use crate::rules::duration::KeepDeleted;
use crate::rules::rows;
use crate::rules::settings::tried;

/// How long a collection waits for others to finish with the store.
const WAIT: Duration = Duration::from_secs(60);

fn strings(ids: &[SnapshotId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

impl Agent {
    /// Reads everything back, or one snapshot.
    pub(crate) async fn verify(self: &Arc<Self>, only: Option<&str>) -> Result<OwnedObjectPath> {
        let only = match only {
            Some(id) => Some(SnapshotId::new(self.snapshot(id)?.id).map_err(|e| failure::of_store(&e))?),
            None => None,
        };
        let flag = Arc::new(AtomicBool::new(false));
        let agent = self.clone();
        self.job("verify", Cancel::Flag(flag.clone()), move |job| async move {
            let store = agent.store.clone();
            let report =
                job.blocking("Reading everything back", move |progress| store.verify(only.as_ref(), &flag, progress));
            let report = report.await?.map_err(|e| failure::of_store(&e))?;
            info!(snapshots = report.snapshots.len(), damages = report.damages.len(), "verified");
            agent.rescan().await?;
            agent.note_verified(&report).await;
            Ok(agent.verified(report))
        })
        .await
    }

    fn verified(&self, report: VerifyReport) -> Verified {
        let committing = |id: &&SnapshotId| matches!(self.store.state(id), Ok(State::Committing));
        Verified {
            committing: report.snapshots.iter().filter(committing).map(ToString::to_string).collect(),
            snapshots: strings(&report.snapshots),
            bytes: report.bytes,
            damages: report
                .damages
                .into_iter()
                .map(|d| DamageRow {
                    path: line(d.path.display().to_string(), PATH),
                    reason: line(d.reason, MESSAGE),
                    snapshots: strings(&d.snapshots),
                })
                .collect(),
        }
    }

    /// Takes away what no snapshot needs.
    pub(crate) async fn collect_garbage(self: &Arc<Self>, options: CollectOptions) -> Result<OwnedObjectPath> {
        let KeepDeleted(keep_deleted) = match &options.keep_deleted {
            Some(text) => text.parse().map_err(|rule| Error::new(ErrorKind::InvalidArgument, rule))?,
            None => self.config().keep_deleted,
        };
        let flag = Arc::new(AtomicBool::new(false));
        let agent = self.clone();
        self.job("gc", Cancel::Flag(flag.clone()), move |job| async move {
            job.progress("Waiting for others to finish with the store", -1.0).await;
            let busy = || {
                Error::new(ErrorKind::Busy, "a snapshot is being packed, and that takes long")
                    .hint("Try again when that is done; `sessionctl timeline` shows which are committing.")
            };
            // Others of ours come after it from here on.
            let _turn = tokio::select! {
                turn = timeout(WAIT, agent.packing.lock()) => turn.map_err(|_| busy())?,
                () = job.cancel_asked() => return Err(failure::cancelled()),
            };
            let store = agent.store.clone();
            let options = GcOptions { keep_deleted, wait: WAIT, ..GcOptions::at(Timestamp::now()) };
            let report = job.blocking("Taking away what nobody needs", move |_| store.gc(&options, &flag)).await?;
            let report = report.map_err(|e| failure::of_store(&e))?;
            if report.leftovers_kept > 0 {
                agent.remove_leftovers();
            }
            agent.rescan().await?;
            agent.pack_what_was_put_off();
            Ok(agent.collected(report))
        })
        .await
    }

    fn collected(&self, report: GcReport) -> Collected {
        let state = self.lock();
        let deleted = state.snapshots.values().filter(|s| s.marks.deleted.is_some());
        let collected = Collected {
            snapshots_removed: strings(&report.snapshots_removed),
            deleted_kept: deleted.map(|s| s.id.clone()).collect(),
            freed_bytes: report.bytes_before.saturating_sub(report.bytes_after),
            bytes: report.bytes_after,
            unreadable: report
                .unreadable
                .into_iter()
                .map(|(id, reason)| UnreadableRow { snapshot: id.to_string(), reason: line(reason, MESSAGE) })
                .collect(),
        };
        info!(snapshots = collected.snapshots_removed.len(), freed_bytes = collected.freed_bytes, "collected");
        collected
    }

    /// Which snapshots go by the rules that are configured, or by others to try; deletes them when asked to.
    pub(crate) async fn retention(self: &Arc<Self>, options: RetentionOptions) -> Result<RetentionReport> {
        let rules = tried(&self.config().retention, &options);
        if options.apply && rules != self.config().retention {
            return Err(Error::new(ErrorKind::InvalidArgument, "rules that are only tried cannot be applied")
                .hint("Set them first (`sessionctl settings`), then apply them."));
        }
        self.rescan().await?;
        let sharing = match rules.budget {
            Some(_) => self.count_sharing().await?,
            None => Sharing::default(),
        };
        let now = Timestamp::now();
        let store = self.store.clone();
        // The wrappers write down what they took last.
        let on_disk = tokio::task::spawn_blocking(move || store.list_sessions()).await;
        let on_disk = on_disk.map_err(failure::lost)?.map_err(|e| failure::of_store(&e))?;
        let mut stood_on = BTreeSet::new();
        for record in on_disk.into_iter().filter_map(|listed| listed.record.ok()) {
            stood_on.extend([record.parent, record.last_snapshot].into_iter().flatten());
        }
        let mut report = {
            let state = self.lock();
            for session in state.sessions.values() {
                let record = &session.record;
                stood_on.extend([&record.parent, &record.last_snapshot].into_iter().flatten().cloned());
            }
            let seen: Vec<_> = state.snapshots.values().filter_map(|s| rows::seen(s, &stood_on)).collect();
            let plan = plan_shared(&seen, &rules, now, &TimeZone::system(), &sharing);
            rows::retention_report(&plan, &state.snapshots, &rules)
        };
        if options.apply {
            for row in &report.remove {
                // A pin that came meanwhile counts.
                let delete = |marks: &mut freezeframe_store::manifest::Marks| {
                    if !marks.pinned {
                        marks.deleted = marks.deleted.or(Some(now));
                    }
                };
                self.mark(&row.snapshot, delete).await?;
            }
            report.applied = true;
            info!(snapshots = report.remove.len(), "deleted by retention");
        }
        Ok(report)
    }
}
