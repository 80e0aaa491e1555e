//! Calls on descriptors that the engine records and makes: fcntl(2), poll(2), eventfd(2), timerfd_create(2), signalfd(2), epoll(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::{c_int, c_short, pid_t};
use rustix::ioctl::opcode;

/// `F_SETSIG`, `F_GETSIG`, `F_SETOWN_EX`, `F_GETOWN_EX` (include/uapi/asm-generic/fcntl.h).
const SET_SIGNAL: c_int = 10;
const GET_SIGNAL: c_int = 11;
const SET_OWNER: c_int = 15;
const GET_OWNER: c_int = 16;
/// `TFD_IOC_SET_TICKS` (include/uapi/linux/timerfd.h).
const SET_TICKS: libc::Ioctl = opcode::write::<u64>(b'T', 0) as libc::Ioctl;

fn outcome(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn made(result: c_int) -> io::Result<OwnedFd> {
    let number = outcome(result)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `F_GETFL`: access mode and status flags, as the kernel counts them.
///
/// # Errors
/// Those of fcntl(2).
pub fn flags(descriptor: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: numbers only.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL) }).map(c_int::cast_unsigned)
}

/// `F_SETFL`: sets those flags that can be set.
///
/// # Errors
/// Those of fcntl(2).
pub fn set_flags(descriptor: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    // SAFETY: numbers only.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags.cast_signed()) }).map(drop)
}

/// Who gets signals of a description (`struct f_owner_ex`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `F_OWNER_TID`, `F_OWNER_PID` or `F_OWNER_PGRP`.
    pub kind: c_int,
    /// In the caller's pid namespace; 0: nobody, or nobody there.
    pub id: pid_t,
}

/// `F_GETOWN_EX`.
///
/// # Errors
/// Those of fcntl(2); `EBADF` for one of `O_PATH`.
pub fn owner(descriptor: BorrowedFd<'_>) -> io::Result<Owner> {
    let mut owner = Owner::default();
    // SAFETY: F_GETOWN_EX writes a struct f_owner_ex, whose layout `Owner` has.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), GET_OWNER, &raw mut owner) })?;
    Ok(owner)
}

/// `F_SETOWN_EX`.
///
/// # Errors
/// Those of fcntl(2); `ESRCH`: there is no such process or group.
pub fn set_owner(descriptor: BorrowedFd<'_>, owner: Owner) -> io::Result<()> {
    // SAFETY: F_SETOWN_EX reads a struct f_owner_ex, whose layout `Owner` has.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), SET_OWNER, &raw const owner) }).map(drop)
}

/// `F_GETSIG`: the signal instead of SIGIO; 0: SIGIO.
///
/// # Errors
/// Those of fcntl(2).
pub fn signal(descriptor: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: numbers only.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), GET_SIGNAL) })
}

/// `F_SETSIG`.
///
/// # Errors
/// Those of fcntl(2).
pub fn set_signal(descriptor: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    // SAFETY: numbers only.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), SET_SIGNAL, signal) }).map(drop)
}

/// What of `events` (`POLL`), and of POLLERR and POLLHUP, holds now. Does not wait.
///
/// # Errors
/// Those of poll(2).
pub fn ready(descriptor: BorrowedFd<'_>, events: c_short) -> io::Result<c_short> {
    let mut asked = libc::pollfd { fd: descriptor.as_raw_fd(), events, revents: 0 };
    // SAFETY: one struct pollfd is read and written.
    outcome(unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(asked.revents)
}

/// A new eventfd(2).
///
/// # Errors
/// Those of eventfd(2).
pub fn eventfd(semaphore: bool) -> io::Result<OwnedFd> {
    let flags = libc::EFD_CLOEXEC | if semaphore { libc::EFD_SEMAPHORE } else { 0 };
    // SAFETY: numbers only.
    made(unsafe { libc::eventfd(0, flags) })
}

/// A new signalfd(2) for the signals of `mask`: bit N is signal N + 1.
///
/// # Errors
/// Those of signalfd(2).
pub fn signalfd(mask: u64) -> io::Result<OwnedFd> {
    // SAFETY: signalfd4 reads the kernel's sigset_t: eight bytes.
    let result = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, 8, libc::SFD_CLOEXEC) };
    made(result as c_int)
}

