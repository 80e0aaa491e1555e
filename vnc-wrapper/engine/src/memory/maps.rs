//! The mappings of a process: /proc/PID/maps (proc_pid_maps(5)), or PROCMAP_QUERY where the kernel has it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use super::PAGE;
use crate::able::{Able, Feature};
use crate::sys::procmap;

/// The most bytes of text that are read of one process: `vm.max_map_count` allows 65,530 mappings, and a path has 4,096 bytes.
const MOST_TEXT: u64 = 300 << 20;
/// What the kernel appends to the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<u64>,
    /// What the process may do there.
    pub access: Access,
    /// Whether writes reach the file, or other processes.
    pub shared: bool,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Device (major, minor) of its file; (0, 0) without one.
    pub device: (u32, u32),
    /// Inode of its file; 0 without one.
    pub inode: u64,
    /// The path of its file, or a name that the kernel gives: `[heap]`, `[vdso]`, `[anon:NAME]`; empty without.
    pub name: Vec<u8>,
}

/// The protection of a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `PROT_READ`.
    pub read: bool,
    /// `PROT_WRITE`.
    pub write: bool,
    /// `PROT_EXEC`.
    pub execute: bool,
}

/// Where the content of a mapping's pages belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To this process (or its relatives since a fork) alone.
    Anonymous,
    /// Pages that were written are private, the others are the file's.
    PrivateFile,
    /// To a file, or to memory that others may map too.
    Shared,
    /// To the kernel: its clocks and calls. Not tracked.
    Kernel,
}

/// Text that is not what the kernel writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the maps of a process cannot be read: {text}")]
pub struct Malformed {
    line: usize,
    text: String,
}

impl Mapping {
    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self.name.as_slice() {
            // The vdso is there without having been touched, so tracking says nothing of it: it is recorded as a whole.
            b"[vdso]" | b"[vvar]" | b"[vvar_vclock]" | b"[vsyscall]" | b"[timens]" => Kind::Kernel,
            _ if self.shared => Kind::Shared,
            _ if self.inode == 0 => Kind::Anonymous,
            _ => Kind::PrivateFile,
        }
    }

    /// How many pages it has.
    pub fn pages(&self) -> u64 {
        (self.range.end - self.range.start) / PAGE
    }

    /// Whether its file has lost its name, as far as the kernel says so.
    pub fn is_deleted(&self) -> bool {
        self.inode != 0 && self.name.ends_with(DELETED)
    }

    /// The name without what the kernel appends to that of a deleted file.
    pub fn path(&self) -> &[u8] {
        if self.is_deleted() { &self.name[..self.name.len() - DELETED.len()] } else { &self.name }
    }
}

/// Reads the text of /proc/PID/maps.
///
/// # Errors
/// When a line is not of the form that proc_pid_maps(5) describes, or mappings are not in order.
pub fn parse(text: &[u8]) -> Result<Vec<Mapping>, Malformed> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for (line, bytes) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
        let mapping = parse_line(bytes)
            // The vsyscall page lies at the very end; all others follow each other.
            .filter(|new| mappings.last().is_none_or(|last| last.range.end <= new.range.start))
            .ok_or_else(|| Malformed {
                line: line + 1,
                text: String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned(),
            })?;
        mappings.push(mapping);
    }
    Ok(mappings)
}

fn hex(text: &[u8]) -> Option<u64> {
    // from_str_radix accepts a sign.
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(text, 16).ok()
}

fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (field, behind) = rest.split_at(end);
        rest = behind.strip_prefix(b" ").unwrap_or(behind);
        field
    };
    let (range, access, offset, device, inode) = (field(), field(), field(), field(), field());
    let name = rest.trim_ascii_start();
    let (start, end) = split(range, b'-')?;
    let range = hex(start)?..hex(end)?;
    let [read, write, execute, shared] = access.try_into().ok()?;
    let flag = |byte: u8, letter: u8| match byte {
        b'-' => Some(false),
        byte if byte == letter => Some(true),
        _ => None,
    };
    let (major, minor) = split(device, b':')?;
    let inode = std::str::from_utf8(inode).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let mapping = Mapping {
        access: Access { read: flag(read, b'r')?, write: flag(write, b'w')?, execute: flag(execute, b'x')? },
        shared: match shared {
            b's' => true,
            b'p' => false,
            _ => return None,
        },
        offset: hex(offset)?,
        device: (hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?),
        inode: inode.parse().ok()?,
        name: without_escapes(name),
        range,
    };
    let whole = mapping.range.start.is_multiple_of(PAGE) && mapping.range.end.is_multiple_of(PAGE);
    (mapping.range.start < mapping.range.end && whole).then_some(mapping)
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == at)?;
    Some((&text[..at], &text[at + 1..]))
}

/// The kernel escapes line feeds only, as `\012`.
fn without_escapes(name: &[u8]) -> Vec<u8> {
    const LINE_FEED: &[u8] = b"\\012";
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, behind @ ..] = rest {
        match rest.strip_prefix(LINE_FEED) {
            Some(behind) => {
                plain.push(b'\n');
                rest = behind;
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

/// The mappings of process `pid`, in order. Those of a running process may change while they are read.
///
/// # Errors
/// When there is no such process, it may not be looked into, or the text is malformed.
pub fn read(pid: u32) -> io::Result<Vec<Mapping>> {
    if Able::here().has(Feature::ProcmapQuery) { read_by_query(pid) } else { read_text(pid) }
}

/// The same from text.
///
/// # Errors
/// As [`read`].
pub fn read_text(pid: u32) -> io::Result<Vec<Mapping>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MOST_TEXT).read_to_end(&mut text)?;
    parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The same by PROCMAP_QUERY.
///
/// # Errors
/// As [`read`], and ENOTTY where the kernel does not have it.
pub fn read_by_query(pid: u32) -> io::Result<Vec<Mapping>> {
    let maps = File::open(format!("/proc/{pid}/maps"))?;
    let mut mappings = Vec::new();
    let mut address = 0;
    while let Some(found) = procmap::query(&maps, address)? {
        let is = |flag| found.flags & flag != 0;
        let has_file = found.inode != 0 || found.device != (0, 0);
        address = found.end;
        mappings.push(Mapping {
            range: found.start..found.end,
            access: Access {
                read: is(procmap::READABLE),
                write: is(procmap::WRITABLE),
                execute: is(procmap::EXECUTABLE),
            },
            shared: is(procmap::SHARED),
            // Without a file it is an address, which the text leaves out.
            offset: if has_file { found.offset } else { 0 },
            device: found.device,
            inode: found.inode,
            name: found.name,
        });
    }
    Ok(mappings)
}
