//! A thread is let run on, instruction by instruction, until it has left a place.

use std::ops::Range;
use std::time::Instant;

use crate::fault::{self, Step};
use crate::sys::ptrace::{self, EVENT_STOP};
use crate::sys::wait::Status;

use super::stopped::FAREWELL;
use super::thread::{bit, status_field};
use super::{Error, Stopped};

impl Stopped<'_> {
    /// Has it leave `range` of its code, if it stands there: true if it did. Its signals wait meanwhile.
    ///
    /// # Errors
    /// [`Error::Late`] when it does not within its patience, [`Error::Gone`], [`Error::Unable`] where a step would cost the
    /// thread its action for SIGTRAP.
    pub fn leave(&mut self, range: &Range<u64>) -> Result<bool, Error> {
        if !range.contains(&self.registers()?.instruction()) {
            return Ok(false);
        }
        // The kernel sends SIGTRAP after each step, and takes the action of one that is ignored away.
        for field in ["SigIgn:", "SigPnd:", "ShdPnd:"] {
            let mask = status_field(self.who(), field).and_then(|mask| u64::from_str_radix(&mask, 16).ok());
            if mask.is_none_or(|mask| mask & bit(libc::SIGTRAP) != 0) {
                let why = "it ignores SIGTRAP or has one waiting, and cannot be led on step by step".to_owned();
                return Err(Error::Unable { who: self.who().clone(), why });
            }
        }
        let mask = self.signal_mask()?;
        let tid = self.who().tid;
        let set = |stopped: &Self, mask| {
            ptrace::set_signal_mask(tid, mask)
                .map_err(|error| Error::other(stopped.who(), "block the signals of", error))
        };
        set(self, !bit(libc::SIGTRAP))?;
        let left = self.steps(range);
        // To where the kernel begins calls again, whatever happened and as long as it takes.
        let patience = self.set_patience(FAREWELL.max(self.patience()));
        let settled = self.pass(0).and_then(|()| self.settle("stop"));
        self.set_patience(patience);
        let given = set(self, mask);
        left.and(settled).and(given).map(|()| true)
    }

    fn steps(&mut self, range: &Range<u64>) -> Result<(), Error> {
        let deadline = Instant::now() + self.patience();
        let tid = self.who().tid;
        let mut signal = 0;
        while range.contains(&self.registers()?.instruction()) {
            let stepped = fault::point(Step::Stepped).and_then(|()| ptrace::step(tid, signal));
            stepped.map_err(|error| Error::other(self.who(), "lead on", error))?;
            signal = 0;
            let status = match self.wait("make a step") {
                Err(late @ Error::Late { .. }) => {
                    self.halt()?;
                    return Err(late);
                }
                status => status?,
            };
            match status {
                Status::Stopped { signal: libc::SIGTRAP, event: 0 } | Status::Stopped { event: EVENT_STOP, .. } => {}
                // It cannot be blocked.
                Status::Stopped { signal: libc::SIGSTOP, event: 0 } => signal = libc::SIGSTOP,
                status => {
                    let why = format!("unexpected stop {status:?} after a step");
                    return Err(Error::Unable { who: self.who().clone(), why });
                }
            }
            if Instant::now() >= deadline {
                return Err(self.late("leave the kernel's code in its memory"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::process::smaps;
    use crate::remote::tracing;
    use crate::sys::guests::{Guest, PATIENCE, saved};
    use crate::testing::as_both_users;

    fn vdso(pid: libc::pid_t) -> Range<u64> {
        let all = smaps::read(format!("/proc/{pid}").as_ref()).unwrap();
        let mapped = all.iter().find(|mapped| mapped.name == b"[vdso]").unwrap();
        mapped.start..mapped.end
    }

    #[test]
    fn issue_10_a_thread_in_the_vdso_is_led_out_of_it() {
        as_both_users("remote::step::tests::issue_10_a_thread_in_the_vdso_is_led_out_of_it", || {
            let guest = Guest::start(saved::in_vdso);
            let range = vdso(guest.pid);
            let deadline = Instant::now() + PATIENCE;
            let mut led = 0;
            while led < 20 {
                assert!(Instant::now() < deadline, "it was found in the vdso {led} times only");
                led += tracing(|tracer| {
                    let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE).unwrap();
                    let (inside, mask) = (stopped.registers().unwrap().instruction(), stopped.signal_mask().unwrap());
                    let left = stopped.leave(&range).unwrap();
                    assert_eq!(left, range.contains(&inside));
                    assert!(!range.contains(&stopped.registers().unwrap().instruction()));
                    assert_eq!(stopped.signal_mask().unwrap(), mask);
                    u32::from(left)
                });
            }
            guest.shared.word(1).store(1, Ordering::SeqCst);
            assert_eq!(guest.end(), 0, "its clock went back");
        });
    }

    #[test]
    fn a_step_that_fails_leaves_the_thread_as_it_was() {
        let guest = Guest::start(saved::in_vdso);
        let range = vdso(guest.pid);
        let deadline = Instant::now() + PATIENCE;
        let mut failed = 0;
        while failed < 3 {
            assert!(Instant::now() < deadline, "no step failed");
            failed += tracing(|tracer| {
                let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE).unwrap();
                let mask = stopped.signal_mask().unwrap();
                let armed = fault::arm(Step::Stepped, 0);
                let left = stopped.leave(&range);
                assert_eq!(armed.met(), left.is_err());
                assert_eq!(stopped.signal_mask().unwrap(), mask);
                u32::from(armed.met())
            });
        }
        guest.shared.word(1).store(1, Ordering::SeqCst);
        assert_eq!(guest.end(), 0);
    }
}
