//! Write-back of single files.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Starts and awaits write-back of the file's dirty pages, without forcing its metadata (sync_file_range(2)).
///
/// After it every page is clean and write-protected, so the next store through a shared mapping faults and updates the
/// inode's ctime. That is what makes "unchanged ctime" mean "unchanged contents" for mapped files.
///
/// # Errors
/// When the device fails.
pub fn write_back(file: &File) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the call takes numbers only; the descriptor is open for as long as `file` is borrowed.
    Errno::result(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) })?;
    Ok(())
}
