//! Putting pages into a stopped process, by the userfaultfd that it made: UFFDIO_COPY, from two threads.
//!
//! The memory is mapped and registered for missing pages before. The registration is ended before the process runs: to close the
//! userfaultfd would not do where somebody has a copy of it. Pages that no run names stay empty. Guard regions are made afterwards: a copy overwrites a guard without a word.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::PAGE;
use crate::sys::userfaultfd::Userfaultfd;

/// How many bytes are read and put at once: each thread's buffer.
const PIECE: u64 = 256 << 10;
/// Threads that fill.
const WORKERS: usize = 2;
/// How often a copy is begun again that the kernel interrupted because mappings change; in a stopped process they do not.
const MOST_RETRIES: u32 = 1000;

/// Where pages come from.
pub trait Source: Sync {
    /// Fills `into` with the content of the pages from `address` on.
    ///
    /// # Errors
    /// When they cannot be had: the fill ends with it.
    fn read(&self, address: u64, into: &mut [u8]) -> io::Result<()>;
}

/// Why pages were not put, and where.
#[derive(Debug, thiserror::Error)]
#[error("memory at {:#x}-{:#x} cannot be {what}: {error}", range.start, range.end)]
pub struct Failure {
    /// The pages.
    pub range: Range<u64>,
    /// What was done: read or put.
    pub what: &'static str,
    /// What the kernel or the source said.
    #[source]
    pub error: io::Error,
}

/// Puts the pages of `runs` from `source`. A run must not leave its mapping.
///
/// # Errors
/// The first failure of either thread; the other one ends at its next piece. Nothing is taken back: who fills discards the
/// process.
pub fn fill(memory: &Userfaultfd, runs: &[Range<u64>], source: &impl Source) -> Result<(), Failure> {
    let pieces: Vec<Range<u64>> = runs.iter().flat_map(pieces_of).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut buffer = vec![0; PIECE as usize];
        while !failed.load(Ordering::Relaxed) {
            let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            put(memory, piece, source, &mut buffer).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..WORKERS.min(pieces.len())).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for other in others {
            let ended = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(ended);
        }
        result
    })
}

fn pieces_of(run: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = run.end;
    (run.start..end).step_by(PIECE as usize).map(move |start| start..end.min(start + PIECE))
}

fn put(memory: &Userfaultfd, piece: &Range<u64>, source: &impl Source, buffer: &mut [u8]) -> Result<(), Failure> {
    let failure = |what, error| Failure { range: piece.clone(), what, error };
    if !piece.start.is_multiple_of(PAGE) || !piece.end.is_multiple_of(PAGE) {
        return Err(failure("put", io::Error::new(io::ErrorKind::InvalidInput, "not whole pages")));
    }
    let bytes = &mut buffer[..(piece.end - piece.start) as usize];
    source.read(piece.start, bytes).map_err(|error| failure("read", error))?;
    let (mut done, mut retries) = (0, 0);
    while done < bytes.len() {
        match memory.copy(piece.start + done as u64, &bytes[done..]) {
            Ok(copied) => done += copied,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && retries < MOST_RETRIES => retries += 1,
            Err(error) => return Err(failure("put", error)),
        }
    }
    Ok(())
}
