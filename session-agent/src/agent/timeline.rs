//! The snapshots: what is in the store, what is on the bus, and keeping both the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_api::{Error, ErrorKind, Result, names};
use freezeframe_store::manifest::Marks;
use freezeframe_store::record::Record;
use freezeframe_store::{SnapshotId, State, Store, VerifyReport};
use freezeframe_text::{MESSAGE, line};
use jiff::Timestamp;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::{info, warn};
use zbus::object_server::SignalEmitter;

use super::snapshot::SnapshotObject;
use super::{Agent, failure};
use crate::rules::rows::Snapshot;

/// A commit makes several events; they are answered by one look.
const DEBOUNCE: Duration = Duration::from_millis(50);

impl Agent {
    /// Looks at the store again and reports what came and went.
    pub(crate) async fn rescan(self: &Arc<Self>) -> Result<()> {
        let _one_at_a_time = self.scanning.lock().await;
        let store = self.store.clone();
        let mut found = tokio::task::spawn_blocking(move || scan(&store))
            .await
            .map_err(|e| Error::new(ErrorKind::Failed, format!("looking at the snapshots failed: {e}")))??;
        let (came, went, changed) = {
            let mut state = self.lock();
            let same = |old: &Snapshot, new: &Snapshot| {
                (old.state(), old.own_bytes(), &old.marks) == (new.state(), new.own_bytes(), &new.marks)
            };
            for (id, snapshot) in &mut found {
                snapshot.shared_bytes = state.snapshots.get(id).map_or(0, |old| old.shared_bytes);
            }
            let differs =
                |(id, new): &(&String, &Snapshot)| state.snapshots.get(*id).is_some_and(|old| !same(old, new));
            let changed: Vec<String> = found.iter().filter(differs).map(|(id, _)| id.clone()).collect();
            let came: Vec<String> = found.keys().filter(|id| !state.snapshots.contains_key(*id)).cloned().collect();
            let went: Vec<String> = state.snapshots.keys().filter(|id| !found.contains_key(*id)).cloned().collect();
            if came.iter().filter_map(|id| found.get(id)).any(Snapshot::is_committing) {
                self.pack_wanted.notify_one();
            }
            state.snapshots = found;
            (came, went, changed)
        };
        if !(came.is_empty() && went.is_empty() && changed.is_empty()) {
            self.count_wanted.notify_one();
        }
        let server = self.connection.object_server();
        // One that the bus does not take is no reason to be without the others.
        for id in came {
            info!(snapshot = id, "on the timeline");
            if let Err(error) = server.at(names::snapshot_path(&id), SnapshotObject::new(self, &id)).await {
                warn!(snapshot = id, %error, "cannot put it on the bus");
            }
        }
        for id in went {
            if let Err(error) = server.remove::<SnapshotObject, _>(names::snapshot_path(&id)).await {
                warn!(snapshot = id, %error, "cannot take it off the bus");
            }
        }
        for id in changed {
            if let Err(error) = self.tell_snapshot(&id).await {
                warn!(snapshot = id, %error, "cannot tell that it has changed");
            }
        }
        Ok(())
    }

    /// Notifies clients that a snapshot may have changed.
    pub(super) async fn tell_snapshot(&self, id: &str) -> Result<()> {
        let path = names::snapshot_path(id);
        let object = self.connection.object_server().interface::<_, SnapshotObject>(&path).await?;
        let object = object.get().await;
        let emitter = SignalEmitter::new(&self.connection, &path)?;
        object.label_changed(&emitter).await?;
        object.pinned_changed(&emitter).await?;
        object.state_changed(&emitter).await?;
        object.own_bytes_changed(&emitter).await?;
        object.intact_changed(&emitter).await?;
        object.verified_changed(&emitter).await?;
        object.resume_failure_changed(&emitter).await?;
        object.shared_bytes_changed(&emitter).await?;
        Ok(())
    }

