//! Cutting files and streams into chunks.

use fastcdc::v2020::{Normalization, cut, select_masks};

use crate::error::Result;

/// Lengths of the chunks that something is cut into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    least: usize,
    average: usize,
    most: usize,
}

/// Of files.
pub(super) const FILE: Lengths = Lengths { least: 4 << 10, average: 16 << 10, most: 64 << 10 };
/// Of streams of entries, where one change should cost little.
pub(super) const STREAM: Lengths = Lengths { least: 512, average: 2 << 10, most: 8 << 10 };

/// Bytes that are cut at a time.
const BUFFER: usize = 512 << 10;

/// Cuts by content. The buffer is kept from one use to the next.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
}

impl Cutter {
    /// Cuts what `read` gives until that is nothing, and gives each chunk to `sink`.
    pub(super) fn cut(
        &mut self,
        lengths: Lengths,
        mut read: impl FnMut(&mut [u8]) -> Result<usize>,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mask_s, mask_l) = select_masks(lengths.average, Normalization::Level1);
        self.buffer.resize(BUFFER, 0);
        let (mut start, mut end, mut over) = (0, 0, false);
        loop {
            if !over && end - start < lengths.most {
                self.buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                while end < BUFFER {
                    match read(self.buffer.get_mut(end..).unwrap_or_default())? {
                        0 => {
                            over = true;
                            break;
                        }
                        read => end += read,
                    }
                }
            }
            let rest = self.buffer.get(start..end).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            let Lengths { least, average, most } = lengths;
            let (_, at) = cut(rest, least, average, most, mask_s, mask_l, mask_s << 1, mask_l << 1);
            let at = at.clamp(1, rest.len());
            sink(rest.get(..at).unwrap_or_default())?;
            start += at;
        }
    }

    /// Cuts a slice.
    pub(super) fn cut_slice(
        &mut self,
        lengths: Lengths,
        mut bytes: &[u8],
        sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let read = |buffer: &mut [u8]| {
            let (now, later) = bytes.split_at(buffer.len().min(bytes.len()));
            buffer.get_mut(..now.len()).unwrap_or_default().copy_from_slice(now);
            bytes = later;
            Ok(now.len())
        };
        self.cut(lengths, read, sink)
    }
}
