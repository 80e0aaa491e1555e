//! System calls that wait for a time, of which only the kernel knows what is left (`restart_block`): poll(2),
//! nanosleep(2) and futex(2). CRIU's own work in a thread makes the kernel forget that, and the call would return EINTR.
//!
//! So what is left is read while all is frozen. Before anybody runs, in the session that is saved as in copies of it, each
//! thread is had to enter such a call anew, for the time that is left, and to be interrupted in it; with its own registers it
//! is then where it was, and the kernel goes on.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::traced::Traced;
use crate::kernel::clock::monotonic;
use crate::kernel::objects::Kernel;

/// Numbers of system calls of x86_64; there is no plugin for others.
const POLL: u64 = 7;
const NANOSLEEP: u64 = 35;
const CLOCK_NANOSLEEP: u64 = 230;
const FUTEX: u64 = 202;

/// A thread that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wait {
    /// Its id outside, when the session was saved; in a copy it is found by the one inside.
    #[serde(skip)]
    outside: u32,
    /// Its id as the session sees it.
    thread: u32,
    call: Call,
    /// How long from the moment of the save.
    left: Duration,
    /// When that is by CLOCK_MONOTONIC of this machine; it stands still between save and resume.
    #[serde(skip)]
    until: Duration,
}

/// What it was called with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) arguments: [u64; 4],
    /// The address of the instruction after it.
    pub(super) next: u64,
}

impl Call {
    /// From /proc/TID/syscall (proc_pid_syscall(5)): its number, six arguments, stack and instruction.
    fn parse(text: &str) -> Option<Self> {
        let (number, rest) = text.split_once(' ')?;
        let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        let words: Vec<u64> = rest.split_whitespace().map_while(hex).collect();
        let [a, b, c, d, _, _, _, next] = words[..] else { return None };
        Some(Self { number: number.parse().ok()?, arguments: [a, b, c, d], next })
    }

