//! Which snapshots are kept, and why. Nothing here removes anything: it says what would go.
//!
//! The rules, as backup tools have them:
//!
//! 1. A snapshot that is deleted already is not seen: it holds no place, and nothing is decided about it.
//! 2. Pinned snapshots and such as are in use are always kept. They hold their place in the rules below like any other.
//! 3. One dated after now is kept and holds no place: the clock was wrong once, so nobody knows how old it is.
//! 4. Each timeline (all snapshots of one lineage) is judged by itself, so that a session that is saved often does not
//!    push out one that is saved seldom. The newest snapshot of a timeline is always kept.
//! 5. `keep_last` keeps that many of the newest. `hourly`, `daily`, `weekly`, `monthly` keep, for that many of the newest
//!    hours, days, weeks (from Monday) and months *that have snapshots*, the newest one in each. Hours, days, weeks and
//!    months are those of the time zone passed in; an hour that a clock change repeats is two hours.
//! 6. A snapshot stays when one rule keeps it; it goes when there are such rules and none keeps it. Where none of these
//!    five is set, none of them removes anything.
//! 7. `budget` comes after that, over all timelines together: while what is kept takes more, the oldest goes that is
//!    neither kept by 2 or 3 nor the newest of all. A budget that cannot be met is told, and removes nothing beyond that.
//!    What is kept takes what the store holds of it ([`Sharing`]): what it shares with one that goes counts too.
//!
//! What follows from them, and is tested: a pin never goes; planning again at the same instant on what was kept removes
//! nothing more; a larger count, or a larger budget, never makes anything go that stayed before (but for the step from no
//! rule to the first one). Deliberately absent: the clock, the store and the disk.

mod calendar;
mod rules;

pub use rules::{BadSize, Rules, parse_size};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::id::SnapshotId;
use crate::sharing::Sharing;
use calendar::Period;

/// What is known of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: SnapshotId,
    /// The timeline it is of: [`crate::Manifest::lineage`].
    pub lineage: String,
    /// The instant of the freeze.
    pub created: Timestamp,
    /// Pinned by the user.
    pub pinned: bool,
    /// Deleted by the user; not seen.
    pub deleted: bool,
    /// Being committed, resumed or exported, or what a running session stands on.
    pub in_use: bool,
    /// Bytes that are put down to it: what [`plan`] sums up for what all take together. [`plan_shared`] knows better.
    pub own_bytes: u64,
}

/// Why a snapshot is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The user pinned it.
    Pinned,
    /// It is being committed, resumed or exported, or a running session stands on it.
    InUse,
    /// It is dated after now.
    Future,
    /// It is the newest of its timeline.
    Newest,
    /// None of the rules that count is set.
    NoRules,
    /// By `keep_last`: its number, counted from the newest.
    Last(u32),
    /// By `hourly`: the hour, which it is the newest of.
    Hourly(String),
    /// By `daily`: the day.
    Daily(String),
    /// By `weekly`: the week.
    Weekly(String),
    /// By `monthly`: the month.
    Monthly(String),
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => f.write_str("pinned"),
            Self::InUse => f.write_str("in use"),
            Self::Future => f.write_str("dated in the future, so its age is not known"),
            Self::Newest => f.write_str("the newest of its timeline"),
            Self::NoRules => f.write_str("no rule limits how many are kept"),
            Self::Last(nth) => write!(f, "number {nth} of the last ones"),
            Self::Hourly(period) => write!(f, "the newest of the hour {period}"),
            Self::Daily(period) => write!(f, "the newest of the day {period}"),
            Self::Weekly(period) => write!(f, "the newest of the week {period}"),
            Self::Monthly(period) => write!(f, "the newest of the month {period}"),
        }
    }
}

/// Why a snapshot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remove {
    /// There are rules, and none keeps it.
    NoRuleKeepsIt,
    /// The budget, in bytes, is exceeded with it, and it is the oldest that may go.
    Budget(u64),
}

impl fmt::Display for Remove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuleKeepsIt => f.write_str("no rule keeps it"),
            Self::Budget(bytes) => write!(f, "the oldest, and more than the budget of {bytes} bytes is used"),
        }
    }
}

/// What is kept and what goes, each in the order they were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The ones that stay, with every reason.
    pub keep: Vec<(SnapshotId, Vec<Keep>)>,
    /// The ones that go.
    pub remove: Vec<(SnapshotId, Remove)>,
    /// Bytes by which what is kept exceeds the budget, because nothing more may go.
    pub over_budget: u64,
}

/// Decides about `snapshots`, taking the sum of [`Seen::own_bytes`] for what they take together.
pub fn plan(snapshots: &[Seen], rules: &Rules, now: Timestamp, timezone: &TimeZone) -> Plan {
    plan_measured(snapshots, rules, now, timezone, |kept| kept.iter().map(|s| s.own_bytes).sum())
}

