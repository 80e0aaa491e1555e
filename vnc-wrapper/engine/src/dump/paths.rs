//! Links of `/proc/PID` as paths in the session.

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libc::pid_t;

use super::Error;
use super::view::View;

/// What the kernel appends to a path that leads nowhere any more.
const DELETED: &[u8] = b" (deleted)";

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

/// Whether the session has under `path` what `link` leads to: a name may end with what the kernel appends.
pub(super) fn leads_to(view: &View, path: &[u8], link: &Path) -> bool {
    let (Ok(named), Ok(meant)) = (std::fs::symlink_metadata(view.locate(path)), std::fs::metadata(link)) else {
        return false;
    };
    (named.dev(), named.ino()) == (meant.dev(), meant.ino())
}
