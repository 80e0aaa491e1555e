//! Internet sockets of a session.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Running, let_go_on, restored_in, save_session, saved, saved_first};
use crate::dump::{self, Draining, Session, Then, prepare};
use crate::freeze::Limits;
use crate::remote::tracing;
use crate::sys::guests::{PATIENCE, alone, until};
use crate::sys::inside::{Inside, Words};
use crate::sys::inside_guests::inet as guests;
use crate::sys::pidfd;
use crate::testing::as_both_users;

fn run(content: &std::fs::File) -> Running {
    Running(tracing(|tracer| {
        restored_in(tracer, content, libc::CLONE_NEWNET, None, |restored| restored.and_then(super::Restored::run))
            .unwrap_or_else(|error| panic!("{error}"))
    }))
}

/// Saves a guest, restores it, does both once more, and lets it go on.
fn goes_on(name: &str, body: fn(Words, &Path) -> i32) {
    let mut guest = Inside::start(body);
    let content = saved(&mut guest);
    let running = run(&content);
    let content = saved_first(running.0);
    running.end();
    let running = run(&content);
    let_go_on(name, &guest, running);
}

/// Saves a guest, which runs on and is as it was.
fn runs_on(name: &str, body: fn(Words, &Path) -> i32) {
    let guest = Inside::start(body);
    for _ in 0..3 {
        save_session(Session::descendants(guest.pid), Then::Run).unwrap();
    }
    let wrong = guest.finish();
    assert_eq!(wrong, Ok(()), "{name}");
}

#[test]
fn issue_10_connections_go_on_with_all_that_was_on_its_way() {
    as_both_users("restore::tests::inet::issue_10_connections_go_on_with_all_that_was_on_its_way", || {
        goes_on("connections", guests::connections);
    });
}

#[test]
fn issue_10_ends_of_streams_are_as_they_were() {
    as_both_users("restore::tests::inet::issue_10_ends_of_streams_are_as_they_were", || {
        goes_on("ends", guests::ends);
    });
}

#[test]
fn issue_10_connections_wait_to_be_accepted_in_their_order() {
    as_both_users("restore::tests::inet::issue_10_connections_wait_to_be_accepted_in_their_order", || {
        goes_on("backlog", guests::backlog);
    });
}

#[test]
fn issue_10_datagrams_wait_with_their_senders() {
    as_both_users("restore::tests::inet::issue_10_datagrams_wait_with_their_senders", || {
        goes_on("datagrams", guests::datagrams);
    });
}

#[test]
fn issue_10_options_of_sockets_are_as_they_were() {
    as_both_users("restore::tests::inet::issue_10_options_of_sockets_are_as_they_were", || {
        goes_on("options", guests::options);
    });
}

#[test]
fn issue_10_a_save_does_no_harm_to_internet_sockets() {
    as_both_users("restore::tests::inet::issue_10_a_save_does_no_harm_to_internet_sockets", || {
        for (name, body) in [
            ("connections", guests::connections as fn(Words, &Path) -> i32),
            ("ends", guests::ends),
            ("backlog", guests::backlog),
            ("datagrams", guests::datagrams),
            ("options", guests::options),
        ] {
            runs_on(name, body);
        }
    });
}

#[test]
fn issue_10_an_exchange_loses_nothing_in_saves_and_restores() {
    as_both_users("restore::tests::inet::issue_10_an_exchange_loses_nothing_in_saves_and_restores", || {
        let mut guest = Inside::start(guests::exchange);
        let count = |guest: &Inside| guest.words[21].load(Ordering::SeqCst);
        let more = |guest: &Inside| {
            let before = count(guest);
            until("they go on", || count(guest) > before + 100);
        };
        for _ in 0..5 {
            more(&guest);
            save_session(Session::descendants(guest.pid), Then::Run).unwrap();
        }
        more(&guest);
        let mut content = saved(&mut guest);
        for _ in 0..5 {
            let running = run(&content);
            more(&guest);
            content = saved_first(running.0);
            running.end();
        }
        let running = run(&content);
        more(&guest);
        let_go_on("exchange", &guest, running);
    });
}

#[test]
fn issue_10_a_connection_that_leads_out_is_found_reset() {
    as_both_users("restore::tests::inet::issue_10_a_connection_that_leads_out_is_found_reset", || {
        let mut guest = Inside::start(guests::leads_out);
        let process = pidfd::open(guest.pid).unwrap();
        let ends = [10, 11].map(|word| {
            let number = guest.words[word].load(Ordering::SeqCst);
            pidfd::copy(process.as_fd(), number.cast_signed()).unwrap()
        });
        guest.words[2].store(1, Ordering::SeqCst);
        until("it has closed its own", || guest.words[0].load(Ordering::SeqCst) == 2 && guest.all_asleep());
        let (content, findings) = {
            let _alone = alone();
            let limits = Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
            let session = Session::descendants(guest.pid);
            let draining = tracing(|tracer| {
                prepare(session, tempfile::tempfile().unwrap())?.freeze(tracer, limits)?.collect()?.release(Then::End)
            });
            let saved = draining.and_then(Draining::finish).unwrap();
            (saved.sink, saved.findings)
        };
        guest.kill();
        drop(ends);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings.iter().all(|it| it.lost.contains("leads out of the session")), "{findings:?}");
        let running = run(&content);
        let_go_on("leads out", &guest, running);
    });
}

#[test]
fn issue_10_sockets_that_cannot_be_saved_are_refused_by_name() {
    as_both_users("restore::tests::inet::issue_10_sockets_that_cannot_be_saved_are_refused_by_name", || {
        let cases = [
            (0, "a raw socket"),
            (1, "a packet socket"),
            (2, "out of band"),
            (3, "this passes in a moment"),
            (4, "TCP_FASTOPEN"),
            (5, "TCP_REPAIR"),
        ];
        for (which, text) in cases {
            let guest = Inside::start(move |words, _| guests::refused(words, which));
            let error = save_session(Session::descendants(guest.pid), Then::Run).expect_err(text);
            assert!(matches!(error, dump::Error::Refused(_)) && error.to_string().contains(text), "{text}: {error}");
        }
    });
}
