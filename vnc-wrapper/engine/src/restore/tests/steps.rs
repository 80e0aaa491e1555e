//! Every step fails once wherever it is passed, and nothing is left.

use std::sync::atomic::Ordering;

use super::{restored, saved};
use crate::fault::{self, Step};
use crate::remote::tracing;
use crate::sys::guests::until;
use crate::sys::inside::Inside;
use crate::sys::inside_guests as guests;
use crate::testing::as_both_users;

/// Descriptors and children of this thread, and mounts.
fn here() -> (usize, String, String) {
    let descriptors = std::fs::read_dir("/proc/thread-self/fd").unwrap().count();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    (descriptors, read("/proc/thread-self/children"), read("/proc/thread-self/mounts"))
}

#[test]
fn issue_10_every_step_of_a_restore_can_fail_and_leaves_nothing() {
    as_both_users("restore::tests::steps::issue_10_every_step_of_a_restore_can_fail_and_leaves_nothing", || {
        let mut guest = Inside::start(guests::family);
        until("all of them wait", || guest.words[0].load(Ordering::SeqCst) == guests::FAMILY && guest.all_asleep());
        let content = saved(&mut guest);
        tracing(|tracer| {
            // Descriptors of other tests are not seen here then.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
            for step in Step::ALL.iter().filter(|step| step.name().starts_with("restore.")) {
                for skip in 0.. {
                    let before = here();
                    let armed = fault::arm(*step, skip);
                    let error = restored(tracer, &content, |restored| match restored {
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
    });
}
