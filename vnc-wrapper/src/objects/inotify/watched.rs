//! Whether what is watched can be found again: CRIU writes watches down by handle and by name.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::group::Mounts;
use super::lookup::{self, Tree};
use super::watch::{self, Watch};
use crate::container::processes::{Process, has_ended};
use crate::objects::descriptor::Descriptor;
use crate::objects::{CLOSE, Session, Trouble};

/// Kinds of handles that nothing can be opened by (`FILEID_INO64_GEN` and `..._PARENT`, linux/exportfs.h).
const NOT_OPENED: [i32; 2] = [0x81, 0x82];

/// How a watch is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// By its name, or by a handle that does without; or that is not known.
    Found,
    /// Not: the kernel has forgotten every name of what it is of.
    Forgotten,
    /// Not: what it is of has no name any more.
    Deleted,
    /// Not: it is of a file system without lasting handles.
    NoHandle,
}

/// Watches that cannot be found again, by the process that has them and their descriptor's number.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    lost: HashMap<(u32, i32), Place>,
    /// The root file system's names that were brought back stay for as long as this does.
    _names: Named,
}

/// Descriptors that keep the kernel from forgetting names.
#[derive(Debug, Default)]
pub struct Named(#[expect(dead_code, reason = "they only have to live")] Vec<OwnedFd>);

impl Watches {
    /// Those of a session. Where that helps and the session has a tree, names are brought back first.
    pub(crate) fn of(session: &Session<'_>) -> Self {
        let looked = (|| {
            let names = match session.tree {
                Some(tree) => hold_names(session.processes, tree)?,
                None => Named::default(),
            };
            Ok::<_, io::Error>(Self { lost: lost(session.processes)?.0, _names: names })
        })();
        looked.unwrap_or_else(|error| {
            tracing::warn!("what is watched cannot be looked at: {error}");
            Self::default()
        })
    }

    /// What would be lost of those of a descriptor.
    pub(super) fn troubles(&self, descriptor: &Descriptor<'_>) -> Vec<Trouble> {
        let place = self.lost.get(&(descriptor.process.outside, descriptor.number));
        place.copied().and_then(trouble).into_iter().collect()
    }
}

fn trouble(place: Place) -> Option<Trouble> {
    let deleted = "it watches a file or directory that was deleted and is still open (inotify)";
    let forgotten = "it watches a file or directory whose name is not found (inotify)";
    let no_handle = "it watches files that the kernel makes as they are read, as those of /proc (inotify)";
    match place {
        Place::Found => None,
        Place::Forgotten => {
            Some(Trouble::passing(forgotten, "try again; if that does not help, close the application"))
        }
        Place::Deleted => Some(Trouble::blocking(deleted, CLOSE)),
        Place::NoHandle => Some(Trouble::blocking(no_handle, CLOSE)),
    }
}

/// Has the kernel know the names of all that is watched in the root file system, where it has forgotten some; they are known
/// for as long as what is returned lives.
///
/// # Errors
/// When /proc cannot be read.
pub fn hold_names(processes: &[Process], tree: &Tree) -> io::Result<Named> {
    let Some(init) = processes.first() else { return Ok(Named::default()) };
    let (_, forgotten) = lost(processes)?;
    if forgotten.is_empty() {
        return Ok(Named::default());
    }
    tracing::debug!("{} watched names have to be looked up", forgotten.len());
    Ok(Named(lookup::find(init.outside, tree, forgotten)?))
}

/// What a session loses of its watches, and the inode numbers in its root file system whose names are not known.
type Lost = (HashMap<(u32, i32), Place>, HashSet<u64>);

fn lost(processes: &[Process]) -> io::Result<Lost> {
    let (mut lost, mut forgotten) = (HashMap::new(), HashSet::new());
    let mut mounts: Option<Mounts> = None;
    for process in processes {
        for number in watch::descriptors(process)? {
            let mounts = match &mut mounts {
                Some(mounts) => mounts,
                None => mounts.insert(Mounts::of(processes.first().map_or(process.outside, |init| init.outside))?),
            };
            let watches = match watch::watches(process, number) {
                Err(error) if has_ended(&error) => continue,
                other => other?,
            };
            for watch in watches {
                let is_of_root = mounts.is_root(watch.device);
                let (place, is_named) = judge(mounts, &watch, is_of_root);
                if is_of_root && !is_named {
                    forgotten.insert(watch.inode);
                }
                if place != Place::Found {
                    lost.insert((process.outside, number), place);
                }
            }
        }
    }
    Ok((lost, forgotten))
}

/// How a watch is found again, and whether by a name.
fn judge(mounts: &mut Mounts, watch: &Watch, is_of_root: bool) -> (Place, bool) {
    if watch.handle.is_empty() {
        return (Place::Forgotten, false);
    }
    if NOT_OPENED.contains(&watch.handle_type) {
        // The root of a session without root is such a file system, and nothing is saved there yet.
        return (if is_of_root { Place::Found } else { Place::NoHandle }, true);
    }
    match mounts.open(watch) {
        Ok(object) => {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", object.as_raw_fd())).unwrap_or_default();
            match leads_to(&path, mounts, watch) {
                true => (Place::Found, true),
                // In the root file system, CRIU does with the handle. What was deleted is looked for in vain.
                false if is_of_root => (Place::Found, path.to_string_lossy().ends_with(" (deleted)")),
                false => (Place::Deleted, false),
            }
        }
        // In a namespace of mounts that is not init's, or not ours to look at: whoever can has to say.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            (Place::Found, true)
        }
        Err(_) => (Place::Deleted, false),
    }
}

/// Whether the path that the kernel knows of what is watched leads to it.
fn leads_to(path: &Path, mounts: &Mounts, watch: &Watch) -> bool {
    let path = match path.strip_prefix("/") {
        Ok(root) if root.as_os_str().is_empty() => Path::new("."),
        Ok(below) => below,
        Err(_) => return false,
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(&*mounts.root, path, flags, Mode::empty(), resolve).and_then(rustix::fs::fstat);
    found.is_ok_and(|found| found.st_ino == watch.inode)
}
