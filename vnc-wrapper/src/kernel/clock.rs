//! The kernel's clocks.

use std::time::Duration;

/// CLOCK_MONOTONIC (clock_gettime(2)), as times in the kernel are.
pub fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a `struct timespec`. It always has this clock, which is never before 0.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
