//! Every step fails once wherever it is passed, and nothing is left.

use std::fs::File;
use std::sync::atomic::Ordering;

use super::{changed, restored, restored_in, saved};
use crate::fault::{self, Step};
use crate::record::Record;
use crate::record::memory::Backing;
use crate::record::process::Limit;
use crate::remote::tracing;
use crate::sys::guests::until;
use crate::sys::inside::{Inside, reap};
use crate::sys::inside_guests as guests;
use crate::testing::as_both_users;

/// Descriptors and children of this thread, and mounts.
fn here() -> (usize, String, String) {
    let descriptors = std::fs::read_dir("/proc/thread-self/fd").unwrap().count();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    (descriptors, read("/proc/thread-self/children"), read("/proc/thread-self/mounts"))
}

/// Has each of `steps` fail wherever it is passed.
fn fails_at(steps: &[Step], content: &File, namespaces: libc::c_int) {
    tracing(|tracer| {
        // Descriptors of other tests are not seen here then.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        for &step in steps {
            for skip in 0.. {
                let before = here();
                let armed = fault::arm(step, skip);
                let error = restored_in(tracer, content, namespaces, None, |restored| match restored {
                    Ok(restored) => {
                        restored.discard();
                        None
                    }
                    Err(error) => Some(error.to_string()),
                });
                assert_eq!(before, here(), "{step:?} failed at pass {skip}: something is left");
                assert_eq!(armed.met(), error.is_some(), "{step:?} at pass {skip}: {error:?}");
                let Some(error) = error else {
                    assert!(skip > 0, "no test reaches {step:?}");
                    break;
                };
                assert!(error.contains(step.name()), "{error}");
            }
        }
    });
}

#[test]
fn issue_10_every_step_of_a_restore_can_fail_and_leaves_nothing() {
    as_both_users("restore::tests::steps::issue_10_every_step_of_a_restore_can_fail_and_leaves_nothing", || {
        let mut guest = Inside::start(guests::family);
        until("all of them wait", || guest.words[0].load(Ordering::SeqCst) == guests::FAMILY && guest.all_asleep());
        let content = saved(&mut guest);
        let steps = Step::ALL.iter().copied().filter(|step| step.name().starts_with("restore."));
        fails_at(&steps.collect::<Vec<_>>(), &content, 0);
    });
}

#[test]
fn issue_10_a_restore_of_terminals_that_fails_leaves_nothing() {
    as_both_users("restore::tests::steps::issue_10_a_restore_of_terminals_that_fails_leaves_nothing", || {
        let mut guest = Inside::start(crate::sys::terminal_guests::job_control);
        let content = saved(&mut guest);
        fails_at(&[Step::RestoreTerminals, Step::RestoreGiven], &content, libc::CLONE_NEWNS);
        // Without a mount namespace there is no place for them.
        tracing(|tracer| {
            let refused = restored(tracer, &content, |restored| restored.err().unwrap().to_string());
            assert!(refused.starts_with("the devpts at /dev/pts cannot be restored: "), "{refused}");
        });
    });
}

#[test]
fn issue_10_a_restore_of_an_ipc_namespace_that_fails_leaves_nothing() {
    as_both_users("restore::tests::steps::issue_10_a_restore_of_an_ipc_namespace_that_fails_leaves_nothing", || {
        for body in [guests::ipc::posix_queues, guests::ipc::segments] {
            let mut guest = Inside::start(body);
            until("both are there", || guest.words[0].load(Ordering::SeqCst) == 2);
            let content = saved(&mut guest);
            fails_at(&[Step::RestoreIpc, Step::RestoreGiven], &content, libc::CLONE_NEWIPC | libc::CLONE_NEWNS);
            // Without an ipc namespace there is no place for them.
            tracing(|tracer| {
                let refused = restored(tracer, &content, |restored| restored.err().unwrap().to_string());
                assert!(
                    refused.starts_with("what is in the session's ipc namespace cannot be restored: "),
                    "{refused}"
                );
            });
        }
    });
}

#[test]
fn issue_10_what_was_restored_dies_with_the_thread_that_restored_it() {
    let mut guest = Inside::start(guests::family);
    until("all of them wait", || guest.words[0].load(Ordering::SeqCst) == guests::FAMILY && guest.all_asleep());
    let content = saved(&mut guest);
    let first = tracing(|tracer| {
        restored(tracer, &content, |restored| {
            let restored = restored.unwrap_or_else(|error| panic!("{error}"));
            let first = restored.first();
            std::mem::forget(restored);
            first
        })
    });
    assert_eq!(reap(first), -libc::SIGKILL);
}

#[test]
fn issue_10_an_error_names_process_object_and_call() {
    as_both_users("restore::tests::steps::issue_10_an_error_names_process_object_and_call", || {
        let mut guest = Inside::start(guests::counts);
        let content = saved(&mut guest);
        let error = |change: fn(&mut Record)| {
            let content = changed(&content, |records| records.iter_mut().for_each(change));
            tracing(|tracer| {
                let before = here().1;
                let error = restored(tracer, &content, |restored| restored.err().unwrap().to_string());
                assert_eq!(before, here().1, "{error}: a process is left");
                error
            })
        };
        let gone = error(|record| {
            if let Record::AddressSpace(space) = record {
                space.executable = b"/nowhere/program".to_vec().try_into().unwrap();
            }
        });
        assert!(gone.starts_with("cannot restore /nowhere/program: open: No such file"), "{gone}");
        let limit = error(|record| {
            if let Record::Limits(limits) = record {
                let mut all = limits.limits.to_vec();
                all[libc::RLIMIT_CORE as usize] = Limit { soft: 1, hard: u64::MAX };
                all[libc::RLIMIT_NICE as usize] = Limit { soft: 40, hard: 40 };
                limits.limits = all.try_into().unwrap();
            }
        });
        assert!(limit.contains("cannot restore limit 13 of ") && limit.contains("(process 1): "), "{limit}");
        assert!(limit.contains("prlimit64(0, 13, ") && limit.contains("not permitted"), "{limit}");
        let mapping = error(|record| {
            if let Record::Mapping(mapping) = record
                && matches!(&mapping.backing, Backing::Special { name } if name.starts_with(b"vdso"))
            {
                mapping.start += 4096;
            }
        });
        assert!(mapping.starts_with("the vdso of ") && mapping.contains("the running kernel has another"), "{mapping}");
    });
}
