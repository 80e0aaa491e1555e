//! Origins: how entries of a layer name what they were in the base.
//!
//! An overlay keeps with everything that it copied up, and with every directory that it merges, which entry of the base that was:
//! the attribute `trusted.overlay.origin` (Documentation/filesystems/overlayfs.rst, "Inode properties", "Index"). Entries of its
//! index have the same bytes in hex as their names.
//!
//! ```text
//! version u8, 0 | magic u8, 0xfb | length u8, of all | flags u8 | type u8 | uuid [u8; 16] | handle [u8]     (struct ovl_fb)
//! ```
//!
//! Handle and uuid are of one copy of the base on one file system. Over any other copy (a data directory that was copied, another
//! disk, an import) the kernel refuses the mount (ESTALE), does not merge directories, and may take another file for the origin.
//! [`relocate`] therefore gives a layer the origins of the base that it is laid over: what has an origin, be it empty as in a stored
//! layer, comes from the same path of the base or from the one that was noted ([`super::names`]). What a layer's own root says is
//! compared first, so that for a layer of raw files nothing is walked over the copy that it was made on.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, Stat, XattrFlags, lgetxattr, lremovexattr, lsetxattr, openat};
use rustix::io::Errno;

use super::capture::MAX_DEPTH;
use super::names::NAME;
use super::{LayerError, entry};
use crate::kernel::handle;
use crate::kernel::mounts::Overlay;

pub(super) const ORIGIN: &CStr = c"trusted.overlay.origin";
pub(super) const OPAQUE: &CStr = c"trusted.overlay.opaque";
pub(super) const REDIRECT: &CStr = c"trusted.overlay.redirect";

/// Bytes before the handle, and where the type is.
pub(super) const HEAD: usize = 21;
pub(super) const TYPE: usize = 4;
/// Longest origin: the head and the longest handle (`MAX_HANDLE_SZ`).
pub(super) const MAX_ORIGIN: usize = HEAD + 128;
/// Longest path in a redirect.
pub(super) const MAX_REDIRECT: usize = 4096;

/// Gives the layer `upper` with its `index` the origins of `base`. `scratch` is a directory on the layer's file system that is not
/// there yet; it is taken away again. Answers how many entries of the index had to be dropped: the base has files with several
/// names, of which this layer has changed one and then removed it, no name was noted by the release that saved it, and its other
/// names show the base's content.
///
/// # Errors
/// When something cannot be read or written, or no overlay can be mounted.
pub fn relocate(upper: &Path, index: &Path, base: &Path, scratch: &Path) -> Result<u32, LayerError> {
    let made = model(base, scratch).map_err(|source| failed("learn the origins of", Path::new("the base"), source));
    // Whatever was made of it.
    let _ = std::fs::remove_dir_all(scratch);
    let model = made?;
    let open = |path: &Path| open_directory(CWD, path.as_os_str()).map_err(|e| failed("open", path, e));
    let (upper, base) = (open(upper)?, open(base)?);
    // There is none in a layer that a normal user saved.
    let index = if index.exists() { Some(open(index)?) } else { None };
    let root = Path::new("/");
    if origin(upper.as_fd(), c".").map_err(|e| failed("read the origin of", root, e))? == Some(model.bytes.clone()) {
        return Ok(0);
    }
    tracing::info!("the layer was made over another copy of its base: origins are renewed");
    set(upper.as_fd(), c".", ORIGIN, &model.bytes).map_err(|e| failed("set the origin of", root, e))?;
    let mut walk = Walk { model, base, by_inode: HashMap::new(), done: HashSet::new() };
    let below = walk.base.try_clone().map_err(|e| failed("open", root, e))?;
    walk.directory(&upper, Some(&below), root, 0)?;
    let renewed = index.map_or(Ok(0), |index| walk.index(&index));
    renewed.map_err(|e| failed("renew the index of", root, e))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> LayerError {
    LayerError::Io { action, path: path.to_owned(), source }
}

/// What all origins of one copy of a base have in common: the whole one of its root.
#[derive(Debug)]
struct Model {
    bytes: Vec<u8>,
}

impl Model {
    /// The origin of `name` in a directory of the base.
    fn origin(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
        let (kind, handle) = handle::of(directory, name)?;
        self.with(kind, &handle)
    }

    fn with(&self, kind: i32, handle: &[u8]) -> io::Result<Vec<u8>> {
        let unfit = |_| io::Error::new(io::ErrorKind::InvalidData, "a file handle that an overlay cannot hold");
        let mut bytes = self.bytes.get(..HEAD).ok_or(io::ErrorKind::InvalidData)?.to_vec();
        bytes[2] = u8::try_from(HEAD + handle.len()).map_err(unfit)?;
        bytes[TYPE] = u8::try_from(kind).map_err(unfit)?;
        bytes.extend_from_slice(handle);
        Ok(bytes)
    }
}

/// Has the kernel write the origin of the base's root: it does at the first mount of an empty layer.
fn model(base: &Path, scratch: &Path) -> io::Result<Model> {
    let part = |name: &str| -> io::Result<PathBuf> {
        let path = scratch.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    };
    let (upper, work, root) = (part("upper")?, part("work")?, part("root")?);
    let overlay = Overlay { lower: base.to_owned(), upper: upper.clone(), work, user_attributes: false };
    drop(overlay.mount(&root)?);
    let bytes = origin(open_directory(CWD, upper.as_os_str())?.as_fd(), c".")?.unwrap_or_default();
    if bytes.len() <= HEAD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel wrote no origin that is known here"));
    }
    Ok(Model { bytes })
}

