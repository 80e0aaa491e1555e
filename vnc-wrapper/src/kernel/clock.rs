//! The kernel's clocks.

use std::time::Duration;

/// CLOCK_MONOTONIC (clock_gettime(2)), as times in the kernel are.
pub fn monotonic() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

/// CLOCK_BOOTTIME: the same, and it goes on while the machine sleeps.
pub fn boot() -> Duration {
    read(libc::CLOCK_BOOTTIME)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a `struct timespec`. It always has these clocks, which are never before 0.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
