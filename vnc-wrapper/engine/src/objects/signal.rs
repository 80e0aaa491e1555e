//! signalfd(2): the signals that it takes. What waits is the process's and comes with it.

use std::os::fd::{AsFd, OwnedFd};

use super::{Error, Finding, Seen, common};
use crate::process::fdinfo::Kind;
use crate::record::objects::SignalFd;
use crate::sys::descriptor;

/// Nothing would be lost.
#[must_use]
pub fn look(_: &Seen) -> Option<Finding> {
    None
}

/// Its record; the number in the snapshot is `id`.
///
/// # Errors
/// When it is no signalfd, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<SignalFd, Error> {
    let Kind::Signals(signals) = &seen.info.kind else { return Err(seen.refused("it is no signalfd")) };
    Ok(SignalFd { common: common::take(seen, id)?, mask: signals.0 })
}

/// Makes it.
///
/// # Errors
/// When the kernel does not.
pub fn give(record: &SignalFd) -> Result<OwnedFd, Error> {
    let who = || format!("signalfd ({})", record.common.id);
    let made = descriptor::signalfd(record.mask).map_err(Error::given(who(), "signalfd"))?;
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}
