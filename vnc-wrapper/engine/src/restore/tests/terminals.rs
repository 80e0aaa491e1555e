//! Sessions with pseudo-terminals.

use std::path::Path;

use super::{let_go_on, run_in, saved, saved_first};
use crate::sys::inside::{Inside, Words};
use crate::sys::terminal_guests as guests;
use crate::testing::as_both_users;

/// Saves and restores a guest twice, and lets it go on: nothing of it has changed.
fn goes_on(name: &str, body: fn(Words, &Path) -> i32) {
    let mut guest = Inside::start(body);
    let first = saved(&mut guest);
    let running = run_in(&first, libc::CLONE_NEWNS, None);
    let again = saved_first(running.0);
    assert!(running.end() < 0, "it ends by a signal");
    let running = run_in(&again, libc::CLONE_NEWNS, None);
    let_go_on(name, &guest, running);
}

#[test]
fn issue_10_terminals_in_every_state_are_kept() {
    as_both_users("restore::tests::terminals::issue_10_terminals_in_every_state_are_kept", || {
        goes_on("terminals", guests::terminals_of_all_kinds);
    });
}

#[test]
fn issue_10_keys_reach_the_right_jobs_after_a_restore() {
    as_both_users("restore::tests::terminals::issue_10_keys_reach_the_right_jobs_after_a_restore", || {
        goes_on("job control", guests::job_control);
    });
}

#[test]
fn issue_10_an_interactive_shell_goes_on_with_its_job() {
    as_both_users("restore::tests::terminals::issue_10_an_interactive_shell_goes_on_with_its_job", || {
        goes_on("shell", guests::interactive_shell);
    });
}
