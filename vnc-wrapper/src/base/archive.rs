//! The way of an archive into a base: every member is judged before anything unpacks it.
//!
//! The rules, in the order in which they are applied to a member:
//!
//! 1. Its header has the right checksum, and its names, sizes and extended headers are bounded.
//! 2. Its name, and that of a hard link's target, is relative and has no `..`; no part in front of its last one is a
//!    symbolic link that could lead out of the tree. Else the whole archive is refused.
//! 3. Its owner and group are ids that a session has (below 65536).
//! 4. Device nodes, and all that lies in `dev/`, are left out: a session gets its own.
//! 5. Files that [`super::members`] writes anew are kept back and read; what it makes of them follows at the end.
//! 6. All else goes on byte by byte as it came.
//!
//! `tar`, which reads the result, checks names once more by its own means.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, ErrorKind, Read, Write};

use freezeframe_protocol::error_name;

use super::header::{BLOCK, Contents, Extended, Header, HeaderError, parse, parse_extended};
use super::members::{self, Kept, Treatment};
use crate::kernel::idmap::COUNT;

/// Longest name or link, as the kernel has it.
const MAX_PATH: usize = 4096;
/// Longest extended header; xattrs are in there.
const MAX_EXTENDED: u64 = 1 << 20;
/// Longest file that is kept for [`members`].
const MAX_KEPT: u64 = 1 << 20;

/// Why a name is refused that a symbolic link could lead out of the tree.
const BEHIND_LINK: &str = "it lies behind a symbolic link that is absolute or has \"..\"";
/// Most bytes in front of one member's header: extended headers and long names, of which each replaces the one before.
const MAX_PRELUDE: usize = 8 << 20;
/// Most bytes of the names of symbolic links that lead out. All of a large Debian system take two megabytes.
const MAX_LINKS: usize = 256 << 20;

/// Why an archive cannot be a base.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// Its first block is no header.
    #[error("it is not a tar archive, plain or compressed with gzip or zstd")]
    NotTar,
    /// It is compressed in a way that we do not read.
    #[error("it is compressed with {0}, which is not read here")]
    Compression(&'static str),
    /// It ends in the middle.
    #[error("it is cut short after {0} bytes of tar")]
    Truncated(u64),
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It has no members.
    #[error("it is empty")]
    Empty,
    /// It has members, but no root file system.
    #[error("it holds no root file system: it has no {0}")]
    NoRoot(&'static str),
    /// It is what `docker save` writes.
    #[error("it holds the layers of an image, not a file system")]
    Image,
    /// A member would be unpacked outside.
    #[error("{:?} would be unpacked outside of the base: {why}", String::from_utf8_lossy(name))]
    Escapes {
        /// The member's name.
        name: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A member belongs to an id that sessions do not have.
    #[error("{:?} belongs to id {id}, and sessions have ids up to {max}", String::from_utf8_lossy(name), max = COUNT - 1)]
    ForeignId {
        /// The member's name.
        name: Vec<u8>,
        /// Its user or group id.
        id: u64,
    },
    /// Its accounts cannot be used.
    #[error("{0}")]
    Accounts(String),
}

impl ArchiveError {
    /// The stable name for callers.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Truncated(_) | Self::Damaged(_) => error_name::DAMAGED,
            Self::Read(_) => error_name::FAILED,
            _ => error_name::INVALID_ARGUMENT,
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Image => {
                "write the file system of a container instead: docker create IMAGE, then docker export CONTAINER"
            }
            Self::Compression(_) => "decompress it first",
            Self::Truncated(_) | Self::Damaged(_) => "write or download it again",
            Self::ForeignId { .. } => "give its files to ids below 65536",
            _ => "",
        }
    }
}

impl From<HeaderError> for ArchiveError {
    fn from(error: HeaderError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Why copying stopped.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The archive is at fault.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Whoever takes the result does not take it any more; it has its reasons.
    #[error("the result is not taken: {0}")]
    Sink(io::Error),
}

/// What was seen of an archive that has become a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Members that went on.
    pub members: u64,
    /// Bytes that they take on disk, by files' whole blocks.
    pub bytes: u64,
    /// Device nodes that were left out.
    pub devices: u64,
    /// Those of [`members::PROGRAMS`] that are in it.
    pub programs: BTreeSet<&'static str>,
}

