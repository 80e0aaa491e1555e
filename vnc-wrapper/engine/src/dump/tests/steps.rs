//! Each step fails once, and the guests are as they were.

use std::sync::atomic::Ordering;

use super::patient;
use crate::dump::{Session, Then, prepare};
use crate::fault::{self, Step};
use crate::freeze;
use crate::remote::tracing;
use crate::sys::guests::{self, Guest, alone};
use crate::testing::as_both_users;

/// How often each guest is saved.
const SAVES: u32 = 100;

#[test]
fn issue_10_a_guest_that_measures_itself_misses_nothing_through_a_hundred_saves() {
    as_both_users(
        "dump::tests::steps::issue_10_a_guest_that_measures_itself_misses_nothing_through_a_hundred_saves",
        || {
            let guest = Guest::start(guests::measures_itself);
            for at in 0..SAVES {
                // Writing comes after the pause; a few are written all the same.
                let _alone = alone();
                let draining = tracing(|tracer| {
                    let prepared = prepare(Session::descendants(guest.pid), std::io::sink())?;
                    prepared.freeze(tracer, patient())?.collect()?.release(Then::Run)
                });
                let draining = draining.unwrap_or_else(|error| panic!("save {at}: {error}"));
                if at % 50 == 0 {
                    draining.finish().unwrap();
                }
            }
            guest.shared.word(1).store(1, Ordering::SeqCst);
            assert_eq!(guest.end(), 0, "something happened to it");
        },
    );
}

#[test]
fn issue_10_every_step_of_a_save_can_fail() {
    as_both_users("dump::tests::steps::issue_10_every_step_of_a_save_can_fail", || {
        let guest = Guest::start(guests::with_threads);
        guest.asleep(guest.pid);
        let maps = || std::fs::read_to_string(format!("/proc/{}/maps", guest.pid)).unwrap();
        let before = maps();
        let ours = |step: &&Step| ["remote.", "dump."].iter().any(|prefix| step.name().starts_with(prefix));
        for step in Step::ALL.iter().filter(ours) {
            // Each of the first, then fewer and fewer: calls and threads are alike.
            let skips = std::iter::successors(Some(0u32), |skip| Some(skip + 1 + skip / 3));
            for skip in skips {
                let alone = alone();
                let (met, done) = tracing(|tracer| {
                    let armed = fault::arm(*step, skip);
                    let done = prepare(Session::descendants(guest.pid), std::io::sink()).and_then(|prepared| {
                        prepared.freeze(tracer, patient())?.collect()?.release(Then::Run)?.finish().map(drop)
                    });
                    (armed.met(), done)
                });
                drop(alone);
                if !met {
                    done.unwrap();
                    // One thread alone, and what is opened or attached in it, are others' matter.
                    let elsewhere =
                        [Step::Seize, Step::Interrupt, Step::Stopped, Step::Opened, Step::Attached, Step::Stepped]
                            .contains(step);
                    assert!(skip > 0 || elsewhere, "no test reaches {step:?}");
                    break;
                }
                // What fails while it is given back is tried again, and is no failure then.
                if let Err(error) = done {
                    assert!(error.to_string().contains(step.name()), "{error}");
                }
                for tid in freeze_threads(guest.pid) {
                    assert_eq!(guests::tracer(guest.pid, tid), 0, "{step:?} failed at pass {skip}: still traced");
                }
                assert_eq!(before, maps(), "{step:?} failed at pass {skip}");
            }
        }
        guest.shared.write();
        assert_eq!(guest.end(), 0, "something happened to it");
    });
}

fn freeze_threads(pid: libc::pid_t) -> Vec<libc::pid_t> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn issue_10_whatever_state_is_dropped_the_session_runs_on() {
    let guest = Guest::start(guests::in_read);
    let prepared = || prepare(Session::new(guest.pid, || freeze::descendants(guest.pid)), std::io::sink()).unwrap();
    let _alone = alone();
    drop(prepared());
    tracing(|tracer| drop(prepared().freeze(tracer, patient()).unwrap()));
    assert_eq!(guests::tracer(guest.pid, guest.pid), 0);
    tracing(|tracer| drop(prepared().freeze(tracer, patient()).unwrap().collect().unwrap()));
    assert_eq!(guests::tracer(guest.pid, guest.pid), 0);
    drop(tracing(|tracer| {
        prepared().freeze(tracer, patient()).unwrap().collect().unwrap().release(Then::Run).unwrap()
    }));
    drop(tracing(|tracer| prepared().freeze(tracer, patient()).unwrap().collect().unwrap().write().map(drop)));
    assert_eq!(guests::tracer(guest.pid, guest.pid), 0);
    let still = |then| {
        tracing(|tracer| {
            prepared().freeze(tracer, patient()).unwrap().collect().unwrap().write().unwrap().release(then)
        })
    };
    assert_eq!(still(Then::Run).unwrap().report.processes, 1);
    guest.shared.write();
    assert_eq!(guest.end(), 0);
}
