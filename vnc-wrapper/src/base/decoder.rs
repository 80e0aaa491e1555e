//! Telling by the first bytes how a stream is compressed, and decompressing it.

use std::io::{self, BufRead, BufReader, Read};

use super::archive::ArchiveError;

/// Ways of compression, by the bytes that a stream of them begins with.
const MAGIC: [(&[u8], Kind); 5] = [
    (b"\x1f\x8b", Kind::Gzip),
    (b"\x28\xb5\x2f\xfd", Kind::Zstd),
    (b"\xfd7zXZ\0", Kind::Unread("xz")),
    (b"BZh", Kind::Unread("bzip2")),
    (b"PK\x03\x04", Kind::Unread("zip")),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
    Unread(&'static str),
}

fn kind(start: &[u8]) -> Kind {
    MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map_or(Kind::Plain, |(_, kind)| *kind)
}

/// `source`, decompressed.
///
/// # Errors
/// [`ArchiveError::Compression`] for a way that is not read here, or when nothing can be read at all.
pub fn decode<'a>(source: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, ArchiveError> {
    let mut source = BufReader::with_capacity(1 << 17, source);
    // A pipe may give less than a magic number at first; then it is not the start of what is read here.
    let start = loop {
        match source.fill_buf() {
            Ok(bytes) => break kind(bytes),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(ArchiveError::Read(e)),
        }
    };
    Ok(match start {
        Kind::Plain => Box::new(source),
        Kind::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Kind::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source).map_err(ArchiveError::Read)?),
        Kind::Unread(name) => return Err(ArchiveError::Compression(name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        decode(bytes).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn all_three_ways_give_the_same() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"freeze").unwrap();
        assert_eq!(decoded(&gzip.finish().unwrap()), b"freeze");
        assert_eq!(decoded(&zstd::encode_all(&b"freeze"[..], 1).unwrap()), b"freeze");
        assert_eq!(decoded(b"freeze"), b"freeze");
        assert_eq!(decoded(b""), b"");
    }

    #[test]
    fn other_ways_are_named() {
        let error = decode(&b"\xfd7zXZ\0rest"[..]).err().unwrap();
        assert_eq!(error.to_string(), "it is compressed with xz, which is not read here");
    }
}
