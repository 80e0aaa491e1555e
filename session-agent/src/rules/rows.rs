//! Rows of the lists, made of the records on disk.

use std::collections::{BTreeMap, BTreeSet};

use freezeframe_api::records::{
    BaseRow, ClosedRow, RetentionReport, RetentionRow, SessionRow, SnapshotDetails, SnapshotRow, TimelineFilter,
    WindowRow,
};
use freezeframe_store::manifest::{Manifest, Marks};
use freezeframe_store::retention::{Plan, Rules, Seen};
use freezeframe_store::{BaseRecord, SessionRecord, SnapshotId, State};
use freezeframe_text::{MESSAGE, NAME, line};
use jiff::Timestamp;

use crate::rules::find;
use crate::rules::size::Size;

/// A time as it travels: RFC 3339 in UTC with milliseconds.
pub fn time(timestamp: Timestamp) -> String {
    format!("{timestamp:.3}")
}

/// What is known of a snapshot that has a directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its manifest, or what is wrong with it.
    pub manifest: Result<Manifest, String>,
    /// What the user said of it, and what was found of it.
    pub marks: Marks,
    /// Bytes that packing it added to the store, none before it is packed; or what is wrong with what it consists of.
    pub packed: Result<Option<u64>, String>,
    /// Bytes of the store that it and others refer to; 0 until they are counted.
    pub shared_bytes: u64,
}

