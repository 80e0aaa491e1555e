//! Processes: what a thread is asked on behalf of its process, and the records of it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use libc::pid_t;

use super::Error;
use super::error::fit;
use super::inside::{Answers, Question, Questions};
use super::paths::path;
use super::subject::Subject;
use super::view::View;
use crate::process::limits;
use crate::process::text;
use crate::process::timers::{Notify, Timer};
use crate::process::tree::Life;
use crate::record::process::{Limit, Limits, PosixTimer, Process, SignalAction, SignalActions, State, Time, Timers};
use crate::sys::ptrace::{self, EVENT_STOP};

/// The most of a short file of one number.
const SHORT: u64 = 64;
/// `SIGEV_THREAD_ID`.
const THREAD_ID: i32 = 4;
/// What an ignored signal has for a handler.
const IGNORE: u64 = 1;
/// `struct kernel_sigaction`: handler, flags, restorer, mask.
const ACTION: usize = 32;
/// `struct itimerspec`, `struct itimerval`: four numbers.
const TIMER: usize = 32;

/// What a process is asked.
pub(super) struct Asked {
    subreaper: Question,
    pub(super) dumpable: Question,
    deny_write_exec: Question,
    pub(super) brk: Question,
    intervals: [Question; 3],
    actions: Vec<(u8, Question)>,
    timers: Vec<(Timer, Question, Question)>,
}

impl Asked {
    /// Adds the questions to `questions`: about these `caught` signals and `timers`.
    pub(super) fn ask(questions: &mut Questions, caught: &[u8], timers: &[Timer]) -> Self {
        let prctl = |questions: &mut Questions, option: i32| questions.ask(libc::SYS_prctl, &[option as u64]);
        Self {
            subreaper: questions.ask_into(libc::SYS_prctl, &[libc::PR_GET_CHILD_SUBREAPER as u64, 0], 1, 4),
            dumpable: prctl(questions, libc::PR_GET_DUMPABLE),
            deny_write_exec: prctl(questions, libc::PR_GET_MDWE),
            brk: questions.ask(libc::SYS_brk, &[0]),
            intervals: [0, 1, 2].map(|which| questions.ask_into(libc::SYS_getitimer, &[which, 0], 1, TIMER)),
            actions: caught
                .iter()
                .map(|signal| {
                    let arguments = [u64::from(*signal), 0, 0, 8];
                    (*signal, questions.ask_into(libc::SYS_rt_sigaction, &arguments, 2, ACTION))
                })
                .collect(),
            timers: timers
                .iter()
                .map(|timer| {
                    let id = timer.id as u64;
                    let time = questions.ask_into(libc::SYS_timer_gettime, &[id, 0], 1, TIMER);
                    (*timer, time, questions.ask(libc::SYS_timer_getoverrun, &[id]))
                })
                .collect(),
        }
    }

    /// Where brk(2) ends.
    pub(super) fn brk(&self, answers: &Answers) -> u64 {
        answers.result(self.brk).unwrap_or(0)
    }

    /// PR_GET_MDWE; 0 on a kernel without it.
    pub(super) fn deny_write_exec(&self, answers: &Answers) -> u32 {
        answers.result(self.deny_write_exec).unwrap_or(0) as u32
    }

    /// Whether orphans become its children.
    pub(super) fn subreaper(&self, answers: &Answers) -> bool {
        answers.bytes(self.subreaper).is_some_and(|bytes| bytes != [0; 4])
    }

    /// PR_GET_DUMPABLE.
    pub(super) fn dumpable(&self, answers: &Answers) -> u8 {
        answers.result(self.dumpable).unwrap_or(0) as u8
    }

    /// The record of its signal actions, with the number `id`.
    pub(super) fn actions(&self, subject: &Subject, id: u32, answers: &Answers) -> Result<SignalActions, Error> {
        let ignored = (1..=64).filter(|signal| subject.status.ignored.contains((*signal).into()));
        let mut actions: Vec<SignalAction> =
            ignored.map(|signal| SignalAction { signal, handler: IGNORE, ..SignalAction::default() }).collect();
        for (signal, question) in &self.actions {
            let Some([handler, flags, restorer, mask]) = answers.words(*question) else {
                let what = format!("the handler of signal {signal}");
                return Err(Error::refused(subject.pid, what, answers.failure(*question)));
            };
            actions.push(SignalAction { signal: *signal, handler, flags, restorer, mask });
        }
        actions.sort_by_key(|action| action.signal);
        Ok(SignalActions { id, actions: fit(subject.pid, "signal actions", actions)? })
    }

