//! memfd_create(2): memory with descriptors, its name, length, mode and seals. Its pages are in regions.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

use super::{Error, Finding, Seen, fit};
use crate::record::memory::{Origin, SharedObject};

const PREFIX: &[u8] = b"/memfd:";
const DELETED: &[u8] = b" (deleted)";
/// `HUGETLBFS_MAGIC` (linux/magic.h).
const HUGE_PAGES: i64 = 0x9584_58f6;

fn is_huge(seen: &Seen) -> Result<bool, Error> {
    let system = rustix::fs::fstatfs(seen.copy()).map_err(|error| seen.failed("fstatfs")(error.into()))?;
    Ok(system.f_type == HUGE_PAGES)
}

/// What would be lost: memory of huge pages.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(seen: &Seen) -> Result<Option<Finding>, Error> {
    Ok(is_huge(seen)?.then(|| seen.finding("it consists of huge pages (MFD_HUGETLB)")))
}

/// The record of the memory; the number in the snapshot is `id`. Its descriptions are files ([`super::file`]) with that content, its
/// pages are read by [`crate::memory::shared::read_file`].
///
/// # Errors
/// When it is no memfd or of huge pages, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<SharedObject, Error> {
    let name = seen.link.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(DELETED));
    let name = name.ok_or_else(|| seen.refused("it is no memfd"))?;
    if is_huge(seen)? {
        return Err(seen.refused("it consists of huge pages (MFD_HUGETLB)"));
    }
    let seals = rustix::fs::fcntl_get_seals(seen.copy()).map_err(|error| seen.failed("F_GET_SEALS")(error.into()))?;
    let size = u64::try_from(seen.stat.st_size).map_err(|_| seen.refused("its length is below 0"))?;
    Ok(SharedObject {
        id,
        origin: Origin::Memfd { name: fit(seen, "its name", name.to_vec())?, flags: 0 },
        size,
        seals: seals.bits(),
        user: seen.stat.st_uid,
        group: seen.stat.st_gid,
        mode: seen.stat.st_mode & 0o7777,
    })
}

/// Has `create` make it by memfd_create(2), empty, for its maker alone and without seals: first it is filled and mapped.
///
/// # Errors
/// When it is no memfd, or the kernel does not make it.
pub fn give(
    record: &SharedObject,
    create: impl FnOnce(&[u8], MemfdFlags) -> io::Result<OwnedFd>,
) -> Result<OwnedFd, Error> {
    let who = || format!("memfd ({})", record.id);
    let refused = |reason: &str| Error::Refused { what: who(), reason: reason.to_owned() };
    let Origin::Memfd { name, flags: 0 } = &record.origin else {
        return Err(refused("it is no memfd that can be made"));
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = create(name, flags).map_err(Error::given(who(), "memfd_create"))?;
    rustix::fs::ftruncate(&made, record.size).map_err(|error| Error::given(who(), "ftruncate")(error.into()))?;
    Ok(made)
}

/// Seals it, when it is filled and mapped.
///
/// # Errors
/// EBUSY when it is still mapped for writing.
pub fn give_seals(made: BorrowedFd<'_>, record: &SharedObject) -> Result<(), Error> {
    if record.seals == 0 {
        return Ok(());
    }
    let seals = SealFlags::from_bits_retain(record.seals);
    let sealed = rustix::fs::fcntl_add_seals(made.as_fd(), seals);
    sealed.map_err(|error| Error::given(format!("memfd ({})", record.id), "F_ADD_SEALS")(error.into()))
}
