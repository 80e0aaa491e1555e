//! `/proc/PID/smaps` (proc_pid_smaps(5); `show_smap` in fs/proc/task_mmu.c): mappings with the flags that only this file has. It
//! takes the longer the more memory a process has, so it is best read while the process runs.

use std::io;
use std::path::Path;

use super::text::{self, Malformed, decimal, hex, split, words};

const FILE: &str = "smaps";
/// The most that is read of the file, in bytes: a mapping has about 800, and `vm.max_map_count` allows 65,530 by default.
const MOST: u64 = 512 << 20;
/// What the kernel appends to the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

/// A mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// `PROT_READ`, `PROT_WRITE` and `PROT_EXEC`.
    pub protection: u32,
    /// `MAP_SHARED` rather than `MAP_PRIVATE`.
    pub shared: bool,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Device (major, minor) of its file; (0, 0) without.
    pub device: (u32, u32),
    /// Inode of its file; 0 without.
    pub inode: u64,
    /// The path of its file or a name that the kernel gives: `[heap]`, `[anon:NAME]`; empty without.
    pub name: Vec<u8>,
    /// `VmFlags`: two letters each.
    pub flags: Vec<[u8; 2]>,
    /// `ProtectionKey` (pkeys(7)); 0 where the processor has none.
    pub key: u32,
}

impl Mapped {
    /// Whether it has this flag.
    #[must_use]
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.contains(flag)
    }

    /// Whether its file has lost its name.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.inode != 0 && self.name.ends_with(DELETED)
    }

    /// The name without what the kernel appends to that of a file that has lost it.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        if self.is_deleted() { &self.name[..self.name.len() - DELETED.len()] } else { &self.name }
    }
}

/// Reads `smaps` in `directory`.
///
/// # Errors
/// When it cannot be read, or is not what the kernel writes.
pub fn read(directory: &Path) -> io::Result<Vec<Mapped>> {
    Ok(parse(&text::read(directory, FILE, MOST)?)?)
}

/// Parses it.
///
/// # Errors
/// When a line is not of its form, or a mapping lacks its flags.
pub fn parse(text: &[u8]) -> Result<Vec<Mapped>, Malformed> {
    let mut all: Vec<Mapped> = Vec::new();
    let mut open = false;
    for line in text::lines(text) {
        let malformed = || Malformed::new(FILE, "a line", line);
        // A field's name begins with a capital letter, an address is a number in small ones.
        if !line[0].is_ascii_uppercase() {
            let mapped = head(line).filter(|_| !open).ok_or_else(malformed)?;
            open = true;
            all.push(mapped);
            continue;
        }
        let Some(last) = all.last_mut() else { return Err(malformed()) };
        match split(line, b':').ok_or_else(malformed)? {
            (b"ProtectionKey", value) => last.key = decimal(value.trim_ascii()).ok_or_else(malformed)?,
            (b"VmFlags", value) => {
                let flags: Option<Vec<[u8; 2]>> = words(value).map(|word| word.try_into().ok()).collect();
                last.flags = flags.ok_or_else(malformed)?;
                open = false;
            }
            _ => {}
        }
    }
    if open {
        return Err(Malformed::new(FILE, "VmFlags", b""));
    }
    Ok(all)
}

/// `7f0c5d7c3000-7f0c5d7eb000 r--p 00000000 fe:00 1234    /usr/lib/x86_64-linux-gnu/libc.so.6`
fn head(line: &[u8]) -> Option<Mapped> {
    let mut rest = line;
    let mut field = || {
        let (field, behind) = split(rest, b' ').unwrap_or((rest, b""));
        rest = behind;
        field
    };
    let [range, access, offset, device, inode] = std::array::from_fn(|_| field());
    let (start, end) = split(range, b'-')?;
    let (major, minor) = split(device, b':')?;
    let [read, write, execute, shared] = access.try_into().ok()?;
    let bit = |byte: u8, letter: u8, bit: i32| match byte {
        b'-' => Some(0),
        byte if byte == letter => Some(bit.cast_unsigned()),
        _ => None,
    };
    let mapped = Mapped {
        start: hex(start)?,
        end: hex(end)?,
        protection: bit(read, b'r', libc::PROT_READ)?
            | bit(write, b'w', libc::PROT_WRITE)?
            | bit(execute, b'x', libc::PROT_EXEC)?,
        shared: match shared {
            b's' => true,
            b'p' => false,
            _ => return None,
        },
        offset: hex(offset)?,
        device: (hex(major)?, hex(minor)?),
        inode: decimal(inode)?,
        name: unescape(rest.trim_ascii_start()),
        ..Mapped::default()
    };
    (mapped.start < mapped.end).then_some(mapped)
}

/// The kernel escapes line feeds only, as `\012`.
fn unescape(name: &[u8]) -> Vec<u8> {
    const LINE_FEED: &[u8] = b"\\012";
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, behind @ ..] = rest {
        let escaped = rest.strip_prefix(LINE_FEED);
        plain.push(if escaped.is_some() { b'\n' } else { *first });
        rest = escaped.unwrap_or(behind);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: &str = "55f0-65f0 r-xp 00001000 fe:0a 1234                      /tmp/a b (deleted)\nSize: 4 kB\n\
ProtectionKey:         3\nVmFlags: rd ex mr mw me sd \n7ffe000-7fff000 rw-p 00000000 00:00 0            [stack]\n\
Rss: 12 kB\nVmFlags: rd wr mr mw me gd ac \n";

    #[test]
    fn mappings_have_their_flags() {
        let [file, stack] = parse(TWO.as_bytes()).unwrap().try_into().unwrap();
        assert_eq!((file.start, file.end, file.protection, file.offset), (0x55f0, 0x65f0, 5, 0x1000));
        assert_eq!((file.device, file.inode, file.path(), file.key), ((0xfe, 0xa), 1234, &b"/tmp/a b"[..], 3));
        assert!(file.is_deleted() && file.has(b"sd") && !file.has(b"gd") && !file.shared);
        assert!(stack.has(b"gd") && stack.path() == b"[stack]" && !stack.is_deleted());
    }

    #[test]
    fn smaps_of_this_process_are_its_mappings() {
        let here = TWO.as_ptr() as u64;
        let all = read(Path::new("/proc/self")).unwrap();
        let mapped = all.iter().find(|mapped| (mapped.start..mapped.end).contains(&here)).unwrap();
        assert!(mapped.has(b"rd") && mapped.path().starts_with(b"/") && mapped.inode != 0, "{mapped:?}");
        assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    #[test]
    fn what_is_odd_in_smaps_is_refused() {
        for (good, bad) in
            [("r-xp", "r-xq"), ("VmFlags: rd ex", "VmFlags: rd e"), ("VmFlags: rd ex", "Flags: rd"), ("55f0-", "x-")]
        {
            parse(TWO.replace(good, bad).as_bytes()).unwrap_err();
        }
        parse(&TWO.as_bytes()[..TWO.len() - 35]).unwrap_err();
        parse(b"Size: 4 kB\n").unwrap_err();
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_smaps(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..TWO.len()) {
            let _ = parse(&bytes);
            let _ = parse(&[&TWO.as_bytes()[..at], &bytes[..], &TWO.as_bytes()[at..]].concat());
        }
    }
}
