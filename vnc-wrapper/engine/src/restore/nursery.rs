//! Shared memory without a file (mmap(2) with MAP_SHARED and MAP_ANONYMOUS): made in the first process, inherited by all
//! others, and mapped from there wherever they had it. Nothing else gives two processes the same such memory.
//!
//! Segments of System V have places here too, where the first process has them attached until they are filled.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::memory::PAGE;
use crate::record::memory::Origin;

use super::content::Content;
use super::error::{Error, Object, Result};
use super::list::List;
use super::stub::Stub;

/// Where each object is in every process that is being made.
#[derive(Debug, Default)]
pub(super) struct Nursery {
    places: BTreeMap<u32, Range<u64>>,
    segments: BTreeMap<u32, Range<u64>>,
    /// Where a process has a segment of which it had only a part mapped.
    aside: u64,
    end: u64,
}

impl Nursery {
    /// Places for all objects of the content that need it, one behind the other from 0 on.
    pub(super) fn plan(content: &Content) -> Result<Self> {
        let mut nursery = Self::default();
        let mut longest = 0;
        for object in content.objects.values() {
            let segment = matches!(object.origin, Origin::SystemV { .. });
            if !segment && object.origin != Origin::Anonymous {
                continue;
            }
            let place = nursery.reserve(object.size, object.id)?;
            if segment {
                longest = longest.max(object.size);
                nursery.segments.insert(object.id, place);
            } else {
                nursery.places.insert(object.id, place);
            }
        }
        if longest > 0 {
            nursery.aside = nursery.reserve(longest, 0)?.start;
        }
        Ok(nursery)
    }

    /// The next so many bytes, for object `id`.
    fn reserve(&mut self, size: u64, id: u32) -> Result<Range<u64>> {
        let length = size.max(1).checked_next_multiple_of(PAGE);
        let end = length.and_then(|length| self.end.checked_add(length));
        let end = end.ok_or_else(|| Error::unable(format!("shared object {id}"), "it is too long"))?;
        Ok(std::mem::replace(&mut self.end, end)..end)
    }

    /// How many bytes it takes.
    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// Makes the objects in the first process.
    pub(super) fn make(&self, first: &Stub) -> Result {
        let flags = (libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE) as u64;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let mut list = List::new(first);
        for place in self.places.values() {
            let start = first.area().nursery() + place.start;
            let arguments = [start, place.end - place.start, protection, flags, u64::MAX, 0];
            list.call(Object::Mapping(start), libc::SYS_mmap, arguments)?;
        }
        list.run()
    }

    /// Where `offset` of an object is in `stub`; none for an object of another kind.
    pub(super) fn place(&self, stub: &Stub, object: u32, offset: u64) -> Option<u64> {
        let place = self.places.get(&object)?;
        let at = place.start.checked_add(offset).filter(|at| *at < place.end)?;
        Some(stub.area().nursery() + at)
    }

    /// Where `offset` of an object of either kind is in the first process, which fills it.
    pub(super) fn filled(&self, first: &Stub, object: u32, offset: u64) -> Option<u64> {
        let place = self.places.get(&object).or_else(|| self.segments.get(&object))?;
        let at = place.start.checked_add(offset).filter(|at| *at < place.end)?;
        Some(first.area().nursery() + at)
    }

    /// Where nothing is in any process, as long as the longest segment.
    pub(super) fn aside(&self, stub: &Stub) -> u64 {
        stub.area().nursery() + self.aside
    }

    /// The arguments of mremap(2) that maps `length` bytes of what is at `from` once more, at `to`.
    pub(super) fn again(from: u64, to: u64, length: u64) -> [u64; 6] {
        [from, 0, length, (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64, to, 0]
    }

    /// Takes it out of a process that has mapped all it needs.
    pub(super) fn leave(&self, list: &mut List<'_>, stub: &Stub) -> Result {
        if self.end == 0 {
            return Ok(());
        }
        list.call(Object::Stub, libc::SYS_munmap, [stub.area().nursery(), self.end, 0, 0, 0, 0])
    }
}
