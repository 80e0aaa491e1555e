//! What threads have set for themselves and no file of /proc shows.
//!
//! Where the kernel keeps it differs between kernels and is in no description of its types. So it is learned once, by a
//! thread of ours that sets the same for itself and looks what has changed.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;

use super::objects::{Kernel, not_understood};

/// `PR_SET_SYSCALL_USER_DISPATCH` (linux/prctl.h).
const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
/// `PR_SET_TSC`, `PR_TSC_ENABLE`, `PR_TSC_SIGSEGV`.
const PR_SET_TSC: libc::c_int = 26;
const TSC_ENABLE: libc::c_ulong = 1;
const TSC_FAULTS: libc::c_ulong = 2;
/// `LANDLOCK_ACCESS_FS_EXECUTE` (linux/landlock.h).
const EXECUTE: u64 = 1;
/// Nobody has more threads: /proc/sys/kernel/pid_max is at most 2^22.
const MOST_THREADS: usize = 1 << 22;
/// What the security modules keep of a thread's credentials is no longer.
const LONGEST: usize = 512;
/// How often a change is watched: other bits of the same word change by themselves.
const TIMES: usize = 4;

/// Something that a thread has set for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// It handles its system calls itself (PR_SET_SYSCALL_USER_DISPATCH).
    Dispatch,
    /// It may not read the time stamp counter (PR_SET_TSC).
    NoTimeStamp,
    /// It has given up rights (landlock(7)).
    Landlock,
    /// Its process has segments of its own (modify_ldt(2)).
    Segments,
}

/// Where the kernel keeps them; what this kernel cannot do is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    /// The bit in `thread_info.syscall_work`.
    dispatch: Option<u64>,
    /// The bit in `thread_info.flags`.
    no_time_stamp: Option<u64>,
    /// Offset of the pointer in what security modules keep.
    landlock: Option<u64>,
}

/// What the threads of process `pid` have set.
///
/// # Errors
/// When the process or a thread has ended, or the kernel's memory is not understood.
pub fn of(kernel: &Kernel, pid: u32) -> io::Result<BTreeSet<Setting>> {
    static PLACES: OnceLock<Places> = OnceLock::new();
    let places = PLACES.get_or_init(|| {
        learn().unwrap_or_else(|error| {
            tracing::debug!("what threads set for themselves is not seen: {error}");
            Places::default()
        })
    });
    let (mut found, mut seen) = (BTreeSet::new(), None);
    let leader = kernel.task(pid)?;
    if has_segments(kernel, leader).unwrap_or(false) {
        found.insert(Setting::Segments);
    }
    let head = kernel.follow(leader, "task_struct", "signal")? + kernel.offset("signal_struct", "thread_head")?;
    let link = kernel.offset("task_struct", "thread_node")?;
    let mut next = kernel.memory().word(head)?;
    for _ in 0..MOST_THREADS {
        if next == head {
            return Ok(found);
        }
        let task = next.checked_sub(link).ok_or_else(not_understood)?;
        // Proves that it is a thread of this process, not what was one.
        if kernel.follow(task, "task_struct", "group_leader")? != leader {
            return Err(not_understood());
        }
        if places.dispatch.is_some_and(|bit| work(kernel, task).is_ok_and(|word| word & bit != 0)) {
            found.insert(Setting::Dispatch);
        }
        if places.no_time_stamp.is_some_and(|bit| flags(kernel, task).is_ok_and(|word| word & bit != 0)) {
            found.insert(Setting::NoTimeStamp);
        }
        if let Some(place) = places.landlock {
            // Threads mostly share one.
            let credentials = kernel.follow(task, "task_struct", "real_cred")?;
            if seen.replace(credentials) != Some(credentials)
                && kernel.memory().word(kernel.follow(credentials, "cred", "security")? + place)? != 0
            {
                found.insert(Setting::Landlock);
            }
        }
        next = kernel.memory().word(next)?;
    }
    Err(not_understood())
}

fn flags(kernel: &Kernel, task: u64) -> io::Result<u64> {
    kernel.follow(task + kernel.offset("task_struct", "thread_info")?, "thread_info", "flags")
}

fn work(kernel: &Kernel, task: u64) -> io::Result<u64> {
    kernel.follow(task + kernel.offset("task_struct", "thread_info")?, "thread_info", "syscall_work")
}

/// Only x86 has them.
fn has_segments(kernel: &Kernel, task: u64) -> io::Result<bool> {
    let context = kernel.offset("mm_struct", "context")?;
    let table = kernel.offset("mm_context_t", "ldt")?;
    let memory = kernel.follow(task, "task_struct", "mm")?;
    // The dead have no memory any more.
    Ok(memory != 0 && kernel.memory().word(memory + context + table)? != 0)
}

