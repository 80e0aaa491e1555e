//! How the thread that freezes is scheduled.

use std::io;
use std::mem::size_of;
use std::time::Duration;

/// `struct sched_attr` in its first size; sched_setattr(2).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Puts the calling thread into `SCHED_BATCH` with a slice: threads that it wakes then do not preempt it. Needs no
/// privilege. Returns the slice that the kernel took over; older ones ignore it without an error and report none.
///
/// # Errors
/// Those of sched_setattr(2).
pub fn batch(slice: Duration) -> io::Result<Duration> {
    let size = size_of::<Attributes>() as u32;
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes at most `size` bytes to `attributes`.
    if unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // The nice value stays: to lower it takes a privilege.
    attributes = Attributes {
        size,
        policy: libc::SCHED_BATCH as u32,
        nice: attributes.nice,
        runtime: slice.as_nanos() as u64,
        ..Attributes::default()
    };
    // SAFETY: the kernel reads `size` bytes of `attributes`.
    if unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel writes at most `size` bytes to `attributes`.
    if unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::from_nanos(attributes.runtime))
}
