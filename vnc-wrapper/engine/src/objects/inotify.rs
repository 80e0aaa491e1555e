//! inotify(7): what is watched, under the numbers that the program knows.
//!
//! Events that wait can be read only once, by the program: a save has to wait until it has read them, which takes it a moment.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
pub fn look(seen: &Seen, find: impl FnMut(&Watch) -> Option<Vec<u8>>) -> Result<Option<Finding>, Error> {
    if waiting(seen.copy()).map_err(seen.failed("FIONREAD"))? > 0 {
        return Ok(Some(seen.passing("it has not yet read its file events")));
    }
    Ok(paths(seen, find).err().map(|lost| seen.finding(lost)))
}

/// Its record; the number in the snapshot is `id`.
///
/// # Errors
/// When something would be lost (see [`look`]), or the kernel does not answer.
pub fn take(seen: &Seen, id: u32, mut find: impl FnMut(&Watch) -> Option<Vec<u8>>) -> Result<Inotify, Error> {
    // Without the paths, which take time to find.
    if let Some(finding) = look(seen, |_| Some(Vec::new()))? {
        return Err(seen.refused(finding.lost));
    }
    let mut all = Vec::new();
    for (watch, path) in paths(seen, &mut find).map_err(|lost| seen.refused(lost))? {
        let number = u32::try_from(watch.number).map_err(|_| seen.refused("a watch has a number below 0"))?;
        all.push(InotifyWatch { number, mask: watch.mask, path: fit(seen, "a path", path)? });
    }
    all.sort_unstable_by_key(|watch| watch.number);
    Ok(Inotify { common: common::take(seen, id)?, watches: fit(seen, "its watches", all)? })
}

/// Each watch with its path; else what is lost.
fn paths(seen: &Seen, mut find: impl FnMut(&Watch) -> Option<Vec<u8>>) -> Result<Vec<(&Watch, Vec<u8>)>, String> {
    let found = |watch| Some((watch, find(watch)?));
    let lost = |watch: &Watch| format!("no name of what watch {} watches can be found", watch.number);
    watches(seen).iter().map(found).zip(watches(seen)).map(|(found, watch)| found.ok_or_else(|| lost(watch))).collect()
}

/// How many bytes of events wait.
fn waiting(instance: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(instance)?)
}

/// Makes it, without its watches.
///
/// # Errors
/// EMFILE when this user has too many.
pub fn give(record: &Inotify) -> Result<OwnedFd, Error> {
    let made = watch::inotify().map_err(Error::given(who(record), "inotify_init1"))?;
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(record), "F_SETFL"))?;
    Ok(made)
}

fn who(record: &Inotify) -> String {
    format!("inotify instance ({})", record.common.id)
}

/// Has `made` watch. After everything else that opens or closes a file: that would be an event, and could be the only one that a
/// watch gives. Nothing may change what is watched meanwhile: events would be read away.
///
/// # Errors
/// When a file is not there, or the kernel refuses: ENOSPC for more watches than this user may have.
pub fn give_watches(made: BorrowedFd<'_>, record: &Inotify, names: &impl Names) -> Result<(), Error> {
    let mut last = 0;
    for wanted in record.watches.iter() {
        let who = || format!("{}, watch of {}", who(record), wanted.path.escape_ascii());
        // By a descriptor, so that a link is watched and not what it leads to.
        let flags = (libc::O_PATH | libc::O_NOFOLLOW).cast_unsigned();
        let target = names.open(&wanted.path, flags).map_err(Error::given(who(), "open"))?;
        // The kernel counts up: those between are taken and given back.
        for round in 1u32.. {
            let number = watch::add_open(made, target.as_fd(), wanted.mask);
            let number = number.map_err(Error::given(who(), "inotify_add_watch"))?;
            if number == wanted.number {
                break;
            }
            if number > wanted.number || number <= last {
                let reason = format!("it would have the number {number} instead of {}", wanted.number);
                return Err(Error::Refused { what: who(), reason });
            }
            watch::remove(made, number).map_err(Error::given(who(), "inotify_rm_watch"))?;
            last = number;
            if round.is_multiple_of(MANY) {
                read_away(made).map_err(Error::given(who(), "read"))?;
            }
        }
        last = wanted.number;
    }
    read_away(made).map_err(Error::given(who(record), "read"))
}

/// Reads what waits: IN_IGNORED of watches that were only for counting.
fn read_away(made: BorrowedFd<'_>) -> io::Result<()> {
    let mut room = vec![0; ROOM];
    while waiting(made)? > 0 {
        rustix::io::read(made, &mut room)?;
    }
    Ok(())
}
