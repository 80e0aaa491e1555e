//! Brings back names that the kernel has forgotten.
//!
//! The kernel keeps names (directory entries) in a cache and gives them up under memory pressure, also those of directories that
//! are watched: a watch holds the inode only. A name is back when somebody looks it up. So the tree is walked until all that is
//! missing was met. The names are read from the layers below the session's root, by descriptors and without following links;
//! in the session's own tree they are only looked up, which no watch hears and no time of a file shows.

use std::collections::{BTreeSet, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};

/// No tree is walked further than so many names, ...
const MOST: usize = 4 << 20;
/// ... deeper than so many directories (three descriptors each), ...
const DEEPEST: usize = 128;
/// ... or longer than this.
const LONGEST: Duration = Duration::from_secs(20);

/// Where the names of a session's root file system are.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The directories of which it is made: its writable layer, and its base.
    pub layers: Vec<PathBuf>,
}

/// Looks up what has these inode numbers in the root file system of the session of `init`. What is found keeps its name for
/// as long as the descriptors live, which name it (O_PATH).
///
/// # Errors
/// When the session's root cannot be opened.
pub(super) fn find(init: u32, tree: &Tree, wanted: HashSet<u64>) -> io::Result<Vec<OwnedFd>> {
    let root = openat(CWD, format!("/proc/{init}/root"), NAMING, Mode::empty())?;
    find_below(&root, tree, wanted)
}

const NAMING: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn find_below(root: &OwnedFd, tree: &Tree, wanted: HashSet<u64>) -> io::Result<Vec<OwnedFd>> {
    let device = rustix::fs::fstat(root)?.st_dev;
    let layers: Vec<OwnedFd> = tree.layers.iter().filter_map(|path| directory(CWD, path).ok()).collect();
    let mut walk = Walk { device, wanted, left: MOST, until: Instant::now() + LONGEST, found: Vec::new() };
    walk.directory(root, &layers, 0);
    if !walk.wanted.is_empty() {
        tracing::debug!("names of watched inodes are not found: {:?}", walk.wanted);
    }
    Ok(walk.found)
}

struct Walk {
    device: u64,
    wanted: HashSet<u64>,
    left: usize,
    until: Instant,
    found: Vec<OwnedFd>,
}

impl Walk {
    fn is_over(&self) -> bool {
        self.wanted.is_empty() || self.left == 0 || Instant::now() > self.until
    }

    /// Looks up all names that `layers` have in `merged`. What is gone meanwhile, or cannot be read, has none.
    fn directory(&mut self, merged: &OwnedFd, layers: &[OwnedFd], depth: usize) {
        let names: BTreeSet<CString> = layers.iter().flat_map(names).collect();
        for name in names {
            if self.is_over() {
                return;
            }
            self.left -= 1;
            // Another file system may be mounted there.
            let here = |stat: &rustix::fs::Stat| stat.st_dev == self.device;
            let Some(stat) = statat(merged, &name, AtFlags::SYMLINK_NOFOLLOW).ok().filter(here) else { continue };
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let open = |flags| openat2(merged, &name, flags, Mode::empty(), resolve);
            if self.wanted.remove(&stat.st_ino) {
                self.found.extend(open(OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC));
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && depth < DEEPEST
                && let Ok(below) = open(NAMING | OFlags::NOFOLLOW)
            {
                let layers: Vec<OwnedFd> = layers.iter().filter_map(|layer| directory(layer, &name).ok()).collect();
                self.directory(&below, &layers, depth + 1);
            }
        }
    }
}

/// A directory of a layer, to be read; never what a link leads to.
fn directory(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Without a mark of our reading, where we may (open(2), O_NOATIME).
    let unmarked = openat(&at, name, flags | OFlags::NOATIME, Mode::empty());
    Ok(unmarked.or_else(|_| openat(&at, name, flags, Mode::empty()))?)
}

fn names(layer: &OwnedFd) -> Vec<CString> {
    let entries = Dir::read_from(layer).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_owned()).filter(|name| ![c".", c".."].contains(&name.as_c_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn issue_9_18_inodes_are_found_by_the_names_of_the_layers_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (tree, outside) = (place.path().join("tree"), place.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(tree.join("a/file"), "x").unwrap();
        fs::write(outside.join("far"), "x").unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        let (near, file, far) = (inode(tree.join("a/b")), inode(tree.join("a/file")), inode(outside.join("far")));
        let root = openat(CWD, &tree, NAMING, Mode::empty()).unwrap();
        let layers = Tree { layers: vec![tree, place.path().join("missing")] };
        let found = find_below(&root, &layers, HashSet::from([near, file, far])).unwrap();
        let found: HashSet<u64> = found.iter().map(|fd| rustix::fs::fstat(fd).unwrap().st_ino).collect();
        assert_eq!(found, HashSet::from([near, file]));
    }
}
