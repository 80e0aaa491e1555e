//! The pages of one process or shared object, as passes gave them, cut into regions of the record.
//!
//! A [`Sink`] that keeps the latest word on each page, in memory: the pause waits for no disk. [`Image::regions`] then gives what
//! is to be written: rising runs that lie in one mapping each, without pages of zeros where nothing is below them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Range;

use super::PAGE;
use super::copy::Sink;
use super::maps::{Kind, Mapping};
use crate::record::{REGION_PAGES, Run};

const PAGE_BYTES: usize = PAGE as usize;
/// Pages that room is made for at once: 1 MiB.
const BLOCK: usize = 256;

/// Pages by their addresses.
#[derive(Default)]
pub struct Image {
    blocks: Vec<Box<[u8]>>,
    /// Places that were used and are free.
    free: Vec<u32>,
    /// Places that were given out, used or free.
    given: u32,
    /// Where the page of each number is.
    places: BTreeMap<u64, u32>,
}

/// Addresses that are one mapping, or one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The addresses; whole pages.
    pub range: Range<u64>,
    /// Whether a page of zeros differs from one that is not there: in a private mapping of a file it hides the file's.
    pub hides: bool,
}

impl From<&Mapping> for Part {
    fn from(mapping: &Mapping) -> Self {
        Self { range: mapping.range.clone(), hides: mapping.kind() == Kind::PrivateFile }
    }
}

impl Part {
    /// That of a shared object: all of it.
    pub fn object() -> Self {
        Self { range: 0..u64::MAX / PAGE * PAGE, hides: false }
    }
}

/// What one region of the record gets: runs in rising order, each in one part, and their pages, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Which pages.
    pub runs: Vec<Run>,
    /// Their content, 4096 bytes each.
    pub pages: Vec<u8>,
}

impl Image {
    /// One without pages.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes its pages have.
    pub fn bytes(&self) -> u64 {
        self.places.len() as u64 * PAGE
    }

    /// The page at `address`.
    pub fn page(&self, address: u64) -> Option<&[u8]> {
        self.places.get(&(address / PAGE)).and_then(|place| self.at(*place))
    }

    fn at(&self, place: u32) -> Option<&[u8]> {
        let (block, within) = (place as usize / BLOCK, place as usize % BLOCK * PAGE_BYTES);
        self.blocks.get(block)?.get(within..within + PAGE_BYTES)
    }

    /// The pages of `parts`, which are in order and do not overlap, in pieces of at most [`REGION_PAGES`]. Pages outside of all
    /// parts are left out.
    pub fn regions<'a>(&'a self, parts: impl IntoIterator<Item = Part> + 'a) -> impl Iterator<Item = Piece> + 'a {
        let pages = parts.into_iter().flat_map(|part| {
            let pages = part.range.start / PAGE..part.range.end / PAGE;
            let first = pages.start;
            let content = self.places.range(pages).filter_map(|(page, place)| Some((*page, self.at(*place)?)));
            let content = content.filter(move |(_, bytes)| part.hides || bytes.iter().any(|byte| *byte != 0));
            content.map(move |(page, bytes)| (first, page, bytes))
        });
        let mut pages = pages.peekable();
        std::iter::from_fn(move || {
            let mut piece = Piece::default();
            let mut last = None;
            let mut count = 0;
            while let Some((part, page, bytes)) = pages.next_if(|_| count < REGION_PAGES) {
                match piece.runs.last_mut().filter(|run| last == Some(part) && run.first + u64::from(run.count) == page)
                {
                    Some(run) => run.count += 1,
                    None => piece.runs.push(Run { first: page, count: 1 }),
                }
                piece.pages.extend_from_slice(bytes);
                (last, count) = (Some(part), count + 1);
            }
            (count > 0).then_some(piece)
        })
    }
}