/// [`plan`] with what the store would really hold of those that are kept: what several of them share counts once, and what
/// they share with one that goes counts whole. Of snapshots that `sharing` does not know, [`Seen::own_bytes`] counts.
pub fn plan_shared(snapshots: &[Seen], rules: &Rules, now: Timestamp, timezone: &TimeZone, sharing: &Sharing) -> Plan {
    plan_measured(snapshots, rules, now, timezone, |kept| {
        let ids: BTreeSet<&SnapshotId> = kept.iter().map(|s| &s.id).collect();
        let unknown = kept.iter().filter(|s| !sharing.knows(&s.id)).map(|s| s.own_bytes);
        sharing.bytes_of(|id| ids.contains(id)).saturating_add(unknown.fold(0, u64::saturating_add))
    })
}

/// [`plan`] with the size of a set of snapshots told by `measure`, which can know what they share; a larger set must not
/// be smaller. It is called a few times, and only when there is a budget.
pub fn plan_measured(
    snapshots: &[Seen],
    rules: &Rules,
    now: Timestamp,
    timezone: &TimeZone,
    mut measure: impl FnMut(&[&Seen]) -> u64,
) -> Plan {
    let mut seen: Vec<&Seen> = snapshots.iter().filter(|s| !s.deleted).collect();
    seen.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let reasons = reasons(&seen, rules, now, timezone);
    let kept: Vec<&Seen> = seen.iter().copied().filter(|s| reasons.contains_key(&s.id)).collect();
    let (over_budget, gone) = match rules.budget {
        Some(budget) => over(&kept, budget, now, &mut measure),
        None => (0, BTreeSet::new()),
    };
    let mut plan = Plan { over_budget, ..Plan::default() };
    for snapshot in seen {
        let id = snapshot.id.clone();
        match (reasons.get(&id), rules.budget) {
            (Some(_), Some(budget)) if gone.contains(&id) => plan.remove.push((id, Remove::Budget(budget))),
            (Some(reasons), _) => plan.keep.push((id, reasons.clone())),
            (None, _) => plan.remove.push((id, Remove::NoRuleKeepsIt)),
        }
    }
    plan
}

/// Rules 2 to 6: who is kept, and why. `seen` is in order of time.
fn reasons(seen: &[&Seen], rules: &Rules, now: Timestamp, timezone: &TimeZone) -> BTreeMap<SnapshotId, Vec<Keep>> {
    let mut reasons: BTreeMap<SnapshotId, Vec<Keep>> = BTreeMap::new();
    let mut keep = |snapshot: &Seen, reason| reasons.entry(snapshot.id.clone()).or_default().push(reason);
    let mut timelines: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for snapshot in seen {
        if snapshot.pinned {
            keep(snapshot, Keep::Pinned);
        }
        if snapshot.in_use {
            keep(snapshot, Keep::InUse);
        }
        if snapshot.created > now {
            keep(snapshot, Keep::Future);
        } else {
            timelines.entry(&snapshot.lineage).or_default().push(snapshot);
        }
    }
    for mut timeline in timelines.into_values() {
        timeline.reverse();
        if let Some(newest) = timeline.first() {
            keep(newest, Keep::Newest);
        }
        if !rules.counts() {
            timeline.iter().for_each(|s| keep(s, Keep::NoRules));
        }
        for (nth, snapshot) in (1..=rules.keep_last.unwrap_or(0)).zip(&timeline) {
            keep(snapshot, Keep::Last(nth));
        }
        let mut newest_in = |count: Option<u32>, period: Period, reason: fn(String) -> Keep| {
            let (mut left, mut last) = (count.unwrap_or(0), None);
            for snapshot in &timeline {
                if left == 0 {
                    break;
                }
                let name = period.of(snapshot.created, timezone);
                if last.as_ref() != Some(&name) {
                    keep(snapshot, reason(name.clone()));
                    last = Some(name);
                    left -= 1;
                }
            }
        };
        newest_in(rules.hourly, Period::Hour, Keep::Hourly);
        newest_in(rules.daily, Period::Day, Keep::Daily);
        newest_in(rules.weekly, Period::Week, Keep::Weekly);
        newest_in(rules.monthly, Period::Month, Keep::Monthly);
    }
    reasons
}

/// Rule 7: how far the budget stays exceeded, and who goes for it. `kept` is in order of time.
fn over(
    kept: &[&Seen],
    budget: u64,
    now: Timestamp,
    measure: &mut impl FnMut(&[&Seen]) -> u64,
) -> (u64, BTreeSet<SnapshotId>) {
    let newest = kept.iter().rfind(|s| s.created <= now).map(|s| &s.id);
    let may_go = |s: &&&Seen| !s.pinned && !s.in_use && s.created <= now && Some(&s.id) != newest;
    let candidates: Vec<&SnapshotId> = kept.iter().filter(may_go).map(|s| &s.id).collect();
    let mut size_without = |count: usize| {
        let gone: BTreeSet<_> = candidates[..count].iter().collect();
        measure(&kept.iter().copied().filter(|s| !gone.contains(&&s.id)).collect::<Vec<_>>())
    };
    // The fewest of the oldest whose going meets the budget: with each that goes the rest gets no larger.
    let (mut too_few, mut enough) = (0, candidates.len());
    if size_without(0) <= budget {
        enough = 0;
    }
    while enough > too_few + 1 {
        let middle = too_few.midpoint(enough);
        if size_without(middle) <= budget {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    let over = size_without(enough).saturating_sub(budget);
    (over, candidates[..enough].iter().map(|id| (*id).clone()).collect())
}
