//! Freezes of processes that do all they can to get away, and of one that measures itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Error, Limits, descendants, freeze, source};
use crate::fault::{self, Step};
use crate::remote::{Stopped, tracing};
use crate::sys::guests::{self, Guest, PATIENCE, Storm};
use crate::testing::as_both_users;

/// How often each guest is frozen.
const FREEZES: u32 = 100;

/// Loaded machines are slow; how long a freeze takes is no test's matter.
fn patient() -> Limits {
    Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE }
}

/// Freezes `guest` and its descendants again and again; afterwards it ends as it should.
fn again_and_again(name: &str, guest: Guest) {
    let root = guest.pid;
    for at in 0..FREEZES {
        tracing(|tracer| {
            let frozen = freeze(tracer, &mut || descendants(root), patient())
                .unwrap_or_else(|error| panic!("{name}, freeze {at}: {error}"));
            let rounds = guest.shared.word(10).load(Ordering::SeqCst);
            for thread in frozen.threads() {
                let (pid, tid) = (thread.who().pid, thread.who().tid);
                assert_eq!(guests::state(pid, tid), Some('t'), "{name}, freeze {at}: {} runs", thread.who());
            }
            assert_eq!(rounds, guest.shared.word(10).load(Ordering::SeqCst), "{name}: something ran");
        });
        std::thread::sleep(Duration::from_millis(1));
    }
    for pid in descendants(root).unwrap() {
        assert_eq!(guests::tracer(pid, pid), 0, "{name}: {pid} is still traced");
    }
    guest.shared.word(1).store(1, Ordering::SeqCst);
    assert_eq!(guest.end(), 0, "{name}: something was lost");
}

fn storm(storm: Storm) {
    again_and_again(&format!("{storm:?}"), Guest::start(|shared| guests::storm(shared, storm)));
}

#[test]
fn issue_10_a_fork_storm_is_frozen_and_loses_no_child() {
    as_both_users("freeze::tests::issue_10_a_fork_storm_is_frozen_and_loses_no_child", || storm(Storm::Fork));
}

#[test]
fn issue_10_a_vfork_storm_is_frozen_and_loses_no_child() {
    as_both_users("freeze::tests::issue_10_a_vfork_storm_is_frozen_and_loses_no_child", || storm(Storm::Vfork));
}

#[test]
fn issue_10_a_thread_storm_is_frozen_and_loses_no_thread() {
    as_both_users("freeze::tests::issue_10_a_thread_storm_is_frozen_and_loses_no_thread", || storm(Storm::Threads));
}

#[test]
fn issue_10_an_exec_storm_is_frozen_and_loses_no_child() {
    as_both_users("freeze::tests::issue_10_an_exec_storm_is_frozen_and_loses_no_child", || storm(Storm::Exec));
}

#[test]
fn issue_10_a_guest_that_measures_itself_misses_nothing() {
    as_both_users("freeze::tests::issue_10_a_guest_that_measures_itself_misses_nothing", || {
        again_and_again("measured", Guest::start(guests::measures_itself));
    });
}

#[test]
fn issue_10_a_stopped_process_is_frozen_and_stays_stopped() {
    let guest = Guest::start(guests::in_read);
    guest.signal(libc::SIGSTOP);
    assert_eq!(guest.wait_with(libc::WUNTRACED).0, guest.pid);
    tracing(|tracer| freeze(tracer, &mut || descendants(guest.pid), patient()).map(drop)).unwrap();
    guests::until("it is stopped again", || guests::state(guest.pid, guest.pid) == Some('T'));
    assert_eq!(guest.wait_with(libc::WUNTRACED | libc::WNOHANG).0, 0, "its parent learns it twice");
    guest.signal(libc::SIGCONT);
    guest.shared.write();
    assert_eq!(guest.end(), 0);
}

#[test]
fn a_process_that_another_program_traces_is_refused_by_its_name() {
    let guest = Guest::start(guests::in_read);
    let root = guest.pid;
    let other = Guest::start(move |shared| {
        tracing(|tracer| {
            let _stopped = Stopped::take(tracer, root, root, PATIENCE).unwrap();
            shared.ready();
            i32::from(shared.read() != 1)
        })
    });
    let error = tracing(|tracer| freeze(tracer, &mut || descendants(root), patient()).map(drop)).unwrap_err();
    assert!(matches!(&error, Error::Traced { who, .. } if who.pid == root), "{error}");
    other.shared.write();
    assert_eq!(other.end(), 0);
    guest.shared.write();
    assert_eq!(guest.end(), 0, "it was not let run on");
}

#[test]
fn issue_10_a_freeze_that_does_not_come_to_rest_is_refused_by_name_and_all_run_on() {
    let guest = Guest::start(guests::in_vfork);
    let root = guest.pid;
    guests::until("it waits for its child", || guests::state(root, root) == Some('D'));
    let error = tracing(|tracer| freeze(tracer, &mut || descendants(root), Limits::default()).map(drop)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Error::Restless { threads, .. } if threads.iter().any(|who| who.pid == root)), "{text}");
    assert!(text.contains(&format!("(process {root}, thread {root})")) && text.contains("50 ms, 3 times"), "{text}");
    guest.shared.word(1).store(1, Ordering::SeqCst);
    assert_eq!(guest.end(), 0, "it was not let run on");
}

#[test]
fn issue_10_every_step_of_a_freeze_can_fail() {
    let guest = Guest::start(guests::with_threads);
    let root = guest.pid;
    for step in Step::ALL.iter().filter(|step| step.name().starts_with("freeze.")) {
        for skip in 0.. {
            let (met, done) = tracing(|tracer| {
                let armed = fault::arm(*step, skip);
                let done = freeze(tracer, &mut || descendants(root), patient()).map(drop);
                (armed.met(), done)
            });
            if !met {
                done.unwrap();
                assert!(skip > 0, "no test reaches {step:?}");
                break;
            }
            let error = done.unwrap_err().to_string();
            assert!(error.contains(step.name()) && error.contains(&format!("process {root}")), "{error}");
            for tid in source::threads(root) {
                assert_eq!(guests::tracer(root, tid), 0, "{step:?} failed at pass {skip}: still traced");
            }
        }
    }
    guest.shared.write();
    assert_eq!(guest.end(), 0, "something happened to it");
}
