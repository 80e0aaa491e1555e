//! POSIX message queues through their descriptors (mq_overview(7)). No call waits.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;

/// How much a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// How many messages it may hold.
    pub capacity: i64,
    /// How long a message may be, in bytes.
    pub length: i64,
    /// How many messages wait.
    pub waiting: i64,
}

/// Whether a descriptor is of an open queue. Not by fstatfs(2), which asks whom a file system belongs to: one that stands still does not
/// answer.
#[must_use]
pub fn is_one(descriptor: BorrowedFd<'_>) -> bool {
    attributes(descriptor).is_ok()
}

fn outcome(result: libc::c_long) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

/// mq_getattr(3).
///
/// # Errors
/// Those of mq_getsetattr(2).
pub fn attributes(queue: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut attributes = [0i64; 8];
    let none = null_mut::<i64>();
    // SAFETY: `struct mq_attr` of eight longs is written.
    outcome(unsafe { libc::syscall(libc::SYS_mq_getsetattr, queue.as_raw_fd(), none, attributes.as_mut_ptr()) })?;
    let [_, capacity, length, waiting, ..] = attributes;
    Ok(Attributes { capacity, length, waiting })
}

/// A time that has passed: a call that would wait fails by `ETIMEDOUT`.
static PASSED: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Takes the first message out of a queue: its length and priority; none: nothing waits.
///
/// # Errors
/// Those of mq_timedreceive(2); `EMSGSIZE` where a message might not fit.
pub fn receive(queue: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<Option<(usize, u32)>> {
    let mut priority: libc::c_uint = 0;
    let (place, length) = (into.as_mut_ptr(), into.len());
    let call = libc::SYS_mq_timedreceive;
    // SAFETY: at most `length` bytes are written to `into`, and one number to `priority`; the time is read.
    let got = unsafe { libc::syscall(call, queue.as_raw_fd(), place, length, &raw mut priority, &raw const PASSED) };
    match outcome(got) {
        Ok(length) => Ok(Some((length, priority))),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ETIMEDOUT)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends a message.
///
/// # Errors
/// Those of mq_timedsend(2); `EAGAIN` or `ETIMEDOUT` where the queue is full.
pub fn send(queue: BorrowedFd<'_>, bytes: &[u8], priority: u32) -> io::Result<()> {
    let (place, length) = (bytes.as_ptr(), bytes.len());
    let call = libc::SYS_mq_timedsend;
    // SAFETY: `bytes` and the time are read.
    let sent = unsafe { libc::syscall(call, queue.as_raw_fd(), place, length, priority, &raw const PASSED) };
    outcome(sent).map(drop)
}
