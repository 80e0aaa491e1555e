//! Makes the processes, in the order that [`crate::process::order`] finds.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use libc::pid_t;

use crate::fault::Step as Fault;
use crate::process::order::{Step, order};
use crate::process::tree::Tree;
use crate::record::process::{Process, State};
use crate::remote::Call;
use crate::sys::clone::Arguments;
use crate::sys::ptrace::{self, EVENT_STOP};
use crate::sys::signal;
use crate::sys::wait::{self, Status};

use super::content::{Content, pid};
use super::descriptors::Open;
use super::error::{Error, Name, Object, Result};
use super::made::Made;
use super::stub::{BLOCKED, Stub};
use super::terminals;

/// The processes that are being made.
pub(super) struct Forest<'c> {
    content: &'c Content,
    tree: Tree,
    /// By pid of the session: those of the content, and temporary ones.
    pub(super) stubs: BTreeMap<pid_t, Stub>,
    /// Those that have ended, by pid of the session, as this process sees them.
    ended: BTreeMap<pid_t, pid_t>,
    /// An id that nothing of the content has, for helpers.
    pub(super) free: u32,
    /// Steps that are left: ends.
    ends: Vec<Step>,
}

impl<'c> Forest<'c> {
    /// Makes all from the first one, and who is there for an id only. None has ended or stopped yet: see [`Self::end`].
    pub(super) fn grow(content: &'c Content, first: Stub, open: &Open, made: &mut Made) -> Result<Self> {
        let tree = content.tree()?;
        let (ends, steps): (Vec<Step>, Vec<Step>) =
            order(&tree)?.into_iter().partition(|step| matches!(step, Step::Leave { .. } | Step::End { .. }));
        let root = tree.root().clone();
        let free = content.free_id()?;
        let stubs = BTreeMap::from([(root.pid, first)]);
        let mut forest = Self { content, tree, stubs, ended: BTreeMap::new(), free, ends };
        if root.session == root.pid {
            forest.begin_session(root.pid, open)?;
        }
        forest.become_subreaper(root.pid)?;
        for step in steps {
            forest.take(step, open, made)?;
        }
        Ok(forest)
    }

    /// Those that have ended end, and those that were stopped stop.
    pub(super) fn end(&mut self, open: &Open, made: &mut Made) -> Result {
        for step in std::mem::take(&mut self.ends) {
            self.take(step, open, made)?;
        }
        terminals::settle(self, self.content, open)?;
        for process in self.content.processes.values() {
            if let State::Stopped { signal } = process.state {
                self.stop(process, signal.into())?;
            }
        }
        Ok(())
    }

    /// A process of the session as this process sees it.
    pub(super) fn id(&self, pid: u32) -> Option<pid_t> {
        let pid = pid.cast_signed();
        self.stubs.get(&pid).map(|stub| stub.tid).or_else(|| self.ended.get(&pid).copied())
    }

    /// The stub of a process, by its pid of the session.
    pub(super) fn stub(&self, pid: pid_t) -> Result<&Stub> {
        self.stubs.get(&pid).ok_or_else(|| Error::unable(format!("process {pid}"), "it was not made"))
    }

    fn take(&mut self, step: Step, open: &Open, made: &mut Made) -> Result {
        match step {
            Step::Fork { pid, by } => {
                let child = self.fork(pid, self.stub(by)?, by, made)?;
                self.stubs.insert(pid, child);
                self.become_subreaper(pid)?;
            }
            Step::Orphan { pid, by, parent: _ } => {
                let above = self.stub(by)?;
                let flags = self.shared(pid, by)?;
                let helper = helper(above, self.free, flags, made)?;
                let child = self.fork(pid, &helper, by, made)?;
                dismiss(above, &helper, made)?;
                self.stubs.insert(pid, child);
                self.become_subreaper(pid)?;
            }
            Step::Session { pid } => self.begin_session(pid, open)?,
            Step::Group { pid, group } => {
                let call = Call::new(libc::SYS_setpgid, [0, group as u64, 0, 0, 0, 0]);
                self.stub(pid)?.call(Object::Process, &call)?;
            }
            Step::Leave { pid } => {
                let Some(stub) = self.stubs.remove(&pid) else { return self.stub(pid).map(drop) };
                let parent = parent(&stub)?;
                end(&stub, 0, made)?;
                let above = self.stubs.values().find(|other| other.tid == parent);
                let above = above.ok_or_else(|| Error::unable(format!("process {pid}"), "its parent is gone"))?;
                reap(above, &stub)?;
            }
            Step::End { pid, status } => {
                let Some(stub) = self.stubs.remove(&pid) else { return self.stub(pid).map(drop) };
                end(&stub, status, made)?;
                self.ended.insert(pid, stub.tid);
            }
        }
        Ok(())
    }

