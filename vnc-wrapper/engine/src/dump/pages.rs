//! Pages of memory, read while all stand still, and what is to be written of them afterwards.

use std::io;
use std::ops::Range;

use libc::pid_t;

use super::Error;
use super::follow::Followed;
use crate::able::{Able, Feature};
use crate::memory::copy::Sink;
use crate::memory::image::{Image, Part};
use crate::memory::tracker::{Pass, Tracker};
use crate::process::smaps::Mapped;
use crate::record::Owner;
use crate::record::memory::{Backing, Mapping};
use crate::record::process::Area;
use crate::sys::memory;
use crate::sys::pagemap::{self, Pagemap, Query};

/// Runs that one scan may report.
const RUNS: usize = 256;

/// The pages of an address space or object.
pub(super) struct Pages {
    pub(super) owner: Owner,
    pub(super) image: Image,
    pub(super) parts: Vec<Part>,
}

impl Pages {
    /// Those of address space `id`, in which thread `tid` of process `pid` runs. `before`: what was copied of it while it ran.
    pub(super) fn of_space(
        pid: pid_t,
        tid: pid_t,
        id: u32,
        mappings: &[Mapping],
        before: Option<Followed>,
    ) -> Result<Self, Error> {
        let read = |what: &'static str| Error::read(pid, tid, what);
        let (mut tracker, mut image) = match before {
            Some(Followed { tracker, image, .. }) => (tracker, image),
            None => (Tracker::by_reading_all(tid.cast_unsigned()).map_err(read("the pages"))?, Image::new()),
        };
        tracker.pass(Pass::Stopped, &mut image).map_err(read("the pages"))?;
        let mut parts = Vec::new();
        for mapping in mappings {
            let range = mapping.start..mapping.end;
            let hides = match &mapping.backing {
                // The kernel may drop these at any time, and gives zeros then.
                Backing::Anonymous if has(mapping, b"dp") => continue,
                Backing::Anonymous => false,
                // A page of zeros hides the file's.
                Backing::PrivateFile { .. } | Backing::Object { private: true, .. } => true,
                // As a whole: a resume on another kernel looks its entries up there.
                Backing::Special { name } if **name == *b"vdso" => {
                    whole(tid, &range, &mut image).map_err(read("the vdso"))?;
                    true
                }
                _ => continue,
            };
            parts.push(Part { range, hides });
        }
        Ok(Self { owner: Owner::Space(id), image, parts })
    }

    /// Those of shared object `id`.
    pub(super) fn of_object(id: u32, image: Image) -> Self {
        Self { owner: Owner::Object(id), image, parts: vec![Part::object()] }
    }
}

fn has(mapping: &Mapping, letters: &[u8; 2]) -> bool {
    mapping.advice.as_chunks::<2>().0.contains(letters)
}

fn whole(tid: pid_t, range: &Range<u64>, image: &mut Image) -> io::Result<()> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    memory::read(tid, range.start, &mut bytes)?;
    image.pages(range.start, &bytes)
}

/// The guard regions (madvise(2), MADV_GUARD_INSTALL) of a thread's memory, in rising order.
pub(super) fn guards(tid: pid_t, mapped: &[Mapped]) -> io::Result<Vec<Range<u64>>> {
    let mut guards: Vec<Range<u64>> = Vec::new();
    let able = Able::here();
    if !able.has(Feature::GuardRegions) || !able.has(Feature::PagemapScan) {
        return Ok(guards);
    }
    let pagemap = Pagemap::open(tid.cast_unsigned())?;
    let query = Query { any: pagemap::GUARD, report: pagemap::GUARD, ..Query::default() };
    let mut runs = [pagemap::Run::default(); RUNS];
    // Vsyscall lies beyond what can be scanned.
    let space = mapped.iter().filter(|mapped| mapped.start < 1 << 56);
    let Some(range) = space.clone().map(|it| it.start).min().zip(space.map(|it| it.end).max()) else {
        return Ok(guards);
    };
    let (mut at, end) = range;
    while at < end {
        let (found, walked) = match pagemap.scan(at..end, query, &mut runs) {
            // Linux 6.13 and 6.14 have guards and do not show them; reading such memory fails by its name.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(guards),
            scanned => scanned?,
        };
        guards.extend(runs[..found].iter().map(|run| run.start..run.end));
        if walked <= at {
            break;
        }
        at = walked;
    }
    Ok(guards)
}

/// Those of `guards` that are in a mapping.
pub(super) fn within(guards: &[Range<u64>], mapped: &Mapped) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for guard in guards {
        let (start, end) = (guard.start.max(mapped.start), guard.end.min(mapped.end));
        match areas.last_mut().filter(|last| last.start + last.length == start) {
            _ if start >= end => {}
            Some(last) => last.length += end - start,
            None => areas.push(Area { start, length: end - start }),
        }
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::PAGE;

    #[test]
    fn guards_are_cut_to_their_mappings() {
        let mapped = Mapped { start: 4 * PAGE, end: 9 * PAGE, ..Mapped::default() };
        let run = |start: u64, end: u64| start * PAGE..end * PAGE;
        let guards = [run(1, 2), run(3, 5), run(5, 6), run(8, 12), run(13, 14)];
        let areas: Vec<_> =
            within(&guards, &mapped).iter().map(|area| (area.start / PAGE, area.length / PAGE)).collect();
        assert_eq!(areas, [(4, 2), (8, 1)]);
    }
}
