//! A process that is being made: it runs no code but the calls that it is had to make.
//!
//! Nothing is given back, unlike with [`crate::remote::Thread`]: all of it is ours until it goes its own way. Its signals are
//! blocked but SIGTRAP, with which a list ends. The kernel kills it when the tracing thread ends (`PTRACE_O_EXITKILL`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

use crate::fault::{self, Step};
use crate::remote::Call;
use crate::remote::processor::Registers;
use crate::sys::ptrace::{self, CALL_STOP, CallStop, EVENT_STOP};
use crate::sys::wait::{self, Status};
use crate::sys::{memory, pidfd};

use super::area::Area;
use super::error::{Error, Name, Object, Result};

/// Every signal but SIGTRAP.
pub(super) const BLOCKED: u64 = !(1 << (libc::SIGTRAP - 1));
/// What the tracer wants to hear of, and that nothing survives it. Children and threads of a traced process are traced from
/// their birth.
pub(super) const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC;

/// What all stubs have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) area: Area,
    /// Where a single call is made.
    pub(super) code: u64,
    /// Registers that every stub can have.
    pub(super) registers: Registers,
    /// How long any one wait may take.
    pub(super) patience: Duration,
}

/// A stopped process or thread that is being made.
#[derive(Clone, Debug)]
pub(super) struct Stub {
    /// Its thread id, as this process sees it.
    pub(super) tid: pid_t,
    pub(super) name: Name,
    pub(super) common: Common,
}

impl Stub {
    pub(super) fn area(&self) -> Area {
        self.common.area
    }

    /// The error of a step that was made from outside.
    pub(super) fn failed(&self, object: Object, call: &str, error: io::Error) -> Error {
        let (process, call) = (self.name.clone(), call.to_owned());
        match error.raw_os_error() {
            Some(libc::ESRCH | libc::ECHILD) => Error::Ended { process, object, call },
            _ => Error::Step { process, object, call, error },
        }
    }

    /// What it does next.
    pub(super) fn wait(&self, object: Object, what: &str) -> Result<Status> {
        match wait::until(self.tid, Instant::now() + self.common.patience) {
            Ok(Some(Status::Exited(_) | Status::Killed(_))) => {
                Err(Error::Ended { process: self.name.clone(), object, call: what.to_owned() })
            }
            Ok(Some(status)) => Ok(status),
            Ok(None) => {
                let late = format!("not within {} ms", self.common.patience.as_millis());
                Err(self.failed(object, what, io::Error::new(io::ErrorKind::TimedOut, late)))
            }
            Err(error) => Err(self.failed(object, what, error)),
        }
    }

    /// Has it make `call`.
    pub(super) fn call(&self, object: Object, call: &Call) -> Result<u64> {
        let (made, _) = self.make(object, call)?;
        match made.error() {
            None => Ok(made.result as u64),
            Some(error) => Err(self.failed_call(object, call, error)),
        }
    }

    pub(super) fn failed_call(&self, object: Object, call: &Call, error: io::Error) -> Error {
        Error::Step { process: self.name.clone(), object, call: call.to_string(), error }
    }

    /// Has it make `call`; what that answered, and the child that it had by it.
    pub(super) fn make(&self, object: Object, call: &Call) -> Result<(Call, Option<pid_t>)> {
        self.set(object, self.common.registers.making(self.common.code, call))?;
        let what = call.to_string();
        self.to_call_stop(object, &what)?;
        let child = self.to_call_stop(object, &what)?;
        match ptrace::call_stop(self.tid).map_err(|error| self.failed(object, &what, error))? {
            CallStop::Exit(result) => Ok((Call { result, ..*call }, child)),
            stop => {
                let error = io::Error::other(format!("it stands at {stop:?} instead"));
                Err(self.failed(object, &what, error))
            }
        }
    }

    pub(super) fn set(&self, object: Object, registers: Registers) -> Result {
        registers.give(self.tid).map_err(|error| self.failed(object, "PTRACE_SETREGSET", error))
    }

