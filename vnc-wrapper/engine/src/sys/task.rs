//! What the kernel says of another thread by its id, without stopping it.

use std::io;
use std::mem::size_of;

use libc::{c_long, pid_t};

/// `IOPRIO_WHO_PROCESS` (linux/ioprio.h).
const WHO_PROCESS: c_long = 1;
/// The most processors that are asked for: the kernel's own limit (NR_CPUS) is 8,192.
const PROCESSOR_BYTES: usize = 1024;

fn checked(answer: c_long) -> io::Result<c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The head of its list of robust futexes and the length that it was registered with: get_robust_list(2).
///
/// # Errors
/// `EPERM`: not allowed to trace it; `ESRCH`: no such thread.
pub fn robust_list(tid: pid_t) -> io::Result<(u64, u64)> {
    let (mut head, mut length) = (0u64, 0u64);
    // SAFETY: the kernel writes one pointer to `head` and one size to `length`, both of eight bytes.
    checked(unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut length) })?;
    Ok((head, length))
}

/// `struct sched_attr` in its second size (linux/sched/types.h).
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its size.
    pub size: u32,
    /// `SCHED_OTHER` and others.
    pub policy: u32,
    /// `SCHED_FLAG_RESET_ON_FORK` and others.
    pub flags: u64,
    /// From -20 to 19.
    pub nice: i32,
    /// For the real-time policies, from 1 to 99.
    pub priority: u32,
    /// The slice, or the deadline policy's time, in nanoseconds.
    pub runtime: u64,
    /// The deadline policy's.
    pub deadline: u64,
    /// The deadline policy's.
    pub period: u64,
    /// The least utilisation that the scheduler assumes.
    pub utilisation_least: u32,
    /// The greatest.
    pub utilisation_most: u32,
}

/// How it is scheduled: sched_getattr(2).
///
/// # Errors
/// `ESRCH`: no such thread.
pub fn scheduling(tid: pid_t) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    let size = size_of::<Attributes>();
    // SAFETY: the kernel writes at most `size` bytes to `attributes`.
    checked(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attributes, size, 0) })?;
    Ok(attributes)
}

/// The processors that it may run on, a bit each; as many bytes as the kernel has: sched_getaffinity(2).
///
/// # Errors
/// `ESRCH`: no such thread.
pub fn processors(tid: pid_t) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PROCESSOR_BYTES];
    // SAFETY: the kernel writes at most `PROCESSOR_BYTES` bytes to `bytes`.
    let written =
        checked(unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, PROCESSOR_BYTES, bytes.as_mut_ptr()) })?;
    bytes.truncate(written as usize);
    Ok(bytes)
}

/// Class and level of its input and output: ioprio_get(2).
///
/// # Errors
/// `ESRCH`: no such thread.
pub fn io_priority(tid: pid_t) -> io::Result<u32> {
    // SAFETY: numbers only.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, tid) }).map(|priority| priority as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_described() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let (head, length) = robust_list(tid).unwrap();
        assert!(head != 0 && length == 24, "the C library registers one: {head:#x} {length}");
        let attributes = scheduling(tid).unwrap();
        assert!((-20..=19).contains(&attributes.nice), "{attributes:?}");
        assert!(processors(tid).unwrap().iter().any(|byte| *byte != 0));
        io_priority(tid).unwrap();
    }

    #[test]
    fn a_thread_that_is_not_there_is_an_error() {
        assert_eq!(robust_list(pid_t::MAX).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(processors(pid_t::MAX).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
