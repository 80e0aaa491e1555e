//! Every step of the guard is made to fail on threads in every kind of wait, and each thread must be as it was.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libc::pid_t;

use super::processor::Registers;
use super::{Call, Error, Stopped, Thread, tracing};
use crate::fault::{self, Step};
use crate::sys::guests::{self, Guest, PATIENCE, Shared, starving};
use crate::sys::{memory, ptrace};
use crate::testing::as_both_users;

/// What one can see of a thread and its process from outside.
#[derive(PartialEq)]
struct Portrait {
    registers: Registers,
    vectors: Vec<u8>,
    mask: u64,
    waiting: Vec<ptrace::Signal>,
    shared: Vec<ptrace::Signal>,
    files: BTreeMap<String, String>,
    /// A hash of every private writable mapping.
    memory: Vec<(String, u64)>,
}

impl Portrait {
    /// `memory`: with that of the process, which takes longest.
    fn of(pid: pid_t, tid: pid_t, with_memory: bool) -> Self {
        let at = format!("/proc/{pid}/task/{tid}");
        let mut files = BTreeMap::new();
        for name in
            ["status", "maps", "cmdline", "limits", "wchan", "syscall", "timerslack_ns", "comm", "oom_score_adj"]
        {
            let Ok(text) = std::fs::read_to_string(format!("{at}/{name}")) else { continue };
            // Marks of the highest use, what is in memory just now, what all processes of the user have queued.
            // Blocked signals are compared as ptrace gives them: see `ptrace::signal_mask`.
            let moving = ["SigBlk", "SigQ", "VmPeak", "VmHWM", "VmRSS", "Rss", "VmPTE", "VmSwap"];
            let moving =
                |line: &str| line.contains("ctxt_switches") || moving.iter().any(|name| line.starts_with(name));
            files.insert(name.to_owned(), text.lines().filter(|line| !moving(line)).collect::<Vec<_>>().join("\n"));
        }
        for entry in std::fs::read_dir(format!("{at}/fd")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let link = std::fs::read_link(format!("{at}/fd/{name}")).unwrap();
            let info = std::fs::read_to_string(format!("{at}/fdinfo/{name}")).unwrap();
            files.insert(format!("fd/{name}"), format!("{} {info}", link.display()));
        }
        let mut memory = Vec::new();
        for line in files["maps"].lines().filter(|line| with_memory && line.contains(" rw-p")) {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let start = u64::from_str_radix(start, 16).unwrap();
            let end = u64::from_str_radix(end, 16).unwrap();
            memory.push((line.to_owned(), hash(tid, start..end)));
        }
        Self {
            registers: Registers::of(tid).unwrap(),
            vectors: ptrace::xstate(tid).unwrap(),
            mask: ptrace::signal_mask(tid).unwrap(),
            waiting: ptrace::waiting_signals(tid, false).unwrap(),
            shared: ptrace::waiting_signals(tid, true).unwrap(),
            files,
            memory,
        }
    }

    fn assert_same(&self, now: &Self, what: &str) {
        assert_eq!(self.registers, now.registers, "{what}: registers");
        assert!(self.vectors == now.vectors, "{what}: vector registers");
        assert_eq!(self.mask, now.mask, "{what}: signal mask");
        assert_eq!(self.waiting, now.waiting, "{what}: the thread's signals");
        assert_eq!(self.shared, now.shared, "{what}: the process's signals");
        for (name, text) in &self.files {
            let other = now.files.get(name).map_or("", String::as_str);
            let changed: Vec<_> = text.lines().filter(|line| !other.lines().any(|one| one == *line)).collect();
            let new: Vec<_> = other.lines().filter(|line| !text.lines().any(|one| one == *line)).collect();
            assert!(text == other, "{what}: {name}: {changed:?} became {new:?}");
        }
        assert_eq!(self.files.len(), now.files.len(), "{what}: descriptors");
        for ((line, before), (_, after)) in self.memory.iter().zip(&now.memory) {
            assert_eq!(before, after, "{what}: memory of {line}");
        }
    }
}

/// A hash of a range of a thread's memory. Piece by piece, for guests of other tests inherit what this process keeps.
fn hash(tid: pid_t, range: Range<u64>) -> u64 {
    // The kernel writes there on which processor the thread runs.
    let kernels = ptrace::rseq(tid).unwrap().address;
    let mut hasher = DefaultHasher::new();
    let mut bytes = vec![0; 1 << 16];
    for start in range.clone().step_by(bytes.len()) {
        let wanted = (range.end - start).min(bytes.len() as u64) as usize;
        let read = memory::read_some(tid, start, &mut bytes[..wanted]).unwrap_or(0);
        for at in (kernels..kernels + 8).chain(kernels + 20..kernels + 28) {
            if let Some(byte) = at.checked_sub(start).and_then(|at| bytes[..read].get_mut(at as usize)) {
                *byte = 0;
            }
        }
        hasher.write(&bytes[..read]);
    }
    hasher.finish()
}

