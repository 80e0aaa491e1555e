//! Chunks, many in a frame: `length of the rest (u32) | zstd of (count (u32) | length (u32) of each | bytes of each)`.
//!
//! The names of chunks are not written: the reader hashes what it gets, so that no name can lie.

use super::error::{Error, Result};
use crate::pack::MAX_CHUNK;

/// A frame is closed when it holds this many bytes.
const BLOCK: usize = 1 << 20;
/// Chunks in a frame, at most.
const MAX_COUNT: usize = 1 << 16;
/// No frame holds more when it is unpacked.
const MAX_BLOCK: usize = BLOCK + MAX_CHUNK + 4 * MAX_COUNT + 4;
/// zstd's own default: an export is written once, and then carried over slow lines.
const LEVEL: i32 = 3;

/// Gathers chunks into frames.
pub(super) struct Packer {
    lengths: Vec<u32>,
    bytes: Vec<u8>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub(super) fn new() -> Result<Self> {
        let zstd = zstd::bulk::Compressor::new(LEVEL).map_err(Error::Write)?;
        Ok(Self { lengths: Vec::new(), bytes: Vec::new(), zstd })
    }

    /// Adds a chunk; gives the frame that is full with it, if one is.
    pub(super) fn add(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>> {
        let length = u32::try_from(chunk.len()).ok().filter(|_| chunk.len() <= MAX_CHUNK);
        let length = length.ok_or_else(|| Error::Damaged("a chunk of it is larger than any is".into()))?;
        self.lengths.push(length);
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() >= BLOCK || self.lengths.len() == MAX_COUNT { self.rest() } else { Ok(None) }
    }

    /// The frame of the chunks that are left, if there are any.
    pub(super) fn rest(&mut self) -> Result<Option<Vec<u8>>> {
        if self.lengths.is_empty() {
            return Ok(None);
        }
        let mut plain = Vec::with_capacity(4 + 4 * self.lengths.len() + self.bytes.len());
        plain.extend_from_slice(&u32::try_from(self.lengths.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.lengths.drain(..).for_each(|length| plain.extend_from_slice(&length.to_le_bytes()));
        plain.append(&mut self.bytes);
        let mut frame = u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        frame.extend_from_slice(&self.zstd.compress(&plain).map_err(Error::Write)?);
        Ok(Some(frame))
    }
}

/// Takes frames apart.
pub(super) struct Unpacker {
    plain: Vec<u8>,
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Unpacker {
    pub(super) fn new() -> Result<Self> {
        let zstd = zstd::bulk::Decompressor::new().map_err(Error::Read)?;
        Ok(Self { plain: Vec::new(), zstd })
    }

    /// The chunks in a frame.
    pub(super) fn chunks(&mut self, frame: &[u8]) -> Result<impl Iterator<Item = &[u8]>> {
        let damaged = |what: &str| Error::Damaged(format!("a block of chunks {what}"));
        let (length, packed) = frame.split_first_chunk::<4>().ok_or_else(|| damaged("is too short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_BLOCK {
            return Err(damaged("is too large"));
        }
        self.plain.clear();
        self.plain.reserve(length);
        let got = self.zstd.decompress_to_buffer(packed, &mut self.plain).map_err(|_| damaged("cannot be unpacked"))?;
        if got != length {
            return Err(damaged("has another length than it says"));
        }
        let (count, rest) = self.plain.split_first_chunk::<4>().ok_or_else(|| damaged("is too short"))?;
        let count = u32::from_le_bytes(*count) as usize;
        if count == 0 || count > MAX_COUNT || rest.len() < 4 * count {
            return Err(damaged("has a wrong number of chunks"));
        }
        let (lengths, mut bytes) = rest.split_at(4 * count);
        let length_of = |four: &[u8]| four.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let sum = lengths.chunks_exact(4).try_fold(0_usize, |sum, four| sum.checked_add(length_of(four)));
        let fits = |four: &[u8]| (1..=MAX_CHUNK).contains(&length_of(four));
        if sum != Some(bytes.len()) || !lengths.chunks_exact(4).all(fits) {
            return Err(damaged("has chunks of wrong lengths"));
        }
        Ok(lengths.chunks_exact(4).map(move |four| {
            let (chunk, rest) = bytes.split_at(length_of(four));
            bytes = rest;
            chunk
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_in_order() {
        let chunks: Vec<Vec<u8>> = (1..300_usize).map(|n| vec![n.to_le_bytes()[0]; n * 41]).collect();
        let mut packer = Packer::new().unwrap();
        let mut frames: Vec<_> = chunks.iter().filter_map(|c| packer.add(c).unwrap()).collect();
        frames.extend(packer.rest().unwrap());
        assert_eq!((frames.len(), packer.rest().unwrap()), (2, None));
        let mut unpacker = Unpacker::new().unwrap();
        let mut back = Vec::new();
        for frame in &frames {
            back.extend(unpacker.chunks(frame).unwrap().map(<[u8]>::to_vec));
        }
        assert_eq!(back, chunks);
    }

    #[test]
    fn blocks_that_lie_are_refused() {
        let mut unpacker = Unpacker::new().unwrap();
        let mut block = |said: u32, plain: &[u8]| {
            let frame = [&said.to_le_bytes()[..], &zstd::bulk::compress(plain, 1).unwrap()].concat();
            unpacker.chunks(&frame).map(Iterator::count).map_err(|e| e.to_string())
        };
        assert_eq!(block(9, &[1, 0, 0, 0, 1, 0, 0, 0, 7]), Ok(1));
        assert!(block(8, &[1, 0, 0, 0, 1, 0, 0, 0, 7]).is_err(), "says less");
        assert!(block(10, &[1, 0, 0, 0, 1, 0, 0, 0, 7]).is_err(), "says more");
        assert!(block(4, &[0; 4]).is_err(), "no chunks");
        assert!(block(8, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).is_err(), "too many chunks");
        assert!(block(9, &[1, 0, 0, 0, 2, 0, 0, 0, 7]).is_err(), "a chunk beyond the end");
        assert!(block(10, &[1, 0, 0, 0, 1, 0, 0, 0, 7, 7]).is_err(), "bytes of no chunk");
        assert!(block(8, &[1, 0, 0, 0, 0, 0, 0, 0]).is_err(), "a chunk of nothing");
        assert!(block(u32::MAX, &[0; 4]).unwrap_err().contains("too large"));
        // Packs so well that it would fill the memory.
        assert!(block(4, &vec![0; 64 << 20]).is_err());
    }
}