impl Sink for Image {
    fn pages(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        for (at, bytes) in (address / PAGE..).zip(bytes.chunks_exact(PAGE_BYTES)) {
            let place = match self.places.entry(at) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let place = self.free.pop().unwrap_or(self.given);
                    if place == self.given {
                        if place as usize / BLOCK == self.blocks.len() {
                            self.blocks.push(vec![0; BLOCK * PAGE_BYTES].into());
                        }
                        self.given = self.given.checked_add(1).ok_or(io::ErrorKind::OutOfMemory)?;
                    }
                    *new.insert(place)
                }
            };
            let within = place as usize % BLOCK * PAGE_BYTES;
            self.blocks[place as usize / BLOCK][within..within + PAGE_BYTES].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn gone(&mut self, range: Range<u64>) -> io::Result<()> {
        // A range may be a large reservation: only what is held is looked at.
        let held: Vec<u64> =
            self.places.range(range.start / PAGE..range.end.div_ceil(PAGE)).map(|(page, _)| *page).collect();
        self.free.extend(held.iter().filter_map(|page| self.places.remove(page)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Item, Owner, Reader, Writer};
    use proptest::prelude::*;

    fn filled(image: &mut Image, pages: Range<u64>, value: u8) {
        image.pages(pages.start * PAGE, &vec![value; (pages.end - pages.start) as usize * PAGE_BYTES]).unwrap();
    }

    fn part(pages: Range<u64>, hides: bool) -> Part {
        Part { range: pages.start * PAGE..pages.end * PAGE, hides }
    }

    #[test]
    fn runs_end_with_their_mapping_and_zeros_are_left_out_where_nothing_is_below() {
        let mut image = Image::new();
        filled(&mut image, 10..14, 1);
        filled(&mut image, 12..13, 0);
        filled(&mut image, 14..16, 0);
        filled(&mut image, 20..21, 3);
        let parts = [part(10..14, false), part(14..15, true), part(15..16, false)];
        let pieces: Vec<Piece> = image.regions(parts).collect();
        assert_eq!(pieces.len(), 1);
        let runs: Vec<(u64, u32)> = pieces[0].runs.iter().map(|run| (run.first, run.count)).collect();
        assert_eq!(runs, [(10, 2), (13, 1), (14, 1)]);
        assert_eq!(pieces[0].pages.len(), 4 * PAGE_BYTES);
        assert_eq!(image.regions([part(0..100, true)]).flat_map(|piece| piece.pages).count(), 7 * PAGE_BYTES);
    }

    #[test]
    fn places_of_pages_that_are_gone_are_used_again() {
        let mut image = Image::new();
        for round in 0..8u8 {
            filled(&mut image, 0..500, round);
            image.gone(0..400 * PAGE).unwrap();
            image.gone(0..u64::MAX / PAGE * PAGE).unwrap();
        }
        assert_eq!((image.blocks.len(), image.bytes(), image.page(0)), (2, 0, None));
    }

    proptest! {
        #[test]
        fn pieces_become_regions_of_the_record_and_are_read_again(
            writes in proptest::collection::vec((0u64..2000, 1u64..400, 1u8..255), 1..12),
            gone in (0u64..2000, 0u64..300),
        ) {
            let mut image = Image::new();
            let mut plain = BTreeMap::new();
            for (first, count, value) in writes {
                filled(&mut image, first..first + count, value);
                plain.extend((first..first + count).map(|page| (page, value)));
            }
            image.gone(gone.0 * PAGE..(gone.0 + gone.1) * PAGE).unwrap();
            plain.retain(|page, _| !(gone.0..gone.0 + gone.1).contains(page));
            let mut writer = Writer::begin(Vec::new(), 0).unwrap();
            for piece in image.regions([part(0..900, false), part(900..4000, false)]) {
                writer.region(Owner::Space(1), &piece.runs, &piece.pages).unwrap();
            }
            let stream = writer.finish().unwrap();
            let mut read = BTreeMap::new();
            let mut reader = Reader::begin(stream.as_slice()).unwrap();
            while let Some(item) = reader.next().unwrap() {
                let Item::Region(region) = item else { continue };
                let mut pages = region.pages().chunks_exact(PAGE_BYTES);
                for run in region.runs() {
                    for page in run.first..run.first + u64::from(run.count) {
                        read.insert(page, pages.next().unwrap()[9]);
                    }
                }
            }
            prop_assert_eq!(read, plain);
        }
    }
}
