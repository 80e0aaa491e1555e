//! userfaultfd(2), as a normal user may have it: faults of user mode only.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::ioctl::opcode;

/// `UFFD_USER_MODE_ONLY` (linux/userfaultfd.h): what a user without privilege has to pass.
pub const USER_MODE_ONLY: u64 = 1;
/// The flags that userfaultfd(2) is called with, here and by calls made in another process.
pub const OPEN_FLAGS: u64 = libc::O_CLOEXEC as u64 | libc::O_NONBLOCK as u64 | USER_MODE_ONLY;

/// `UFFD_FEATURE_WP_UNPOPULATED`: pages that are not there can be protected too (Linux 6.4).
pub const WP_UNPOPULATED: u64 = 1 << 13;
/// `UFFD_FEATURE_WP_ASYNC`: the kernel itself lifts the protection at a write and remembers it (Linux 6.7).
pub const WP_ASYNC: u64 = 1 << 15;

/// `UFFD_API`.
const API: u64 = 0xaa;
const GROUP: u8 = 0xaa;

#[repr(C)]
struct ApiArgument {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct RangeArgument {
    start: u64,
    length: u64,
}

#[repr(C)]
struct RegisterArgument {
    range: RangeArgument,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct CopyArgument {
    to: u64,
    from: u64,
    length: u64,
    mode: u64,
    copied: i64,
}

const UFFDIO_API: libc::Ioctl = opcode::read_write::<ApiArgument>(GROUP, 0x3f) as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl = opcode::read_write::<RegisterArgument>(GROUP, 0) as libc::Ioctl;
const UFFDIO_UNREGISTER: libc::Ioctl = opcode::read::<RangeArgument>(GROUP, 1) as libc::Ioctl;
const UFFDIO_COPY: libc::Ioctl = opcode::read_write::<CopyArgument>(GROUP, 3) as libc::Ioctl;
/// `UFFDIO_COPY_MODE_DONTWAKE`: nobody waits for the page.
const DONT_WAKE: u64 = 1;

/// What a range is registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Pages that are not there: they are filled by [`Userfaultfd::copy`].
    Missing,
    /// Writes to protected pages.
    Writes,
}

/// A userfaultfd that has been told its features. It acts on the memory of the process that made it.
#[derive(Debug)]
pub struct Userfaultfd(OwnedFd);

/// A new userfaultfd of this process, without features yet.
///
/// # Errors
/// When the kernel has none or forbids it.
pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: the call takes flags and returns a descriptor or -1.
    let number = unsafe { libc::syscall(libc::SYS_userfaultfd, OPEN_FLAGS) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it. Descriptors fit an int.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

impl Userfaultfd {
    /// Agrees on `features` for a descriptor that has none yet, however it was come by: opened here, or made in another
    /// process and taken with pidfd_getfd(2).
    ///
    /// # Errors
    /// EINVAL when the kernel lacks one of `features`, or they were agreed on before.
    pub fn start(descriptor: OwnedFd, features: u64) -> io::Result<Self> {
        let mut argument = ApiArgument { api: API, features, ioctls: 0 };
        // SAFETY: UFFDIO_API takes a struct uffdio_api, whose layout `ApiArgument` has, and writes only there.
        let done = unsafe { libc::ioctl(descriptor.as_raw_fd(), UFFDIO_API, &raw mut argument) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(descriptor)) }
    }

    /// Registers `range` of addresses.
    ///
    /// # Errors
    /// EINVAL for what cannot be registered (vdso, droppable memory, gaps), EPERM for shared files that may not be written,
    /// EBUSY when another userfaultfd has it, ESRCH when the process has ended.
    pub fn register(&self, range: Range<u64>, mode: Mode) -> io::Result<()> {
        let mode = match mode {
            Mode::Missing => 1,
            Mode::Writes => 2,
        };
        let range = RangeArgument { start: range.start, length: range.end.saturating_sub(range.start) };
        let mut argument = RegisterArgument { range, mode, ioctls: 0 };
        // SAFETY: UFFDIO_REGISTER takes a struct uffdio_register, whose layout `RegisterArgument` has, and writes only there.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_REGISTER, &raw mut argument) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Ends the registration of `range`.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub fn unregister(&self, range: Range<u64>) -> io::Result<()> {
        let mut argument = RangeArgument { start: range.start, length: range.end.saturating_sub(range.start) };
        // SAFETY: UFFDIO_UNREGISTER takes a struct uffdio_range, whose layout `RangeArgument` has.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_UNREGISTER, &raw mut argument) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Puts `bytes` (whole pages) at address `to`, where registered pages are missing. Returns how many bytes were put: fewer
    /// than asked when the kernel was interrupted.
    ///
    /// # Errors
    /// EEXIST when a page is there already, ENOENT when `to` is not in registered memory or the run leaves a mapping, EAGAIN
    /// when the memory's mappings are being changed, ESRCH when the process has ended.
    pub fn copy(&self, to: u64, bytes: &[u8]) -> io::Result<usize> {
        let from = bytes.as_ptr() as u64;
        let mut argument = CopyArgument { to, from, length: bytes.len() as u64, mode: DONT_WAKE, copied: 0 };
        // SAFETY: UFFDIO_COPY takes a struct uffdio_copy, whose layout `CopyArgument` has; the kernel reads `bytes`, which
        // outlive the call, and writes `copied` and the memory of the descriptor's process only.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_COPY, &raw mut argument) };
        if done == 0 {
            return Ok(bytes.len());
        }
        let error = io::Error::last_os_error();
        match usize::try_from(argument.copied) {
            Ok(copied) if copied > 0 => Ok(copied),
            _ => Err(error),
        }
    }
}
