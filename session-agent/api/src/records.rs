//! What travels. Serialised with serde, the answers are the documents that `sessionctl --json` prints.
//!
//! Times are RFC 3339 in UTC with milliseconds. An absent `parent` is null in JSON and left out on the bus.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use zbus::zvariant::OwnedFd;

use crate::dictionary;

dictionary! {
    /// No options.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NoOptions {}
}

dictionary! {
    /// Options of `Manager1.StartSession`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct StartOptions {
        /// The session's name; drawn when absent.
        pub name: Option<String>,
        /// The base; the configured or only one when absent.
        pub base: Option<String>,
        /// `WIDTHxHEIGHT`.
        pub size: Option<String>,
        /// `none` or `outbound`.
        pub network: Option<String>,
    }
}

dictionary! {
    /// Options of `Manager1.BuildBase`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct BuildOptions {
        /// The base's name; the profile's when absent.
        pub name: Option<String>,
    }
}

dictionary! {
    /// Options of `Manager1.ImportBase`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ImportOptions {
        /// Where the tar came from, for people.
        pub origin: Option<String>,
    }
}

dictionary! {
    /// Filter of `Manager1.Timeline`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct TimelineFilter {
        /// Only of the session of this name.
        pub session: Option<String>,
        /// Only with these words in label, session, window titles or applications.
        pub search: Option<String>,
        /// Deleted ones too.
        pub deleted: bool,
        /// Only those of these ids; all where there are none.
        pub snapshots: Vec<String>,
        /// Of those that are left only so many, the newest.
        pub newest: Option<u32>,
    }
}

dictionary! {
    /// Options of `Session1.Save`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct SaveOptions {
        /// The user's words for the snapshot.
        pub label: Option<String>,
        /// End the session once the snapshot is whole.
        pub stop: bool,
        /// Taken by itself rather than asked for.
        pub automatic: bool,
        /// Restore it on the side, without running it, before saying that it is saved.
        pub verify: bool,
    }
}

dictionary! {
    /// Options of `Session1.Stop`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct StopOptions {
        /// Save it first; when that fails it is not stopped.
        pub save: bool,
    }
}

dictionary! {
    /// Options of `Snapshot1.Resume`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ResumeOptions {
        /// Beside the running session of the same lineage, rather than in its place.
        pub alongside: bool,
        /// The new session's name.
        pub name: Option<String>,
    }
}

dictionary! {
    /// Options of `Session1.Execute`.
    #[derive(Debug, Default)]
    pub struct ExecuteOptions {
        /// As the session's root rather than its user.
        pub root: bool,
        /// Stay tied to the caller; takes the three descriptors, and the job ends with the program.
        pub wait: bool,
        /// Variables to add to the session's environment.
        pub environment: HashMap<String, String>,
        /// Working directory inside the session; the home directory when absent.
        pub directory: Option<String>,
        /// Standard input, with `wait`.
        pub stdin: Option<OwnedFd>,
        /// Standard output, with `wait`.
        pub stdout: Option<OwnedFd>,
        /// Standard error, with `wait`.
        pub stderr: Option<OwnedFd>,
    }
}

dictionary! {
    /// Options of `Snapshot1.Export`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ExportOptions {
        /// The base too, for receivers that do not have it.
        pub with_base: bool,
    }
}

dictionary! {
    /// Options of `Manager1.ImportSnapshot`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ImportSnapshotOptions {
        /// A key that is trusted this time.
        pub trust: Option<String>,
        /// Trusts that key from now on, under this name (whose it is, in the user's words; may be empty), once the import is done.
        pub remember: Option<String>,
    }
}

dictionary! {
    /// A key of somebody else that the user trusts: a line of the answer of `Manager1.TrustedKeys`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct TrustedKey {
        /// The key, as its owner's `PublicKey` gives it.
        pub key: String,
        /// Whose it is, in the user's words; may be empty.
        pub name: String,
    }
}

