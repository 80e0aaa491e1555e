//! Many calls in one process, in one go: 0.3 µs a call.

use std::io;

use libc::pid_t;

use crate::remote::processor::LIST_CODE;
use crate::remote::{Call, ENTRY};
use crate::sys::ptrace;
use crate::sys::wait::Status;

use super::area::{DATA, MOST_CALLS};
use super::error::{Object, Result};
use super::stub::Stub;

/// The result of a call that was not made.
const UNMADE: i64 = -0x6672_6565_7a65;

/// Calls that a process makes one after another; each has to succeed. Runs what it holds when it is full.
pub(super) struct List<'s> {
    stub: &'s Stub,
    calls: Vec<(Object, Call)>,
    data: Vec<u8>,
    /// Children that were had by the calls so far.
    pub(super) children: Vec<pid_t>,
}

impl<'s> List<'s> {
    pub(super) fn new(stub: &'s Stub) -> Self {
        Self { stub, calls: Vec::new(), data: Vec::new(), children: Vec::new() }
    }

    /// Who makes them.
    pub(super) fn stub(&self) -> &'s Stub {
        self.stub
    }

    /// Appends a call.
    pub(super) fn call(&mut self, object: Object, number: libc::c_long, arguments: [u64; 6]) -> Result {
        self.with(object, number, &[], |_| arguments)
    }

    /// Appends a call that reads or writes `data`: `arguments` gets where each piece stands.
    pub(super) fn with(
        &mut self,
        object: Object,
        number: libc::c_long,
        data: &[&[u8]],
        arguments: impl FnOnce(&[u64]) -> [u64; 6],
    ) -> Result {
        let length: usize = data.iter().map(|piece| piece.len().next_multiple_of(16)).sum();
        if self.calls.len() == MOST_CALLS || self.data.len() + length > DATA as usize {
            self.run()?;
        }
        if length > DATA as usize {
            let error = io::Error::new(io::ErrorKind::InvalidInput, format!("{length} bytes for one call"));
            return Err(self.stub.failed(object, "write its arguments", error));
        }
        let mut places = Vec::new();
        for piece in data {
            places.push(self.stub.area().data() + self.data.len() as u64);
            self.data.extend(*piece);
            self.data.resize(self.data.len().next_multiple_of(16), 0);
        }
        self.calls.push((object, Call::new(number, arguments(&places))));
        Ok(())
    }

    /// Where the next call's first piece of data will stand, if it has `length` bytes in all.
    pub(super) fn place(&mut self, length: usize) -> Result<u64> {
        if self.calls.len() == MOST_CALLS || self.data.len() + length > DATA as usize {
            self.run()?;
        }
        Ok(self.stub.area().data() + self.data.len() as u64)
    }

    /// Makes all calls.
    pub(super) fn run(&mut self) -> Result {
        let calls = std::mem::take(&mut self.calls);
        let data = std::mem::take(&mut self.data);
        let Some((first, _)) = calls.first() else { return Ok(()) };
        let (stub, area) = (self.stub, self.stub.area());
        if !data.is_empty() {
            stub.write(*first, area.data(), &data)?;
        }
        let mut bytes = Vec::with_capacity(calls.len() * ENTRY);
        for (_, call) in &calls {
            bytes.extend(call.number.to_ne_bytes());
            call.arguments.iter().for_each(|argument| bytes.extend(argument.to_ne_bytes()));
            bytes.extend(UNMADE.to_ne_bytes());
        }
        stub.write(*first, area.list(), &bytes)?;
        stub.set(*first, stub.common.registers.running(area.list_code(), area.list(), calls.len() as u64))?;
        let ran = self.finish(*first);
        // Also when it did not come to the end: the first call without an answer is the one that hangs.
        if let Err(error) = stub.read(*first, area.list(), &mut bytes) {
            return ran.and(Err(error));
        }
        for ((object, call), entry) in calls.iter().zip(bytes.chunks_exact(ENTRY)) {
            let result = i64::from_ne_bytes(entry[ENTRY - 8..].try_into().unwrap_or_default());
            let made = Call { result, ..*call };
            if let Some(error) = made.error() {
                return Err(stub.failed_call(*object, &made, error));
            }
            if result == UNMADE {
                let error = io::Error::new(io::ErrorKind::TimedOut, "it does not come back");
                return ran.and(Err(stub.failed_call(*object, &made, error)));
            }
        }
        ran
    }

    fn finish(&mut self, object: Object) -> Result {
        let (stub, what) = (self.stub, "run a list of calls");
        loop {
            ptrace::resume(stub.tid, 0).map_err(|error| stub.failed(object, what, error))?;
            match stub.wait(object, what)? {
                Status::Stopped { signal: libc::SIGTRAP, event: 0 } => {
                    let at = crate::remote::processor::Registers::of(stub.tid);
                    let at = at.map_err(|error| stub.failed(object, what, error))?.instruction();
                    let begin = stub.area().list_code();
                    if at == stub.area().list_end() {
                        return Ok(());
                    }
                    let inside = at.wrapping_sub(begin) < LIST_CODE.len() as u64;
                    let error = format!("a SIGTRAP {}", if inside { "of somebody else" } else { "elsewhere" });
                    return Err(stub.failed(object, what, io::Error::other(error)));
                }
                status => {
                    let mut child = None;
                    stub.on_the_way(status, object, what, &mut child)?;
                    self.children.extend(child);
                }
            }
        }
    }
}
