//! Guests that are saved: each says of itself what a save must say of it.

use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use libc::c_int;

use super::{Shared, block, count, on};

impl Shared {
    /// Says a number of eight bytes under an even number.
    pub(crate) fn say(&self, at: usize, value: u64) {
        self.word(at).store(value as u32, Ordering::SeqCst);
        self.word(at + 1).store((value >> 32) as u32, Ordering::SeqCst);
    }

    /// What was said.
    pub(crate) fn said(&self, at: usize) -> u64 {
        let word = |at: usize| u64::from(self.word(at).load(Ordering::SeqCst));
        word(at) | word(at + 1) << 32
    }
}

/// What [`describes_itself`] says, by number.
pub(crate) const STACK: usize = 20;
pub(crate) const HANDLER: usize = 22;
pub(crate) const PAGES: usize = 24;
pub(crate) const CLEAR: usize = 26;
pub(crate) const BRK: usize = 28;
pub(crate) const TIMER: usize = 30;
pub(crate) const REAL: usize = 32;
pub(crate) const GUARD: usize = 34;

/// Sizes and values that it sets.
pub(crate) const STACK_LENGTH: u64 = 64 << 10;
pub(crate) const SLACK: u64 = 77_000;
pub(crate) const PAGE: usize = 4096;

fn prctl(option: c_int, argument: u64) {
    // SAFETY: numbers, or a string that lives on.
    assert!(unsafe { libc::prctl(option, argument, 0, 0, 0) } >= 0, "prctl {option}");
}

fn map(pages: usize, protection: c_int) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(null_mut(), pages * PAGE, protection, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    memory.cast()
}

/// Whether the kernel has `MADV_GUARD_INSTALL`, and did it.
fn guard(page: *mut u8) -> bool {
    // SAFETY: a page of this guest that nothing uses.
    unsafe { libc::madvise(page.cast(), PAGE, 102) == 0 }
}

/// Has something of all that one process can have, and waits for a byte.
pub(crate) fn describes_itself(shared: Shared) -> i32 {
    let read_write = libc::PROT_READ | libc::PROT_WRITE;
    let stack = map(STACK_LENGTH as usize / PAGE, read_write);
    let setting = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: STACK_LENGTH as usize };
    // SAFETY: `setting` is read; the stack stays mapped.
    assert_eq!(unsafe { libc::sigaltstack(&raw const setting, null_mut()) }, 0);
    shared.say(STACK, stack as u64);
    on(libc::SIGUSR1, count);
    shared.say(HANDLER, count as *const () as u64);
    // SAFETY: numbers only.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let real = libc::SIGRTMIN() + 4;
    shared.say(REAL, real as u64);
    block(&[libc::SIGUSR1, libc::SIGUSR2, real]);
    let pid = std::process::id() as libc::pid_t;
    for value in [11usize, 12] {
        // SAFETY: numbers only.
        unsafe { libc::sigqueue(pid, real, libc::sigval { sival_ptr: value as *mut _ }) };
    }
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGUSR2) };
    prctl(libc::PR_SET_NAME, c"self (a) \xff!".as_ptr() as u64);
    prctl(libc::PR_SET_TIMERSLACK, SLACK);
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    // SAFETY: numbers only.
    unsafe { libc::umask(0o027) };
    let limit = libc::rlimit { rlim_cur: 100, rlim_max: 200 };
    // SAFETY: `limit` is read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let hour = libc::timeval { tv_sec: 3600, tv_usec: 0 };
    let day = libc::timeval { tv_sec: 86_400, tv_usec: 5 };
    // SAFETY: the setting is read.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &libc::itimerval { it_interval: day, it_value: hour }, null_mut()) };
    let timer = a_timer(real);
    shared.say(TIMER, timer as u64);
    // Page 0 holds a pattern, 1 zeros, 2 is not there, 3 cannot be read, 4 guards where the kernel can, 5 holds a pattern.
    let pages = map(6, read_write);
    for (page, value) in [(0, 0xa0u8), (1, 0), (3, 0xa3), (5, 0xa5)] {
        let page = pages.wrapping_add(page * PAGE);
        // SAFETY: within the mapping just made.
        unsafe { page.write_bytes(value, PAGE) };
    }
    // SAFETY: a page of that mapping, which nothing uses any more.
    unsafe { libc::mprotect(pages.wrapping_add(3 * PAGE).cast(), PAGE, libc::PROT_NONE) };
    shared.say(GUARD, u64::from(guard(pages.wrapping_add(4 * PAGE))));
    shared.say(PAGES, pages as u64);
    let mut clear = 0u64;
    prctl(libc::PR_GET_TID_ADDRESS, &raw mut clear as u64);
    shared.say(CLEAR, clear);
    // SAFETY: a number only.
    shared.say(BRK, unsafe { libc::sbrk(0) } as u64);
    shared.ready();
    i32::from(shared.read() != 1)
}