    /// How long thread `id` was to wait, which is at least what is left.
    fn whole(&self, id: u32) -> io::Result<Duration> {
        let [first, _, third, fourth] = self.arguments;
        let place = match self.number {
            // An int; nobody waits for a negative one.
            POLL => return Ok(Duration::from_millis(third & 0x7fff_ffff)),
            NANOSLEEP => first,
            FUTEX => fourth,
            _ => third,
        };
        let mut time = [0; 16];
        File::open(format!("/proc/{id}/mem"))?.read_exact_at(&mut time, place)?;
        let word = |at: usize| time[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        Ok(Duration::from_secs(word(0)).saturating_add(Duration::from_nanos(word(8))))
    }

    /// The call that waits for `left`, in which a time is at `place`.
    pub(super) fn anew(&self, left: Duration, place: u64) -> (u64, [u64; 5]) {
        let [first, second, third, fourth] = self.arguments;
        let monotonic = libc::CLOCK_MONOTONIC as u64;
        match self.number {
            // Rather later than earlier.
            POLL => (POLL, [first, second, u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(0), 0, 0]),
            NANOSLEEP => (CLOCK_NANOSLEEP, [monotonic, 0, place, second, 0]),
            FUTEX => (FUTEX, [first, second, third, place, 0]),
            _ => (CLOCK_NANOSLEEP, [monotonic, 0, place, fourth, 0]),
        }
    }

    /// When it ends, from the thread's `restart_block` at `block`; nothing when that is not this call's.
    fn end(&self, kernel: &Kernel, block: u64) -> io::Result<Option<Duration>> {
        let [first, second, third, fourth] = self.arguments;
        let word = |structure: u64, at: u64| kernel.memory().word(structure + at);
        let low = |word: u64| word & 0xffff_ffff;
        match self.number {
            // ufds, nfds and has_timeout in halves of a word, seconds and nanoseconds.
            POLL => {
                let poll = block + kernel.offset("restart_block", "poll")?;
                let own = word(poll, 0)? == first && word(poll, 8)? == (low(second) | 1 << 32);
                let nanoseconds = u32::try_from(word(poll, 24)?).unwrap_or(u32::MAX);
                Ok((own && nanoseconds < 1_000_000_000).then_some(Duration::new(word(poll, 16)?, nanoseconds)))
            }
            // clockid and type in halves of a word, where to write what is left, and the time in nanoseconds.
            NANOSLEEP | CLOCK_NANOSLEEP => {
                let sleep = block + kernel.offset("restart_block", "nanosleep")?;
                let to = if self.number == NANOSLEEP { second } else { fourth };
                let relative = self.number == NANOSLEEP || second == 0;
                let own = low(word(sleep, 0)?) == libc::CLOCK_MONOTONIC as u64 && (to == 0 || word(sleep, 8)? == to);
                Ok((own && relative).then_some(Duration::from_nanos(word(sleep, 16)?)))
            }
            // uaddr, val and flags in halves of a word, bitset, and the time in nanoseconds.
            FUTEX => {
                let futex = block + kernel.offset("restart_block", "futex")?;
                let own = word(futex, 0)? == first && low(word(futex, 8)?) == low(third);
                Ok(own.then_some(Duration::from_nanos(word(futex, 24)?)))
            }
            _ => Ok(None),
        }
    }
}

/// Those of these threads, by their ids inside and outside, which the plugin has named. One that is not understood returns
/// EINTR, as after any signal.
pub(super) fn all(kernel: &Kernel, threads: &[(u32, u32)], named: &[u32]) -> Vec<Wait> {
    let named = threads.iter().filter(|(_, outside)| named.contains(outside));
    named
        .filter_map(|(inside, outside)| {
            of(kernel, *inside, *outside).unwrap_or_else(|error| {
                tracing::debug!("how long thread {inside} waits is not seen: {error}");
                None
            })
        })
        .collect()
}

fn of(kernel: &Kernel, thread: u32, outside: u32) -> io::Result<Option<Wait>> {
    let Some(call) = Call::parse(&fs::read_to_string(format!("/proc/{outside}/syscall"))?) else { return Ok(None) };
    let block = kernel.thread(outside)? + kernel.offset("task_struct", "restart_block")?;
    let now = monotonic();
    let whole = call.whole(outside)?;
    // Proves that the kernel's memory was understood.
    let until = call.end(kernel, block)?.filter(|until| until.saturating_sub(now) <= whole);
    Ok(until.map(|until| Wait { outside, thread, call, left: until.saturating_sub(now), until }))
}

/// Has the threads of the session that was saved go on waiting.
pub(super) fn go_on(traced: &mut Traced<'_>, all: &[Wait]) {
    for wait in all {
        again(traced, wait.outside, wait, wait.until.saturating_sub(monotonic()));
    }
}

/// Has the threads of a copy, by their ids inside and outside, go on waiting.
pub(super) fn put_back(traced: &mut Traced<'_>, threads: &[(u32, u32)], all: &[Wait]) {
    for wait in all {
        if let Some((_, outside)) = threads.iter().find(|(inside, _)| *inside == wait.thread) {
            again(traced, *outside, wait, wait.left);
        }
    }
}

fn again(traced: &mut Traced<'_>, outside: u32, wait: &Wait, left: Duration) {
    if let Err(error) = traced.wait(outside, &wait.call, left) {
        tracing::warn!("a call of thread {} returns EINTR: {error}", wait.thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_proc_and_made_for_what_is_left() {
        let call = Call::parse("7 0x7f10 0x2 0xea60 0x4 0x5 0x6 0x7ffc0 0x7f99\n").unwrap();
        assert_eq!(call, Call { number: POLL, arguments: [0x7f10, 2, 0xea60, 4], next: 0x7f99 });
        assert_eq!(call.anew(Duration::from_micros(1500), 64), (POLL, [0x7f10, 2, 2, 0, 0]));
        let sleep = Call { number: NANOSLEEP, ..call };
        assert_eq!(sleep.anew(Duration::ZERO, 64), (CLOCK_NANOSLEEP, [1, 0, 64, 2, 0]));
        let sleep = Call { number: CLOCK_NANOSLEEP, ..sleep };
        assert_eq!(sleep.anew(Duration::ZERO, 64), (CLOCK_NANOSLEEP, [1, 0, 64, 4, 0]));
        let futex = Call { number: FUTEX, ..sleep };
        assert_eq!(futex.anew(Duration::ZERO, 64), (FUTEX, [0x7f10, 2, 0xea60, 64, 0]));
        assert_eq!(Call::parse("running\n"), None);
        assert_eq!(Call::parse("-1 0x1 0x2\n"), None);
    }
}
