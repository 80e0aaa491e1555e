//! Reads process content from its beginning to its end.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};

use super::frame::{END, END_LENGTH, End, FRAME, Frame, HEADER, INDEX, REGION, open_header};
use super::region::{self, Entry, Index, Region, Table, padding};
use super::wire::{Codec, Decoder};
use super::{Error, Record};

/// What a stream is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A record.
    Record(Record),
    /// Pages.
    Region(Region),
}

/// Reads process content. Every item is as it was written, or an error comes instead; that nothing is missing is only
/// known once [`Reader::next`] gives `None`.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    features: u64,
    at: u64,
    frames: u64,
    digest: blake3::Hasher,
    counts: HashMap<u16, u32>,
    regions: Vec<Entry>,
    index: Option<u64>,
    ended: bool,
}

fn damaged(at: u64, what: &'static str, reason: impl Into<String>) -> Error {
    Error::Damaged { at, what, reason: reason.into() }
}

/// Fills the buffer from a source that stands `at` bytes behind its beginning.
pub(super) fn fill(source: &mut impl Read, at: u64, what: &'static str, buffer: &mut [u8]) -> Result<(), Error> {
    source.read_exact(buffer).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => damaged(at, what, "it ends too early"),
        _ => Error::read(error),
    })
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Foreign`], [`Error::TooNew`], [`Error::Damaged`].
    pub fn begin(mut source: R) -> Result<Self, Error> {
        let mut header = [0; HEADER];
        fill(&mut source, 0, "the header", &mut header)?;
        let features = open_header(&header)?;
        let mut digest = blake3::Hasher::new();
        digest.update(&header[20..]);
        Ok(Self {
            source,
            features,
            at: HEADER as u64,
            frames: 0,
            digest,
            counts: HashMap::new(),
            regions: Vec::new(),
            index: None,
            ended: false,
        })
    }

    /// The [`super::features`] that the content needs.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.features
    }

    /// The next record or region; `None` at the end, when everything was there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooNew`], [`Error::Damaged`]. After one of them the rest cannot be read.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        while !self.ended {
            let at = self.at;
            let mut bytes = [0; FRAME];
            self.fill("a frame", &mut bytes)?;
            let frame = Frame::parse(&bytes);
            let kind = frame.known(at)?;
            let count = self.counts.entry(kind.number).or_default();
            *count += 1;
            if *count > kind.many {
                return Err(damaged(at, kind.name, format!("more than {} of them", kind.many)));
            }
            if self.index.is_some() && kind != END {
                return Err(damaged(at, kind.name, "it follows the index"));
            }
            let mut payload = vec![0; usize::try_from(frame.length).unwrap_or(usize::MAX)];
            self.fill(kind.name, &mut payload)?;
            frame.check(at, kind.name, &payload)?;
            let flawed = |flaw| damaged(at, kind.name, flaw);
            if kind != END {
                self.frames += 1;
                self.digest.update(&frame.checksum);
            }
            match kind {
                REGION => {
                    let table = Table::take(frame.version, &payload).map_err(flawed)?;
                    self.regions.push(table.entry(at));
                    return Ok(Some(Item::Region(self.pages(at, table)?)));
                }
                INDEX => {
                    let found = take_index(frame.version, &payload).map_err(flawed)?;
                    let made = region::index(std::mem::take(&mut self.regions)).map_err(flawed)?;
                    if found != made {
                        return Err(damaged(at, kind.name, "it does not name the regions before it"));
                    }
                    self.index = Some(at);
                }
                END => {
                    let end = payload.first_chunk::<END_LENGTH>().filter(|_| payload.len() == END_LENGTH);
                    let digest = *self.digest.finalize().as_bytes();
                    let right = Some(End { frames: self.frames, index: self.index.unwrap_or(0), digest });
                    if self.index.is_none() || end.map(End::parse) != right {
                        return Err(damaged(at, kind.name, "it does not fit what is before it"));
                    }
                    self.nothing_more()?;
                    self.ended = true;
                }
                _ => {
                    return Ok(Some(Item::Record(
                        Record::take(frame.number, frame.version, &payload).map_err(flawed)?,
                    )));
                }
            }
        }
        Ok(None)
    }

    fn pages(&mut self, at: u64, table: Table) -> Result<Region, Error> {
        let mut zeros = [0; 4096];
        let zeros = &mut zeros[..padding(self.at)];
        self.fill(REGION.name, zeros)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(damaged(at, REGION.name, "something stands before its pages"));
        }
        // At most REGION_PAGES of them: the table holds a checksum for each.
        let mut pages = vec![0; table.checksums.len() * 4096];
        self.fill(REGION.name, &mut pages)?;
        if let Some(place) = pages.chunks_exact(4096).enumerate().find(|(place, page)| !table.holds(*place, page)) {
            return Err(damaged(at, REGION.name, format!("the checksum of its page {} does not match", place.0)));
        }
        Ok(Region { table, pages })
    }

    fn nothing_more(&mut self) -> Result<(), Error> {
        match self.source.read_exact(&mut [0]) {
            Ok(()) => Err(damaged(self.at, END.name, "something follows it")),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(Error::read(error)),
        }
    }

    fn fill(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<(), Error> {
        fill(&mut self.source, self.at, what, buffer)?;
        self.at += buffer.len() as u64;
        Ok(())
    }
}

/// Reads the payload of an index.
pub(super) fn take_index(version: u16, payload: &[u8]) -> Result<Index, String> {
    let mut from = Decoder::new(payload, version);
    let index = Index::take(&mut from)?;
    from.end()?;
    region::check(&index)?;
    Ok(index)
}
