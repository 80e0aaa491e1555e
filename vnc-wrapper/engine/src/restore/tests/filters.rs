//! Filters that programs install are seen, saved, given again, and hold.

use std::os::fd::AsFd;

use super::*;
use crate::filters::watch::{Mailbox, Watch, lock, put};
use crate::filters::{Filter, Shared, look};
use crate::remote::Stopped;
use crate::sys::inside_guests::filters::{LISTENER, RESTING, TAKEN, asks, filtered, fragile};
use crate::sys::{pidfd, ptrace};

fn watch() -> Watch {
    Watch::start(vec![Filter::new(asks(), 0).unwrap()], Mailbox::new().unwrap()).unwrap()
}

/// Starts a guest that begins with a filter, and answers that.
fn begin(body: fn(Words, &Path) -> i32, number: i64) -> (Inside, Watch) {
    let guest = Inside::start(move |words, path| {
        words[2].store(number as u32, Ordering::SeqCst);
        body(words, path)
    });
    let watch = watch();
    let listener = guest.words[LISTENER].load(Ordering::SeqCst) as i32 - 1;
    let process = pidfd::open(guest.pid).unwrap();
    put(watch.slot(), pidfd::copy(process.as_fd(), listener).unwrap().as_fd()).unwrap();
    guest.words[TAKEN].store(1, Ordering::SeqCst);
    (guest, watch)
}

fn rests(words: Words, threads: u32) {
    until("all rest", || words[0].load(Ordering::SeqCst) == threads + 1);
}

/// Restores a content whose processes begin with a filter, and answers that.
fn run_watched(content: &File) -> (Running, Watch) {
    let watch = watch();
    let running = tracing(|tracer| {
        let own = Own { program: asks(), flags: 0, listener: Box::new(|listener| put(watch.slot(), listener.as_fd())) };
        restored_with(tracer, reading(content), (0, None), Some(own), |restored| {
            Running(restored.and_then(Restored::run).unwrap_or_else(|error| panic!("{error}")))
        })
    });
    (running, watch)
}

/// What the log says of each thread is what the kernel shows to root, who alone may see it. How many were compared.
fn compare(first: pid_t, log: &Shared) -> usize {
    let mut count = 0;
    for pid in descendants(first).unwrap() {
        for tid in crate::freeze::threads(pid) {
            let chain = lock(log).chain(&look::seen(tid).unwrap()).unwrap_or_else(|error| panic!("{tid}: {error}"));
            if !rustix::process::geteuid().is_root() {
                continue;
            }
            let kernel = tracing(|tracer| {
                let _stopped = Stopped::take(tracer, pid, tid, PATIENCE).unwrap();
                // The first one is that which all begin with.
                (1..=chain.len()).map(|at| ptrace::filter(tid, at)).collect::<io::Result<Vec<_>>>()
            });
            let said: Vec<Vec<u8>> = chain.iter().map(|filter| filter.bytes.clone()).collect();
            assert_eq!(kernel.unwrap(), said, "of {tid}");
            count += 1;
        }
    }
    count
}

#[test]
fn issue_10_filters_of_every_kind_are_saved_and_given_again_twice() {
    as_both_users("restore::tests::filters::issue_10_filters_of_every_kind_are_saved_and_given_again_twice", || {
        let (mut guest, watch) = begin(filtered, 0);
        rests(guest.words, RESTING);
        let compared = compare(guest.pid, &watch.log());
        assert_eq!(compared, if rustix::process::geteuid().is_root() { RESTING as usize } else { 0 });
        let error = save_session(Session::descendants(guest.pid), Then::Run).expect_err("filters were left out");
        assert!(error.to_string().contains("seccomp filters that were not seen"), "{error}");
        let content = save_session(Session::descendants(guest.pid).with_filters(watch.log()), Then::End).unwrap();
        guest.kill();
        let (running, watch) = run_watched(&content);
        compare(running.0, &watch.log());
        let content = save_session(Session::descendants(running.0).with_filters(watch.log()), Then::End).unwrap();
        running.end();
        let (running, _watch) = run_watched(&content);
        let_go_on("filters", &guest, running);
    });
}

#[test]
fn issue_10_a_call_that_a_filter_denies_is_not_made_by_a_save() {
    as_both_users("restore::tests::filters::issue_10_a_call_that_a_filter_denies_is_not_made_by_a_save", || {
        // Not needed, or known from outside.
        for number in [libc::SYS_userfaultfd, libc::SYS_brk, libc::SYS_mmap] {
            let (mut guest, watch) = begin(fragile, number);
            rests(guest.words, 1);
            let content = save_session(Session::descendants(guest.pid).with_filters(watch.log()), Then::End);
            let content = content.unwrap_or_else(|error| panic!("{number}: {error}"));
            guest.kill();
            let (running, _watch) = run_watched(&content);
            let_go_on("a filter that kills", &guest, running);
        }
        let needed =
            [(libc::SYS_sigaltstack, "sigaltstack"), (libc::SYS_getitimer, "getitimer"), (libc::SYS_munmap, "munmap")];
        for (number, name) in needed {
            let (guest, watch) = begin(fragile, number);
            rests(guest.words, 1);
            let error = save_session(Session::descendants(guest.pid).with_filters(watch.log()), Then::Run);
            let error = error.expect_err("what it was not asked is made up").to_string();
            assert!(error.contains("filters deny it") && error.contains(name), "{error}");
            assert_eq!(state(guest.pid, guest.pid).map(|state| state == 'Z'), Some(false), "it was killed");
            guest.words[1].store(1, Ordering::SeqCst);
        }
    });
}
