//! Memory that changes while it is saved.

use super::{patient, read_back, save};
use crate::dump::{Session, Then, prepare};
use crate::remote::tracing;
use crate::sys::guests::saved::{self, PAGE};
use crate::sys::guests::{Guest, alone, until};
use crate::testing::as_both_users;
use std::sync::atomic::Ordering;

#[test]
fn issue_10_memory_that_is_written_all_the_time_is_saved_of_one_instant() {
    as_both_users("dump::tests::memory::issue_10_memory_that_is_written_all_the_time_is_saved_of_one_instant", || {
        let guest = Guest::start(saved::writes_on);
        let pages = guest.shared.said(saved::PAGES);
        let mut last = 0;
        for at in 0..20 {
            let save = save(guest.pid);
            let mut rounds = Vec::new();
            for page in 0..saved::WRITTEN as u64 {
                let bytes = save.page(guest.pid, pages + page * PAGE as u64);
                // The first round writes zeros, which are no page.
                rounds.push(bytes.map_or(0, |bytes| u64::from_ne_bytes(bytes[..8].try_into().unwrap())));
            }
            let (first, end) = (rounds[0], rounds[rounds.len() - 1]);
            assert!(rounds.is_sorted_by(|one, next| one >= next) && first - end <= 1, "save {at}: {rounds:?}");
            assert!(end >= last, "save {at}: {end} after {last}");
            last = end;
        }
        guest.shared.word(1).store(1, Ordering::SeqCst);
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_what_was_read_of_an_idle_process_is_used_and_of_another_read_again() {
    let guest = Guest::start(saved::maps_on);
    // A busy machine may interrupt the thread on its way; then nothing is proved.
    until("it is proved idle", || {
        guest.asleep(guest.pid);
        save(guest.pid).report.idle == 1
    });
    for done in 1..=20 {
        guest.asleep(guest.pid);
        let alone = alone();
        let stream = std::io::BufWriter::new(tempfile::tempfile().unwrap());
        let prepared = prepare(Session::descendants(guest.pid), stream).unwrap();
        guest.shared.write();
        until("it has mapped a page", || guest.shared.word(0).load(Ordering::SeqCst) > done);
        guest.asleep(guest.pid);
        let saved = tracing(|tracer| prepared.freeze(tracer, patient()).unwrap().collect().unwrap().release(Then::Run));
        let save = read_back(saved.unwrap().finish().unwrap());
        drop(alone);
        assert_eq!(save.report.idle, 0, "it did something");
        assert_eq!(save.page(guest.pid, guest.shared.said(saved::PAGES)), Some([0x77; PAGE]));
        assert_eq!(save.mapping(guest.pid, guest.shared.said(saved::GUARD)).protection, 0);
    }
}

#[test]
fn issue_10_a_program_that_execs_before_the_freeze_is_saved_with_its_new_memory() {
    let guest = Guest::start(saved::execs);
    guest.asleep(guest.pid);
    let alone = alone();
    let stream = std::io::BufWriter::new(tempfile::tempfile().unwrap());
    let prepared = prepare(Session::descendants(guest.pid), stream).unwrap();
    guest.shared.write();
    let executable = || std::fs::read_link(format!("/proc/{}/exe", guest.pid)).unwrap();
    until("it execs", || executable().ends_with("sleep") || executable().ends_with("coreutils"));
    guest.asleep(guest.pid);
    let saved = tracing(|tracer| prepared.freeze(tracer, patient()).unwrap().collect().unwrap().release(Then::Run));
    let save = read_back(saved.unwrap().finish().unwrap());
    drop(alone);
    let space = save.spaces()[0];
    let arguments = space.bounds[7];
    let page = save.page(guest.pid, arguments).expect("the page of its arguments");
    let text = &page[(arguments % PAGE as u64) as usize..];
    assert!(text.starts_with(b"/bin/sleep\x001000\0"), "{:?}", &text[..30]);
}