/// A timer that goes off in an hour, and its id in the kernel.
fn a_timer(signal: c_int) -> i32 {
    // SAFETY: all zeroes is a valid sigevent.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    event.sigev_value = libc::sigval { sival_ptr: 0x1234 as *mut _ };
    let mut id = 0i32;
    // SAFETY: `event` is read, `id` written: the kernel's ids are ints.
    let made = unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw const event, &raw mut id) };
    assert_eq!(made, 0);
    let time = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 7, tv_nsec: 8 },
        it_value: libc::timespec { tv_sec: 3600, tv_nsec: 0 },
    };
    // SAFETY: `time` is read.
    assert_eq!(unsafe { libc::syscall(libc::SYS_timer_settime, id, 0, &raw const time, 0usize) }, 0);
    id
}

/// Waits with a socket that cannot be saved.
pub(crate) fn with_a_socket(shared: Shared) -> i32 {
    let socket = crate::sys::inet::socket(libc::AF_INET as u32, libc::SOCK_DGRAM as u32, 0).unwrap();
    let cork = crate::sys::inet::set_number(std::os::fd::AsFd::as_fd(&socket), libc::IPPROTO_UDP, libc::UDP_CORK, 1);
    assert!(cork.is_ok(), "{cork:?}");
    shared.ready();
    i32::from(shared.read() != 1)
}

/// Waits connected to the Unix socket of that name.
pub(crate) fn connected(shared: Shared, name: &[u8]) -> i32 {
    let socket = crate::sys::unix::socket(libc::SOCK_STREAM as u32).unwrap();
    crate::sys::unix::connect(std::os::fd::AsFd::as_fd(&socket), name).unwrap();
    shared.ready();
    i32::from(shared.read() != 1)
}

/// Asks for the time again and again, which the vdso answers, until word 1 is set; fails if it goes back.
pub(crate) fn in_vdso(shared: Shared) -> i32 {
    shared.ready();
    let mut last = std::time::Instant::now();
    while shared.word(1).load(Ordering::SeqCst) == 0 {
        for _ in 0..64 {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `time` is written.
            if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } != 0 {
                return 2;
            }
        }
        let now = std::time::Instant::now();
        if now < last {
            return 1;
        }
        last = now;
    }
    0
}

/// Sleeps for an hour: in the way of `way`.
pub(crate) fn in_long_sleep(shared: Shared, way: u32) -> i32 {
    let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
    shared.ready();
    match way {
        // SAFETY: `hour` is read.
        0 => i32::from(unsafe { libc::nanosleep(&raw const hour, null_mut()) } == 0),
        1 => {
            let mut rest = hour;
            // SAFETY: `hour` is read, `rest` written.
            i32::from(unsafe { libc::syscall(libc::SYS_nanosleep, &raw const hour, &raw mut rest) } == 0)
        }
        // SAFETY: no descriptors.
        2 => unsafe { libc::poll(null_mut(), 0, 3_600_000) },
        _ => {
            let word = shared.word(5).as_ptr();
            // SAFETY: `word` and `hour` are read.
            i32::from(unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, &raw const hour) } == 0)
        }
    }
}

/// Has a child in its memory, which it does not wait for as in vfork(2).
pub(crate) fn with_a_child_in_its_memory(shared: Shared) -> i32 {
    super::with_until_over(shared, 0)
}

/// How many pages [`writes_on`] writes.
pub(crate) const WRITTEN: usize = 200;

/// Writes the number of the round into page after page, on and on, until word 1 is set. So at any time the first pages have one
/// number, and the others the one before.
pub(crate) fn writes_on(shared: Shared) -> i32 {
    let pages = map(WRITTEN, libc::PROT_READ | libc::PROT_WRITE);
    shared.say(PAGES, pages as u64);
    let mut round = 0u64;
    loop {
        for page in 0..WRITTEN {
            let place = pages.wrapping_add(page * PAGE).cast::<u64>();
            // SAFETY: within the mapping, and aligned.
            unsafe { place.write_volatile(round) };
        }
        round += 1;
        if round == 2 {
            shared.ready();
        }
        if shared.word(1).load(Ordering::SeqCst) != 0 {
            return 0;
        }
    }
}