    /// Has `pid` lead a session, with the terminal of that: who is forked from now on has it too.
    fn begin_session(&self, pid: pid_t, open: &Open) -> Result {
        let stub = self.stub(pid)?;
        stub.call(Object::Process, &Call::new(libc::SYS_setsid, [0; 6]))?;
        terminals::lead(stub, pid.cast_unsigned(), self.content, open)
    }

    /// Has `by` fork `pid`; `source` has what the two are to share.
    fn fork(&self, pid: pid_t, by: &Stub, source: pid_t, made: &mut Made) -> Result<Stub> {
        let (name, ids, signal) = match self.content.by_pid(pid) {
            Some(process) => (self.content.name(process), process.pids.to_vec(), u64::from(process.exit_signal)),
            None => {
                let pid = pid as u32;
                (Name { pid, tid: pid, name: String::new() }, vec![pid], libc::SIGCHLD as u64)
            }
        };
        clone(by, &name, &ids, self.shared(pid, source)?, signal, made)
    }

    /// What process `pid` shares with `by`, which is to make it, as clone(2) has it.
    fn shared(&self, pid: pid_t, by: pid_t) -> Result<u64> {
        let (Some(child), Some(parent)) = (self.content.by_pid(pid), self.content.by_pid(by)) else { return Ok(0) };
        let mut flags = 0;
        for (what, flag, number) in [
            ("memory", libc::CLONE_VM, (|process| process.space) as fn(&Process) -> Option<u32>),
            ("descriptors", libc::CLONE_FILES, |process| process.table),
            ("signal actions", libc::CLONE_SIGHAND, |process| process.actions),
        ] {
            let Some(number_of_child) = number(child) else { continue };
            if number(parent) == Some(number_of_child) {
                flags |= flag as u64;
                continue;
            }
            let other = |process: &&Process| {
                process.id != child.id
                    && number(process) == Some(number_of_child)
                    && self.stubs.contains_key(&(self::pid(process) as pid_t))
            };
            if let Some(other) = self.content.processes.values().find(other) {
                let why = format!("it shares its {what} with process {}, which cannot make it", self::pid(other));
                return Err(Error::unable(self.content.name(child), why));
            }
        }
        Ok(flags)
    }

    /// Stops a process as job control does. Calls can be made in it all the same; when it is let go it stands still. Its parent
    /// learned that before it was saved.
    fn stop(&self, process: &Process, by: i32) -> Result {
        let (object, what) = (Object::Process, format!("stop by signal {by}"));
        let stub = self.stub(pid(process) as pid_t)?;
        let failed = |error| stub.failed(object, &what, error);
        // SIGSTOP comes whatever is blocked; then it is the one that it was.
        ptrace::set_signal_mask(stub.tid, 0).map_err(failed)?;
        signal::send(stub.tid, libc::SIGSTOP).map_err(failed)?;
        let mut delivered = 0;
        loop {
            ptrace::resume(stub.tid, delivered).map_err(failed)?;
            match stub.wait(object, &what)? {
                Status::Stopped { signal: libc::SIGSTOP, event: 0 } => delivered = by,
                Status::Stopped { signal, event: EVENT_STOP } if signal == by => break,
                status => return Err(failed(io::Error::other(format!("it is {status:?}")))),
            }
        }
        ptrace::set_signal_mask(stub.tid, BLOCKED).map_err(failed)?;
        if let Some(parent) = process.parent.and_then(|id| self.content.processes.get(&id)) {
            let flags = (libc::__WALL | libc::WNOHANG | libc::WUNTRACED) as u64;
            let call = Call::new(libc::SYS_wait4, [u64::from(pid(process)), 0, flags, 0, 0, 0]);
            self.stub(pid(parent) as pid_t)?.call(object, &call)?;
        }
        Ok(())
    }

    /// A subreaper becomes one as soon as it is made.
    fn become_subreaper(&self, pid: pid_t) -> Result {
        if self.tree.get(pid).is_some_and(|process| process.subreaper) {
            let call = Call::new(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0, 0]);
            self.stub(pid)?.call(Object::Process, &call)?;
        }
        Ok(())
    }
}

/// A helper that `above` makes, with the id `free`; see [`dismiss`].
pub(super) fn helper(above: &Stub, free: u32, flags: u64, made: &mut Made) -> Result<Stub> {
    let name = Name { pid: free, tid: free, name: String::new() };
    clone(above, &name, &[free], flags, libc::SIGCHLD as u64, made)
}

/// Ends a helper.
pub(super) fn dismiss(above: &Stub, helper: &Stub, made: &mut Made) -> Result {
    end(helper, 0, made)?;
    reap(above, helper)
}

/// Has `work` done by a helper that `above` makes, and which ends.
pub(super) fn with_helper<T>(
    above: &Stub,
    free: u32,
    made: &mut Made,
    work: impl FnOnce(&Stub) -> Result<T>,
) -> Result<T> {
    let helper = helper(above, free, 0, made)?;
    let done = work(&helper)?;
    dismiss(above, &helper, made)?;
    Ok(done)
}

