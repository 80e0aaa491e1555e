//! Retention: the rules by example, and what holds for all of them by random timelines.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use freezeframe_store::SnapshotId;
use freezeframe_store::retention::{Keep, Plan, Remove, Rules, Seen, plan, plan_measured, plan_shared};
use freezeframe_store::sharing::Count;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const NOW: &str = "2026-11-22T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn seen(id: &str, created: &str) -> Seen {
    Seen {
        id: SnapshotId::new(id).unwrap(),
        lineage: "one".into(),
        created: created.parse().unwrap(),
        pinned: false,
        deleted: false,
        in_use: false,
        own_bytes: 100,
    }
}

fn decide(snapshots: &[Seen], rules: &Rules) -> Plan {
    plan(snapshots, rules, now(), &TimeZone::UTC)
}

fn kept(plan: &Plan) -> Vec<&str> {
    plan.keep.iter().map(|(id, _)| id.as_str()).collect()
}

/// Five days, with two snapshots on each.
fn days() -> Vec<Seen> {
    (16..=20)
        .flat_map(|day| {
            [("a", "09:00"), ("b", "17:00")]
                .map(|(half, time)| seen(&format!("{day}{half}"), &format!("2026-11-{day}T{time}:00Z")))
        })
        .collect()
}

#[test]
fn no_rules_keep_everything_and_say_so() {
    let plan = decide(&days(), &Rules::default());
    assert_eq!((plan.keep.len(), plan.remove.len(), plan.over_budget), (10, 0, 0));
    assert_eq!(plan.keep[0].1, [Keep::NoRules]);
    assert_eq!(plan.keep[9].1, [Keep::Newest, Keep::NoRules]);
}

#[test]
fn each_rule_counts_only_stretches_that_have_snapshots() {
    let rules = Rules { daily: Some(3), keep_last: Some(2), ..Rules::default() };
    let plan = decide(&days(), &rules);
    assert_eq!(kept(&plan), ["18b", "19b", "20a", "20b"]);
    assert_eq!(plan.keep[3].1, [Keep::Newest, Keep::Last(1), Keep::Daily("2026-11-20".into())]);
    assert!(plan.remove.iter().all(|(_, reason)| *reason == Remove::NoRuleKeepsIt));
    let sentence: Vec<_> = plan.keep[3].1.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentence.join("; "),
        "the newest of its timeline; number 1 of the last ones; the newest of the day 2026-11-20"
    );
}

#[test]
fn weeks_and_months_reach_back() {
    let all = [
        seen("aug", "2026-08-31T10:00:00Z"),
        seen("sep1", "2026-09-02T10:00:00Z"),
        seen("sep2", "2026-09-28T10:00:00Z"),
        seen("oct", "2026-10-02T10:00:00Z"),
    ];
    let monthly = Rules { monthly: Some(3), ..Rules::default() };
    assert_eq!(kept(&decide(&all, &monthly)), ["aug", "sep2", "oct"]);
    // The 28th of September and the 2nd of October 2026 are of one week.
    let weekly = Rules { weekly: Some(2), ..Rules::default() };
    assert_eq!(kept(&decide(&all, &weekly)), ["sep1", "oct"]);
}

#[test]
fn a_time_zone_moves_midnight() {
    let all = [seen("a", "2026-11-20T22:30:00Z"), seen("b", "2026-11-20T23:30:00Z")];
    let rules = Rules { daily: Some(2), ..Rules::default() };
    assert_eq!(kept(&decide(&all, &rules)), ["b"]);
    let east = TimeZone::fixed(jiff::tz::offset(1));
    assert_eq!(kept(&plan(&all, &rules, now(), &east)), ["a", "b"]);
}

#[test]
fn timelines_are_judged_apart() {
    let mut all = days();
    all[0].lineage = "two".into();
    let plan = decide(&all, &Rules { keep_last: Some(1), ..Rules::default() });
    assert_eq!(kept(&plan), ["16a", "20b"]);
}

