//! `PROCMAP_QUERY` (linux/fs.h, Linux 6.11): a mapping of a process asked for by its address, without text.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::ioctl::opcode;

/// Flags of [`Found::flags`].
pub const READABLE: u64 = 1;
/// See [`READABLE`].
pub const WRITABLE: u64 = 2;
/// See [`READABLE`].
pub const EXECUTABLE: u64 = 4;
/// See [`READABLE`].
pub const SHARED: u64 = 8;
/// `PROCMAP_QUERY_COVERING_OR_NEXT_VMA`.
const COVERING_OR_NEXT: u64 = 0x10;
/// The longest name: a path of the kernel and what it appends (" (deleted)").
const NAME: usize = 4096 + 32;

#[repr(C)]
#[derive(Default)]
struct Argument {
    size: u64,
    query_flags: u64,
    query_address: u64,
    start: u64,
    end: u64,
    flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device_major: u32,
    device_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

const PROCMAP_QUERY: libc::Ioctl = opcode::read_write::<Argument>(b'f', 17) as libc::Ioctl;

/// A mapping as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// [`READABLE`] and its fellows.
    pub flags: u64,
    /// The size of its pages in bytes.
    pub page_size: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Device (major, minor) and inode of its file; 0 without one.
    pub device: (u32, u32),
    /// See `device`.
    pub inode: u64,
    /// Its name, as in /proc/PID/maps but without escapes.
    pub name: Vec<u8>,
}

/// The mapping that covers `address`, or the next one; none behind the last. `maps` is an open /proc/PID/maps.
///
/// # Errors
/// ENOTTY where the kernel has no PROCMAP_QUERY, ESRCH when the process has ended.
pub fn query(maps: &File, address: u64) -> io::Result<Option<Found>> {
    let mut name = [0u8; NAME];
    let mut argument = Argument {
        size: size_of::<Argument>() as u64,
        query_flags: COVERING_OR_NEXT,
        query_address: address,
        name_size: NAME as u32,
        name: name.as_mut_ptr() as u64,
        ..Argument::default()
    };
    // SAFETY: PROCMAP_QUERY takes a struct procmap_query, whose layout `Argument` has; the kernel writes there and at most
    // `name_size` bytes to `name`, both alive during the call.
    let done = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut argument) };
    if done < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENOENT) { Ok(None) } else { Err(error) };
    }
    let length = (argument.name_size as usize).min(NAME);
    Ok(Some(Found {
        start: argument.start,
        end: argument.end,
        flags: argument.flags,
        page_size: argument.page_size,
        offset: argument.offset,
        device: (argument.device_major, argument.device_minor),
        inode: argument.inode,
        name: name[..length].split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
    }))
}
