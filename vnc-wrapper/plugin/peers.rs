//! Whose a restored Unix socket is: it remembers for its peer who made it (SO_PEERCRED, unix(7)). CRIU makes sockets before
//! a process has its own ids again, as root. So this library stands before the C library's functions for them (ld.so(8),
//! LD_PRELOAD), and for the length of a call the process has the ids that it will have.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::kernel::AF_UNIX;
use crate::person::{self, Person};

/// Words of `Person`s, one after the other: pid, user, group, number of further groups, these (`src/engine/peers.rs`).
const MOST: usize = 1 << 16;

/// What only ever one thread has: CRIU's processes have no more.
#[repr(align(4096))]
struct Single<T>(UnsafeCell<T>);

// SAFETY: there is one thread.
unsafe impl<T> Sync for Single<T> {}

static PEOPLE: Single<[u32; MOST]> = Single(UnsafeCell::new([0; MOST]));
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// A page that is true in CRIU itself, and false in what it forks.
static IN_CRIU: Single<[u8; 4096]> = Single(UnsafeCell::new([0; 4096]));
/// For the time before there is a page.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Reads the file that says who will have which ids.
pub fn begin(path: &CStr) {
    let page = IN_CRIU.0.get();
    // SAFETY: there is one thread, and nobody holds a reference to either.
    unsafe {
        if person::wipe_on_fork(page.cast(), size_of_val(&*page)) {
            page.cast::<u8>().write(1);
            COUNT.store(person::read_file(path, &mut *PEOPLE.0.get()), Ordering::Relaxed);
            BEGUN.store(true, Ordering::Relaxed);
        }
    }
}

/// Who this process will be, if it is one of a session and does not stay root.
fn own() -> Option<Person<'static>> {
    // SAFETY: nobody writes to it; it is read each time.
    if !BEGUN.load(Ordering::Relaxed) || unsafe { IN_CRIU.0.get().cast::<u8>().read_volatile() } != 0 {
        return None;
    }
    // SAFETY: nobody writes to it any more.
    let all: &'static [u32; MOST] = unsafe { &*PEOPLE.0.get() };
    find(all.get(..COUNT.load(Ordering::Relaxed))?, person::own_pid())
}

fn find(mut words: &[u32], pid: u32) -> Option<Person<'_>> {
    while let [own, user, group, count, rest @ ..] = words {
        let (groups, next) = rest.split_at_checked(usize::try_from(*count).ok()?)?;
        if *own == pid {
            return Some(Person { user: *user, group: *group, groups });
        }
        words = next;
    }
    None
}

/// socketpair(2).
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, sockets: *mut c_int) -> c_int {
    let who = if domain == AF_UNIX { own() } else { None };
    // SAFETY: by the caller's word.
    person::result(person::as_person(who, || unsafe { person::socketpair(domain, kind, protocol, sockets) }))
}

/// listen(2).
#[unsafe(no_mangle)]
pub extern "C" fn listen(socket: c_int, backlog: c_int) -> c_int {
    let who = if person::domain(socket) == AF_UNIX { own() } else { None };
    person::result(person::as_person(who, || person::listen(socket, backlog)))
}
