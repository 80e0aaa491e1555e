//! Finds single pages in process content, without a walk.

use std::io::{Read, Seek, SeekFrom};

use super::Error;
use super::frame::{END, END_LENGTH, End, FRAME, Frame, HEADER, INDEX, Kind, REGION, open_header};
use super::reader::{fill, take_index};
use super::region::{Entry, Index, Owner, Table, padding};

/// The pages of content that can be read anywhere. Each page that is given is as it was written; that the rest of the
/// content is sound only a [`super::Reader`] says.
#[derive(Debug)]
pub struct Pages<S> {
    source: S,
    index: Index,
}

impl<S: Read + Seek> Pages<S> {
    /// Reads the header, the end and the index.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Foreign`], [`Error::TooNew`], [`Error::Damaged`].
    pub fn open(mut source: S) -> Result<Self, Error> {
        let mut header = [0; HEADER];
        source.rewind().map_err(Error::read)?;
        fill(&mut source, 0, "the header", &mut header)?;
        open_header(&header)?;
        let length = source.seek(SeekFrom::End(0)).map_err(Error::read)?;
        let at = length.saturating_sub((FRAME + END_LENGTH) as u64);
        let (_, payload) = frame(&mut source, at, END)?;
        let wrong = |at, what: Kind, reason: String| Error::Damaged { at, what: what.name, reason };
        let end = payload
            .first_chunk::<END_LENGTH>()
            .map(End::parse)
            .ok_or_else(|| wrong(at, END, "it ends too early".to_owned()))?;
        let (version, payload) = frame(&mut source, end.index, INDEX)?;
        let index = take_index(version, &payload).map_err(|flaw| wrong(end.index, INDEX, flaw))?;
        Ok(Self { source, index })
    }

    /// Page `number` of that owner; `None` when the content has none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooNew`], [`Error::Damaged`].
    pub fn page(&mut self, owner: Owner, number: u64) -> Result<Option<[u8; 4096]>, Error> {
        let behind = self.index.partition_point(|entry| (entry.owner, entry.first) <= (owner, number));
        let Some(entry) = behind.checked_sub(1).and_then(|place| self.index.get(place)).copied() else {
            return Ok(None);
        };
        if entry.owner != owner || entry.last < number {
            return Ok(None);
        }
        self.in_region(entry, number)
    }

    fn in_region(&mut self, entry: Entry, number: u64) -> Result<Option<[u8; 4096]>, Error> {
        let at = entry.at;
        let wrong = |reason: String| Error::Damaged { at, what: REGION.name, reason };
        let (version, payload) = frame(&mut self.source, at, REGION)?;
        let table = Table::take(version, &payload).map_err(wrong)?;
        if table.entry(at) != entry {
            return Err(wrong("it is not the one that the index names".to_owned()));
        }
        let Some(place) = table.place(number) else { return Ok(None) };
        let behind = at.saturating_add((FRAME + payload.len()) as u64);
        let from = behind.saturating_add(padding(behind) as u64).saturating_add(place as u64 * 4096);
        let mut page = [0; 4096];
        self.source.seek(SeekFrom::Start(from)).map_err(Error::read)?;
        fill(&mut self.source, from, REGION.name, &mut page)?;
        if !table.holds(place, &page) {
            return Err(wrong(format!("the checksum of page {number} does not match")));
        }
        Ok(Some(page))
    }
}

/// The version and payload of the frame that begins there, which must be of that kind.
fn frame<S: Read + Seek>(source: &mut S, at: u64, kind: Kind) -> Result<(u16, Vec<u8>), Error> {
    source.seek(SeekFrom::Start(at)).map_err(Error::read)?;
    let mut bytes = [0; FRAME];
    fill(source, at, kind.name, &mut bytes)?;
    let frame = Frame::parse(&bytes);
    if frame.known(at)? != kind {
        return Err(Error::Damaged { at, what: kind.name, reason: "another frame stands in its place".to_owned() });
    }
    let mut payload = vec![0; usize::try_from(frame.length).unwrap_or(usize::MAX)];
    fill(source, at, kind.name, &mut payload)?;
    frame.check(at, kind.name, &payload)?;
    Ok((frame.version, payload))
}
