//! System V semaphores, and what is done to them as processes end (SEM_UNDO).
//!
//! No call shows the latter. But semop(2) fails by `ERANGE` when an operation would take it beyond its bounds: so operations are tried that
//! would raise it, of which the last one cannot be done and has all of them taken back (`perform_atomic_semop_slow` in ipc/sem.c). Nobody
//! is woken, and neither values nor times change.

use libc::pid_t;

use super::super::Error;
use super::super::error::fit;
use super::super::inside::Questions;
use super::super::share::Shared;
use super::super::sockets::Inside;
use super::super::subject::Subject;
use super::{BATCH, Found};
use crate::ipc::{self, HIGHEST};
use crate::record::ipc::{Semaphore, SemaphoreSet, SemaphoreUndo};
use crate::remote::Call;
use crate::sys::bare::Bare;
use crate::sys::kcmp::{self, What};

/// Bytes of the operations of one try: at most eight.
const TRY: usize = 48;

/// Threads with the same list of what is done as they end.
struct Holder<'a> {
    subject: &'a Subject,
    tid: pid_t,
    /// Whether threads of another process have it too, or not all of its own.
    split: bool,
    shared: bool,
}

/// The records of all sets.
pub(super) fn take(
    inside: &mut Inside<'_, '_>,
    subjects: &[Subject],
    found: Vec<Found>,
) -> Result<Vec<SemaphoreSet>, Error> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let mut sets = found.into_iter().map(|found| set(inside, found)).collect::<Result<Vec<_>, _>>()?;
    // All of them before any is asked, which may give it an empty list.
    let holders = holders(subjects)?;
    for holder in &holders {
        for set in &mut sets {
            let undo = undo(inside, holder, set)?;
            let all = [set.undo.to_vec(), undo].concat();
            set.undo = fit(inside.pid, "adjustments of semaphores", all)?;
        }
    }
    Ok(sets)
}

/// A set with the values of its semaphores.
fn set(inside: &mut Inside<'_, '_>, found: Found) -> Result<SemaphoreSet, Error> {
    let pid = inside.pid;
    let Found { ipc, stat } = found;
    let (count, identifier) = (stat.semaphores(), ipc.identifier as u64);
    let refused = |why: String| Error::refused(pid, format!("System V semaphores {identifier}"), why);
    let mut questions = Questions::default();
    let values = questions.ask_into(libc::SYS_semctl, &[identifier, 0, ipc::GETALL, 0], 3, 2 * count as usize);
    let answers = inside.ask(pid, inside.tid, |thread| questions.put(thread))?;
    let values = answers.bytes(values).ok_or_else(|| refused(answers.failure(values)))?.to_vec();
    let mut semaphores = Vec::new();
    let numbered: Vec<_> = values.as_chunks::<2>().0.iter().enumerate().collect();
    for some in numbered.chunks(BATCH) {
        let mut questions = Questions::default();
        let ask = |(number, value): &(usize, &[u8; 2])| {
            let asked = questions.ask(libc::SYS_semctl, &[identifier, *number as u64, ipc::GETPID]);
            (u16::from_ne_bytes(**value), asked)
        };
        let asked: Vec<_> = some.iter().map(ask).collect();
        let answers = inside.ask(pid, inside.tid, |thread| questions.put(thread))?;
        for (value, process) in asked {
            let process = answers.result(process).ok_or_else(|| refused(answers.failure(process)))?;
            semaphores.push(Semaphore { value: value.into(), process: process as u32 });
        }
    }
    let semaphores = fit(pid, "semaphores", semaphores)?;
    Ok(SemaphoreSet { ipc, operated: stat.operated(), semaphores, undo: Default::default() })
}

/// Each list of what is done at the end, with a thread that has it.
fn holders(subjects: &[Subject]) -> Result<Vec<Holder<'_>>, Error> {
    let mut lists = Shared::new(0);
    let mut holders: Vec<Holder<'_>> = Vec::new();
    for subject in subjects {
        let mut first = None;
        for tid in &subject.tids {
            let compare = |one: &pid_t, other: &pid_t| kcmp::compare(*one, *other, What::Undo);
            let number = lists.number(*tid, compare);
            let (number, new) =
                number.map_err(Error::read(subject.pid, *tid, "what is done to semaphores at its end"))?;
            if new {
                holders.push(Holder { subject, tid: *tid, split: false, shared: false });
            }
            let at = number as usize;
            holders[at].shared |= holders[at].subject.pid != subject.pid;
            let first = *first.get_or_insert(at);
            if first != at {
                holders[first].split = true;
                holders[at].split = true;
            }
        }
    }
    Ok(holders)
}

