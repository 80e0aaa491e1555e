//! A thread that was stopped, and runs on when the guard is dropped.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

use super::processor::Registers;
use super::{Error, Thread, Who};
use crate::fault::{self, Step};
use crate::filters::Chain;
use crate::sys::ptrace::{self, EVENT_STOP};
use crate::sys::wait::{self, Status};

/// How often a thread is let run a little further to leave a place where no call may be made.
const STEPS: u32 = 64;

/// How long a thread that was killed is waited for before it is looked at.
const STEP: Duration = Duration::from_millis(1);

/// How long a thread is waited for that has not got its own registers or mask: let go like that it would be lost. On a busy
/// machine a thread that nothing holds can be without a processor for longer than any patience of a caller.
pub(super) const FAREWELL: Duration = Duration::from_secs(20);

/// Proof that this thread was started by [`tracing`].
pub struct Tracer {
    /// Only the thread that seized may make requests.
    _here: PhantomData<*const ()>,
}

/// Runs `work` in a thread of its own and waits for it.
///
/// The kernel lets go of everything that a thread traces when that thread ends. So what could not be let go of because it did
/// not stop (an uninterruptible sleep) runs on too, and nothing of it depends on what happens to `work`.
///
/// # Panics
/// When `work` does.
pub fn tracing<T: Send>(work: impl FnOnce(&Tracer) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| work(&Tracer { _here: PhantomData }));
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A thread that was stopped.
///
/// Dropped, it runs on: a call that the stop interrupted goes on, a process that was stopped by a signal stays so.
pub struct Stopped<'t> {
    who: Who,
    /// How long any one wait may take.
    patience: Duration,
    /// False once it is gone or let go.
    held: bool,
    /// The exit status, if it ended and we were who learned it.
    ended: Option<Status>,
    /// Where it can make calls, once that was looked for.
    pub(super) instruction: Option<u64>,
    /// Its seccomp filters, where they are known.
    pub(super) filters: Option<Chain>,
    _tracer: PhantomData<&'t Tracer>,
}

impl<'t> Stopped<'t> {
    /// Takes hold of thread `tid` of process `pid` and stops it; any one wait takes `patience` at most.
    ///
    /// # Errors
    /// [`Error::Late`] when it does not stop, [`Error::Gone`], [`Error::Other`] when it may not be traced.
    pub fn take(_: &'t Tracer, pid: pid_t, tid: pid_t, patience: Duration) -> Result<Self, Error> {
        let who = Who::of(pid, tid);
        let seized = fault::point(Step::Seize).and_then(|()| ptrace::seize(tid, libc::PTRACE_O_TRACESYSGOOD));
        seized.map_err(|error| Error::other(&who, "take hold of", error))?;
        let mut stopped =
            Self { who, patience, held: true, ended: None, instruction: None, filters: None, _tracer: PhantomData };
        let asked = fault::point(Step::Interrupt).and_then(|()| ptrace::interrupt(tid));
        asked.map_err(|error| Error::other(&stopped.who, "stop", error))?;
        stopped.settle("stop")?;
        fault::point(Step::Stopped).map_err(|error| Error::other(&stopped.who, "stop", error))?;
        Ok(stopped)
    }

    /// A thread that the caller has seized and seen in a stop that no signal caused.
    pub(crate) fn adopt(_: &'t Tracer, who: Who, patience: Duration) -> Self {
        Self { who, patience, held: true, ended: None, instruction: None, filters: None, _tracer: PhantomData }
    }

    /// Which thread.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Its seccomp filters, oldest first: no call is made in it that these deny. Without this one that is denied is noticed
    /// where the filter sends a signal, and kills the thread where it kills.
    pub fn set_filters(&mut self, filters: Chain) {
        self.filters = Some(filters);
    }

    /// How it ended, if it did and nobody else will learn it.
    #[must_use]
    pub fn ended(&self) -> Option<Status> {
        self.ended
    }

    /// Its registers.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Unable`] for 32-bit code.
    pub fn registers(&self) -> Result<Registers, Error> {
        Registers::of(self.who.tid).map_err(|error| match error.kind() {
            std::io::ErrorKind::Unsupported => Error::Unable { who: self.who.clone(), why: error.to_string() },
            _ => Error::other(&self.who, "read the registers of", error),
        })
    }

