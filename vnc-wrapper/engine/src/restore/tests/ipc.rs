//! What an ipc namespace holds: System V memory, semaphores and queues, POSIX message queues, and limits.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{let_go_on, run_in, save_session, saved, saved_first, try_save};
use crate::dump::{Draining, Session, Then, prepare};
use crate::fault::{self, Step};
use crate::freeze::{Limits, descendants};
use crate::remote::tracing;
use crate::sys::guests::{PATIENCE, alone, until};
use crate::sys::inside::{Inside, Words, wake_all};
use crate::sys::inside_guests::RIGHT;
use crate::sys::inside_guests::ipc as guests;
use crate::testing::as_both_users;

/// The namespaces that guests make.
const NAMESPACES: libc::c_int = libc::CLONE_NEWIPC | libc::CLONE_NEWNS;

/// Starts a guest and waits until all its processes are there.
fn started(body: fn(Words, &Path) -> i32, processes: u32) -> Inside {
    let guest = Inside::start(body);
    until("all are there", || guest.words[0].load(Ordering::SeqCst) == processes);
    guest
}

/// Saves a guest of so many processes, lets it run on, and saves, restores and lets go on another; that one twice.
fn goes_on(name: &str, body: fn(Words, &Path) -> i32, processes: u32) {
    let guest = started(body, processes);
    for _ in 0..3 {
        save_session(Session::descendants(guest.pid), Then::Run).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    runs_on(name, guest);
    let mut guest = started(body, processes);
    let content = saved(&mut guest);
    // What was restored can be saved and restored again.
    let running = run_in(&content, NAMESPACES, None);
    let content = saved_first(running.0);
    running.end();
    let running = run_in(&content, NAMESPACES, None);
    let_go_on(name, &guest, running);
}

/// Lets a guest go on that was saved and runs still.
fn runs_on(name: &str, guest: Inside) {
    guest.words[1].store(1, Ordering::SeqCst);
    wake_all(&guest.words[1]);
    let wrong = guest.directory.path().join("wrong");
    until(name, || matches!(crate::sys::guests::state(guest.pid, guest.pid), None | Some('Z')) || wrong.exists());
    let said = std::fs::read_to_string(&wrong).unwrap_or_default();
    assert_eq!(guest.end(), RIGHT, "{name}, which ran on: {said}");
}

#[test]
fn issue_10_system_v_memory_keeps_content_holes_ids_and_who_has_it() {
    as_both_users("restore::tests::ipc::issue_10_system_v_memory_keeps_content_holes_ids_and_who_has_it", || {
        goes_on("segments", guests::segments, 2);
    });
}

#[test]
fn issue_10_system_v_semaphores_keep_values_and_what_is_done_as_processes_end() {
    as_both_users(
        "restore::tests::ipc::issue_10_system_v_semaphores_keep_values_and_what_is_done_as_processes_end",
        || {
            goes_on("semaphores", guests::semaphores, 3);
        },
    );
}

#[test]
fn issue_10_system_v_queues_keep_their_messages() {
    as_both_users("restore::tests::ipc::issue_10_system_v_queues_keep_their_messages", || {
        goes_on("messages", guests::messages, 2);
    });
}

#[test]
fn issue_10_posix_queues_keep_messages_and_names_also_where_nobody_has_them_open() {
    as_both_users(
        "restore::tests::ipc::issue_10_posix_queues_keep_messages_and_names_also_where_nobody_has_them_open",
        || {
            goes_on("POSIX queues", guests::posix_queues, 2);
        },
    );
}

/// What is mapped in a guest.
fn maps(guest: &Inside) -> String {
    std::fs::read_to_string(format!("/proc/{}/maps", guest.pid)).unwrap()
}

/// Has a save of a guest fail at each of `steps`, wherever it is passed; the guest must be as it was, and runs on then.
fn runs_on_after_failures(name: &str, guest: Inside, steps: &[Step]) {
    let before = maps(&guest);
    for step in steps {
        // Each of the first, then fewer and fewer.
        for skip in std::iter::successors(Some(0u32), |skip| Some(skip + 1 + skip / 3)) {
            let guard = alone();
            let (met, done) = tracing(|tracer| {
                let limits = Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
                let prepared = prepare(Session::descendants(guest.pid), std::io::sink()).unwrap();
                let armed = fault::arm(*step, skip);
                let done = prepared.freeze(tracer, limits).and_then(|frozen| frozen.collect().map(drop));
                (armed.met(), done)
            });
            drop(guard);
            assert_eq!(before, maps(&guest), "{name}: {step:?} failed at pass {skip}");
            if !met {
                done.unwrap();
                assert!(skip > 0, "{name}: no save reaches {step:?}");
                break;
            }
            // What fails while it is given back is tried again, and is no failure then.
            assert!(done.is_ok() || done.is_err_and(|error| error.to_string().contains(step.name())));
        }
    }
    runs_on(name, guest);
}

#[test]
fn issue_10_a_save_that_fails_leaves_an_ipc_namespace_as_it_was() {
    as_both_users("restore::tests::ipc::issue_10_a_save_that_fails_leaves_an_ipc_namespace_as_it_was", || {
        let in_calls = [Step::CallDone, Step::ListRun, Step::Mapped, Step::Opened];
        let steps = |own| [&in_calls[..], &[own]].concat();
        runs_on_after_failures("segments", started(guests::segments, 2), &steps(Step::Attached));
        runs_on_after_failures("POSIX queues", started(guests::posix_queues, 2), &steps(Step::QueueRead));
        runs_on_after_failures("semaphores", started(guests::semaphores, 3), &in_calls);
    });
}

#[test]
fn issue_10_who_cannot_look_for_queues_says_so() {
    let guest = started(guests::cannot_mount, 1);
    let findings = |guest: &Inside| {
        let _alone = alone();
        let limits = Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
        let session = Session::descendants(guest.pid);
        let draining =
            tracing(|tracer| prepare(session, std::io::sink())?.freeze(tracer, limits)?.collect()?.release(Then::Run));
        draining.and_then(Draining::finish).unwrap_or_else(|error| panic!("{error}")).findings
    };
    let found = findings(&guest);
    assert!(found.iter().any(|it| it.what.contains("POSIX message queues") && !it.blocking), "{found:?}");
}

#[test]
fn issue_10_memory_that_somebody_outside_has_too_is_refused_by_name() {
    let guest = started(guests::shares_outside, 2);
    // Its child alone: the parent has the segment too, and is not saved.
    let child = descendants(guest.pid).unwrap().into_iter().find(|pid| *pid != guest.pid).unwrap();
    let error = try_save(child).expect_err("it was saved").to_string();
    assert!(error.contains("System V segment") && error.contains("attached 2 times, and 1 times"), "{error}");
}

#[test]
fn issue_10_who_is_told_of_messages_is_refused_by_name_and_told() {
    as_both_users("restore::tests::ipc::issue_10_who_is_told_of_messages_is_refused_by_name_and_told", || {
        let guest = started(guests::is_notified, 1);
        let error = try_save(guest.pid).expect_err("a signal was left out").to_string();
        assert!(error.contains("POSIX message queue \"asks\"") && error.contains("mq_notify"), "{error}");
        runs_on("notified", guest);
    });
}

#[test]
fn issue_10_limits_of_an_ipc_namespace_are_kept() {
    as_both_users("restore::tests::ipc::issue_10_limits_of_an_ipc_namespace_are_kept", || {
        goes_on("limits", guests::limited, 1);
    });
}
