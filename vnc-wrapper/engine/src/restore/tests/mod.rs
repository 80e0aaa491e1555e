//! Guests are saved, killed and restored, and go on as if nothing had happened.

mod files;
mod filters;
mod inet;
mod ipc;
mod sockets;
mod steps;
mod terminals;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libc::pid_t;

use super::{Clocks, Error, Own, Plan, Restored, Root, Terminals, restore};
use crate::dump::{self, Draining, Session, Then, prepare};
use crate::freeze::{Limits, descendants, freeze};
use crate::record::objects::{Common, Descriptor, Inotify, InotifyWatch, PidFd};
use crate::record::rights::{Namespace, NamespaceKind};
use crate::record::{Item, Reader, Record, Writer};
use crate::remote::{Tracer, tracing};
use crate::sys::guests::{PATIENCE, alone, state, until};
use crate::sys::inside::{Copies, Inside, Words, loopback_up_in, reap, wake_all, write_maps};
use crate::sys::inside_guests::{self as guests, RIGHT};
use crate::testing::as_both_users;

/// Restores a content into new namespaces, and has `with` look at that.
fn restored<T>(tracer: &Tracer, content: &File, with: impl FnOnce(Result<Restored<'_>, Error>) -> T) -> T {
    restored_in(tracer, content, 0, None, with)
}

/// [`restored`] in more namespaces, with clocks.
fn restored_in<T>(
    tracer: &Tracer,
    content: &File,
    namespaces: libc::c_int,
    clocks: Option<Clocks>,
    with: impl FnOnce(Result<Restored<'_>, Error>) -> T,
) -> T {
    restored_from(tracer, reading(content), namespaces, clocks, with)
}

/// [`restored_in`] from any source.
fn restored_from<T>(
    tracer: &Tracer,
    source: impl Read,
    namespaces: libc::c_int,
    clocks: Option<Clocks>,
    with: impl FnOnce(Result<Restored<'_>, Error>) -> T,
) -> T {
    restored_with(tracer, source, (namespaces, clocks), None, with)
}

/// [`restored_from`] where every process begins with a filter.
fn restored_with<T>(
    tracer: &Tracer,
    source: impl Read,
    (namespaces, clocks): (libc::c_int, Option<Clocks>),
    filter: Option<Own<'_>>,
    with: impl FnOnce(Result<Restored<'_>, Error>) -> T,
) -> T {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let files = Root::new(OwnedFd::from(File::open("/").unwrap()));
    let plan = Plan {
        namespaces: (libc::CLONE_NEWUSER | libc::CLONE_NEWPID | namespaces) as u64,
        clocks,
        prepare: &mut |pid: pid_t| {
            write_maps(pid, user, group)?;
            if namespaces & libc::CLONE_NEWNET != 0 { loopback_up_in(pid) } else { Ok(()) }
        },
        terminals: Terminals::Mount,
        filter,
        files: &files,
        passed: Duration::ZERO,
        patience: PATIENCE,
    };
    // A guest that is forked meanwhile would have the descriptors that are made here: ends of pipes that never hang up.
    let alone = alone();
    let restored = restore(tracer, source, plan);
    drop(alone);
    with(restored)
}

/// Reads a content from its beginning.
fn reading(mut content: &File) -> BufReader<&File> {
    content.rewind().unwrap();
    BufReader::new(content)
}

/// Saves a guest, which ends. Contents are in files: a guest that another test forks would have a copy of what is in memory.
fn saved(guest: &mut Inside) -> File {
    let content = saved_first(guest.pid);
    guest.kill();
    content
}

/// Saves a first process and all below it, which end.
fn saved_first(first: pid_t) -> File {
    try_save(first).unwrap_or_else(|error| panic!("{error}"))
}

/// [`saved_first`]; after an error all of it runs on. A look beforehand refuses nothing that is saved.
fn try_save(first: pid_t) -> Result<File, dump::Error> {
    let looked = dump::look(Session::descendants(first)).unwrap();
    let saved = save_session(Session::descendants(first), Then::End);
    assert!(saved.is_err() || looked.iter().all(dump::Refused::is_passing), "{looked:?}");
    saved
}

fn save_session(session: Session<'_>, then: Then) -> Result<File, dump::Error> {
    let _alone = alone();
    let limits = Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
    let draining = tracing(|tracer| {
        prepare(session, tempfile::tempfile().unwrap())?.freeze(tracer, limits)?.collect()?.release(then)
    });
    Ok(draining.and_then(Draining::finish)?.sink)
}

/// What was restored and runs, by its first process's pid here. Dropped, it is killed: so a test that fails leaves nothing.
struct Running(pid_t);

impl Running {
    /// Waits for its end; its exit code, or its signal below 0.
    fn end(self) -> i32 {
        let code = reap(self.0);
        std::mem::forget(self);
        code
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
    }
}

/// Restores and runs a content.
fn run(content: &File) -> Running {
    run_in(content, 0, None)
}

/// [`run`] in more namespaces, with clocks.
fn run_in(content: &File, namespaces: libc::c_int, clocks: Option<Clocks>) -> Running {
    Running(tracing(|tracer| {
        restored_in(tracer, content, namespaces, clocks, |restored| restored.and_then(Restored::run))
            .unwrap_or_else(|error| panic!("{error}"))
    }))
}

/// Lets a guest that was restored go on, and waits for its end.
fn let_go_on(name: &str, guest: &Inside, running: Running) {
    guest.words[1].store(1, Ordering::SeqCst);
    wake_all(&guest.words[1]);
    let code = running.end();
    let wrong = std::fs::read_to_string(guest.directory.path().join("wrong")).unwrap_or_default();
    assert_eq!(code, RIGHT, "{name}: {wrong}");
}

/// Saves a guest, restores it and lets it go on: nothing of it has changed.
fn goes_on(name: &str, body: fn(Words, &Path) -> i32) {
    let mut guest = Inside::start(body);
    let content = saved(&mut guest);
    let running = run(&content);
    let_go_on(name, &guest, running);
}

#[test]
fn issue_10_a_process_goes_on_counting_where_it_was() {
    as_both_users("restore::tests::issue_10_a_process_goes_on_counting_where_it_was", || {
        let mut guest = Inside::start(guests::counts);
        let count = || guest.words[2].load(Ordering::SeqCst);
        until("it counts", || count() > 1000);
        let content = saved(&mut guest);
        let words = guest.words;
        let count = || words[2].load(Ordering::SeqCst);
        let before = count();
        let running = run(&content);
        let status = crate::process::status::read(format!("/proc/{}", running.0).as_ref()).unwrap();
        assert_eq!(status.pids.last(), Some(&1));
        until("it counts on", || count() > before + 1000);
        let_go_on("counts", &guest, running);
    });
}

#[test]
fn issue_10_threads_go_on_with_their_ids_and_memory() {
    as_both_users("restore::tests::issue_10_threads_go_on_with_their_ids_and_memory", || {
        goes_on("threads", guests::hundred_threads);
    });
}

#[test]
fn issue_10_vector_registers_are_kept() {
    as_both_users("restore::tests::issue_10_vector_registers_are_kept", || {
        goes_on("vector registers", guests::vectors);
    });
}

#[test]
fn issue_10_waiting_signals_and_their_actions_are_kept() {
    as_both_users("restore::tests::issue_10_waiting_signals_and_their_actions_are_kept", || {
        goes_on("signals", guests::signals);
        goes_on("signal stack", guests::on_its_signal_stack);
    });
}

#[test]
fn issue_10_timers_run_on_with_their_numbers() {
    as_both_users("restore::tests::issue_10_timers_run_on_with_their_numbers", || {
        goes_on("timers", guests::timers);
    });
}

/// What is left of waits in a test.
const LEFT: Duration = Duration::from_millis(200);

/// The same content with changed records.
fn changed(content: &File, change: impl FnOnce(&mut Vec<Record>)) -> File {
    let _alone = alone();
    let mut reader = Reader::begin(reading(content)).unwrap();
    let mut writer = Writer::begin(tempfile::tempfile().unwrap(), reader.features()).unwrap();
    let (mut records, mut regions) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record(record) => records.push(record),
            Item::Region(region) => regions.push(region),
        }
    }
    change(&mut records);
    records.iter().for_each(|record| writer.record(record).unwrap());
    for region in regions {
        writer.region(region.owner(), region.runs(), region.pages()).unwrap();
    }
    writer.finish().unwrap()
}

/// The same content, with that left of all waits.
fn with_left(content: &File, left: Duration) -> File {
    changed(content, |records| {
        let mut waits = 0;
        for record in records {
            if let Record::Thread(thread) = record
                && let Some(restart) = &mut thread.restart
            {
                waits += 1;
                restart.left = Some(left.as_nanos() as u64);
            }
        }
        assert_eq!(waits, 4);
    })
}

#[test]
fn issue_10_waits_go_on_and_nothing_is_interrupted() {
    as_both_users("restore::tests::issue_10_waits_go_on_and_nothing_is_interrupted", || {
        let mut guest = Inside::start(guests::sleeps);
        until("all of them wait", || guest.words[0].load(Ordering::SeqCst) == 4 && guest.all_asleep());
        let content = with_left(&saved(&mut guest), LEFT);
        let began = Instant::now();
        let running = run(&content);
        let_go_on("sleeps", &guest, running);
        assert!(began.elapsed() >= LEFT, "they did not wait for what was left");
    });
}

#[test]
fn issue_10_a_family_goes_on_in_its_sessions_and_groups() {
    as_both_users("restore::tests::issue_10_a_family_goes_on_in_its_sessions_and_groups", || {
        let mut guest = Inside::start(guests::family);
        until("all of them wait", || guest.words[0].load(Ordering::SeqCst) == guests::FAMILY && guest.all_asleep());
        let content = saved(&mut guest);
        let running = run(&content);
        let_go_on("family", &guest, running);
    });
}

#[test]
fn issue_10_descriptors_and_what_they_show_are_as_they_were() {
    as_both_users("restore::tests::issue_10_descriptors_and_what_they_show_are_as_they_were", || {
        goes_on("descriptors", guests::descriptors);
    });
}

#[test]
fn issue_10_a_shell_script_goes_on_through_many_saves() {
    as_both_users("restore::tests::issue_10_a_shell_script_goes_on_through_many_saves", || {
        let mut guest = Inside::start(guests::shell);
        let count = guest.directory.path().join("count");
        let reached = |least: u32| {
            until("the script counts", || {
                std::fs::read_to_string(&count).is_ok_and(|text| text.trim().parse().is_ok_and(|now: u32| now >= least))
            });
        };
        reached(3);
        let mut content = saved(&mut guest);
        for round in 0..10 {
            let running = run(&content);
            let now = std::fs::read_to_string(&count).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0u32);
            reached(now + 1 + round % 2);
            content = saved_first(running.0);
            assert!(running.end() < 0, "it ends by a signal");
        }
        let running = run(&content);
        std::fs::write(guest.directory.path().join("go"), "").unwrap();
        let_go_on("shell", &guest, running);
    });
}

#[test]
fn issue_10_a_first_process_with_threads_has_ended_when_its_end_was_waited_for() {
    as_both_users(
        "restore::tests::issue_10_a_first_process_with_threads_has_ended_when_its_end_was_waited_for",
        || {
            let mut guest = Inside::start(guests::hundred_threads);
            let content = saved(&mut guest);
            // It is a child of this process, which the guest was not.
            let running = run(&content);
            let first = running.0;
            tracing(|tracer| {
                let limits = Limits { deadline: PATIENCE, tries: 1, patience: PATIENCE };
                let frozen = freeze(tracer, &mut || descendants(first), limits).unwrap();
                frozen.end().unwrap();
                assert_eq!(state(first, first), Some('Z'), "its namespace has not ended");
            });
            assert!(running.end() < 0, "it ends by a signal");
        },
    );
}

/// A source at whose end, where all pages were put, somebody gets copies of all descriptors.
struct CopiedAtEnd<R>(R, Option<Copies>);

impl<R: Read> Read for CopiedAtEnd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        if read == 0 && self.1.is_none() {
            self.1 = Some(Copies::keep());
        }
        Ok(read)
    }
}

