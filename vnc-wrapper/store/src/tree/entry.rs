//! Entries of a tree, and their form in the stream; drawn in the module's head.

use super::list::ListRef;
use super::{MAX_DEPTH, MAX_LEAVES};
use crate::wire::{Decoder, Encoder, Flaw};

/// Longest name of an entry (`NAME_MAX`).
const MAX_NAME: usize = 255;
/// Longest target of a symbolic link (`PATH_MAX`).
const MAX_TARGET: usize = 4096;
/// Longest name, list and value of attributes (xattr(7)).
pub(super) const MAX_ATTRIBUTE: usize = 64 << 10;

/// A time, to the nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What belongs to every entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Permissions, with the set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Time,
    /// Kept in its own stream.
    pub(crate) accessed: Time,
    /// In the order of names.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// The end of a directory, which is no entry.
    End,
    File {
        size: u64,
        /// Offset and length of each stretch of data, in order.
        extents: Vec<(u64, u64)>,
        chunks: ListRef,
    },
    Symlink(Vec<u8>),
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
    /// Another name of the entry that began the group.
    Link,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// Of a [`Kind::Link`] the group that it belongs to, else the one that it begins, or 0.
    pub(crate) group: u64,
    pub(crate) meta: Meta,
}

impl Entry {
    /// The end of a directory.
    pub(crate) fn end() -> Self {
        Self { name: Vec::new(), kind: Kind::End, group: 0, meta: Meta::default() }
    }

    pub(super) fn encode(&self, out: &mut Encoder, access_times: &mut Vec<u8>) {
        let letter = match &self.kind {
            Kind::Directory => b'd',
            Kind::End => return out.u8(b'e'),
            Kind::File { .. } => b'f',
            Kind::Symlink(_) => b'l',
            Kind::Character { .. } => b'c',
            Kind::Block { .. } => b'b',
            Kind::Fifo => b'p',
            Kind::Socket => b's',
            Kind::Link => b'h',
        };
        out.u8(letter);
        out.bytes(&self.name);
        out.varint(self.group);
        if self.kind == Kind::Link {
            return;
        }
        self.meta.encode(out);
        access_times.extend_from_slice(&self.meta.accessed.seconds.to_le_bytes());
        access_times.extend_from_slice(&self.meta.accessed.nanoseconds.to_le_bytes());
        match &self.kind {
            Kind::File { size, extents, chunks } => {
                out.varint(*size);
                out.varint(extents.len() as u64);
                let mut end = 0;
                for (offset, length) in extents {
                    out.varint(offset - end);
                    out.varint(*length);
                    end = offset + length;
                }
                chunks.encode(out);
            }
            Kind::Symlink(target) => out.bytes(target),
            Kind::Character { major, minor } | Kind::Block { major, minor } => {
                out.varint(u64::from(*major));
                out.varint(u64::from(*minor));
            }
            Kind::Directory | Kind::End | Kind::Fifo | Kind::Socket | Kind::Link => {}
        }
    }
}

impl Meta {
    fn encode(&self, out: &mut Encoder) {
        out.varint(u64::from(self.mode));
        out.varint(u64::from(self.uid));
        out.varint(u64::from(self.gid));
        out.signed(self.modified.seconds);
        out.varint(u64::from(self.modified.nanoseconds));
        out.varint(self.attributes.len() as u64);
        for (name, value) in &self.attributes {
            out.bytes(name);
            out.bytes(value);
        }
    }

    fn decode(input: &mut Decoder<'_>, access_times: &mut Decoder<'_>) -> Result<Self, Flaw> {
        let (mode, uid, gid) = (input.varint_u32()?, input.varint_u32()?, input.varint_u32()?);
        let modified = Time { seconds: input.signed()?, nanoseconds: input.varint_u32()? };
        let accessed = Time { seconds: i64::from_le_bytes(access_times.array()?), nanoseconds: access_times.u32()? };
        if mode > 0o7777 || modified.nanoseconds >= 1_000_000_000 || accessed.nanoseconds >= 1_000_000_000 {
            return Err("a mode or a time in it is out of range".into());
        }
        let count = input.varint()?;
        let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for _ in 0..count {
            let (name, value) = (input.bytes(MAX_NAME)?, input.bytes(MAX_ATTRIBUTE)?);
            let ordered = attributes.last().is_none_or(|(before, _)| before.as_slice() < name);
            if name.is_empty() || name.contains(&0) || !ordered {
                return Err("an attribute in it is malformed".into());
            }
            attributes.push((name.to_vec(), value.to_vec()));
        }
        Ok(Self { mode, uid, gid, modified, accessed, attributes })
    }
}

