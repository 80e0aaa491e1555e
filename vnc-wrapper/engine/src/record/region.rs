//! Regions: pages of memory, and where each is.

use super::frame::{Checksum, checksum};
use super::wire::{Codec, Decoder, Flaw, List, fields};
use crate::memory::PAGE;

/// No region holds more pages: 1 MiB.
pub const REGION_PAGES: usize = 256;
/// No stream holds more regions.
pub(super) const MOST_REGIONS: u32 = 524_288;
/// The number of pages in the address space of a process, and of the longest object.
const END_PAGE: u64 = 1 << 52;
const PAGE_BYTES: usize = PAGE as usize;

/// What pages are of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// The address space of that number: page N begins at address N * 4096.
    Space(u32),
    /// The shared object of that number: page N begins N * 4096 bytes behind its beginning.
    Object(u32),
}

impl Codec for Owner {
    fn put(&self, out: &mut Vec<u8>) {
        let (tag, id) = match self {
            Self::Space(id) => (0, id),
            Self::Object(id) => (1, id),
        };
        out.push(tag);
        id.put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        match from.u8()? {
            0 => Ok(Self::Space(u32::take(from)?)),
            1 => Ok(Self::Object(u32::take(from)?)),
            other => Err(format!("owner of kind {other} is not known")),
        }
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        if bool::sample(from) { Self::Space(u32::sample(from)) } else { Self::Object(u32::sample(from)) }
    }
}

fields! {
    /// Pages that follow one another.
    pub struct Run {
        /// The number of the first.
        pub first: u64,
        /// How many.
        pub count: u32,
    }
}

impl Run {
    /// The number of the page behind the last.
    fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// The payload of a region's frame. One that exists is sound: runs rise, and there is a checksum a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Table {
    pub(super) owner: Owner,
    pub(super) runs: List<Run, REGION_PAGES>,
    pub(super) checksums: List<Checksum, REGION_PAGES>,
}

impl Table {
    /// For these pages.
    pub(super) fn new(owner: Owner, runs: &[Run], pages: &[u8]) -> Result<Self, Flaw> {
        let (whole, rest) = pages.as_chunks::<PAGE_BYTES>();
        if !rest.is_empty() {
            return Err(format!("{} bytes are no whole pages of {PAGE}", pages.len()));
        }
        if whole.len() > REGION_PAGES {
            return Err(format!("{} pages, where at most {REGION_PAGES} may be", whole.len()));
        }
        let list = |flaw: super::TooMany| flaw.to_string();
        let table = Self {
            owner,
            runs: List::try_from(runs.to_vec()).map_err(list)?,
            checksums: List::try_from(whole.iter().map(|page| checksum(page)).collect::<Vec<_>>()).map_err(list)?,
        };
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<(), Flaw> {
        let (mut pages, mut behind) = (0u64, 0);
        for run in self.runs.iter() {
            if run.count == 0 || run.first < behind || run.end() > END_PAGE {
                return Err(format!("its run of {} pages from {} is not after the one before", run.count, run.first));
            }
            behind = run.end();
            pages += u64::from(run.count);
        }
        if pages == 0 {
            return Err("it has no pages".to_owned());
        }
        if pages != self.checksums.len() as u64 {
            return Err(format!("{pages} pages with {} checksums", self.checksums.len()));
        }
        Ok(())
    }

    pub(super) fn put(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.owner.put(&mut out);
        self.runs.put(&mut out);
        self.checksums.put(&mut out);
        out
    }

    pub(super) fn take(version: u16, payload: &[u8]) -> Result<Self, Flaw> {
        let mut from = Decoder::new(payload, version);
        let table =
            Self { owner: Codec::take(&mut from)?, runs: Codec::take(&mut from)?, checksums: Codec::take(&mut from)? };
        from.end()?;
        table.check()?;
        Ok(table)
    }

    /// At which place among the region's pages that page stands.
    pub(super) fn place(&self, page: u64) -> Option<usize> {
        let mut before = 0;
        for run in self.runs.iter() {
            if (run.first..run.end()).contains(&page) {
                return usize::try_from(before + (page - run.first)).ok();
            }
            before += u64::from(run.count);
        }
        None
    }

    /// Whether a page has the content that it was written with.
    pub(super) fn holds(&self, place: usize, page: &[u8]) -> bool {
        self.checksums.get(place) == Some(&checksum(page))
    }

    /// What the index says of this region.
    pub(super) fn entry(&self, at: u64) -> Entry {
        let first = self.runs.first().map_or(0, |run| run.first);
        let last = self.runs.last().map_or(0, |run| run.end().saturating_sub(1));
        Entry { owner: self.owner, first, last, at }
    }
}

/// A line of the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Where its frame begins.
    pub(super) at: u64,
}

impl Codec for Entry {
    fn put(&self, out: &mut Vec<u8>) {
        self.owner.put(out);
        [self.first, self.last, self.at].iter().for_each(|number| number.put(out));
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, Flaw> {
        Ok(Self {
            owner: Codec::take(from)?,
            first: Codec::take(from)?,
            last: Codec::take(from)?,
            at: Codec::take(from)?,
        })
    }
    #[cfg(test)]
    fn sample(from: &mut super::testing::Dice) -> Self {
        Self {
            owner: Codec::sample(from),
            first: Codec::sample(from),
            last: Codec::sample(from),
            at: Codec::sample(from),
        }
    }
}

/// All regions, by owner and page.
pub(super) type Index = List<Entry, { MOST_REGIONS as usize }>;

/// Puts entries into the index's order.
///
/// # Errors
/// When two regions of one owner overlap, so that a page would have two contents, or when there are too many.
pub(super) fn index(mut entries: Vec<Entry>) -> Result<Index, Flaw> {
    entries.sort_unstable();
    check(&entries)?;
    Index::try_from(entries).map_err(|flaw| flaw.to_string())
}

/// Whether entries are in order and none overlap.
pub(super) fn check(entries: &[Entry]) -> Result<(), Flaw> {
    for pair in entries.windows(2) {
        if pair[0].owner > pair[1].owner || (pair[0].owner == pair[1].owner && pair[0].last >= pair[1].first) {
            return Err(format!("regions of {:?} overlap at page {}", pair[1].owner, pair[1].first));
        }
    }
    Ok(())
}

/// How many zeros stand before pages, if what is before ends there.
pub(super) fn padding(at: u64) -> usize {
    usize::try_from(at.wrapping_neg() % PAGE).unwrap_or(0)
}

/// Pages of memory, as they are read from a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    pub(super) table: Table,
    pub(super) pages: Vec<u8>,
}

impl Region {
    /// What the pages are of.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.table.owner
    }

    /// Which pages they are, in rising order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.table.runs
    }

    /// The pages of all runs, one after another, 4096 bytes each.
    #[must_use]
    pub fn pages(&self) -> &[u8] {
        &self.pages
    }
}
