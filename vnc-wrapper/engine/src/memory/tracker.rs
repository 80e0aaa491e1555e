//! Passes over the pages of one process: what is to be copied, what is no longer there.
//!
//! The first passes run while the process does, the last one while it stands still; after that the tracking goes on and the
//! next save reads only what was written since. What all passes gave to the sink, the latest word on each page, is the
//! process's memory at the last one. Memory that is mapped shared belongs to [`super::shared`] and is left out here.
//!
//! Where the kernel has guard regions, private mappings of files are not write-protected: on Linux 6.18 `madvise(MADV_GUARD_INSTALL)`
//! on a protected page of one never ends, written or untouched alike. Giving the page back leaves a mark of the protection, so
//! the guard finds its place taken and begins again (mm/madvise.c, `madvise_guard_install`). Their private pages, 1 to 4 MB in
//! a desktop's process, are copied by each pass; [`Pass::Idle`] spares it.

use std::io;
use std::ops::Range;

use super::PAGE;
use super::classify::{self, Page};
use super::copy::{self, Sink};
use super::maps::{self, Kind, Mapping};
use super::pages::PageSet;
use crate::able::{Able, Feature};
use crate::sys::pagemap::{self, Pagemap, Query, Run};
use crate::sys::userfaultfd::{self, Mode, Userfaultfd};

/// The features that a userfaultfd needs for [`Way::WriteProtect`].
pub const FEATURES: u64 = userfaultfd::WP_ASYNC | userfaultfd::WP_UNPOPULATED;
/// Runs that one scan may report.
const RUNS: usize = 1024;
/// Entries of the pagemap that are read at once.
const ENTRIES: u64 = 4096;

/// How changed pages are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By asynchronous write protection (userfaultfd) and PAGEMAP_SCAN.
    WriteProtect,
    /// By soft-dirty bits.
    SoftDirty,
    /// Not at all: everything is read in the last pass.
    ReadAll,
}

impl Way {
    /// The best that this kernel has.
    pub fn best(able: &Able) -> Self {
        let protect = [
            Feature::Userfaultfd,
            Feature::AsynchronousProtection,
            Feature::UnpopulatedProtection,
            Feature::PagemapScan,
        ];
        if protect.into_iter().all(|feature| able.has(feature)) {
            Self::WriteProtect
        } else if able.has(Feature::SoftDirty) {
            Self::SoftDirty
        } else {
            Self::ReadAll
        }
    }
}

/// Whether the process runs during a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It runs: what vanishes meanwhile is found by the next pass.
    Running,
    /// It stands still: what cannot be read is an error.
    Stopped,
    /// As [`Self::Stopped`], and none of its threads has run since before the pass before this one began: then pages that
    /// cannot be tracked are as that pass gave them.
    Idle,
}

/// What a pass did, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Given to the sink.
    pub copied: u64,
    /// Said to be gone.
    pub gone: u64,
    /// Held by the record after it.
    pub held: u64,
}

/// Follows the pages of one process.
#[derive(Debug)]
pub struct Tracker {
    pid: u32,
    pagemap: Pagemap,
    protection: Option<Userfaultfd>,
    way: Way,
    guards: bool,
    /// Whether the soft-dirty bits are this tracker's.
    cleared: bool,
    /// What the sink has and is still right as of the last pass.
    held: PageSet,
    /// A pass failed half way: what was written before it may have been protected again without having been copied.
    failed: bool,
}

/// The pages of a process as one pass finds them.
#[derive(Default)]
struct Seen {
    /// Pages with content.
    content: PageSet,
    /// Those among them that may have changed.
    dirty: PageSet,
    /// See [`Page::Unsettled`].
    unsettled: PageSet,
    /// Content of mappings that are not tracked.
    untracked: PageSet,
}

impl Seen {
    fn add(&mut self, range: Range<u64>, page: Page) {
        match page {
            Page::Nothing => return,
            Page::Clean => {}
            Page::Dirty => self.dirty.insert(range.clone()),
            Page::Unsettled => return self.unsettled.insert(range),
        }
        self.content.insert(range);
    }

    fn join(&mut self, other: &Self) {
        self.content.extend(&other.content);
        self.dirty.extend(&other.dirty);
        self.unsettled.extend(&other.unsettled);
    }
}

impl Tracker {
    /// Tracks process `pid` by write protection. `memory` is a userfaultfd that the process itself made, without features yet,
    /// however it was come by. It must not be used for anything else.
    ///
    /// # Errors
    /// When the kernel lacks the features, or the process may not be looked into.
    pub fn by_write_protection(pid: u32, memory: std::os::fd::OwnedFd) -> io::Result<Self> {
        let memory = Userfaultfd::start(memory, FEATURES)?;
        Self::new(pid, Way::WriteProtect, Some(memory))
    }

