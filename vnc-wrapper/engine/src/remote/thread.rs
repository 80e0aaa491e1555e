//! A stopped thread in which calls are made, and everything that is given back afterwards.

use std::io::{BufRead, BufReader};

use crate::fault::{self, Step};
use crate::filters::Chain;
use crate::sys::ptrace::{CALL_STOP, Signal};
use crate::sys::wait::Status;
use crate::sys::{memory, ptrace, signal};

use super::call::SECCOMP;
use super::list::BREAKPOINT;
use super::processor::{self, Registers};
use super::stopped::FAREWELL;
use super::{Error, Stopped, Who};

/// Most of one mapping that is searched for the instruction that makes a call.
const SEARCHED: u64 = 16 << 20;

/// A stopped thread in which calls are made. Dropped, it is as it was: memory, descriptors, registers, signal mask.
pub struct Thread<'s, 't> {
    stopped: &'s mut Stopped<'t>,
    /// Its own registers.
    saved: Registers,
    /// Its own blocked signals.
    mask: u64,
    /// Where a call can be made.
    instruction: u64,
    /// It has a seccomp filter, so SIGSYS must not be blocked: the kernel would take a blocked one's handler away.
    filtered: bool,
    /// What is to be taken back, oldest first.
    pub(super) undo: Vec<Undo>,
    /// Memory for lists of calls, once one was run.
    pub(super) list: Option<super::list::Room>,
    /// It was let run and has not been seen where it was to arrive.
    astray: bool,
    /// What the last call answered, should what followed it fail.
    pub(super) answered: Option<i64>,
    /// A SIGSYS of its own came, and waits blocked.
    own_sigsys: bool,
    /// A SIGTRAP of its own that came while a list ran, and has to be queued again.
    own_sigtrap: Option<Signal>,
    /// There is something to give back.
    open: bool,
}

/// Something to take back.
pub(super) enum Undo {
    /// Memory that was mapped.
    Unmap {
        /// Where.
        address: u64,
        /// Bytes.
        length: u64,
    },
    /// A descriptor that was opened.
    Close(u64),
    /// A System V segment that was attached at this address.
    Detach(u64),
    /// Memory that was overwritten.
    Write {
        /// Where.
        address: u64,
        /// What stood there.
        bytes: Vec<u8>,
    },
}

impl<'s, 't> Thread<'s, 't> {
    pub(super) fn begin(stopped: &'s mut Stopped<'t>) -> Result<Self, Error> {
        stopped.leave_sequence()?;
        let saved = stopped.registers()?;
        let mask = stopped.signal_mask()?;
        fault::point(Step::Registers).map_err(|error| Error::other(stopped.who(), "read the registers of", error))?;
        let instruction = match stopped.instruction {
            Some(instruction) => instruction,
            None => *stopped.instruction.insert(find_instruction(stopped.who())?),
        };
        let filtered = status_field(stopped.who(), "Seccomp:").is_none_or(|mode| mode != "0");
        fault::point(Step::Instruction).map_err(|error| Error::other(stopped.who(), "look into", error))?;
        let mut thread = Self {
            stopped,
            saved,
            mask,
            instruction,
            filtered,
            undo: Vec::new(),
            list: None,
            astray: false,
            answered: None,
            own_sigsys: false,
            own_sigtrap: None,
            open: true,
        };
        thread.block(0)?;
        thread.point(Step::Blocked)?;
        Ok(thread)
    }

    /// Which thread.
    #[must_use]
    pub fn who(&self) -> &Who {
        self.stopped.who()
    }

    /// Its own registers, as they will be given back.
    #[must_use]
    pub fn saved(&self) -> &Registers {
        &self.saved
    }

    /// Its own blocked signals, as they will be given back.
    #[must_use]
    pub fn mask(&self) -> u64 {
        self.mask
    }

    pub(super) fn instruction(&self) -> u64 {
        self.instruction
    }

    pub(super) fn filters(&self) -> Option<&Chain> {
        self.stopped.filters.as_ref()
    }

    pub(super) fn registers_now(&self) -> Result<Registers, Error> {
        self.stopped.registers()
    }

    pub(super) fn set_astray(&mut self, astray: bool) {
        self.astray = astray;
    }

    /// A SIGSYS of its own was put back into its queue; from now on SIGSYS is blocked.
    pub(super) fn note_own_sigsys(&mut self) {
        self.own_sigsys = true;
    }

    /// Whether a call that its filter traps would cost it its handler of SIGSYS.
    pub(super) fn exposed(&self) -> bool {
        self.filtered && self.own_sigsys
    }

    /// Blocks its signals but `free` (bit n - 1 for signal n), and SIGSYS where a filter may send it.
    pub(super) fn block(&mut self, free: u64) -> Result<(), Error> {
        let sigsys = if self.filtered && !self.own_sigsys { bit(libc::SIGSYS) } else { 0 };
        let blocked = ptrace::set_signal_mask(self.who().tid, !(free | sigsys));
        blocked.map_err(|error| Error::other(self.who(), "block the signals of", error))
    }

