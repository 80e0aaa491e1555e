//! Headers of tar (POSIX ustar, with the extensions of GNU and of pax), read from strangers and written by us.
//!
//! ```text
//! offset  bytes               offset  bytes               offset  bytes
//!      0    100  name            124     12  size            257      6  "ustar"
//!    100      8  mode            136     12  mtime           345    155  prefix of name
//!    108      8  uid             148      8  checksum        482      1  GNU sparse: more maps follow
//!    116      8  gid             156      1  kind            504      1  the same, within such a map
//!                                157    100  link
//! ```

/// Size of a header, and what contents are padded to.
pub const BLOCK: usize = 512;

/// Why a block is not a header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// The checksum is not that of the block.
    #[error("a header's checksum is wrong")]
    Checksum,
    /// A number is not one.
    #[error("the {0} in a header is not a number")]
    Number(&'static str),
    /// A pax record is not one.
    #[error("an extended header is malformed")]
    Extended,
}

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Name, with its prefix.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Bytes of contents that follow.
    pub size: u64,
    /// Type flag.
    pub kind: u8,
    /// GNU sparse: another block of the map follows.
    pub more_sparse: bool,
}

/// The records of a pax extended header that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// `path`, and `GNU.sparse.name`, which takes its place.
    pub names: Vec<Vec<u8>>,
    /// `linkpath`.
    pub link: Option<Vec<u8>>,
    /// `size`.
    pub size: Option<u64>,
    /// `uid`.
    pub uid: Option<u64>,
    /// `gid`.
    pub gid: Option<u64>,
}

/// Reads a block as a header.
///
/// # Errors
/// What is wrong with it.
pub fn parse(block: &[u8; BLOCK]) -> Result<Header, HeaderError> {
    if number(&block[148..156]) != Some(checksum(block)) {
        return Err(HeaderError::Checksum);
    }
    let field = |range: std::ops::Range<usize>, name| number(&block[range]).ok_or(HeaderError::Number(name));
    let mut name = text(&block[..100]).to_vec();
    // GNU's own format ("ustar  ") has no prefix; there the bytes hold other things.
    if &block[257..263] == b"ustar\0" && block[345] != 0 {
        name = [text(&block[345..500]), b"/", &name].concat();
    }
    let kind = block[156];
    Ok(Header {
        name,
        link: text(&block[157..257]).to_vec(),
        mode: u32::try_from(field(100..108, "mode")? & 0o7777).unwrap_or_default(),
        uid: field(108..116, "user id")?,
        gid: field(116..124, "group id")?,
        size: field(124..136, "size")?,
        kind,
        more_sparse: kind == b'S' && block[482] != 0,
    })
}

/// The sum of all bytes, those of the checksum itself taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|b| u64::from(*b)).sum::<u64>();
    sum(&block[..148]) + 8 * u64::from(b' ') + sum(&block[156..])
}

/// The bytes in front of the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in binary with the first bit set (GNU). An empty field is 0.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        // Negative numbers begin with 0xff; nothing that we read can be negative.
        let (first, rest) = field.split_first()?;
        return rest.iter().try_fold(u64::from(first & 0x7f), |n, b| {
            n.checked_mul(256).map(|n| n | u64::from(*b)).filter(|n| *n <= i64::MAX as u64)
        });
    }
    let digits = std::str::from_utf8(text(field)).ok()?.trim_matches(' ');
    if digits.is_empty() {
        return Some(0);
    }
    let octal = digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    octal.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

/// Reads the contents of a pax extended header: records of `LENGTH KEY=VALUE\n`.
///
/// # Errors
/// [`HeaderError::Extended`].
pub fn parse_extended(mut bytes: &[u8]) -> Result<Extended, HeaderError> {
    let mut extended = Extended::default();
    while !bytes.is_empty() {
        let (record, rest) = split_record(bytes).ok_or(HeaderError::Extended)?;
        bytes = rest;
        let equals = record.iter().position(|b| *b == b'=').ok_or(HeaderError::Extended)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let decimal = || std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).ok_or(HeaderError::Extended);
        match key {
            b"path" | b"GNU.sparse.name" => extended.names.push(value.to_vec()),
            b"linkpath" => extended.link = Some(value.to_vec()),
            b"size" => extended.size = Some(decimal()?),
            b"uid" => extended.uid = Some(decimal()?),
            b"gid" => extended.gid = Some(decimal()?),
            _ => {}
        }
    }
    Ok(extended)
}

/// The first record, without its length and its newline, and what follows it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    Some((&bytes[space + 1..length - 1], &bytes[length..]))
}

