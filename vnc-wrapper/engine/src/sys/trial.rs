//! Trying what a kernel can do. What would change this process, or needs one thread, is tried in a child that makes system
//! calls only and ends.

use std::io;
use std::time::Duration;

use rustix::ioctl::opcode;

/// An outcome: done, or the error number that the kernel gave. 0 stands for "accepted, but without effect".
pub type Outcome = Result<(), i32>;

const PAGE: usize = 4096;
/// `PR_TIMER_CREATE_RESTORE_IDS` and its `ON` (linux/prctl.h, Linux 6.16).
const PR_TIMER_CREATE_RESTORE_IDS: libc::c_int = 77;
/// `MADV_GUARD_INSTALL` (Linux 6.13).
const MADV_GUARD_INSTALL: libc::c_int = 102;
/// `MAP_DROPPABLE` (Linux 6.11), a kind of mapping like `MAP_PRIVATE`.
const MAP_DROPPABLE: libc::c_int = 8;
/// How long a slice the engine asks for while the session stands still.
pub const SLICE: Duration = Duration::from_millis(100);
/// Exit status of a trial that was accepted without effect; no error number is as high.
const NO_EFFECT: i32 = 254;

/// `struct sched_attr`, as long as its first version (`SCHED_ATTR_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct Scheduling {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// `struct clone_args` (clone3(2)).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

fn last() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn outcome(result: i64) -> Outcome {
    if result < 0 { Err(last()) } else { Ok(()) }
}

/// Runs `trial` in a child, which must make system calls only: no memory is allocated, no lock taken.
fn in_child(trial: fn() -> Outcome) -> Outcome {
    // SAFETY: between fork and _exit the child makes system calls only, which is all that a child of a process with several
    // threads may do.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = match trial() {
            Ok(()) => 0,
            Err(0) => NO_EFFECT,
            Err(error) => error,
        };
        // SAFETY: _exit(2) takes a number and does not return.
        unsafe { libc::_exit(status) }
    }
    outcome(child.into())?;
    let mut status = 0;
    loop {
        // SAFETY: waitpid(2) writes one int to `status`.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        match outcome(waited.into()) {
            Ok(()) => break,
            Err(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    match libc::WEXITSTATUS(status) {
        // A security module may kill what it forbids.
        _ if !libc::WIFEXITED(status) => Err(libc::EPERM),
        0 => Ok(()),
        NO_EFFECT => Err(0),
        error => Err(error),
    }
}

fn unshare(flags: libc::c_int) -> Outcome {
    // SAFETY: unshare(2) takes flags.
    outcome(unsafe { libc::unshare(flags) }.into())
}

/// A user namespace, and namespaces below it: where AppArmor restricts them the first is granted and nothing may be done in it.
pub fn user_namespace() -> Outcome {
    in_child(|| {
        unshare(libc::CLONE_NEWUSER)?;
        unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)
    })
}

/// A time namespace in a user namespace.
pub fn time_namespace() -> Outcome {
    in_child(|| {
        unshare(libc::CLONE_NEWUSER)?;
        unshare(libc::CLONE_NEWTIME)
    })
}

/// A process made with the pid that is asked for, in a pid namespace of a user namespace.
pub fn set_tid() -> Outcome {
    in_child(|| {
        unshare(libc::CLONE_NEWUSER)?;
        let wanted: libc::pid_t = 1;
        let arguments = CloneArguments {
            flags: libc::CLONE_NEWPID as u64,
            exit_signal: libc::SIGCHLD as u64,
            set_tid: (&raw const wanted) as u64,
            set_tid_size: 1,
            ..CloneArguments::default()
        };
        // SAFETY: clone3(2) takes a struct clone_args, whose layout `CloneArguments` has; without CLONE_VM and a stack it forks.
        let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
        if child == 0 {
            // SAFETY: _exit(2) takes a number and does not return.
            unsafe { libc::_exit(0) }
        }
        outcome(child)
    })
}

/// Timers made with the ids that are asked for.
pub fn timer_ids() -> Outcome {
    in_child(|| {
        // SAFETY: this prctl(2) takes numbers.
        outcome(unsafe { libc::prctl(PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0) }.into())
    })
}

/// A longer slice for SCHED_BATCH, read back: kernels without it accept and forget it.
pub fn batch_slice() -> Outcome {
    in_child(|| {
        let slice = SLICE.as_nanos() as u64;
        let size = size_of::<Scheduling>() as u32;
        let wanted = Scheduling { size, policy: libc::SCHED_BATCH as u32, runtime: slice, ..Scheduling::default() };
        // SAFETY: sched_setattr(2) reads a struct sched_attr of the size that it names, whose layout `Scheduling` has.
        outcome(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) })?;
        let mut found = Scheduling::default();
        // SAFETY: sched_getattr(2) writes at most `size` bytes to `found`.
        outcome(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) })?;
        if found.runtime == slice { Ok(()) } else { Err(0) }
    })
}

