//! Reading numbers from bytes that may not all be there yet.

use crate::error::Error;

/// Why a message cannot be taken from the buffer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Not all of it is there: try again, from its start, with at least this many bytes.
    More(usize),
    /// It is wrong.
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Bad(error)
    }
}

/// A place in a buffer, moved on by each read.
#[derive(Debug)]
pub(crate) struct Take<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read so far.
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.saturating_add(count);
        let part = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(part)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let part = self.bytes(N)?;
        let mut array = [0; N];
        array.copy_from_slice(part);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Stop> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Stop> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Stop> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Stop> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Tight's lengths: one to three bytes of 7, 7 and 8 bits, the lowest first; so at most 4 MiB - 1.
    pub(crate) fn compact_length(&mut self) -> Result<usize, Stop> {
        let mut length = 0;
        for (index, shift) in [0, 7, 14].into_iter().enumerate() {
            let byte = usize::from(self.u8()?);
            if index == 2 {
                return Ok(length | byte << shift);
            }
            length |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_lengths() {
        for (bytes, expected) in [
            (&[0x00][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0x90, 0x4e], 10_000),
            (&[0xff, 0xff, 0xff], (4 << 20) - 1),
        ] {
            assert_eq!(Take::new(bytes).compact_length().unwrap(), expected);
        }
        assert!(matches!(Take::new(&[0x80]).compact_length(), Err(Stop::More(2))));
    }
}
