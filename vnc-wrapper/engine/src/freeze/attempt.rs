//! One try to stop everything, and its undoing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libc::pid_t;

use crate::fault::{self, Step};
use crate::remote::{Who, begin_again};
use crate::sys::ptrace::{self, EVENT_EXEC, EVENT_STOP};
use crate::sys::wait::{self, Status};

use super::reaper::Reaper;
use super::{Error, Source, source, vfork};

/// How long a thread may take to stop before it is looked at.
const LONG: Duration = Duration::from_millis(1);

/// How long a thread that did not stop is waited for when all run on.
const FAREWELL: Duration = Duration::from_millis(200);

/// A thread that is held.
struct Held {
    pid: pid_t,
    state: State,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was asked to stop.
    Asked,
    /// It stands still.
    Stopped,
    /// A child of vfork(2) that runs until its parent stops.
    Let,
    /// A leader that has ended and whose threads live: it reports its end with theirs.
    Ended,
}

/// Why a try ended.
pub(super) enum Failure {
    /// These did not stop in time.
    Late(Vec<Who>),
    /// Trying again would not help.
    Final(Error),
}

/// What is held, by thread id. It outlives a try: a thread that could not be let go is still held in the next.
#[derive(Default)]
pub(super) struct Attempt {
    held: BTreeMap<pid_t, Held>,
}

impl State {
    /// Whether it may still do something.
    fn moves(self) -> bool {
        matches!(self, Self::Asked | Self::Let)
    }
}

impl Attempt {
    pub(super) fn run(&mut self, source: &mut dyn Source, deadline: Duration) -> Result<(), Failure> {
        let reaper = Reaper::new(self.held.keys().copied().collect());
        let done = std::thread::scope(|scope| {
            scope.spawn(|| reaper.work());
            let done = self.rounds(source, Instant::now() + deadline, &reaper);
            reaper.end();
            done
        });
        for (tid, status) in reaper.learned() {
            self.note(tid, status);
        }
        done
    }

    fn rounds(&mut self, source: &mut dyn Source, deadline: Instant, reaper: &Reaper) -> Result<(), Failure> {
        let mut quiet = 0;
        while quiet < 2 {
            let (fresh, refused) = self.seize_new(source, reaper)?;
            for (tid, status) in reaper.learned() {
                self.note(tid, status);
            }
            self.collect();
            self.let_children_run();
            let moving = self.held.iter().filter(|(_, held)| held.state.moves());
            let moving: Vec<_> = moving.map(|(tid, held)| Who::unnamed(held.pid, *tid)).collect();
            let still = fresh == 0 && refused.is_empty() && moving.is_empty();
            if still && self.all_stand() {
                quiet += 1;
                if let Some((tid, held)) = self.held.first_key_value() {
                    point(Step::FreezeQuiet, held.pid, *tid)?;
                }
                continue;
            }
            quiet = 0;
            if Instant::now() >= deadline {
                let moving = moving.into_iter().map(|who| Who::of(who.pid, who.tid));
                return Err(Failure::Late(moving.chain(refused).collect()));
            }
            if fresh == 0 {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(())
    }

    /// Takes hold of every thread that is not held yet: how many, and which refused.
    fn seize_new(&mut self, source: &mut dyn Source, reaper: &Reaper) -> Result<(usize, Vec<Who>), Failure> {
        let mut fresh = 0;
        let mut refused = Vec::new();
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC;
        for pid in source.list().map_err(|error| Failure::Final(Error::Source(error)))? {
            for tid in source::threads(pid) {
                if self.held.contains_key(&tid) {
                    continue;
                }
                match reaper.during(tid, || ptrace::seize(tid, options)) {
                    Ok(()) => {
                        fresh += 1;
                        // A failure means that it is gone, which the next look finds.
                        let _ = ptrace::interrupt(tid);
                        self.held.insert(tid, Held { pid, state: State::Asked, since: Instant::now() });
                        point(Step::FreezeHeld, pid, tid)?;
                    }
                    Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                        if let Some(who) = self.refusal(pid, tid)? {
                            refused.push(who);
                        }
                    }
                    // It has ended.
                    Err(_) => {}
                }
            }
        }
        Ok((fresh, refused))
    }

    /// Why a thread may not be held: None for one that has ended.
    fn refusal(&self, pid: pid_t, tid: pid_t) -> Result<Option<Who>, Failure> {
        if source::state(tid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X' | 'x')) {
            return Ok(None);
        }
        let who = Who::of(pid, tid);
        let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok());
        match tracer.unwrap_or(0) {
            0 => Ok(Some(who)),
            // Our own: it took this id in execve(2) and will say so.
            tracer if source::threads(std::process::id() as pid_t).contains(&tracer) => Ok(Some(who)),
            tracer => Err(Failure::Final(Error::Traced { who, tracer })),
        }
    }

