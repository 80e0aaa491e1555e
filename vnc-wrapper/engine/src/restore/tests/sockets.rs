//! Unix sockets of a session.

use std::sync::atomic::Ordering;

use super::{goes_on, let_go_on, run, saved, saved_first};
use crate::sys::guests::until;
use crate::sys::inside::Inside;
use crate::sys::inside_guests::sockets as guests;
use crate::testing::as_both_users;

#[test]
fn issue_10_socket_pairs_keep_what_waits_and_which_directions_are_shut() {
    as_both_users(
        "restore::tests::sockets::issue_10_socket_pairs_keep_what_waits_and_which_directions_are_shut",
        || {
            goes_on("pairs", guests::pairs);
        },
    );
}

#[test]
fn issue_10_a_server_and_its_clients_see_each_other_as_before() {
    as_both_users("restore::tests::sockets::issue_10_a_server_and_its_clients_see_each_other_as_before", || {
        let mut guest = Inside::start(guests::serves);
        until("all are there", || guest.words[0].load(Ordering::SeqCst) == 5 && guest.all_asleep());
        let content = saved(&mut guest);
        // What was restored can be saved and restored again.
        let running = run(&content);
        let content = saved_first(running.0);
        running.end();
        let running = run(&content);
        let_go_on("server", &guest, running);
    });
}

#[test]
fn issue_10_names_of_sockets_stay_as_they_were_bound_and_their_files_where_they_are() {
    // Where a file is now is shown only to who has rights in the net namespace: here, root.
    if rustix::process::geteuid().is_root() {
        goes_on("names", guests::names);
    }
}

#[test]
fn issue_10_descriptors_in_flight_arrive() {
    as_both_users("restore::tests::sockets::issue_10_descriptors_in_flight_arrive", || {
        goes_on("in flight", guests::in_flight);
    });
}
