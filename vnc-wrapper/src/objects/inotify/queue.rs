//! What waits in the queues of a session; nothing is taken from them.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;

use super::{Event, Queue, group, overflow, plan, watch};
use crate::container::processes::Process;
use crate::kernel::objects::Kernel;
use crate::kernel::process;
use crate::objects::{Found, Session};

/// Bits of an event that are shown to programs (`inotify_mask_to_arg`, fs/notify/inotify/inotify.h).
const SHOWN: u32 = 0x4000_ffff;
/// Nobody's queue is longer: the limit of a queue is a sysctl, 16384 by default.
const MOST_EVENTS: usize = 1 << 20;

/// How often a queue is looked at that changes meanwhile.
const LOOKS: usize = 3;

/// All queues of a frozen session that are not empty, or the first that cannot be kept.
///
/// # Errors
/// When /proc cannot be read.
pub(crate) fn all(session: &Session<'_>) -> io::Result<Result<Vec<Queue>, Found>> {
    let (mut queues, mut seen) = (Vec::new(), HashSet::new());
    for process in session.processes {
        for number in watch::descriptors(process)? {
            let copy = process::descriptor(process.outside, number)?;
            match of(session, process, number, &copy)? {
                Ok(None) => {}
                Ok(Some((group, queue))) => queues.extend(seen.insert(group).then_some(queue)),
                Err(why) => return Ok(Err(Found { process: process.outside, trouble: super::unkept(&why) })),
            }
        }
    }
    Ok(Ok(queues))
}

/// The queue of the inotify descriptor `number` of `process`, of which `copy` is one, with its address in the kernel; none
/// when it is empty. The inner error says, for people, why it cannot be kept.
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn of(
    session: &Session<'_>,
    process: &Process,
    number: i32,
    copy: &OwnedFd,
) -> io::Result<Result<Option<(u64, Queue)>, String>> {
    let looks = if session.frozen { 1 } else { LOOKS };
    for _ in 0..looks {
        let waiting = usize::try_from(rustix::io::ioctl_fionread(copy)?).unwrap_or(usize::MAX);
        if waiting == 0 {
            return Ok(Ok(None));
        }
        let kernel = match session.kernel {
            Ok(kernel) => kernel,
            Err(error) => return Ok(Err(format!("they cannot be looked at ({error})"))),
        };
        // An event is at least as long as its structure.
        let most = (waiting / Event::STRUCTURE).min(MOST_EVENTS);
        let read = behind(kernel, copy).and_then(|group| Ok((group, events(kernel, group, most)?)));
        match read {
            // Proves that the kernel's memory was understood.
            Ok((group, events)) if events.iter().map(Event::length).sum::<usize>() == waiting => {
                let queue = Queue { process: process.inside, descriptor: number, events };
                let made = can_be_made(session.processes, process, &queue);
                return Ok(made.map(|()| Some((group, queue))));
            }
            Ok(_) if session.frozen => return Ok(Err("they cannot be understood".to_owned())),
            Err(error) if session.frozen => return Ok(Err(format!("they cannot be looked at ({error})"))),
            // Its program takes events, or more come, at this moment.
            Ok(_) | Err(_) => {}
        }
    }
    // The program is at it; the look at the freeze sees what it has left.
    Ok(Ok(None))
}

fn can_be_made(processes: &[Process], process: &Process, queue: &Queue) -> Result<(), String> {
    let watches = watch::watches(process, queue.descriptor).map_err(|e| e.to_string())?;
    // None of them was there when the other half came, or it would be in the queue.
    let pairs = watches.iter().any(|w| w.mask & libc::IN_MOVED_FROM != 0);
    plan::steps(&queue.events, pairs)?;
    let watched: HashSet<i32> = watches.iter().map(|w| w.wd).collect();
    if queue.events.iter().any(|e| e.wd >= 0 && !watched.contains(&e.wd)) {
        return Err("they are of a watch that has ended".to_owned());
    }
    needs_more(processes, queue)
}

