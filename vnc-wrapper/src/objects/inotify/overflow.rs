//! The event that says that a queue was full (IN_Q_OVERFLOW, inotify(7)), wherever in the queue it waits.
//!
//! The kernel queues it when one more event comes than the queue may hold, and only if it does not wait already
//! (`fsnotify_insert_event`, fs/notify/notification.c). So the queue is filled with others before the events that come
//! before it; these others are the oldest then, and are read away when it is there.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::group::{Group, SILENT};
use super::{Event, Queue};

/// How many events a queue holds (inotify(7)). Each keeps the limit of when it was made, which for those of a resumed
/// session was a moment ago.
const LIMIT: &str = "/proc/sys/fs/inotify/max_queued_events";
/// More are not made just to be read away.
const MOST: usize = 1 << 20;

/// Whether the overflow in the queue of `group` can be made again.
///
/// # Errors
/// Why it cannot.
pub(super) fn can_be_made(group: &Group, queue: &Queue) -> io::Result<()> {
    fits(queue)?;
    Filler::of(group).map(drop)
}

/// Whether this machine lets a queue be as long as this one.
///
/// # Errors
/// When it does not.
pub(super) fn fits(queue: &Queue) -> io::Result<()> {
    let (limit, needed) = (limit()?, needed(&queue.events));
    if limit < needed {
        let text =
            format!("{needed} wait and this machine keeps {limit}: sysctl fs.inotify.max_queued_events={needed}");
        return Err(io::Error::other(text));
    }
    if queue.events.iter().any(Event::is_overflow) && limit > MOST {
        let text = format!("that takes as many as fs.inotify.max_queued_events: set it to {MOST} or less");
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// The limit with which this queue can be made. The overflow itself comes on top of it, and nothing after it does.
fn needed(events: &[Event]) -> usize {
    events.len() - usize::from(events.last().is_some_and(Event::is_overflow))
}

fn limit() -> io::Result<usize> {
    std::fs::read_to_string(LIMIT)?.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Makes `before` by `make`, and the overflow behind them, in a queue that is empty.
///
/// # Errors
/// When the queue does not come out so.
pub(super) fn make(group: &Group, before: &[Event], make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let limit = limit()?;
    let mut filler = Filler::of(group)?;
    let count = limit.checked_sub(before.len()).ok_or(io::ErrorKind::InvalidInput)?;
    let last = if count % 2 == 0 { libc::IN_CLOSE_NOWRITE } else { libc::IN_OPEN };
    if before.first().is_some_and(|e| e.wd == filler.wd && e.mask & last != 0) {
        filler.turn()?;
    }
    filler.fill(group, count)?;
    make()?;
    // Lost, and that is told.
    filler.fill(group, 1)?;
    drop(filler);
    let one = Event { wd: -1, mask: libc::IN_Q_OVERFLOW, cookie: 0, name: Vec::new() }.length();
    let wanted = before.iter().map(Event::length).sum::<usize>() + one;
    let (filling, got) = (count * one, group.waiting()?);
    if got != (filling + wanted) as u64 {
        return Err(io::Error::other(format!("{got} bytes of events instead of {}", filling + wanted)));
    }
    group.drain_first(filling)
}

/// Makes events of no meaning: it opens and closes something that is watched, in turn, so that no two alike follow each
/// other, which the kernel would make one.
struct Filler {
    wd: i32,
    path: String,
    open: Option<OwnedFd>,
}

impl Filler {
    /// Something that `group` watches and that can be opened without a consequence.
    fn of(group: &Group) -> io::Result<Self> {
        for wanted in [FileType::Directory, FileType::RegularFile] {
            for (wd, (_, object)) in &group.watches {
                if FileType::from_raw_mode(rustix::fs::fstat(object)?.st_mode) == wanted {
                    let path = format!("/proc/self/fd/{}", object.as_raw_fd());
                    return Ok(Self { wd: *wd, path, open: None });
                }
            }
        }
        Err(io::Error::other("it watches no directory and no file any more"))
    }

    /// So many events; those that do not fit are lost.
    fn fill(&mut self, group: &Group, count: usize) -> io::Result<()> {
        group.set(self.wd, libc::IN_OPEN | libc::IN_CLOSE_NOWRITE)?;
        let filled = (0..count).try_for_each(|_| self.turn());
        group.set(self.wd, SILENT)?;
        filled
    }

    fn turn(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some(open) => drop(open),
            None => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                self.open = Some(rustix::fs::open(&self.path, flags, Mode::empty())?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_comes_on_top_of_the_limit_and_nothing_after_it_does() {
        let event =
            |mask| Event { wd: if mask == libc::IN_Q_OVERFLOW { -1 } else { 1 }, mask, cookie: 0, name: vec![] };
        let (modified, overflow) = (event(libc::IN_MODIFY), event(libc::IN_Q_OVERFLOW));
        assert_eq!(needed(&[]), 0);
        assert_eq!(needed(&[modified.clone(), overflow.clone()]), 1);
        assert_eq!(needed(&[modified.clone(), overflow, modified]), 3);
        let long = vec![event(libc::IN_MODIFY); limit().unwrap() + 1];
        let why = fits(&Queue { process: 1, descriptor: 3, events: long }).unwrap_err().to_string();
        assert!(why.contains("sysctl fs.inotify.max_queued_events="), "{why}");
    }
}
