//! kcmp(2): whether two processes share a kernel object.

use std::cmp::Ordering;
use std::io;

use libc::pid_t;

/// What is compared. Numbers: `include/uapi/linux/kcmp.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The open file descriptions behind two descriptors.
    File(i32, i32),
    /// The open file description behind a descriptor of the first process, and what an epoll instance of the second watches.
    Watched {
        /// The descriptor.
        descriptor: i32,
        /// That of the epoll instance.
        epoll: i32,
        /// The number that is watched.
        number: u32,
        /// Which of the watches with that number, in the order of `fdinfo`.
        at: u32,
    },
    /// Memory.
    Memory,
    /// Tables of descriptors.
    Descriptors,
    /// Root, working directory and umask.
    Directories,
    /// Signal handlers.
    Handlers,
    /// What is done to System V semaphores at the end (SEM_UNDO); those that have nothing of the kind are equal.
    Undo,
}

/// Compares; the order of different ones is arbitrary, but the same for as long as they live.
///
/// # Errors
/// `EPERM`, `ESRCH`, `EBADF`; `ENOSYS` on a kernel without it.
pub fn compare(first: pid_t, second: pid_t, what: What) -> io::Result<Ordering> {
    let slot;
    let (kind, one, two) = match what {
        What::File(one, two) => (0, i64::from(one), i64::from(two)),
        What::Memory => (1, 0, 0),
        What::Descriptors => (2, 0, 0),
        What::Directories => (3, 0, 0),
        What::Handlers => (4, 0, 0),
        What::Undo => (6, 0, 0),
        What::Watched { descriptor, epoll, number, at } => {
            // struct kcmp_epoll_slot: efd, tfd, toff.
            slot = [epoll.cast_unsigned(), number, at];
            (7, i64::from(descriptor), slot.as_ptr() as i64)
        }
    };
    // SAFETY: numbers only, but for KCMP_EPOLL_TFD: it reads three 32-bit numbers, which `slot` holds.
    match unsafe { libc::syscall(libc::SYS_kcmp, first, second, kind, one, two) } {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        n if n > 1 => Ok(Ordering::Greater),
        _ => Err(io::Error::last_os_error()),
    }
}
