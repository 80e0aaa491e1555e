//! eventfd(2): its count and whether a read takes one or all.

use std::os::fd::{AsFd, OwnedFd};

use super::{Error, Finding, Seen, common};
use crate::process::fdinfo::Kind;
use crate::record::objects::EventFd;
use crate::sys::descriptor;

/// What would be lost: before Linux 6.5 the kernel does not show whether it is a semaphore, and only a read would show it.
#[must_use]
pub fn look(seen: &Seen) -> Option<Finding> {
    let unknown = matches!(seen.info.kind, Kind::Event { semaphore: None, .. });
    let lost = "this kernel does not show whether it is a semaphore; it is resumed as none";
    unknown.then(|| Finding { blocking: false, ..seen.finding(lost) })
}

/// Its record; the number in the snapshot is `id`.
///
/// # Errors
/// When it is no eventfd, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<EventFd, Error> {
    let Kind::Event { count, semaphore, .. } = seen.info.kind else {
        return Err(seen.refused("it is no eventfd"));
    };
    Ok(EventFd { common: common::take(seen, id)?, count, semaphore: semaphore.unwrap_or(false) })
}

/// Makes it.
///
/// # Errors
/// When the kernel does not.
pub fn give(record: &EventFd) -> Result<OwnedFd, Error> {
    let who = || format!("eventfd ({})", record.common.id);
    let made = descriptor::eventfd(record.semaphore).map_err(Error::given(who(), "eventfd"))?;
    if record.count > 0 {
        let written = rustix::io::write(&made, &record.count.to_ne_bytes());
        written.map_err(|error| Error::given(who(), "write")(error.into()))?;
    }
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}