    /// Tracks process `pid` by soft-dirty bits, which belong to whoever clears them: one tracker a process.
    ///
    /// # Errors
    /// When the process may not be looked into.
    pub fn by_soft_dirty(pid: u32) -> io::Result<Self> {
        Self::new(pid, Way::SoftDirty, None)
    }

    /// Finds no changes: passes while the process runs do nothing, the last one reads all.
    ///
    /// # Errors
    /// When the process may not be looked into.
    pub fn by_reading_all(pid: u32) -> io::Result<Self> {
        Self::new(pid, Way::ReadAll, None)
    }

    fn new(pid: u32, way: Way, protection: Option<Userfaultfd>) -> io::Result<Self> {
        let (pagemap, guards) = (Pagemap::open(pid)?, Able::here().has(Feature::GuardRegions));
        Ok(Self { pid, pagemap, protection, way, guards, cleared: false, held: PageSet::new(), failed: false })
    }

    /// How changes are found.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The pages whose content the sink has.
    pub fn held(&self) -> &PageSet {
        &self.held
    }

    /// One pass. In a pass of [`Pass::Stopped`] the process must stand still from before it until after it.
    ///
    /// # Errors
    /// When the process cannot be read, or `sink` fails. The next pass gives every page once more.
    pub fn pass(&mut self, pass: Pass, sink: &mut impl Sink) -> io::Result<Passed> {
        if self.way == Way::ReadAll && pass == Pass::Running {
            return Ok(Passed::default());
        }
        // Soft-dirty bits are cleared before the first copy and, again, only while the process stands still: reading and clearing
        // them are two steps, and a write between them would be lost.
        if self.way == Way::SoftDirty && pass == Pass::Running {
            if self.cleared {
                return Ok(Passed { held: self.held.bytes(), ..Passed::default() });
            }
            pagemap::clear_soft_dirty(self.pid)?;
            self.cleared = true;
        }
        let mappings = maps::read(self.pid)?;
        self.pass_over(pass, &mappings, sink)
    }

    /// One pass over `mappings`, as they were a moment ago.
    pub(super) fn pass_over(&mut self, pass: Pass, mappings: &[Mapping], sink: &mut impl Sink) -> io::Result<Passed> {
        // Until all of it went well.
        let failed = std::mem::replace(&mut self.failed, true);
        let mut seen = self.look(mappings)?;
        let stopped = pass != Pass::Running;
        if self.way == Way::SoftDirty && stopped {
            if !self.cleared {
                seen.dirty = seen.content.clone();
            }
            pagemap::clear_soft_dirty(self.pid)?;
            self.cleared = true;
        }
        if self.way == Way::ReadAll {
            seen.dirty = seen.content.clone();
        }
        self.settle(mappings, &mut seen)?;
        if pass == Pass::Idle && self.way == Way::WriteProtect {
            seen.dirty = seen.dirty.without(&seen.untracked);
        }
        if failed {
            seen.dirty = seen.content.clone();
        }
        let mut passed = Passed::default();
        for run in self.held.without(&seen.content).runs() {
            passed.gone += run.end - run.start;
            sink.gone(run)?;
        }
        // What has content and was never given is given, whatever its bits say.
        let mut wanted = seen.content.without(&self.held);
        wanted.extend(&seen.dirty);
        // Should the copy end half way: what the sink then has must be named as gone when it vanishes.
        self.held.extend(&wanted);
        let unread = copy::copy(self.pid, &wanted, sink)?;
        if let (true, Some(run)) = (stopped, unread.runs().next()) {
            let name = mappings.iter().find(|mapping| mapping.range.contains(&run.start)).map(|mapping| &mapping.name);
            let name = String::from_utf8_lossy(name.map_or(b"".as_slice(), |name| name.as_slice())).into_owned();
            return Err(io::Error::other(format!(
                "memory at {:#x}-{:#x} ({name}) of process {} cannot be read",
                run.start, run.end, self.pid
            )));
        }
        for run in unread.runs() {
            sink.gone(run.clone())?;
            seen.content.remove(run);
        }
        passed.copied = wanted.bytes() - unread.bytes();
        self.held = seen.content;
        self.failed = false;
        passed.held = self.held.bytes();
        Ok(passed)
    }

    /// What each page of the process's own memory is. With write protection, what was written is protected again in the same
    /// step, so that no write falls between.
    fn look(&self, mappings: &[Mapping]) -> io::Result<Seen> {
        let mut seen = Seen::default();
        for mapping in mappings.iter().filter(|mapping| matches!(mapping.kind(), Kind::Anonymous | Kind::PrivateFile)) {
            match &self.protection {
                // See the head of this module.
                Some(_) if self.guards && mapping.kind() == Kind::PrivateFile => {
                    let mut found = Seen::default();
                    self.scan(mapping.range.clone(), mapping.kind(), 0, &mut found)?;
                    seen.untracked.extend(&found.content);
                    seen.join(&found);
                }
                Some(memory) => self.scan_protecting(memory, mapping, &mut seen)?,
                None if self.scans() => self.scan(mapping.range.clone(), mapping.kind(), 0, &mut seen)?,
                None => self.read_entries(mapping, &mut seen)?,
            }
        }
        Ok(seen)
    }

