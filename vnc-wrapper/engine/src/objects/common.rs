//! What every open file description has: status flags, and who gets its signals.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Error, Seen};
use crate::record::objects::Common;
use crate::sys::descriptor::{self, Owner};

/// Flags that open(2) takes and does not keep, or that are the kernel's own (include/linux/fs.h, `FMODE_NONOTIFY`).
const NOT_KEPT: u32 =
    (libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_NOCTTY | libc::O_CLOEXEC) as u32 | 0x0400_0000;
/// `O_LARGEFILE` as the kernel counts it: every 64-bit process's open has it.
const LARGE_FILE: u32 = 0o100_000;

/// Takes it; the number in the snapshot is `id`. The owner is the one that this process sees: 0 if it is outside of our pid
/// namespace; a dump gives it the session's number.
///
/// # Errors
/// When the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<Common, Error> {
    let flags = descriptor::flags(seen.copy()).map_err(seen.failed("F_GETFL"))? & !NOT_KEPT;
    if flags & libc::O_PATH.cast_unsigned() != 0 {
        return Ok(Common { id, flags, ..Common::default() });
    }
    let owner = descriptor::owner(seen.copy()).map_err(seen.failed("F_GETOWN_EX"))?;
    let signal = descriptor::signal(seen.copy()).map_err(seen.failed("F_GETSIG"))?;
    Ok(Common {
        id,
        flags,
        owner_kind: owner.kind.cast_unsigned(),
        owner: owner.id.cast_unsigned(),
        signal: u8::try_from(signal).map_err(|_| seen.refused(format!("signal {signal}")))?,
    })
}

/// Gives a new description its status flags. Access mode and what only open(2) can give are as it was made.
///
/// # Errors
/// Those of fcntl(2): EPERM for O_NOATIME on somebody else's file.
pub fn give(made: BorrowedFd<'_>, common: &Common) -> io::Result<()> {
    if common.flags & libc::O_PATH.cast_unsigned() != 0 {
        return Ok(());
    }
    // Signals come to the owner, who may not be there yet: O_ASYNC is set with the owner.
    let flags = common.flags & !(libc::O_ASYNC.cast_unsigned() | LARGE_FILE);
    descriptor::set_flags(made, flags)
}

/// Names who gets signals, once that process is there. `owner` is its id in this process's pid namespace.
///
/// # Errors
/// Those of fcntl(2).
pub fn give_owner(made: BorrowedFd<'_>, common: &Common, owner: u32) -> io::Result<()> {
    if common.flags & libc::O_PATH.cast_unsigned() != 0 {
        return Ok(());
    }
    if common.signal != 0 {
        descriptor::set_signal(made, common.signal.into())?;
    }
    if common.owner != 0 {
        descriptor::set_owner(made, Owner { kind: common.owner_kind.cast_signed(), id: owner.cast_signed() })?;
    }
    if common.flags & libc::O_ASYNC.cast_unsigned() != 0 {
        descriptor::set_flags(made, common.flags)?;
    }
    Ok(())
}
