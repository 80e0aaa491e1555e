//! inotify(7): what is watched, under the numbers that the program knows.
//!
//! Events that wait can be read only once, by the program: a save has to wait until it has read them, which takes it a moment.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::{Error, Finding, Names, Seen, common, fit};
use crate::process::fdinfo::{Kind, Watch};
use crate::record::objects::{Inotify, InotifyWatch};
use crate::sys::watch;

/// Room for events that are read away, in bytes.
const ROOM: usize = 1 << 16;
/// After how many removals the events of these are read away: their queue must not overflow.
const MANY: u32 = 1000;

fn watches(seen: &Seen) -> &[Watch] {
    match &seen.info.kind {
        Kind::Inotify(watches) => watches,
        _ => &[],
    }
}

/// What would be lost: events that wait, and watches of what has no name any more. `find` gives the path of a file in the session by
/// the watch's device and inode.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen, find: impl Fn(&Watch) -> Option<Vec<u8>>) -> Result<Option<Finding>, Error> {
    let waiting = rustix::io::ioctl_fionread(seen.copy()).map_err(|error| seen.failed("FIONREAD")(error.into()))?;
    if waiting > 0 {
        return Ok(Some(seen.finding("it has not yet read its file events; this passes in a moment")));
    }
    let lost = watches(seen).iter().find(|watch| find(watch).is_none());
    Ok(lost.map(|watch| seen.finding(format!("watch {} is of a file that has no name any more", watch.number))))
}

/// Its record; the number in the snapshot is `id`.
///
/// # Errors
/// When [`look`] finds something, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32, find: impl Fn(&Watch) -> Option<Vec<u8>>) -> Result<Inotify, Error> {
    if let Some(finding) = look(seen, &find)? {
        return Err(seen.refused(finding.lost));
    }
    let mut all = Vec::new();
    for watch in watches(seen) {
        let path = find(watch).ok_or_else(|| seen.refused("what it watches is gone"))?;
        let number = u32::try_from(watch.number).map_err(|_| seen.refused("a watch has a number below 0"))?;
        all.push(InotifyWatch { number, mask: watch.mask, path: fit(seen, "a path", path)? });
    }
    all.sort_unstable_by_key(|watch| watch.number);
    Ok(Inotify { common: common::take(seen, id)?, watches: fit(seen, "its watches", all)? })
}

/// Makes it with its watches. Nothing may change what is watched meanwhile: events would be read away.
///
/// # Errors
/// When a file is not there, or the kernel refuses: ENOSPC for more watches than this user may have.
pub fn give(record: &Inotify, names: &impl Names) -> Result<OwnedFd, Error> {
    let who = || format!("inotify instance ({})", record.common.id);
    let made = watch::inotify().map_err(Error::given(who(), "inotify_init1"))?;
    let mut last = 0;
    for wanted in record.watches.iter() {
        let who = || format!("{}, watch of {}", who(), wanted.path.escape_ascii());
        // By a descriptor, so that a link is watched and not what it leads to.
        let flags = (libc::O_PATH | libc::O_NOFOLLOW).cast_unsigned();
        let target = names.open(&wanted.path, flags).map_err(Error::given(who(), "open"))?;
        let path = format!("/proc/thread-self/fd/{}", target.as_raw_fd());
        // The kernel counts up: those between are taken and given back.
        for round in 1u32.. {
            let number = watch::add(made.as_fd(), path.as_bytes(), wanted.mask);
            let number = number.map_err(Error::given(who(), "inotify_add_watch"))?;
            if number == wanted.number {
                break;
            }
            if number > wanted.number || number <= last {
                let reason = format!("it would have the number {number} instead of {}", wanted.number);
                return Err(Error::Refused { what: who(), reason });
            }
            watch::remove(made.as_fd(), number).map_err(Error::given(who(), "inotify_rm_watch"))?;
            last = number;
            if round.is_multiple_of(MANY) {
                read_away(&made).map_err(Error::given(who(), "read"))?;
            }
        }
        last = wanted.number;
    }
    read_away(&made).map_err(Error::given(who(), "read"))?;
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}

/// Reads what waits: IN_IGNORED of watches that were only for counting.
fn read_away(made: &OwnedFd) -> std::io::Result<()> {
    let mut room = vec![0; ROOM];
    loop {
        match rustix::io::read(made, &mut room) {
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