dictionary! {
    /// Options of `Manager1.CollectGarbage`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct CollectOptions {
        /// How long deleted snapshots stay, as "1 day" or "0s"; as configured when absent.
        pub keep_deleted: Option<String>,
    }
}

dictionary! {
    /// Options of `Manager1.Retention`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RetentionOptions {
        /// Delete what would go, rather than only say so; not together with rules to try.
        pub apply: bool,
        /// A rule to try, as all below; 0 switches it off, and an absent one is as configured. The newest ones to keep.
        pub keep_last: Option<u32>,
        /// Hours of which the newest is kept.
        pub keep_hourly: Option<u32>,
        /// Days of which the newest is kept.
        pub keep_daily: Option<u32>,
        /// Weeks of which the newest is kept.
        pub keep_weekly: Option<u32>,
        /// Months of which the newest is kept.
        pub keep_monthly: Option<u32>,
        /// Bytes that all together may take.
        pub budget_bytes: Option<u64>,
    }
}

dictionary! {
    /// What a user may set: answer of `Manager1.Settings`, and, with only the keys that change, what
    /// `Manager1.SetSettings` takes.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Settings {
        /// Whether sessions are saved by themselves.
        pub automatic: bool,
        /// Minutes between two such snapshots of a session: 1 to 10,080 (a week).
        pub automatic_minutes: u32,
        /// Only when the screen is not as it was at the last such snapshot.
        pub automatic_only_if_changed: bool,
        /// The newest snapshots to keep; 0 switches the rule off, as in all rules below.
        pub keep_last: u32,
        /// Hours of which the newest is kept.
        pub keep_hourly: u32,
        /// Days of which the newest is kept.
        pub keep_daily: u32,
        /// Weeks of which the newest is kept.
        pub keep_weekly: u32,
        /// Months of which the newest is kept.
        pub keep_monthly: u32,
        /// Bytes that all snapshots together may take; 0 for no limit.
        pub budget_bytes: u64,
        /// The base of a session that names none; empty for the only one.
        pub default_base: String,
        /// Width of the display of a session that names no size.
        pub default_width: u16,
        /// Height of that display.
        pub default_height: u16,
        /// Processes and threads that a session may have, where the machine can limit them; 0 for no limit.
        pub max_processes: u32,
        /// Part of the machine's memory that a session may have, in percent, likewise; 0 for no limit.
        pub max_memory_percent: u32,
        /// Whether a snapshot that was asked for is told by a notification.
        pub notify: bool,
        /// The app's keyboard shortcuts that are not as it comes: the shortcut's id, such as `snapshot`, with its keys as
        /// `gtk_accelerator_parse` reads them, such as `<Control>d`, or empty where it has none. Set as a whole. An id that
        /// the app does not know is kept for the version that does.
        pub shortcuts: BTreeMap<String, String>,
    }
}

dictionary! {
    /// Why sessions cannot be saved by themselves just now, or why their last snapshot could not be verified.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct AutomaticTrouble {
        /// The session.
        pub session: String,
        /// The snapshot that could not be verified; empty when none could be taken.
        pub snapshot: String,
        /// The error's name, without its prefix.
        pub name: String,
        /// What failed and why.
        pub message: String,
        /// What to do; may be empty.
        pub hint: String,
    }
}

dictionary! {
    /// A file that differs between two snapshots.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct FileChange {
        /// Its path inside the session; bytes that are no UTF-8 are shown as U+FFFD.
        pub path: String,
        /// `added`, `removed` or `changed`.
        pub change: String,
        /// Its size in bytes in the second snapshot; of a removed one, in the first.
        pub bytes: u64,
    }
}