/// Everything the guard offers, once.
fn everything(stopped: &mut Stopped<'_>) -> Result<(), Error> {
    let mut thread = stopped.thread()?;
    let pid = thread.call(&Call::new(libc::SYS_getpid, [0; 6]))?;
    assert_eq!(pid as pid_t, thread.who().pid);
    let stack = thread.borrow_stack(300)?;
    thread.fill(stack, &[0xee; 300])?;
    let memory = thread.map(8192)?;
    thread.fill(memory, b"scratch")?;
    let segment = guests::Segment::make();
    thread.attach(segment.identifier())?;
    let event = thread.open(&Call::new(libc::SYS_eventfd2, [5, 0, 0, 0, 0, 0]))?;
    let copy = thread.copy_descriptor(event)?;
    let mut eight = [0; 8];
    rustix::io::read(&copy, &mut eight).unwrap();
    assert_eq!(u64::from_ne_bytes(eight), 5);
    let mut calls = vec![Call::new(libc::SYS_gettid, [0; 6]); 40];
    calls[20] = Call::new(libc::SYS_close, [9999, 0, 0, 0, 0, 0]);
    thread.run(&mut calls)?;
    for (at, call) in calls.iter().enumerate() {
        let right = if at == 20 { -i64::from(libc::EBADF) } else { i64::from(thread.who().tid) };
        assert_eq!(call.result, right, "call {at} of the list");
    }
    thread.close()
}

/// Makes every step fail wherever it is passed. `tid` is in process `guest`. `again`: the guest waits for the test, so it can be
/// stopped again and again.
fn fail_everywhere(name: &str, guest: &Guest, tid: pid_t, again: bool) {
    tracing(|tracer| {
        let take = || Stopped::take(tracer, guest.pid, tid, PATIENCE);
        let mut stopped = take().unwrap();
        let before = Portrait::of(guest.pid, tid, true);
        everything(&mut stopped).unwrap();
        before.assert_same(&Portrait::of(guest.pid, tid, true), &format!("{name}: nothing failed"));
        for step in Step::ALL {
            let elsewhere = !step.name().starts_with("remote.");
            if elsewhere || matches!(step, Step::Seize | Step::Interrupt | Step::Stopped | Step::Stepped) {
                continue;
            }
            for skip in 0.. {
                let armed = fault::arm(*step, skip);
                let done = everything(&mut stopped);
                if !armed.met() {
                    done.unwrap();
                    // Where a SIGTRAP waits, lists are made call by call.
                    let by_call = name == "waiting signals" && step.name().starts_with("remote.list");
                    assert!(skip > 0 || by_call, "no test reaches {step:?}");
                    break;
                }
                // What fails while it is given back is tried again, and is no failure then.
                if let Err(error) = done {
                    let error = error.to_string();
                    assert!(error.contains(step.name()) && error.contains(&guest.pid.to_string()), "{error}");
                } else {
                    assert!(skip > 0, "{step:?} failed unnoticed");
                }
                let now = Portrait::of(guest.pid, tid, skip == 0);
                before.assert_same(&now, &format!("{name}: {step:?} failed at pass {skip}"));
            }
        }
        drop(stopped);
        for step in [Step::Seize, Step::Interrupt, Step::Stopped].into_iter().filter(|_| again) {
            let armed = fault::arm(step, 0);
            let error = take().err().unwrap().to_string();
            assert!(armed.met() && error.contains(step.name()), "{error}");
        }
    });
    if !again {
        return;
    }
    let tracer = super::thread::status_field(&super::Who::of(guest.pid, tid), "TracerPid:");
    assert_eq!(tracer.as_deref(), Some("0"), "{name}: still traced");
}

fn check(name: &str, body: fn(Shared) -> i32, kind: Kind, go_on: impl FnOnce(&Guest)) {
    let guest = Guest::start(body);
    let tid = match guest.shared.word(2).load(Ordering::SeqCst) {
        0 => guest.pid,
        tid => tid as pid_t,
    };
    if kind != Kind::Runs {
        guest.asleep(tid);
    }
    fail_everywhere(name, &guest, tid, kind != Kind::Timed);
    go_on(&guest);
    assert_eq!(guest.end(), 0, "{name}: something else happened to it");
}