/// A new timerfd.
///
/// # Errors
/// Those of timerfd_create(2).
pub fn timerfd(clock: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::timerfd_create(clock, libc::TFD_CLOEXEC) })
}

fn timespec(time: Duration) -> libc::timespec {
    // A time that the kernel takes fits; one that does not is refused by it.
    libc::timespec { tv_sec: time.as_secs() as libc::time_t, tv_nsec: time.subsec_nanos().into() }
}

fn duration(time: libc::timespec) -> Duration {
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// timerfd_settime(2): first expiry and what is between later ones. Sets the unread expiries to 0.
///
/// # Errors
/// Those of timerfd_settime(2).
pub fn set_timer(timer: BorrowedFd<'_>, flags: u32, value: Duration, interval: Duration) -> io::Result<()> {
    let setting = libc::itimerspec { it_interval: timespec(interval), it_value: timespec(value) };
    // SAFETY: the kernel reads `setting`; no old value is asked for.
    let result = unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), flags.cast_signed(), &raw const setting, std::ptr::null_mut())
    };
    outcome(result).map(drop)
}

/// timerfd_gettime(2): until the next expiry, and the interval.
///
/// # Errors
/// Those of timerfd_gettime(2).
pub fn timer(timer: BorrowedFd<'_>) -> io::Result<(Duration, Duration)> {
    let zero = timespec(Duration::ZERO);
    let mut setting = libc::itimerspec { it_interval: zero, it_value: zero };
    // SAFETY: the kernel writes `setting`.
    outcome(unsafe { libc::timerfd_gettime(timer.as_raw_fd(), &raw mut setting) })?;
    Ok((duration(setting.it_value), duration(setting.it_interval)))
}

/// `TFD_IOC_SET_TICKS`: sets the unread expiries, which are not 0.
///
/// # Errors
/// ENOTTY on a kernel without CONFIG_CHECKPOINT_RESTORE, EINVAL for 0.
pub fn set_ticks(timer: BorrowedFd<'_>, ticks: u64) -> io::Result<()> {
    // SAFETY: TFD_IOC_SET_TICKS reads a 64-bit number.
    outcome(unsafe { libc::ioctl(timer.as_raw_fd(), SET_TICKS, &raw const ticks) }).map(drop)
}

/// The time of a clock, since its beginning.
///
/// # Errors
/// Those of clock_gettime(2).
pub fn clock(clock: i32) -> io::Result<Duration> {
    let mut time = timespec(Duration::ZERO);
    // SAFETY: the kernel writes `time`.
    outcome(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(duration(time))
}

/// A new epoll(7) instance.
///
/// # Errors
/// Those of epoll_create1(2).
pub fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// What `epoll` has to give now, at most `most`: events and data. Does not wait.
///
/// # Errors
/// Those of epoll_wait(2).
pub fn events(epoll: BorrowedFd<'_>, most: usize) -> io::Result<Vec<(u32, u64)>> {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most];
    // SAFETY: at most `most` events are written to `events`.
    let result = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), most as c_int, 0) };
    events.truncate(outcome(result)? as usize);
    Ok(events.iter().map(|event| (event.events, event.u64)).collect())
}

/// Lets `epoll` watch `target` under `number`, which this process need not have: the watch is made in a thread with a table of
/// descriptors of its own. `events` and `data` as in `struct epoll_event`.
///
/// # Errors
/// Those of epoll_ctl(2) and dup3(2); EBADF for a number above the limit.
pub fn watch(epoll: BorrowedFd<'_>, target: BorrowedFd<'_>, number: RawFd, events: u32, data: u64) -> io::Result<()> {
    in_table_of_its_own(|| add(epoll, target, number, events, data))
}

