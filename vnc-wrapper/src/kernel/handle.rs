//! File handles (open_by_handle_at(2)): /proc names by them what an inotify descriptor watches, an overlay what is below it.

use std::ffi::CStr;
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

/// The handle of `name` in `directory`, without following a link: its type and its bytes.
///
/// # Errors
/// When there is no such entry, or its file system has no handles.
pub fn of(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<(i32, Vec<u8>)> {
    let mut handle = Handle { length: 128, kind: 0, bytes: [0; 128] };
    let mut mount = 0;
    let at = (&raw mut handle).cast();
    // SAFETY: `name` ends with a NUL, and `at` is a `struct file_handle` with room for `length` bytes, which the kernel fills in.
    let done = unsafe { libc::name_to_handle_at(directory.as_raw_fd(), name.as_ptr(), at, &raw mut mount, 0) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    let length = usize::try_from(handle.length).unwrap_or_default();
    Ok((handle.kind, handle.bytes.get(..length).unwrap_or_default().to_vec()))
}
