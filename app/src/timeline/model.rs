//! The snapshots as the timeline shows them: in order, by day, with their branches. No widgets, no clock of its own.

use std::collections::{BTreeSet, HashMap, HashSet};

use freezeframe_api::records::{SessionRow, SnapshotRow};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What the agent says of it.
    pub(crate) row: SnapshotRow,
    /// The instant of the freeze. A row whose time cannot be read counts as of 1970.
    pub(crate) taken: Timestamp,
    /// The same as a clock on the wall shows it.
    pub(crate) local: DateTime,
    /// What a search looks at: label, session, windows, applications; small letters, one line each.
    pub(crate) words: String,
}

impl Snapshot {
    pub(crate) fn new(row: SnapshotRow, zone: &TimeZone) -> Self {
        let taken = row.created.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let local = zone.to_datetime(taken);
        let mut words = format!("{}\n{}", row.label, row.session);
        for window in &row.windows {
            for word in [&window.title, &window.application] {
                words.push('\n');
                words.push_str(word);
            }
        }
        Self { words: words.to_lowercase(), row, taken, local }
    }

    pub(crate) fn id(&self) -> &str {
        &self.row.snapshot
    }

    pub(crate) fn parent(&self) -> Option<&str> {
        self.row.parent.as_deref().filter(|parent| !parent.is_empty())
    }

    /// Titles of its windows, each once.
    pub(crate) fn titles(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let titles = self.row.windows.iter().map(|window| window.title.as_str());
        titles.filter(|title| !title.is_empty() && seen.insert(*title)).collect()
    }
}

/// The rows as the timeline has them: the newest first, those of one instant by their ids.
pub(crate) fn newest_first(rows: Vec<SnapshotRow>, zone: &TimeZone) -> Vec<Snapshot> {
    let mut all: Vec<Snapshot> = rows.into_iter().map(|row| Snapshot::new(row, zone)).collect();
    sort(&mut all);
    all
}

/// Brings up to date what [`newest_first`] made: of these ids there is only what is in the rows.
pub(crate) fn renew(all: &mut Vec<Snapshot>, ids: &BTreeSet<String>, rows: Vec<SnapshotRow>, zone: &TimeZone) {
    all.retain(|snapshot| !ids.contains(snapshot.id()));
    all.extend(rows.into_iter().map(|row| Snapshot::new(row, zone)));
    sort(all);
}

fn sort(all: &mut [Snapshot]) {
    all.sort_by(|a, b| b.taken.cmp(&a.taken).then_with(|| a.id().cmp(b.id())));
}

/// Those of one day: how many of the list, which has the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) count: usize,
}

/// Groups by the day on the wall.
pub(crate) fn days(dates: impl IntoIterator<Item = Date>) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for date in dates {
        match days.last_mut() {
            Some(day) if day.date == date => day.count += 1,
            _ => days.push(Day { date, count: 1 }),
        }
    }
    days
}

/// For each snapshot the place in the list of the one that it branches off from: its parent, where that is not simply the
/// one before it of the same session.
pub(crate) fn branches(newest_first: &[Snapshot]) -> Vec<Option<usize>> {
    let places: HashMap<&str, usize> = newest_first.iter().enumerate().map(|(at, s)| (s.id(), at)).collect();
    let mut before: HashMap<&str, usize> = HashMap::new();
    let mut from = vec![None; newest_first.len()];
    for (at, snapshot) in newest_first.iter().enumerate().rev() {
        let previous = before.insert(&snapshot.row.session, at);
        let parent = snapshot.parent().and_then(|id| places.get(id).copied());
        from[at] = parent.filter(|parent| Some(*parent) != previous && *parent != at);
    }
    from
}

/// The running sessions that a resume of this snapshot saves and takes the place of: those of its lineage, as the agent has it.
pub(crate) fn replaced<'a>(sessions: &'a [SessionRow], snapshot: &Snapshot) -> Vec<&'a SessionRow> {
    let lineage = &snapshot.row.lineage;
    let ours = |session: &&SessionRow| !lineage.is_empty() && session.lineage == *lineage && session.state != "crashed";
    sessions.iter().filter(ours).collect()
}

#[cfg(test)]
mod tests;
