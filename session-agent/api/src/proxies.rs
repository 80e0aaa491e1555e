//! Proxies for the four interfaces. Their documentation is the interface's own.
//!
//! A call that takes long returns a job's path at once. Subscribe to the job's `Finished`, then read its `State`: a
//! finished job stays for a minute.

#![allow(missing_docs, reason = "zbus::proxy makes items without documentation; the traits themselves are documented")]

use zbus::zvariant::{Fd, OwnedFd, OwnedObjectPath};

use crate::dict::Dict;

/// The agent as a whole.
#[zbus::proxy(
    interface = "io.github.freezeframe.Manager1",
    default_service = "io.github.freezeframe.SessionAgent1",
    default_path = "/io/github/freezeframe/SessionAgent1",
    gen_blocking = false
)]
pub trait Manager1 {
    /// Starts a session ([`crate::records::StartOptions`]); the job's result is [`crate::records::Started`].
    fn start_session(&self, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// Builds a base from a recipe ([`crate::records::BuildOptions`]); result [`crate::records::BaseDone`].
    fn build_base(&self, profile: &str, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// Imports a base from a tar ([`crate::records::ImportOptions`]); result [`crate::records::BaseDone`].
    fn import_base(&self, name: &str, tar: Fd<'_>, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// All bases ([`crate::records::BaseRow`]).
    fn list_bases(&self) -> zbus::Result<Vec<Dict>>;
    /// Removes a base that no session and no snapshot stands on; result [`crate::records::BaseDone`].
    fn remove_base(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// The session of that name, or whose name begins so; with an empty name the only running one.
    fn find_session(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// The snapshot of that id, or whose id begins so; `latest`, `yesterday` or `@{2 hours ago}`.
    fn find_snapshot(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// All sessions ([`crate::records::SessionRow`]); there are no options yet.
    fn list_sessions(&self, options: &Dict) -> zbus::Result<Vec<Dict>>;
    /// Snapshots in the order they were taken ([`crate::records::SnapshotRow`]), by
    /// [`crate::records::TimelineFilter`].
    fn timeline(&self, filter: &Dict) -> zbus::Result<Vec<Dict>>;
    /// What this machine has and lacks ([`crate::records::DoctorRow`]).
    fn doctor(&self) -> zbus::Result<Vec<Dict>>;
    /// Imports a snapshot ([`crate::records::ImportSnapshotOptions`]); result [`crate::records::Imported`].
    fn import_snapshot(&self, file: Fd<'_>, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// Reads everything back; result [`crate::records::Verified`].
    fn verify(&self) -> zbus::Result<OwnedObjectPath>;
    /// Takes away what no snapshot needs ([`crate::records::CollectOptions`]); result [`crate::records::Collected`].
    fn collect_garbage(&self, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// What would go by the rules that are configured, and why; or deletes it ([`crate::records::RetentionOptions`]).
    /// Answers [`crate::records::RetentionReport`].
    fn retention(&self, options: &Dict) -> zbus::Result<Dict>;
    /// What is different in the second snapshot: [`crate::records::Comparison`].
    fn compare(&self, first: &str, second: &str) -> zbus::Result<Dict>;
    /// What the user has set: [`crate::records::Settings`].
    fn settings(&self) -> zbus::Result<Dict>;
    /// Sets the keys of [`crate::records::Settings`] that are given; the others stay.
    fn set_settings(&self, settings: &Dict) -> zbus::Result<()>;
    /// What the snapshots of each session take ([`crate::records::StorageUse`]); the last line, without a session, is of
    /// the whole store.
    fn storage_use(&self) -> zbus::Result<Vec<Dict>>;
    /// The user's public key, which exports are signed with; made on first use.
    fn public_key(&self) -> zbus::Result<String>;
    /// Keys of others that the user trusts: [`crate::records::TrustedKey`].
    fn trusted_keys(&self) -> zbus::Result<Vec<Dict>>;
    /// Trusts a key no more.
    fn distrust_key(&self, key: &str) -> zbus::Result<()>;
    /// Something that `Settings` holds has changed.
    #[zbus(signal)]
    fn settings_changed(&self) -> zbus::Result<()>;
    /// Whether no session is saved by itself, until the agent ends or this is set back.
    #[zbus(property)]
    fn automatic_paused(&self) -> zbus::Result<bool>;
    /// Sets it.
    #[zbus(property)]
    fn set_automatic_paused(&self, paused: bool) -> zbus::Result<()>;
    /// Sessions that could not be saved by themselves the last time, or whose snapshot could not be verified
    /// ([`crate::records::AutomaticTrouble`]).
    #[zbus(property)]
    fn automatic_trouble(&self) -> zbus::Result<Vec<Dict>>;
    /// The agent's release.
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
    /// The engine that saves: `native` or `criu`.
    #[zbus(property)]
    fn engine(&self) -> zbus::Result<String>;
}

/// One session.
#[zbus::proxy(
    interface = "io.github.freezeframe.Session1",
    default_service = "io.github.freezeframe.SessionAgent1",
    gen_blocking = false
)]
pub trait Session1 {
    /// Saves it ([`crate::records::SaveOptions`]); result [`crate::records::Saved`].
    fn save(&self, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// Ends it ([`crate::records::StopOptions`]); result [`crate::records::Stopped`].
    fn stop(&self, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// The pre-flight alone ([`crate::records::CheckReport`]).
    fn check(&self) -> zbus::Result<Dict>;
    /// Runs a program in it ([`crate::records::ExecuteOptions`]); result [`crate::records::Executed`].
    fn execute(&self, argv: &[String], options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// A connected RFB socket.
    fn open_display(&self) -> zbus::Result<OwnedFd>;
    /// The display as a PNG.
    fn screenshot(&self) -> zbus::Result<Vec<u8>>;
    /// Its name.
    #[zbus(property)]
    fn id(&self) -> zbus::Result<String>;
    /// `starting`, `running`, `saving`, `stopping` or `crashed`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// The base it stands on.
    #[zbus(property)]
    fn base(&self) -> zbus::Result<String>;
    /// Width of the display in pixels.
    #[zbus(property)]
    fn width(&self) -> zbus::Result<u16>;
    /// Height of the display in pixels.
    #[zbus(property)]
    fn height(&self) -> zbus::Result<u16>;
    /// `none` or `outbound`.
    #[zbus(property)]
    fn network(&self) -> zbus::Result<String>;
    /// When it was started or resumed.
    #[zbus(property)]
    fn started(&self) -> zbus::Result<String>;
    /// The snapshot that it was resumed from; empty for none.
    #[zbus(property)]
    fn parent(&self) -> zbus::Result<String>;
    /// Where a VNC client can connect to the display.
    #[zbus(property)]
    fn display_socket(&self) -> zbus::Result<String>;
}

/// One snapshot.
#[zbus::proxy(
    interface = "io.github.freezeframe.Snapshot1",
    default_service = "io.github.freezeframe.SessionAgent1",
    gen_blocking = false
)]
pub trait Snapshot1 {
    /// All that is known of it ([`crate::records::SnapshotDetails`]).
    fn details(&self) -> zbus::Result<Dict>;
    /// Resumes it ([`crate::records::ResumeOptions`]); result [`crate::records::Resumed`].
    fn resume(&self, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// The display just before the freeze, a PNG, opened for reading.
    fn open_thumbnail(&self) -> zbus::Result<OwnedFd>;
    /// Changes the user's words for it.
    fn set_label(&self, label: &str) -> zbus::Result<()>;
    /// Keeps it through every retention rule.
    fn pin(&self) -> zbus::Result<()>;
    /// Takes the pin away.
    fn unpin(&self) -> zbus::Result<()>;
    /// Takes it off the timeline; it can be taken back until the store collects.
    fn delete(&self) -> zbus::Result<()>;
    /// Takes it back.
    fn undelete(&self) -> zbus::Result<()>;
    /// Packs it now, or waits until it is packed; result [`crate::records::Packed`].
    fn pack(&self) -> zbus::Result<OwnedObjectPath>;
    /// Writes it to a file ([`crate::records::ExportOptions`]); result [`crate::records::Exported`].
    fn export(&self, file: Fd<'_>, options: &Dict) -> zbus::Result<OwnedObjectPath>;
    /// Reads it back; result [`crate::records::Verified`].
    fn verify(&self) -> zbus::Result<OwnedObjectPath>;
    /// Its id.
    #[zbus(property)]
    fn id(&self) -> zbus::Result<String>;
    /// The session it was taken of.
    #[zbus(property)]
    fn session(&self) -> zbus::Result<String>;
    /// The snapshot before it; empty for none.
    #[zbus(property)]
    fn parent(&self) -> zbus::Result<String>;
    /// The instant of the freeze.
    #[zbus(property)]
    fn created(&self) -> zbus::Result<String>;
    /// The user's words for it.
    #[zbus(property)]
    fn label(&self) -> zbus::Result<String>;
    /// `committing`, `whole`, `damaged` or `deleted`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Kept by every retention rule.
    #[zbus(property)]
    fn pinned(&self) -> zbus::Result<bool>;
    /// Bytes before compression and deduplication.
    #[zbus(property)]
    fn raw_bytes(&self) -> zbus::Result<u64>;
    /// Bytes that it added to the store; all of them while it is `committing`.
    #[zbus(property)]
    fn own_bytes(&self) -> zbus::Result<u64>;
    /// All of it was read back and found as it was written, and nothing of it was found damaged since.
    #[zbus(property)]
    fn intact(&self) -> zbus::Result<bool>;
    /// It could not be resumed when that was last tried, because of this; empty for none.
    #[zbus(property)]
    fn resume_failure(&self) -> zbus::Result<String>;
    /// It was restored, on the side or to be used, and nothing was found against it since.
    #[zbus(property)]
    fn verified(&self) -> zbus::Result<bool>;
    /// It was not taken here but imported.
    #[zbus(property)]
    fn imported(&self) -> zbus::Result<bool>;
    /// Bytes of the store that it refers to and others refer to as well; 0 until they are counted.
    #[zbus(property)]
    fn shared_bytes(&self) -> zbus::Result<u64>;
    /// Whether it was taken by itself rather than asked for.
    #[zbus(property)]
    fn automatic(&self) -> zbus::Result<bool>;
    /// The pause in milliseconds.
    #[zbus(property)]
    fn pause_ms(&self) -> zbus::Result<f64>;
    /// Windows that were open ([`crate::records::WindowRow`]).
    #[zbus(property)]
    fn windows(&self) -> zbus::Result<Vec<Dict>>;
}

/// Something that takes long.
#[zbus::proxy(
    interface = "io.github.freezeframe.Job1",
    default_service = "io.github.freezeframe.SessionAgent1",
    gen_blocking = false
)]
pub trait Job1 {
    /// Cancels it, where that can still be done.
    fn cancel(&self) -> zbus::Result<()>;
    /// `start`, `save`, `pack`, `resume`, `stop`, `execute`, `verify`, `gc`, `export`, `import`, `base-build`,
    /// `base-import` or `base-remove`.
    #[zbus(property)]
    fn kind(&self) -> zbus::Result<String>;
    /// What is being done, in a few words.
    #[zbus(property)]
    fn stage(&self) -> zbus::Result<String>;
    /// 0 to 1 of the whole; below 0 when it is not known.
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<f64>;
    /// Bytes done; 0 when they are not counted.
    #[zbus(property)]
    fn bytes_done(&self) -> zbus::Result<u64>;
    /// Bytes to do, an estimate until the end; 0 when they are not counted.
    #[zbus(property)]
    fn bytes_total(&self) -> zbus::Result<u64>;
    /// `running`, `done`, `failed` or `cancelled`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// The result; of a failed or cancelled job [`crate::records::JobFailure`].
    #[zbus(property)]
    fn result(&self) -> zbus::Result<Dict>;
    /// It ended.
    #[zbus(signal)]
    fn finished(&self, state: String, result: Dict) -> zbus::Result<()>;
}