/// What is done to the semaphores of a set when the last of `holder` ends.
fn undo(inside: &mut Inside<'_, '_>, holder: &Holder<'_>, set: &SemaphoreSet) -> Result<Vec<SemaphoreUndo>, Error> {
    let (pid, tid, identifier) = (holder.subject.pid, holder.tid, set.ipc.identifier);
    let refused =
        |why: String| Error::refused(pid, format!("what it does to System V semaphores {identifier} at its end"), why);
    let mut undo = Vec::new();
    let numbered: Vec<(u32, u32)> = (0..).zip(set.semaphores.iter().map(|one| one.value)).collect();
    for some in numbered.chunks(BATCH) {
        // Above 0, and above -1.
        let tries: Vec<_> =
            some.iter().flat_map(|(at, value)| [(*at, *value, HIGHEST), (*at, *value, HIGHEST + 1)]).collect();
        let answers = match attempt(inside, (pid, tid), identifier, &tries)? {
            Ok(answers) => answers,
            // Who may not operate on it has done nothing to it, unless it once might.
            Err(error)
                if error == libc::EACCES && has_none(tid).map_err(Error::read(pid, tid, "its semaphores"))? =>
            {
                return Ok(Vec::new());
            }
            Err(libc::EACCES) => {
                return Err(refused("it has no access to them, so what it once did to them cannot be seen".to_owned()));
            }
            Err(error) => return Err(refused(std::io::Error::from_raw_os_error(error).to_string())),
        };
        for ((at, value), beyond) in some.iter().zip(answers.as_chunks::<2>().0) {
            if *beyond == [false, true] {
                continue;
            }
            // The least that is beyond the bounds.
            let (mut low, mut high) = (0, 2 * (HIGHEST + 1));
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let tried = attempt(inside, (pid, tid), identifier, &[(*at, *value, middle)])?;
                let tried = tried.map_err(|error| refused(std::io::Error::from_raw_os_error(error).to_string()))?;
                if tried == [true] { high = middle } else { low = middle }
            }
            let adjustment = HIGHEST + 1 - high;
            undo.push(SemaphoreUndo { process: holder.subject.id, semaphore: *at, adjustment });
        }
    }
    if !undo.is_empty() && (holder.split || holder.shared) {
        let why = if holder.shared { "it does so together with another process" } else { "not all its threads do so" };
        return Err(refused(format!("{why} (CLONE_SYSVSEM), which cannot be recorded")));
    }
    Ok(undo)
}

/// Whether a thread has no such list at all, like a process that was just forked.
fn has_none(tid: pid_t) -> std::io::Result<bool> {
    let bare = Bare::fork()?;
    Ok(kcmp::compare(tid, bare.pid(), What::Undo)?.is_eq())
}

/// Tries to raise the adjustments of semaphores with these values, without doing it; whether each would be beyond its bounds, or the
/// number of an error.
fn attempt(
    inside: &mut Inside<'_, '_>,
    (pid, tid): (pid_t, pid_t),
    identifier: i32,
    tries: &[(u32, u32, i32)],
) -> Result<Result<Vec<bool>, i32>, Error> {
    let calls = inside.ask(pid, tid, |thread| {
        let at = thread.map(((tries.len() * TRY) as u64).next_multiple_of(4096))?;
        let mut memory = vec![0; tries.len() * TRY];
        let mut calls = Vec::new();
        for (place, (semaphore, value, by)) in tries.iter().enumerate() {
            let operations = operations(*semaphore, *value, *by).concat();
            let begin = place * TRY;
            memory[begin..begin + operations.len()].copy_from_slice(&operations);
            let count = operations.len() as u64 / 6;
            calls.push(Call::new(libc::SYS_semop, [identifier as u64, at + begin as u64, count, 0, 0, 0]));
        }
        thread.fill(at, &memory)?;
        thread.run(&mut calls)?;
        Ok(calls)
    })?;
    let answer = |call: &Call| match call.error().and_then(|error| error.raw_os_error()) {
        Some(libc::ERANGE) => Ok(true),
        Some(libc::EAGAIN) => Ok(false),
        Some(error) => Err(error),
        None => Err(0),
    };
    Ok(calls.iter().map(answer).collect())
}

/// Operations that raise what is done to a semaphore of that value at the end, and then cannot be done. None of them waits.
fn operations(semaphore: u32, value: u32, by: i32) -> Vec<[u8; 6]> {
    let mut operations = Vec::new();
    if value > 0 {
        operations.push(ipc::operation(semaphore, -(value as i16), 0));
    }
    operations.extend(ipc::shift(semaphore, by));
    operations.push(ipc::operation(semaphore, -1, 0));
    for operation in &mut operations {
        let flags = i16::from_ne_bytes([operation[4], operation[5]]) | libc::IPC_NOWAIT as i16;
        operation[4..].copy_from_slice(&flags.to_ne_bytes());
    }
    operations
}
