//! Memory of another process, many ranges a call: process_vm_readv(2).

use std::io;
use std::ops::Range;

/// The most ranges of one call (`IOV_MAX`).
pub const MOST_RANGES: usize = 1024;

/// Reads `ranges` of addresses of process `pid`, one behind the other, into `into`. Returns how many bytes were read: the kernel
/// stops at the first page that cannot be read (not mapped, without read permission, a guard region).
///
/// # Errors
/// EFAULT when the first page cannot be read, EPERM when the process may not be looked into, ESRCH when it has ended, EINVAL for
/// more than [`MOST_RANGES`].
pub fn read(pid: u32, ranges: &[Range<u64>], into: &mut [u8]) -> io::Result<usize> {
    let remote: Vec<libc::iovec> = ranges
        .iter()
        .map(|range| libc::iovec {
            iov_base: range.start as *mut libc::c_void,
            iov_len: (range.end.saturating_sub(range.start)) as usize,
        })
        .collect();
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, borrowed for the call; the remote addresses are of another
    // process and only read, so any value is sound. A pid beyond an int names no process.
    let read = unsafe {
        libc::process_vm_readv(
            pid.cast_signed(),
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