dictionary! {
    /// Answer of `Manager1.Compare`: what is different in the second snapshot.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Comparison {
        /// The one that is compared with.
        pub first: String,
        /// The one that is compared.
        pub second: String,
        /// Files that differ, by path: at most [`Comparison::MOST_FILES`].
        pub files: Vec<FileChange>,
        /// How many files differ.
        pub files_total: u64,
        /// Windows of the second that the first does not have.
        pub windows_opened: Vec<WindowRow>,
        /// Windows of the first that the second does not have.
        pub windows_closed: Vec<WindowRow>,
    }
}

impl Comparison {
    /// No answer names more files.
    pub const MOST_FILES: usize = 2_000;
}

dictionary! {
    /// What the snapshots of a session take: a line of the answer of `Manager1.StorageUse`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct StorageUse {
        /// The session that they were taken of; empty in the last line, which is of the whole store.
        pub session: String,
        /// How many there are, deleted ones that can still be brought back among them.
        pub snapshots: u32,
        /// Bytes that they added to the store; in the last line, bytes that the store takes on disk.
        pub own_bytes: u64,
        /// Bytes before compression and deduplication.
        pub raw_bytes: u64,
    }
}

dictionary! {
    /// One line of the list of sessions.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct SessionRow {
        /// Its name.
        pub session: String,
        /// `starting`, `running`, `saving`, `stopping` or `crashed`.
        pub state: String,
        /// The base it stands on.
        pub base: String,
        /// `WIDTHxHEIGHT`.
        pub size: String,
        /// `none` or `outbound`.
        pub network: String,
        /// When it was started or resumed.
        pub started: String,
        /// The snapshot that it was resumed from.
        pub parent: Option<String>,
        /// What it has in common with its snapshots and with all that is resumed from them: a resume takes the place of the
        /// running sessions of the snapshot's lineage.
        pub lineage: String,
    }
}

dictionary! {
    /// A window that was open at the freeze.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct WindowRow {
        /// Its title.
        pub title: String,
        /// The application it belongs to.
        pub application: String,
    }
}

dictionary! {
    /// What was closed for the save rather than kept.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct ClosedRow {
        /// What it was.
        pub object: String,
        /// The application that had it.
        pub application: String,
        /// The process that had it, as numbered inside the session.
        pub pid: u32,
    }
}

dictionary! {
    /// One line of the timeline.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct SnapshotRow {
        /// Its id.
        pub snapshot: String,
        /// The session it was taken of.
        pub session: String,
        /// The snapshot before it.
        pub parent: Option<String>,
        /// The lineage of that session; empty of a snapshot whose manifest cannot be read.
        pub lineage: String,
        /// The instant of the freeze.
        pub created: String,
        /// The user's words for it.
        pub label: String,
        /// `committing`, `whole`, `damaged` or `deleted`.
        pub state: String,
        /// Kept by every retention rule.
        pub pinned: bool,
        /// Bytes before compression and deduplication.
        pub raw_bytes: u64,
        /// Bytes that it added to the store; all of them while it is `committing`.
        pub own_bytes: u64,
        /// All of it was read back and found as it was written, and nothing of it was found damaged since.
        pub intact: bool,
        /// It was restored, on the side or to be used, and nothing was found against it since.
        pub verified: bool,
        /// It could not be resumed when that was last tried, because of this; empty for none.
        pub resume_failure: String,
        /// It is dated later than now: the clock was wrong when it was taken, or is wrong now.
        pub future: bool,
        /// It was not taken here but imported.
        pub imported: bool,
        /// Bytes of the store that it refers to and others refer to as well; 0 until they are counted.
        pub shared_bytes: u64,
        /// Whether it was taken by itself rather than asked for.
        pub automatic: bool,
        /// From the first process stopped to the last one running again, in milliseconds.
        pub pause_ms: f64,
        /// Windows that were open.
        pub windows: Vec<WindowRow>,
    }
}