#[test]
fn pins_stay_deleted_ones_are_not_seen_and_the_future_is_left_alone() {
    let mut all = days();
    all[0].pinned = true;
    all[1].in_use = true;
    all[9].deleted = true;
    all.push(seen("future", "2031-01-01T00:00:00Z"));
    let plan = decide(&all, &Rules { keep_last: Some(1), budget: Some(1), ..Rules::default() });
    assert_eq!(kept(&plan), ["16a", "16b", "20a", "future"]);
    assert_eq!(plan.keep[3].1, [Keep::Future]);
    assert!(plan.remove.iter().all(|(id, _)| id.as_str() != "20b"), "it is deleted already");
    assert_eq!(plan.over_budget, 399);
}

#[test]
fn the_budget_takes_the_oldest_but_never_the_newest() {
    let all = days();
    let plan = decide(&all, &Rules { budget: Some(350), ..Rules::default() });
    assert_eq!(kept(&plan), ["19b", "20a", "20b"]);
    assert_eq!((plan.remove[0].1, plan.over_budget), (Remove::Budget(350), 0));
    let plan = decide(&all, &Rules { budget: Some(10), ..Rules::default() });
    assert_eq!((kept(&plan), plan.over_budget), (vec!["20b"], 90));
    let plan = decide(&all, &Rules { budget: Some(1000), ..Rules::default() });
    assert_eq!(plan.remove, []);
}

#[test]
fn a_budget_can_be_measured_by_what_snapshots_share() {
    // All of them share 1000 bytes, and each has 10 of its own.
    let measure = |set: &[&Seen]| if set.is_empty() { 0 } else { 1000 + 10 * set.len() as u64 };
    let rules = Rules { budget: Some(1045), ..Rules::default() };
    let plan = plan_measured(&days(), &rules, now(), &TimeZone::UTC, measure);
    assert_eq!(kept(&plan), ["19a", "19b", "20a", "20b"]);
}

fn some_seen() -> impl Strategy<Value = Vec<Seen>> {
    let one = (0..80_i64 * 24 * 4, 0..3_u8, 0..20_u8, 0..1000_u64);
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let flags = |(number, (quarters, lineage, flags, own_bytes)): (usize, (i64, u8, u8, u64))| Seen {
            id: SnapshotId::new(format!("{number:04}")).unwrap(),
            lineage: lineage.to_string(),
            // A few lie in the future.
            created: now() - SignedDuration::from_mins(15 * (quarters - 20)),
            pinned: flags == 0,
            deleted: flags == 1,
            in_use: flags == 2,
            own_bytes,
        };
        all.into_iter().enumerate().map(flags).collect()
    })
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let count = || prop::option::of(1..8_u32);
    let budget = prop::option::of(1..20_000_u64);
    (count(), count(), count(), count(), count(), budget).prop_map(
        |(keep_last, hourly, daily, weekly, monthly, budget)| Rules {
            keep_last,
            hourly,
            daily,
            weekly,
            monthly,
            budget,
        },
    )
}

fn ids(plan: &Plan) -> BTreeSet<SnapshotId> {
    plan.keep.iter().map(|(id, _)| id.clone()).collect()
}