    /// Lets it run to the next begin or end of a call; the child that it had on the way.
    pub(super) fn to_call_stop(&self, object: Object, what: &str) -> Result<Option<pid_t>> {
        let mut child = None;
        loop {
            ptrace::resume_to_call(self.tid, 0).map_err(|error| self.failed(object, what, error))?;
            match self.wait(object, what)? {
                Status::Stopped { signal: CALL_STOP, .. } => return Ok(child),
                status => self.on_the_way(status, object, what, &mut child)?,
            }
        }
    }

    /// A stop that is not the one that was waited for.
    pub(super) fn on_the_way(&self, status: Status, object: Object, what: &str, child: &mut Option<pid_t>) -> Result {
        match status {
            Status::Stopped { event: libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_CLONE, .. } => {
                let message = ptrace::event_message(self.tid).map_err(|error| self.failed(object, what, error))?;
                *child = Some(message as pid_t);
                Ok(())
            }
            // A request to stop that is still on its way.
            Status::Stopped { event: EVENT_STOP, .. } => Ok(()),
            status => Err(self.failed(object, what, io::Error::other(format!("unexpected stop {status:?}")))),
        }
    }

    /// A child or thread that `by` had: waits for its first stop.
    pub(super) fn born(by: &Self, tid: pid_t, name: Name, object: Object) -> Result<Self> {
        let stub = Self { tid, name, common: by.common };
        match stub.wait(object, "begin")? {
            Status::Stopped { event: EVENT_STOP, .. } => Ok(stub),
            status => Err(stub.failed(object, "begin", io::Error::other(format!("unexpected stop {status:?}")))),
        }
    }

    /// Brings it to a stop on its way to its own code, without running any: there the kernel begins an interrupted call again,
    /// as registers say that are set then.
    pub(super) fn settle(&self) -> Result {
        let object = Object::Registers;
        let what = "PTRACE_INTERRUPT";
        ptrace::interrupt(self.tid).map_err(|error| self.failed(object, what, error))?;
        loop {
            ptrace::resume(self.tid, 0).map_err(|error| self.failed(object, what, error))?;
            match self.wait(object, what)? {
                Status::Stopped { event: EVENT_STOP, .. } => return Ok(()),
                status => self.on_the_way(status, object, what, &mut None)?,
            }
        }
    }

    /// Writes into its memory.
    pub(super) fn write(&self, object: Object, address: u64, bytes: &[u8]) -> Result {
        memory::write(self.tid, address, bytes).map_err(|error| self.failed(object, "process_vm_writev", error))
    }

    /// Reads its memory.
    pub(super) fn read(&self, object: Object, address: u64, bytes: &mut [u8]) -> Result {
        memory::read(self.tid, address, bytes).map_err(|error| self.failed(object, "process_vm_readv", error))
    }

    /// Has it make a call that gives a descriptor; a copy of that here. It is closed there.
    pub(super) fn take_descriptor(&self, object: Object, call: &Call) -> Result<OwnedFd> {
        self.take_descriptor_after(object, call, |_| Ok(()))
    }

    /// [`Self::take_descriptor`], once `work` was done with its number there.
    pub(super) fn take_descriptor_after(
        &self,
        object: Object,
        call: &Call,
        work: impl FnOnce(u64) -> Result,
    ) -> Result<OwnedFd> {
        let number = self.call(object, call)?;
        work(number)?;
        let copied = self.copy_descriptor(object, number);
        self.call(object, &Call::new(libc::SYS_close, [number, 0, 0, 0, 0, 0]))?;
        copied
    }

    /// A copy here of its descriptor `number`.
    pub(super) fn copy_descriptor(&self, object: Object, number: u64) -> Result<OwnedFd> {
        let copied = pidfd::open(self.tid).and_then(|process| pidfd::copy(process.as_fd(), number as i32));
        copied.map_err(|error| self.failed(object, "pidfd_getfd", error))
    }
}

impl Stub {
    /// A step that tests make fail.
    pub(super) fn point(&self, object: Object, step: Step) -> Result {
        fault::point(step).map_err(|error| self.failed(object, "a step", error))
    }
}
