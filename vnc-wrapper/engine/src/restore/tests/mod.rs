//! Guests that are saved, killed, restored, and go on.

mod save;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use libc::pid_t;

use super::{Plan, Restored, Root, restore};
use crate::fault::{self, Step};
use crate::freeze::{self, freeze};
use crate::record::process::{Process, State};
use crate::record::tests::list;
use crate::remote::{Tracer, tracing};
use crate::sys::guests::{PATIENCE, until};
use crate::sys::inside::{self, Inside, Words, reap, write_maps};
use crate::testing::as_both_users;

use save::Saved;

/// Restores what was saved into new namespaces, and has `with` look at it.
fn restored<T>(tracer: &Tracer, stream: File, with: impl FnOnce(Result<Restored<'_>, super::Error>) -> T) -> T {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let files = Root::new(OwnedFd::from(File::open("/").unwrap()));
    let plan = Plan {
        namespaces: (libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64,
        prepare: &mut |pid: pid_t| write_maps(pid, user, group),
        files: &files,
        patience: PATIENCE,
    };
    with(restore(tracer, stream, plan))
}

/// Freezes a guest, saves it and kills it before it runs again.
fn saved_and_killed(guest: &mut Inside) -> Saved {
    let saved = tracing(|tracer| {
        let limits = freeze::Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
        let mut frozen = freeze(tracer, &mut || freeze::descendants(guest.pid), limits).unwrap();
        let saved = save::save(&mut frozen, guest);
        crate::sys::signal::kill(guest.pid);
        saved
    });
    guest.kill();
    saved
}

/// Saves a guest, kills it, restores it, and waits for it to end: its exit code.
fn again(guest: &mut Inside, before: impl FnOnce(pid_t) + Send, after: impl FnOnce(pid_t)) -> i32 {
    let stream = saved_and_killed(guest).stream();
    let first = tracing(|tracer| {
        restored(tracer, stream, |restored| {
            let restored = restored.unwrap_or_else(|error| panic!("{error}"));
            before(restored.first());
            restored.run().unwrap()
        })
    });
    after(first);
    reap(first)
}

/// Counts in memory, on and on, until word 1 says to end; word 2 shows the count, word 3 what went wrong.
fn counts(words: Words, _: &std::path::Path) -> i32 {
    let mut own = Box::new(0u32);
    words[0].fetch_add(1, Ordering::SeqCst);
    let pid = std::process::id();
    while words[1].load(Ordering::SeqCst) == 0 {
        *own += 1;
        if words[2].fetch_add(1, Ordering::SeqCst) + 1 != *own || std::process::id() != pid {
            return 7;
        }
    }
    // Children that it did not have before, and their ends.
    for (place, pid) in (2..6).zip([2, 3, 4, 5]) {
        words[10 + place].store(inside::wait_for(pid).cast_unsigned(), Ordering::SeqCst);
    }
    42
}

#[test]
fn issue_10_a_process_goes_on_counting_where_it_was() {
    as_both_users("restore::tests::issue_10_a_process_goes_on_counting_where_it_was", || {
        let mut guest = Inside::start(counts);
        let words = guest.words;
        let reached = |least: u32| until("it counts", || words[2].load(Ordering::SeqCst) > least);
        reached(1000);
        let count = std::sync::atomic::AtomicU32::new(0);
        let code = again(
            &mut guest,
            |pid| {
                let status = crate::process::status::read(format!("/proc/{pid}").as_ref()).unwrap();
                assert_eq!(status.pids.last(), Some(&1));
                count.store(words[2].load(Ordering::SeqCst), Ordering::SeqCst);
            },
            |_| {
                until("it counts on", || words[2].load(Ordering::SeqCst) > count.load(Ordering::SeqCst) + 1000);
                words[1].store(1, Ordering::SeqCst);
            },
        );
        assert_eq!(code, 42);
    });
}

/// A child of the first process that has ended.
fn ended(pid: u32, status: i32) -> Process {
    Process {
        id: pid,
        pids: list(vec![pid]),
        parent: Some(1),
        group: 1,
        session: 1,
        exit_signal: 17,
        ..Process::default()
    }
    .with(State::Ended { status })
}

impl Process {
    fn with(mut self, state: State) -> Self {
        self.state = state;
        self
    }
}

/// [`counts`] with children that have ended in many ways: what they waited for comes from the content.
fn with_ends(saved: &mut Saved) {
    for (pid, status) in ENDS {
        saved.records.insert(0, ended(pid, status).into());
    }
}

const ENDS: [(u32, i32); 4] = [(2, 7 << 8), (3, libc::SIGKILL), (4, libc::SIGTERM), (5, libc::SIGSEGV)];

#[test]
fn issue_10_every_step_of_a_restore_can_fail_and_leaves_nothing() {
    as_both_users("restore::tests::issue_10_every_step_of_a_restore_can_fail_and_leaves_nothing", || {
        let mut guest = Inside::start(counts);
        let mut saved = saved_and_killed(&mut guest);
        with_ends(&mut saved);
        tracing(|tracer| {
            // Descriptors of other tests are not seen here then.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
            let mut passes = 0;
            for step in Step::ALL.iter().filter(|step| step.name().starts_with("restore.")) {
                for skip in 0.. {
                    let stream = saved.stream();
                    let before = here();
                    let armed = fault::arm(*step, skip);
                    let done = restored(tracer, stream.try_clone().unwrap(), |restored| match restored {
                        Ok(restored) => {
                            restored.discard();
                            None
                        }
                        Err(error) => Some(error.to_string()),
                    });
                    assert_eq!(before, here(), "{step:?} failed at pass {skip}: something is left");
                    assert_eq!(armed.met(), done.is_some(), "{step:?} at pass {skip}: {done:?}");
                    let Some(error) = done else {
                        assert!(skip > 0, "no test reaches {step:?}");
                        break;
                    };
                    assert!(error.contains(step.name()), "{error}");
                    passes += 1;
                }
            }
            assert!(passes > 20, "{passes}");
        });
    });
}

/// Descriptors and children of this thread, and mounts.
fn here() -> (usize, String, String) {
    let descriptors = std::fs::read_dir("/proc/thread-self/fd").unwrap().count();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    (descriptors, read("/proc/thread-self/children"), read("/proc/thread-self/mounts"))
}

#[test]
fn issue_10_children_that_have_ended_can_be_waited_for() {
    as_both_users("restore::tests::issue_10_children_that_have_ended_can_be_waited_for", || {
        let mut guest = Inside::start(counts);
        let words = guest.words;
        let mut saved = saved_and_killed(&mut guest);
        with_ends(&mut saved);
        let first = tracing(|tracer| restored(tracer, saved.stream(), |restored| restored.unwrap().run().unwrap()));
        words[1].store(1, Ordering::SeqCst);
        assert_eq!(reap(first), 42);
        for (pid, status) in ENDS {
            assert_eq!(words[10 + pid as usize].load(Ordering::SeqCst), status.cast_unsigned(), "child {pid}");
        }
    });
}
