//! The doctor: what this machine lacks, and the command that mends it.
//!
//! Every check reads what it needs at its edge and judges it by a function of plain values, which the tests call. Where
//! trying is as cheap as asking, it tries: a user namespace is made, CRIU dumps two processes.

pub mod engine;
pub mod free_range;
pub mod ids;
pub mod kernel;
pub mod limits;
pub mod places;
pub mod programs;

use std::path::Path;

use freezeframe_protocol::CheckItem;

/// What something is needed for, as [`CheckItem::needed_for`] has it. `start` and `save` are what nobody can be without; the
/// others say what is slower, or not there, without it.
mod needed_for {
    pub(super) const START: &str = "start";
    pub(super) const SAVE: &str = "save";
    pub(super) const BASE_BUILD: &str = "base build";
    pub(super) const NETWORK: &str = "network";
    pub(super) const LARGE_DESKTOPS: &str = "large desktops";
    pub(super) const FAST_SAVES: &str = "fast saves";
    pub(super) const SOME_RESUMES: &str = "some resumes";
    pub(super) const SOME_SAVES: &str = "some saves";
    pub(super) const LIMITS: &str = "limits";
    pub(super) const KEEPING_APART: &str = "keeping sessions apart";
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user's id.
    pub uid: u32,
    /// The user's name.
    pub name: String,
}

impl Who {
    /// The user who runs this program.
    pub fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self { uid, name: crate::kernel::idmap::user_name(uid) }
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// Looks at everything. `data` is the user's data directory, `runtime` their runtime directory.
pub fn check(data: &Path, runtime: &Path) -> Vec<CheckItem> {
    let who = Who::current();
    let mut items = kernel::check();
    items.extend(ids::check(&who, data));
    items.push(limits::check(&who));
    items.extend(places::check(&who, data, runtime));
    items.extend(programs::check(&who));
    items.extend(engine::check(&who, data, runtime));
    items
}

/// All is well.
fn good(name: &str, found: impl Into<String>) -> CheckItem {
    CheckItem { name: name.into(), ok: true, needed_for: String::new(), found: found.into(), remedy: String::new() }
}

/// Something is lacking, and `remedy` mends it (empty: no command does).
fn lacking(name: &str, needed_for: &str, found: impl Into<String>, remedy: impl Into<String>) -> CheckItem {
    CheckItem {
        name: name.into(),
        ok: false,
        needed_for: needed_for.into(),
        found: found.into(),
        remedy: remedy.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_item_has_a_name_of_its_own_and_tells_what_it_found() {
        let directory = tempfile::tempdir().unwrap();
        let items = check(directory.path(), directory.path());
        let names: HashSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names.len(), items.len(), "{items:?}");
        for item in &items {
            assert!(!item.found.is_empty(), "{item:?}");
            assert_eq!(item.ok, item.needed_for.is_empty(), "{item:?}");
            assert!(!item.ok || item.remedy.is_empty(), "{item:?}");
        }
    }
}
