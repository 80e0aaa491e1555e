//! The first process: made in its namespaces, in a program of one page, and emptied but for the place where calls are made.
//!
//! It executes that program so that its memory belongs to the session's user namespace and nothing of this process is in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::fault::{self, Step};
use crate::memory::PAGE;
use crate::remote::Call;
use crate::remote::processor::{self, Registers};
use crate::sys::clone;
use crate::sys::ptrace::{self, EVENT_EXEC};
use crate::sys::wait::{self, Status};

use super::Plan;
use super::area::Area;
use super::error::{Error, Name, Object, Result};
use super::list::List;
use super::made::Made;
use super::stub::{BLOCKED, Common, OPTIONS, Stub};

/// Highest signal.
pub(super) const SIGNALS: u8 = 64;
const NOFILE: u64 = libc::RLIMIT_NOFILE as u64;

/// The program in memory, and where its code begins.
fn program(area: Area) -> io::Result<(OwnedFd, u64)> {
    let (bytes, entry) = processor::program(area.program(), &processor::CALL_CODE);
    // MFD_EXEC, linux/memfd.h: without it a sysctl may deny execution. Kernels before 6.3 do not know it.
    let executable = MemfdFlags::from_bits_retain(MemfdFlags::CLOEXEC.bits() | 0x10);
    let file = rustix::fs::memfd_create(c"stub", executable)
        .or_else(|_| rustix::fs::memfd_create(c"stub", MemfdFlags::CLOEXEC))?;
    let mut file = File::from(file);
    file.write_all(&bytes)?;
    // Not one that is open for writing (ETXTBSY).
    let read = rustix::fs::open(
        format!("/proc/thread-self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)),
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    Ok((read, entry))
}

/// Makes the first process. Its descriptor 0 is the other end of the socket that is returned.
pub(super) fn make(plan: &mut Plan<'_>, area: Area, name: &Name, made: &mut Made) -> Result<(Stub, UnixStream)> {
    let failed = |call: &'static str, error: io::Error| Error::Object { what: name.to_string(), call, error };
    let (program, entry) = program(area).map_err(|error| failed("memfd_create", error))?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| failed("socketpair", error.into()))?;
    let tid = fault::point(Step::RestoreFirst)
        .and_then(|()| clone::first(plan.namespaces, program.as_fd(), theirs.as_fd()))
        .map_err(|error| failed("clone3", error))?;
    drop(theirs);
    made.add(tid);
    let common = Common { area, code: entry, registers: Registers::default(), patience: plan.patience };
    let mut stub = Stub { tid, name: name.clone(), common };
    ptrace::seize(tid, OPTIONS).map_err(|error| stub.failed(Object::Process, "PTRACE_SEIZE", error))?;
    stub.point(Object::Process, Step::RestoreSeized)?;
    (plan.prepare)(tid).map_err(|error| stub.failed(Object::Process, "prepare its namespaces", error))?;
    let mut channel = UnixStream::from(ours);
    channel.write_all(b"x").map_err(|error| failed("write", error))?;
    executed(&stub, made)?;
    // At the end of execve(2), which has the call's result in a register until then.
    stub.to_call_stop(Object::Process, "execveat")?;
    let registers = Registers::of(tid).map_err(|error| stub.failed(Object::Process, "PTRACE_GETREGSET", error))?;
    stub.common.registers = registers.with_stack(area.stack());
    ptrace::set_signal_mask(tid, BLOCKED).map_err(|error| stub.failed(Object::Process, "PTRACE_SETSIGMASK", error))?;
    stub.point(Object::Process, Step::RestoreExecuted)?;
    empty(&mut stub)?;
    set_up(&stub)?;
    Ok((stub, channel))
}

/// Waits until it has executed the program.
fn executed(stub: &Stub, made: &mut Made) -> Result {
    let call = "execveat";
    loop {
        match wait::until(stub.tid, std::time::Instant::now() + stub.common.patience) {
            Ok(Some(Status::Stopped { event: EVENT_EXEC, .. })) => return Ok(()),
            Ok(Some(Status::Stopped { event, signal })) => {
                let signal = if event == 0 { signal } else { 0 };
                ptrace::resume(stub.tid, signal).map_err(|error| stub.failed(Object::Process, call, error))?;
            }
            Ok(Some(Status::Exited(code))) => {
                made.ended(stub.tid);
                return Err(stub.failed(Object::Process, call, io::Error::from_raw_os_error(code)));
            }
            Ok(Some(Status::Killed(_))) => {
                made.ended(stub.tid);
                return Err(stub.failed(Object::Process, call, io::Error::from_raw_os_error(libc::ESRCH)));
            }
            Ok(None) => return Err(stub.failed(Object::Process, call, io::ErrorKind::TimedOut.into())),
            Err(error) => return Err(stub.failed(Object::Process, call, error)),
        }
    }
}

/// Leaves nothing in its memory but the area.
fn empty(stub: &mut Stub) -> Result {
    let area = stub.area();
    let range = area.range();
    let length = range.end - range.start;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let map = Call::new(libc::SYS_mmap, [range.start, length, protection, flags as u64, u64::MAX, 0]);
    stub.call(Object::Stub, &map)?;
    stub.write(Object::Stub, range.start, &Area::code())?;
    let executable = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    stub.call(Object::Stub, &Call::new(libc::SYS_mprotect, [range.start, PAGE, executable, 0, 0, 0]))?;
    stub.common.code = area.call_code();
    for (start, end) in [(0, range.start), (range.end, processor::USER_END)] {
        stub.call(Object::Stub, &Call::new(libc::SYS_munmap, [start, end - start, 0, 0, 0, 0]))?;
    }
    stub.point(Object::Stub, Step::RestoreEmptied)
}

/// What this process had and its children are not to inherit.
fn set_up(stub: &Stub) -> Result {
    let default = [0; 32];
    let mut list = List::new(stub);
    for signal in (1..=SIGNALS).filter(|signal| !matches!(i32::from(*signal), libc::SIGKILL | libc::SIGSTOP)) {
        let object = Object::Signal(signal);
        list.with(object, libc::SYS_rt_sigaction, &[&default], |at| [signal.into(), at[0], 0, 8, 0, 0])?;
    }
    list.run()?;
    // As many descriptors as it may have.
    let limit = Object::Limit(libc::RLIMIT_NOFILE);
    let at = stub.area().data();
    stub.call(limit, &Call::new(libc::SYS_prlimit64, [0, NOFILE, 0, at, 0, 0]))?;
    let mut limits = [0; 16];
    stub.read(limit, at, &mut limits)?;
    limits.copy_within(8.., 0);
    stub.write(limit, at, &limits)?;
    stub.call(limit, &Call::new(libc::SYS_prlimit64, [0, NOFILE, at, 0, 0, 0])).map(drop)
}
