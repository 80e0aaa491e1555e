//! How much space things take.

use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use crate::error::{IoContext, Result};
use crate::tree::MAX_DEPTH;

/// Bytes of all files at and below `path`: each inode once, holes not counted. Directories nested deeper than
/// [`MAX_DEPTH`] are passed over, for nothing that deep can be saved.
///
/// Somebody else may rename and replace what is below `path` meanwhile: every directory is opened through the one above
/// it, and no symbolic link is followed, so that nothing elsewhere is counted.
///
/// # Errors
/// When something cannot be read for another reason than that it vanished.
pub fn bytes_below(path: &Path) -> Result<u64> {
    let stat = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(0),
        other => other.map_err(io::Error::from).at("read", path)?,
    };
    if kind(&stat) != FileType::Directory {
        return Ok(bytes_of(&stat));
    }
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut open: Vec<(OwnedFd, Vec<CString>)> = Vec::new();
    open.extend(enter(CWD, path).at("list", path)?);
    while let Some((directory, names)) = open.last_mut() {
        let Some(name) = names.pop() else {
            open.pop();
            continue;
        };
        let stat = match statat(&*directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other.map_err(io::Error::from).at("read below", path)?,
        };
        if kind(&stat) != FileType::Directory {
            if seen.insert((stat.st_dev, stat.st_ino)) {
                bytes += bytes_of(&stat);
            }
        } else if open.len() < MAX_DEPTH
            && let Some((directory, _)) = open.last()
        {
            let below = enter(directory.as_fd(), &*name).at("list below", path)?;
            open.extend(below);
        }
    }
    Ok(bytes)
}

/// Opens a directory and lists it; none when it is not there, or none any more.
fn enter<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> io::Result<Option<(OwnedFd, Vec<CString>)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(Some((directory, names)))
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// A file just written may have no blocks yet, a sparse one has fewer than its length says.
fn bytes_of(stat: &Stat) -> u64 {
    stat.st_size.max(0).cast_unsigned().min(stat.st_blocks.max(0).cast_unsigned().saturating_mul(512).max(1))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let scratch = tempfile::tempdir().unwrap();
        let (inside, elsewhere) = (scratch.path().join("in"), scratch.path().join("out"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("large"), vec![1; 1 << 20]).unwrap();
        fs::write(inside.join("a/b/file"), vec![1; 5000]).unwrap();
        fs::hard_link(inside.join("a/b/file"), inside.join("again")).unwrap();
        assert_eq!(bytes_below(&inside).unwrap(), 5000);
        symlink(&elsewhere, inside.join("link")).unwrap();
        assert!(bytes_below(&inside).unwrap() < 10_000, "a link was followed");
        assert_eq!(bytes_below(&inside.join("nothing")).unwrap(), 0);
    }

    /// Issue 9, number 6: a directory becomes a link to somewhere else, and back, while it is walked.
    #[test]
    fn issue_9_6_a_link_that_is_swapped_in_leads_nowhere() {
        let scratch = tempfile::tempdir().unwrap();
        let (inside, elsewhere) = (scratch.path().join("in"), scratch.path().join("out"));
        fs::create_dir_all(inside.join("real")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("large"), vec![1; 1 << 20]).unwrap();
        fs::write(inside.join("real/file"), vec![1; 10]).unwrap();
        symlink(&elsewhere, inside.join("link")).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                while !over.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, inside.join("real"), CWD, inside.join("link"), flags).unwrap();
                }
            });
            for _ in 0..2000 {
                let bytes = bytes_below(&inside).unwrap();
                assert!(bytes < 10_000, "{bytes}");
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
