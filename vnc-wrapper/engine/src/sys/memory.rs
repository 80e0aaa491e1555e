//! Memory of another process: process_vm_readv(2) and process_vm_writev(2), and `/proc/PID/mem` for what they refuse.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use libc::pid_t;

/// Reads as much as can be read at `address`; returns how many bytes.
///
/// # Errors
/// `EFAULT`: nothing there; `ESRCH`: no such process; `EPERM`: not allowed to trace it.
pub fn read_some(pid: pid_t, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let ours = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let theirs = libc::iovec { iov_base: address as *mut _, iov_len: into.len() };
    // SAFETY: the kernel writes at most `iov_len` bytes to `into`; `theirs` is an address in the other process only.
    let read = unsafe { libc::process_vm_readv(pid, &raw const ours, 1, &raw const theirs, 1, 0) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(read as usize) }
}

/// Fills `into` with what is at `address`.
///
/// # Errors
/// As [`read_some`]; `UnexpectedEof` when only the first part could be read.
pub fn read(pid: pid_t, address: u64, into: &mut [u8]) -> io::Result<()> {
    let read = read_some(pid, address, into)?;
    if read == into.len() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("only {read} of {} bytes at {address:#x}", into.len())))
}

/// Writes `from` to `address`, where the process itself may write.
///
/// # Errors
/// As [`read_some`]; `WriteZero` when only the first part could be written.
pub fn write(pid: pid_t, address: u64, from: &[u8]) -> io::Result<()> {
    let ours = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let theirs = libc::iovec { iov_base: address as *mut _, iov_len: from.len() };
    // SAFETY: the kernel only reads `from`; `theirs` is an address in the other process only.
    let written = unsafe { libc::process_vm_writev(pid, &raw const ours, 1, &raw const theirs, 1, 0) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    if written as usize == from.len() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::WriteZero, format!("only {written} of {} bytes at {address:#x}", from.len())))
}

/// Fills `into` with what is at `address`, also where the process itself may not read.
///
/// # Errors
/// Those of pread(2) on `/proc/PID/mem`.
pub fn read_protected(pid: pid_t, address: u64, into: &mut [u8]) -> io::Result<()> {
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(into, address)
}