    /// Waits for what it does next. A thread that does nothing in time is interrupted, so that it can be given back.
    pub(super) fn wait_for(&mut self, what: &str) -> Result<Status, Error> {
        match self.stopped.wait(what) {
            // That it did not come back says more than that it did not stop either.
            Err(late @ Error::Late { .. }) => match self.stop_late() {
                Err(gone @ Error::Gone(_)) => Err(gone),
                _ => Err(late),
            },
            other => other,
        }
    }

    /// [`Thread::wait_for`] that leaves a late one alone.
    pub(super) fn wait_once(&mut self, what: &str) -> Result<Status, Error> {
        self.stopped.wait(what)
    }

    /// Interrupts a call that does not come back. Signals that were on their way are not lost.
    pub(super) fn stop_late(&mut self) -> Result<(), Error> {
        let mut status = self.stopped.halt()?;
        while let Status::Stopped { event: 0, signal } = status
            && signal != CALL_STOP
        {
            let signal = self.keep(signal)?;
            self.stopped.pass(signal)?;
            status = self.stopped.halt()?;
        }
        Ok(())
    }

    /// In a stop before `signal`: what is to be delivered in its place, so that the thread gets those of its own in the end.
    fn keep(&mut self, signal: i32) -> Result<i32, Error> {
        if !matches!(signal, libc::SIGTRAP | libc::SIGSYS) {
            return Ok(signal);
        }
        let info = self.about_to_get()?;
        match (signal, info.code()) {
            // Sent because of what it was had to do.
            (libc::SIGTRAP, BREAKPOINT) | (libc::SIGSYS, SECCOMP) => Ok(0),
            (libc::SIGTRAP, _) => {
                self.hold_sigtrap(info);
                Ok(0)
            }
            _ => {
                self.note_own_sigsys();
                self.block(0)?;
                Ok(signal)
            }
        }
    }

    /// The signal that the stop is about.
    pub(super) fn about_to_get(&self) -> Result<Signal, Error> {
        ptrace::stop_signal(self.who().tid).map_err(|error| Error::other(self.who(), "read a signal of", error))
    }

    /// Keeps a SIGTRAP of its own until it can wait again; as in a queue, the first one stays.
    pub(super) fn hold_sigtrap(&mut self, signal: Signal) {
        self.own_sigtrap.get_or_insert(signal);
    }

    /// In a stop before a SIGTRAP: puts the one that is held into the queue in its place. It is blocked, so it waits there.
    pub(super) fn queue_sigtrap(&mut self) -> Result<(), Error> {
        let Some(signal) = self.own_sigtrap.take() else { return Ok(()) };
        ptrace::set_stop_signal(self.who().tid, &signal)
            .map_err(|error| Error::other(self.who(), "queue a signal again for", error))?;
        self.pass_signal(libc::SIGTRAP)
    }

    /// The same from a stop on the way back: a SIGTRAP is sent to be replaced. That it was for the whole process is lost.
    fn queue_late_sigtrap(&mut self) -> Result<(), Error> {
        if self.own_sigtrap.is_none() {
            return Ok(());
        }
        let tid = self.who().tid;
        let failed = |thread: &Self, error| Error::other(thread.who(), "queue a signal again for", error);
        let sent = ptrace::set_signal_mask(tid, !bit(libc::SIGTRAP)).and_then(|()| signal::send(tid, libc::SIGTRAP));
        sent.map_err(|error| failed(self, error))?;
        let mut signal = 0;
        loop {
            ptrace::resume(tid, signal).map_err(|error| failed(self, error))?;
            signal = match self.stopped.wait("stop")? {
                Status::Stopped { signal: libc::SIGTRAP, event: 0 } => break,
                Status::Stopped { signal, event: 0 } => signal,
                _ => 0,
            };
        }
        ptrace::set_signal_mask(tid, u64::MAX).map_err(|error| failed(self, error))?;
        self.queue_sigtrap()
    }

    /// Lets it go on to a stop on its way back, with `signal`, which is blocked.
    pub(super) fn pass_signal(&mut self, signal: i32) -> Result<(), Error> {
        let idle = self.saved.idle(self.instruction);
        idle.give(self.who().tid).map_err(|error| Error::other(self.who(), "give the registers back to", error))?;
        self.stopped.pass(signal)?;
        self.stopped.settle("stop")
    }

