//! Guests that have to wait for a processor, as on a busy machine.

use std::mem::size_of;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libc::pid_t;

fn empty() -> libc::cpu_set_t {
    // SAFETY: all zeroes is an empty set.
    unsafe { std::mem::zeroed() }
}

fn bind(tid: pid_t, processor: usize) {
    let mut one = empty();
    // SAFETY: the number is below that of the set, which is written.
    unsafe { libc::CPU_SET(processor, &mut one) };
    // SAFETY: the set is read.
    assert_eq!(unsafe { libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &raw const one) }, 0);
}

/// Leaves one processor to thread `tid`, whose number it returns.
pub(crate) fn confine(tid: pid_t) -> usize {
    let mut all = empty();
    // SAFETY: the set is written.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut all) }, 0);
    let mut among = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: the number is below that of the set.
    let first = among.find(|processor| unsafe { libc::CPU_ISSET(*processor, &all) }).unwrap();
    bind(tid, first);
    first
}

/// Wants all of a processor for that long.
pub(crate) fn occupy(processor: usize, how_long: Duration) -> JoinHandle<()> {
    std::thread::spawn(move || {
        bind(0, processor);
        let began = Instant::now();
        while began.elapsed() < how_long {
            std::hint::spin_loop();
        }
    })
}
