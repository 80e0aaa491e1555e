//! System V shared memory: read where it is attached, or attached for a moment in the first process, which makes none of its holes pages.
//!
//! Only that changes something in the session: when a segment that nobody has attached as a whole was last attached and detached, and
//! by whom (`shm_atime`, `shm_dtime`, `shm_lpid`).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use libc::pid_t;

use super::super::Error;
use super::super::pages::Pages;
use super::super::sockets::Inside;
use super::Found;
use crate::ipc;
use crate::memory::PAGE;
use crate::memory::copy::Sink;
use crate::memory::image::Image;
use crate::process::smaps::{self, Mapped};
use crate::record::ipc::Segment;
use crate::record::memory::{Origin, SharedObject};
use crate::remote::{self, Call, Thread};

/// How much is looked at, and read, at once, in bytes.
const LOOK: u64 = 64 << 20;
const READ: u64 = 1 << 20;

/// The segments of the session, by identifier.
#[derive(Default)]
pub(in super::super) struct Segments {
    known: BTreeMap<i32, Known>,
}

struct Known {
    /// The number of the shared object.
    id: u32,
    found: Found,
    /// How many mappings of it were seen.
    attached: u64,
    /// Where all of it can be read.
    whole: Vec<(Reader, u64)>,
}

/// A process, and its thread, in which segments can be read.
type Reader = (pid_t, pid_t);

impl Segments {
    pub(super) fn new(found: Vec<Found>) -> Self {
        let numbered = (1..).zip(found);
        let known =
            |(id, found): (u32, Found)| (found.ipc.identifier, Known { id, found, attached: 0, whole: Vec::new() });
        Self { known: numbered.map(known).collect() }
    }

    /// How many there are; they have the first numbers of all shared objects.
    pub(in super::super) fn count(&self) -> u32 {
        self.known.len() as u32
    }

    /// The number of the segment that `mapped` of thread `tid` of process `pid` shows; none for one that is not of the session.
    pub(in super::super) fn add(&mut self, pid: pid_t, tid: pid_t, mapped: &Mapped) -> Option<u32> {
        // The kernel shows the identifier for the inode (`newseg` in ipc/shm.c).
        let known = self.known.get_mut(&i32::try_from(mapped.inode).ok()?)?;
        known.attached += 1;
        let readable = mapped.protection & libc::PROT_READ.cast_unsigned() != 0;
        let length = known.found.stat.size().div_ceil(PAGE) * PAGE;
        if readable && mapped.offset == 0 && mapped.end - mapped.start == length {
            known.whole.push(((pid, tid), mapped.start));
        }
        Some(known.id)
    }

    /// The records, and the pages.
    pub(in super::super) fn finish(self, inside: &mut Inside<'_, '_>) -> Result<Vec<(SharedObject, Pages)>, Error> {
        for known in self.known.values() {
            known.check(inside.pid)?;
        }
        let mut images = self.read(inside, false)?;
        // A page that is swapped out looks like a hole.
        if !images.is_empty() && swapped(inside)? {
            images = self.read(inside, true)?;
        }
        let finished = self.known.into_iter().map(|(identifier, known)| {
            let image = images.remove(&identifier).unwrap_or_default();
            let Known { id, found: Found { ipc, stat }, .. } = known;
            let (removed, locked) = stat.marks();
            let segment = Segment { ipc, creator: stat.creator(), removed, locked };
            let origin = Origin::SystemV { segment };
            let record = SharedObject { id, origin, size: stat.size(), ..SharedObject::default() };
            (record, Pages::of_object(id, image))
        });
        Ok(finished.collect())
    }

    /// The pages of all: those that they have, or `all`. Each process is asked once, and as few as can be.
    fn read(&self, inside: &mut Inside<'_, '_>, all: bool) -> Result<BTreeMap<i32, Image>, Error> {
        let mut counts: BTreeMap<Reader, usize> = BTreeMap::new();
        let views = self.known.values().flat_map(|known| &known.whole);
        views.for_each(|(reader, _)| *counts.entry(*reader).or_default() += 1);
        let mut readers: BTreeMap<Reader, Vec<(&Known, Option<u64>)>> = BTreeMap::new();
        for known in self.known.values() {
            let best = known.whole.iter().max_by_key(|(reader, _)| (counts.get(reader), *reader));
            let (reader, at) = best.map_or(((inside.pid, inside.tid), None), |(reader, at)| (*reader, Some(*at)));
            readers.entry(reader).or_default().push((known, at));
        }
        let mut images = BTreeMap::new();
        for ((pid, tid), segments) in readers {
            let read = inside.ask(pid, tid, |thread| {
                segments.iter().map(|(known, at)| known.read(thread, *at, all)).collect::<Result<Vec<_>, _>>()
            })?;
            for ((known, _), image) in segments.iter().zip(read) {
                let Some(image) = image.map_err(Error::read(pid, tid, known.what()))? else {
                    return Err(Error::refused(pid, known.what(), "it consists of huge pages (SHM_HUGETLB)"));
                };
                images.insert(known.found.ipc.identifier, image);
            }
        }
        Ok(images)
    }
}