/// Looks, in a thread of its own that ends with it, where the kernel keeps what it sets for itself.
fn learn() -> io::Result<Places> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kernel = Kernel::open()?;
            let task = kernel.memory().own_task()?;
            Ok(Places {
                dispatch: bit(|| work(&kernel, task), dispatch).ok().flatten(),
                no_time_stamp: bit(|| flags(&kernel, task), time_stamp).ok().flatten(),
                landlock: landlock(&kernel, task).ok().flatten(),
            })
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the work was lost")))
    })
}

/// The one bit that is set while `set(true)` holds.
fn bit(read: impl Fn() -> io::Result<u64>, set: impl Fn(bool) -> io::Result<()>) -> io::Result<Option<u64>> {
    let mut bits = u64::MAX;
    for _ in 0..TIMES {
        let before = read()?;
        set(true)?;
        let during = read();
        set(false)?;
        bits &= during? & !before & !read()?;
    }
    Ok(bits.is_power_of_two().then_some(bits))
}

fn dispatch(on: bool) -> io::Result<()> {
    // `SYSCALL_DISPATCH_FILTER_ALLOW`: every call goes the usual way.
    static SELECTOR: u8 = 0;
    let selector = if on { &raw const SELECTOR as libc::c_ulong } else { 0 };
    prctl(PR_SET_SYSCALL_USER_DISPATCH, libc::c_ulong::from(on), selector)
}

/// While it is off, nothing here asks for the time.
fn time_stamp(off: bool) -> io::Result<()> {
    prctl(PR_SET_TSC, if off { TSC_FAULTS } else { TSC_ENABLE }, 0)
}

fn prctl(option: libc::c_int, value: libc::c_ulong, selector: libc::c_ulong) -> io::Result<()> {
    // SAFETY: of the two options that this is called with, one takes a number, and the other the address of a byte which
    // the kernel only reads, and which is never gone.
    let outcome = unsafe { libc::prctl(option, value, 0 as libc::c_ulong, 0 as libc::c_ulong, selector) };
    Errno::result(outcome)?;
    Ok(())
}

/// Where a pointer has come to be that leads to a domain of one layer, and of two when that is done once more.
fn landlock(kernel: &Kernel, task: u64) -> io::Result<Option<u64>> {
    let layers = kernel.offset("landlock_ruleset", "num_layers")?;
    let kept = || {
        let security = kernel.follow(kernel.follow(task, "task_struct", "real_cred")?, "cred", "security")?;
        kernel.memory().read(security, LONGEST)
    };
    let leads_to = |bytes: &[u8], at: usize, count: u32| {
        let pointer = bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
        let number = kernel.memory().read(pointer + layers, 4);
        number.is_ok_and(|number| number == count.to_ne_bytes())
    };
    let before = kept()?;
    restrict()?;
    let once = kept()?;
    restrict()?;
    let twice = kept()?;
    let places = (0..LONGEST).step_by(8);
    let mut fit = places.filter(|at| {
        before.get(*at..at + 8).is_some_and(|b| b == [0; 8]) && leads_to(&once, *at, 1) && leads_to(&twice, *at, 2)
    });
    Ok(fit.next().map(|at| at as u64))
}

/// Gives up, for this thread, to run programs.
fn restrict() -> io::Result<()> {
    let handled = EXECUTE;
    // SAFETY: the kernel reads the 8 bytes of `handled`.
    let rules = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<u64>(), 0) };
    let rules = i32::try_from(Errno::result(rules)?).map_err(io::Error::other)?;
    // SAFETY: landlock_create_ruleset(2) returned a new descriptor, which nobody else owns.
    let rules = unsafe { OwnedFd::from_raw_fd(rules) };
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_thread_has_set_is_seen_and_goes_with_it() {
        let kernel = Kernel::open().unwrap();
        let own = || of(&kernel, std::process::id());
        // Other tests' threads come and go.
        let own = || (0..1000).find_map(|_| own().ok()).unwrap();
        assert_eq!(own(), BTreeSet::new());
        let (told, tell) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            dispatch(true).unwrap();
            restrict().unwrap();
            told.send(()).unwrap();
            let _ = ended.recv();
        });
        tell.recv().unwrap();
        assert_eq!(own(), BTreeSet::from([Setting::Dispatch, Setting::Landlock]));
        drop(end);
        thread.join().unwrap();
        assert_eq!(own(), BTreeSet::new());
    }
}