/// What has to be tried on what is watched, for the few events that take more than their name.
fn needs_more(processes: &[Process], queue: &Queue) -> Result<(), String> {
    let moved = |event: &&Event| event.mask & libc::IN_MOVE_SELF != 0;
    let passed = |event: &&Event| event.name.is_empty() && event.mask & (libc::IN_ACCESS | libc::IN_MODIFY) != 0;
    if !queue.events.iter().any(|e| e.is_overflow() || moved(&e) || passed(&e)) {
        return Ok(());
    }
    let groups = group::all(processes).map_err(|e| e.to_string())?;
    let group = groups.iter().find(|g| (g.process, g.number) == (queue.process, queue.descriptor));
    let group = group.ok_or("they cannot be looked at")?;
    if queue.events.iter().any(Event::is_overflow) {
        overflow::can_be_made(group, queue)
            .map_err(|e| format!("one says that some were lost (IN_Q_OVERFLOW), which cannot be made anew: {e}"))?;
    }
    queue.events.iter().filter(passed).try_for_each(|event| {
        let (_, object) = group.watch(event.wd).map_err(|e| e.to_string())?;
        let kind = rustix::fs::fstat(object).map_err(|e| e.to_string())?.st_mode;
        match FileType::from_raw_mode(kind) {
            FileType::RegularFile | FileType::Directory => Ok(()),
            _ => Err("one says that what is watched was read or written, and that is a FIFO or a device".to_owned()),
        }
    })?;
    queue.events.iter().filter(moved).try_for_each(|event| {
        let place = group.place(event.wd).map(drop);
        place.map_err(|e| format!("one says that what is watched was moved (IN_MOVE_SELF), and {e}"))
    })
}

/// Address of the `struct fsnotify_group` behind an inotify descriptor of ours.
fn behind(kernel: &Kernel, descriptor: &OwnedFd) -> io::Result<u64> {
    kernel.follow(kernel.file(descriptor)?, "file", "private_data")
}

/// What is in the list of a group (fs/notify/notification.c), which holds no more than `most`.
fn events(kernel: &Kernel, group: u64, most: usize) -> io::Result<Vec<Event>> {
    let memory = kernel.memory();
    let offset = |structure, member| kernel.offset(structure, member);
    let head = group + offset("fsnotify_group", "notification_list")?;
    let list = offset("inotify_event_info", "fse")? + offset("fsnotify_event", "list")?;
    let at = |member| Ok::<_, io::Error>(offset("inotify_event_info", member)? as usize);
    let (wd, mask, cookie) = (at("wd")?, at("mask")?, at("sync_cookie")?);
    let (length, name) = (at("name_len")?, at("name")?);
    let mut events = Vec::new();
    let mut next = memory.word(head)?;
    while next != head {
        if events.len() == most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let event = next - list;
        let bytes = memory.read(event, name)?;
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
            word.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        };
        let length = word(length)? as usize;
        events.push(Event {
            wd: word(wd)?.cast_signed(),
            mask: word(mask)? & SHOWN,
            cookie: word(cookie)?,
            name: if length == 0 { Vec::new() } else { memory.read(event + name as u64, length)? },
        });
        next = memory.word(next)?;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::inotify;
    use std::fs;

    #[test]
    fn a_queue_is_seen_and_stays() {
        let kernel = Kernel::open().unwrap();
        let place = tempfile::tempdir().unwrap();
        let descriptor = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let wd = inotify::add_watch(&descriptor, place.path(), inotify::WatchFlags::from_bits_retain(0xfff)).unwrap();
        fs::create_dir(place.path().join("a")).unwrap();
        fs::rename(place.path().join("a"), place.path().join("another name")).unwrap();
        let events = events(&kernel, behind(&kernel, &descriptor).unwrap(), MOST_EVENTS).unwrap();
        let seen: Vec<_> = events.iter().map(|e| (e.wd, e.mask, &*e.name)).collect();
        let is_directory = 0x4000_0000;
        let expected: [(i32, u32, &[u8]); 3] = [
            (wd, is_directory | libc::IN_CREATE, b"a"),
            (wd, is_directory | libc::IN_MOVED_FROM, b"a"),
            (wd, is_directory | libc::IN_MOVED_TO, b"another name"),
        ];
        assert_eq!(seen, expected);
        assert!(events[1].cookie != 0 && events[1].cookie == events[2].cookie);
        let waiting = rustix::io::ioctl_fionread(&descriptor).unwrap() as usize;
        assert_eq!(events.iter().map(Event::length).sum::<usize>(), waiting);
    }
}
