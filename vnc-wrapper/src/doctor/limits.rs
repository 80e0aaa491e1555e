//! Whether what a session takes of the machine can be limited.

use freezeframe_protocol::CheckItem;

use super::{Who, good, lacking, needed_for};
use crate::container::limits;

pub(super) fn check(who: &Who) -> CheckItem {
    judge(who, limits::probe())
}

fn judge(who: &Who, probed: Result<(), String>) -> CheckItem {
    const NAME: &str = "session-limits";
    if !who.is_root() {
        let found = "sessions may take what their user may: only root can have a cgroup for each";
        return lacking(NAME, needed_for::LIMITS, found, "");
    }
    match probed {
        Ok(()) => good(NAME, "a session has a cgroup that limits its processes and its memory (settings max_…)"),
        Err(error) => {
            let found =
                format!("max_processes and max_memory_percent have no effect, since a session gets no cgroup: {error}");
            lacking(NAME, needed_for::LIMITS, found, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 9, number 4.
    #[test]
    fn why_sessions_are_not_limited_is_said() {
        let root = Who { uid: 0, name: "root".into() };
        assert!(judge(&root, Ok(())).ok);
        let item = judge(&root, Err("/sys/fs/cgroup/freezeframe: Read-only file system".into()));
        assert!(!item.ok && item.found.contains("Read-only") && item.found.contains("max_processes"), "{item:?}");
        let ann = Who { uid: 1000, name: "ann".into() };
        assert!(judge(&ann, Ok(())).found.contains("only root"));
    }
}