impl Snapshot {
    /// `committing`, `whole`, `damaged` or `deleted`.
    pub fn state(&self) -> &'static str {
        if self.marks.deleted.is_some() {
            return "deleted";
        }
        match (self.damage(), &self.packed) {
            (Some(_), _) | (_, Err(_)) => State::Damaged,
            (None, Ok(None)) => State::Committing,
            (None, Ok(Some(_))) => State::Whole,
        }
        .as_str()
    }

    /// What is wrong with it: what can be seen without reading it back, what was found when that was last done, or why it
    /// could not be restored.
    pub fn damage(&self) -> Option<&str> {
        self.damage_on_disk().or(self.marks.unrestorable.as_deref())
    }

    /// What is wrong with what is on disk of it.
    pub fn damage_on_disk(&self) -> Option<&str> {
        let seen = self.manifest.as_ref().err().or(self.packed.as_ref().err());
        seen.or(self.marks.damage.as_ref()).map(String::as_str)
    }

    /// When it was last read back and found as it was written, if no damage is known.
    fn intact(&self) -> Option<Timestamp> {
        self.marks.intact.filter(|_| self.damage_on_disk().is_none())
    }

    /// When it was last restored, if nothing is known against it.
    fn verified(&self) -> Option<Timestamp> {
        self.marks.restored.filter(|_| self.damage().is_none())
    }

    /// Whether it is dated later than `now`, by more than clocks of two machines differ.
    pub fn is_future(&self, now: Timestamp) -> bool {
        self.manifest.as_ref().is_ok_and(|m| find::is_future(m.created, now))
    }

    /// What finding it goes by.
    pub fn candidate(&self) -> find::Candidate {
        let manifest = self.manifest.as_ref().ok();
        find::Candidate {
            id: self.id.clone(),
            created: manifest.map(|m| m.created),
            parent: manifest.and_then(|m| m.parent.as_ref()).map(ToString::to_string),
            deleted: self.marks.deleted.is_some(),
        }
    }

    /// Whether it waits to be packed.
    pub fn is_committing(&self) -> bool {
        self.state() == State::Committing.as_str()
    }

    /// Bytes that are put down to it.
    pub fn own_bytes(&self) -> u64 {
        let raw = || self.manifest.as_ref().map_or(0, Manifest::raw_bytes);
        self.packed.as_ref().map_or(0, |own| own.unwrap_or_else(raw))
    }

    /// Its line in the timeline.
    pub fn row(&self) -> SnapshotRow {
        let d = self.details();
        SnapshotRow {
            snapshot: d.snapshot,
            session: d.session,
            parent: d.parent,
            lineage: d.lineage,
            created: d.created,
            label: d.label,
            state: d.state,
            pinned: d.pinned,
            raw_bytes: d.raw_bytes,
            own_bytes: d.own_bytes,
            intact: d.intact,
            verified: d.verified,
            resume_failure: d.resume_failure,
            future: d.future,
            imported: d.imported,
            shared_bytes: d.shared_bytes,
            automatic: d.automatic,
            pause_ms: d.pause_ms,
            windows: d.windows,
        }
    }

    /// All that is known of it.
    pub fn details(&self) -> SnapshotDetails {
        let failure = self.marks.resume_failure.as_ref();
        let of_marks = SnapshotDetails {
            snapshot: self.id.clone(),
            label: self.marks.label.clone().unwrap_or_default(),
            state: self.state().to_owned(),
            pinned: self.marks.pinned,
            intact: self.intact().is_some(),
            verified: self.verified().is_some(),
            resume_failure: failure.map(|f| line(&f.why, MESSAGE)).unwrap_or_default(),
            future: self.is_future(Timestamp::now()),
            imported: self.marks.imported.is_some(),
            shared_bytes: self.shared_bytes,
            damage: self.damage().unwrap_or_default().to_owned(),
            intact_at: self.intact().map(time).unwrap_or_default(),
            verified_at: self.verified().map(time).unwrap_or_default(),
            resume_failure_at: failure.map(|f| time(f.at)).unwrap_or_default(),
            ..SnapshotDetails::default()
        };
        let Ok(m) = &self.manifest else { return of_marks };
        SnapshotDetails {
            session: m.session.to_string(),
            parent: m.parent.as_ref().map(ToString::to_string),
            lineage: m.lineage.clone(),
            created: time(m.created),
            label: self.marks.label.clone().unwrap_or_else(|| m.label.clone()),
            raw_bytes: m.raw_bytes(),
            own_bytes: self.own_bytes(),
            automatic: m.automatic,
            pause_ms: m.pause_ms,
            freeze_ms: m.freeze_ms,
            memory_bytes: m.memory_bytes,
            layer_bytes: m.layer_bytes,
            processes: m.processes,
            threads: m.threads,
            windows: m
                .windows
                .iter()
                .map(|w| WindowRow { title: w.title.clone(), application: w.application.clone() })
                .collect(),
            closed: m
                .closed
                .iter()
                .map(|c| ClosedRow { object: c.object.clone(), application: c.application.clone(), pid: c.pid })
                .collect(),
            base: m.base.clone(),
            size: Size { width: m.width, height: m.height }.to_string(),
            network: m.network.as_str().to_owned(),
            engine: m.engine.clone(),
            kernel: m.kernel.clone(),
            ..of_marks
        }
    }
}

/// The windows of `one` that `other` does not have, each as often as it has more of them.
pub fn windows_without(one: &[WindowRow], other: &[WindowRow]) -> Vec<WindowRow> {
    let mut left: Vec<&WindowRow> = other.iter().collect();
    let mut only = Vec::new();
    for window in one {
        match left.iter().position(|there| *there == window) {
            Some(at) => drop(left.swap_remove(at)),
            None => only.push(window.clone()),
        }
    }
    only
}

