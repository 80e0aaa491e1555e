//! Links of `/proc/PID` as paths in the session.

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libc::pid_t;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, statx};

use super::Error;
use super::view::View;

/// What the kernel appends to a path that leads nowhere any more.
pub(super) const DELETED: &[u8] = b" (deleted)";

/// Where `link` of process `pid` leads, if that has a name in the session; refused by the name of `what` if not.
pub(super) fn path(view: &View, pid: pid_t, link: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let path = std::fs::read_link(link).map_err(Error::read(pid, pid, what))?.into_os_string().into_vec();
    let refuse = |why| Err(Error::refused(pid, format!("{what}, {}", path.escape_ascii()), why));
    if path.first() != Some(&b'/') {
        return refuse("it is outside of the session");
    }
    if path.ends_with(DELETED) && !leads_to(view, &path, link) {
        return refuse("it has no name any more");
    }
    Ok(path)
}

/// The directory nearest to where the file of `path` was that is there and is on the mount or file system of it: `is_on` says so.
pub(super) fn near(view: &View, path: &[u8], is_on: impl Fn(&Statx) -> bool) -> Option<Vec<u8>> {
    let mut path = path;
    loop {
        let above = &path[..path.iter().rposition(|byte| *byte == b'/')?];
        let directory = if above.is_empty() { &b"/"[..] } else { above };
        let found =
            statx(CWD, view.locate(directory), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID);
        if found.is_ok_and(|found| FileType::from_raw_mode(found.stx_mode.into()).is_dir() && is_on(&found)) {
            return Some(directory.to_vec());
        }
        path = above;
    }
}

/// Whether the session has under `path` what `link` leads to: a name may end with what the kernel appends.
pub(super) fn leads_to(view: &View, path: &[u8], link: &Path) -> bool {
    let (Ok(named), Ok(meant)) = (std::fs::symlink_metadata(view.locate(path)), std::fs::metadata(link)) else {
        return false;
    };
    (named.dev(), named.ino()) == (meant.dev(), meant.ino())
}