/// Has `by` make a process or thread with `ids`, the session's first.
pub(super) fn clone(by: &Stub, name: &Name, ids: &[u32], flags: u64, signal: u64, made: &mut Made) -> Result<Stub> {
    let object = Object::Process;
    let data = by.area().data();
    let place = data + 128;
    let arguments = Arguments {
        flags,
        exit_signal: signal,
        set_tid: place,
        set_tid_size: ids.len() as u64,
        ..Arguments::default()
    };
    let bytes = arguments.bytes();
    by.write(object, data, &bytes)?;
    let wanted: Vec<u8> = ids.iter().rev().flat_map(|id| id.to_ne_bytes()).collect();
    by.write(object, place, &wanted)?;
    let call = Call::new(libc::SYS_clone3, [data, bytes.len() as u64, 0, 0, 0, 0]);
    let (answered, child) = by.make(object, &call)?;
    if let Some(child) = child {
        made.add(child);
    }
    let failed = |error: io::Error| Error::Step {
        process: name.clone(),
        object,
        call: format!("clone3 with {ids:?} in {}", by.name),
        error,
    };
    if let Some(error) = answered.error() {
        return Err(failed(error));
    }
    let child = child.ok_or_else(|| failed(io::Error::other("nobody was made")))?;
    let child = Stub::born(by, child, name.clone(), object)?;
    child.point(object, Fault::RestoreForked)?;
    Ok(child)
}

/// Lets a process end with that status (`waitpid(2)`). Its parent has not waited for it then.
fn end(stub: &Stub, status: i32, made: &mut Made) -> Result {
    let object = Object::Process;
    let what = format!("end with status {status:#x}");
    let failed = |error| stub.failed(object, &what, error);
    let by = status & 0x7f;
    if by == 0 {
        let code = ((status >> 8) & 0xff) as u64;
        let call = Call::new(libc::SYS_exit_group, [code, 0, 0, 0, 0, 0]);
        stub.set(object, stub.common.registers.making(stub.common.code, &call))?;
        ptrace::resume(stub.tid, 0).map_err(failed)?;
    } else {
        // No core is written: the limit is 0 in it.
        let (none, data) = ([0; 16], stub.area().data());
        stub.write(object, data, &none)?;
        let core = u64::from(libc::RLIMIT_CORE);
        stub.call(object, &Call::new(libc::SYS_prlimit64, [0, core, data, 0, 0, 0]))?;
        ptrace::set_signal_mask(stub.tid, BLOCKED & !(1 << (by - 1))).map_err(failed)?;
        signal::send(stub.tid, by).map_err(failed)?;
        // SIGKILL has ended it already.
        if by != libc::SIGKILL {
            ptrace::resume(stub.tid, 0).map_err(failed)?;
        }
    }
    let deadline = Instant::now() + stub.common.patience;
    loop {
        match wait::until(stub.tid, deadline).map_err(failed)? {
            Some(Status::Exited(code)) if by == 0 && code == (status >> 8) & 0xff => break,
            Some(Status::Killed(signal)) if signal == by => break,
            Some(Status::Stopped { signal, event: 0 }) => ptrace::resume(stub.tid, signal).map_err(failed)?,
            Some(Status::Stopped { .. }) => ptrace::resume(stub.tid, 0).map_err(failed)?,
            Some(status) => return Err(failed(io::Error::other(format!("it ended with {status:?}")))),
            None => return Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }
    made.ended(stub.tid);
    Ok(())
}

/// Has `above` wait for its child, which has ended.
fn reap(above: &Stub, child: &Stub) -> Result {
    let flags = (libc::__WALL | libc::WNOHANG) as u64;
    let call = Call::new(libc::SYS_wait4, [u64::from(child.name.pid), 0, flags, 0, 0, 0]);
    let reaped = above.call(Object::Process, &call)?;
    if reaped != u64::from(child.name.pid) {
        return Err(above.failed_call(Object::Process, &call, io::Error::other("it was not waited for")));
    }
    Ok(())
}

/// The parent of a process, as this process sees it.
fn parent(stub: &Stub) -> Result<pid_t> {
    let directory = std::path::PathBuf::from(format!("/proc/{}", stub.tid));
    let stat = crate::process::stat::read(&directory);
    stat.map(|stat| stat.parent).map_err(|error| stub.failed(Object::Process, "read its stat", error))
}

/// The content's process of every stub.
pub(super) fn pairs<'c, 's>(content: &'c Content, forest: &'s Forest<'_>) -> Vec<(&'c Process, &'s Stub)> {
    let stub = |process: &'c Process| Some((process, forest.stubs.get(&(pid(process) as pid_t))?));
    content.processes.values().filter_map(stub).collect()
}
