//! System V shared memory: made by who made it, filled where the first process has it attached, and attached by all who had it.

use crate::ipc::{self, SEGMENTS};
use crate::memory::PAGE;
use crate::record::memory::{Backing, Mapping, Origin, SharedObject};
use crate::remote::Call;

use super::super::content::Content;
use super::super::descriptors::has;
use super::super::error::{Error, Object, Result};
use super::super::list::List;
use super::super::nursery::Nursery;
use super::super::stub::Stub;
use super::{Maker, new, permissions, was_given_away};

const READ_WRITE: u32 = (libc::PROT_READ | libc::PROT_WRITE) as u32;
/// Pages are taken when they are written, as in the nursery.
const NO_RESERVE: u64 = libc::SHM_NORESERVE as u64;
const MOVED: u64 = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;

/// Makes a segment, and attaches it where it is filled.
pub(super) fn make(maker: &Maker<'_>, record: &SharedObject, nursery: &Nursery) -> Result {
    let Origin::SystemV { segment } = &record.origin else { return Ok(()) };
    let (object, first) = (Object::Shared(record.id), maker.first);
    let by = maker.process(segment.creator);
    let wanted = &segment.ipc;
    let arguments = [wanted.key as u32 as u64, record.size, new(wanted) | NO_RESERVE, 0, 0, 0];
    maker.create(by, object, "kernel/shm_next_id", wanted, &Call::new(libc::SYS_shmget, arguments))?;
    let place = nursery.filled(first, record.id, 0);
    let place = place.ok_or_else(|| Error::unable(object.to_string(), "it has no place"))?;
    let identifier = wanted.identifier as u64;
    let mut list = List::new(first);
    list.call(object, libc::SYS_shmat, [identifier, place, 0, 0, 0, 0])?;
    if was_given_away(wanted) {
        let bytes = permissions(wanted, SEGMENTS.length);
        list.with(object, libc::SYS_shmctl, &[&bytes], |at| [identifier, libc::IPC_SET as u64, at[0], 0, 0, 0])?;
    }
    if segment.removed {
        // It stays as long as somebody has it attached, and can be attached.
        list.call(object, libc::SYS_shmctl, [identifier, libc::IPC_RMID as u64, 0, 0, 0, 0])?;
    }
    list.run()
}

/// Locks those in memory that were.
pub(super) fn lock(content: &Content, first: &Stub) -> Result {
    let mut list = List::new(first);
    for record in content.objects.values() {
        if let Origin::SystemV { segment } = &record.origin
            && segment.locked
        {
            let arguments = [segment.ipc.identifier as u64, ipc::SHM_LOCK, 0, 0, 0, 0];
            list.call(Object::Shared(record.id), libc::SYS_shmctl, arguments)?;
        }
    }
    list.run()
}

/// An attachment that is to be made.
pub(in super::super) struct Attachment {
    identifier: u64,
    flags: u64,
    /// Bytes of the segment, whole pages.
    length: u64,
    offset: u64,
    /// The protection that it has then.
    pub(in super::super) protection: u32,
}

/// The attachment that a mapping is; none for others.
pub(in super::super) fn attachment(mapping: &Mapping, content: &Content) -> Option<Attachment> {
    let Backing::Object { object, offset, .. } = &mapping.backing else { return None };
    let record = content.objects.get(object)?;
    let Origin::SystemV { segment } = &record.origin else { return None };
    // One that was attached with SHM_RDONLY may never be written.
    let write = has(mapping, b"mw");
    let (flags, protection) = if write { (0, READ_WRITE) } else { (libc::SHM_RDONLY, libc::PROT_READ as u32) };
    Some(Attachment {
        identifier: segment.ipc.identifier as u64,
        flags: flags as u64,
        length: record.size.div_ceil(PAGE) * PAGE,
        offset: *offset,
        protection,
    })
}

/// Attaches it where it was. What is left of one that was unmapped in part, or moved, is attached elsewhere first.
pub(in super::super) fn attach(
    list: &mut List<'_>,
    stub: &Stub,
    mapping: &Mapping,
    it: &Attachment,
    nursery: &Nursery,
) -> Result {
    let object = Object::Mapping(mapping.start);
    let length = mapping.end - mapping.start;
    if it.offset == 0 && length == it.length {
        return list.call(object, libc::SYS_shmat, [it.identifier, mapping.start, it.flags, 0, 0, 0]);
    }
    let aside = nursery.aside(stub);
    list.call(object, libc::SYS_shmat, [it.identifier, aside, it.flags, 0, 0, 0])?;
    list.call(object, libc::SYS_mremap, [aside + it.offset, length, length, MOVED, mapping.start, 0])?;
    list.call(object, libc::SYS_munmap, [aside, it.length, 0, 0, 0, 0])
}
