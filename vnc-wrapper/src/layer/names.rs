//! Names in the base of what only a file handle says: of files that have several there and were changed, and of what was moved.
//!
//! A layer holds a changed file of several names once, in its index, by the handle that it has in this copy of the base; over another
//! copy only its name says which file that is. A name that the session has changed is in the layer. Where that was removed or renamed,
//! nothing of the layer has one, though the file's other names still show what was changed. So a snapshot's index has a name with each
//! such file. Of an entry that was copied up and then moved only the handle says where it came from, and with it its inode number;
//! so such an entry has a name too.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Stat};

use super::capture::MAX_DEPTH;
use super::origin::{HEAD, MAX_REDIRECT, OPAQUE, REDIRECT, TYPE, attribute, names, open_directory, origin, set};
use super::{INDEX, UPPER, entry};
use crate::kernel::handle;

/// The attribute that has the name, from the base's root ([`freezeframe_store::form::NAME`]). Only root of the host sees it.
pub(super) const NAME: &CStr = c"trusted.freezeframe.name";

/// Device and inode.
pub(super) type Identity = (u64, u64);
/// Entries of the base, and the paths from the layer's root of what is to get their names.
type Wanted = HashMap<Identity, Vec<Vec<u8>>>;

pub(super) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// Notes a name of the base with each entry of the copied `layer` that needs one. Answers how many entries of the base those are.
///
/// # Errors
/// When something cannot be read or written; what was noted by then is right.
pub fn note(layer: &Path, base: &Path) -> io::Result<u32> {
    let (layer, base) = (open_directory(CWD, layer.as_os_str())?, open_directory(CWD, base.as_os_str())?);
    let mut wanted = Wanted::new();
    let index = open_directory(layer.as_fd(), INDEX.as_ref())?;
    for name in names(&index)? {
        if entry::kind(&entry::stat(index.as_fd(), &name)?) != FileType::RegularFile {
            continue;
        }
        let Some((kind, bytes)) = parse(name.to_bytes()) else { continue };
        // One of another copy, which was resumed here, is not there any more.
        let Ok(found) = handle::open(base.as_fd(), kind, &bytes) else { continue };
        let stat = rustix::fs::fstat(&found)?;
        if stat.st_nlink > 1 {
            wanted.entry(identity(&stat)).or_default().push([INDEX.as_bytes(), b"/", name.to_bytes()].concat());
        }
    }
    let upper = open_directory(layer.as_fd(), UPPER.as_ref())?;
    let mut search_moved = Moved { base: &base, wanted: &mut wanted };
    search_moved.directory(&upper, Some(&base), &mut UPPER.as_bytes().to_vec(), 0)?;
    let mut noted = 0;
    if !wanted.is_empty() {
        search(&base, &mut Vec::new(), 0, &mut |stat, path| {
            for entry in wanted.remove(&identity(stat)).into_iter().flatten() {
                set(layer.as_fd(), &CString::new(entry)?, NAME, path)?;
                noted += 1;
            }
            Ok(())
        })?;
    }
    Ok(noted)
}

/// Looks for entries that come from another path of the base than their own.
struct Moved<'a> {
    base: &'a OwnedFd,
    wanted: &'a mut Wanted,
}

impl Moved<'_> {
    /// `below`: what the directory of the layer merges with.
    fn directory(&mut self, at: &OwnedFd, below: Option<&OwnedFd>, path: &mut Vec<u8>, depth: u32) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        for name in names(at)? {
            let stat = entry::stat(at.as_fd(), &name)?;
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(name.to_bytes());
            if entry::kind(&stat) == FileType::Directory {
                let hidden = attribute(at.as_fd(), &name, OPAQUE, 8)?.is_some()
                    || attribute(at.as_fd(), &name, REDIRECT, MAX_REDIRECT)?.is_some();
                let inner =
                    below.filter(|_| !hidden).and_then(|below| entry::open_directory(below.as_fd(), &name).ok());
                self.directory(&entry::open_directory(at.as_fd(), &name)?, inner.as_ref(), path, depth + 1)?;
            } else if let Some(bytes) = origin(at.as_fd(), &name)?
                && let (Some(kind), Some(bytes)) = (bytes.get(TYPE), bytes.get(HEAD..))
            {
                let kind = i32::from(*kind);
                let here = below.and_then(|below| handle::of(below.as_fd(), &name).ok());
                if here.is_none_or(|(here, handle)| (here, handle.as_slice()) != (kind, bytes))
                    && let Ok(found) = handle::open(self.base.as_fd(), kind, bytes)
                {
                    let found = identity(&rustix::fs::fstat(&found)?);
                    self.wanted.entry(found).or_default().push(path.clone());
                }
            }
            path.truncate(length);
        }
        Ok(())
    }
}

/// The type and the bytes of the handle in the name of an index entry ([`super::origin`] has its form).
fn parse(name: &[u8]) -> Option<(i32, Vec<u8>)> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = name.chunks(2).map(|pair| match *pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    });
    let bytes = pairs.collect::<Option<Vec<u8>>>()?;
    let kind = i32::from(*bytes.get(TYPE)?);
    let rest = bytes.get(HEAD..).filter(|rest| !rest.is_empty())?;
    Some((kind, rest.to_vec()))
}

/// Calls `each` with everything below `directory` that is no directory, and with its path.
pub(super) fn search(
    directory: &OwnedFd,
    path: &mut Vec<u8>,
    depth: u32,
    each: &mut dyn FnMut(&Stat, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    for name in names(directory)? {
        let stat = entry::stat(directory.as_fd(), &name)?;
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        match entry::kind(&stat) {
            FileType::Directory => search(&entry::open_directory(directory.as_fd(), &name)?, path, depth + 1, each)?,
            _ => each(&stat, path)?,
        }
        path.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handle_in_the_name_of_an_entry_is_read() {
        let name = format!("00fb1d0081{}22c01200209b4559", "00".repeat(16));
        assert_eq!(parse(name.as_bytes()), Some((0x81, vec![0x22, 0xc0, 0x12, 0, 0x20, 0x9b, 0x45, 0x59])));
        for wrong in ["", "#1f", "00fb1d0081", "00fb1d008", &"00".repeat(HEAD), "work"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_directory_is_found_with_its_path() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("usr/bin")).unwrap();
        std::fs::write(base.path().join("usr/bin/one"), "x").unwrap();
        std::fs::hard_link(base.path().join("usr/bin/one"), base.path().join("usr/two")).unwrap();
        std::fs::write(base.path().join("usr/alone"), "x").unwrap();
        let mut found = Vec::new();
        let directory = open_directory(CWD, base.path().as_os_str()).unwrap();
        search(&directory, &mut Vec::new(), 0, &mut |stat, path| {
            assert_eq!(stat.st_nlink > 1, !path.ends_with(b"alone"));
            found.push(String::from_utf8(path.to_vec()).unwrap());
            Ok(())
        })
        .unwrap();
        found.sort();
        assert_eq!(found, ["usr/alone", "usr/bin/one", "usr/two"]);
    }
}