    /// Brings it from wherever a failure left it to a stop on its way back to its own code. At the begin of a call, that call
    /// is not made.
    pub(super) fn resettle(&mut self) -> Result<(), Error> {
        let idle = self.saved.idle(self.instruction);
        let mut given = idle.give(self.who().tid);
        if given.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH)) {
            // It runs still: what waited for it gave up.
            self.stop_late()?;
            given = idle.give(self.who().tid);
        }
        given.map_err(|error| Error::other(self.who(), "give the registers back to", error))?;
        self.stopped.pass(0)?;
        self.stopped.settle("stop")?;
        self.astray = false;
        Ok(())
    }

    pub(super) fn astray(&self) -> bool {
        self.astray
    }

    /// Gives everything back and reports what failed; dropping does the same silently.
    ///
    /// # Errors
    /// The first thing that could not be given back; the rest was.
    pub fn close(mut self) -> Result<(), Error> {
        self.give_back()
    }

    fn give_back(&mut self) -> Result<(), Error> {
        if !self.open {
            return Ok(());
        }
        self.open = false;
        let patience = self.stopped.patience();
        self.stopped.set_patience(FAREWELL.max(patience));
        let given = self.give_all_back();
        self.stopped.set_patience(patience);
        given
    }

    fn give_all_back(&mut self) -> Result<(), Error> {
        let mut first = if self.astray { self.resettle() } else { Ok(()) };
        while let Some(undo) = self.undo.pop() {
            self.answered = None;
            let mut undone = self.take_back(&undo);
            if undone.is_err() {
                undone = match self.answered {
                    // It was made; only what followed failed.
                    Some(result) if result >= 0 => Ok(()),
                    // Once more from a known place: what stays behind would stay for good.
                    _ => self.resettle().and_then(|()| self.take_back(&undo)),
                };
            }
            first = first.and(undone);
        }
        // Only from a stop on the way back does the kernel begin an interrupted call again.
        first = first.and(self.resettle()).and_then(|()| self.queue_late_sigtrap());
        let tid = self.who().tid;
        let given = self.saved.give(tid).and_then(|()| ptrace::set_signal_mask(tid, self.mask));
        first.and(given.map_err(|error| Error::other(self.who(), "give the registers back to", error)))
    }

    fn take_back(&mut self, undo: &Undo) -> Result<(), Error> {
        match undo {
            Undo::Unmap { address, length } => self.call(&unmap(*address, *length)).map(drop),
            Undo::Close(number) => self.call(&super::Call::new(libc::SYS_close, [*number, 0, 0, 0, 0, 0])).map(drop),
            Undo::Detach(address) => self.call(&super::Call::new(libc::SYS_shmdt, [*address, 0, 0, 0, 0, 0])).map(drop),
            Undo::Write { address, bytes } => self.write(*address, bytes),
        }
    }

    /// Fills `into` from its memory at `address`.
    ///
    /// # Errors
    /// [`Error::Other`] with `EFAULT` where nothing can be read, [`Error::Gone`].
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error> {
        memory::read(self.who().tid, address, into).map_err(|error| Error::other(self.who(), "read memory of", error))
    }

    /// Writes `from` to its memory at `address`; not given back, so only for memory that is.
    pub(super) fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Error> {
        memory::write(self.who().tid, address, from).map_err(|error| Error::other(self.who(), "write memory of", error))
    }
}

impl Drop for Thread<'_, '_> {
    fn drop(&mut self) {
        let _ = self.give_back();
    }
}

pub(super) fn unmap(address: u64, length: u64) -> super::Call {
    super::Call::new(libc::SYS_munmap, [address, length, 0, 0, 0, 0])
}

/// The bit of a signal in a mask.
pub(super) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// A field of the thread's `status`.
pub(super) fn status_field(who: &Who, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/task/{}/status", who.pid, who.tid)).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(|rest| rest.trim().to_owned())
}

/// Finds the instruction that makes a call: in the vdso, else wherever the process may execute code.
fn find_instruction(who: &Who) -> Result<u64, Error> {
    let failed = |error| Error::other(who, "read the maps of", error);
    let maps = std::fs::File::open(format!("/proc/{}/task/{}/maps", who.pid, who.tid)).map_err(failed)?;
    let mut others = Vec::new();
    for line in BufReader::new(maps).lines() {
        let line = line.map_err(failed)?;
        let Some((start, end)) = executable(&line) else { continue };
        if line.ends_with("[vdso]") {
            if let Some(found) = search(who, start, end) {
                return Ok(found);
            }
        } else if !line.ends_with("[vsyscall]") {
            others.push((start, end));
        }
    }
    let found = others.into_iter().find_map(|(start, end)| search(who, start, end));
    found.ok_or_else(|| Error::Unable {
        who: who.clone(),
        why: "nothing that it may execute holds the instruction for a system call".to_owned(),
    })
}

/// The range of a line of `maps`, if its memory may be read and executed.
fn executable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let bytes = rest.as_bytes();
    (bytes.first() == Some(&b'r') && bytes.get(2) == Some(&b'x')).then_some(())?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

fn search(who: &Who, start: u64, end: u64) -> Option<u64> {
    let mut code = vec![0; (end - start).min(SEARCHED) as usize];
    let read = memory::read_some(who.tid, start, &mut code).ok()?;
    processor::find_instruction(&code[..read]).map(|at| start + at as u64)
}
