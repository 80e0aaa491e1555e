//! `/proc/PID/uid_map` and `gid_map` (user_namespaces(7); `m_show` in kernel/user_namespace.c).

use std::io;
use std::path::Path;

use super::text::{self, Malformed, decimal};

/// The most ranges that a map has (`UID_GID_MAP_MAX_EXTENTS`, linux/user_namespace.h).
const MOST_RANGES: usize = 340;
/// The most that the file has, in bytes: three numbers a line, padded to ten digits.
const MOST: u64 = MOST_RANGES as u64 * 40;

/// Which ids a map is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// User ids.
    Users,
    /// Group ids.
    Groups,
}

impl Of {
    fn file(self) -> &'static str {
        match self {
            Self::Users => "uid_map",
            Self::Groups => "gid_map",
        }
    }
}

/// One line of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First id inside.
    pub inside: u32,
    /// First id outside: by the reader's user namespace, or by the parent's where the reader is in the one that is mapped.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The ids of a user namespace; without ranges while no map was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(pub Vec<Range>);

impl IdMap {
    /// What `inside` is outside.
    #[must_use]
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.find(inside, |range| (range.inside, range.outside))
    }

    /// What `outside` is inside.
    #[must_use]
    pub fn inside(&self, outside: u32) -> Option<u32> {
        self.find(outside, |range| (range.outside, range.inside))
    }

    fn find(&self, id: u32, ends: impl Fn(&Range) -> (u32, u32)) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let (from, to) = ends(range);
            let at = id.checked_sub(from).filter(|at| *at < range.count)?;
            to.checked_add(at)
        })
    }
}

/// Reads a map in `directory`.
///
/// # Errors
/// When it cannot be read, or is not what the kernel writes.
pub fn read(directory: &Path, of: Of) -> io::Result<IdMap> {
    Ok(parse(&text::read(directory, of.file(), MOST)?, of)?)
}

/// Parses it.
///
/// # Errors
/// When a line is not three numbers, a range is empty, goes beyond the last id or overlaps another.
pub fn parse(text: &[u8], of: Of) -> Result<IdMap, Malformed> {
    let mut ranges: Vec<Range> = Vec::new();
    for line in text::lines(text) {
        let range =
            parse_line(line).filter(|range| ranges.len() < MOST_RANGES && !ranges.iter().any(|o| overlap(o, range)));
        ranges.push(range.ok_or_else(|| Malformed::new(of.file(), "a range", line))?);
    }
    Ok(IdMap(ranges))
}

fn parse_line(line: &[u8]) -> Option<Range> {
    let numbers: Vec<u32> = text::words(line).map(decimal).collect::<Option<_>>()?;
    let [inside, outside, count] = numbers[..] else { return None };
    let ends = inside.checked_add(count).and(outside.checked_add(count));
    ends.filter(|_| count > 0).map(|_| Range { inside, outside, count })
}

fn overlap(one: &Range, other: &Range) -> bool {
    let meet = |a: u32, b: u32| a < b + other.count && b < a + one.count;
    meet(one.inside, other.inside) || meet(one.outside, other.outside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn issue_10_ids_are_found_both_ways() {
        let map = parse(b"         0       1000          1\n         1     100000      65536\n", Of::Users).unwrap();
        assert_eq!(
            (map.outside(0), map.outside(1), map.outside(65536), map.outside(65537)),
            (Some(1000), Some(100_000), Some(165_535), None)
        );
        assert_eq!((map.inside(1000), map.inside(100_033), map.inside(0)), (Some(0), Some(34), None));
        let all = parse(b"         0          0 4294967295\n", Of::Users).unwrap();
        assert_eq!((all.outside(u32::MAX - 1), all.outside(u32::MAX)), (Some(u32::MAX - 1), None));
    }

    #[test]
    fn maps_of_this_process_are_read() {
        let map = read(Path::new("/proc/self"), Of::Groups).unwrap();
        assert!(map.outside(rustix::process::getegid().as_raw()).is_some());
    }

    #[test]
    fn ranges_that_cannot_be_are_errors() {
        for bad in ["0 0", "0 0 0", "1 0 4294967295", "0 0 5\n4 9 1", "0 0 5\n9 4 1", "0 0 -1", "0 0 1 1"] {
            let error = parse(bad.as_bytes(), Of::Groups).unwrap_err();
            assert_eq!((error.file, error.field.as_str()), ("gid_map", "a range"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_maps(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[0-9 \n]{0,80}") {
            let _ = parse(&bytes, Of::Users);
            if let Ok(map) = parse(text.as_bytes(), Of::Users) {
                for range in &map.0 {
                    let last = range.inside + (range.count - 1);
                    prop_assert_eq!(map.outside(last).and_then(|outside| map.inside(outside)), Some(last));
                }
            }
        }

        #[test]
        fn maps_are_read_as_written(steps in proptest::collection::vec((1u32..5000, 1u32..5000, 1u32..5000), 0..40)) {
            let (mut inside, mut outside) = (0, 0);
            let ranges: Vec<Range> = steps.into_iter().map(|(gap, other, count)| {
                (inside, outside) = (inside + gap, outside + other);
                let range = Range { inside, outside, count };
                (inside, outside) = (inside + count, outside + count);
                range
            }).collect();
            let line = |range: &Range| format!("{:>10} {:>10} {:>10}\n", range.inside, range.outside, range.count);
            let text: String = ranges.iter().map(line).collect();
            prop_assert_eq!(parse(text.as_bytes(), Of::Users), Ok(IdMap(ranges)));
        }
    }
}
