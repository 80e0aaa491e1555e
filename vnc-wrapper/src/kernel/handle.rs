//! File handles (open_by_handle_at(2)), by which /proc tells what an inotify descriptor watches.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct file_handle` with room for the longest handle (`MAX_HANDLE_SZ`).
#[repr(C)]
struct Handle {
    length: u32,
    kind: i32,
    bytes: [u8; 128],
}

/// A descriptor that names (O_PATH) what the handle is of, on the file system that `mount` is on.
///
/// # Errors
/// When there is no such object any more, or we have no CAP_DAC_READ_SEARCH.
pub fn open(mount: BorrowedFd<'_>, kind: i32, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut handle = Handle { length: bytes.len() as u32, kind, bytes: [0; 128] };
    handle.bytes.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
    let at = (&raw mut handle).cast();
    // SAFETY: `at` is a `struct file_handle` whose `length` bytes are there, and it is not kept.
    let found = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), at, libc::O_PATH | libc::O_CLOEXEC) };
    if found < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call returned a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}
