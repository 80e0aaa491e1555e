//! Counting what snapshots share, in the background: it takes a look at every list of every snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::{Sharing, SnapshotId};
use tracing::warn;

use super::{Agent, failure};

/// Several changes are answered by one count.
const DEBOUNCE: Duration = Duration::from_millis(200);

impl Agent {
    /// Counts whenever snapshots have changed, for as long as the agent runs.
    pub(super) async fn keep_counting(self: Arc<Self>) {
        let mut sharing = Sharing::default();
        loop {
            self.count_wanted.notified().await;
            tokio::time::sleep(DEBOUNCE).await;
            let (packed, kept) = {
                let state = self.lock();
                let packed = |s: &&crate::rules::rows::Snapshot| matches!(s.packed, Ok(Some(_)));
                let ids = |deleted: bool| -> BTreeSet<SnapshotId> {
                    let wanted = state.snapshots.values().filter(packed);
                    let wanted = wanted.filter(|s| deleted || s.marks.deleted.is_none());
                    wanted.filter_map(|s| SnapshotId::new(s.id.clone()).ok()).collect()
                };
                (ids(true), ids(false))
            };
            // What could not be read the last time may be mended by now.
            if sharing.is_partial() || !sharing.snapshots().eq(&packed) {
                sharing = match self.count_sharing().await {
                    Ok(sharing) => sharing,
                    Err(error) => {
                        warn!(%error, "cannot count what snapshots share");
                        continue;
                    }
                };
            }
            self.put_down(&sharing, &kept).await;
        }
    }

    /// Counts what snapshots share now.
    pub(super) async fn count_sharing(&self) -> Result<Sharing> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.sharing(&AtomicBool::new(false)))
            .await
            .map_err(|e| Error::new(ErrorKind::Failed, format!("counting what snapshots share failed: {e}")))?
            .map_err(|e| failure::of_store(&e))
    }

    /// Puts what was counted into the rows. A deleted snapshot shares nothing that anybody keeps for it.
    async fn put_down(&self, sharing: &Sharing, kept: &BTreeSet<SnapshotId>) {
        let mut changed = Vec::new();
        for id in sharing.snapshots() {
            let bytes = sharing.shared_bytes(id, |other| kept.contains(other));
            if let Some(known) = self.lock().snapshots.get_mut(id.as_str())
                && known.shared_bytes != bytes
            {
                known.shared_bytes = bytes;
                changed.push(id);
            }
        }
        for id in changed {
            if let Err(error) = self.tell_snapshot(id.as_str()).await {
                warn!(%error, "cannot tell of a snapshot");
            }
        }
    }
}
