//! `/proc/PID/mountinfo` (proc_pid_mountinfo(5); `show_mountinfo` in fs/proc_namespace.c).

use std::io;
use std::path::Path;

use super::text::{self, Malformed, decimal, split, unescape_octal};

const FILE: &str = "mountinfo";
/// The most that is read of the file, in bytes: a namespace has at most 100,000 mounts (`fs.mount-max`), a line a few hundred.
const MOST: u64 = 256 << 20;

/// A mount, in the words of vnc-wrapper's own table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountPoint {
    /// Its number.
    pub id: u32,
    /// The number of the mount that it lies on; its own, or one that is not listed, for the root.
    pub parent: u32,
    /// Device (major, minor) of its file system.
    pub device: (u32, u32),
    /// What of that file system is mounted: a path, or a name such as `net:[4026531840]`. The kernel appends `//deleted` to
    /// that of a directory that has no name any more.
    pub root: Vec<u8>,
    /// Where it is, as the process sees it.
    pub path: Vec<u8>,
    /// Options of the mount.
    pub options: Vec<Vec<u8>>,
    /// The group of mounts in which it passes events on (mount_namespaces(7)).
    pub shared: Option<u32>,
    /// The group from which it gets events.
    pub master: Option<u32>,
    /// The closest group that the process sees and that events come from, where that is not `master`.
    pub propagates_from: Option<u32>,
    /// Whether it cannot be bound elsewhere.
    pub unbindable: bool,
    /// Optional fields of kernels to come, as they stand.
    pub other: Vec<Vec<u8>>,
    /// Type of its file system.
    pub kind: Vec<u8>,
    /// What is mounted, in words that the file system chose; may be empty.
    pub source: Vec<u8>,
    /// Options of the file system. Commas within a value are still escaped where the file system escapes them.
    pub super_options: Vec<Vec<u8>>,
}

/// Reads `mountinfo` in `directory`.
///
/// # Errors
/// When it cannot be read, or is not what the kernel writes.
pub fn read(directory: &Path) -> io::Result<Vec<MountPoint>> {
    Ok(parse(&text::read(directory, FILE, MOST)?)?)
}

/// Parses it.
///
/// # Errors
/// When a line is not of the form that the man page describes.
pub fn parse(text: &[u8]) -> Result<Vec<MountPoint>, Malformed> {
    text::lines(text).map(|line| parse_line(line).ok_or_else(|| Malformed::new(FILE, "a mount", line))).collect()
}

fn parse_line(line: &[u8]) -> Option<MountPoint> {
    // Single blanks, since a source may be empty.
    let mut fields = line.split(|byte| *byte == b' ');
    let mut mount =
        MountPoint { id: decimal(fields.next()?)?, parent: decimal(fields.next()?)?, ..MountPoint::default() };
    let (major, minor) = split(fields.next()?, b':')?;
    mount.device = (decimal(major)?, decimal(minor)?);
    mount.root = unescape_octal(fields.next()?);
    mount.path = unescape_octal(fields.next()?);
    mount.options = options(fields.next()?);
    loop {
        let field = fields.next()?;
        let group = |key: &[u8]| field.strip_prefix(key);
        match field {
            b"-" => break,
            b"unbindable" => mount.unbindable = true,
            _ if group(b"shared:").is_some() => mount.shared = Some(decimal(group(b"shared:")?)?),
            _ if group(b"master:").is_some() => mount.master = Some(decimal(group(b"master:")?)?),
            _ if group(b"propagate_from:").is_some() => {
                mount.propagates_from = Some(decimal(group(b"propagate_from:")?)?);
            }
            _ => mount.other.push(field.to_vec()),
        }
    }
    mount.kind = unescape_octal(fields.next()?);
    mount.source = unescape_octal(fields.next()?);
    mount.super_options = options(fields.next()?);
    // A file system that does not escape blanks in its options.
    for more in fields {
        let last = mount.super_options.pop()?;
        let mut parts = options(more).into_iter();
        mount.super_options.push([last, parts.next()?].join(&b' '));
        mount.super_options.extend(parts);
    }
    Some(mount)
}