proptest! {
    #[test]
    fn everyone_is_decided_about_once_and_pins_never_go(all in some_seen(), rules in some_rules()) {
        let plan = decide(&all, &rules);
        let removed: BTreeSet<_> = plan.remove.iter().map(|(id, _)| id.clone()).collect();
        let kept = ids(&plan);
        prop_assert!(kept.is_disjoint(&removed));
        prop_assert_eq!(kept.len() + removed.len(), plan.keep.len() + plan.remove.len());
        for snapshot in &all {
            prop_assert_eq!(kept.contains(&snapshot.id) || removed.contains(&snapshot.id), !snapshot.deleted);
            if (snapshot.pinned || snapshot.in_use || snapshot.created > now()) && !snapshot.deleted {
                prop_assert!(kept.contains(&snapshot.id));
            }
        }
        prop_assert!(plan.keep.iter().all(|(_, reasons)| !reasons.is_empty()));
        let newest = all.iter().filter(|s| !s.deleted && s.created <= now()).max_by_key(|s| (s.created, s.id.clone()));
        if let Some(newest) = newest {
            prop_assert!(kept.contains(&newest.id));
        }
    }

    #[test]
    fn planning_again_removes_nothing_more(all in some_seen(), rules in some_rules()) {
        let first = decide(&all, &rules);
        let kept = ids(&first);
        let left: Vec<Seen> = all.into_iter().filter(|s| kept.contains(&s.id)).collect();
        let second = decide(&left, &rules);
        prop_assert_eq!(&second.remove, &[]);
        prop_assert_eq!(ids(&second), kept);
        prop_assert_eq!(second.over_budget, first.over_budget);
    }

    #[test]
    fn a_larger_count_keeps_all_that_stayed_before(all in some_seen(), rules in some_rules(), more in prop::array::uniform5(0..3_u32)) {
        let rules = Rules { budget: None, ..rules };
        prop_assume!(rules.counts());
        let add = |count: Option<u32>, more: u32| match count.unwrap_or(0) + more { 0 => None, n => Some(n) };
        let larger = Rules {
            keep_last: add(rules.keep_last, more[0]),
            hourly: add(rules.hourly, more[1]),
            daily: add(rules.daily, more[2]),
            weekly: add(rules.weekly, more[3]),
            monthly: add(rules.monthly, more[4]),
            budget: None,
        };
        prop_assert!(ids(&decide(&all, &larger)).is_superset(&ids(&decide(&all, &rules))));
    }

    #[test]
    fn a_larger_budget_keeps_all_that_stayed_before(all in some_seen(), rules in some_rules(), more in 0..5_000_u64) {
        let larger = Rules { budget: rules.budget.map(|b| b + more), ..rules.clone() };
        prop_assert!(ids(&decide(&all, &larger)).is_superset(&ids(&decide(&all, &rules))));
        let none = Rules { budget: None, ..rules.clone() };
        prop_assert!(ids(&decide(&all, &none)).is_superset(&ids(&decide(&all, &larger))));
    }

    /// Whatever the snapshots share: what is kept takes no more than the budget, or nothing more may go.
    #[test]
    fn the_budget_is_kept_with_what_is_shared(
        all in some_seen(),
        rules in some_rules(),
        chunks in prop::collection::vec(prop::collection::vec(0..80_u64, 0..25), 60),
    ) {
        let mut count = Count::default();
        let packed = |s: &&Seen| s.id.as_str().parse::<usize>().unwrap() % 7 != 3;
        for (snapshot, chunks) in all.iter().zip(&chunks).filter(|(s, _)| packed(s)) {
            count.begin(snapshot.id.clone(), 5);
            chunks.iter().for_each(|chunk| count.refer(*chunk, 100 + *chunk));
        }
        let plan = plan_shared(&all, &rules, now(), &TimeZone::UTC, &count.finish());
        let kept = ids(&plan);
        let kept: Vec<(&Seen, &Vec<u64>)> = all.iter().zip(&chunks).filter(|(s, _)| kept.contains(&s.id)).collect();
        let union: BTreeSet<u64> = kept.iter().filter(|(s, _)| packed(s)).flat_map(|(_, c)| (*c).clone()).collect();
        let held: u64 = union.iter().map(|chunk| 100 + chunk).sum::<u64>()
            + kept.iter().map(|(s, _)| if packed(s) { 5 } else { s.own_bytes }).sum::<u64>();
        let newest = all.iter().filter(|s| !s.deleted && s.created <= now()).max_by_key(|s| (s.created, s.id.clone()));
        let must_stay = |s: &Seen| s.pinned || s.in_use || s.created > now() || newest.is_some_and(|n| n.id == s.id);
        if let Some(budget) = rules.budget {
            prop_assert!(held <= budget || kept.iter().all(|(s, _)| must_stay(s)));
            prop_assert_eq!(plan.over_budget, held.saturating_sub(budget));
        }
    }
}