    /// Watches the store for as long as the agent runs.
    pub(crate) fn watch_snapshots(self: &Arc<Self>) -> Result<()> {
        let failed = |e: &notify::Error| Error::new(ErrorKind::Failed, format!("cannot watch the snapshots: {e}"));
        let (sender, mut events) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a manifest makes an event too. A full channel already means "look".
            if event.as_ref().map_or(true, |e| !e.kind.is_access()) {
                let _ = sender.try_send(());
            }
        })
        .map_err(|e| failed(&e))?;
        watcher.watch(&self.store.root().join("snapshots"), RecursiveMode::NonRecursive).map_err(|e| failed(&e))?;
        let agent = self.clone();
        tokio::spawn(async move {
            let _keep = watcher;
            while events.recv().await.is_some() {
                tokio::time::sleep(DEBOUNCE).await;
                while events.try_recv().is_ok() {}
                if let Err(error) = agent.rescan().await {
                    warn!(%error, "cannot look at the snapshots");
                }
            }
        });
        Ok(())
    }

    /// What is known of a snapshot.
    pub(crate) fn snapshot(&self, id: &str) -> Result<Snapshot> {
        self.lock().snapshots.get(id).cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no snapshot {id:?}"))
                .hint("`sessionctl timeline` shows the snapshots.")
        })
    }

    /// As [`Agent::snapshot`], of one that is not deleted and not known to be damaged, nor known to be impossible to restore.
    pub(crate) fn good_snapshot(&self, id: &str) -> Result<Snapshot> {
        let snapshot = self.whole_snapshot(id)?;
        match &snapshot.marks.unrestorable {
            Some(why) => Err(Error::new(ErrorKind::Damaged, format!("snapshot {id} is not used: {why}"))
                .hint(format!("Try it again, which stops nothing: sessionctl resume {id} --alongside"))),
            None => Ok(snapshot),
        }
    }

    /// As [`Agent::snapshot`], of one that is not deleted and not known to be damaged.
    pub(crate) fn whole_snapshot(&self, id: &str) -> Result<Snapshot> {
        let snapshot = self.snapshot(id)?;
        if snapshot.marks.deleted.is_some() {
            return Err(Error::new(ErrorKind::NotFound, format!("snapshot {id} was deleted"))
                .hint(format!("Take it back first: sessionctl undelete {id}")));
        }
        match snapshot.damage_on_disk() {
            Some(damage) => Err(Error::new(ErrorKind::Damaged, format!("snapshot {id} is not used: {damage}"))
                .hint(format!("`sessionctl verify {id}` lists all that is damaged in it, and whether it is mended."))),
            None => Ok(snapshot),
        }
    }

    /// Says so when a snapshot is to be deleted that is deleted already, or brought back that is on the timeline.
    pub(crate) fn expect_deleted(&self, id: &str, deleted: bool) -> Result<()> {
        match (self.snapshot(id)?.marks.deleted.is_some(), deleted) {
            (true, false) => Err(Error::new(ErrorKind::NotFound, format!("snapshot {id} is deleted already"))
                .hint(format!("Bring it back with: sessionctl undelete {id}"))),
            (false, true) => Err(Error::new(ErrorKind::Exists, format!("snapshot {id} is not deleted"))
                .hint("It is on the timeline; there is nothing to bring back.")),
            _ => Ok(()),
        }
    }

    /// Changes what the user says of a snapshot, on disk first.
    pub(crate) async fn mark(&self, id: &str, change: impl FnOnce(&mut Marks)) -> Result<()> {
        {
            let _one_at_a_time = self.scanning.lock().await;
            let before = self.snapshot(id)?.marks;
            let mut marks = before.clone();
            change(&mut marks);
            if marks == before {
                return Ok(());
            }
            marks.format = Marks::FORMAT;
            let snapshot = SnapshotId::new(id).map_err(|e| failure::of_store(&e))?;
            let (store, written) = (self.store.clone(), marks.clone());
            // It waits for the disk.
            let written = tokio::task::spawn_blocking(move || store.write_marks(&snapshot, &written)).await;
            written.map_err(failure::lost)?.map_err(|e| failure::of_store(&e))?;
            if let Some(known) = self.lock().snapshots.get_mut(id) {
                known.marks = marks;
                if known.is_committing() {
                    // One that was brought back still has to be packed.
                    self.pack_wanted.notify_one();
                }
            }
        }
        self.count_wanted.notify_one();
        self.tell_snapshot(id).await
    }

    /// Writes down what a verification has found, for every snapshot that it looked at. What cannot be written down, on a disk that
    /// is read-only for one, is told all the same.
    pub(crate) async fn note_verified(&self, report: &VerifyReport) {
        for id in &report.snapshots {
            if self.store.marks(id).is_err() {
                // What the user said may still be brought back from a backup. Until then it counts as damaged anyway.
                continue;
            }
            let packed = matches!(self.store.state(id), Ok(State::Whole));
            let noted = self.mark(id.as_str(), |m| m.note_verification(report.damage_of(id), packed, Timestamp::now()));
            match noted.await {
                Ok(()) => {}
                // Collected meanwhile.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => {
                    warn!(%error, "cannot note on snapshot {id} what was found, nor on those after it");
                    return;
                }
            }
        }
    }
}

fn scan(store: &Store) -> Result<BTreeMap<String, Snapshot>> {
    let mut found = BTreeMap::new();
    for listed in store.list_snapshots().map_err(|e| failure::of_store(&e))? {
        let Ok(id) = SnapshotId::new(listed.name.clone()) else { continue };
        // Without its marks it is not resumed either: every file of it has to be what was written.
        let marks = store.marks(&id).unwrap_or_else(|error| {
            warn!(%error, "marks are passed over");
            Marks { damage: Some(words(&error)), ..Marks::default() }
        });
        let manifest = match listed.record {
            Ok(manifest) if manifest.id == id => Ok(manifest),
            Ok(manifest) => Err(format!("its manifest is that of snapshot {}", manifest.id)),
            Err(error) => Err(words(&error)),
        };
        let packed = packed(store, &id);
        found.insert(listed.name.clone(), Snapshot { id: listed.name, manifest, marks, packed, shared_bytes: 0 });
    }
    Ok(found)
}

/// How far a snapshot has come: what packing it added, nothing yet, or what is wrong.
fn packed(store: &Store, id: &SnapshotId) -> Result<Option<u64>, String> {
    match store.state(id).map_err(|e| words(&e))? {
        State::Committing => Ok(None),
        _ => match store.own_bytes(id) {
            Ok(Some(own)) => Ok(Some(own)),
            Ok(None) => Err("what it consists of is missing, packed and raw".to_owned()),
            Err(error) => Err(words(&error)),
        },
    }
}

/// What is wrong, for the row of a snapshot. It may quote the file that it is about.
fn words(error: &freezeframe_store::Error) -> String {
    line(error.to_string(), MESSAGE)
}
