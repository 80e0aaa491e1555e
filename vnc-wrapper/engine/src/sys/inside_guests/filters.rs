//! Guests with seccomp filters: the first process begins with one that asks, as sessions do.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{RIGHT, ready, wait};
use crate::sys::guests::until;
use crate::sys::inside::Words;
use crate::sys::seccomp::testing::{bytes, install, install_by_prctl, no_new_privileges};

/// Where the guest says which descriptor its listener is, counted from 1.
pub(crate) const LISTENER: usize = 10;
/// Where the test says that it has that.
pub(crate) const TAKEN: usize = 11;

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 6;
const ALLOW: (u16, u8, u8, u32) = (RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);

/// A filter that asks about seccomp(2) with a filter, and prctl(2) with PR_SET_SECCOMP and PR_SET_CHILD_SUBREAPER.
pub(crate) fn asks() -> Vec<u8> {
    let ask = (RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF);
    bytes(&[
        (LOAD, 0, 0, 0),
        (EQUAL, 0, 2, libc::SYS_seccomp as u32),
        (LOAD, 0, 0, 16),
        (EQUAL, 4, 5, libc::SECCOMP_SET_MODE_FILTER),
        (EQUAL, 0, 4, libc::SYS_prctl as u32),
        (LOAD, 0, 0, 16),
        (EQUAL, 1, 0, libc::PR_SET_SECCOMP as u32),
        (EQUAL, 0, 1, libc::PR_SET_CHILD_SUBREAPER as u32),
        ask,
        ALLOW,
    ])
}

/// A filter that answers call `number` by `answer`.
pub(crate) fn denies(number: i64, answer: u32) -> Vec<u8> {
    bytes(&[(LOAD, 0, 0, 0), (EQUAL, 0, 1, number as u32), (RETURN, 0, 0, answer), ALLOW])
}

/// The answer of an error.
pub(crate) fn error(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.cast_unsigned()
}

