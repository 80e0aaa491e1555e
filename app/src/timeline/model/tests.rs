use proptest::prelude::*;

use super::*;

fn row(id: &str, session: &str, parent: Option<&str>, created: &str) -> SnapshotRow {
    SnapshotRow {
        snapshot: id.into(),
        session: session.into(),
        parent: parent.map(str::to_owned),
        created: created.into(),
        ..SnapshotRow::default()
    }
}

fn some() -> Vec<Snapshot> {
    let rows = vec![
        row("a", "desk", None, "2026-11-20T10:00:00.000Z"),
        row("b", "desk", Some("a"), "2026-11-20T12:00:00.000Z"),
        row("c", "desk", Some("b"), "2026-11-21T12:00:00.000Z"),
        row("d", "desk", Some("a"), "2026-11-22T12:00:00.000Z"),
        row("e", "desk-2", Some("b"), "2026-11-22T13:00:00.000Z"),
        row("x", "other", None, "2026-11-22T14:00:00.000Z"),
    ];
    newest_first(rows, &TimeZone::UTC)
}

#[test]
fn the_newest_is_first_and_days_are_grouped() {
    let all = some();
    assert_eq!(all.iter().map(Snapshot::id).collect::<String>(), "xedcba");
    let counts: Vec<usize> = days(all.iter().map(|s| s.local.date())).iter().map(|day| day.count).collect();
    assert_eq!(counts, [3, 1, 2]);
}

#[test]
fn what_changed_is_renewed_and_what_went_is_gone() {
    let mut all = some();
    // One is new, one has another label, one is gone; the others stay.
    let mut labelled = row("c", "desk", Some("b"), "2026-11-21T12:00:00.000Z");
    labelled.label = "new".into();
    let rows = vec![labelled, row("n", "desk", Some("d"), "2026-11-22T13:30:00.000Z")];
    renew(&mut all, &["c", "n", "a"].map(str::to_owned).into(), rows, &TimeZone::UTC);
    assert_eq!(all.iter().map(Snapshot::id).collect::<String>(), "xnedcb");
    assert_eq!(all[4].row.label, "new");
}

#[test]
fn a_day_is_one_of_the_wall_clock() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let late = Snapshot::new(row("a", "s", None, "2026-11-20T23:30:00.000Z"), &zone);
    assert_eq!(late.local.date(), jiff::civil::date(2026, 11, 21));
}

#[test]
fn a_branch_is_what_does_not_go_on_from_the_one_before() {
    let all = some();
    let from = |id: &str| branches(&all)[all.iter().position(|s| s.id() == id).unwrap()].map(|at| all[at].id());
    assert_eq!(from("a"), None);
    assert_eq!(from("b"), None);
    assert_eq!(from("c"), None);
    assert_eq!(from("d"), Some("a"));
    assert_eq!(from("e"), Some("b"));
    assert_eq!(from("x"), None);
}

#[test]
fn a_resume_takes_the_place_of_its_own_lineage_only() {
    let session = |name: &str, lineage: &str, state: &str| SessionRow {
        session: name.into(),
        lineage: lineage.into(),
        state: state.into(),
        ..SessionRow::default()
    };
    let sessions = [
        session("desk", "one", "running"),
        session("desk-2", "one", "starting"),
        session("desk-3", "one", "crashed"),
        session("other", "two", "running"),
        session("unreadable", "", "crashed"),
    ];
    let of = |lineage: &str| SnapshotRow { lineage: lineage.into(), ..row("a", "desk", None, "") };
    let names = |lineage: &str| {
        let snapshot = Snapshot::new(of(lineage), &TimeZone::UTC);
        replaced(&sessions, &snapshot).iter().map(|session| session.session.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("one"), ["desk", "desk-2"]);
    assert_eq!(names("two"), ["other"]);
    assert!(names("three").is_empty());
    // Of a snapshot that cannot be read nobody knows; it cannot be resumed either.
    assert!(names("").is_empty());
}

#[test]
fn parents_in_a_circle_do_no_harm() {
    let rows = vec![row("a", "s", Some("b"), ""), row("b", "s", Some("a"), ""), row("c", "s", Some("c"), "")];
    let all = newest_first(rows, &TimeZone::UTC);
    assert_eq!(branches(&all).len(), 3);
}

proptest! {
    #[test]
    fn every_snapshot_is_in_one_day_and_branches_point_to_parents(
        rows in prop::collection::vec((0..40u8, 0..3u8, prop::option::of(0..40u8), 0..2_000_000i64), 0..60)
    ) {
        let mut seen = HashSet::new();
        let rows: Vec<SnapshotRow> = rows
            .into_iter()
            .filter(|(id, ..)| seen.insert(*id))
            .map(|(id, session, parent, second)| {
                let created = Timestamp::from_second(1_700_000_000 + second).unwrap().to_string();
                row(&id.to_string(), &session.to_string(), parent.map(|p| p.to_string()).as_deref(), &created)
            })
            .collect();
        let count = rows.len();
        let all = newest_first(rows, &TimeZone::UTC);
        prop_assert!(all.windows(2).all(|pair| pair[0].taken >= pair[1].taken));
        let days = days(all.iter().map(|s| s.local.date()));
        prop_assert_eq!(days.iter().map(|day| day.count).sum::<usize>(), count);
        prop_assert!(days.windows(2).all(|pair| pair[0].date > pair[1].date));
        for (snapshot, from) in all.iter().zip(branches(&all)) {
            if let Some(from) = from {
                prop_assert_eq!(Some(all[from].id()), snapshot.parent());
            }
        }
    }
}