struct Walk {
    model: Model,
    base: OwnedFd,
    /// New origins of files with several names, by their inodes in the layer: those that the index may hold.
    by_inode: HashMap<u64, Vec<u8>>,
    /// Inodes that have their new origin already.
    done: HashSet<u64>,
}

impl Walk {
    /// Renews what is in a directory of the layer, which merges with `below` of the base.
    fn directory(&mut self, at: &OwnedFd, below: Option<&OwnedFd>, path: &Path, depth: u32) -> Result<(), LayerError> {
        if depth > MAX_DEPTH {
            let top = path.components().take(4).collect();
            return Err(LayerError::TooDeep { top, limit: MAX_DEPTH });
        }
        for name in names(at).map_err(|e| failed("list", path, e))? {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let stat = entry::stat(at.as_fd(), &name).map_err(|e| failed("look at", &path, e))?;
            let is_directory = entry::kind(&stat) == FileType::Directory;
            let counterpart =
                self.counterpart(at, below, &name, is_directory).map_err(|e| failed("look up", &path, e))?;
            if origin(at.as_fd(), &name).map_err(|e| failed("read the origin of", &path, e))?.is_some()
                && self.done.insert(stat.st_ino)
            {
                let renewed = self.renew(at, &name, counterpart.as_ref(), entry::kind(&stat));
                let renewed = renewed.map_err(|e| failed("renew the origin of", &path, e))?;
                if let Some(bytes) = renewed.filter(|_| !is_directory) {
                    self.by_inode.insert(stat.st_ino, bytes);
                }
            }
            if is_directory {
                let inner = entry::open_directory(at.as_fd(), &name).map_err(|e| failed("open", &path, e))?;
                let below = counterpart.and_then(|(parent, name)| entry::open_directory(parent.as_fd(), &name).ok());
                self.directory(&inner, below.as_ref(), &path, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Where in the base the entry `name` of the layer comes from: a directory of the base and a name in it, which may not be there.
    fn counterpart(
        &self,
        at: &OwnedFd,
        below: Option<&OwnedFd>,
        name: &CStr,
        is_directory: bool,
    ) -> io::Result<Option<(OwnedFd, CString)>> {
        if is_directory && attribute(at.as_fd(), name, OPAQUE, 8)?.is_some() {
            return Ok(None);
        }
        let redirect = if is_directory { attribute(at.as_fd(), name, REDIRECT, MAX_REDIRECT)? } else { None };
        match redirect {
            // From the overlay's root.
            Some(path) if path.starts_with(b"/") => self.in_base(&path),
            Some(other) => {
                Ok(below.map(|below| Ok::<_, io::Error>((below.try_clone()?, CString::new(other)?))).transpose()?)
            }
            None if !is_directory && let Some(path) = attribute(at.as_fd(), name, NAME, MAX_REDIRECT)? => {
                self.in_base(&path)
            }
            None => Ok(below.map(|below| Ok::<_, io::Error>((below.try_clone()?, name.to_owned()))).transpose()?),
        }
    }

    fn in_base(&self, path: &[u8]) -> io::Result<Option<(OwnedFd, CString)>> {
        find(&self.base, path)
    }

    /// Sets the origin of an entry, or drops it where the base has nothing of its kind there; answers the new one.
    fn renew(
        &self,
        at: &OwnedFd,
        name: &CStr,
        counterpart: Option<&(OwnedFd, CString)>,
        kind: FileType,
    ) -> io::Result<Option<Vec<u8>>> {
        let found = counterpart
            .filter(|(parent, name)| entry::stat(parent.as_fd(), name).is_ok_and(|stat| entry::kind(&stat) == kind));
        let Some((parent, below)) = found else {
            let path = entry::through(at.as_fd(), name)?;
            lremovexattr(&path, ORIGIN)?;
            return Ok(None);
        };
        let bytes = self.model.origin(parent.as_fd(), below)?;
        set(at.as_fd(), name, ORIGIN, &bytes)?;
        Ok(Some(bytes))
    }

    /// The new origin of an entry of the index by the name that was noted with it ([`super::names`]); the file gets it.
    fn of_noted_name(&self, index: &OwnedFd, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let Some(path) = attribute(index.as_fd(), name, NAME, MAX_REDIRECT)? else { return Ok(None) };
        let Some((parent, below)) = self.in_base(&path)? else { return Ok(None) };
        let several = |stat: Stat| entry::kind(&stat) == FileType::RegularFile && stat.st_nlink > 1;
        if !entry::stat(parent.as_fd(), &below).is_ok_and(several) {
            return Ok(None);
        }
        let bytes = self.model.origin(parent.as_fd(), &below)?;
        set(index.as_fd(), name, ORIGIN, &bytes)?;
        Ok(Some(bytes))
    }

    /// Gives entries of the index the names of their new origins; drops those whose origin is not known. Answers how many that were.
    fn index(&self, index: &OwnedFd) -> io::Result<u32> {
        let mut dropped = 0;
        for name in names(index)? {
            let stat = entry::stat(index.as_fd(), &name)?;
            let bytes = match self.by_inode.get(&stat.st_ino) {
                Some(bytes) => Some(bytes.clone()),
                None => self.of_noted_name(index, &name)?,
            };
            match bytes {
                Some(bytes) => {
                    let wanted = CString::new(hex(&bytes))?;
                    if wanted != name {
                        rustix::fs::renameat(index.as_fd(), &name, index.as_fd(), &wanted)?;
                    }
                }
                None => {
                    // Of a file whose names are all removed only that is kept: the layer's whiteouts say the same.
                    dropped += u32::from(entry::kind(&stat) == FileType::RegularFile);
                    rustix::fs::unlinkat(index.as_fd(), &name, rustix::fs::AtFlags::empty())?;
                }
            }
        }
        Ok(dropped)
    }
}

/// A directory of the base and a name in it, which may not be there, by the path from its root; no link is followed.
pub(super) fn find(base: &OwnedFd, path: &[u8]) -> io::Result<Option<(OwnedFd, CString)>> {
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let Some(last) = parts.pop().filter(|_| !parts.contains(&&b".."[..])) else { return Ok(None) };
    let mut directory = base.try_clone()?;
    for part in parts {
        match entry::open_directory(directory.as_fd(), &CString::new(part)?) {
            Ok(inner) => directory = inner,
            Err(_) => return Ok(None),
        }
    }
    Ok(Some((directory, CString::new(last)?)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

pub(super) fn open_directory(at: BorrowedFd<'_>, path: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

pub(super) fn origin(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    attribute(directory, name, ORIGIN, MAX_ORIGIN)
}

pub(super) fn attribute(
    directory: BorrowedFd<'_>,
    name: &CStr,
    attribute: &CStr,
    longest: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; longest];
    match lgetxattr(&entry::through(directory, name)?, attribute, &mut value[..]) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
    }
}

pub(super) fn set(directory: BorrowedFd<'_>, name: &CStr, attribute: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(lsetxattr(&entry::through(directory, name)?, attribute, value, XattrFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_the_head_of_its_base_and_its_own_handle() {
        let root: Vec<u8> = [0, 0xfb, 29, 0, 1].into_iter().chain([7; 16]).chain([2, 0, 0, 0, 9, 9, 9, 9]).collect();
        let model = Model { bytes: root.clone() };
        assert_eq!(model.with(1, &root[HEAD..]).unwrap(), root);
        let other = model.with(0x81, &[1, 2, 3]).unwrap();
        assert_eq!(other[..5], [0, 0xfb, 24, 0, 0x81]);
        assert_eq!(other[5..HEAD], [7; 16]);
        assert_eq!(other[HEAD..], [1, 2, 3]);
        assert!(model.with(300, &[]).is_err() && model.with(1, &[0; 250]).is_err());
        assert_eq!(hex(&[0, 0xfb, 29]), "00fb1d");
    }
}
