//! Process 1 of a session: takes in orphans and reaps them, and does nothing else.
//!
//! It is linked statically and written into the session's /run, so that no file of the host is mapped by any process
//! of the session. Everything that runs in a session is put there by the wrapper, as this program's child. It ends only
//! by SIGKILL from outside, which ends the whole session with it (pid_namespaces(7)).

use std::ffi::c_int;
use std::ptr;

/// `sigset_t` of the C library: 1024 bits.
type SignalSet = [u64; 16];

const SIG_BLOCK: c_int = 0;
const SIGCHLD: c_int = 17;
const WNOHANG: c_int = 1;

unsafe extern "C" {
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigaddset(set: *mut SignalSet, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

fn main() {
    let mut children: SignalSet = [0; 16];
    let mut signal: c_int = 0;
    // SAFETY: every pointer is to a local of the type that the C library expects, or null where signal(7) and wait(2)
    // allow it. SIGCHLD stays blocked, so one that comes between waitpid and sigwait is kept and not lost.
    unsafe {
        sigemptyset(&raw mut children);
        sigaddset(&raw mut children, SIGCHLD);
        sigprocmask(SIG_BLOCK, &raw const children, ptr::null_mut());
        loop {
            sigwait(&raw const children, &raw mut signal);
            while waitpid(-1, ptr::null_mut(), WNOHANG) > 0 {}
        }
    }
}
