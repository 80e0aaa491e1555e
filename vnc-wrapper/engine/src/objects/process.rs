//! pidfd_open(2): the process or thread that it stands for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libc::pid_t;

use super::{Error, Finding, Seen, common};
use crate::process::fdinfo::Kind;
use crate::record::objects::PidFd;
use crate::sys::{descriptor, pidfd};

/// `PIDFD_THREAD` (linux/pidfd.h).
const THREAD: u32 = libc::O_EXCL as u32;

fn pid(seen: &Seen) -> Result<pid_t, Error> {
    match seen.info.kind {
        Kind::Process { pid, .. } => Ok(pid),
        _ => Err(seen.refused("it is no pidfd")),
    }
}

/// What would be lost: a process outside of the session. `inside` says which are not.
#[must_use]
pub fn look(seen: &Seen, inside: impl Fn(pid_t) -> bool) -> Option<Finding> {
    let pid = pid(seen).ok().filter(|pid| *pid != -1)?;
    (!inside(pid)).then(|| seen.finding("it stands for a process outside of the session"))
}

/// Its record; the number in the snapshot is `id`. The process is the one that we see, by our number for it: a dump gives it the
/// session's.
///
/// # Errors
/// When it is no pidfd or of a process that is not in our pid namespace, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<PidFd, Error> {
    let pid = match pid(seen)? {
        -1 => None,
        0 => return Err(seen.refused("it stands for a process outside of the session")),
        pid => Some(pid.cast_unsigned()),
    };
    let flags = descriptor::flags(seen.copy()).map_err(seen.failed("F_GETFL"))?;
    Ok(PidFd { common: common::take(seen, id)?, pid, thread: flags & THREAD != 0 })
}

/// Makes it. `open` opens a process or thread by its id in the session, which has to be there; here this process's namespace
/// is meant: see [`open`].
///
/// # Errors
/// When there is no such process, or the kernel does not make it.
pub fn give(record: &PidFd, open: impl Fn(u32, bool) -> io::Result<OwnedFd>) -> Result<OwnedFd, Error> {
    let who = || format!("pidfd ({})", record.common.id);
    let made = match record.pid {
        Some(pid) => open(pid, record.thread),
        None => pidfd::ended(record.thread),
    };
    let made = made.map_err(Error::given(who(), "pidfd_open"))?;
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}

/// Opens a process or thread of this process's pid namespace.
///
/// # Errors
/// Those of pidfd_open(2).
pub fn open(pid: u32, thread: bool) -> io::Result<OwnedFd> {
    if thread { pidfd::open_thread(pid.cast_signed()) } else { pidfd::open(pid.cast_signed()) }
}