/// A record of a pax extended header, with its length in front.
#[cfg(test)]
pub(super) fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n").len();
    let length = (1..4).map(|digits| rest + digits).find(|length| length.to_string().len() == length - rest);
    format!("{} {key}={value}\n", length.unwrap())
}

/// What a member of ours is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A directory.
    Directory,
    /// A file with these bytes.
    File(Vec<u8>),
}

/// A member of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path below the root, without a leading slash; at most 99 bytes.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub id: u32,
    /// What it is.
    pub contents: Contents,
}

impl Member {
    /// A file of root's.
    pub fn file(path: impl Into<String>, mode: u32, contents: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode, id: 0, contents: Contents::File(contents.into()) }
    }

    /// A directory of root's.
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), mode, id: 0, contents: Contents::Directory }
    }

    /// The same, belonging to the user and group `id`.
    #[must_use]
    pub fn owned_by(self, id: u32) -> Self {
        Self { id, ..self }
    }

    /// Its bytes in an archive: header, contents, padding.
    pub fn to_bytes(&self, mtime: u64) -> Vec<u8> {
        let (kind, contents): (u8, &[u8]) = match &self.contents {
            Contents::Directory => (b'5', &[]),
            Contents::File(bytes) => (b'0', bytes),
        };
        let mut block = [0u8; BLOCK];
        let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
        let name = self.path.as_bytes();
        debug_assert!(name.len() < 100, "{}", self.path);
        put(0, &name[..name.len().min(99)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.id).as_bytes());
        put(116, format!("{:07o}", self.id).as_bytes());
        put(124, format!("{:011o}", contents.len()).as_bytes());
        put(136, format!("{mtime:011o}").as_bytes());
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum = checksum(&block);
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block[155] = b' ';
        let mut bytes = [&block[..], contents].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(member: &Member) -> [u8; BLOCK] {
        member.to_bytes(0)[..BLOCK].try_into().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let header = parse(&block(&Member::file("etc/x", 0o440, "abc").owned_by(1000))).unwrap();
        assert_eq!((header.name.as_slice(), header.mode, header.size), (&b"etc/x"[..], 0o440, 3));
        assert_eq!((header.uid, header.gid, header.kind), (1000, 1000, b'0'));
    }

    #[test]
    fn a_changed_byte_is_seen() {
        let mut block = block(&Member::directory("etc", 0o755));
        block[3] ^= 1;
        assert_eq!(parse(&block), Err(HeaderError::Checksum));
        assert_eq!(parse(&[7; BLOCK]), Err(HeaderError::Checksum));
    }

    #[test]
    fn numbers_are_octal_or_binary_and_never_more_than_63_bits() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000689\0"), None);
        assert_eq!(number(b"+000644\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0xff; 12]), None);
    }

    #[test]
    fn extended_records_are_read_and_malformed_ones_refused() {
        let extended = parse_extended(
            [record("path", "a/b"), record("size", "70"), record("SCHILY.xattr.x", "\0=\n\nz")].concat().as_bytes(),
        )
        .unwrap();
        assert_eq!((extended.names, extended.size), (vec![b"a/b".to_vec()], Some(70)));
        for bad in
            [&b"12 path=a/b"[..], b"99 path=a/b\n", b"0 a=b\n", b"path=a\n", b"6 path\n", b"99999999999999999999 a=b\n"]
        {
            assert_eq!(parse_extended(bad), Err(HeaderError::Extended), "{bad:?}");
        }
    }

    proptest::proptest! {
        /// Headers and records of strangers, broken anywhere, whose checksum is mended: they are read or refused.
        #[test]
        fn no_nonsense_panics(
            changes in proptest::collection::vec((0..BLOCK, proptest::num::u8::ANY), 0..20),
            any in proptest::option::of(proptest::collection::vec(proptest::num::u8::ANY, 0..200)),
            at in 0..60_usize,
            byte in proptest::num::u8::ANY,
        ) {
            let mut block = block(&Member::file("etc/x", 0o440, "abc").owned_by(1000));
            changes.iter().for_each(|(at, byte)| block[*at] = *byte);
            let sum = checksum(&block);
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            block[155] = b' ';
            if let Ok(header) = parse(&block) {
                assert!(header.size <= i64::MAX as u64 && header.mode <= 0o7777 && header.name.len() < 256);
            }
            let mut records = [record("path", "a/b"), record("size", "70"), record("linkpath", "c")].concat().into_bytes();
            let length = records.len();
            records[at % length] = byte;
            let _ = parse_extended(&records);
            let _ = parse_extended(&any.unwrap_or_default());
        }
    }
}
