//! The call that a thread waited in, where the kernel alone knows how it goes on (restart_syscall(2)): it is made again with
//! the time that was left, interrupted, and goes on when the thread runs.

use std::io;
use std::time::Duration;

use crate::record::process::Restart;
use crate::remote::Call;
use crate::remote::processor::Registers;
use crate::sys::ptrace::{self, CALL_STOP, EVENT_STOP};
use crate::sys::wait::Status;

use super::error::{Error, Object, Result};
use super::stub::Stub;
use super::threads::Pair;

/// The bits of a futex operation beyond FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_COMMAND: u64 = 0x7f;

/// Begins the wait again; the thread's registers after that: those of the record, or with the call's answer where it did
/// not have to wait any more.
pub(super) fn begin(pair: &Pair<'_>, registers: Registers) -> Result<Registers> {
    let Some(restart) = &pair.record.restart else { return Ok(registers) };
    let (stub, object) = (&pair.stub, Object::Wait);
    let call = call(stub, restart)?;
    let what = call.to_string();
    stub.set(object, stub.common.registers.making(stub.common.code, &call))?;
    stub.to_call_stop(object, &what)?;
    // It stands before the call: the request to stop ends that as soon as it waits.
    ptrace::interrupt(stub.tid).map_err(|error| stub.failed(object, &what, error))?;
    loop {
        ptrace::resume(stub.tid, 0).map_err(|error| stub.failed(object, &what, error))?;
        match stub.wait(object, &what)? {
            Status::Stopped { event: EVENT_STOP, .. } => break,
            Status::Stopped { signal: CALL_STOP, .. } => {}
            status => {
                let error = io::Error::other(format!("unexpected stop {status:?}"));
                return Err(stub.failed(object, &what, error));
            }
        }
    }
    let now = Registers::of(stub.tid).map_err(|error| stub.failed(object, &what, error))?;
    if now.restarts() {
        return Ok(registers);
    }
    // What it waited for has come: that is its answer.
    Ok(registers.answered(now.result()))
}

/// The call with what was left of its time.
fn call(stub: &Stub, restart: &Restart) -> Result<Call> {
    let object = Object::Wait;
    let mut arguments = [0; 6];
    for (place, argument) in arguments.iter_mut().zip(restart.arguments.iter()) {
        *place = *argument;
    }
    let left = Duration::from_nanos(restart.left.unwrap_or(0));
    let time = [left.as_secs().to_ne_bytes(), u64::from(left.subsec_nanos()).to_ne_bytes()].concat();
    let data = stub.area().data();
    stub.write(object, data, &time)?;
    match i64::from(restart.call) {
        libc::SYS_nanosleep => arguments[0] = data,
        libc::SYS_clock_nanosleep if arguments[1] == 0 => arguments[2] = data,
        libc::SYS_poll => {
            // Whole milliseconds, never less; below 0: without an end.
            arguments[2] = restart.left.map_or(u64::MAX, |left| left.div_ceil(1_000_000).min(i32::MAX as u64));
        }
        libc::SYS_futex if arguments[1] & FUTEX_COMMAND == libc::FUTEX_WAIT as u64 => {
            arguments[3] = if restart.left.is_some() { data } else { 0 };
        }
        other => {
            let what = format!("the call in which {} waits", stub.name);
            return Err(Error::unable(what, format!("this release cannot begin system call {other} again")));
        }
    }
    Ok(Call::new(i64::from(restart.call), arguments))
}