/// Begins as a session does: with a filter whose listener the test takes.
fn begin(words: Words) {
    let listener = install(&asks(), libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    assert!(listener >= 0, "{}", std::io::Error::last_os_error());
    words[LISTENER].store(listener as u32 + 1, Ordering::SeqCst);
    ready(words);
    until("the test has the listener", || words[TAKEN].load(Ordering::SeqCst) != 0);
    // SAFETY: numbers only; nobody else knows the descriptor.
    unsafe { libc::close(listener as i32) };
}

/// What this thread sees of its filters: how many, no_new_privs, and the errors of three calls.
fn seen() -> (String, [Option<i32>; 3]) {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let fields = ["NoNewPrivs:", "Seccomp:", "Seccomp_filters:", "CapEff:"];
    let lines = status.lines().filter(|line| fields.iter().any(|field| line.starts_with(field)));
    let fails = |number, arguments: [i64; 2]| {
        // SAFETY: calls that write nothing.
        let result = unsafe { libc::syscall(number, arguments[0], arguments[1], 0, 0) };
        (result < 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    };
    let calls = [(libc::SYS_getpriority, [0, 0]), (libc::SYS_getpgid, [0, 0]), (libc::SYS_getsid, [0, 0])];
    (lines.collect::<Vec<_>>().join(" "), calls.map(|(number, arguments)| fails(number, arguments)))
}

/// Waits for word 1, and looks whether what this thread sees of its filters is as it was, and as `expected`.
fn rest(words: Words, count: u32, expected: [Option<i32>; 3]) -> bool {
    let before = seen();
    let whole = before.1 == expected && before.0.contains(&format!("Seccomp_filters:\t{count}"));
    ready(words);
    until("the test lets go on", || words[1].load(Ordering::SeqCst) != 0);
    whole && before == seen()
}

fn child(body: impl FnOnce() -> bool) -> libc::pid_t {
    // SAFETY: the child runs `body` and ends; no other thread of the guest holds a lock then.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!body())) };
    }
    pid
}

const EDOM: Option<i32> = Some(libc::EDOM);
const EXDEV: Option<i32> = Some(libc::EXDEV);
const EBADE: Option<i32> = Some(libc::EBADE);

/// How many threads of [`filtered`] rest.
pub(crate) const RESTING: u32 = 10;

/// Processes and threads with filters of every kind.
pub(crate) fn filtered(words: Words, _: &Path) -> i32 {
    begin(words);
    let priorities = || denies(libc::SYS_getpriority, error(libc::EDOM));
    let groups = || denies(libc::SYS_getpgid, error(libc::EXDEV));
    let children = [
        // By prctl, inherited by a thread and a child; that has one more.
        child(|| {
            no_new_privileges();
            assert_eq!(install_by_prctl(&priorities()), 0);
            let thread = std::thread::spawn(move || rest(words, 2, [EDOM, None, None]));
            let inherits = child(|| rest(words, 2, [EDOM, None, None]));
            let adds = child(|| {
                assert_eq!(install(&denies(libc::SYS_getsid, error(libc::EBADE)), 0), 0);
                rest(words, 3, [EDOM, None, EBADE])
            });
            rest(words, 2, [EDOM, None, None])
                && thread.join().unwrap_or(false)
                && [inherits, adds].into_iter().all(|pid| wait(pid) == 0)
        }),
        // One for all threads, then one for a thread alone, both with flags; some calls are refused.
        child(|| {
            no_new_privileges();
            let (all, waits) = std::sync::mpsc::channel::<()>();
            let one = std::thread::spawn(move || {
                let _ = waits.recv();
                assert_eq!(install(&groups(), libc::SECCOMP_FILTER_FLAG_LOG), 0);
                rest(words, 3, [EDOM, EXDEV, None])
            });
            let (also, waits) = std::sync::mpsc::channel::<()>();
            let other = std::thread::spawn(move || {
                let _ = waits.recv();
                rest(words, 2, [EDOM, None, None])
            });
            // No program, a wrong one, a second listener, strict mode.
            assert_eq!(install(&[], 0), -1);
            assert_eq!(install(&bytes(&[(LOAD, 0, 0, 2), ALLOW]), 0), -1);
            assert_eq!(install(&groups(), libc::SECCOMP_FILTER_FLAG_NEW_LISTENER), -1);
            // SAFETY: numbers only.
            assert_eq!(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_STRICT, 0, 0) }, -1);
            let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
            assert_eq!(install(&priorities(), flags), 0);
            drop((all, also));
            let right = rest(words, 2, [EDOM, None, None]);
            [one, other].into_iter().all(|thread| thread.join().unwrap_or(false)) && right
        }),
        // No new one.
        child(|| rest(words, 1, [None, None, None])),
        // With CAP_SYS_ADMIN, which it gives up afterwards; a subreaper.
        child(|| {
            // Before it is let: no privilege, no filter.
            assert_eq!(install(&groups(), 0), 0);
            // SAFETY: numbers only.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }, 0);
            let (header, sets) = ([0x2008_0522u32, 0], [0u32; 6]);
            // SAFETY: capset(2) reads a header and two sets of three numbers.
            assert_eq!(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }, 0);
            assert_eq!(install(&priorities(), 0), -1);
            rest(words, 2, [None, EXDEV, None])
        }),
    ];
    let right = rest(words, 1, [None, None, None]);
    if right && children.into_iter().all(|pid| wait(pid) == 0) { RIGHT } else { 1 }
}

/// A thread that may not make call `words[2]`, which kills it.
pub(crate) fn fragile(words: Words, _: &Path) -> i32 {
    begin(words);
    no_new_privileges();
    let number = words[2].load(Ordering::SeqCst);
    assert_eq!(install(&denies(number.into(), libc::SECCOMP_RET_KILL_PROCESS), 0), 0);
    if rest(words, 2, [None, None, None]) { RIGHT } else { 1 }
}
