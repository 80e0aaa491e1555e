//! Writes process content.

use std::collections::HashMap;
use std::io::Write;

use super::frame::{END, FRAME, Frame, HEADER, INDEX, Kind, REGION, header};
use super::region::{self, Entry, Owner, Run, Table, padding};
use super::wire::Codec;
use super::{Error, Record};

/// Writes process content to a sink, which gets small writes and is best buffered.
///
/// After an error the stream is useless, and nothing more is to be written.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    at: u64,
    frames: u64,
    digest: blake3::Hasher,
    counts: HashMap<u16, u32>,
    regions: Vec<Entry>,
}

impl<W: Write> Writer<W> {
    /// Begins a stream that needs these [`super::features`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(mut sink: W, features: u64) -> Result<Self, Error> {
        let header = header(features);
        sink.write_all(&header).map_err(Error::write)?;
        let mut digest = blake3::Hasher::new();
        digest.update(&header[20..]);
        Ok(Self { sink, at: HEADER as u64, frames: 0, digest, counts: HashMap::new(), regions: Vec::new() })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Refused`] when it is larger, or there are more of its kind, than a reader takes.
    pub fn record(&mut self, record: &Record) -> Result<(), Error> {
        let mut payload = Vec::new();
        record.put(&mut payload);
        self.frame(*record.kind(), &payload)
    }

    /// Appends pages of an address space or object: those of all runs, one after another. Runs rise and do not overlap, nor
    /// do they reach between those of another region of the same owner.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Refused`] when runs and pages do not fit together, or are more than
    /// [`super::REGION_PAGES`].
    pub fn region(&mut self, owner: Owner, runs: &[Run], pages: &[u8]) -> Result<(), Error> {
        let refused = |reason| Error::Refused { what: REGION.name, reason };
        let table = Table::new(owner, runs, pages).map_err(refused)?;
        let entry = table.entry(self.at);
        self.frame(REGION, &table.put())?;
        let zeros = [0; 4096];
        self.write(&zeros[..padding(self.at)])?;
        self.write(pages)?;
        self.regions.push(entry);
        Ok(())
    }

    /// Ends the stream and gives the sink back; flushing it is the caller's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Refused`] when regions overlap.
    pub fn finish(mut self) -> Result<W, Error> {
        let at = self.at;
        let refused = |reason| Error::Refused { what: INDEX.name, reason };
        let index = region::index(std::mem::take(&mut self.regions)).map_err(refused)?;
        let mut payload = Vec::new();
        index.put(&mut payload);
        self.frame(INDEX, &payload)?;
        let digest = *self.digest.finalize().as_bytes();
        let end = super::frame::End { frames: self.frames, index: at, digest };
        self.frame(END, &end.bytes())?;
        Ok(self.sink)
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Error> {
        let refused = |reason| Error::Refused { what: kind.name, reason };
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|length| *length <= kind.most)
            .ok_or_else(|| refused(format!("{} bytes long, where at most {} may be", payload.len(), kind.most)))?;
        let count = self.counts.entry(kind.number).or_default();
        *count += 1;
        if *count > kind.many {
            return Err(refused(format!("more than {} of them", kind.many)));
        }
        let frame = Frame::new(self.at, kind, length, payload);
        self.digest.update(&frame.checksum);
        self.frames += 1;
        let bytes: [u8; FRAME] = frame.bytes();
        self.write(&bytes)?;
        self.write(payload)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write_all(bytes).map_err(Error::write)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