    /// Whether pages are looked at by PAGEMAP_SCAN, which skips empty reservations at once. It does not know which pages are
    /// mapped exclusively, as soft-dirty bits need.
    fn scans(&self) -> bool {
        self.way != Way::SoftDirty && Able::here().has(Feature::PagemapScan)
    }

    fn scan_protecting(&self, memory: &Userfaultfd, mapping: &Mapping, seen: &mut Seen) -> io::Result<()> {
        let protect = pagemap::PROTECT | pagemap::CHECK_REGISTERED;
        match self.scan(mapping.range.clone(), mapping.kind(), protect, seen) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
            result => return result,
        }
        // New since the last pass, or moved: or only a part of it is, when the process changed its mappings since they were read. The
        // scan that is refused protects what it comes to before the refusal and reports none of it. And pages that were moved
        // keep the protection on some kernels, which then read as clean. So nothing is known of what was written there.
        let mut found = Seen::default();
        let registered = memory.register(mapping.range.clone(), Mode::Writes).is_ok();
        if !registered || self.scan(mapping.range.clone(), mapping.kind(), protect, &mut found).is_err() {
            // Cannot be registered (droppable memory), or changed once more.
            found = Seen::default();
            self.scan(mapping.range.clone(), mapping.kind(), 0, &mut found)?;
        }
        found.dirty = found.content.clone();
        seen.join(&found);
        Ok(())
    }

    fn scan(&self, range: Range<u64>, kind: Kind, flags: u64, seen: &mut Seen) -> io::Result<()> {
        let query = Query {
            flags,
            any: pagemap::PRESENT | pagemap::SWAPPED,
            report: classify::categories(kind, self.guards),
            ..Query::default()
        };
        let mut runs = [Run::default(); RUNS];
        let mut at = range.start;
        while at < range.end {
            let (found, end) = self.pagemap.scan(at..range.end, query, &mut runs)?;
            for run in &runs[..found] {
                seen.add(run.start..run.end, classify::by_scan(kind, run));
            }
            if end <= at {
                break;
            }
            at = end;
        }
        Ok(())
    }

    fn read_entries(&self, mapping: &Mapping, seen: &mut Seen) -> io::Result<()> {
        let mut entries = vec![0; ENTRIES as usize];
        let mut at = mapping.range.start;
        while at < mapping.range.end {
            let wanted = ((mapping.range.end - at) / PAGE).min(ENTRIES) as usize;
            let read = self.pagemap.entries(at, &mut entries[..wanted])?;
            for (index, entry) in entries[..read].iter().enumerate() {
                let start = at + index as u64 * PAGE;
                let page = classify::by_entry(mapping.kind(), *entry, self.way == Way::SoftDirty);
                seen.add(start..start + PAGE, page);
            }
            if read == 0 {
                break;
            }
            at += read as u64 * PAGE;
        }
        Ok(())
    }

    /// Finds out what unsettled pages are: reading brings them into memory, as the process's own or the file's.
    fn settle(&self, mappings: &[Mapping], seen: &mut Seen) -> io::Result<()> {
        struct Nowhere;
        impl Sink for Nowhere {
            fn pages(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
                Ok(())
            }
            fn gone(&mut self, _: Range<u64>) -> io::Result<()> {
                Ok(())
            }
        }
        let unsettled = std::mem::take(&mut seen.unsettled);
        if unsettled.is_empty() {
            return Ok(());
        }
        copy::copy(self.pid, &unsettled, &mut Nowhere)?;
        let mut again = Seen::default();
        for run in unsettled.runs() {
            for mapping in mappings.iter().filter(|m| m.range.start < run.end && run.start < m.range.end) {
                let part = run.start.max(mapping.range.start)..run.end.min(mapping.range.end);
                if self.scans() {
                    self.scan(part, mapping.kind(), 0, &mut again)?;
                } else {
                    self.read_entries(&Mapping { range: part, ..mapping.clone() }, &mut again)?;
                }
            }
        }
        // Under pressure a page can be swapped out again at once. It is copied then, which is right in either case.
        again.dirty.extend(&again.unsettled);
        again.content.extend(&again.unsettled);
        seen.content.extend(&again.content);
        // Its content was not compared with what is held.
        seen.dirty.extend(&again.content);
        Ok(())
    }
}
