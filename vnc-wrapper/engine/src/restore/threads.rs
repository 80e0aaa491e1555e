//! Threads, and what belongs to each of them alone.

use std::io;
use std::path::PathBuf;

use crate::fault::Step as Fault;
use crate::record::process::{Process, Scheduling, Thread};
use crate::remote::Call;
use crate::remote::processor::Registers;
use crate::sys::clone::Arguments;
use crate::sys::ptrace;

use super::content::{thread_name, tid};
use super::error::{Name, Object, Result};
use super::list::List;
use super::made::Made;
use super::stub::{OPTIONS, Stub};

/// What threads of one process share.
const THREAD: libc::c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;
const PR_SET_TIMERSLACK: u64 = libc::PR_SET_TIMERSLACK as u64;
const PR_SET_PDEATHSIG: u64 = libc::PR_SET_PDEATHSIG as u64;
const SS_ONSTACK: i32 = 1;
/// `struct sched_attr` in its first size.
const SCHEDULING: u32 = 48;
const IOPRIO_WHO_PROCESS: u64 = 1;

/// A thread that is being made, and what it was.
pub(super) struct Pair<'c> {
    pub(super) stub: Stub,
    pub(super) record: &'c Thread,
}

/// Makes the threads of a process whose first one is `leader`; that is the first of the answer, unless it had ended.
pub(super) fn make<'c>(
    leader: &Stub,
    process: &Process,
    threads: &'c [Thread],
    made: &mut Made,
) -> Result<Vec<Pair<'c>>> {
    let (first, others) = match threads.split_first() {
        _ if process.leader_ended.is_some() => (None, threads),
        Some((first, others)) => (Some(first), others),
        None => return Ok(Vec::new()),
    };
    let mut list = List::new(leader);
    let ran = append(&mut list, others).and_then(|()| list.run());
    let children = std::mem::take(&mut list.children);
    children.iter().for_each(|child| made.add(*child));
    ran?;
    let mut pairs: Vec<Pair<'_>> = first.map(|record| Pair { stub: leader.clone(), record }).into_iter().collect();
    for (record, child) in others.iter().zip(&children) {
        let name = Name { pid: leader.name.pid, tid: tid(record), name: thread_name(record) };
        pairs.push(Pair { stub: Stub::born(leader, *child, name, Object::Thread(tid(record)))?, record });
    }
    if children.len() != others.len() {
        let error = io::Error::other(format!("{} of {} were made", children.len(), others.len()));
        return Err(leader.failed(Object::Process, "make threads", error));
    }
    leader.point(Object::Process, Fault::RestoreThreads)?;
    if let Some(status) = process.leader_ended {
        end_leader(leader, status)?;
    }
    Ok(pairs)
}

