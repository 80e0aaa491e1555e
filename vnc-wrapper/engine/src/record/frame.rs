//! Headers and checksums.

use super::{Error, KIB, MIB, Record, features};

/// What is fixed about one kind of frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// Its number in the stream; never given to another kind.
    pub number: u16,
    /// As errors name it.
    pub name: &'static str,
    /// The newest version that this release writes and reads; the first was 1.
    pub version: u16,
    /// No payload is longer, in bytes.
    pub most: u32,
    /// No stream holds more of it.
    pub many: u32,
}

pub(super) const MAGIC: [u8; 8] = *b"\x89FFPROC\n";
pub(super) const FORMAT: u32 = 1;
pub(super) const HEADER: usize = 36;
pub(super) const FRAME: usize = 24;
/// The end's payload.
pub(super) const END_LENGTH: usize = 48;

pub(super) const REGION: Kind =
    Kind { number: 64, name: "a region", version: 1, most: 16 * KIB, many: super::region::MOST_REGIONS };
pub(super) const INDEX: Kind = Kind { number: 65, name: "the index", version: 1, most: 32 * MIB, many: 1 };
pub(super) const END: Kind = Kind { number: 66, name: "the end", version: 1, most: 48, many: 1 };

/// The kind of that number.
pub(super) fn kind(number: u16) -> Option<Kind> {
    Record::KINDS.iter().chain(&[REGION, INDEX, END]).find(|kind| kind.number == number).copied()
}

pub(super) type Checksum = [u8; 16];

fn short(hash: blake3::Hash) -> Checksum {
    let mut checksum = [0; 16];
    checksum.copy_from_slice(&hash.as_bytes()[..16]);
    checksum
}

pub(super) fn checksum(bytes: &[u8]) -> Checksum {
    short(blake3::hash(bytes))
}

/// The header of a stream.
pub(super) fn header(features: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..20].copy_from_slice(&features.to_le_bytes());
    let sum = checksum(&bytes[..20]);
    bytes[20..].copy_from_slice(&sum);
    bytes
}

fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// The features that a header names.
pub(super) fn open_header(bytes: &[u8; HEADER]) -> Result<u64, Error> {
    if bytes[..8] != MAGIC {
        return Err(Error::Foreign);
    }
    if checksum(&bytes[..20]) != bytes[20..] {
        return Err(Error::Damaged { at: 0, what: "the header", reason: "its checksum does not match".into() });
    }
    let format = u32::from_le_bytes(number(&bytes[8..]));
    if format != FORMAT {
        return Err(Error::TooNew { what: format!("format {format}") });
    }
    let features = u64::from_le_bytes(number(&bytes[12..]));
    let unknown = features & !features::KNOWN;
    if unknown != 0 {
        return Err(Error::TooNew { what: format!("the engine's feature {}", unknown.trailing_zeros()) });
    }
    Ok(features)
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) number: u16,
    pub(super) version: u16,
    pub(super) length: u32,
    pub(super) checksum: Checksum,
}

impl Frame {
    /// For that payload, at that place of the stream.
    pub(super) fn new(at: u64, kind: Kind, length: u32, payload: &[u8]) -> Self {
        let mut frame = Self { number: kind.number, version: kind.version, length, checksum: [0; 16] };
        frame.checksum = frame.sum(at, payload);
        frame
    }

    fn sum(&self, at: u64, payload: &[u8]) -> Checksum {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&at.to_le_bytes()).update(&self.bytes()[..8]).update(payload);
        short(hasher.finalize())
    }

    pub(super) fn bytes(&self) -> [u8; FRAME] {
        let mut bytes = [0; FRAME];
        bytes[..2].copy_from_slice(&self.number.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..].copy_from_slice(&self.checksum);
        bytes
    }

    pub(super) fn parse(bytes: &[u8; FRAME]) -> Self {
        Self {
            number: u16::from_le_bytes(number(bytes)),
            version: u16::from_le_bytes(number(&bytes[2..])),
            length: u32::from_le_bytes(number(&bytes[4..])),
            checksum: number(&bytes[8..]),
        }
    }

    /// The kind, if this release can read it. To be called before its payload is read or room made for it.
    pub(super) fn known(&self, at: u64) -> Result<Kind, Error> {
        let Some(kind) = kind(self.number) else {
            return Err(Error::TooNew { what: format!("records of kind {} (at byte {at})", self.number) });
        };
        if self.version > kind.version {
            return Err(Error::TooNew { what: format!("version {} of {} (at byte {at})", self.version, kind.name) });
        }
        let damaged = |reason| Err(Error::Damaged { at, what: kind.name, reason });
        if self.version == 0 {
            return damaged("no version has the number 0".to_owned());
        }
        if self.length > kind.most {
            return damaged(format!("{} bytes long, where at most {} may be", self.length, kind.most));
        }
        Ok(kind)
    }

    /// Whether the payload is the one that the frame was made for.
    pub(super) fn check(&self, at: u64, what: &'static str, payload: &[u8]) -> Result<(), Error> {
        if self.sum(at, payload) == self.checksum {
            return Ok(());
        }
        Err(Error::Damaged { at, what, reason: "its checksum does not match".into() })
    }
}

/// What stands at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) frames: u64,
    pub(super) index: u64,
    pub(super) digest: [u8; 32],
}

impl End {
    pub(super) fn bytes(&self) -> [u8; END_LENGTH] {
        let mut bytes = [0; END_LENGTH];
        bytes[..8].copy_from_slice(&self.frames.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.index.to_le_bytes());
        bytes[16..].copy_from_slice(&self.digest);
        bytes
    }

    pub(super) fn parse(bytes: &[u8; END_LENGTH]) -> Self {
        Self {
            frames: u64::from_le_bytes(number(bytes)),
            index: u64::from_le_bytes(number(&bytes[8..])),
            digest: number(&bytes[16..]),
        }
    }
}