    /// Its blocked signals, bit n - 1 for signal n.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn signal_mask(&self) -> Result<u64, Error> {
        ptrace::signal_mask(self.who.tid).map_err(|error| Error::other(&self.who, "read the signal mask of", error))
    }

    /// How long any one wait may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// How long any one wait may take from now on; what it was until now.
    pub(super) fn set_patience(&mut self, patience: Duration) -> Duration {
        std::mem::replace(&mut self.patience, patience)
    }

    /// Stops it where it is, which was let run and did not come back in time: waits as long as it takes.
    pub(super) fn halt(&mut self) -> Result<Status, Error> {
        ptrace::interrupt(self.who.tid).map_err(|error| Error::other(&self.who, "stop", error))?;
        let patience = self.set_patience(FAREWELL.max(self.patience));
        let status = self.wait("stop");
        self.set_patience(patience);
        status
    }

    /// It was killed, and who waits for it is the caller: its id.
    pub(crate) fn abandon(&mut self) -> pid_t {
        self.held = false;
        self.who.tid
    }

    /// Starts to make calls in it.
    ///
    /// # Errors
    /// [`Error::Unable`] when none can be made, [`Error::Gone`].
    pub fn thread(&mut self) -> Result<Thread<'_, 't>, Error> {
        Thread::begin(self)
    }

    /// Waits for what it does next.
    pub(super) fn wait(&mut self, what: &str) -> Result<Status, Error> {
        let status = wait::until(self.who.tid, Instant::now() + self.patience);
        match status.map_err(|error| Error::other(&self.who, "wait for", error)) {
            Ok(Some(status @ (Status::Exited(_) | Status::Killed(_)))) => {
                self.held = false;
                self.ended = Some(status);
                Err(Error::Gone(self.who.clone()))
            }
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(self.late(what)),
            Err(error) => {
                self.held = false;
                Err(error)
            }
        }
    }

    pub(super) fn late(&self, what: &str) -> Error {
        Error::Late { who: self.who.clone(), what: what.to_owned(), milliseconds: self.patience.as_millis() }
    }

    /// Waits until it stands in a stop that no signal caused, on its way back to its own code: there the kernel still has its
    /// interrupted call and begins it again, whatever the registers were in the meantime. Signals on the way are delivered.
    pub(super) fn settle(&mut self, what: &str) -> Result<(), Error> {
        let deadline = Instant::now() + self.patience;
        loop {
            let signal = match self.wait(what)? {
                Status::Stopped { event: EVENT_STOP, .. } => return Ok(()),
                Status::Stopped { event: 0, signal } if signal != ptrace::CALL_STOP => signal,
                _ => 0,
            };
            if Instant::now() >= deadline {
                return Err(self.late(what));
            }
            self.pass(signal)?;
        }
    }

    /// [`Stopped::settle`], unless it has ended: a first thread reports that only with all others.
    fn settle_or_end(&mut self) -> bool {
        let deadline = Instant::now() + self.set_patience(STEP);
        loop {
            match self.settle("stop") {
                Err(Error::Late { .. }) if Instant::now() < deadline => {}
                settled => return settled.is_ok(),
            }
            let directory = format!("/proc/{}/task/{}", self.who.pid, self.who.tid);
            let stat = crate::process::stat::read(directory.as_ref());
            if stat.is_ok_and(|stat| stat.has_ended()) {
                return false;
            }
        }
    }

    /// Lets it run to its next stop of that kind, which comes before any of its own code.
    pub(super) fn pass(&mut self, signal: c_int) -> Result<(), Error> {
        // Any stop consumes the request to stop: it is made again.
        let asked = ptrace::interrupt(self.who.tid).and_then(|()| ptrace::resume(self.who.tid, signal));
        asked.map_err(|error| Error::other(&self.who, "stop", error))
    }

    /// Has it leave a restartable sequence: the kernel aborts one whose thread was stopped, on the way to the next stop.
    pub(super) fn leave_sequence(&mut self) -> Result<(), Error> {
        for _ in 0..STEPS {
            if !self.in_sequence()? {
                return Ok(());
            }
            self.pass(0)?;
            self.settle("leave a restartable sequence")?;
        }
        Err(Error::Unable { who: self.who.clone(), why: "it stays inside a restartable sequence".to_owned() })
    }

    /// Whether it stands inside a restartable sequence: `struct rseq` and `struct rseq_cs`, `include/uapi/linux/rseq.h`.
    fn in_sequence(&self) -> Result<bool, Error> {
        let Ok(rseq) = ptrace::rseq(self.who.tid) else { return Ok(false) };
        if rseq.address == 0 {
            return Ok(false);
        }
        let word = |address: u64| {
            let mut bytes = [0; 8];
            crate::sys::memory::read(self.who.tid, address, &mut bytes).map(|()| u64::from_ne_bytes(bytes))
        };
        // The kernel ends a thread whose structure cannot be read as soon as it looks, so this does not matter then.
        let Ok(sequence) = word(rseq.address + 8) else { return Ok(false) };
        if sequence == 0 {
            return Ok(false);
        }
        let (Ok(start), Ok(length)) = (word(sequence + 8), word(sequence + 16)) else { return Ok(false) };
        let at = self.registers()?.instruction();
        Ok(at.wrapping_sub(start) < length)
    }

    /// Lets it run on.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn release(mut self) -> Result<(), Error> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), Error> {
        if !self.held {
            return Ok(());
        }
        self.held = false;
        if let Err(error) = begin_again(self.who.tid).and_then(|()| ptrace::detach(self.who.tid, 0)) {
            // Not stopped: only a stopped thread can be let go, and one that stops later would never run again.
            let asked = error.raw_os_error() == Some(libc::ESRCH) && ptrace::interrupt(self.who.tid).is_ok();
            if asked && self.settle_or_end() {
                let let_go = begin_again(self.who.tid).and_then(|()| ptrace::detach(self.who.tid, 0));
                return let_go.map_err(|error| Error::other(&self.who, "let go of", error));
            }
            return Err(Error::other(&self.who, "let go of", error));
        }
        Ok(())
    }
}

/// Sees to it that a call that only the stop ended is begun again.
pub(crate) fn begin_again(tid: pid_t) -> std::io::Result<()> {
    match Registers::of(tid).map(Registers::begun_again) {
        Ok(Some(registers)) => registers.give(tid),
        Ok(None) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(error),
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // A thread that does not stop is let go by the kernel when the tracing thread ends.
        let _ = self.let_go();
    }
}