/// As [`watch`], but its one event (EPOLLONESHOT) has been given: it watches nothing until it is set again. Where the target has
/// none of `POLLIN`, `POLLOUT` and the others now, its first error or hang-up will be given. To be made before those of
/// [`watch`], so that the event that is taken here is its own.
///
/// # Errors
/// As [`watch`].
pub fn watch_nothing(epoll: BorrowedFd<'_>, target: BorrowedFd<'_>, number: RawFd, data: u64) -> io::Result<()> {
    let asked = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;
    let now = ready(target, asked)?;
    in_table_of_its_own(|| {
        add(epoll, target, number, libc::EPOLLONESHOT as u32 | u32::from(now.cast_unsigned()), data)?;
        if now != 0 {
            events(epoll, 1)?;
        }
        Ok(())
    })
}

fn add(epoll: BorrowedFd<'_>, target: BorrowedFd<'_>, number: RawFd, events: u32, data: u64) -> io::Result<()> {
    // Out of the way of `number`, which may be theirs.
    let above = number.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
    let mut instance = epoll.as_raw_fd();
    if instance == number {
        // SAFETY: numbers only; the copy ends with this thread's table.
        instance = outcome(unsafe { libc::fcntl(instance, libc::F_DUPFD_CLOEXEC, above) })?;
    }
    if target.as_raw_fd() != number {
        // SAFETY: numbers only; this thread's table is its own, so nobody's descriptor is closed.
        outcome(unsafe { libc::dup3(target.as_raw_fd(), number, libc::O_CLOEXEC) })?;
    }
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: one event is read.
    outcome(unsafe { libc::epoll_ctl(instance, libc::EPOLL_CTL_ADD, number, &raw mut event) }).map(drop)
}

fn in_table_of_its_own(work: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            // SAFETY: from here on this thread has a copy of all descriptors; it ends after `work`, and its copies with it.
            outcome(unsafe { libc::unshare(libc::CLONE_FILES) })?;
            work()
        });
        done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// `F_OFD_SETLK` (fcntl(2)): locks bytes from `start` to `last` (None: to the end) for the description. Does not wait.
///
/// # Errors
/// EAGAIN when another description has them, EBADF when it was not opened so that it may lock them.
pub fn lock(descriptor: BorrowedFd<'_>, exclusive: bool, start: u64, last: Option<u64>) -> io::Result<()> {
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    let signed = |number: u64| i64::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let length = last.map_or(Some(0), |last| last.checked_sub(start)?.checked_add(1)).unwrap_or(u64::MAX);
    let lock = libc::flock {
        l_type: kind as c_short,
        l_whence: libc::SEEK_SET as c_short,
        l_start: signed(start)?,
        // To the last byte that there can be is to the end.
        l_len: if last == Some(i64::MAX.cast_unsigned()) { 0 } else { signed(length)? },
        l_pid: 0,
    };
    // SAFETY: F_OFD_SETLK reads a struct flock.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }).map(drop)
}

/// `F_SETLEASE` (fcntl(2)): for writing, else for reading.
///
/// # Errors
/// EAGAIN when others have it open, EACCES when the file is another user's.
#[cfg(test)]
pub(crate) fn lease(descriptor: BorrowedFd<'_>, exclusive: bool) -> io::Result<()> {
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    // SAFETY: numbers only.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETLEASE, kind) }).map(drop)
}

/// Another open file description of what `descriptor` refers to, with these flags of open(2).
///
/// # Errors
/// Those of open(2).
pub fn reopen(descriptor: BorrowedFd<'_>, flags: u32) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}\0", descriptor.as_raw_fd());
    let flags = flags.cast_signed() | libc::O_CLOEXEC | libc::O_NOCTTY;
    // SAFETY: open(2) reads a string that ends with a zero.
    made(unsafe { libc::open(path.as_ptr().cast(), flags) })
}

/// A copy of `descriptor`, which shares its open file description.
///
/// # Errors
/// Those of fcntl(2).
pub fn copy(descriptor: impl AsFd) -> io::Result<OwnedFd> {
    descriptor.as_fd().try_clone_to_owned()
}
