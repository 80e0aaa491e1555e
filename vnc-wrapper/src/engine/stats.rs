//! CRIU's `stats-dump`: two magic numbers, a length, and a protobuf message (criu's images/stats.proto).

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{DumpReport, EngineError};

/// `IMG_SERVICE_MAGIC` and `STATS_MAGIC` of criu/include/magic.h.
const MAGICS: [u32; 2] = [0x5510_5940, 0x5709_3306];
/// The file holds a few numbers; anything larger is none.
const MAX_BYTES: u64 = 64 << 10;

/// Reads how long a dump took to stop the processes, and how long it kept them stopped.
pub(super) fn read(images: &Path) -> Result<DumpReport, EngineError> {
    let path = images.join("stats-dump");
    let problem = |text: String| EngineError::Statistics(format!("{}: {text}", path.display()));
    let size = fs::metadata(&path).map_err(|e| problem(e.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(problem(format!("{size} bytes")));
    }
    let bytes = fs::read(&path).map_err(|e| problem(e.to_string()))?;
    parse(&bytes).ok_or_else(|| problem("not in the form expected".to_owned()))
}

fn parse(bytes: &[u8]) -> Option<DumpReport> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if [word(0)?, word(4)?] != MAGICS {
        return None;
    }
    let length = usize::try_from(word(8)?).ok()?;
    let entry = bytes.get(12..12usize.checked_add(length)?)?;
    // StatsEntry.dump is field 1; in it freezing_time is field 1 and frozen_time field 2, in microseconds.
    let dump = fields(entry)?.into_iter().find_map(|(number, value)| match value {
        Value::Bytes(bytes) if number == 1 => Some(bytes),
        _ => None,
    })?;
    let numbers = fields(dump)?;
    let time = |wanted: u64| {
        numbers.iter().find_map(|(number, value)| match value {
            Value::Number(n) if *number == wanted => Some(Duration::from_micros(*n)),
            _ => None,
        })
    };
    let (freezing, frozen) = (time(1)?, time(2)?);
    Some(DumpReport { pause: freezing + frozen, freeze: freezing })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, of the two wire types that stats.proto uses (protobuf.dev/programming-guides/encoding).
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        all.push((tag >> 3, value));
    }
    Some(all)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dump: &[u8]) -> Vec<u8> {
        let mut entry = vec![0x0a, u8::try_from(dump.len()).unwrap()];
        entry.extend(dump);
        let mut bytes: Vec<u8> = MAGICS.iter().flat_map(|m| m.to_le_bytes()).collect();
        bytes.extend(u32::try_from(entry.len()).unwrap().to_le_bytes());
        bytes.extend(entry);
        bytes
    }

    #[test]
    fn times_are_found_among_other_fields() {
        // freezing_time = 300, frozen_time = 70000, memdump_time = 1
        let bytes = file(&[0x08, 0xac, 0x02, 0x10, 0xf0, 0xa2, 0x04, 0x18, 0x01]);
        let report = parse(&bytes).unwrap();
        assert_eq!(report.freeze, Duration::from_micros(300));
        assert_eq!(report.pause, Duration::from_micros(70300));
    }

    #[test]
    fn every_truncation_and_flip_is_survived() {
        let bytes = file(&[0x08, 0xac, 0x02, 0x10, 0xf0, 0xa2, 0x04]);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), None);
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let _ = parse(&flipped);
            }
        }
    }
}
