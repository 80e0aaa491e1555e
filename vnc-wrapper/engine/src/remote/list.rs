//! Many calls in one go: a loop of 56 bytes runs over them in the other process, 0.3 µs a call.

use crate::fault::Step;
use crate::sys::ptrace::{self, EVENT_STOP};
use crate::sys::wait::Status;

use super::processor::LIST_CODE;
use super::thread::{bit, status_field};
use super::{Call, ENTRY, Error, Thread};

/// The signal code of `int3`, `SI_KERNEL`.
pub(super) const BREAKPOINT: i32 = 0x80;

/// Shorter lists are made call by call: two mappings and their end cost more.
const WORTH: usize = 6;

/// Memory for lists in the other process; unmapped with the guard.
#[derive(Clone, Copy)]
pub(super) struct Room {
    code: u64,
    calls: u64,
    length: u64,
}

impl Thread<'_, '_> {
    /// Has the thread make all `calls` in their order, whatever each answers; the answers are in their `result`.
    ///
    /// # Errors
    /// When not all were made, those of [`Thread::call`] but [`Error::Call`]. The results of those that were are read.
    pub fn run(&mut self, calls: &mut [Call]) -> Result<(), Error> {
        if calls.len() < WORTH || !self.breakpoint_is_free() || self.denies_lists() {
            for call in calls {
                call.result = self.make(call)?;
            }
            return Ok(());
        }
        for call in calls.iter() {
            self.check_harmless(call)?;
        }
        let room = self.room(calls.len())?;
        let bytes: Vec<u8> = calls.iter().flat_map(Call::bytes).collect();
        self.write(room.calls, &bytes)?;
        self.point(Step::ListWritten)?;
        let ran = self.run_list(room, calls);
        let read = self.read_results(room, calls);
        ran.and(read)
    }

    /// [`Thread::run`], and an error for the first call that answered one.
    ///
    /// # Errors
    /// Those of [`Thread::call`].
    pub fn run_all(&mut self, calls: &mut [Call]) -> Result<(), Error> {
        self.run(calls)?;
        match calls.iter().find_map(|call| call.error().map(|error| (call, error))) {
            None => Ok(()),
            Some((call, error)) => Err(Error::Call { who: self.who().clone(), call: call.to_string(), error }),
        }
    }

    /// Whether the breakpoint at the list's end stays without effect: the kernel takes away the handler of a SIGTRAP that
    /// it has to send and that is ignored, and a waiting one would come when SIGTRAP is let through.
    fn breakpoint_is_free(&self) -> bool {
        ["SigIgn:", "SigPnd:", "ShdPnd:"].into_iter().all(|field| {
            let mask = status_field(self.who(), field).and_then(|mask| u64::from_str_radix(&mask, 16).ok());
            mask.is_some_and(|mask| mask & bit(libc::SIGTRAP) == 0)
        })
    }

    /// Memory for `count` calls and the loop.
    fn room(&mut self, count: usize) -> Result<Room, Error> {
        let length = ((count * ENTRY) as u64).next_multiple_of(4096);
        if let Some(room) = self.list.filter(|room| room.length >= length) {
            return Ok(room);
        }
        let code = match self.list {
            Some(room) => room.code,
            None => self.map_code()?,
        };
        let calls = self.map(length)?;
        self.point(Step::ListReady)?;
        Ok(*self.list.insert(Room { code, calls, length }))
    }

    fn run_list(&mut self, room: Room, calls: &[Call]) -> Result<(), Error> {
        let tid = self.who().tid;
        let failed = |thread: &Self, error| Error::other(thread.who(), "run a list of calls in", error);
        self.block(bit(libc::SIGTRAP))?;
        self.set_astray(true);
        let started = self.saved().running(room.code, room.calls, calls.len() as u64);
        started.give(tid).and_then(|()| ptrace::resume(tid, 0)).map_err(|error| failed(self, error))?;
        loop {
            let signal = match self.wait_for_list(calls)? {
                Status::Stopped { event: EVENT_STOP, .. } => 0,
                Status::Stopped { signal: libc::SIGSTOP, event: 0 } => libc::SIGSTOP,
                Status::Stopped { signal: libc::SIGTRAP, event: 0 } => {
                    let signal = self.about_to_get()?;
                    let end = room.code + LIST_CODE.len() as u64;
                    if signal.code() == BREAKPOINT && self.registers_now()?.instruction() == end {
                        break;
                    }
                    // Somebody sent it meanwhile.
                    self.hold_sigtrap(signal);
                    0
                }
                Status::Stopped { signal: libc::SIGSYS, event: 0 } => {
                    self.denied(self.current(calls))?;
                    libc::SIGSYS
                }
                status => {
                    let why = format!("unexpected stop {status:?} in {}", self.current(calls));
                    return Err(Error::Unable { who: self.who().clone(), why });
                }
            };
            ptrace::resume(tid, signal).map_err(|error| failed(self, error))?;
        }
        self.block(0)?;
        // In place of the breakpoint's.
        self.queue_sigtrap()?;
        self.point(Step::ListRun)?;
        self.set_astray(false);
        Ok(())
    }

    /// Waits for the list's end; a long list has longer.
    fn wait_for_list(&mut self, calls: &[Call]) -> Result<Status, Error> {
        let mut left = u64::MAX;
        loop {
            match self.wait_once("finish a list of calls") {
                Err(late @ Error::Late { .. }) => {
                    // It goes on: as long as each call comes back in time, it is not late. Results say how far it is.
                    let now = self.unfinished(calls.len());
                    if now >= left {
                        if let Err(gone @ Error::Gone(_)) = self.stop_late() {
                            return Err(gone);
                        }
                        return Err(match late {
                            Error::Late { who, milliseconds, .. } => Error::Late {
                                who,
                                what: format!("come back from {}", self.current(calls)),
                                milliseconds,
                            },
                            other => other,
                        });
                    }
                    left = now;
                }
                other => return other,
            }
        }
    }

    /// How many calls of the running list have no result yet.
    fn unfinished(&self, count: usize) -> u64 {
        let Some(room) = self.list else { return 0 };
        let mut bytes = vec![0; count * ENTRY];
        if self.read(room.calls, &mut bytes).is_err() {
            return 0;
        }
        bytes.chunks_exact(ENTRY).filter(|entry| entry[56..] == UNMADE.to_ne_bytes()).count() as u64
    }

    /// The call that a stopped thread makes in its list.
    fn current<'c>(&self, calls: &'c [Call]) -> &'c Call {
        let left = self.registers_now().map_or(1, |registers| registers.left_of_list());
        let at = calls.len().saturating_sub(left.max(1) as usize);
        &calls[at.min(calls.len() - 1)]
    }

    fn read_results(&mut self, room: Room, calls: &mut [Call]) -> Result<(), Error> {
        let mut bytes = vec![0; calls.len() * ENTRY];
        self.read(room.calls, &mut bytes)?;
        for (call, entry) in calls.iter_mut().zip(bytes.chunks_exact(ENTRY)) {
            call.result = i64::from_ne_bytes(entry[56..].try_into().unwrap_or_default());
        }
        self.point(Step::ListRead)
    }
}

/// The result of a call that was not made yet; no call answers it.
const UNMADE: i64 = -0x6672_6565_7a65;

impl Call {
    fn bytes(&self) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        let words = [&[self.number][..], &self.arguments[..], &[UNMADE as u64][..]].concat();
        for (place, word) in entry.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        entry
    }
}
