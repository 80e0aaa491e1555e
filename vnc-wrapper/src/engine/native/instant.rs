//! What the session's clocks said when it stood still, so that they go on from there (time_namespaces(7)).

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freezeframe_engine::restore::Clocks;
use serde::{Deserialize, Serialize};

use crate::kernel::clock;

/// Name of its file.
const FILE: &str = "instant.json";
/// Longest of those files that is read, in bytes.
const MAX: u64 = 4096;

/// All in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instant {
    /// CLOCK_MONOTONIC as the session saw it.
    monotonic: i64,
    /// CLOCK_BOOTTIME as the session saw it.
    boot: i64,
    /// The time of day, since 1970.
    real: i64,
}

impl Instant {
    /// Now, for the session of `init`.
    pub(super) fn of(init: i32) -> io::Result<Self> {
        let offsets = fs::read_to_string(format!("/proc/{init}/timens_offsets"))?;
        let (monotonic, boot) = offset(&offsets, "monotonic").zip(offset(&offsets, "boottime")).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the offsets of its clocks are {offsets:?}"))
        })?;
        let now = Self::now();
        Ok(Self { monotonic: now.monotonic + monotonic, boot: now.boot + boot, real: now.real })
    }

    fn now() -> Self {
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { monotonic: nanoseconds(clock::monotonic()), boot: nanoseconds(clock::boot()), real: nanoseconds(real) }
    }

    pub(super) fn write(self, images: &Path) -> io::Result<()> {
        fs::write(images.join(FILE), serde_json::to_vec(&self)?)
    }

    pub(super) fn read(images: &Path) -> io::Result<Self> {
        let text = freezeframe_store::bounded::read_text(&images.join(FILE), MAX)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// How far the clocks of a session that goes on now are from this machine's.
    pub(super) fn clocks(self) -> Clocks {
        let now = Self::now();
        let apart = |then: i64, now: i64| then.saturating_sub(now);
        Clocks { monotonic: apart(self.monotonic, now.monotonic), boot: apart(self.boot, now.boot) }
    }

    /// How far the time of day has moved; not at all where it was set back.
    pub(super) fn passed(self) -> Duration {
        Duration::from_nanos(Self::now().real.saturating_sub(self.real).try_into().unwrap_or(0))
    }
}

/// One line of `/proc/PID/timens_offsets`: `monotonic SECONDS NANOSECONDS`.
fn offset(text: &str, clock: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(clock))?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
    let (seconds, nanoseconds) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_10_a_resumed_clock_goes_on_where_it_stood() {
        let images = tempfile::tempdir().unwrap();
        let then = Instant { monotonic: 5, boot: 1 << 50, real: 0 };
        then.write(images.path()).unwrap();
        let read = Instant::read(images.path()).unwrap();
        assert_eq!(read, then);
        let clocks = read.clocks();
        assert!(clocks.monotonic < 0 && clocks.boot > 0);
        assert!(read.passed() > Duration::from_secs(1_700_000_000));
        assert_eq!(Instant { real: i64::MAX, ..then }.passed(), Duration::ZERO, "set back");
        assert!(Instant::of(std::process::id().cast_signed()).unwrap().monotonic > 0);
    }

    #[test]
    fn offsets_are_read_by_their_clock() {
        let text = "monotonic         -5         250000000\nboottime           7                 0\n";
        assert_eq!((offset(text, "monotonic"), offset(text, "boottime")), (Some(-4_750_000_000), Some(7_000_000_000)));
        assert_eq!(offset(text, "real"), None);
    }
}
