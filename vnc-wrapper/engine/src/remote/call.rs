//! A system call that somebody else's thread is had to make.

use std::fmt;
use std::io;

use crate::fault::{self, Step};
use crate::filters::program::{self, Data, X86_64};
use crate::sys::ptrace::{self, CALL_STOP, CallStop, EVENT_STOP};
use crate::sys::wait::Status;

use super::scratch::{READ_EXECUTE, READ_WRITE, map};
use super::thread::{Undo, unmap};
use super::{Error, Thread};

/// Bytes of one call in a list: number, six arguments, result.
pub const ENTRY: usize = 64;

/// The signal code of a call that a seccomp filter trapped, `SYS_SECCOMP`.
pub(super) const SECCOMP: i32 = 1;
/// Bytes of the instruction that makes a call, on x86-64.
const INSTRUCTION: u64 = 2;

/// A system call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number on this processor.
    pub number: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// What it answered; a negative number of an error down to -4095.
    pub result: i64,
}

impl Call {
    /// A call with the number `libc::SYS_*`.
    #[must_use]
    pub fn new(number: libc::c_long, arguments: [u64; 6]) -> Self {
        Self { number: number as u64, arguments, result: -i64::from(libc::ENOSYS) }
    }

    /// The error it answered.
    #[must_use]
    pub fn error(&self) -> Option<io::Error> {
        (-4095..0).contains(&self.result).then(|| io::Error::from_raw_os_error(-self.result as i32))
    }

    /// Why it must not be made in somebody else's thread, if so.
    pub(super) fn harm(&self) -> Option<&'static str> {
        match self.number as i64 {
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep | libc::SYS_poll | libc::SYS_restart_syscall => {
                Some("it would overwrite what the kernel keeps of an interrupted sleep")
            }
            libc::SYS_futex if self.arguments[3] != 0 && matches!(self.arguments[1] & 0x7f, 0 | 6 | 9 | 11 | 13) => {
                Some("it would overwrite what the kernel keeps of an interrupted sleep")
            }
            libc::SYS_execve | libc::SYS_execveat | libc::SYS_exit | libc::SYS_exit_group => {
                Some("nothing could be given back after it")
            }
            libc::SYS_rt_sigreturn | libc::SYS_vfork => Some("it uses the thread's own stack"),
            libc::SYS_rt_sigprocmask | libc::SYS_rt_sigsuspend => Some("the thread's mask is not its own now"),
            _ => None,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number as u64 == self.number) {
            Some((_, name)) => write!(out, "{name}(")?,
            None => write!(out, "system call {}(", self.number)?,
        }
        let used = self.arguments.iter().rposition(|argument| *argument != 0).map_or(0, |last| last + 1);
        for (at, argument) in self.arguments[..used].iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Small numbers (descriptors, signals, -1) read better as such.
            match *argument as i64 {
                small @ -4096..=4096 => write!(out, "{comma}{small}")?,
                _ => write!(out, "{comma}{argument:#x}")?,
            }
        }
        out.write_str(")")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self} = {}", self.result)
    }
}