/// Copies the archive that `source` reads to `sink`, by the rules of this module's head. Reads `source` to its end.
///
/// # Errors
/// [`CopyError`]; what then has gone to `sink` is not to be used.
pub fn copy(source: &mut dyn Read, sink: &mut dyn Write, machine_id: &str) -> Result<Summary, CopyError> {
    let mut copier = Copier {
        source,
        sink,
        read: 0,
        summary: Summary::default(),
        seen: HashSet::new(),
        leading_out: HashSet::new(),
        leading_out_bytes: 0,
        kept: Kept::default(),
    };
    while copier.member()? {}
    copier.finish(machine_id)
}

/// What stands in front of a header, and belongs to it.
#[derive(Default)]
struct Prelude {
    /// As it came.
    raw: Vec<u8>,
    extended: Extended,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

struct Copier<'a> {
    source: &'a mut dyn Read,
    sink: &'a mut dyn Write,
    /// Bytes read so far.
    read: u64,
    summary: Summary,
    /// Directories and files at the top that matter at the end.
    seen: HashSet<Vec<u8>>,
    /// Symbolic links that are absolute or have `..`.
    leading_out: HashSet<Vec<u8>>,
    /// Bytes of all names that ever were in there.
    leading_out_bytes: usize,
    kept: Kept,
}

