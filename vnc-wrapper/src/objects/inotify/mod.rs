//! inotify(7): watches, and events that programs have not read yet, which are found at the freeze, kept beside the images,
//! and put back at a resume.
//!
//! CRIU drops events. No system call tells what waits in a queue without taking it, so [`queue`] reads the kernel's memory,
//! and the session that runs on keeps its queues untouched; its watches are silent while CRIU looks at files ([`silence`]). In
//! a resumed session [`replay`] makes every event again, by the deed that causes it, with all other watches silent. [`plan`]
//! says which events can be made so; a save with others is refused before anything is lost.
//!
//! Watches are saved by the names of what they are of. Under memory pressure the kernel forgets names; [`lookup`] brings them
//! back, and [`watched`] says what has none.

mod entry;
mod group;
pub mod lookup;
mod overflow;
pub(crate) mod plan;
pub(crate) mod queue;
pub mod replay;
pub(crate) mod silence;
pub(crate) mod watch;
mod watched;

use std::io;

use serde::{Deserialize, Serialize};

use super::descriptor::Descriptor;
use super::{Session, Trouble, WAIT};

pub(super) use watched::Watches;
pub use watched::{Named, hold_names};

/// What would be lost of an inotify descriptor.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if descriptor.link != watch::LINK {
        return Ok(Vec::new());
    }
    let mut found = session.watches().troubles(descriptor);
    if let Some(copy) = descriptor.copy() {
        let waiting = queue::of(session, descriptor.process, descriptor.number, copy)?;
        found.extend(waiting.err().map(|why| unkept(&why)));
    }
    Ok(found)
}

/// For a queue that cannot be kept.
fn unkept(why: &str) -> Trouble {
    Trouble::passing(format!("it has not yet read its file events, and {why}"), WAIT)
}

/// An event as inotify(7) has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The watch; -1 for an overflow.
    pub wd: i32,
    /// What happened.
    pub mask: u32,
    /// What two halves of a rename share.
    pub cookie: u32,
    /// Name in the watched directory; empty when the watched object itself is meant.
    pub name: Vec<u8>,
}

impl Event {
    /// Whether it says that events were lost because the queue was full.
    fn is_overflow(&self) -> bool {
        self.mask & libc::IN_Q_OVERFLOW != 0
    }

    /// `struct inotify_event` (inotify(7)), in bytes.
    const STRUCTURE: usize = 16;

    /// How long it is when it is read: the structure, and the name with at least one zero, up to a multiple of 16.
    pub fn length(&self) -> usize {
        let name = if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(Self::STRUCTURE) };
        Self::STRUCTURE + name
    }
}

/// The queue of one inotify descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// A process that has it open, by its pid in the session.
    pub process: u32,
    /// Its number there.
    pub descriptor: i32,
    /// What waits, the oldest first.
    pub events: Vec<Event>,
}

/// What a watch listens for. CRIU's images have the mask of a silent one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// A process that has the descriptor open, by its pid in the session.
    pub process: u32,
    /// Its number there.
    pub descriptor: i32,
    /// The watch.
    pub wd: i32,
    /// Its mask, and flags such as IN_ONESHOT.
    pub mask: u32,
}

impl Mask {
    fn is_of(&self, process: u32, descriptor: i32, wd: i32) -> bool {
        (self.process, self.descriptor, self.wd) == (process, descriptor, wd)
    }
}
