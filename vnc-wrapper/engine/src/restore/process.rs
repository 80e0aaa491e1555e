//! What belongs to a process as a whole.

use crate::fault::Step as Fault;
use crate::objects::Finding;
use crate::record::process::{Limits, Process, SignalAction, SignalActions, Timers};
use crate::remote::Call;

use super::descriptors::{Key, Open};
use super::error::{Object, Result};
use super::first::SIGNALS;
use super::list::List;
use super::stub::Stub;

/// prctl(2), Linux 6.16: timers get the ids that are asked for.
const PR_TIMER_CREATE_RESTORE_IDS: u64 = 77;
const PR_SET_DUMPABLE: u64 = libc::PR_SET_DUMPABLE as u64;
/// The most ids that are made and deleted to come to the one that is wanted, where the kernel cannot be asked for it.
const MOST_TIMERS: i32 = 100_000;

/// Directories and settings that children and threads inherit.
pub(super) fn settings(stub: &Stub, process: &Process, open: &Open) -> Result {
    let mut list = List::new(stub);
    let directory = |path: &[u8]| open.number(&Key::Path(path.to_vec(), false));
    if &process.root[..] != b"/" {
        list.call(Object::Directory, libc::SYS_fchdir, [directory(&process.root)?, 0, 0, 0, 0, 0])?;
        list.with(Object::Directory, libc::SYS_chroot, &[b".\0"], |at| [at[0], 0, 0, 0, 0, 0])?;
    }
    list.call(Object::Directory, libc::SYS_fchdir, [directory(&process.directory)?, 0, 0, 0, 0, 0])?;
    list.call(Object::Directory, libc::SYS_umask, [process.umask.into(), 0, 0, 0, 0, 0])?;
    list.call(Object::Settings, libc::SYS_personality, [process.personality.into(), 0, 0, 0, 0, 0])?;
    list.run()?;
    stub.point(Object::Process, Fault::RestoreProcess)
}

/// How soon the kernel ends it when memory runs out (`/proc/PID/oom_score_adj`), while it still has the user who restores. Returns
/// what is lost: without CAP_SYS_RESOURCE no process comes below the value of who made it.
pub(super) fn memory_score(stub: &Stub, process: &Process) -> Result<Option<Finding>> {
    let path = format!("/proc/{}/oom_score_adj", stub.tid);
    let failed = |what: &'static str| move |error| stub.failed(Object::Settings, what, error);
    let now = std::fs::read_to_string(&path).map_err(failed("read its oom_score_adj"))?;
    let wanted = process.oom_score_adj.to_string();
    if now.trim() == wanted {
        return Ok(None);
    }
    match std::fs::write(path, &wanted) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            let lost = format!("its oom_score_adj is {} instead of {wanted}", now.trim());
            Ok(Some(Finding { what: stub.name.to_string(), lost, blocking: false }))
        }
        written => written.map(|()| None).map_err(failed("write its oom_score_adj")),
    }
}

/// What happens at signals. Those that wait from the making are gone then: a signal that is ignored leaves its queue.
/// SIGTRAP, with which lists end, gets its action from [`last`].
pub(super) fn actions(stub: &Stub, actions: &SignalActions) -> Result {
    let mut list = List::new(stub);
    let signals =
        || (1..=SIGNALS).filter(|signal| !matches!(i32::from(*signal), libc::SIGKILL | libc::SIGSTOP | libc::SIGTRAP));
    for signal in signals() {
        let ignored = action(&SignalAction { handler: libc::SIG_IGN as u64, ..SignalAction::default() });
        set(&mut list, signal, &ignored)?;
    }
    for signal in signals() {
        let wanted = actions.actions.iter().find(|action| action.signal == signal);
        set(&mut list, signal, &wanted.map_or([0; 32].to_vec(), action))?;
    }
    list.run()
}

