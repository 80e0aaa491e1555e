//! Reading and writing the binary parts of files: bounded, and never panicking whatever the bytes are.
//!
//! Numbers in headers and tables are little-endian and of fixed length. Numbers in streams are LEB128, in their shortest
//! form only, so that one value has one serialisation.

/// Why bytes could not be read; the caller adds which file they are of.
pub(crate) type Flaw = String;

/// Appends to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder(pub(crate) Vec<u8>);

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// Zigzag, so that small negative numbers are short too.
    pub(crate) fn signed(&mut self, value: i64) {
        self.varint((value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Appends the BLAKE3 of all before it.
    pub(crate) fn seal(mut self) -> Vec<u8> {
        let hash = blake3::hash(&self.0);
        self.0.extend_from_slice(hash.as_bytes());
        self.0
    }
}

/// Takes the trailing BLAKE3 off, if it is that of all before it.
pub(crate) fn unseal(bytes: &[u8]) -> Result<&[u8], Flaw> {
    let (body, trailer) = bytes.split_last_chunk::<32>().ok_or_else(|| "it is too short".to_owned())?;
    if blake3::hash(body).as_bytes() == trailer { Ok(body) } else { Err("its checksum does not match".to_owned()) }
}

/// Reads from a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a>(pub(crate) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(|| "it ends too early".to_owned())?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| "it ends too early".to_owned())?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Flaw> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Flaw> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Flaw> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number in it is malformed".to_owned())
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, Flaw> {
        u32::try_from(self.varint()?).map_err(|_| "a number in it is too large".to_owned())
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Flaw> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A length and as many bytes, at most `limit`.
    pub(crate) fn bytes(&mut self, limit: usize) -> Result<&'a [u8], Flaw> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if length > limit {
            return Err("a length in it is too large".to_owned());
        }
        self.raw(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX, 1 << 63] {
            let mut encoder = Encoder::default();
            encoder.varint(value);
            encoder.signed(value.cast_signed());
            let mut decoder = Decoder(&encoder.0);
            assert_eq!(decoder.varint(), Ok(value));
            assert_eq!(decoder.signed(), Ok(value.cast_signed()));
            assert!(decoder.is_empty());
        }
        assert!(Decoder(&[0x80, 0x00]).varint().is_err(), "a longer form of zero");
        assert!(Decoder(&[0xff; 10]).varint().is_err(), "more than 64 bits");
        assert!(Decoder(&[0x80]).varint().is_err(), "cut short");
    }

    #[test]
    fn a_seal_is_broken_by_any_change() {
        let mut encoder = Encoder::default();
        encoder.raw(b"abc");
        let sealed = encoder.seal();
        assert_eq!(unseal(&sealed), Ok(&b"abc"[..]));
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert!(unseal(&broken).is_err());
        }
        assert!(unseal(b"short").is_err());
    }
}