/// What a guest does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It waits for the test.
    Waits,
    /// It waits for a time, and ends.
    Timed,
    /// It runs.
    Runs,
}

fn nothing(_: &Guest) {}

fn byte(guest: &Guest) {
    guest.shared.write();
}

#[test]
fn issue_10_every_step_in_a_thread_that_waits_in_a_call_can_fail() {
    as_both_users("remote::tests::issue_10_every_step_in_a_thread_that_waits_in_a_call_can_fail", || {
        check("read", guests::in_read, Kind::Waits, byte);
        check("epoll_wait", guests::in_epoll, Kind::Waits, byte);
        check("poll", guests::in_poll, Kind::Timed, nothing);
        check("nanosleep", guests::in_nanosleep, Kind::Timed, nothing);
        check("futex", guests::in_futex, Kind::Timed, nothing);
    });
}

#[test]
fn issue_10_every_step_in_a_thread_with_signals_can_fail() {
    as_both_users("remote::tests::issue_10_every_step_in_a_thread_with_signals_can_fail", || {
        check("signal handler", guests::in_handler, Kind::Waits, byte);
        check("sigsuspend", guests::in_sigsuspend, Kind::Waits, |guest| guest.signal(libc::SIGUSR1));
        check("waiting signals", guests::with_waiting_signals, Kind::Waits, byte);
    });
}

#[test]
fn issue_10_every_step_in_a_running_thread_can_fail() {
    as_both_users("remote::tests::issue_10_every_step_in_a_running_thread_can_fail", || {
        check("vector registers", guests::in_vectors, Kind::Runs, |guest| {
            guest.shared.word(1).store(1, Ordering::SeqCst);
        });
    });
}

#[test]
fn issue_10_every_step_in_one_of_many_threads_can_fail() {
    as_both_users("remote::tests::issue_10_every_step_in_one_of_many_threads_can_fail", || {
        check("threads", guests::with_threads, Kind::Waits, byte);
        check("dead leader", guests::with_dead_leader, Kind::Waits, byte);
    });
}