impl Copier<'_> {
    /// Copies one member with all that belongs to it; false at the archive's end.
    fn member(&mut self) -> Result<bool, CopyError> {
        let mut prelude = Prelude::default();
        loop {
            let Some(block) = self.header_block()? else {
                if prelude.raw.is_empty() {
                    return Ok(false);
                }
                return Err(ArchiveError::Damaged("an extended header belongs to nothing".into()).into());
            };
            let header = match parse(&block) {
                Err(HeaderError::Checksum) if self.read == BLOCK as u64 => return Err(ArchiveError::NotTar.into()),
                other => other.map_err(ArchiveError::from)?,
            };
            match header.kind {
                b'x' => {
                    let raw = self.bounded(header.size, MAX_EXTENDED, "an extended header")?;
                    prelude.extended = parse_extended(&raw[..as_length(header.size)]).map_err(ArchiveError::from)?;
                    prelude.raw.extend(block.iter().chain(&raw));
                }
                // Defaults for all that follows: nothing in them is worth the trouble that they could make.
                b'g' => drop(self.bounded(header.size, MAX_EXTENDED, "a global header")?),
                b'L' | b'K' => {
                    let raw = self.bounded(header.size, MAX_PATH as u64 + 1, "a name")?;
                    let name = raw[..as_length(header.size)].split(|b| *b == 0).next().unwrap_or_default().to_vec();
                    let place = if header.kind == b'L' { &mut prelude.long_name } else { &mut prelude.long_link };
                    *place = Some(name);
                    prelude.raw.extend(block.iter().chain(&raw));
                }
                _ => return self.judge(&block, &header, &prelude).map(|()| true),
            }
            if prelude.raw.len() > MAX_PRELUDE {
                let text = format!("a member has more than {MAX_PRELUDE} bytes of headers");
                return Err(ArchiveError::Damaged(text).into());
            }
        }
    }

    /// Rules 2 to 6 for one member.
    fn judge(&mut self, block: &[u8; BLOCK], header: &Header, prelude: &Prelude) -> Result<(), CopyError> {
        let mut blocks = vec![*block];
        let mut more = header.more_sparse;
        while more {
            if blocks.len() > 4096 {
                return Err(ArchiveError::Damaged("a sparse file has too many parts".into()).into());
            }
            let map = self.block()?;
            more = map[504] != 0;
            blocks.push(map);
        }
        // Readers differ in which of several names counts, so all of them have to be good.
        let names =
            [Some(&header.name), prelude.long_name.as_ref()].into_iter().flatten().chain(&prelude.extended.names);
        let mut path = Vec::new();
        for name in names {
            path = normal(name).map_err(|why| ArchiveError::Escapes { name: name.clone(), why })?;
            if self.leads_out(&path) {
                return Err(ArchiveError::Escapes { name: name.clone(), why: BEHIND_LINK }.into());
            }
        }
        let link = prelude.extended.link.as_ref().or(prelude.long_link.as_ref()).unwrap_or(&header.link);
        let size = match header.kind {
            b'1' => {
                normal(link).map_err(|why| ArchiveError::Escapes { name: link.clone(), why })?;
                0
            }
            b'2'..=b'6' if prelude.extended.size.unwrap_or(header.size) != 0 => {
                return Err(ArchiveError::Damaged(format!(
                    "{:?} cannot have contents",
                    String::from_utf8_lossy(&path)
                ))
                .into());
            }
            _ => prelude.extended.size.unwrap_or(header.size),
        };
        for id in [prelude.extended.uid.unwrap_or(header.uid), prelude.extended.gid.unwrap_or(header.gid)] {
            if id >= u64::from(COUNT) {
                return Err(ArchiveError::ForeignId { name: path, id }.into());
            }
        }
        if header.kind == b'2' && (link.first() == Some(&b'/') || link.split(|b| *b == b'/').any(|part| part == b".."))
        {
            self.leading_out_bytes = self.leading_out_bytes.saturating_add(path.len());
            if self.leading_out_bytes > MAX_LINKS {
                let text = format!("its symbolic links have more than {MAX_LINKS} bytes of names");
                return Err(ArchiveError::Damaged(text).into());
            }
            self.leading_out.insert(path.clone());
        } else if !self.leading_out.is_empty() {
            self.leading_out.remove(&path);
        }
        self.route(header, &path, size, &prelude.raw, &blocks)
    }

    /// Rules 4 to 6.
    fn route(
        &mut self,
        header: &Header,
        path: &[u8],
        size: u64,
        prelude: &[u8],
        blocks: &[[u8; BLOCK]],
    ) -> Result<(), CopyError> {
        self.note(path, header.kind);
        if matches!(header.kind, b'3' | b'4') || path.starts_with(b"dev/") {
            self.summary.devices += u64::from(matches!(header.kind, b'3' | b'4'));
            return self.contents(size, false).map(drop);
        }
        let treatment = members::treatment(path, matches!(header.kind, b'0' | 0 | b'7'));
        if treatment == Treatment::Replace {
            if size > MAX_KEPT {
                return Err(ArchiveError::Damaged(format!("{:?} is too large", String::from_utf8_lossy(path))).into());
            }
            let contents = self.bounded(size, MAX_KEPT, "a file")?;
            // Whatever it is, it gives way; only a file has something to say.
            if matches!(header.kind, b'0' | 0 | b'7') {
                self.kept.put(path, header.mode, &contents[..as_length(size)]);
            }
            return Ok(());
        }
        self.send(prelude)?;
        for block in blocks {
            self.send(block)?;
        }
        self.summary.members += 1;
        self.summary.bytes += match header.kind {
            b'1' | b'2' => 0,
            b'5' => 4096,
            _ => size.next_multiple_of(4096),
        };
        if treatment == Treatment::Read && size <= MAX_KEPT {
            let contents = self.bounded(size, MAX_KEPT, "a file")?;
            self.kept.put(path, header.mode, &contents[..as_length(size)]);
            return self.send(&contents);
        }
        self.contents(size, true)
    }

    /// Remembers what is asked for at the end.
    fn note(&mut self, path: &[u8], kind: u8) {
        if let Some(program) = members::program(path) {
            self.summary.programs.insert(program);
        }
        if !path.contains(&b'/') || members::asked_for(path) {
            self.seen.insert(path.to_vec());
        }
        if kind == b'5' && !path.contains(&b'/') {
            self.seen.insert([path, b"/"].concat());
        }
    }

    /// Whether a part in front of the last one is a symbolic link out of the tree.
    fn leads_out(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        !self.leading_out.is_empty()
            && slashes.map(|(at, _)| &path[..at]).any(|parent| self.leading_out.contains(parent))
    }

    /// Checks what was seen, and puts in what every session needs.
    fn finish(mut self, machine_id: &str) -> Result<Summary, CopyError> {
        if self.read == 0 || (self.summary.members == 0 && self.seen.is_empty()) {
            return Err(ArchiveError::Empty.into());
        }
        let has = |name: &str| self.seen.contains(name.as_bytes());
        if has("manifest.json") && !has("usr") {
            return Err(ArchiveError::Image.into());
        }
        for needed in ["usr", "etc"] {
            if !has(needed) {
                return Err(ArchiveError::NoRoot(if needed == "usr" { "/usr" } else { "/etc" }).into());
            }
        }
        let made = members::made(&self.kept, &self.seen, &self.summary.programs, machine_id)
            .map_err(ArchiveError::Accounts)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        for member in made {
            if self.leads_out(member.path.as_bytes()) {
                // A directory is only for those who look for it there; they find what the link leads to.
                if member.contents == Contents::Directory {
                    continue;
                }
                return Err(ArchiveError::Escapes { name: member.path.into_bytes(), why: BEHIND_LINK }.into());
            }
            self.send(&member.to_bytes(now))?;
            self.summary.members += 1;
            self.summary.bytes += 4096;
        }
        self.send(&[0; 2 * BLOCK])?;
        self.sink.flush().map_err(CopyError::Sink)?;
        Ok(self.summary)
    }

    /// The next header; none at the end of the archive, and then `source` was read to its end.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, CopyError> {
        let mut block = [0; BLOCK];
        let got = self.fill(&mut block)?;
        if got == 0 && self.read == 0 {
            return Ok(None);
        }
        if got < BLOCK {
            let error =
                if self.read < BLOCK as u64 { ArchiveError::NotTar } else { ArchiveError::Truncated(self.read) };
            return Err(error.into());
        }
        if block.iter().any(|b| *b != 0) {
            return Ok(Some(block));
        }
        // To the end, so that a checksum of the compressed file is looked at, and its writer meets no broken pipe.
        let mut rest = vec![0; 1 << 16];
        while self.fill(&mut rest)? == rest.len() {}
        Ok(None)
    }

    fn block(&mut self) -> Result<[u8; BLOCK], CopyError> {
        let mut block = [0; BLOCK];
        if self.fill(&mut block)? < BLOCK {
            return Err(ArchiveError::Truncated(self.read).into());
        }
        Ok(block)
    }

    /// Contents of `size` bytes, with their padding; refused when larger than `limit`.
    fn bounded(&mut self, size: u64, limit: u64, what: &str) -> Result<Vec<u8>, CopyError> {
        if size > limit {
            return Err(ArchiveError::Damaged(format!("{what} is longer than {limit} bytes")).into());
        }
        let mut bytes = vec![0; as_length(size).next_multiple_of(BLOCK)];
        if self.fill(&mut bytes)? < bytes.len() {
            return Err(ArchiveError::Truncated(self.read).into());
        }
        Ok(bytes)
    }

    /// Passes contents of `size` bytes on, with their padding, or over them.
    fn contents(&mut self, size: u64, on: bool) -> Result<(), CopyError> {
        let mut left = size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
        let mut buffer = vec![0; 1 << 17];
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if self.fill(&mut buffer[..part])? < part {
                return Err(ArchiveError::Truncated(self.read).into());
            }
            if on {
                self.send(&buffer[..part])?;
            }
            left -= part as u64;
        }
        Ok(())
    }

    /// Reads until `buffer` is full or the source ends; answers how much was read.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, CopyError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.source.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // The decoders' words for a compressed file that ends too early, and for one that is damaged.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(ArchiveError::Truncated(self.read).into()),
                Err(e) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other) => {
                    return Err(ArchiveError::Damaged(e.to_string()).into());
                }
                Err(e) => return Err(ArchiveError::Read(e).into()),
            }
        }
        self.read += got as u64;
        Ok(got)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        self.sink.write_all(bytes).map_err(CopyError::Sink)
    }
}

/// A size that was compared with a limit before.
fn as_length(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// `name` without `./` in front and `/` at its end; the root itself is empty.
fn normal(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.first() == Some(&b'/') {
        return Err("its name is absolute");
    }
    if name.len() > MAX_PATH || name.contains(&0) {
        return Err("its name is longer than the system's longest, or has a zero byte");
    }
    let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return Err("its name has \"..\"");
    }
    Ok(parts.join(&b'/'))
}

#[cfg(test)]
mod tests;
