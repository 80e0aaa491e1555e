//! Files of the base with several names, in a layer without an index.
//!
//! An overlay with an index shows a changed file of the base under all names that it has there. A normal user's overlay has none
//! (the kernel does not combine it with `userxattr`): each name that was not changed itself would show the base's content. So a layer
//! that comes from root gets every such name.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, linkat};

use super::names::{Identity, identity, search};
use super::origin::{MAX_REDIRECT, attribute, find, names, open_directory, set};
use super::{LayerError, entry};

/// [`super::names::NAME`], where only `user.*` can be set (`freezeframe_store::form`).
const NAME: &CStr = c"user.overlay.freezeframe.name";
const OPAQUE: &CStr = c"user.overlay.opaque";
const ORIGIN: &CStr = c"user.overlay.origin";
const IMPURE: &CStr = c"user.overlay.impure";

/// Gives the files in `index` every name that they have in `base` and that the layer `upper` does not hide, and takes the index away.
/// Nothing is done where there is none.
///
/// # Errors
/// When something cannot be read or written.
pub fn without_index(upper: &Path, index: &Path, base: &Path) -> Result<(), LayerError> {
    if !index.exists() {
        return Ok(());
    }
    let failed = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| LayerError::Io { action, path, source }
    };
    spread(upper, index, base).map_err(failed("give files their other names from the index", Path::new("/")))?;
    std::fs::remove_dir_all(index).map_err(failed("remove the index", index))
}

fn spread(upper: &Path, index: &Path, base: &Path) -> io::Result<()> {
    let open = |path: &Path| open_directory(CWD, path.as_os_str());
    let (upper, index, base) = (open(upper)?, open(index)?, open(base)?);
    let mut wanted: HashMap<Identity, CString> = HashMap::new();
    for name in names(&index)? {
        if entry::kind(&entry::stat(index.as_fd(), &name)?) != FileType::RegularFile {
            continue;
        }
        let Some(path) = attribute(index.as_fd(), &name, NAME, MAX_REDIRECT)? else { continue };
        let Some((parent, below)) = find(&base, &path)? else { continue };
        if let Ok(stat) = entry::stat(parent.as_fd(), &below)
            && stat.st_nlink > 1
        {
            wanted.insert(identity(&stat), name);
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    search(&base, &mut Vec::new(), 0, &mut |stat, path| match wanted.get(&identity(stat)) {
        Some(entry) => link(&index, entry, &upper, &base, path),
        None => Ok(()),
    })
}

/// Gives `entry` of the index the path of the base, unless the layer has something there or hides it.
fn link(index: &OwnedFd, entry: &CStr, upper: &OwnedFd, base: &OwnedFd, path: &[u8]) -> io::Result<()> {
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let Some(last) = parts.pop() else { return Ok(()) };
    let (mut at, mut below) = (upper.try_clone()?, base.try_clone()?);
    for part in parts {
        let name = CString::new(part)?;
        match entry::stat(at.as_fd(), &name) {
            Ok(stat) if entry::kind(&stat) != FileType::Directory => return Ok(()),
            Ok(_) if attribute(at.as_fd(), &name, OPAQUE, 8)?.is_some_and(|value| value == b"y") => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => merge(&at, &below, &name)?,
            Err(error) => return Err(error),
        }
        (at, below) = (entry::open_directory(at.as_fd(), &name)?, entry::open_directory(below.as_fd(), &name)?);
    }
    let name = CString::new(last)?;
    if entry::stat(at.as_fd(), &name).is_ok() {
        return Ok(());
    }
    keeping_times(&at, || {
        linkat(index, entry, &at, &name, AtFlags::empty())?;
        set(at.as_fd(), c".", IMPURE, b"y")
    })
}

/// Makes the directory `name` of the base, `below`, one of the layer, which merges with it: as a copy up does.
fn merge(at: &OwnedFd, below: &OwnedFd, name: &CStr) -> io::Result<()> {
    keeping_times(at, || {
        entry::make_directory(at.as_fd(), name)?;
        entry::copy_metadata(below.as_fd(), at.as_fd(), name, &entry::stat(below.as_fd(), name)?, 0)?;
        set(at.as_fd(), name, ORIGIN, b"")?;
        set(at.as_fd(), c".", IMPURE, b"y")
    })
}

/// The session did not change that directory.
fn keeping_times(directory: &OwnedFd, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let stat = entry::stat(directory.as_fd(), c".")?;
    work()?;
    entry::set_times(directory.as_fd(), c".", &stat)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    /// What has attributes and devices is of root's, or of a user namespace's root.
    #[test]
    fn a_file_of_the_index_gets_every_name_that_nothing_hides() {
        let scratch = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let at = |path: &str| scratch.path().join(path);
        for directory in ["base/bin", "base/usr/lib", "base/opaque", "base/gone", "upper/bin", "upper/opaque", "index"]
        {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("base/bin/one"), "of the base").unwrap();
        for name in ["bin/two", "bin/removed", "usr/lib/three", "opaque/four", "gone/five"] {
            fs::hard_link(at("base/bin/one"), at("base").join(name)).unwrap();
        }
        fs::write(at("base/bin/alone"), "of the base").unwrap();
        fs::write(at("index/abc"), "changed").unwrap();
        fs::hard_link(at("index/abc"), at("upper/bin/one")).unwrap();
        // Of one that has no other name nothing is made.
        fs::write(at("index/def"), "changed too").unwrap();
        for (entry, name) in [("index/abc", "bin/one"), ("index/def", "bin/alone")] {
            setxattr(at(entry), NAME, name.as_bytes(), XattrFlags::empty()).unwrap();
        }
        setxattr(at("upper/opaque"), OPAQUE, b"y", XattrFlags::empty()).unwrap();
        fs::write(at("upper/bin/removed"), "in the place of a whiteout").unwrap();
        fs::write(at("upper/gone"), "in the place of a whiteout").unwrap();
        let before = fs::metadata(at("upper/bin")).unwrap();
        without_index(&at("upper"), &at("index"), &at("base")).unwrap();
        let inode = |path: &str| fs::metadata(at(path)).map(|found| found.ino()).ok();
        for name in ["upper/bin/two", "upper/usr/lib/three"] {
            assert_eq!(inode(name), inode("upper/bin/one"), "{name}");
        }
        assert_eq!(fs::read_to_string(at("upper/usr/lib/three")).unwrap(), "changed");
        for name in ["upper/opaque/four", "upper/bin/alone", "upper/gone/five", "index"] {
            assert!(!at(name).exists(), "{name}");
        }
        assert_ne!(inode("upper/bin/removed"), inode("upper/bin/one"));
        let after = fs::metadata(at("upper/bin")).unwrap();
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
        // Where there is none nothing is done.
        without_index(&at("upper"), &at("index"), &at("base")).unwrap();
    }
}