/// Names of the calls that the engine makes, for errors.
const NAMES: &[(libc::c_long, &str)] = &[
    (libc::SYS_arch_prctl, "arch_prctl"),
    (libc::SYS_brk, "brk"),
    (libc::SYS_capset, "capset"),
    (libc::SYS_chdir, "chdir"),
    (libc::SYS_chroot, "chroot"),
    (libc::SYS_clock_nanosleep, "clock_nanosleep"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_close, "close"),
    (libc::SYS_close_range, "close_range"),
    (libc::SYS_dup3, "dup3"),
    (libc::SYS_epoll_ctl, "epoll_ctl"),
    (libc::SYS_eventfd2, "eventfd2"),
    (libc::SYS_exit, "exit"),
    (libc::SYS_exit_group, "exit_group"),
    (libc::SYS_fchdir, "fchdir"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fchown, "fchown"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fsconfig, "fsconfig"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_fsopen, "fsopen"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_getgroups, "getgroups"),
    (libc::SYS_getitimer, "getitimer"),
    (libc::SYS_getpid, "getpid"),
    (libc::SYS_getppid, "getppid"),
    (libc::SYS_getresgid, "getresgid"),
    (libc::SYS_getresuid, "getresuid"),
    (libc::SYS_gettid, "gettid"),
    (libc::SYS_ioctl, "ioctl"),
    (libc::SYS_ioprio_set, "ioprio_set"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_memfd_create, "memfd_create"),
    (libc::SYS_mincore, "mincore"),
    (libc::SYS_mlock2, "mlock2"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_mprotect, "mprotect"),
    (libc::SYS_mq_open, "mq_open"),
    (libc::SYS_mq_unlink, "mq_unlink"),
    (libc::SYS_mremap, "mremap"),
    (libc::SYS_msgctl, "msgctl"),
    (libc::SYS_msgget, "msgget"),
    (libc::SYS_msgrcv, "msgrcv"),
    (libc::SYS_msgsnd, "msgsnd"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_nanosleep, "nanosleep"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_personality, "personality"),
    (libc::SYS_poll, "poll"),
    (libc::SYS_prctl, "prctl"),
    (libc::SYS_prlimit64, "prlimit64"),
    (libc::SYS_read, "read"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_rseq, "rseq"),
    (libc::SYS_rt_sigaction, "rt_sigaction"),
    (libc::SYS_rt_sigqueueinfo, "rt_sigqueueinfo"),
    (libc::SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo"),
    (libc::SYS_sched_setaffinity, "sched_setaffinity"),
    (libc::SYS_sched_setattr, "sched_setattr"),
    (libc::SYS_seccomp, "seccomp"),
    (libc::SYS_semctl, "semctl"),
    (libc::SYS_semget, "semget"),
    (libc::SYS_semop, "semop"),
    (libc::SYS_set_robust_list, "set_robust_list"),
    (libc::SYS_set_tid_address, "set_tid_address"),
    (libc::SYS_setdomainname, "setdomainname"),
    (libc::SYS_setfsgid, "setfsgid"),
    (libc::SYS_setfsuid, "setfsuid"),
    (libc::SYS_setgroups, "setgroups"),
    (libc::SYS_sethostname, "sethostname"),
    (libc::SYS_setitimer, "setitimer"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_setpgid, "setpgid"),
    (libc::SYS_setresgid, "setresgid"),
    (libc::SYS_setresuid, "setresuid"),
    (libc::SYS_setsid, "setsid"),
    (libc::SYS_shmat, "shmat"),
    (libc::SYS_shmctl, "shmctl"),
    (libc::SYS_shmdt, "shmdt"),
    (libc::SYS_shmget, "shmget"),
    (libc::SYS_sigaltstack, "sigaltstack"),
    (libc::SYS_timer_create, "timer_create"),
    (libc::SYS_timer_delete, "timer_delete"),
    (libc::SYS_timer_gettime, "timer_gettime"),
    (libc::SYS_timer_settime, "timer_settime"),
    (libc::SYS_umask, "umask"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_userfaultfd, "userfaultfd"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_write, "write"),
];

impl Thread<'_, '_> {
    /// Has the thread make `call`; returns what that answered.
    ///
    /// # Errors
    /// [`Error::Call`] with the kernel's error, [`Error::Denied`] by the thread's own filter, [`Error::Late`] when it did not
    /// come back, [`Error::Unable`] for a call that could not be taken back, [`Error::Gone`].
    pub fn call(&mut self, call: &Call) -> Result<u64, Error> {
        let made = Call { result: self.make(call)?, ..*call };
        match made.error() {
            None => Ok(made.result as u64),
            Some(error) => Err(Error::Call { who: self.who().clone(), call: call.to_string(), error }),
        }
    }

    /// [`Thread::call`] for one whose success is taken back with the guard.
    pub(super) fn call_for_now(&mut self, call: &Call, undo: impl Fn(u64) -> Undo) -> Result<u64, Error> {
        let made = self.make(call);
        // Recorded whatever failed afterwards: it may have been interrupted as late and have succeeded all the same.
        let result = match &made {
            Ok(result) => Some(*result),
            Err(_) => self.answered.take(),
        };
        if let Some(result) = result.filter(|result| !(-4095..0).contains(result)) {
            self.undo.push(undo(result as u64));
        }
        let made = Call { result: made?, ..*call };
        match made.error() {
            None => Ok(made.result as u64),
            Some(error) => Err(Error::Call { who: self.who().clone(), call: call.to_string(), error }),
        }
    }

    /// Has the thread make `call`, whatever that answers.
    pub(super) fn make(&mut self, call: &Call) -> Result<i64, Error> {
        // First, for whatever fails from here on: what an earlier call answered is nothing that this one made.
        self.answered = None;
        self.check_harmless(call)?;
        if self.astray() {
            self.resettle()?;
        }
        let tid = self.who().tid;
        self.set_astray(true);
        let set = self.saved().making(self.instruction(), call).give(tid);
        set.map_err(|error| Error::other(self.who(), "make a call in", error))?;
        self.point(Step::CallSet)?;
        self.run_to_call_stop(call)?;
        self.point(Step::CallBegun)?;
        let done = self.run_to_call_stop(call);
        if let Ok(CallStop::Exit(result)) = ptrace::call_stop(tid) {
            self.answered = Some(result);
        }
        done?;
        self.point(Step::CallDone)?;
        let result = self.registers_now()?.result();
        self.set_astray(false);
        Ok(result)
    }

    /// Whether its filters, as far as they are known, deny it `call`.
    #[must_use]
    pub fn denies(&self, call: &Call) -> bool {
        let Some(filters) = self.filters() else { return false };
        let data = Data {
            number: call.number as u32,
            architecture: X86_64,
            instruction: self.instruction() + INSTRUCTION,
            arguments: call.arguments,
        };
        !program::allows(program::answer(filters.iter().map(|filter| &filter.program), &data))
    }

    /// Whether its filters deny it memory for a list, or to give that back, or look at where calls are made.
    pub(super) fn denies_lists(&self) -> bool {
        let Some(filters) = self.filters() else { return false };
        filters.iter().any(|filter| filter.program.looks_at_place())
            || self.denies(&unmap(0, 4096))
            || [READ_WRITE, READ_EXECUTE].into_iter().any(|protection| self.denies(&map(4096, protection)))
    }

    /// Fails for a call that could not be taken back.
    pub(super) fn check_harmless(&self, call: &Call) -> Result<(), Error> {
        if self.denies(call) {
            return Err(Error::Denied { who: self.who().clone(), call: call.to_string() });
        }
        let why = match call.harm() {
            Some(why) => why,
            None if self.exposed() => "a SIGSYS of its own waits, so its seccomp filter must not send another",
            None => return Ok(()),
        };
        Err(Error::Unable { who: self.who().clone(), why: format!("{call}: {why}") })
    }

    pub(super) fn point(&self, step: Step) -> Result<(), Error> {
        fault::point(step).map_err(|error| Error::other(self.who(), "make a call in", error))
    }

    fn run_to_call_stop(&mut self, call: &Call) -> Result<(), Error> {
        let tid = self.who().tid;
        let mut signal = 0;
        loop {
            let resumed = ptrace::resume_to_call(tid, signal);
            resumed.map_err(|error| Error::other(self.who(), "make a call in", error))?;
            match self.wait_for(&format!("come back from {call}"))? {
                Status::Stopped { signal: CALL_STOP, .. } => return Ok(()),
                // A stop signal of the thread's own took effect, or ended; the call is made all the same.
                Status::Stopped { event: EVENT_STOP, .. } => signal = 0,
                // It cannot be blocked.
                Status::Stopped { signal: libc::SIGSTOP, event: 0 } => signal = libc::SIGSTOP,
                Status::Stopped { signal: libc::SIGSYS, event: 0 } => {
                    self.denied(call)?;
                    signal = libc::SIGSYS;
                }
                status => {
                    let why = format!("unexpected stop {status:?} in {call}");
                    return Err(Error::Unable { who: self.who().clone(), why });
                }
            }
        }
    }

    /// In a stop before SIGSYS: an error if the thread's filter sent it because of `call`. Else it is the thread's own, which
    /// is blocked now, so that the kernel puts it back into its queue.
    pub(super) fn denied(&mut self, call: &Call) -> Result<(), Error> {
        let tid = self.who().tid;
        let signal = self.about_to_get()?;
        if signal.code() == SECCOMP {
            return Err(Error::Denied { who: self.who().clone(), call: call.to_string() });
        }
        self.note_own_sigsys();
        ptrace::set_signal_mask(tid, u64::MAX).map_err(|error| Error::other(self.who(), "block the signals of", error))
    }
}