dictionary! {
    /// All that is known of a snapshot.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct SnapshotDetails {
        /// Its id.
        pub snapshot: String,
        /// The session it was taken of.
        pub session: String,
        /// The snapshot before it.
        pub parent: Option<String>,
        /// The lineage of that session; empty of a snapshot whose manifest cannot be read.
        pub lineage: String,
        /// The instant of the freeze.
        pub created: String,
        /// The user's words for it.
        pub label: String,
        /// `committing`, `whole`, `damaged` or `deleted`.
        pub state: String,
        /// Kept by every retention rule.
        pub pinned: bool,
        /// Bytes before compression and deduplication.
        pub raw_bytes: u64,
        /// Bytes that it added to the store; all of them while it is `committing`.
        pub own_bytes: u64,
        /// All of it was read back and found as it was written, and nothing of it was found damaged since.
        pub intact: bool,
        /// It was restored, on the side or to be used, and nothing was found against it since.
        pub verified: bool,
        /// It could not be resumed when that was last tried, because of this; empty for none.
        pub resume_failure: String,
        /// It is dated later than now: the clock was wrong when it was taken, or is wrong now.
        pub future: bool,
        /// It was not taken here but imported.
        pub imported: bool,
        /// Bytes of the store that it refers to and others refer to as well; 0 until they are counted.
        pub shared_bytes: u64,
        /// Whether it was taken by itself rather than asked for.
        pub automatic: bool,
        /// From the first process stopped to the last one running again, in milliseconds.
        pub pause_ms: f64,
        /// Part of the pause until every process had stopped.
        pub freeze_ms: f64,
        /// Bytes of the engine's images.
        pub memory_bytes: u64,
        /// Bytes of the layer.
        pub layer_bytes: u64,
        /// Processes in the session.
        pub processes: u32,
        /// Threads of all of them.
        pub threads: u32,
        /// Windows that were open.
        pub windows: Vec<WindowRow>,
        /// What was closed rather than saved.
        pub closed: Vec<ClosedRow>,
        /// The base that the layer lies on.
        pub base: String,
        /// `WIDTHxHEIGHT`.
        pub size: String,
        /// `none` or `outbound`.
        pub network: String,
        /// Engine that wrote the images, and its version.
        pub engine: String,
        /// Kernel that it was taken on.
        pub kernel: String,
        /// What is wrong with it; empty when nothing is known to be.
        pub damage: String,
        /// When it was last read back and found as it was written; empty when `intact` is false.
        pub intact_at: String,
        /// When it was last restored; empty when `verified` is false.
        pub verified_at: String,
        /// When it was last tried in vain to resume it; empty when `resume_failure` is.
        pub resume_failure_at: String,
    }
}

dictionary! {
    /// A base.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct BaseRow {
        /// Its name.
        pub base: String,
        /// `whole` or `damaged`.
        pub state: String,
        /// When it was built or imported.
        pub created: String,
        /// Where it came from: `recipe:<profile>` or `import`.
        pub origin: String,
        /// Bytes of its files on disk.
        pub bytes: u64,
    }
}

dictionary! {
    /// One finding of the pre-flight.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct FindingRow {
        /// The process, as numbered inside the session.
        pub pid: u32,
        /// Its application.
        pub application: String,
        /// Title of its window; empty when it has none.
        pub window: String,
        /// What cannot be saved.
        pub object: String,
        /// Whether it stops the save; else it is closed.
        pub blocking: bool,
        /// What the user can do.
        pub remedy: String,
    }
}

dictionary! {
    /// Answer of `Session1.Check`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct CheckReport {
        /// Whether a save would go through.
        pub savable: bool,
        /// All findings.
        pub findings: Vec<FindingRow>,
    }
}

dictionary! {
    /// One thing that `Manager1.Doctor` looked at.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct DoctorRow {
        /// Stable name.
        pub name: String,
        /// Whether it is as it should be.
        pub ok: bool,
        /// What does not work without it.
        pub needed_for: String,
        /// What was found.
        pub found: String,
        /// The command that mends it; may be empty.
        pub remedy: String,
    }
}

dictionary! {
    /// Result of a start job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Started {
        /// The session's name.
        pub session: String,
    }
}