/// `struct sigaction` of the kernel.
fn action(action: &SignalAction) -> Vec<u8> {
    let words = [action.handler, action.flags, action.restorer, action.mask];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn set(list: &mut List<'_>, signal: u8, action: &[u8]) -> Result {
    list.with(Object::Signal(signal), libc::SYS_rt_sigaction, &[action], |at| [signal.into(), at[0], 0, 8, 0, 0])
}

/// The action of SIGTRAP, after the last list.
pub(super) fn last(stub: &Stub, actions: &SignalActions) -> Result {
    let Some(wanted) = actions.actions.iter().find(|action| i32::from(action.signal) == libc::SIGTRAP) else {
        return Ok(());
    };
    let object = Object::Signal(wanted.signal);
    let data = stub.area().data();
    stub.write(object, data, &action(wanted))?;
    stub.call(object, &Call::new(libc::SYS_rt_sigaction, [libc::SIGTRAP as u64, data, 0, 8, 0, 0])).map(drop)
}

/// Limits, once nothing is made any more that they could forbid.
pub(super) fn limits(stub: &Stub, limits: &Limits) -> Result {
    let mut list = List::new(stub);
    for (resource, limit) in limits.limits.iter().enumerate() {
        let bytes = [limit.soft.to_ne_bytes(), limit.hard.to_ne_bytes()].concat();
        let object = Object::Limit(resource as u32);
        list.with(object, libc::SYS_prlimit64, &[&bytes], |at| [0, resource as u64, at[0], 0, 0, 0])?;
    }
    list.run()
}

/// What exec and changes of credentials reset, and so comes after them.
pub(super) fn dumpable(stub: &Stub, process: &Process) -> Result {
    // 2 cannot be set: the kernel gives it to programs that may do more than who started them. 0 protects as much.
    let dumpable = if process.dumpable == 1 { 1 } else { 0 };
    stub.call(Object::Settings, &Call::new(libc::SYS_prctl, [PR_SET_DUMPABLE, dumpable, 0, 0, 0, 0])).map(drop)
}

/// Timers; from here on they run.
pub(super) fn timers(stub: &Stub, timers: &Timers) -> Result {
    let mut list = List::new(stub);
    for (which, timer) in timers.intervals.iter().enumerate().filter(|(_, timer)| timer.left > 0) {
        let microseconds = |time: u64| [(time / 1_000_000).to_ne_bytes(), (time % 1_000_000).to_ne_bytes()].concat();
        let bytes = [microseconds(timer.interval), microseconds(timer.left)].concat();
        let object = Object::Timer(-1 - which as i32);
        list.with(object, libc::SYS_setitimer, &[&bytes], |at| [which as u64, at[0], 0, 0, 0, 0])?;
    }
    list.run()?;
    if timers.posix.is_empty() {
        return Ok(());
    }
    let object = Object::Timer(timers.posix[0].id);
    let mode = |on| Call::new(libc::SYS_prctl, [PR_TIMER_CREATE_RESTORE_IDS, on, 0, 0, 0, 0]);
    let (asked, _) = stub.make(object, &mode(1))?;
    let by_id = asked.error().is_none();
    // Without it the kernel counts up from 0: those in between are made and deleted.
    let mut next = 0;
    for timer in timers.posix.iter() {
        let object = Object::Timer(timer.id);
        // struct sigevent: value, signal, kind, thread.
        let mut event = [0; 64];
        event[..8].copy_from_slice(&timer.value.to_ne_bytes());
        event[8..12].copy_from_slice(&i32::from(timer.signal).to_ne_bytes());
        event[12..16].copy_from_slice(&timer.notify.to_ne_bytes());
        event[16..20].copy_from_slice(&timer.thread.to_ne_bytes());
        let data = stub.area().data();
        let create = Call::new(libc::SYS_timer_create, [timer.clock as u64, data, data + 64, 0, 0, 0]);
        loop {
            stub.write(object, data, &event)?;
            stub.write(object, data + 64, &timer.id.to_ne_bytes())?;
            stub.call(object, &create)?;
            let mut id = [0; 4];
            stub.read(object, data + 64, &mut id)?;
            let id = i32::from_ne_bytes(id);
            if id == timer.id {
                break;
            }
            stub.call(object, &Call::new(libc::SYS_timer_delete, [id as u64, 0, 0, 0, 0, 0]))?;
            next += 1;
            if by_id || id > timer.id || next > MOST_TIMERS {
                let error = std::io::Error::other(format!("the kernel gives id {id} only"));
                return Err(stub.failed_call(object, &create, error));
            }
        }
        let nanoseconds =
            |time: u64| [(time / 1_000_000_000).to_ne_bytes(), (time % 1_000_000_000).to_ne_bytes()].concat();
        stub.write(object, data, &[nanoseconds(timer.time.interval), nanoseconds(timer.time.left)].concat())?;
        stub.call(object, &Call::new(libc::SYS_timer_settime, [timer.id as u64, 0, data, 0, 0, 0]))?;
    }
    if by_id {
        stub.call(object, &mode(0))?;
    }
    Ok(())
}

/// Has the next new process get the pid behind `last`. `file` is the descriptor of `ns_last_pid` in all processes; nothing may
/// be made in the session's pid namespace afterwards.
pub(super) fn last_pid(first: &Stub, last: u32, file: u64) -> Result {
    let text = last.to_string();
    let data = first.area().data();
    first.write(Object::Process, data, text.as_bytes())?;
    first.call(Object::Process, &Call::new(libc::SYS_write, [file, data, text.len() as u64, 0, 0, 0])).map(drop)
}
