//! The proof that a thread was only woken by the freeze: then what was read of its process before still holds.
//!
//! A thread that waited in a call before the freeze, and was taken from there by nothing but the request to stop, has run
//! exactly once more and only for as long as that takes, and stands in the same call at the same place, with a code in its
//! result that says the call was interrupted. The run count alone proves nothing: a thread that was running all the time
//! adds none.
//!
//! Sources: `/proc/PID/task/TID/schedstat` (`Documentation/scheduler/sched-stats.rst`), `/proc/PID/task/TID/syscall` (proc(5)).

use std::io;
use std::time::Duration;

use libc::pid_t;

use crate::remote::processor::Registers;

/// The longest that a thread may have run to stop: measured 3 to 20 µs.
const LONGEST: Duration = Duration::from_micros(50);

/// What a thread had run, from its `schedstat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Runs {
    /// Time on a processor.
    pub time: Duration,
    /// How often it was put on one.
    pub count: u64,
}

impl Runs {
    /// Reads them.
    ///
    /// # Errors
    /// When the thread is gone, or the kernel keeps no such statistics.
    pub fn of(pid: pid_t, tid: pid_t) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat"))?;
        let numbers: Vec<u64> = text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            // Without CONFIG_SCHED_INFO all of them are 0.
            [time, _, count] if count > 0 => Ok(Self { time: Duration::from_nanos(time), count }),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, format!("schedstat of thread {tid}: {}", text.trim()))),
        }
    }
}

/// The call in which a thread waits, from its `syscall`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waits {
    /// The call's number.
    pub call: u64,
    /// The stack pointer.
    pub stack: u64,
    /// The place of the next instruction.
    pub instruction: u64,
}

impl Waits {
    /// The call, from the text of `syscall`: None for a thread that runs or waits elsewhere.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [call, _, _, _, _, _, _, stack, instruction] = fields[..] else { return None };
        let place = |field: &str| u64::from_str_radix(field.strip_prefix("0x")?, 16).ok();
        Some(Self { call: call.parse().ok()?, stack: place(stack)?, instruction: place(instruction)? })
    }
}

/// What is known of a thread before a freeze.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Before {
    runs: Runs,
    waits: Waits,
}

impl Before {
    /// Looks at a thread that runs on: None when it does not wait in a call, so that nothing can be proved of it.
    ///
    /// To be taken *before* what the proof is to cover is read.
    ///
    /// # Errors
    /// Those of [`Runs::of`]; when `syscall` may not be read.
    pub fn of(pid: pid_t, tid: pid_t) -> io::Result<Option<Self>> {
        // The runs first: what the thread does between the two looks adds to them.
        let runs = Runs::of(pid, tid)?;
        let waits = Waits::parse(&std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?);
        Ok(waits.map(|waits| Self { runs, waits }))
    }

    /// Whether the thread, now frozen, has done nothing since.
    #[must_use]
    pub fn proves_idle(&self, runs: Runs, registers: &Registers) -> bool {
        self.proves_idle_within(LONGEST, runs, registers)
    }

    /// The same of a thread that may have run for less than `longest`.
    fn proves_idle_within(&self, longest: Duration, runs: Runs, registers: &Registers) -> bool {
        runs.count == self.runs.count + 1
            && runs.time.saturating_sub(self.runs.time) < longest
            && registers.interrupted_call() == Some(self.waits.call)
            && registers.stack() == self.waits.stack
            && registers.instruction() == self.waits.instruction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freeze::{Limits, descendants, freeze};
    use crate::remote::tracing;
    use crate::sys::guests::{self, Guest, PATIENCE};

    const TEXT: &str = "0 0x3 0x7ffe 0x1 0x0 0x0 0x0 0x7ffe12345678 0x7f0012345678\n";

    #[test]
    fn the_call_is_read_from_its_text() {
        let waits = Waits { call: 0, stack: 0x7ffe_1234_5678, instruction: 0x7f00_1234_5678 };
        assert_eq!(Waits::parse(TEXT), Some(waits));
        for nothing in ["running", "-1 0x7ffe 0x7f00", "", "0 0x3"] {
            assert_eq!(Waits::parse(nothing), None, "{nothing}");
        }
    }

    /// Freezes `guest`; whether its thread is proved idle if it ran for less than `longest`, and what it had run.
    fn idle(guest: &Guest, longest: Duration, between: impl FnOnce()) -> (bool, Before, Runs) {
        let before = Before::of(guest.pid, guest.pid).unwrap().unwrap();
        between();
        let limits = Limits { deadline: PATIENCE, ..Limits::default() };
        tracing(|tracer| {
            let frozen = freeze(tracer, &mut || descendants(guest.pid), limits).unwrap();
            let runs = Runs::of(guest.pid, guest.pid).unwrap();
            let registers = frozen.threads()[0].registers().unwrap();
            assert!(!before.proves_idle_within(Duration::ZERO, runs, &registers), "it ran to stop");
            (before.proves_idle_within(longest, runs, &registers), before, runs)
        })
    }

    #[test]
    fn issue_10_a_thread_that_only_the_freeze_woke_is_idle() {
        let guest = Guest::start(guests::in_read);
        guest.asleep(guest.pid);
        // A busy machine may interrupt the thread on its way; then nothing is proved, and it is looked at again.
        guests::until("a thread is proved idle", || {
            guest.asleep(guest.pid);
            // A processor that is emulated takes far longer to stop a thread.
            idle(&guest, Duration::from_secs(1), || ()).0
        });
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    }

    #[test]
    fn issue_10_a_thread_that_did_something_is_not_idle() {
        let guest = Guest::start(guests::reads_on);
        guest.asleep(guest.pid);
        for done in 1..=20 {
            let (idle, before, after) = idle(&guest, LONGEST, || {
                guest.shared.write();
                guests::until("the guest has read", || {
                    guest.shared.word(0).load(std::sync::atomic::Ordering::SeqCst) > done
                });
                guest.asleep(guest.pid);
            });
            assert!(!idle, "it read a byte, and waits in the same call at the same place: {before:?} {after:?}");
            guest.asleep(guest.pid);
        }
    }

    #[test]
    fn issue_10_a_thread_that_ran_all_the_time_is_not_idle() {
        let waits = Waits::parse(TEXT).unwrap();
        let runs = Runs { time: Duration::from_millis(5), count: 7 };
        let before = Before { runs, waits };
        let more = |count: u64, time: Duration| Runs { count: 7 + count, time: Duration::from_millis(5) + time };
        let elsewhere = Registers::default();
        for (count, time) in [(0, 0), (1, 10), (2, 10), (1, 60)] {
            assert!(!before.proves_idle(more(count, Duration::from_micros(time)), &elsewhere));
        }
    }
}