/// Whether anything of the segments is swapped out.
fn swapped(inside: &mut Inside<'_, '_>) -> Result<bool, Error> {
    let kind = ipc::SEGMENTS;
    let info = inside.ask(inside.pid, inside.tid, |thread| {
        let mut info = vec![0; kind.count.0];
        let at = thread.borrow_stack(info.len())?;
        let (mut arguments, place) = kind.arguments(0, kind.info);
        arguments[place] = at;
        let [first, second, third, fourth] = arguments;
        thread.call(&Call::new(kind.control, [first, second, third, fourth, 0, 0]))?;
        thread.read(at, &mut info)?;
        Ok(info)
    })?;
    Ok(ipc::swapped(&info) > 0)
}

impl Known {
    fn what(&self) -> String {
        format!("System V segment {}", self.found.ipc.identifier)
    }

    /// Refuses one that somebody outside has too.
    fn check(&self, pid: pid_t) -> Result<(), Error> {
        let all = self.found.stat.attached();
        if self.attached == all {
            return Ok(());
        }
        let why = format!("it is attached {all} times, and {} times in the session", self.attached);
        Err(Error::refused(pid, self.what(), why))
    }

    /// Its pages, those that it has, or `all`: `at` an address of the thread, which else attaches it. None: they are huge.
    fn read(
        &self,
        thread: &mut Thread<'_, '_>,
        at: Option<u64>,
        all: bool,
    ) -> Result<io::Result<Option<Image>>, remote::Error> {
        let at = match at {
            Some(at) => at,
            None => {
                let at = thread.attach(self.found.ipc.identifier)?;
                match is_huge(thread.who().tid, at) {
                    Ok(false) => at,
                    huge => return Ok(huge.map(|_| None)),
                }
            }
        };
        let mut image = Image::new();
        Ok(copy(thread, at, self.found.stat.size(), all, &mut image)?.map(|()| Some(image)))
    }
}

/// Whether what is mapped at `at` of a thread is of huge pages.
fn is_huge(tid: pid_t, at: u64) -> io::Result<bool> {
    let mapped = smaps::read(&Path::new("/proc").join(tid.to_string()))?;
    Ok(mapped.iter().any(|mapped| mapped.start == at && mapped.has(b"ht")))
}

/// Copies the pages that are there: to read others would make them.
fn copy(
    thread: &mut Thread<'_, '_>,
    start: u64,
    size: u64,
    all: bool,
    image: &mut Image,
) -> Result<io::Result<()>, remote::Error> {
    let end = size.div_ceil(PAGE) * PAGE;
    let room = thread.map((LOOK.min(end) / PAGE).next_multiple_of(PAGE))?;
    let mut buffer = vec![0; READ.min(end) as usize];
    for begin in (0..end).step_by(LOOK as usize) {
        let length = LOOK.min(end - begin);
        let mut there = vec![1; (length / PAGE) as usize];
        if !all {
            thread.call(&Call::new(libc::SYS_mincore, [start + begin, length, room, 0, 0, 0]))?;
            thread.read(room, &mut there)?;
        }
        let mut at = 0;
        while at < there.len() {
            // Bit 0 alone says it (mincore(2)).
            let count = there[at..].iter().take((READ / PAGE) as usize).take_while(|page| **page & 1 != 0).count();
            if count > 0 {
                let (offset, bytes) = (begin + at as u64 * PAGE, &mut buffer[..count * PAGE as usize]);
                thread.read(start + offset, bytes)?;
                if let Err(error) = image.pages(offset, bytes) {
                    return Ok(Err(error));
                }
            }
            at += count.max(1);
        }
    }
    Ok(Ok(()))
}