#[test]
fn issue_10_copies_of_the_descriptors_of_a_restore_in_other_processes_do_no_harm() {
    as_both_users(
        "restore::tests::issue_10_copies_of_the_descriptors_of_a_restore_in_other_processes_do_no_harm",
        || {
            let mut guest = Inside::start(guests::reads_into_a_new_page);
            let content = saved(&mut guest);
            tracing(|tracer| {
                let mut source = CopiedAtEnd(reading(&content), None);
                let running = restored_from(tracer, &mut source, 0, None, |restored| restored.and_then(Restored::run));
                let running = Running(running.unwrap_or_else(|error| panic!("{error}")));
                assert!(source.1.is_some(), "nobody has copies");
                let_go_on("reads into a new page", &guest, running);
            });
        },
    );
}

#[test]
fn issue_10_pidfds_and_inotify_instances_are_there() {
    as_both_users("restore::tests::issue_10_pidfds_and_inotify_instances_are_there", || {
        let mut guest = Inside::start(guests::finds_descriptors);
        let saved = saved(&mut guest);
        let directory = guest.directory.path().to_str().unwrap().as_bytes().to_vec();
        let content = changed(&saved, |records| {
            let common = |id| Common { id, ..Common::default() };
            let watch = InotifyWatch { number: 3, mask: libc::IN_CREATE, path: directory.try_into().unwrap() };
            records.push(PidFd { common: common(90), pid: Some(1), thread: false }.into());
            records.push(Inotify { common: common(91), watches: vec![watch].try_into().unwrap() }.into());
            for record in records {
                if let Record::DescriptorTable(table) = record {
                    let mut all = table.descriptors.to_vec();
                    for (number, description) in [(guests::PIDFD, 90), (guests::INOTIFY, 91)] {
                        all.push(Descriptor { number, description, close_on_exec: false });
                    }
                    table.descriptors = all.try_into().unwrap();
                }
            }
        });
        let running = run(&content);
        let_go_on("descriptors that were not there before", &guest, running);
    });
}