dictionary! {
    /// Result of a save job.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct Saved {
        /// The snapshot's id.
        pub snapshot: String,
        /// The session's name.
        pub session: String,
        /// From the first process stopped to the last one running again, in milliseconds.
        pub pause_ms: f64,
    }
}

dictionary! {
    /// Result of a resume job.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct Resumed {
        /// The new session's name.
        pub session: String,
        /// The snapshot it was resumed from.
        pub snapshot: String,
        /// From the call until the desktop ran, in milliseconds.
        pub resume_ms: f64,
    }
}

dictionary! {
    /// Result of a stop job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Stopped {
        /// The session's name.
        pub session: String,
        /// The snapshot taken before.
        pub snapshot: Option<String>,
    }
}

dictionary! {
    /// Result of an exec job: `pid` without `wait`, `status` with it.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Executed {
        /// The session's name.
        pub session: String,
        /// The program's pid inside the session; 0 with `wait`.
        pub pid: i32,
        /// The exit status, 128 + n for signal n; 0 without `wait`.
        pub status: i32,
    }
}

dictionary! {
    /// Result of a job on a base.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct BaseDone {
        /// The base's name.
        pub base: String,
    }
}

dictionary! {
    /// Result of a pack job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Packed {
        /// The snapshot's id.
        pub snapshot: String,
        /// Bytes before compression and deduplication.
        pub raw_bytes: u64,
        /// Bytes that it added to the store.
        pub new_bytes: u64,
    }
}

dictionary! {
    /// Something that is not as it was written.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct DamageRow {
        /// The file that is damaged or missing.
        pub path: String,
        /// What is wrong with it.
        pub reason: String,
        /// The snapshots that cannot be resumed because of it; maybe none.
        pub snapshots: Vec<String>,
    }
}

dictionary! {
    /// Result of a verify job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Verified {
        /// The snapshots that were looked at.
        pub snapshots: Vec<String>,
        /// Those of them that wait to be packed: their data carries no checksums yet, and only their records were checked.
        pub committing: Vec<String>,
        /// Bytes that were read.
        pub bytes: u64,
        /// What is damaged; empty when everything is as it was written.
        pub damages: Vec<DamageRow>,
    }
}

dictionary! {
    /// A snapshot that cannot be read.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct UnreadableRow {
        /// Its id.
        pub snapshot: String,
        /// Why.
        pub reason: String,
    }
}

dictionary! {
    /// Result of a gc job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Collected {
        /// Deleted snapshots that are gone now.
        pub snapshots_removed: Vec<String>,
        /// Deleted snapshots that stay, because they were deleted not long enough ago, or are pinned.
        pub deleted_kept: Vec<String>,
        /// Bytes that are free now.
        pub freed_bytes: u64,
        /// Bytes that snapshots and store take now.
        pub bytes: u64,
        /// Snapshots that cannot be read: while there are any, nothing that they may need is taken away.
        pub unreadable: Vec<UnreadableRow>,
    }
}

dictionary! {
    /// What retention says of one snapshot.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct RetentionRow {
        /// Its id.
        pub snapshot: String,
        /// The session it was taken of.
        pub session: String,
        /// The instant of the freeze.
        pub created: String,
        /// The user's words for it.
        pub label: String,
        /// Bytes that it added to the store.
        pub own_bytes: u64,
        /// Why it stays, or goes.
        pub reasons: Vec<String>,
    }
}

dictionary! {
    /// Answer of `Manager1.Retention`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct RetentionReport {
        /// Whether any rule is set.
        pub rules: bool,
        /// Whether what goes was deleted now.
        pub applied: bool,
        /// What goes.
        pub remove: Vec<RetentionRow>,
        /// What stays.
        pub keep: Vec<RetentionRow>,
        /// Bytes by which what stays exceeds the budget, because nothing more may go.
        pub over_budget: u64,
    }
}

