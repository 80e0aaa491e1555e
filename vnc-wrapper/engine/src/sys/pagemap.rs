//! /proc/PID/pagemap: what each page of a process is (admin-guide/mm/pagemap.rst).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::ioctl::opcode;

use crate::memory::PAGE;

/// The page's mapping is registered for asynchronous write protection (`PAGE_IS_WPALLOWED`, linux/fs.h).
pub const WPALLOWED: u64 = 1;
/// Written since it was protected; also said of what was never protected.
pub const WRITTEN: u64 = 1 << 1;
/// Of a file, or of shared memory: not a private page. Asking for it makes a scan several times slower.
pub const FILE: u64 = 1 << 2;
/// In memory.
pub const PRESENT: u64 = 1 << 3;
/// Swapped out; also said of marks that the kernel leaves in place of pages.
pub const SWAPPED: u64 = 1 << 4;
/// The kernel's page of zeros.
pub const ZERO: u64 = 1 << 5;
/// A guard region (Linux 6.15; [`Pagemap::scan`] answers EINVAL before).
pub const GUARD: u64 = 1 << 8;

/// `PM_SCAN_WP_MATCHING`: protect what is reported.
pub const PROTECT: u64 = 1;
/// `PM_SCAN_CHECK_WPASYNC`: EPERM where memory is not registered.
pub const CHECK_REGISTERED: u64 = 2;

/// Bits of an entry: soft-dirty, mapped exclusively, of a file or shared, swapped, present.
pub const ENTRY_SOFT_DIRTY: u64 = 1 << 55;
/// See [`ENTRY_SOFT_DIRTY`].
pub const ENTRY_EXCLUSIVE: u64 = 1 << 56;
/// See [`ENTRY_SOFT_DIRTY`]. A guard region (Linux 6.15).
pub const ENTRY_GUARD: u64 = 1 << 58;
/// See [`ENTRY_SOFT_DIRTY`].
pub const ENTRY_FILE: u64 = 1 << 61;
/// See [`ENTRY_SOFT_DIRTY`].
pub const ENTRY_SWAPPED: u64 = 1 << 62;
/// See [`ENTRY_SOFT_DIRTY`].
pub const ENTRY_PRESENT: u64 = 1 << 63;

/// A run of pages of the same categories, by addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Those of the asked categories that its pages have.
    pub categories: u64,
}

/// What a scan reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// [`PROTECT`], [`CHECK_REGISTERED`].
    pub flags: u64,
    /// Categories whose absence counts as a match.
    pub inverted: u64,
    /// Categories of which a page must have one; 0: every page is reported.
    pub any: u64,
    /// The categories that are reported.
    pub report: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vector: u64,
    vector_length: u64,
    most_pages: u64,
    inverted: u64,
    all: u64,
    any: u64,
    report: u64,
}

const PAGEMAP_SCAN: libc::Ioctl = opcode::read_write::<ScanArgument>(b'f', 16) as libc::Ioctl;

/// The pagemap of one process.
#[derive(Debug)]
pub struct Pagemap(File);

impl Pagemap {
    /// Opens that of process `pid`.
    ///
    /// # Errors
    /// When there is no such process, or it may not be looked into.
    pub fn open(pid: u32) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/pagemap")).map(Self)
    }

    /// Scans from `range.start` on and fills `runs`. Returns how many were found and the address that the scan came to:
    /// `range.end` unless `runs` was full.
    ///
    /// # Errors
    /// ENOTTY where the kernel has no PAGEMAP_SCAN, EPERM for [`CHECK_REGISTERED`], EINVAL for an unknown category.
    pub fn scan(&self, range: Range<u64>, query: Query, runs: &mut [Run]) -> io::Result<(usize, u64)> {
        let mut argument = ScanArgument {
            size: size_of::<ScanArgument>() as u64,
            flags: query.flags,
            start: range.start,
            end: range.end,
            vector: runs.as_mut_ptr() as u64,
            vector_length: runs.len() as u64,
            inverted: query.inverted,
            any: query.any,
            report: query.report,
            ..ScanArgument::default()
        };
        // SAFETY: PAGEMAP_SCAN takes a struct pm_scan_arg, whose layout `ScanArgument` has; the kernel writes `walk_end` and at
        // most `vector_length` runs to `vector`, which is `runs`, borrowed for the call; `Run` is struct page_region.
        let found = unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        Ok((found, argument.walk_end))
    }

    /// Reads the entries of the pages from address `at` on; returns how many were read: fewer than asked at the end of the
    /// address space.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entries(&self, at: u64, entries: &mut [u64]) -> io::Result<usize> {
        let mut bytes = vec![0; entries.len() * 8];
        let read = self.0.read_at(&mut bytes, at / PAGE * 8)?;
        for (entry, bytes) in entries.iter_mut().zip(bytes[..read / 8 * 8].as_chunks::<8>().0) {
            *entry = u64::from_ne_bytes(*bytes);
        }
        Ok(read / 8)
    }
}

/// Clears the soft-dirty bits of process `pid` (proc(5), clear_refs): a write from now on sets them again.
///
/// # Errors
/// When the process has ended or may not be looked into. A kernel without soft-dirty bits accepts it.
pub fn clear_soft_dirty(pid: u32) -> io::Result<()> {
    OpenOptions::new().write(true).open(format!("/proc/{pid}/clear_refs"))?.write_all(b"4")
}
