//! What a session holds in the kernel: one module for each kind of object, with one rule, `look`, for what a save would lose
//! of it.
//!
//! `sessionctl check` and the pre-flight of a save ask while the session runs; the engine asks again when all is frozen, before
//! anything is written. Both call [`look`], so what a save refuses by a rule of ours `check` names in the same words, and what
//! it finds savable no rule refuses later unless it has come up in between. Nothing in the session is changed by a look.
//!
//! A rule reads facts and leaves the judgement to a pure function. What passes when programs run on is marked as passing: a
//! save waits for it and tries again. The tables at the end of this file say which rules there are.

mod anonymous;
pub mod descriptor;
mod device;
mod dnotify;
mod eventfd;
mod fanotify;
mod file;
pub mod inotify;
pub mod mount;
mod multicast;
mod namespace;
mod netlink;
mod network;
pub mod personality;
mod pipe;
mod protocol;
mod semaphore;
mod session;
pub mod speculation;
mod tcp;
pub mod terminal;
mod thread;
mod tracer;
mod trouble;
mod udp;
mod uninterruptible;
mod unix;

use std::collections::BTreeSet;
use std::io;

use crate::container::processes::{Process, has_ended};
use descriptor::Descriptor;

pub use inotify::lookup::Tree;
pub use session::Session;
pub use trouble::{CLOSE, Found, Trouble, WAIT};

/// All that a save of `session` would lose.
///
/// # Errors
/// When /proc cannot be read for another reason than that a process has ended.
pub fn look(session: &Session<'_>) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for process in session.processes {
        let mut troubles = BTreeSet::new();
        for rule in OF_PROCESSES {
            troubles.extend(unless_ended(rule(process, session))?);
        }
        for descriptor in descriptor::open(process)? {
            if session.is_outside(&descriptor) {
                continue;
            }
            for rule in OF_DESCRIPTORS {
                troubles.extend(unless_ended(rule(&descriptor, session))?);
            }
        }
        found.extend(troubles.into_iter().map(|trouble| Found { process: process.outside, trouble }));
    }
    Ok(found)
}

/// What a save by the native engine would lose that the engine does not know of: the mounts are the container's affair.
///
/// # Errors
/// As [`look`].
pub fn look_at_mounts(session: &Session<'_>) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for process in session.processes {
        let troubles = unless_ended(mount::look(process, session))?;
        found.extend(troubles.into_iter().map(|trouble| Found { process: process.outside, trouble }));
    }
    Ok(found)
}

/// What has ended meanwhile, process or descriptor, holds nothing.
fn unless_ended(found: io::Result<Vec<Trouble>>) -> io::Result<Vec<Trouble>> {
    match found {
        Err(error) if has_ended(&error) => Ok(Vec::new()),
        other => other,
    }
}

/// A rule for processes, and one for descriptors.
type OfProcess = fn(&Process, &Session<'_>) -> io::Result<Vec<Trouble>>;
type OfDescriptor = fn(&Descriptor<'_>, &Session<'_>) -> io::Result<Vec<Trouble>>;

/// Rules for what a process has, or is. Those for the session as a whole (its mounts) judge its first process.
const OF_PROCESSES: [OfProcess; 8] = [
    tracer::look,
    namespace::look,
    uninterruptible::look,
    semaphore::look,
    thread::look,
    personality::look,
    speculation::look,
    mount::look,
];

/// Rules for what a process has open.
const OF_DESCRIPTORS: [OfDescriptor; 15] = [
    anonymous::look,
    device::look,
    dnotify::look,
    eventfd::look,
    fanotify::look,
    file::look,
    inotify::look,
    multicast::look,
    netlink::look,
    pipe::look,
    protocol::look,
    tcp::look,
    terminal::look,
    udp::look,
    unix::look,
];