#[test]
fn issue_10_new_processes_get_the_pids_that_come_next() {
    as_both_users("restore::tests::issue_10_new_processes_get_the_pids_that_come_next", || {
        goes_on("pids", guests::pids_go_on);
    });
}

#[test]
fn issue_10_a_stopped_process_stays_stopped_and_its_parent_learns_it_once() {
    as_both_users("restore::tests::issue_10_a_stopped_process_stays_stopped_and_its_parent_learns_it_once", || {
        let mut guest = Inside::start(guests::stopped);
        let content = saved(&mut guest);
        let running = run(&content);
        let below = descendants(running.0).unwrap();
        let child = below.into_iter().find(|pid| *pid != running.0).unwrap();
        until("it is stopped", || state(child, child) == Some('T'));
        let count = guest.words[4].load(Ordering::SeqCst);
        assert_eq!(count, guest.words[4].load(Ordering::SeqCst), "it runs");
        guest.words[5].store(1, Ordering::SeqCst);
        until("it runs on", || guest.words[4].load(Ordering::SeqCst) != count);
        let_go_on("stopped", &guest, running);
    });
}

#[test]
fn issue_10_each_thread_has_the_rights_that_it_had() {
    as_both_users("restore::tests::issue_10_each_thread_has_the_rights_that_it_had", || {
        let mut guest = Inside::start(guests::rights);
        until("both are there", || guest.words[0].load(Ordering::SeqCst) == 2);
        let content = saved(&mut guest);
        let running = run(&content);
        let_go_on("rights", &guest, running);
    });
}

#[test]
fn issue_10_a_netlink_socket_is_what_it_was() {
    as_both_users("restore::tests::issue_10_a_netlink_socket_is_what_it_was", || goes_on("netlink", guests::netlink));
}

#[test]
fn issue_10_clocks_and_host_names_are_the_sessions_own() {
    as_both_users("restore::tests::issue_10_clocks_and_host_names_are_the_sessions_own", || {
        let mut guest = Inside::start(guests::clocks);
        let saved = saved(&mut guest);
        let content = changed(&saved, |records| {
            let text = |text: &str| text.as_bytes().to_vec().try_into().unwrap();
            let kind = NamespaceKind::Uts { host: text("guest"), domain: text("") };
            records.push(Namespace { id: 99, kind, ..Namespace::default() }.into());
        });
        let nanoseconds = guests::AHEAD.as_nanos() as i64;
        let clocks = Clocks { monotonic: nanoseconds, boot: -5 };
        let running = run_in(&content, libc::CLONE_NEWUTS, Some(clocks));
        let_go_on("clocks", &guest, running);
    });
}