#[test]
fn issue_10_a_stopped_process_stays_stopped_and_its_parent_learns_it_once() {
    as_both_users("remote::tests::issue_10_a_stopped_process_stays_stopped_and_its_parent_learns_it_once", || {
        let guest = Guest::start(guests::in_read);
        guest.asleep(guest.pid);
        guest.signal(libc::SIGSTOP);
        assert_eq!(guest.wait_with(libc::WUNTRACED).0, guest.pid);
        fail_everywhere("stopped", &guest, guest.pid, true);
        guests::until("it is stopped again", || guests::state(guest.pid, guest.pid) == Some('T'));
        assert_eq!(guest.wait_with(libc::WUNTRACED | libc::WNOHANG).0, 0, "its parent learns it twice");
        guest.signal(libc::SIGCONT);
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_a_thread_that_is_killed_meanwhile_is_named() {
    as_both_users("remote::tests::issue_10_a_thread_that_is_killed_meanwhile_is_named", || {
        let guest = Guest::start(guests::in_read);
        guest.asleep(guest.pid);
        tracing(|tracer| {
            let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE).unwrap();
            let mut thread = stopped.thread().unwrap();
            guest.signal(libc::SIGKILL);
            let error = thread.call(&Call::new(libc::SYS_getpid, [0; 6])).unwrap_err();
            assert!(matches!(&error, Error::Gone(who) if who.pid == guest.pid), "{error}");
        });
    });
}

#[test]
fn issue_10_a_call_that_does_not_come_back_is_interrupted() {
    as_both_users("remote::tests::issue_10_a_call_that_does_not_come_back_is_interrupted", || {
        let guest = Guest::start(guests::in_read);
        guest.asleep(guest.pid);
        tracing(|tracer| {
            let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, Duration::from_millis(300)).unwrap();
            let before = Portrait::of(guest.pid, guest.pid, true);
            let mut thread = stopped.thread().unwrap();
            let forever = Call::new(libc::SYS_pause, [0; 6]);
            let error = thread.call(&forever).unwrap_err().to_string();
            assert!(error.contains("did not come back from") && error.contains("300 ms"), "{error}");
            let mut list = vec![Call::new(libc::SYS_getpid, [0; 6]); 10];
            list[7] = forever;
            let error = thread.run(&mut list).unwrap_err().to_string();
            assert!(error.contains("system call 34"), "{error}");
            assert_eq!(list[6].result, i64::from(guest.pid), "what was made can be read");
            thread.close().unwrap();
            before.assert_same(&Portrait::of(guest.pid, guest.pid, true), "late");
        });
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_a_thread_without_a_processor_is_given_back_as_it_was() {
    as_both_users("remote::tests::issue_10_a_thread_without_a_processor_is_given_back_as_it_was", || {
        const OCCUPIED: Duration = Duration::from_millis(50);
        const CALLS: u32 = 100;
        let guest = Guest::start(guests::in_read);
        guest.asleep(guest.pid);
        let processor = starving::confine(guest.pid);
        tracing(|tracer| {
            let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE).unwrap();
            let before = Portrait::of(guest.pid, guest.pid, true);
            // It has to come at once, which it does not when somebody else has its processor.
            stopped.set_patience(Duration::ZERO);
            let mut thread = stopped.thread().unwrap();
            let mut calls = vec![Call::new(libc::SYS_getpid, [0; 6]); 10];
            for list in [false, true] {
                guests::until("a call is late", || {
                    let other = starving::occupy(processor, OCCUPIED);
                    let late = (0..CALLS).any(|_| {
                        let made = if list {
                            thread.run(&mut calls)
                        } else {
                            thread.call(&Call::new(libc::SYS_getpid, [0; 6])).map(drop)
                        };
                        matches!(made, Err(Error::Late { .. }))
                    });
                    other.join().unwrap();
                    late
                });
            }
            let other = starving::occupy(processor, OCCUPIED);
            thread.close().unwrap();
            other.join().unwrap();
            before.assert_same(&Portrait::of(guest.pid, guest.pid, true), "starved");
        });
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_a_trap_that_is_sent_while_a_list_hangs_is_not_lost() {
    as_both_users("remote::tests::issue_10_a_trap_that_is_sent_while_a_list_hangs_is_not_lost", || {
        let guest = Guest::start(guests::with_a_trap);
        guest.asleep(guest.pid);
        tracing(|tracer| {
            let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE / 10).unwrap();
            let mut thread = stopped.thread().unwrap();
            let mut list = vec![Call::new(libc::SYS_getpid, [0; 6]); 10];
            list[7] = Call::new(libc::SYS_pause, [0; 6]);
            let error = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let waits = format!("{} ", libc::SYS_pause);
                    guests::until("it hangs", || {
                        let call = std::fs::read_to_string(format!("/proc/{}/syscall", guest.pid));
                        call.is_ok_and(|call| call.starts_with(&waits))
                    });
                    guest.signal(libc::SIGTRAP);
                });
                thread.run(&mut list).unwrap_err()
            });
            assert!(matches!(error, Error::Late { .. }), "{error}");
            thread.close().unwrap();
            let queued = ptrace::waiting_signals(guest.pid, false).unwrap();
            let queued: Vec<_> = queued.iter().map(|signal| (signal.number(), signal.code())).collect();
            assert_eq!(queued, [(libc::SIGTRAP, libc::SI_USER)]);
        });
        assert_eq!(guest.end(), 0, "its handler did not run once");
    });
}

#[test]
fn a_call_that_could_not_be_taken_back_is_refused() {
    let guest = Guest::start(guests::in_nanosleep);
    tracing(|tracer| {
        let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE).unwrap();
        let mut thread: Thread<'_, '_> = stopped.thread().unwrap();
        for number in [libc::SYS_nanosleep, libc::SYS_execve, libc::SYS_rt_sigreturn, libc::SYS_exit_group] {
            let error = thread.call(&Call::new(number, [0; 6])).unwrap_err();
            assert!(matches!(error, Error::Unable { .. }), "{error}");
        }
        let mine = thread.saved().stack();
        assert!(thread.fill(mine, b"x").is_err(), "memory that is not given back was written");
    });
    assert_eq!(guest.end(), 0);
}

#[test]
fn an_error_names_process_thread_and_call() {
    let guest = Guest::start(guests::in_nanosleep);
    tracing(|tracer| {
        let mut stopped = Stopped::take(tracer, guest.pid, guest.pid, PATIENCE).unwrap();
        let mut thread = stopped.thread().unwrap();
        let mut calls = vec![Call::new(libc::SYS_getpid, [0; 6]); 9];
        calls[4] = Call::new(libc::SYS_munmap, [1, 4096, 0, 0, 0, 0]);
        let error = thread.run_all(&mut calls).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("munmap(1, 4096)") && text.contains(&format!("process {}", guest.pid)), "{text}");
        assert_eq!(error.number(), Some(libc::EINVAL));
    });
    assert_eq!(guest.end(), 0);
}