/// Whether `filter` lets the row through.
pub fn passes(filter: &TimelineFilter, row: &SnapshotRow) -> bool {
    if row.state == "deleted" && !filter.deleted {
        return false;
    }
    if filter.session.as_ref().is_some_and(|s| *s != row.session) {
        return false;
    }
    if !filter.snapshots.is_empty() && !filter.snapshots.contains(&row.snapshot) {
        return false;
    }
    let Some(search) = &filter.search else { return true };
    let mut text = format!("{}\n{}\n{}", row.label, row.session, row.snapshot).to_lowercase();
    for window in &row.windows {
        text.push_str(&format!("\n{}\n{}", window.title, window.application).to_lowercase());
    }
    search.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

/// Takes away what is more than the filter wants of rows in the order they were taken. Those whose time cannot be read are
/// last, and count as the newest.
pub fn keep_newest(filter: &TimelineFilter, rows: &mut Vec<SnapshotRow>) {
    let most = filter.newest.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    rows.drain(..rows.len().saturating_sub(most));
}

/// A snapshot as retention sees it; none of one whose manifest cannot be read, about which nothing is decided.
pub fn seen(snapshot: &Snapshot, stood_on: &BTreeSet<SnapshotId>) -> Option<Seen> {
    let manifest = snapshot.manifest.as_ref().ok()?;
    Some(Seen {
        id: manifest.id.clone(),
        lineage: manifest.lineage.clone(),
        created: manifest.created,
        pinned: snapshot.marks.pinned,
        deleted: snapshot.marks.deleted.is_some(),
        in_use: snapshot.is_committing() || stood_on.contains(&manifest.id),
        own_bytes: snapshot.own_bytes(),
    })
}

/// What retention says of the snapshots.
pub fn retention_report(plan: &Plan, snapshots: &BTreeMap<String, Snapshot>, rules: &Rules) -> RetentionReport {
    let row = |id: &SnapshotId, reasons: Vec<String>| {
        let row = snapshots.get(id.as_str()).map(Snapshot::row).unwrap_or_default();
        RetentionRow {
            snapshot: id.to_string(),
            session: row.session,
            created: row.created,
            label: row.label,
            own_bytes: row.own_bytes,
            reasons,
        }
    };
    RetentionReport {
        rules: !rules.keep_everything(),
        applied: false,
        remove: plan.remove.iter().map(|(id, why)| row(id, vec![why.to_string()])).collect(),
        keep: plan.keep.iter().map(|(id, why)| row(id, why.iter().map(ToString::to_string).collect())).collect(),
        over_budget: plan.over_budget,
    }
}

/// A session's line in the list.
pub fn session_row(record: &SessionRecord, state: &str) -> SessionRow {
    SessionRow {
        session: record.id.to_string(),
        state: state.to_owned(),
        base: record.base.clone(),
        size: Size { width: record.width, height: record.height }.to_string(),
        network: record.network.as_str().to_owned(),
        started: time(record.started),
        parent: record.parent.as_ref().map(ToString::to_string),
        lineage: record.lineage.clone(),
    }
}

/// A base's line in the list; none of its record when it is damaged.
pub fn base_row(name: &str, record: Option<&BaseRecord>) -> BaseRow {
    let Some(record) = record else {
        return BaseRow { base: line(name, NAME), state: "damaged".to_owned(), ..BaseRow::default() };
    };
    BaseRow {
        base: line(name, NAME),
        state: "whole".to_owned(),
        created: time(record.created),
        origin: record.origin.clone(),
        bytes: record.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> SnapshotRow {
        SnapshotRow {
            snapshot: "0123456789ab".into(),
            session: "desktop".into(),
            label: "Before the Talk".into(),
            state: "whole".into(),
            windows: vec![WindowRow { title: "notes.txt".into(), application: "Mousepad".into() }],
            ..SnapshotRow::default()
        }
    }

    #[test]
    fn times_have_milliseconds_and_are_utc() {
        assert_eq!(time("2026-11-22T13:00:00.5+01:00".parse().unwrap()), "2026-11-22T12:00:00.500Z");
    }

    #[test]
    fn a_search_finds_all_words_anywhere() {
        let search = |text: &str| TimelineFilter { search: Some(text.into()), ..TimelineFilter::default() };
        assert!(passes(&search("talk mousepad"), &row()));
        assert!(passes(&search("NOTES"), &row()));
        assert!(!passes(&search("talk firefox"), &row()));
    }

    #[test]
    fn windows_are_compared_as_often_as_they_are_there() {
        let window = |title: &str| WindowRow { title: title.into(), application: "XTerm".into() };
        let (one, other) = ([window("a"), window("b"), window("a")], [window("a"), window("c")]);
        assert_eq!(windows_without(&one, &other), [window("b"), window("a")]);
        assert_eq!(windows_without(&other, &one), [window("c")]);
    }

    #[test]
    fn deleted_ones_are_left_out_unless_asked_for() {
        let deleted = SnapshotRow { state: "deleted".into(), ..row() };
        assert!(!passes(&TimelineFilter::default(), &deleted));
        assert!(passes(&TimelineFilter { deleted: true, ..TimelineFilter::default() }, &deleted));
        assert!(!passes(&TimelineFilter { session: Some("desk".into()), ..TimelineFilter::default() }, &row()));
        let ids = |ids: &[&str]| TimelineFilter {
            snapshots: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..TimelineFilter::default()
        };
        assert!(passes(&ids(&["other", &row().snapshot]), &row()));
        assert!(!passes(&ids(&["other"]), &row()));
        for (newest, left) in [(None, 3), (Some(2), 2), (Some(9), 3), (Some(0), 0)] {
            let mut rows = vec![row(), row(), row()];
            keep_newest(&TimelineFilter { newest, ..TimelineFilter::default() }, &mut rows);
            assert_eq!(rows.len(), left);
        }
    }

    fn manifest() -> Manifest {
        let text = r#"{"format":1,"id":"x","session":"desktop","lineage":"l","parent":null,"created":"2026-11-22T12:00:00Z",
            "label":"","base":"minimal","base_identity":"i","width":640,"height":400,"network":"none","engine":"e",
            "kernel":"k","pause_ms":1.0,"freeze_ms":1.0,"memory_bytes":0,"layer_bytes":0,"processes":1,"threads":1,
            "windows":[],"watched":{"display":1,"desktop":2}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn issue_9_10_a_resume_that_failed_and_a_time_to_come_are_told() {
        let at: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut marks = Marks::default();
        marks.note_resume(Err("no memory".into()), at);
        let created = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let manifest = Ok(Manifest { created, ..manifest() });
        let snapshot = Snapshot { id: "x".into(), manifest, marks, packed: Ok(Some(1)), shared_bytes: 0 };
        let (row, details) = (snapshot.row(), snapshot.details());
        assert_eq!((row.state.as_str(), row.resume_failure.as_str(), row.future), ("whole", "no memory", true));
        assert_eq!((details.resume_failure_at, details.future), (time(at), true));
    }

    #[test]
    fn a_damaged_snapshot_says_what_is_wrong() {
        let snapshot = Snapshot {
            id: "x".into(),
            manifest: Err("it is empty".into()),
            marks: Marks::default(),
            packed: Ok(None),
            shared_bytes: 0,
        };
        assert_eq!(snapshot.details().damage, "it is empty");
        assert_eq!(snapshot.row().state, "damaged");
        let lost = Snapshot { packed: Err("it is gone".into()), ..snapshot };
        assert_eq!((lost.state(), lost.own_bytes()), ("damaged", 0));
        let verified = Some("2026-11-22T12:00:00Z".parse().unwrap());
        let damage = Some("a bit flipped".into());
        let marks = Marks { damage, intact: verified, restored: verified, ..Marks::default() };
        let found = Snapshot { packed: Ok(Some(7)), marks, ..lost };
        assert_eq!((found.state(), found.row().verified, found.details().verified_at.as_str()), ("damaged", false, ""));
        assert_eq!((found.row().intact, found.details().intact_at.as_str()), (false, ""));
        let why = Some("it could not be restored".into());
        let marks = Marks { unrestorable: why, intact: verified, restored: verified, ..Marks::default() };
        let tried = Snapshot { marks, manifest: Ok(manifest()), ..found };
        assert_eq!((tried.row().intact, tried.row().verified), (true, false));
    }
}
