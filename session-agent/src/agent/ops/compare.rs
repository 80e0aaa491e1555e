//! What is different in one snapshot from another, and what all of them take.

use std::collections::BTreeMap;
use std::sync::Arc;

use freezeframe_api::records::{Comparison, FileChange, StorageUse};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::SnapshotId;
use freezeframe_store::usage::bytes_below;
use freezeframe_text::{PATH, line};

use crate::agent::{Agent, failure};
use crate::rules::rows::windows_without;

impl Agent {
    /// What is different in the second snapshot.
    pub(crate) async fn compare(self: &Arc<Self>, first: &str, second: &str) -> Result<Comparison> {
        let (first, second) = (self.find_snapshot(first).await?, self.find_snapshot(second).await?);
        let (before, after) = (self.snapshot(&first)?.details().windows, self.snapshot(&second)?.details().windows);
        let id = |id: &str| SnapshotId::new(id).map_err(|e| failure::of_store(&e));
        let (store, one, other) = (self.store.clone(), id(&first)?, id(&second)?);
        let changes = blocking(move || store.compare(&one, &other)).await?.map_err(|e| failure::of_store(&e))?;
        let row = |c: &freezeframe_store::FileChange| FileChange {
            path: format!("/{}", line(&c.path, PATH)),
            change: c.change.as_str().to_owned(),
            bytes: c.bytes,
        };
        Ok(Comparison {
            files: changes.iter().take(Comparison::MOST_FILES).map(row).collect(),
            files_total: changes.len() as u64,
            windows_opened: windows_without(&after, &before),
            windows_closed: windows_without(&before, &after),
            first,
            second,
        })
    }

    /// What the snapshots of each session take, and last the whole store.
    pub(crate) async fn storage_use(self: &Arc<Self>) -> Result<Vec<StorageUse>> {
        self.rescan().await?;
        let mut rows: BTreeMap<String, StorageUse> = BTreeMap::new();
        let mut whole = StorageUse::default();
        for snapshot in self.lock().snapshots.values() {
            let details = snapshot.details();
            whole.snapshots += 1;
            whole.raw_bytes += details.raw_bytes;
            // One whose manifest cannot be read is of no session that is known.
            if details.session.is_empty() {
                continue;
            }
            let row = rows.entry(details.session.clone()).or_default();
            row.session = details.session;
            row.snapshots += 1;
            row.own_bytes += details.own_bytes;
            row.raw_bytes += details.raw_bytes;
        }
        let root = self.store.root().to_owned();
        let on_disk = blocking(move || Ok(bytes_below(&root.join("snapshots"))? + bytes_below(&root.join("store"))?));
        whole.own_bytes = on_disk.await?.map_err(|e| failure::of_store(&e))?;
        Ok(rows.into_values().chain([whole]).collect())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> freezeframe_store::Result<T> + Send + 'static,
) -> Result<freezeframe_store::Result<T>> {
    tokio::task::spawn_blocking(work).await.map_err(|bug| {
        Error::new(ErrorKind::Failed, format!("the agent made a mistake: {bug}"))
            .hint("Please report this, with the agent's log.")
    })
}
