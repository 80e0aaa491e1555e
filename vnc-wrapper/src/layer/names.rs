//! Names in the base of files that have several there and were changed.
//!
//! A layer holds such a file once, in its index, by the handle that it has in this copy of the base; over another copy only its name
//! says which file that is. A name that the session has changed is in the layer. Where that was removed or renamed, nothing of the layer
//! has one, though the file's other names still show what was changed. So a snapshot's index has a name with each such file.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType};

use super::capture::MAX_DEPTH;
use super::entry;
use super::origin::{HEAD, TYPE, names, open_directory, set};
use crate::kernel::handle;

/// The attribute that has the name, from the base's root. Only root of the host sees it.
pub(super) const NAME: &CStr = c"trusted.freezeframe.name";

/// Device and inode.
type Identity = (u64, u64);
/// Files of the base, with their entries in the index.
type Wanted = HashMap<Identity, CString>;

/// Notes a name of the base with each entry of the copied `index` whose file has several names there. Answers how many those are.
///
/// # Errors
/// When something cannot be read or written; what was noted by then is right.
pub fn note(index: &Path, base: &Path) -> io::Result<u32> {
    let (index, base) = (open_directory(CWD, index.as_os_str())?, open_directory(CWD, base.as_os_str())?);
    let mut wanted = Wanted::new();
    for name in names(&index)? {
        if entry::kind(&entry::stat(index.as_fd(), &name)?) != FileType::RegularFile {
            continue;
        }
        let Some((kind, bytes)) = parse(name.to_bytes()) else { continue };
        // One of another copy, which was resumed here, is not there any more.
        let Ok(found) = handle::open(base.as_fd(), kind, &bytes) else { continue };
        let stat = rustix::fs::fstat(&found)?;
        if stat.st_nlink > 1 {
            wanted.insert((stat.st_dev, stat.st_ino), name);
        }
    }
    let (mut noted, mut path) = (0, Vec::new());
    if !wanted.is_empty() {
        search(&base, &mut path, 0, &mut |stat, path| {
            let Some(entry) = wanted.remove(stat) else { return Ok(()) };
            noted += 1;
            set(index.as_fd(), &entry, NAME, path)
        })?;
    }
    Ok(noted)
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

/// Calls `each` with device and inode of every file below `directory` that has several names, and with one of them.
fn search(
    directory: &OwnedFd,
    path: &mut Vec<u8>,
    depth: u32,
    each: &mut dyn FnMut(&Identity, &[u8]) -> io::Result<()>,
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
            FileType::RegularFile if stat.st_nlink > 1 => each(&(stat.st_dev, stat.st_ino), path)?,
            _ => {}
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
    fn files_with_several_names_are_found_with_one_of_them() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("usr/bin")).unwrap();
        std::fs::write(base.path().join("usr/bin/one"), "x").unwrap();
        std::fs::hard_link(base.path().join("usr/bin/one"), base.path().join("usr/two")).unwrap();
        std::fs::write(base.path().join("usr/alone"), "x").unwrap();
        let mut found = Vec::new();
        let directory = open_directory(CWD, base.path().as_os_str()).unwrap();
        search(&directory, &mut Vec::new(), 0, &mut |_, path| {
            found.push(String::from_utf8(path.to_vec()).unwrap());
            Ok(())
        })
        .unwrap();
        found.sort();
        assert_eq!(found, ["usr/bin/one", "usr/two"]);
    }
}
