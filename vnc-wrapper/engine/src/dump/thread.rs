//! Threads: what the kernel says of one from outside, what ptrace(2) reads of it, what it is asked itself.

use std::collections::BTreeMap;

use libc::pid_t;

use super::Error;
use super::before::Sleeps;
use super::error::fit;
use super::filters::Filters;
use super::inside::{Answers, Question, Questions};
use super::restart;
use super::subject::Subject;
use super::view::{Rights, View};
use crate::process::status::{self, Status};
use crate::record::process::{AlternateStack, Area, Rseq, Scheduling, Thread};
use crate::record::{Bytes, List};
use crate::remote::processor::Registers;
use crate::sys::ptrace::{self, Signal};
use crate::sys::task;

/// What a thread is asked.
pub(super) struct Asked {
    stack: Question,
    pub(super) clear_child_tid: Question,
    parent_death_signal: Question,
    pub(super) timer_slack: Question,
    secure_bits: Question,
}

const GET_TID_ADDRESS: u64 = 40;
/// `stack_t`: address, flags, length.
const STACK: usize = 24;

impl Asked {
    /// Adds the questions to `questions`.
    pub(super) fn ask(questions: &mut Questions) -> Self {
        let get = |option: libc::c_int| option as u64;
        Self {
            stack: questions.ask_into(libc::SYS_sigaltstack, &[0, 0], 1, STACK),
            clear_child_tid: questions.ask_into(libc::SYS_prctl, &[GET_TID_ADDRESS, 0], 1, 8),
            parent_death_signal: questions.ask_into(libc::SYS_prctl, &[get(libc::PR_GET_PDEATHSIG), 0], 1, 4),
            timer_slack: questions.ask(libc::SYS_prctl, &[get(libc::PR_GET_TIMERSLACK)]),
            secure_bits: questions.ask(libc::SYS_prctl, &[get(libc::PR_GET_SECUREBITS)]),
        }
    }
}

/// What is read of a thread while calls can be made in it.
pub(super) struct Held {
    /// Its own registers, outside of any restartable sequence.
    pub(super) registers: Registers,
    /// Its own mask.
    pub(super) mask: u64,
}

/// Its `status`.
pub(super) fn status(subject: &Subject, tid: pid_t) -> Result<Status, Error> {
    status::read(&subject.task(tid)).map_err(Error::read(subject.pid, tid, "status"))
}

/// The record of a thread but for its signals; `rights` collects credentials.
pub(super) fn record(
    subject: &Subject,
    tid: pid_t,
    held: &Held,
    (asked, answers): (&Asked, &Answers),
    (view, sleeps, filters): (&View, &Sleeps, &mut Filters<'_>),
    rights: &mut Rights,
) -> Result<Thread, Error> {
    let pid = subject.pid;
    let read = |what: &'static str| Error::read(pid, tid, what);
    let status = status(subject, tid)?;
    let (registers, restart) = restart::of(tid, &held.registers, sleeps.place(tid, &held.registers))
        .map_err(|why| Error::refused(pid, format!("thread {tid}"), why))?;
    let answered = |question, what: &str| {
        let failed = || Error::refused(pid, format!("{what} of thread {tid}"), answers.failure(question));
        answers.result(question).ok_or_else(failed)
    };
    answered(asked.stack, "the stack for signals")?;
    let [address, flags, length] = answers.words(asked.stack).unwrap_or_default();
    answered(asked.clear_child_tid, "the address that is cleared at the end")?;
    answered(asked.parent_death_signal, "the signal at its parent's end")?;
    let death = answers.bytes(asked.parent_death_signal).and_then(|bytes| bytes.first()).copied();
    let secure_bits = answered(asked.secure_bits, "the secure bits")? as u32;
    let robust = task::robust_list(tid).map_err(read("the robust futexes"))?;
    Ok(Thread {
        process: subject.id,
        tids: fit(pid, "thread ids", view.inner(&status.pids))?,
        name: fit(pid, "the thread's name", name(&status.name))?,
        registers: fit(pid, "registers", registers.bytes())?,
        xstate: fit(pid, "registers", ptrace::xstate(tid).map_err(read("the vector registers"))?)?,
        mask: held.mask,
        signals: Default::default(),
        stack: AlternateStack { area: Area { start: address, length }, flags: flags as i32 },
        rseq: rseq(tid).map_err(read("the restartable sequence"))?,
        robust: Area { start: robust.0, length: robust.1 },
        clear_child_tid: answers.words(asked.clear_child_tid).map_or(0, |[address]| address),
        restart,
        scheduling: scheduling(pid, tid)?,
        parent_death_signal: death.unwrap_or(0),
        credentials: rights.number(pid, &status, secure_bits, view)?,
        filters: filters.numbers(pid, tid)?,
        timer_slack: answers.result(asked.timer_slack).unwrap_or(0),
    })
}

/// The signals that wait for a process and each of its threads, at one time.
#[derive(PartialEq, Eq)]
pub(super) struct Waiting {
    shared: Vec<Signal>,
    own: BTreeMap<pid_t, Vec<Signal>>,
}

impl Waiting {
    /// Those of `subject`.
    pub(super) fn of(subject: &Subject) -> Result<Self, Error> {
        let waiting = |tid, shared| {
            let waiting = ptrace::waiting_signals(tid, shared);
            waiting.map_err(Error::read(subject.pid, tid, "the waiting signals"))
        };
        let shared = subject.speaker().map_or(Ok(Vec::new()), |tid| waiting(tid, true))?;
        let own: Result<_, Error> = subject.tids.iter().map(|tid| Ok((*tid, waiting(*tid, false)?))).collect();
        Ok(Self { shared, own: own? })
    }

    /// Those of process `pid` as a whole.
    pub(super) fn shared<const MOST: usize>(&self, pid: pid_t) -> Result<List<Bytes<128>, MOST>, Error> {
        infos(pid, &self.shared)
    }

    /// Those of its thread `tid`.
    pub(super) fn own<const MOST: usize>(&self, pid: pid_t, tid: pid_t) -> Result<List<Bytes<128>, MOST>, Error> {
        infos(pid, self.own.get(&tid).map_or(&[], Vec::as_slice))
    }
}

fn infos<const MOST: usize>(pid: pid_t, signals: &[Signal]) -> Result<List<Bytes<128>, MOST>, Error> {
    let infos: Result<Vec<_>, _> = signals.iter().map(|signal| fit(pid, "a signal", signal.0.to_vec())).collect();
    fit(pid, "waiting signals", infos?)
}

/// The kernel keeps 15 bytes of a name.
fn name(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(15)].to_vec()
}

fn rseq(tid: pid_t) -> std::io::Result<Option<Rseq>> {
    let found = match ptrace::rseq(tid) {
        // A kernel without them.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(None),
        found => found?,
    };
    let area = Area { start: found.address, length: found.size.into() };
    Ok((found.address != 0).then_some(Rseq { area, signature: found.signature, flags: found.flags }))
}

fn scheduling(pid: pid_t, tid: pid_t) -> Result<Scheduling, Error> {
    let read = || Error::read(pid, tid, "how it is scheduled");
    let attributes = task::scheduling(tid).map_err(read())?;
    if attributes.policy == libc::SCHED_DEADLINE as u32 {
        return Err(Error::refused(pid, format!("thread {tid} is scheduled by deadlines"), "no record holds them"));
    }
    Ok(Scheduling {
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        processors: fit(pid, "processors", task::processors(tid).map_err(read())?)?,
        io_priority: task::io_priority(tid).map_err(read())?,
    })
}
