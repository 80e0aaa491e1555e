//! What can be checked of a record without any other.

use super::{Contradiction, Result};
use crate::memory::PAGE;
use crate::record::Bytes;
use crate::record::objects::{FileDescription, Inotify, LockRange, Pipe};
use crate::record::process::SignalActions;
use crate::record::rights::{Credentials, Filter};

/// The largest pid that any kernel gives (PID_MAX_LIMIT of include/linux/threads.h).
pub(super) const PID_MAX: u32 = 1 << 22;
/// The size of a `siginfo_t`.
const SIGINFO: usize = 128;

pub(super) fn fail<T>(who: impl Into<String>, reason: impl Into<String>) -> Result<T> {
    Err(Contradiction { who: who.into(), reason: reason.into() })
}

pub(super) fn ensure(holds: bool, who: &str, reason: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { fail(who, reason()) }
}

pub(super) fn refers(exists: bool, who: &str, what: &str, number: u32) -> Result {
    ensure(exists, who, || format!("it refers to {what} {number}, which is missing"))
}

pub(super) fn ids(who: &str, ids: &[u32]) -> Result {
    ensure(!ids.is_empty(), who, || "it has no pid".to_owned())?;
    match ids.iter().find(|id| !(1..=PID_MAX).contains(*id)) {
        Some(id) => fail(who, format!("no process can have the pid {id}")),
        None => Ok(()),
    }
}

pub(super) fn signal(who: &str, number: u8, least: u8) -> Result {
    ensure((least..=64).contains(&number), who, || format!("there is no signal {number}"))
}

pub(super) fn signals(who: &str, queue: &[Bytes<SIGINFO>]) -> Result {
    ensure(queue.iter().all(|info| info.len() == SIGINFO), who, || "a signal that waits is cut short".to_owned())
}

/// Absolute, and without the zeros that would end it early in the kernel.
pub(super) fn path(who: &str, path: &[u8]) -> Result {
    let right = path.first() == Some(&b'/') && !path.contains(&0);
    ensure(right, who, || format!("\"{}\" is no absolute path", path.escape_ascii()))
}

pub(super) fn actions(it: &SignalActions) -> Result {
    let who = format!("signal actions {}", it.id);
    it.actions.iter().try_for_each(|action| signal(&who, action.signal, 1))?;
    let rising = it.actions.windows(2).all(|pair| pair[0].signal < pair[1].signal);
    ensure(rising, &who, || "their signals do not rise".to_owned())
}

pub(super) fn filter(it: &Filter) -> Result {
    let whole = !it.program.is_empty() && it.program.len().is_multiple_of(8);
    ensure(whole, &format!("filter {}", it.id), || format!("{} bytes are no instructions", it.program.len()))
}

/// Numbers above are as good as never given: they count watches that were ever made.
const WATCH_MAX: u32 = 1 << 20;

pub(super) fn inotify(who: &str, it: &Inotify) -> Result {
    let rising = it.watches.windows(2).all(|pair| pair[0].number < pair[1].number);
    let within = it.watches.iter().all(|watch| (1..=WATCH_MAX).contains(&watch.number));
    ensure(rising && within, who, || "the numbers of its watches do not rise, or are too large".to_owned())?;
    it.watches.iter().try_for_each(|watch| path(who, &watch.path))
}

pub(super) fn ranges<'r>(who: &str, ranges: impl Iterator<Item = &'r LockRange>) -> Result {
    let most = i64::MAX.cast_unsigned();
    let mut lasts = ranges.map(|range| (range.start, range.last.unwrap_or(most)));
    let right = lasts.all(|(start, last)| start <= last && last <= most);
    ensure(right, who, || "a lock ends before it begins".to_owned())
}

pub(super) fn locks(who: &str, it: &FileDescription) -> Result {
    ranges(who, it.locks.iter().filter_map(|lock| lock.range.as_ref()))?;
    let whole = it.locks.iter().filter(|lock| lock.range.is_none()).count();
    ensure(whole <= 1, who, || format!("{whole} locks of all of the file"))
}

pub(super) fn pipe(it: &Pipe) -> Result {
    let who = format!("pipe {}", it.id);
    let queued: usize = it.queue.iter().map(|piece| piece.len()).sum();
    ensure(queued as u64 <= u64::from(it.capacity), &who, || format!("{queued} bytes in a pipe of {}", it.capacity))?;
    let packets = it.packets.len();
    ensure(packets == 0 || packets == it.queue.len(), &who, || format!("{packets} of its pieces may be packets"))?;
    // PIPE_BUF: a packet is never split.
    let long = it.queue.iter().zip(it.packets.iter()).any(|(piece, packet)| *packet && piece.len() as u64 > PAGE);
    ensure(!long && it.queue.iter().all(|piece| !piece.is_empty()), &who, || "a piece has a wrong length".to_owned())?;
    it.path.as_ref().map_or(Ok(()), |name| path(&who, name))
}

pub(super) fn credentials(it: &Credentials) -> Result {
    let who = format!("credentials {}", it.id);
    ensure(it.users.len() == 4 && it.groups.len() == 4, &who, || "not four users and groups".to_owned())?;
    ensure(it.effective & !it.permitted == 0, &who, || "they use capabilities that they do not have".to_owned())?;
    ensure(it.ambient & !(it.permitted & it.inheritable) == 0, &who, || {
        "ambient capabilities are not permitted and inheritable".to_owned()
    })
}
