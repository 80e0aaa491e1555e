//! What belongs to files: watches, content without a name, locks.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{goes_on, let_go_on, run, saved, try_save};
use crate::dump::{self, Session};
use crate::sys::guests::until;
use crate::sys::inside::{Inside, Words};
use crate::sys::inside_guests::files as guests;
use crate::testing::as_both_users;

#[test]
fn issue_10_what_is_watched_is_watched_on_and_nothing_seems_to_have_happened() {
    as_both_users(
        "restore::tests::files::issue_10_what_is_watched_is_watched_on_and_nothing_seems_to_have_happened",
        || {
            goes_on("watches", guests::watches);
        },
    );
}

#[test]
fn issue_10_events_that_wait_are_not_left_out() {
    let guest = Inside::start(guests::leaves_events);
    let looked = dump::look(Session::descendants(guest.pid)).unwrap();
    let [refused] = &looked[..] else { panic!("{looked:?}") };
    assert!(refused.is_passing() && refused.why.contains("not yet read its file events"), "{refused:?}");
    let error = try_save(guest.pid).expect_err("events were left out").to_string();
    assert!(error.contains("not yet read its file events"), "{error}");
}

/// Saves a guest and its child when both wait, restores them and lets them go on.
fn both_go_on(name: &str, body: fn(Words, &Path) -> i32) {
    let mut guest = Inside::start(body);
    until("both are there", || guest.words[0].load(Ordering::SeqCst) == 2 && guest.all_asleep());
    let content = saved(&mut guest);
    let running = run(&content);
    let_go_on(name, &guest, running);
}

#[test]
fn issue_10_files_without_names_keep_content_holes_and_who_shares_them() {
    as_both_users("restore::tests::files::issue_10_files_without_names_keep_content_holes_and_who_shares_them", || {
        both_go_on("without names", guests::without_names);
    });
}

#[test]
fn issue_10_locks_are_held_by_their_processes_and_waited_for() {
    as_both_users("restore::tests::files::issue_10_locks_are_held_by_their_processes_and_waited_for", || {
        both_go_on("locks", guests::locks);
    });
}

#[test]
fn issue_10_each_process_keeps_its_place_when_memory_runs_out() {
    as_both_users("restore::tests::files::issue_10_each_process_keeps_its_place_when_memory_runs_out", || {
        both_go_on("memory scores", guests::memory_scores);
    });
}
