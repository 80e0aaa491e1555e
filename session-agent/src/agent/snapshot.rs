//! The object of a snapshot: `Snapshot1`. It decodes, calls and maps errors.

use std::fs::File;
use std::sync::Arc;

use freezeframe_api::records::{ExportOptions, ResumeOptions, SnapshotDetails};
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Result};
use freezeframe_store::SnapshotId;
use jiff::Timestamp;
use zbus::fdo;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};

use super::failure::answered;
use super::{Agent, failure};
use crate::rules::names::check_label;

/// The D-Bus object.
pub(crate) struct SnapshotObject {
    agent: Arc<Agent>,
    id: String,
}

impl SnapshotObject {
    pub(crate) fn new(agent: &Arc<Agent>, id: &str) -> Self {
        Self { agent: agent.clone(), id: id.to_owned() }
    }

    fn read<T>(&self, what: impl FnOnce(SnapshotDetails) -> T) -> fdo::Result<T> {
        let state = self.agent.lock();
        let snapshot = state.snapshots.get(&self.id).map(|s| what(s.details()));
        snapshot.ok_or_else(|| fdo::Error::UnknownObject(format!("there is no snapshot {} any more", self.id)))
    }
}

/// One snapshot.
#[zbus::interface(name = "io.github.freezeframe.Snapshot1")]
impl SnapshotObject {
    /// All that is known of it: the properties, and freeze_ms, memory_bytes, layer_bytes, processes, threads, closed,
    /// base, size, network, engine, kernel, damage, intact_at, verified_at, resume_failure_at, future.
    async fn details(&self) -> Result<Dict> {
        Ok(self.agent.snapshot(&self.id)?.details().to_dict())
    }

    /// Resumes it. Options: alongside, name. Result: session, snapshot, resume_ms.
    async fn resume(&self, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.agent.resume(&self.id, ResumeOptions::from_options(&options)?)).await
    }

    /// The display just before the freeze: a PNG, opened for reading.
    async fn open_thumbnail(&self) -> Result<OwnedFd> {
        let id = SnapshotId::new(self.id.clone()).map_err(|e| failure::of_store(&e))?;
        let path = self.agent.store.snapshot_dir(&id).join("thumbnail.png");
        let file = File::open(&path).map_err(|e| {
            Error::new(ErrorKind::NotFound, format!("snapshot {id} has no thumbnail: {}: {e}", path.display()))
        })?;
        Ok(std::os::fd::OwnedFd::from(file).into())
    }

    /// Changes the user's words for it.
    async fn set_label(&self, label: String) -> Result<()> {
        check_label(&label)?;
        answered(self.agent.mark(&self.id, |m| m.label = Some(label))).await
    }

    /// Keeps it through every retention rule.
    async fn pin(&self) -> Result<()> {
        answered(self.agent.mark(&self.id, |m| m.pinned = true)).await
    }

    /// Takes the pin away.
    async fn unpin(&self) -> Result<()> {
        answered(self.agent.mark(&self.id, |m| m.pinned = false)).await
    }

    /// Takes it off the timeline; it can be taken back until the store collects.
    async fn delete(&self) -> Result<()> {
        self.agent.expect_deleted(&self.id, false)?;
        let now = Timestamp::now();
        answered(self.agent.mark(&self.id, |m| m.deleted = m.deleted.or(Some(now)))).await
    }

    /// Takes it back.
    async fn undelete(&self) -> Result<()> {
        self.agent.expect_deleted(&self.id, true)?;
        answered(self.agent.mark(&self.id, |m| m.deleted = None)).await
    }

    /// Packs it now, or answers the job that does. It is packed in the background; this is for those who wait for it. Result:
    /// snapshot, raw_bytes, new_bytes.
    async fn pack(&self) -> Result<OwnedObjectPath> {
        answered(self.agent.pack(&self.id)).await
    }

    /// Writes it to a file, once it is packed. Options: with_base. Result: snapshot, key, bytes.
    async fn export(&self, file: OwnedFd, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.agent.export(&self.id, file, ExportOptions::from_options(&options)?)).await
    }

    /// Reads it back. Result: snapshots, committing, bytes, damages (path, reason, snapshots).
    async fn verify(&self) -> Result<OwnedObjectPath> {
        answered(self.agent.verify(Some(&self.id))).await
    }

    /// Its id.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.id
    }

    /// The session it was taken of.
    #[zbus(property(emits_changed_signal = "const"))]
    fn session(&self) -> fdo::Result<String> {
        self.read(|d| d.session)
    }

    /// The snapshot before it; empty for none.
    #[zbus(property(emits_changed_signal = "const"))]
    fn parent(&self) -> fdo::Result<String> {
        self.read(|d| d.parent.unwrap_or_default())
    }

    /// The instant of the freeze: RFC 3339, UTC.
    #[zbus(property(emits_changed_signal = "const"))]
    fn created(&self) -> fdo::Result<String> {
        self.read(|d| d.created)
    }

    /// The user's words for it.
    #[zbus(property)]
    fn label(&self) -> fdo::Result<String> {
        self.read(|d| d.label)
    }

    /// `committing`, `whole`, `damaged` or `deleted`.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        self.read(|d| d.state)
    }

    /// Kept by every retention rule.
    #[zbus(property)]
    fn pinned(&self) -> fdo::Result<bool> {
        self.read(|d| d.pinned)
    }

    /// Bytes before compression and deduplication.
    #[zbus(property(emits_changed_signal = "const"))]
    fn raw_bytes(&self) -> fdo::Result<u64> {
        self.read(|d| d.raw_bytes)
    }

    /// Bytes that it added to the store; all of them while it is `committing`.
    #[zbus(property)]
    fn own_bytes(&self) -> fdo::Result<u64> {
        self.read(|d| d.own_bytes)
    }

    /// All of it was read back and found as it was written, and nothing of it was found damaged since.
    #[zbus(property)]
    fn intact(&self) -> fdo::Result<bool> {
        self.read(|d| d.intact)
    }

    /// It could not be resumed when that was last tried, because of this; empty for none.
    #[zbus(property)]
    fn resume_failure(&self) -> fdo::Result<String> {
        self.read(|d| d.resume_failure)
    }

    /// It was restored, on the side or to be used, and nothing was found against it since.
    #[zbus(property)]
    fn verified(&self) -> fdo::Result<bool> {
        self.read(|d| d.verified)
    }

    /// It was not taken here but imported.
    #[zbus(property(emits_changed_signal = "const"))]
    fn imported(&self) -> fdo::Result<bool> {
        self.read(|d| d.imported)
    }

    /// Bytes of the store that it refers to and others refer to as well; 0 until they are counted.
    #[zbus(property)]
    fn shared_bytes(&self) -> fdo::Result<u64> {
        self.read(|d| d.shared_bytes)
    }

    /// Whether it was taken by itself rather than asked for.
    #[zbus(property(emits_changed_signal = "const"))]
    fn automatic(&self) -> fdo::Result<bool> {
        self.read(|d| d.automatic)
    }

    /// From the first process stopped to the last one running again, in milliseconds.
    #[zbus(property(emits_changed_signal = "const"))]
    fn pause_ms(&self) -> fdo::Result<f64> {
        self.read(|d| d.pause_ms)
    }

    /// Windows that were open: title, application.
    #[zbus(property(emits_changed_signal = "const"))]
    fn windows(&self) -> fdo::Result<Vec<Dict>> {
        self.read(|d| d.windows.iter().map(Dictionary::to_dict).collect())
    }
}
