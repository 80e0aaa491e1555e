//! Frames, and the hash of all of them: the lowest part of the format.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{Error, Result};

/// What a file begins with. A byte beyond ASCII and both line ends, so that a transfer as text shows.
pub(super) const MAGIC: [u8; 8] = *b"\x8bFFSNAP\n";
/// The newest format that this release writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Head = b'H',
    HeadSignature = b'h',
    Thumbnail = b'T',
    Chunks = b'C',
    Lists = b'L',
    Content = b'R',
    Base = b'B',
    Signature = b'S',
}

impl Tag {
    const ALL: [Self; 8] = [
        Self::Head,
        Self::HeadSignature,
        Self::Thumbnail,
        Self::Chunks,
        Self::Lists,
        Self::Content,
        Self::Base,
        Self::Signature,
    ];

    /// Longest frame of this kind, in bytes.
    pub(super) fn limit(self) -> usize {
        match self {
            Self::Head | Self::Thumbnail => 16 << 20,
            Self::HeadSignature | Self::Signature => 64,
            Self::Chunks | Self::Lists => 2 << 20,
            Self::Content | Self::Base => 64 << 10,
        }
    }
}

/// What a frame of some kind signs: words that say what it is, and the hash of all bytes before it.
pub(super) fn signed(tag: Tag, hash: &blake3::Hash) -> Vec<u8> {
    let words: &[u8] =
        if tag == Tag::HeadSignature { b"freezeframe export 1: head\0" } else { b"freezeframe export 1: all\0" };
    [words, hash.as_bytes()].concat()
}

/// Writes frames.
pub(super) struct FrameWriter<'a, W> {
    to: W,
    hash: blake3::Hasher,
    cancel: &'a AtomicBool,
}

impl<'a, W: Write> FrameWriter<'a, W> {
    /// Begins a file.
    pub(super) fn begin(to: W, cancel: &'a AtomicBool) -> Result<Self> {
        let mut writer = Self { to, hash: blake3::Hasher::new(), cancel };
        writer.raw(&MAGIC)?;
        writer.raw(&FORMAT.to_le_bytes())?;
        Ok(writer)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes).map_err(Error::Write)
    }

    pub(super) fn frame(&mut self, tag: Tag, body: &[u8]) -> Result<()> {
        check(self.cancel)?;
        if body.len() > tag.limit() {
            return Err(Error::Write(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a part of the snapshot ({tag:?}) is larger than the format has room for"),
            )));
        }
        self.raw(&[tag as u8])?;
        self.raw(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.raw(body)
    }

    /// The hash of everything until here.
    pub(super) fn hash(&self) -> blake3::Hash {
        self.hash.finalize()
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.to.flush().map_err(Error::Write)
    }
}

/// Reads frames.
pub(super) struct FrameReader<'a, R> {
    from: R,
    hash: blake3::Hasher,
    cancel: &'a AtomicBool,
}

/// One frame.
pub(super) struct Frame {
    pub(super) tag: Tag,
    pub(super) body: Vec<u8>,
    /// The hash of everything before this frame.
    pub(super) before: blake3::Hash,
}

impl<'a, R: Read> FrameReader<'a, R> {
    /// Checks how the file begins.
    pub(super) fn begin(from: R, cancel: &'a AtomicBool) -> Result<Self> {
        let mut reader = Self { from, hash: blake3::Hasher::new(), cancel };
        let mut magic = [0; MAGIC.len()];
        // A file that is too short for the magic is something else, unless it is the beginning of it.
        let got = reader.fill(&mut magic)?;
        if !MAGIC.starts_with(&magic[..got]) {
            return Err(Error::NotAnExport);
        }
        let mut format = [0; 4];
        if got < magic.len() || reader.fill(&mut format)? < format.len() {
            return Err(Error::Truncated);
        }
        match u32::from_le_bytes(format) {
            FORMAT => Ok(reader),
            0 => Err(Error::Damaged("there is no format 0".into())),
            found => Err(Error::TooNew { found, known: FORMAT }),
        }
    }