    /// The record of its timers. `tids`: threads as the session sees them.
    pub(super) fn timers(
        &self,
        subject: &Subject,
        answers: &Answers,
        tids: &BTreeMap<pid_t, u32>,
    ) -> Result<Timers, Error> {
        let refuse = |what: String, question| Error::refused(subject.pid, what, answers.failure(question));
        let mut intervals = Vec::new();
        for (which, question) in self.intervals.iter().enumerate() {
            let words = answers.words(*question).ok_or_else(|| refuse(format!("interval timer {which}"), *question))?;
            intervals.push(time(words, 1_000_000));
        }
        let mut posix = Vec::new();
        for (timer, question, overrun) in &self.timers {
            let words = answers.words(*question).ok_or_else(|| refuse(format!("timer {}", timer.id), *question))?;
            let notify = match timer.notify {
                Notify::Signal => 0,
                Notify::None => 1,
                Notify::Thread => 2,
            };
            posix.push(PosixTimer {
                id: timer.id,
                clock: timer.clock,
                notify: if timer.to_thread { notify | THREAD_ID } else { notify },
                signal: timer.signal as u8,
                thread: if timer.to_thread { tids.get(&timer.target).copied().unwrap_or(0) } else { 0 },
                value: timer.value,
                time: time(words, 1_000_000_000),
                absolute: false,
                overrun: answers.result(*overrun).unwrap_or(0) as u32,
            });
        }
        posix.sort_by_key(|timer| timer.id);
        let pid = subject.pid;
        Ok(Timers {
            process: subject.id,
            intervals: fit(pid, "interval timers", intervals)?,
            posix: fit(pid, "timers", posix)?,
        })
    }
}

/// What `struct itimerspec` and `struct itimerval` say: interval, then what is left; seconds, then their parts.
fn time([seconds, parts, left_seconds, left_parts]: [u64; 4], per_second: u64) -> Time {
    let whole = |seconds: u64, parts: u64| seconds.saturating_mul(per_second).saturating_add(parts);
    Time { left: whole(left_seconds, left_parts), interval: whole(seconds, parts) }
}

/// The signals that a process catches.
pub(super) fn caught(subject: &Subject) -> Vec<u8> {
    (1..=64).filter(|signal| subject.status.caught.contains((*signal).into())).collect()
}

/// The record of a process, as far as the kernel says it from outside.
pub(super) fn record(subject: &Subject, parent: Option<u32>, view: &View) -> Result<Process, Error> {
    let (pid, status) = (subject.pid, &subject.status);
    let life = subject.life();
    let [group, session] = [&status.process_groups, &status.sessions].map(|ids| view.pid(ids));
    if group == 0 || session == 0 {
        let why = "that of its group or session is in a pid namespace that the session does not see";
        return Err(Error::refused(pid, "its leader", why));
    }
    let exit_signal = u8::try_from(subject.stat.exit_signal).unwrap_or(0);
    let mut process = Process {
        id: subject.id,
        pids: fit(pid, "pids", view.inner(&status.tgids))?,
        parent,
        group,
        session,
        exit_signal,
        ..Process::default()
    };
    if let Life::Zombie(status) = life {
        process.state = State::Ended { status };
        return Ok(process);
    }
    let directory = subject.directory();
    let read = |what: &'static str| Error::read(pid, pid, what);
    let number = |file, radix| number(&directory, file, radix).map_err(read(file));
    process.leader_ended = (life == Life::DeadLeader).then_some(subject.stat.exit_code);
    process.personality = number("personality", 16)? as u32;
    process.oom_score_adj = number("oom_score_adj", 10)? as i32;
    process.umask = status.umask.unwrap_or(0);
    let path = |link| path(view, pid, &directory.join(link), link);
    process.directory = fit(pid, "its working directory", path("cwd")?)?;
    process.root = fit(pid, "its root directory", path("root")?)?;
    if let Some(tid) = subject.speaker() {
        process.state = stopped(tid).map_or(State::Running, |signal| State::Stopped { signal });
    }
    Ok(process)
}

/// The signal that stopped a process, whose thread was taken hold of meanwhile: it stands where its own stop would be.
fn stopped(tid: pid_t) -> Option<u8> {
    let signal = ptrace::stop_signal(tid).ok()?;
    let own = signal.number() != libc::SIGTRAP && signal.code() >> 8 == EVENT_STOP;
    own.then(|| u8::try_from(signal.number()).ok())?
}

/// A file with one number.
fn number(directory: &Path, file: &str, radix: u32) -> io::Result<i64> {
    let text = text::read(directory, file, SHORT)?;
    let number = std::str::from_utf8(&text).ok().and_then(|text| i64::from_str_radix(text.trim(), radix).ok());
    number.ok_or_else(|| text::Malformed::new("…", file, &text).into())
}

/// The record of a process's limits.
pub(super) fn limits(subject: &Subject) -> Result<Limits, Error> {
    let limits = limits::read(&subject.directory()).map_err(Error::read(subject.pid, subject.pid, "limits"))?;
    let all =
        limits.iter().map(|limit| Limit { soft: limit.soft.unwrap_or(u64::MAX), hard: limit.hard.unwrap_or(u64::MAX) });
    Ok(Limits { process: subject.id, limits: fit(subject.pid, "limits", all.collect::<Vec<_>>())? })
}