/// Reads whole streams, and believes nothing in them: names are single names, in order and so never the same twice,
/// directories end, extents lie behind each other inside of their file, and links are of entries before them.
pub(super) fn decode_all(entries: &[u8], access_times: &[u8]) -> Result<Vec<Entry>, Flaw> {
    let (mut input, mut times) = (Decoder(entries), Decoder(access_times));
    let mut all: Vec<Entry> = Vec::new();
    // The last name in each directory that is not over yet.
    let mut open: Vec<Vec<u8>> = Vec::new();
    let mut groups = 0;
    while !input.is_empty() {
        if open.is_empty() && !all.is_empty() {
            return Err("there is something behind its root".into());
        }
        let entry = decode(&mut input, &mut times)?;
        match entry.kind {
            Kind::End => {
                open.pop().ok_or("a directory ends that has not begun")?;
                all.push(entry);
                continue;
            }
            Kind::Link if entry.group == 0 || entry.group > groups => {
                return Err("a link in it is of nothing".into());
            }
            Kind::Link => {}
            _ if entry.group != 0 => {
                groups += 1;
                if entry.group != groups {
                    return Err("its groups of links are out of order".into());
                }
            }
            _ => {}
        }
        match open.last_mut() {
            None if entry.kind == Kind::Directory && entry.name.is_empty() && entry.group == 0 => {}
            None => return Err("it does not begin with a directory".into()),
            Some(last) => {
                check_name(&entry.name)?;
                if *last >= entry.name {
                    return Err("its names are out of order".into());
                }
                last.clone_from(&entry.name);
            }
        }
        if entry.kind == Kind::Directory {
            if open.len() >= MAX_DEPTH || entry.group != 0 {
                return Err("it is too deep, or has a directory with two names".into());
            }
            open.push(Vec::new());
        }
        all.push(entry);
    }
    if open.is_empty() && !all.is_empty() && times.is_empty() {
        return Ok(all);
    }
    Err("it ends too early, or its access times too late".into())
}

fn check_name(name: &[u8]) -> Result<(), Flaw> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err("a name in it is none".into());
    }
    Ok(())
}

fn decode(input: &mut Decoder<'_>, times: &mut Decoder<'_>) -> Result<Entry, Flaw> {
    let letter = input.u8()?;
    if letter == b'e' {
        return Ok(Entry::end());
    }
    let (name, group) = (input.bytes(MAX_NAME)?.to_vec(), input.varint()?);
    if letter == b'h' {
        return Ok(Entry { name, kind: Kind::Link, group, meta: Meta::default() });
    }
    let meta = Meta::decode(input, times)?;
    let kind = match letter {
        b'd' => Kind::Directory,
        b'f' => decode_file(input)?,
        b'l' => Kind::Symlink(
            input
                .bytes(MAX_TARGET)
                .and_then(|target| {
                    if target.is_empty() || target.contains(&0) {
                        Err("a link in it is malformed".into())
                    } else {
                        Ok(target)
                    }
                })?
                .to_vec(),
        ),
        b'c' => Kind::Character { major: input.varint_u32()?, minor: input.varint_u32()? },
        b'b' => Kind::Block { major: input.varint_u32()?, minor: input.varint_u32()? },
        b'p' => Kind::Fifo,
        b's' => Kind::Socket,
        _ => return Err("an entry in it is of no known kind".into()),
    };
    Ok(Entry { name, kind, group, meta })
}

fn decode_file(input: &mut Decoder<'_>) -> Result<Kind, Flaw> {
    let size = input.varint()?;
    let count = input.varint()?;
    if size > i64::MAX.cast_unsigned() || count > MAX_LEAVES {
        return Err("a file in it is too large".into());
    }
    let mut extents = Vec::new();
    let mut end = 0u64;
    for _ in 0..count {
        let (gap, length) = (input.varint()?, input.varint()?);
        let offset = end.checked_add(gap);
        let (Some(offset), true) = (offset, length > 0) else { return Err("a file in it is malformed".into()) };
        end = offset.checked_add(length).filter(|&end| end <= size).ok_or("a file in it is longer than itself")?;
        extents.push((offset, length));
    }
    Ok(Kind::File { size, extents, chunks: ListRef::decode(input)? })
}