    /// Reads as much of `into` as there is.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        while got < into.len() {
            match self.from.read(&mut into[got..]) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Read(e)),
            }
        }
        self.hash.update(&into[..got]);
        Ok(got)
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        if self.fill(&mut bytes)? < N { Err(Error::Truncated) } else { Ok(bytes) }
    }

    pub(super) fn next(&mut self) -> Result<Frame> {
        check(self.cancel)?;
        let before = self.hash.finalize();
        let [tag] = self.exact()?;
        let tag = Tag::ALL
            .into_iter()
            .find(|known| *known as u8 == tag)
            .ok_or_else(|| Error::Damaged(format!("it has a part of an unknown kind ({tag:#04x})")))?;
        let length = u32::from_le_bytes(self.exact()?) as usize;
        if length > tag.limit() {
            return Err(Error::Damaged(format!("a part ({tag:?}) says it is larger than any is")));
        }
        let mut body = Vec::new();
        // Grows with what is really there, so that a length that lies costs nothing.
        while body.len() < length {
            let start = body.len();
            body.resize(length.min(start + (1 << 20)), 0);
            let wanted = body.len() - start;
            if self.fill(&mut body[start..])? < wanted {
                return Err(Error::Truncated);
            }
        }
        Ok(Frame { tag, body, before })
    }

    /// Checks that nothing follows.
    pub(super) fn end(mut self) -> Result<()> {
        if self.fill(&mut [0])? == 0 { Ok(()) } else { Err(Error::Trailing) }
    }
}

/// Stops where the caller wants it.
pub(super) fn check(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    type Frames = Vec<(Tag, Vec<u8>)>;

    fn read(bytes: &[u8]) -> Result<(Frames, blake3::Hash)> {
        let mut reader = FrameReader::begin(bytes, &GO_ON)?;
        let mut frames = Vec::new();
        loop {
            let frame = reader.next()?;
            let last = frame.tag == Tag::Signature;
            frames.push((frame.tag, frame.body));
            if last {
                let hash = frame.before;
                reader.end()?;
                return Ok((frames, hash));
            }
        }
    }

    #[test]
    fn frames_come_back_with_the_hash_of_all_before_the_last() {
        let mut file = Vec::new();
        let mut writer = FrameWriter::begin(&mut file, &GO_ON).unwrap();
        writer.frame(Tag::Head, b"head").unwrap();
        writer.frame(Tag::Chunks, &vec![7; 3 << 19]).unwrap();
        let hash = writer.hash();
        writer.frame(Tag::Signature, &[1; 64]).unwrap();
        writer.finish().unwrap();
        let (frames, read_hash) = read(&file).unwrap();
        assert_eq!((frames.len(), read_hash), (3, hash));
        assert_eq!(frames[1], (Tag::Chunks, vec![7; 3 << 19]));
        for cut in (0..100).chain(file.len() - 100..file.len()) {
            assert!(matches!(read(&file[..cut]), Err(Error::Truncated)), "cut at {cut}");
        }
        file.push(0);
        assert!(matches!(read(&file), Err(Error::Trailing)));
    }

    #[test]
    fn what_is_something_else_newer_or_lies_about_its_length_is_refused() {
        assert!(matches!(read(b"\x89PNG"), Err(Error::NotAnExport)));
        assert!(matches!(read(&[&MAGIC[..], &[2, 0, 0, 0]].concat()), Err(Error::TooNew { found: 2, known: 1 })));
        assert!(matches!(read(&[&MAGIC[..], &[0; 4]].concat()), Err(Error::Damaged(_))));
        let lies = [&MAGIC[..], &[1, 0, 0, 0, b'H', 0xff, 0xff, 0xff, 0xff]].concat();
        assert!(matches!(read(&lies), Err(Error::Damaged(_))));
        let lies = [&MAGIC[..], &[1, 0, 0, 0, b'H', 0, 0, 0, 1]].concat();
        assert!(matches!(read(&lies), Err(Error::Truncated)));
        let unknown = [&MAGIC[..], &[1, 0, 0, 0, b'?', 0, 0, 0, 0]].concat();
        assert!(matches!(read(&unknown), Err(Error::Damaged(_))));
        let cancelled = AtomicBool::new(true);
        assert!(matches!(FrameReader::begin(&lies[..], &cancelled).unwrap().next(), Err(Error::Cancelled)));
    }
}
