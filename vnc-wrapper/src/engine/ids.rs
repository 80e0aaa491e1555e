//! The id map in CRIU's images: that is the saved session's, and the resumed one has its own.

use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use crate::kernel::idmap::{IdMap, Range};

/// What the names of images with id maps begin with (criu/include/image-desc.h, `CR_FD_USERNS`).
const PREFIX: &str = "userns-";
/// Bytes before the only entry of such an image (criu/include/magic.h).
const MAGIC: usize = 8;

/// A directory with the images of a snapshot, in which the session has another id map. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Mapped(PathBuf);

impl Mapped {
    /// Makes the directory `to` of the images in `from`, which stay as they are and are not copied: what is not of the map is
    /// the same file.
    ///
    /// # Errors
    /// When an image cannot be read, or the disk is full.
    pub(super) fn make(from: &Path, to: PathBuf, map: &IdMap) -> io::Result<Self> {
        // Open to all below a directory that is open to nobody: CRIU reads them with the ids of the session.
        DirBuilder::new().mode(0o755).create(&to)?;
        let mapped = Self(to);
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (path, target) = (entry.path(), mapped.0.join(entry.file_name()));
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                let mut head = [0; MAGIC];
                fs::File::open(&path)?.read_exact(&mut head)?;
                fs::write(target, [&head, &*entry_of(map)].concat())?;
            } else if fs::hard_link(&path, &target).is_err() {
                // On another file system.
                symlink(&path, &target)?;
            }
        }
        Ok(mapped)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            // It goes with the session.
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// An entry of an image: its length, and a `userns_entry` (criu/images/userns.proto).
fn entry_of(map: &IdMap) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, ranges) in [(1_u8, &map.uids), (2, &map.gids)] {
        for range in ranges {
            let extent = extent(range);
            // Of wire type 2. The length is one byte: three numbers of at most five bytes, each with its field.
            body.extend([field << 3 | 2, extent.len() as u8]);
            body.extend(extent);
        }
    }
    let length = (body.len() as u32).to_le_bytes();
    [&length[..], &body].concat()
}

/// A `uid_gid_extent`: the numbers `first` (inside), `lower_first` (outside) and `count`.
fn extent(range: &Range) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (field, number) in [(1_u8, range.inside), (2, range.outside), (3, range.count)] {
        bytes.push(field << 3);
        let mut rest = number;
        while rest >= 0x80 {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_get_another_map_and_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("userns-9.img"), b"magic!!!old").unwrap();
        fs::write(from.join("pages-1.img"), b"pages").unwrap();
        let map = IdMap::from_first(300);
        let mapped = Mapped::make(&from, to.clone(), &map).unwrap();
        assert_eq!(fs::read(mapped.path().join("pages-1.img")).unwrap(), b"pages");
        assert_eq!(fs::read(from.join("userns-9.img")).unwrap(), b"magic!!!old");
        let extent = [8, 0, 16, 0xac, 2, 24, 0x80, 0x80, 4];
        let body = [&[10, 9][..], &extent, &[18, 9], &extent].concat();
        let expected = [b"magic!!!", &[22, 0, 0, 0][..], &body].concat();
        assert_eq!(fs::read(mapped.path().join("userns-9.img")).unwrap(), expected);
        drop(mapped);
        assert!(!to.exists() && from.join("pages-1.img").exists());
        fs::write(from.join("userns-9.img"), b"cut").unwrap();
        assert!(Mapped::make(&from, to.clone(), &map).is_err() && !to.exists());
    }
}
