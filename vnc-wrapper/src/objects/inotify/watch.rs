//! Descriptors of inotify in a session, and their watches.

use std::fs;
use std::io;

use crate::container::processes::{Process, has_ended};

/// What /proc/PID/fd says of such a descriptor.
pub(super) const LINK: &str = "anon_inode:inotify";

/// A watch (proc_pid_fdinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) wd: i32,
    /// The file system, as mountinfo has it.
    pub(super) device: (u32, u32),
    /// The inode number there.
    pub(super) inode: u64,
    pub(super) mask: u32,
    pub(super) handle_type: i32,
    /// Empty when the kernel has forgotten every name of what is watched.
    pub(super) handle: Vec<u8>,
}

/// Numbers of the inotify descriptors of a process.
pub(super) fn descriptors(process: &Process) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(process.proc("fd")) {
        Err(error) if has_ended(&error) => return Ok(found),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == LINK) {
            found.extend(entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()));
        }
    }
    Ok(found)
}

/// All watches of the descriptor `number` of a process.
pub(super) fn watches(process: &Process, number: i32) -> io::Result<Vec<Watch>> {
    let text = fs::read_to_string(process.proc("fdinfo").join(number.to_string()))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// Reads `inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e…`.
fn parse(line: &str) -> Option<Watch> {
    let fields = line.strip_prefix("inotify ")?;
    let field = |key: &str| fields.split(' ').find_map(|f| f.strip_prefix(key)?.strip_prefix(':'));
    let number = |key: &str| u32::from_str_radix(field(key)?, 16).ok();
    let device = number("sdev")?;
    let hex = field("f_handle").unwrap_or_default();
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    Some(Watch {
        wd: number("wd")?.cast_signed(),
        device: (device >> 20, device & 0xf_ffff),
        inode: field("ino").and_then(|hex| u64::from_str_radix(hex, 16).ok())?,
        mask: number("mask")?,
        handle_type: number("fhandle-type").unwrap_or_default().cast_signed(),
        handle: (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_read_from_what_proc_says() {
        let line = "inotify wd:1a ino:9e7e sdev:800013 mask:fce ignored_mask:0 fhandle-bytes:4 fhandle-type:1 f_handle:7e9e00ff";
        let watch = parse(line).unwrap();
        assert_eq!((watch.wd, watch.device, watch.inode, watch.mask), (26, (8, 19), 0x9e7e, 0xfce));
        let forgotten = parse("inotify wd:2 ino:ea745 sdev:28 mask:3c6 ignored_mask:0 ").unwrap();
        assert_eq!((forgotten.inode, forgotten.handle), (0xe_a745, Vec::new()));
        assert_eq!((watch.handle_type, watch.handle), (1, vec![0x7e, 0x9e, 0, 0xff]));
        assert_eq!(parse("pos:\t0"), None);
        assert_eq!(parse("inotify wd:1 sdev:1 mask:1 f_handle:7"), None);
    }
}
