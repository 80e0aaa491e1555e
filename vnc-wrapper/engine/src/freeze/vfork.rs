//! Parents in vfork(2).

use libc::pid_t;

use crate::sys::kcmp::{self, What};

use super::source;

/// Whether thread `parent` of process `process` waits uninterruptibly.
pub(super) fn waits(parent: pid_t) -> bool {
    source::state(parent).is_some_and(|(state, _)| state == 'D')
}

/// Whether `child` runs in the memory of its parent, thread `parent` of process `process`.
pub(super) fn is_child(child: pid_t, process: pid_t, parent: pid_t) -> bool {
    source::state(child).is_some_and(|(_, of)| of == process)
        && kcmp::compare(child, parent, What::Memory).is_ok_and(std::cmp::Ordering::is_eq)
}
