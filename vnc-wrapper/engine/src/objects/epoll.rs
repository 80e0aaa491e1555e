//! epoll(7): what it watches, and under which numbers.
//!
//! Which events wait to be given is not recorded: the kernel finds them again when a watch is made, and gives those of
//! EPOLLET once more. A program must expect that; an event that is lost it cannot expect.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::same::Descriptions;
use super::{Error, Finding, Seen, common, fit};
use crate::process::fdinfo::Kind;
use crate::record::objects::{Epoll, Watch};
use crate::sys::descriptor;

/// What epoll(7) keeps of a watch whose one event was given (`EP_PRIVATE_BITS` of fs/eventpoll.c).
const PRIVATE: u32 = (libc::EPOLLONESHOT | libc::EPOLLET | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;

fn watched(seen: &Seen) -> &[crate::process::fdinfo::Watched] {
    match &seen.info.kind {
        Kind::Poll(watches) => watches,
        _ => &[],
    }
}

/// Which of the watches of its number each is, in the order of the kernel.
fn places(seen: &Seen) -> impl Iterator<Item = (&crate::process::fdinfo::Watched, u32)> {
    let mut counts: HashMap<i32, u32> = HashMap::new();
    watched(seen).iter().map(move |watch| {
        let count = counts.entry(watch.descriptor).or_default();
        *count += 1;
        (watch, *count - 1)
    })
}

/// What would be lost: a watch of something that nobody has open any more, such as a file that is only mapped.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen, known: &Descriptions) -> Result<Option<Finding>, Error> {
    for (watch, at) in places(seen) {
        let number = watch.descriptor.cast_unsigned();
        if known.watched(seen.pid, seen.number, number, at).map_err(seen.failed("kcmp"))?.is_none() {
            return Ok(Some(seen.finding(format!("it watches what was descriptor {number}, which nobody has open"))));
        }
    }
    Ok(None)
}

/// Its record; the number in the snapshot is `id`. `known` has the descriptions of all processes.
///
/// # Errors
/// When it watches what nobody has open, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32, known: &Descriptions) -> Result<Epoll, Error> {
    let mut watches = Vec::new();
    for (watch, at) in places(seen) {
        let number = watch.descriptor.cast_unsigned();
        let description = known.watched(seen.pid, seen.number, number, at).map_err(seen.failed("kcmp"))?;
        let lost = || seen.refused(format!("it watches what was descriptor {number}, which nobody has open"));
        let description = description.ok_or_else(lost)?;
        watches.push(Watch { number, description, events: watch.events, data: watch.data });
    }
    Ok(Epoll { common: common::take(seen, id)?, watches: fit(seen, "its watches", watches)? })
}

/// Makes it; it watches nothing yet, for one instance may watch another.
///
/// # Errors
/// When the kernel does not.
pub fn give(record: &Epoll) -> Result<OwnedFd, Error> {
    let who = || format!("epoll instance ({})", record.common.id);
    let made = descriptor::epoll().map_err(Error::given(who(), "epoll_create1"))?;
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}

/// Makes its watches, when all that it watches is there. `find` gives a description by its number.
///
/// # Errors
/// When the kernel does not: ELOOP for instances that watch each other.
pub fn give_watches<'a>(
    made: BorrowedFd<'_>,
    record: &Epoll,
    find: impl Fn(u32) -> Option<BorrowedFd<'a>>,
) -> Result<(), Error> {
    let who = || format!("epoll instance ({})", record.common.id);
    let spent = |watch: &&Watch| watch.events & libc::EPOLLONESHOT.cast_unsigned() != 0 && watch.events & !PRIVATE == 0;
    let (first, then): (Vec<&Watch>, Vec<&Watch>) = record.watches.iter().partition(spent);
    for watch in first.iter().chain(&then) {
        let missing =
            || Error::Refused { what: who(), reason: format!("description {} is missing", watch.description) };
        let target = find(watch.description).ok_or_else(missing)?;
        let number = i32::try_from(watch.number).map_err(|_| missing())?;
        let done = if spent(watch) {
            descriptor::watch_nothing(made, target, number, watch.data)
        } else {
            descriptor::watch(made, target, number, watch.events, watch.data)
        };
        done.map_err(Error::given(format!("{} and descriptor {number}", who()), "epoll_ctl"))?;
    }
    Ok(())
}
