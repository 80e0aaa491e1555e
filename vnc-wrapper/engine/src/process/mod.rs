//! What `/proc` says of processes, and the order in which a tree of processes is made.
//!
//! Each file has a module: a parser over bytes that never panics and loses nothing without an error, and a reader that takes
//! the directory (`/proc/PID`, or `/proc/PID/task/TID` for one thread) and reads no more than the file can have.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`stat`] | state, parent, group, session, terminal, times, exit code |
//! | [`status`] | ids in all namespaces, credentials, signal sets, seccomp |
//! | [`fdinfo`] | a descriptor: position, flags, its kind's own lines, locks |
//! | [`limits`] | resource limits |
//! | [`smaps`] | mappings with their flags |
//! | [`timers`] | POSIX timers |
//! | [`id_map`] | ids inside and outside of a user namespace |
//! | [`mountinfo`] | mounts |
//! | [`tree`] | parents, sessions, groups, zombies, dead leaders, orphans |
//! | [`order`] | the steps that make such a tree |
//! | [`text`] | what the parsers share |

pub mod fdinfo;
pub mod id_map;
pub mod limits;
pub mod mountinfo;
pub mod order;
pub mod smaps;
pub mod stat;
pub mod status;
pub mod text;
pub mod timers;
pub mod tree;

/// A set of signals, as the kernel writes it: bit N - 1 stands for signal N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub u64);

impl Signals {
    /// Whether `signal` (1 to 64) is in it.
    #[must_use]
    pub fn contains(self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.0 >> (signal - 1) & 1 == 1
    }
}