/// Split first: an escaped comma belongs to a value.
fn options(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|byte| *byte == b',').map(unescape_octal).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn issue_10_odd_names_of_mounts_are_unescaped() {
        let text = br"63 43 0:39 / /tmp/a\040b\134c rw,relatime shared:1 - tmpfs od\040d\043x rw
64 43 0:39 /x//deleted /tmp/n\012l rw shared:2 master:1 propagate_from:7 unbindable new:field - tmpfs  rw,lowerdir=a\054b:c
";
        let [first, second] = parse(text).unwrap().try_into().unwrap();
        assert_eq!((first.path.as_slice(), first.source.as_slice()), (&br"/tmp/a b\c"[..], &b"od d#x"[..]));
        assert_eq!((first.id, first.parent, first.device, first.shared), (63, 43, (0, 39), Some(1)));
        assert_eq!(first.options, [b"rw".to_vec(), b"relatime".to_vec()]);
        assert_eq!((second.path.as_slice(), second.root.as_slice()), (&b"/tmp/n\nl"[..], &b"/x//deleted"[..]));
        assert_eq!((second.shared, second.master, second.propagates_from), (Some(2), Some(1), Some(7)));
        assert!(second.unbindable && second.source.is_empty());
        assert_eq!(second.other, [b"new:field".to_vec()]);
        assert_eq!(second.super_options, [b"rw".to_vec(), b"lowerdir=a,b:c".to_vec()]);
    }

    #[test]
    fn mounts_of_this_process_are_read() {
        let mounts = read(Path::new("/proc/self")).unwrap();
        assert!(mounts.iter().any(|mount| mount.path == b"/") && mounts.iter().any(|mount| mount.kind == b"proc"));
    }

    #[test]
    fn a_line_that_is_cut_short_is_an_error() {
        for bad in
            ["63", "63 43 0:39 / /a rw shared:1", "63 43 0 / /a rw - t s o", "63 43 0:1 / /a rw shared:x - t s o"]
        {
            parse(bad.as_bytes()).unwrap_err();
        }
    }

    /// As `mangle` in fs/proc_namespace.c.
    fn escape(text: &[u8]) -> Vec<u8> {
        let one =
            |byte: &u8| if b" \t\n\\#".contains(byte) { format!("\\{byte:03o}").into_bytes() } else { vec![*byte] };
        text.iter().flat_map(one).collect()
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_mountinfo(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"63 43 0:39 / /a rw - ", &bytes[..]].concat());
        }

        #[test]
        fn mounts_are_read_as_written(
            numbers in any::<[u32; 4]>(), shared: Option<u32>, master: Option<u32>, unbindable: bool,
            root in proptest::collection::vec(1..=u8::MAX, 1..20), path in proptest::collection::vec(1..=u8::MAX, 1..20),
            source in proptest::collection::vec(1..=u8::MAX, 0..20),
        ) {
            let [id, parent, major, minor] = numbers;
            let mut optional = String::new();
            for (key, group) in [("shared", shared), ("master", master)] {
                optional += &group.map(|group| format!(" {key}:{group}")).unwrap_or_default();
            }
            let unbindable_text = if unbindable { " unbindable" } else { "" };
            let text = [
                format!("{id} {parent} {major}:{minor} ").into_bytes(), escape(&root), b" ".to_vec(), escape(&path),
                format!(" rw{optional}{unbindable_text} - tmpfs ").into_bytes(), escape(&source), b" rw,size=1k\n".to_vec(),
            ].concat();
            let expected = MountPoint {
                id, parent, device: (major, minor), root, path, options: vec![b"rw".to_vec()], shared, master, unbindable,
                kind: b"tmpfs".to_vec(), source, super_options: vec![b"rw".to_vec(), b"size=1k".to_vec()],
                ..MountPoint::default()
            };
            prop_assert_eq!(parse(&text), Ok(vec![expected]));
        }
    }
}
