//! The object at the root: `Manager1`. It decodes, calls and maps errors.

use std::sync::Arc;

use freezeframe_api::records::{
    BuildOptions, CollectOptions, ImportOptions, ImportSnapshotOptions, NoOptions, RetentionOptions, StartOptions,
    TimelineFilter,
};
use freezeframe_api::{Dict, Dictionary, Result, names};
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};

use super::Agent;
use super::failure::answered;

/// The D-Bus object.
pub(crate) struct Manager(pub(crate) Arc<Agent>);

/// The agent as a whole. What takes long answers with the path of a `Job1`.
#[zbus::interface(name = "io.github.freezeframe.Manager1")]
impl Manager {
    /// Starts a session. Options: name, base, size (WIDTHxHEIGHT), network (none or outbound). Result: session.
    async fn start_session(&self, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.0.start(StartOptions::from_options(&options)?)).await
    }

    /// Builds a base from a recipe. Options: name. Result: base.
    async fn build_base(&self, profile: String, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.0.build_base(&profile, BuildOptions::from_options(&options)?)).await
    }

    /// Imports a base from a tar (plain, gzip or zstd). Options: origin. Result: base.
    async fn import_base(&self, name: String, tar: OwnedFd, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.0.import_base(&name, tar, ImportOptions::from_options(&options)?)).await
    }

    /// All bases: base, state, created, origin, bytes.
    async fn list_bases(&self) -> Result<Vec<Dict>> {
        Ok(self.0.bases()?.iter().map(Dictionary::to_dict).collect())
    }

    /// Removes a base that no session and no snapshot stands on. Result: base.
    async fn remove_base(&self, name: String) -> Result<OwnedObjectPath> {
        answered(self.0.remove_base(&name)).await
    }

    /// The session of that name, or whose name begins so; with an empty name the only running one.
    async fn find_session(&self, name: String) -> Result<OwnedObjectPath> {
        answered(self.0.find_session(&name)).await.map(|id| names::session_path(&id))
    }

    /// The snapshot of that id, or whose id begins so; `latest`, `yesterday` or `@{2 hours ago}`.
    async fn find_snapshot(&self, name: String) -> Result<OwnedObjectPath> {
        answered(self.0.find_snapshot(&name)).await.map(|id| names::snapshot_path(&id))
    }

    /// All sessions: session, state, base, size, network, started, parent, lineage. There are no options yet.
    async fn list_sessions(&self, options: Dict) -> Result<Vec<Dict>> {
        NoOptions::from_options(&options)?;
        Ok(answered(async { Ok(self.0.list().await) }).await?.iter().map(Dictionary::to_dict).collect())
    }

    /// Snapshots in the order they were taken: snapshot, session, parent, lineage, created, label, state, pinned, raw_bytes,
    /// own_bytes, intact, verified, resume_failure, future, imported, shared_bytes, pause_ms, windows. Options: session, search, deleted,
    /// snapshots (only of these ids), newest (only so many).
    async fn timeline(&self, filter: Dict) -> Result<Vec<Dict>> {
        let filter = TimelineFilter::from_options(&filter)?;
        Ok(answered(self.0.timeline(&filter)).await?.iter().map(Dictionary::to_dict).collect())
    }

    /// What this machine has and lacks: name, ok, needed_for, found, remedy.
    async fn doctor(&self) -> Result<Vec<Dict>> {
        Ok(answered(self.0.doctor()).await?.iter().map(Dictionary::to_dict).collect())
    }

    /// Imports a snapshot that was exported. Options: trust (a key that is trusted this time), remember (trusts it from then on,
    /// under this name). Result: snapshot, key, was_there, base, new_bytes.
    async fn import_snapshot(&self, file: OwnedFd, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.0.import_snapshot(file, ImportSnapshotOptions::from_options(&options)?)).await
    }

    /// Reads everything back. Result: snapshots, committing, bytes, damages (path, reason, snapshots).
    async fn verify(&self) -> Result<OwnedObjectPath> {
        answered(self.0.verify(None)).await
    }

    /// Takes away what no snapshot needs. Options: keep_deleted ("1 day", "0s"). Result: snapshots_removed, deleted_kept,
    /// freed_bytes, bytes, unreadable (snapshot, reason).
    async fn collect_garbage(&self, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.0.collect_garbage(CollectOptions::from_options(&options)?)).await
    }

    /// Which snapshots go by the rules that are configured, and which stay: rules, applied, remove and keep (snapshot,
    /// session, created, label, own_bytes, reasons), over_budget. Options: apply (delete those that go); or rules to try
    /// instead of those configured: keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, budget_bytes.
    async fn retention(&self, options: Dict) -> Result<Dict> {
        Ok(answered(self.0.retention(RetentionOptions::from_options(&options)?)).await?.to_dict())
    }

    /// What is different in the second snapshot: first, second, files (path, change, bytes), files_total, windows_opened,
    /// windows_closed. At most 2,000 files are named.
    async fn compare(&self, first: String, second: String) -> Result<Dict> {
        Ok(answered(self.0.compare(&first, &second)).await?.to_dict())
    }

    /// What the user has set: automatic, automatic_minutes, automatic_only_if_changed, keep_last, keep_hourly, keep_daily,
    /// keep_weekly, keep_monthly, budget_bytes, default_base, default_width, default_height, max_processes, max_memory_percent, notify, shortcuts (a{ss}:
    /// the app's that are not as it comes, each id with its keys as GTK writes them, or empty for none).
    async fn settings(&self) -> Result<Dict> {
        Ok(self.0.settings().to_dict())
    }

    /// Sets the keys that are given, in config.toml; the others stay.
    async fn set_settings(&self, settings: Dict) -> Result<()> {
        answered(self.0.set_settings(&settings)).await
    }

    /// What the snapshots of each session take: session, snapshots, own_bytes, raw_bytes. The last line, without a session,
    /// is of the whole store: its own_bytes are what it takes on disk.
    async fn storage_use(&self) -> Result<Vec<Dict>> {
        Ok(answered(self.0.storage_use()).await?.iter().map(Dictionary::to_dict).collect())
    }

    /// The user's public key, which exports are signed with; made on first use.
    async fn public_key(&self) -> Result<String> {
        self.0.public_key()
    }

    /// Keys of others that the user trusts, besides the own one: key, name.
    async fn trusted_keys(&self) -> Result<Vec<Dict>> {
        Ok(self.0.trusted_keys()?.iter().map(Dictionary::to_dict).collect())
    }

    /// Trusts a key no more; what was imported with it stays.
    async fn distrust_key(&self, key: String) -> Result<()> {
        self.0.distrust_key(&key)
    }

    /// Whether no session is saved by itself, until the agent ends or this is set back.
    #[zbus(property)]
    fn automatic_paused(&self) -> bool {
        self.0.automatic_paused()
    }

    /// Sets it.
    #[zbus(property)]
    fn set_automatic_paused(&self, paused: bool) {
        self.0.pause_automatic(paused);
    }

    /// Sessions that could not be saved by themselves the last time, or whose snapshot could not be verified: session,
    /// snapshot, name, message, hint.
    #[zbus(property)]
    fn automatic_trouble(&self) -> Vec<Dict> {
        self.0.automatic_trouble().iter().map(Dictionary::to_dict).collect()
    }

    /// Something that `Settings` holds has changed.
    #[zbus(signal)]
    pub(crate) async fn settings_changed(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    /// The agent's release.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    /// The engine that saves: `native` or `criu`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn engine(&self) -> &str {
        self.0.engine.name()
    }
}
