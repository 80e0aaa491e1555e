//! What `peers` asks of the kernel: to be somebody else for the length of a call, and the calls.

use core::ffi::{CStr, c_int};

use crate::kernel::{AT_FDCWD, CLOSE, OPENAT, READ, call, call5};

/// System calls (asm/unistd_64.h).
const MADVISE: i64 = 28;
const GETPID: i64 = 39;
const LISTEN: i64 = 50;
const SOCKETPAIR: i64 = 53;
const GETSOCKOPT: i64 = 55;
const SETGROUPS: i64 = 116;
const SETRESUID: i64 = 117;
const SETRESGID: i64 = 119;
const PRCTL: i64 = 157;

/// The ids that a process will have, as its session sees them.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    pub user: u32,
    pub group: u32,
    /// Its further groups.
    pub groups: &'a [u32],
}

/// Calls `act` with the ids of `person`, if there is one, and then is root again. Its further groups CRIU would set later.
pub fn as_person(person: Option<Person<'_>>, act: impl FnOnce() -> i64) -> i64 {
    const GET_DUMPABLE: i64 = 3;
    const SET_DUMPABLE: i64 = 4;
    const KEPT: i64 = -1;
    let Some(Person { user, group, groups }) = person else { return act() };
    // SAFETY: numbers, and groups as many as are said. Capabilities come back with root (capabilities(7)).
    unsafe {
        // Other ids take it away (prctl(2)), and with it /proc/self.
        let dumpable = call(PRCTL, [GET_DUMPABLE, 0, 0, 0]);
        call(SETGROUPS, [groups.len() as i64, groups.as_ptr() as i64, 0, 0]);
        call(SETRESGID, [KEPT, group.into(), KEPT, 0]);
        call(SETRESUID, [KEPT, user.into(), KEPT, 0]);
        let result = act();
        call(SETRESUID, [KEPT, 0, KEPT, 0]);
        call(SETRESGID, [KEPT, 0, KEPT, 0]);
        call(PRCTL, [SET_DUMPABLE, dumpable, 0, 0]);
        result
    }
}

/// Makes a page that processes find full of zeroes which are forked from now on; answers whether it is one.
///
/// # Safety
/// The memory has to be whole pages, and nobody may rely on its content.
pub unsafe fn wipe_on_fork(page: *mut u8, length: usize) -> bool {
    /// `MADV_WIPEONFORK`.
    const WIPE: i64 = 18;
    // SAFETY: by the caller's word.
    unsafe { call(MADVISE, [page as i64, length as i64, WIPE, 0]) == 0 }
}

/// Reads the file at `path` into `words`; returns how many there are.
pub fn read_file(path: &CStr, words: &mut [u32]) -> usize {
    /// `O_RDONLY | O_CLOEXEC`.
    const TO_READ: i64 = 0o2_000_000;
    let (at, most) = (words.as_mut_ptr() as i64, size_of_val(words) as i64);
    let mut got = 0;
    // SAFETY: `path` ends with a zero, and what is read fits into what is left of `words`.
    unsafe {
        let file = call(OPENAT, [AT_FDCWD, path.as_ptr() as i64, TO_READ, 0]);
        if file < 0 {
            return 0;
        }
        loop {
            match call(READ, [file, at + got, most - got, 0]) {
                more if more > 0 => got += more,
                _ => break,
            }
        }
        call(CLOSE, [file, 0, 0, 0]);
    }
    got as usize / size_of::<u32>()
}

/// The pid of this process, as it sees itself.
pub fn own_pid() -> u32 {
    // SAFETY: it takes nothing.
    unsafe { call(GETPID, [0; 4]) as u32 }
}

/// The domain of a socket; -1 for what is none.
pub fn domain(socket: c_int) -> c_int {
    const SOL_SOCKET: i64 = 1;
    const SO_DOMAIN: i64 = 39;
    let (mut domain, mut length) = (-1 as c_int, size_of::<c_int>() as u32);
    // SAFETY: the kernel writes an int and its length.
    unsafe {
        let to = [socket.into(), SOL_SOCKET, SO_DOMAIN, &raw mut domain as i64];
        call5(GETSOCKOPT, to, &raw mut length as i64);
    }
    domain
}

/// listen(2).
pub fn listen(socket: c_int, backlog: c_int) -> i64 {
    // SAFETY: it takes numbers.
    unsafe { call(LISTEN, [socket.into(), backlog.into(), 0, 0]) }
}

/// socketpair(2).
///
/// # Safety
/// As that.
pub unsafe fn socketpair(domain: c_int, kind: c_int, protocol: c_int, sockets: *mut c_int) -> i64 {
    // SAFETY: by the caller's word.
    unsafe { call(SOCKETPAIR, [domain.into(), kind.into(), protocol.into(), sockets as i64]) }
}

unsafe extern "C" {
    // Of the C library that is there.
    safe fn __errno_location() -> *mut c_int;
}

/// What a function of the C library returns for what the kernel does.
pub fn result(of_the_kernel: i64) -> c_int {
    if of_the_kernel >= 0 {
        return of_the_kernel as c_int;
    }
    // SAFETY: it is this thread's own errno.
    unsafe { __errno_location().write(-of_the_kernel as c_int) };
    -1
}