    /// Learns what those that move have done.
    fn collect(&mut self) {
        // One that stands still may be killed, by an execve(2) of its process that then waits for it to be reaped.
        let late = self.held.values().any(|held| held.state.moves() && held.since.elapsed() > LONG);
        let unknown =
            |(tid, held): (&pid_t, &Held)| (late || held.state != State::Stopped).then_some((*tid, held.since));
        for (tid, since) in self.held.iter().filter_map(unknown).collect::<Vec<_>>() {
            match wait::now(tid) {
                Ok(Some(status)) => self.note(tid, status),
                Ok(None) if since.elapsed() > LONG => {
                    // Not for other threads: one that has ended must be reaped, an execve(2) may wait for that.
                    if let Some(held) = self.held.get_mut(&tid).filter(|held| held.pid == tid && held.state.moves())
                        && source::state(tid).is_some_and(|(state, _)| state == 'Z')
                    {
                        held.state = State::Ended;
                    }
                }
                Ok(None) => {}
                Err(_) => {
                    self.held.remove(&tid);
                }
            }
        }
    }

    /// Asks the kernel whether all that stood still do. A leader's id may have passed to a thread that execed, and a thread
    /// that stood still may have been killed.
    fn all_stand(&mut self) -> bool {
        let mut all = true;
        let stopped = |(tid, held): (&pid_t, &Held)| (held.state == State::Stopped).then_some(*tid);
        for tid in self.held.iter().filter_map(stopped).collect::<Vec<_>>() {
            if let Ok(Some(status)) = wait::now(tid) {
                self.note(tid, status);
                all = false;
            } else if ptrace::signal_mask(tid).is_err()
                && let Some(held) = self.held.get_mut(&tid)
            {
                held.state = State::Asked;
                held.since = Instant::now();
                let _ = ptrace::interrupt(tid);
                all = false;
            }
        }
        all
    }

    /// What a thread did.
    fn note(&mut self, tid: pid_t, status: Status) {
        let Status::Stopped { signal, event } = status else {
            self.held.remove(&tid);
            return;
        };
        if event == EVENT_EXEC {
            let former = ptrace::event_message(tid).unwrap_or(0) as pid_t;
            if former != tid
                && let Some(held) = self.held.remove(&former)
            {
                self.held.entry(tid).or_insert(held);
            }
        }
        let Some(held) = self.held.get_mut(&tid) else { return };
        if event == EVENT_STOP && matches!(held.state, State::Asked | State::Stopped) {
            held.state = State::Stopped;
            return;
        }
        // On to the stop that was asked for; a signal is delivered on the way. A child of vfork(2) that has execed no longer
        // runs in its parent's memory.
        if event == EVENT_EXEC || held.state == State::Ended {
            held.state = State::Asked;
        }
        let delivered = if event == 0 && signal != ptrace::CALL_STOP { signal } else { 0 };
        if held.state == State::Asked {
            let _ = ptrace::interrupt(tid);
        }
        let _ = ptrace::resume(tid, delivered);
    }

    /// Lets the children of parents in vfork(2) run, and stops them once their parents have.
    fn let_children_run(&mut self) {
        let late = |held: &Held| held.state == State::Asked && held.since.elapsed() > LONG;
        let parents: Vec<_> = self.held.iter().filter(|(tid, held)| late(held) && vfork::waits(**tid)).collect();
        let parents: Vec<_> = parents.into_iter().map(|(tid, held)| (*tid, held.pid)).collect();
        let mut running = Vec::new();
        for (tid, held) in &self.held {
            if matches!(held.state, State::Stopped | State::Let)
                && let Some(_) = parents.iter().find(|(parent, process)| vfork::is_child(*tid, *process, *parent))
            {
                running.push(*tid);
            }
        }
        for (tid, held) in &mut self.held {
            let wanted = running.contains(tid);
            if wanted && held.state == State::Stopped {
                held.state = State::Let;
                let _ = begin_again(*tid).and_then(|()| ptrace::resume(*tid, 0));
            } else if !wanted && held.state == State::Let {
                held.state = State::Asked;
                held.since = Instant::now();
                let _ = ptrace::interrupt(*tid);
            }
        }
    }

    /// Those that stand still and the leaders that have ended, which the caller now holds.
    pub(super) fn still(&mut self) -> (Vec<Who>, Vec<pid_t>) {
        let held = std::mem::take(&mut self.held);
        let (stopped, ended): (Vec<_>, Vec<_>) = held.into_iter().partition(|(_, held)| held.state == State::Stopped);
        let stopped = stopped.into_iter().map(|(tid, held)| Who::unnamed(held.pid, tid)).collect();
        (stopped, ended.into_iter().map(|(tid, _)| tid).collect())
    }

    /// Lets all run on. What does not stop stays held.
    pub(super) fn thaw(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        loop {
            self.held.retain(|tid, held| held.state != State::Stopped || !let_go(*tid));
            for (tid, held) in &mut self.held {
                if held.state == State::Let {
                    held.state = State::Asked;
                    let _ = ptrace::interrupt(*tid);
                }
            }
            self.collect();
            if self.held.values().all(|held| held.state == State::Ended) || Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

fn point(step: Step, pid: pid_t, tid: pid_t) -> Result<(), Failure> {
    fault::point(step).map_err(|error| Failure::Final(Error::Failed { who: Who::of(pid, tid), error }))
}

/// Lets a stopped thread run on; true when it is no longer held.
fn let_go(tid: pid_t) -> bool {
    if begin_again(tid).and_then(|()| ptrace::detach(tid, 0)).is_err() {
        // It was killed; its parent learns that when it is reaped here.
        let _ = wait::now(tid);
    }
    true
}
