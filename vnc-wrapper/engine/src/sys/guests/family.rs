//! A tree of processes of every kind, below the first process of a pid namespace.

use std::ffi::c_int;
use std::path::Path;
use std::sync::atomic::Ordering;

use libc::pid_t;

use super::super::inside::Words;
use super::{tid, until};

/// Where each process says its pid.
pub(crate) const LEADER: usize = 20;
pub(crate) const MEMBER: usize = 21;
pub(crate) const ORPHAN: usize = 22;
pub(crate) const ENDED: usize = 23;
pub(crate) const KILLED: usize = 24;
pub(crate) const HEADLESS: usize = 25;
pub(crate) const HEADLESS_THREAD: usize = 26;
pub(crate) const SHARING: usize = 27;
pub(crate) const STOPPED: usize = 28;
pub(crate) const SETTINGS: usize = 29;

fn rest() -> ! {
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

fn exit(code: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Forks a process that says its pid in word `at` and does `body`; waits until it has said so.
fn child(words: Words, at: usize, body: impl FnOnce()) -> pid_t {
    // SAFETY: the guest has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        words[at].store(std::process::id(), Ordering::SeqCst);
        body();
        rest();
    }
    until("a child says its pid", || words[at].load(Ordering::SeqCst) != 0);
    pid
}

fn own_group() {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
}

extern "C" fn pauses(_: *mut libc::c_void) -> c_int {
    rest()
}

/// A child that shares memory, descriptors and signal actions.
fn sharing(words: Words) {
    let stack: &'static mut [u128] = Box::leak(vec![0u128; 4096].into_boxed_slice());
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the child has its own stack, which stays, and makes one call only.
    let pid = unsafe { libc::clone(pauses, top, flags, std::ptr::null_mut()) };
    assert!(pid > 0);
    words[SHARING].store(pid.cast_unsigned(), Ordering::SeqCst);
}

/// Makes the tree and waits.
pub(crate) fn family(words: Words, _: &Path) -> i32 {
    child(words, LEADER, || {
        // SAFETY: no arguments.
        unsafe { libc::setsid() };
        child(words, MEMBER, own_group);
    });
    // Ids are given in this order, however busy the machine is.
    until("its child is there", || words[MEMBER].load(Ordering::SeqCst) != 0);
    // SAFETY: the guest has one thread.
    let helper = unsafe { libc::fork() };
    if helper == 0 {
        child(words, ORPHAN, || ());
        exit(0);
    }
    let mut status = 0;
    // SAFETY: one int is written.
    unsafe { libc::waitpid(helper, &raw mut status, 0) };
    child(words, ENDED, || exit(7));
    let killed = child(words, KILLED, || ());
    // SAFETY: a child's pid.
    unsafe { libc::kill(killed, libc::SIGTERM) };
    child(words, HEADLESS, || {
        std::thread::spawn(move || {
            // The mounted proc is of another pid namespace, and knows who asks.
            let ended = || std::fs::read_to_string("/proc/self/stat").is_ok_and(|stat| stat.contains(") Z "));
            until("the leader has ended", ended);
            words[HEADLESS_THREAD].store(tid().cast_unsigned(), Ordering::SeqCst);
            rest();
        });
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 3) };
    });
    until("the leader has ended", || words[HEADLESS_THREAD].load(Ordering::SeqCst) != 0);
    sharing(words);
    child(words, STOPPED, || {
        // SAFETY: a number only.
        unsafe { libc::raise(libc::SIGSTOP) };
    });
    child(words, SETTINGS, || {
        // SAFETY: numbers and a string that ends with a NUL.
        unsafe { libc::umask(0o077) };
        // SAFETY: as above.
        unsafe { libc::chdir(c"/tmp".as_ptr()) };
        // SAFETY: as above.
        unsafe { libc::nice(5) };
        // SAFETY: as above.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: as above.
        unsafe { libc::personality(0x0040_0000) };
        std::fs::write("/proc/self/oom_score_adj", "500").unwrap();
    });
    words[0].store(1, Ordering::SeqCst);
    rest()
}
