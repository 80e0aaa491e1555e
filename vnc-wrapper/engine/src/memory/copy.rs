//! Reading pages of another process.

use std::io;
use std::ops::Range;

use super::PAGE;
use super::pages::PageSet;
use crate::sys::{memory, vmcopy};

/// How much is read by one call, in bytes.
const BATCH: u64 = 1 << 20;

/// Where pages go. Addresses are of the process that is read, sizes are multiples of [`PAGE`].
pub trait Sink {
    /// The pages from `address` on hold `bytes` now. What was said of them before no longer holds.
    ///
    /// # Errors
    /// When they cannot be kept; the pass ends with it.
    fn pages(&mut self, address: u64, bytes: &[u8]) -> io::Result<()>;

    /// The pages of `range` hold nothing of the process's own any more.
    ///
    /// # Errors
    /// As [`Self::pages`].
    fn gone(&mut self, range: Range<u64>) -> io::Result<()>;
}

/// Reads `pages` of process `pid` into `sink`. Returns those that could not be read: given back or unmapped since they were
/// found, when the process runs.
///
/// # Errors
/// When the process cannot be read at all, or `sink` fails.
pub fn copy(pid: u32, pages: &PageSet, sink: &mut impl Sink) -> io::Result<PageSet> {
    let mut unread = PageSet::new();
    let mut buffer = vec![0; BATCH as usize];
    let mut batch = Vec::new();
    let mut length = 0;
    for run in pages.runs() {
        let mut start = run.start;
        while start < run.end {
            let end = run.end.min(start + BATCH - length);
            length += end - start;
            batch.push(start..end);
            start = end;
            if length == BATCH || batch.len() == vmcopy::MOST_RANGES {
                read_batch(pid, &batch, &mut buffer, sink, &mut unread)?;
                batch.clear();
                length = 0;
            }
        }
    }
    if !batch.is_empty() {
        read_batch(pid, &batch, &mut buffer, sink, &mut unread)?;
    }
    Ok(unread)
}

fn read_batch(
    pid: u32,
    batch: &[Range<u64>],
    buffer: &mut [u8],
    sink: &mut impl Sink,
    unread: &mut PageSet,
) -> io::Result<()> {
    let mut rest: Vec<Range<u64>> = batch.to_vec();
    while !rest.is_empty() {
        let length: u64 = rest.iter().map(|range| range.end - range.start).sum();
        let read = match vmcopy::read(pid, &rest, &mut buffer[..length as usize]) {
            Ok(read) => read as u64 / PAGE * PAGE,
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => 0,
            Err(error) => return Err(error),
        };
        let mut left = read;
        let mut from = 0;
        while let Some(first) = rest.first_mut() {
            let taken = left.min(first.end - first.start);
            if taken > 0 {
                sink.pages(first.start, &buffer[from as usize..(from + taken) as usize])?;
                (left, from, first.start) = (left - taken, from + taken, first.start + taken);
            }
            if first.start < first.end {
                break;
            }
            rest.remove(0);
        }
        // The call stopped at a page that it cannot read: one without PROT_READ, which /proc/PID/mem reads for those who may
        // trace, or one that is gone.
        if let Some(first) = rest.first_mut() {
            let page = &mut buffer[..PAGE as usize];
            match memory::read_protected(pid.cast_signed(), first.start, page) {
                Ok(()) => sink.pages(first.start, page)?,
                Err(_) => unread.insert(first.start..first.start + PAGE),
            }
            first.start += PAGE;
            if first.start == first.end {
                rest.remove(0);
            }
        }
    }
    Ok(())
}