/// Lets the first thread end whose process goes on. Its end is reported with that of the others.
fn end_leader(leader: &Stub, status: i32) -> Result {
    let object = Object::Thread(leader.name.tid);
    let code = (status >> 8 & 0xff) as u64;
    let call = Call::new(libc::SYS_exit, [code, 0, 0, 0, 0, 0]);
    let failed = |error| leader.failed(object, "exit", error);
    // The kernel would kill the process with the last thread that traces a thread of it that has ended; the others are held.
    ptrace::set_options(leader.tid, OPTIONS & !libc::PTRACE_O_EXITKILL).map_err(failed)?;
    leader.set(object, leader.common.registers.making(leader.common.code, &call))?;
    ptrace::resume(leader.tid, 0).map_err(failed)?;
    let directory = PathBuf::from(format!("/proc/{}", leader.tid));
    let deadline = std::time::Instant::now() + leader.common.patience;
    loop {
        let stat = crate::process::stat::read(&directory).map_err(failed)?;
        if stat.has_ended() {
            return Ok(());
        }
        if std::time::Instant::now() >= deadline {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
}

fn append(list: &mut List<'_>, threads: &[Thread]) -> Result {
    for thread in threads {
        let ids: Vec<u8> = thread.tids.iter().rev().flat_map(|id| id.to_ne_bytes()).collect();
        let arguments = Arguments {
            flags: THREAD as u64,
            set_tid: list.place(512)?,
            set_tid_size: thread.tids.len() as u64,
            ..Arguments::default()
        };
        let arguments = arguments.bytes();
        let length = arguments.len() as u64;
        let object = Object::Thread(tid(thread));
        list.with(object, libc::SYS_clone3, &[&ids, &arguments], |at| [at[1], length, 0, 0, 0, 0])?;
    }
    Ok(())
}

/// Gives a thread what it has alone, but what comes with its registers.
pub(super) fn equip(pair: &Pair<'_>) -> Result {
    let (stub, record) = (&pair.stub, pair.record);
    let mut list = List::new(stub);
    let registration = Object::Registration;
    let name = [&record.name[..], b"\0"].concat();
    list.with(Object::Settings, libc::SYS_prctl, &[&name], |at| [libc::PR_SET_NAME as u64, at[0], 0, 0, 0, 0])?;
    if record.robust.length > 0 {
        let arguments = [record.robust.start, record.robust.length, 0, 0, 0, 0];
        list.call(registration, libc::SYS_set_robust_list, arguments)?;
    }
    list.call(registration, libc::SYS_set_tid_address, [record.clear_child_tid, 0, 0, 0, 0, 0])?;
    // A thread that stands on its stack says so; that cannot be asked for.
    let stack = &record.stack;
    let flags = (stack.flags & !SS_ONSTACK).to_ne_bytes();
    let bytes = [&stack.area.start.to_ne_bytes()[..], &flags, &[0; 4], &stack.area.length.to_ne_bytes()].concat();
    list.with(registration, libc::SYS_sigaltstack, &[&bytes], |at| [at[0], 0, 0, 0, 0, 0])?;
    if record.timer_slack > 0 {
        list.call(Object::Scheduling, libc::SYS_prctl, [PR_SET_TIMERSLACK, record.timer_slack, 0, 0, 0, 0])?;
    }
    schedule(&mut list, stub, &record.scheduling)?;
    list.run()?;
    stub.point(Object::Process, Fault::RestoreThread)
}

fn schedule(list: &mut List<'_>, stub: &Stub, wanted: &Scheduling) -> Result {
    let object = Object::Scheduling;
    if !wanted.processors.is_empty() {
        let length = wanted.processors.len() as u64;
        list.with(object, libc::SYS_sched_setaffinity, &[&wanted.processors], |at| [0, length, at[0], 0, 0, 0])?;
    }
    let directory = PathBuf::from(format!("/proc/{}", stub.tid));
    let now = crate::process::stat::read(&directory);
    let now = now.map_err(|error| stub.failed(object, "read its stat", error))?;
    let same = i64::from(now.policy) == i64::from(wanted.policy)
        && i64::from(now.nice) == i64::from(wanted.nice)
        && i64::from(now.real_time_priority) == i64::from(wanted.priority);
    if !same || wanted.flags != 0 {
        let head = [SCHEDULING.to_ne_bytes(), wanted.policy.to_ne_bytes()].concat();
        let middle = [wanted.nice.to_ne_bytes(), wanted.priority.to_ne_bytes()].concat();
        let bytes = [&head[..], &wanted.flags.to_ne_bytes(), &middle, &[0; 24]].concat();
        list.with(object, libc::SYS_sched_setattr, &[&bytes], |at| [0, at[0], 0, 0, 0, 0])?;
    }
    if wanted.io_priority != 0 {
        list.call(object, libc::SYS_ioprio_set, [IOPRIO_WHO_PROCESS, 0, wanted.io_priority.into(), 0, 0, 0])?;
    }
    Ok(())
}

/// What is cleared by a change of credentials.
pub(super) fn after_credentials(pair: &Pair<'_>) -> Result {
    let signal = pair.record.parent_death_signal;
    if signal == 0 {
        return Ok(());
    }
    let call = Call::new(libc::SYS_prctl, [PR_SET_PDEATHSIG, signal.into(), 0, 0, 0, 0]);
    pair.stub.call(Object::Settings, &call).map(drop)
}

/// Queues the signals that wait: only a process itself can give them all that they had. Blocked is everything. One thread
/// `speaks` for its process.
pub(super) fn queue_signals(pair: &Pair<'_>, process: &Process, speaks: bool) -> Result {
    let stub = &pair.stub;
    let shared = if speaks { &process.signals[..] } else { &[] };
    if shared.is_empty() && pair.record.signals.is_empty() {
        return Ok(());
    }
    let (pid, tid) = (u64::from(stub.name.pid), u64::from(stub.name.tid));
    let own = pair.record.signals.iter().map(|info| (info, false));
    let data = stub.area().data();
    // A SIGTRAP among them must wait too.
    ptrace::set_signal_mask(stub.tid, u64::MAX)
        .map_err(|error| stub.failed(Object::Registers, "PTRACE_SETSIGMASK", error))?;
    for (info, to_all) in own.chain(shared.iter().map(|info| (info, true))) {
        let number = i32::from_ne_bytes(info[..4].try_into().unwrap_or_default());
        let object = Object::Waiting(number);
        stub.write(object, data, info)?;
        let call = if to_all {
            Call::new(libc::SYS_rt_sigqueueinfo, [pid, number as u64, data, 0, 0, 0])
        } else {
            Call::new(libc::SYS_rt_tgsigqueueinfo, [pid, tid, number as u64, data, 0, 0])
        };
        stub.call(object, &call)?;
    }
    Ok(())
}

/// Registers it for restartable sequences. From then on the kernel writes into its memory.
pub(super) fn register(pair: &Pair<'_>) -> Result {
    let Some(rseq) = &pair.record.rseq else { return Ok(()) };
    let arguments = [rseq.area.start, rseq.area.length, rseq.flags.into(), rseq.signature.into(), 0, 0];
    let sequence = sequence(pair)?;
    pair.stub.call(Object::Registration, &Call::new(libc::SYS_rseq, arguments))?;
    put_sequence(pair, sequence)
}

/// Where the critical section that it stands in is described (`rseq_cs`); 0: it is in none.
pub(super) fn sequence(pair: &Pair<'_>) -> Result<u64> {
    let Some(rseq) = &pair.record.rseq else { return Ok(0) };
    let mut bytes = [0; 8];
    pair.stub.read(Object::Registration, rseq.area.start.saturating_add(8), &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Puts that back: the kernel clears it at a registration, and when it sees the thread elsewhere.
pub(super) fn put_sequence(pair: &Pair<'_>, sequence: u64) -> Result {
    match &pair.record.rseq {
        Some(rseq) if sequence != 0 => {
            pair.stub.write(Object::Registration, rseq.area.start.saturating_add(8), &sequence.to_ne_bytes())
        }
        _ => Ok(()),
    }
}

/// The registers that it had.
pub(super) fn registers(pair: &Pair<'_>) -> Result<Registers> {
    let registers = Registers::parse(&pair.record.registers);
    registers.map_err(|error| pair.stub.failed(Object::Registers, "read its record", error))
}

/// Gives it registers and mask, on its way to its own code.
pub(super) fn give_registers(pair: &Pair<'_>, registers: Registers) -> Result {
    let (stub, record) = (&pair.stub, pair.record);
    let object = Object::Registers;
    stub.settle()?;
    stub.set(object, registers)?;
    if !record.xstate.is_empty() {
        ptrace::set_registers(stub.tid, ptrace::XSTATE, &record.xstate)
            .map_err(|error| stub.failed(object, "PTRACE_SETREGSET of the extended state", error))?;
    }
    ptrace::set_signal_mask(stub.tid, record.mask).map_err(|error| stub.failed(object, "PTRACE_SETSIGMASK", error))?;
    stub.point(object, Fault::RestoreRegisters)
}