/// A new page of this process; not given back, the trial's process ends.
fn page(kind: libc::c_int) -> Result<*mut u8, i32> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: an anonymous mapping at an address that the kernel chooses.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, kind | libc::MAP_ANONYMOUS, -1, 0) };
    if page == libc::MAP_FAILED { Err(last()) } else { Ok(page.cast()) }
}

/// Guard regions (madvise(2), `MADV_GUARD_INSTALL`).
pub fn guard_regions() -> Outcome {
    in_child(|| {
        let page = page(libc::MAP_PRIVATE)?;
        // SAFETY: the page was just mapped and nothing else uses it.
        outcome(unsafe { libc::madvise(page.cast(), PAGE, MADV_GUARD_INSTALL) }.into())
    })
}

/// Memory that the kernel may drop (mmap(2), `MAP_DROPPABLE`).
pub fn droppable() -> Outcome {
    in_child(|| page(MAP_DROPPABLE).map(|_| ()))
}

fn write_page(page: *mut u8, value: u8) {
    // SAFETY: `page` is a page of ours, mapped for writing.
    unsafe { page.write_volatile(value) };
}

fn open(path: &std::ffi::CStr, flags: libc::c_int) -> Result<libc::c_int, i32> {
    // SAFETY: open(2) reads a string that ends in a zero.
    let file = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
    outcome(file.into()).map(|()| file)
}

/// Soft-dirty bits: a kernel without them accepts clear_refs and never sets the bit.
pub fn soft_dirty() -> Outcome {
    in_child(|| {
        let page = page(libc::MAP_PRIVATE)?;
        write_page(page, 1);
        let pagemap = open(c"/proc/self/pagemap", libc::O_RDONLY)?;
        let bit = || -> Result<bool, i32> {
            let mut entry = 0u64;
            let at = (page as usize / PAGE * 8) as libc::off_t;
            // SAFETY: pread(2) writes at most 8 bytes to `entry`.
            let read = unsafe { libc::pread(pagemap, (&raw mut entry).cast(), 8, at) };
            outcome(read as i64)?;
            Ok(entry & super::pagemap::ENTRY_SOFT_DIRTY != 0)
        };
        let before = bit()?;
        let clear = open(c"/proc/self/clear_refs", libc::O_WRONLY)?;
        // SAFETY: write(2) reads one byte.
        outcome(unsafe { libc::write(clear, c"4".as_ptr().cast(), 1) } as i64)?;
        let cleared = bit()?;
        write_page(page, 2);
        if before && !cleared && bit()? { Ok(()) } else { Err(0) }
    })
}

/// Times of files that differ after each change that somebody has looked at (Linux 6.13), tried on a file in memory.
pub fn multigrain_times() -> Outcome {
    const WRITES: u32 = 32;
    in_child(|| {
        // SAFETY: memfd_create(2) reads a string that ends in a zero.
        let file = unsafe { libc::memfd_create(c"times".as_ptr(), libc::MFD_CLOEXEC) };
        outcome(file.into())?;
        let (mut last, mut distinct) = ((0, 0), 0);
        for _ in 0..WRITES {
            // SAFETY: pwrite(2) reads one byte.
            outcome(unsafe { libc::pwrite(file, c"x".as_ptr().cast(), 1, 0) } as i64)?;
            // SAFETY: struct stat consists of numbers; all zeros are a value of it.
            let mut stat: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: fstat(2) writes a struct stat.
            outcome(unsafe { libc::fstat(file, &raw mut stat) }.into())?;
            distinct += u32::from(last != (stat.st_ctime, stat.st_ctime_nsec));
            last = (stat.st_ctime, stat.st_ctime_nsec);
        }
        // A time that moves with the clock's tick is the same through most of this loop, unless each turn loses the processor.
        if distinct >= WRITES - 2 { Ok(()) } else { Err(0) }
    })
}

/// Seccomp's user notification, and that a filter may ask for it.
pub fn seccomp_notification() -> Outcome {
    let mut sizes = [0u16; 3];
    // SAFETY: SECCOMP_GET_NOTIF_SIZES writes a struct seccomp_notif_sizes: three 16-bit numbers.
    outcome(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, sizes.as_mut_ptr()) })?;
    let action = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: SECCOMP_GET_ACTION_AVAIL reads a 32-bit number.
    outcome(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) })
}

/// `struct uffdio_api`, `UFFDIO_API`: with no features asked for, the kernel answers with those that it has.
pub fn userfaultfd_features() -> Result<u64, i32> {
    use std::os::fd::AsRawFd;
    #[repr(C)]
    struct Api {
        api: u64,
        features: u64,
        ioctls: u64,
    }
    const UFFDIO_API: libc::Ioctl = opcode::read_write::<Api>(0xaa, 0x3f) as libc::Ioctl;
    let descriptor = super::userfaultfd::open().map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    let mut argument = Api { api: 0xaa, features: 0, ioctls: 0 };
    // SAFETY: UFFDIO_API takes a struct uffdio_api, whose layout `Api` has.
    outcome(unsafe { libc::ioctl(descriptor.as_raw_fd(), UFFDIO_API, &raw mut argument) }.into())?;
    Ok(argument.features)
}