/// Waits for a byte, and becomes another program.
pub(crate) fn execs(shared: Shared) -> i32 {
    use std::os::unix::process::CommandExt;
    shared.ready();
    if shared.read() != 1 {
        return 1;
    }
    // What it has open was made by this test, and is not the program's.
    let error = std::process::Command::new("/bin/sleep").arg("1000").env_clear().exec();
    i32::from(error.raw_os_error().is_some()) + 1
}

/// Maps a page for each byte, says where, and counts them in word 0.
pub(crate) fn maps_on(shared: Shared) -> i32 {
    loop {
        shared.ready();
        if shared.read() != 1 {
            return 1;
        }
        // Pages that follow each other would be one mapping.
        let (apart, page) = (map(1, libc::PROT_NONE), map(1, libc::PROT_READ | libc::PROT_WRITE));
        // SAFETY: within the mapping just made.
        unsafe { page.write_bytes(0x77, PAGE) };
        shared.say(GUARD, apart as u64);
        shared.say(PAGES, page as u64);
    }
}

/// Numbers of the descriptors of [`with_descriptors`].
pub(crate) const OPENED: [usize; 6] = [40, 42, 44, 46, 48, 50];

fn opened(shared: Shared, at: usize, number: i64) -> c_int {
    assert!(number >= 0, "{}", std::io::Error::last_os_error());
    shared.say(OPENED[at], number as u64);
    number as c_int
}

/// Has a pidfd of itself, an inotify instance without watches, a memfd, an eventfd, an epoll instance that watches the eventfd
/// under a number that is closed, and a timerfd; waits.
pub(crate) fn with_descriptors(shared: Shared) -> i32 {
    // SAFETY: numbers only.
    opened(shared, 0, unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) });
    // SAFETY: as above.
    opened(shared, 1, unsafe { libc::inotify_init1(0) }.into());
    // SAFETY: a name that ends with a NUL.
    let memory = opened(shared, 2, unsafe { libc::memfd_create(c"mine".as_ptr(), 0) }.into());
    let pattern = [0x5au8; PAGE];
    // SAFETY: a page is read.
    assert_eq!(unsafe { libc::pwrite(memory, pattern.as_ptr().cast(), PAGE, 3 * PAGE as i64) }, PAGE as isize);
    // SAFETY: numbers only.
    let event = opened(shared, 3, unsafe { libc::eventfd(7, libc::EFD_SEMAPHORE) }.into());
    // SAFETY: as above.
    let epoll = opened(shared, 4, unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into());
    // SAFETY: as above.
    let copy = unsafe { libc::dup(event) };
    let mut watched = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: 99 };
    // SAFETY: `watched` is read.
    assert_eq!(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, copy, &raw mut watched) }, 0);
    // SAFETY: a descriptor of this guest.
    unsafe { libc::close(copy) };
    // SAFETY: numbers only.
    opened(shared, 5, unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) }.into());
    shared.ready();
    i32::from(shared.read() != 1)
}

/// Where [`with_holes`] has its memory, in pages.
pub(crate) const HOLES: usize = 240;

/// Shares memory of which it has written two pages; ends with how many there are.
pub(crate) fn with_holes(shared: Shared) -> i32 {
    let (length, protection) = (HOLES * PAGE, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(null_mut(), length, protection, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    let pages: *mut u8 = memory.cast();
    // Two huge ones would not be two.
    // SAFETY: the mapping just made.
    unsafe { libc::madvise(memory, length, libc::MADV_NOHUGEPAGE) };
    for page in [3, 200] {
        // SAFETY: within that mapping.
        unsafe { pages.wrapping_add(page * PAGE).write(0x42) };
    }
    shared.say(PAGES, pages as u64);
    shared.ready();
    if shared.read() != 1 {
        return -1;
    }
    let mut there = [0u8; HOLES];
    // SAFETY: a byte is written for each page.
    assert_eq!(unsafe { libc::mincore(memory, length, there.as_mut_ptr()) }, 0);
    there.iter().map(|page| i32::from(page & 1)).sum()
}

/// Its child has a lock on a file that both have open, and it waits.
pub(crate) fn with_a_lock_of_its_child(shared: Shared) -> i32 {
    // SAFETY: a path that ends with a NUL.
    let file = unsafe { libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY) };
    assert!(file >= 0);
    // SAFETY: the guest has one thread.
    if unsafe { libc::fork() } == 0 {
        super::die_with_parent();
        // SAFETY: all zeroes is a valid struct flock.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::F_RDLCK as libc::c_short;
        // SAFETY: `lock` is read.
        assert_eq!(unsafe { libc::fcntl(file, libc::F_SETLK, &raw const lock) }, 0);
        shared.ready();
        loop {
            // SAFETY: no arguments.
            unsafe { libc::pause() };
        }
    }
    i32::from(shared.read() != 1)
}