dictionary! {
    /// Result of an export job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Exported {
        /// The snapshot's id.
        pub snapshot: String,
        /// The key that signed it, for the receiver to compare.
        pub key: String,
        /// Bytes in it before compression.
        pub bytes: u64,
    }
}

dictionary! {
    /// Result of an import job.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Imported {
        /// The snapshot's id.
        pub snapshot: String,
        /// The key that had signed it.
        pub key: String,
        /// Whether it was there before; a deletion was taken back then.
        pub was_there: bool,
        /// The base that came with it, if it was not there before.
        pub base: Option<String>,
        /// Bytes that the store has grown by.
        pub new_bytes: u64,
    }
}

dictionary! {
    /// Result of a job that failed or was cancelled.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct JobFailure {
        /// The error's name, without its prefix.
        pub name: String,
        /// What failed and why.
        pub message: String,
        /// What to do; may be empty.
        pub hint: String,
        /// The public key that is not trusted, of `Untrusted`; else empty.
        pub key: String,
    }
}

impl From<crate::Error> for JobFailure {
    fn from(error: crate::Error) -> Self {
        Self { name: error.kind.name().to_owned(), message: error.message, hint: error.hint, key: error.key }
    }
}

impl From<JobFailure> for crate::Error {
    fn from(failure: JobFailure) -> Self {
        let kind = crate::ErrorKind::from_name(&failure.name);
        Self { kind, message: failure.message, hint: failure.hint, key: failure.key }
    }
}

#[cfg(test)]
mod tests {
    use zbus::zvariant::serialized::Context;
    use zbus::zvariant::{LE, OwnedValue, to_bytes};

    use super::*;
    use crate::{Dict, Dictionary};

    fn over_the_wire(dict: &Dict) -> Dict {
        to_bytes(Context::new_dbus(LE, 0), dict).unwrap().deserialize().unwrap().0
    }

    #[test]
    fn nested_records_come_back_from_the_wire() {
        let row = SnapshotRow {
            snapshot: "0123456789ab".into(),
            parent: Some("ba9876543210".into()),
            pause_ms: 412.5,
            windows: vec![WindowRow { title: "notes".into(), application: "Mousepad".into() }, WindowRow::default()],
            ..SnapshotRow::default()
        };
        assert_eq!(SnapshotRow::from_dict(&over_the_wire(&row.to_dict())).unwrap(), row);
        let empty = SnapshotRow::default();
        assert_eq!(SnapshotRow::from_dict(&over_the_wire(&empty.to_dict())).unwrap(), empty);
    }

    #[test]
    fn maps_come_back_from_the_wire() {
        let mut options = ExecuteOptions { wait: true, ..ExecuteOptions::default() };
        options.environment.insert("A".into(), "b c".into());
        let back = ExecuteOptions::from_options(&over_the_wire(&options.to_dict())).unwrap();
        assert!(back.wait && !back.root);
        assert_eq!(back.environment, options.environment);
    }

    #[test]
    fn an_unknown_option_is_refused_by_name_and_an_unknown_answer_passed_over() {
        let mut dict = Dict::new();
        dict.insert("labell".into(), OwnedValue::from(true));
        let error = SaveOptions::from_options(&dict).unwrap_err();
        assert!(error.message.contains("labell") && error.hint.contains("label, stop"), "{error:?}");
        assert_eq!(SaveOptions::from_dict(&dict).unwrap(), SaveOptions::default());
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_by_name() {
        let mut dict = Dict::new();
        dict.insert("label".into(), OwnedValue::from(true));
        let error = SaveOptions::from_options(&dict).unwrap_err();
        assert!(error.message.contains("\"label\"") && error.message.contains('b'), "{error:?}");
    }

    #[test]
    fn an_absent_parent_is_null_in_json() {
        let json = serde_json::to_value(SessionRow::default()).unwrap();
        assert_eq!(json["parent"], serde_json::Value::Null);
    }
}
