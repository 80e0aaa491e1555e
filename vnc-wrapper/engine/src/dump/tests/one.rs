//! One process.

use std::os::fd::AsFd;

use super::{save, save_of};
use crate::dump::{Error, Then};
use crate::process::smaps;
use crate::record::memory::{Backing, Origin};
use crate::record::objects::{Content, LockRange};
use crate::record::process::{Area, State, Time};
use crate::record::{Owner, Record};
use crate::sys::guests::saved::{self, PAGE, describes_itself};
use crate::sys::guests::{self, Guest};
use crate::sys::terminal_guests;
use crate::sys::unix;
use crate::testing::as_both_users;

#[test]
fn issue_10_a_save_says_of_a_process_what_it_says_of_itself() {
    as_both_users("dump::tests::one::issue_10_a_save_says_of_a_process_what_it_says_of_itself", || {
        let guest = Guest::start(describes_itself);
        let (pid, said) = (guest.pid, |at| guest.shared.said(at));
        guest.asleep(pid);
        let before = smaps::read(format!("/proc/{pid}").as_ref()).unwrap();
        let save = save(pid);

        let process = save.process(pid);
        assert_eq!((process.parent, &process.state, process.exit_signal), (None, &State::Running, 17));
        assert!(process.subreaper && process.umask == 0o027 && process.leader_ended.is_none());
        assert_eq!((process.personality, process.dumpable), (0, 1));
        assert_eq!([process.group, process.session], [pid.cast_unsigned(); 2]);
        let numbers = |signals: &[crate::record::Bytes<128>]| -> Vec<(i32, u64)> {
            let word = |info: &[u8], at: usize| i32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
            let value = |info: &[u8]| u64::from_ne_bytes(info[24..32].try_into().unwrap());
            signals.iter().map(|info| (word(info, 0), if word(info, 8) == -1 { value(info) } else { 0 })).collect()
        };
        let real = said(saved::REAL) as i32;
        assert_eq!(numbers(&process.signals), [(real, 11), (real, 12)]);

        let thread = save.thread(pid);
        assert_eq!(numbers(&thread.signals), [(libc::SIGUSR2, 0)]);
        assert_eq!(&thread.name[..], b"self (a) \xff!");
        let bit = |signal: i32| 1u64 << (signal - 1);
        assert_eq!(thread.mask, bit(libc::SIGUSR1) | bit(libc::SIGUSR2) | bit(real));
        assert_eq!(thread.stack.area, Area { start: said(saved::STACK), length: saved::STACK_LENGTH });
        assert_eq!((thread.clear_child_tid, thread.timer_slack), (said(saved::CLEAR), saved::SLACK));
        assert_eq!((thread.parent_death_signal, thread.robust.length), (libc::SIGKILL as u8, 24));
        assert!(thread.restart.is_none() && thread.registers.len() == 27 * 8 && thread.xstate.len() > 512);
        assert!(thread.scheduling.processors.iter().any(|byte| *byte != 0));

        let actions = save.actions()[0].actions.iter();
        let action = |signal: i32| actions.clone().find(|action| i32::from(action.signal) == signal);
        assert_eq!(action(libc::SIGUSR1).unwrap().handler, said(saved::HANDLER));
        assert_eq!(action(libc::SIGHUP).unwrap().handler, 1);
        assert!(action(libc::SIGUSR2).is_none());

        let timers = save.timers()[0];
        let Time { left, interval } = timers.intervals[0].clone();
        assert_eq!(interval, 86_400_000_005);
        assert!(left > 3_500_000_000 && left <= 3_600_000_000, "{left}");
        assert_eq!(timers.intervals[1], Time::default());
        let [timer] = &timers.posix[..] else { panic!("{timers:?}") };
        assert_eq!((timer.id as u64, i32::from(timer.signal), timer.value), (said(saved::TIMER), real, 0x1234));
        assert_eq!((timer.clock, timer.notify, timer.time.interval), (libc::CLOCK_MONOTONIC, 0, 7_000_000_008));
        assert!(timer.time.left > 3_500_000_000_000);

        let files = &save.limits()[0].limits[libc::RLIMIT_NOFILE as usize];
        assert_eq!((files.soft, files.hard), (100, 200));
        let credentials = save.credentials();
        assert_eq!(credentials.len(), 1);
        assert_eq!(credentials[0].users[0], rustix::process::getuid().as_raw());

        let space = save.spaces()[0];
        assert_eq!((space.bounds[5], &space.executable[..]), (said(saved::BRK), executable().as_slice()));
        assert_eq!(&space.auxiliary[..], std::fs::read("/proc/self/auxv").unwrap());
        // What the engine borrowed is given back: the mappings are those from before.
        let mapped: Vec<_> = save.mappings().iter().map(|mapping| (mapping.start, mapping.end)).collect();
        assert_eq!(mapped, before.iter().map(|mapped| (mapped.start, mapped.end)).collect::<Vec<_>>());

        let pages = said(saved::PAGES);
        let page = |at: usize| save.page(pid, pages + (at * PAGE) as u64);
        assert_eq!(page(0), Some([0xa0; PAGE]));
        assert_eq!((page(1), page(2), page(4)), (None, None, None));
        assert_eq!(page(3), Some([0xa3; PAGE]), "a page that it may not read itself");
        assert_eq!(page(5), Some([0xa5; PAGE]));
        let guards = &save.mapping(pid, pages + 4 * PAGE as u64).guards;
        if said(saved::GUARD) == 1 {
            assert_eq!(guards[..], [Area { start: pages + 4 * PAGE as u64, length: PAGE as u64 }]);
        }

        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

fn executable() -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(std::fs::read_link("/proc/self/exe").unwrap().into_os_string())
}

#[test]
fn issue_10_shared_memory_and_code_are_where_they_belong() {
    let guest = Guest::start(guests::in_read);
    guest.asleep(guest.pid);
    let save = save(guest.pid);
    let words = std::ptr::from_ref(guest.shared.word(0)) as u64;
    let mapping = save.mapping(guest.pid, words);
    assert!(matches!(mapping.backing, Backing::Object { private: false, .. }), "{mapping:?}");
    let page = save.page(guest.pid, words).unwrap();
    assert_eq!(page[..4], 1u32.to_ne_bytes(), "the guest is ready");
    assert_eq!(save.objects().iter().filter(|object| object.size == 4096).count(), save.objects().len());
    let code = save.mapping(guest.pid, guests::in_read as *const () as u64);
    assert!(matches!(&code.backing, Backing::PrivateFile { path, .. } if **path == *executable()), "{code:?}");
    assert!(save.page(guest.pid, guests::in_read as *const () as u64).is_none(), "it is in the file");
    let special =
        save.mappings().into_iter().find(|it| matches!(&it.backing, Backing::Special { name } if **name == *b"vdso"));
    let vdso = special.unwrap().start / 4096;
    let owner = Owner::Space(save.process(guest.pid).space.unwrap());
    assert!(save.page_of(owner, vdso).unwrap().starts_with(b"\x7fELF"));
    guest.shared.write();
    assert_eq!(guest.end(), 0);
}

#[test]
fn issue_10_descriptors_and_what_waits_in_a_pipe_are_saved() {
    let guest = Guest::start(guests::reads_on);
    guest.asleep(guest.pid);
    let save = save(guest.pid);
    let Record::File(null) = save.descriptor(guest.pid, 0) else { panic!("no file") };
    assert_eq!((&null.path[..], null.common.flags & 3), (&b"/dev/null"[..], libc::O_RDWR as u32));
    let ids: Vec<u32> = save.descriptors(guest.pid).iter().map(|one| one.description).collect();
    assert_eq!((ids[0], ids[1]), (ids[1], ids[2]), "made by dup2");
    let [.., reader, writer] = save.descriptors(guest.pid) else { panic!("no pipe") };
    assert!(reader.close_on_exec && writer.close_on_exec && reader.description != writer.description);
    assert!(
        matches!(save.descriptor(guest.pid, reader.number as i32), Record::PipeEnd(end) if end.common.flags & 3 == 0)
    );
    assert!(
        matches!(save.descriptor(guest.pid, writer.number as i32), Record::PipeEnd(end) if end.common.flags & 3 == 1)
    );
}

#[test]
fn issue_10_descriptors_of_many_kinds_are_saved() {
    as_both_users("dump::tests::one::issue_10_descriptors_of_many_kinds_are_saved", || {
        let guest = Guest::start(saved::with_descriptors);
        guest.asleep(guest.pid);
        let save = save(guest.pid);
        let number = |at: usize| guest.shared.said(saved::OPENED[at]) as i32;
        let of = |at: usize| save.descriptor(guest.pid, number(at));
        let own = save.process(guest.pid).pids[0];
        assert!(matches!(of(0), Record::PidFd(it) if it.pid == Some(own) && !it.thread), "{:?}", of(0));
        assert!(matches!(of(1), Record::Inotify(it) if it.watches.is_empty()), "{:?}", of(1));
        let Record::File(memory) = of(2) else { panic!("{:?}", of(2)) };
        let Content::Object { object } = memory.content else { panic!("{memory:?}") };
        let record = save.objects().into_iter().find(|it| it.id == object).unwrap();
        assert!(matches!(&record.origin, Origin::Memfd { name, .. } if **name == *b"mine"), "{record:?}");
        assert_eq!(record.size, 4 * PAGE as u64);
        assert_eq!(save.page_of(Owner::Object(object), 3), Some([0x5a; PAGE]));
        assert_eq!(save.page_of(Owner::Object(object), 1), None, "a hole");
        let Record::EventFd(event) = of(3) else { panic!("{:?}", of(3)) };
        assert_eq!((event.count, event.semaphore), (7, true));
        let Record::Epoll(epoll) = of(4) else { panic!("{:?}", of(4)) };
        let [watch] = &epoll.watches[..] else { panic!("{epoll:?}") };
        // The kernel adds two that nobody can leave out.
        let events = libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP;
        assert_eq!((watch.description, watch.data, watch.events), (event.common.id, 99, events as u32));
        assert_eq!(watch.number, number(5).cast_unsigned(), "closed, and now another's");
        assert!(
            matches!(of(5), Record::TimerFd(it) if it.clock == libc::CLOCK_MONOTONIC && it.time == Time::default())
        );
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_a_lock_of_a_process_that_shares_the_file_is_not_left_out() {
    let guest = Guest::start(saved::with_a_lock_of_its_child);
    guest.asleep(guest.pid);
    let save = save(guest.pid);
    let locks: Vec<_> = save.tables().into_iter().flat_map(|table| table.locks.iter()).collect();
    let [lock] = &locks[..] else { panic!("{locks:?}") };
    assert_eq!((lock.exclusive, &lock.range), (false, &Some(LockRange { start: 0, last: None })));
    guest.shared.write();
    assert_eq!(guest.end(), 0);
}

#[test]
fn issue_10_a_session_that_is_to_end_has_ended() {
    let guest = Guest::start(guests::with_threads);
    let save = save_of(guest.pid, Then::End).unwrap();
    assert_eq!((save.report.processes, save.report.threads), (1, 4));
    assert_eq!(guest.end(), -1, "it was killed");
}

#[test]
fn issue_10_what_no_record_holds_is_refused_by_name_and_the_process_runs_on() {
    let guest = Guest::start(saved::with_a_socket);
    let error = save_of(guest.pid, Then::End).err().expect("a socket was saved");
    let text = error.to_string();
    assert!(matches!(error, Error::Refused(_)) && text.contains(&format!("process {}", guest.pid)), "{text}");
    assert!(text.contains("socket:["), "{text}");
    guest.shared.write();
    assert_eq!(guest.end(), 0);
}

#[test]
fn issue_10_a_terminal_of_others_is_refused_by_name() {
    as_both_users("dump::tests::one::issue_10_a_terminal_of_others_is_refused_by_name", || {
        let guest = Guest::start(|shared| {
            let _master = terminal_guests::outside();
            shared.ready();
            i32::from(shared.read() != 1)
        });
        let error = save_of(guest.pid, Then::End).err().expect("it was saved").to_string();
        assert!(error.contains("descriptor ") && error.contains("ptmx: "), "{error}");
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_connections_that_lead_out_of_the_session_are_refused_by_name() {
    as_both_users("dump::tests::one::issue_10_connections_that_lead_out_of_the_session_are_refused_by_name", || {
        let name = format!("\0out of the session {}", std::process::id()).into_bytes();
        let listener = unix::socket(libc::SOCK_STREAM as u32).unwrap();
        unix::bind(listener.as_fd(), &name).unwrap();
        unix::listen(listener.as_fd(), 1).unwrap();
        let guest = Guest::start(|shared| saved::connected(shared, &name));
        let refused = |why: &str| {
            let error = save_of(guest.pid, Then::End).err().expect("a connection was saved");
            let text = error.to_string();
            assert!(matches!(error, Error::Refused(_)) && text.contains("socket:[") && text.contains(why), "{text}");
        };
        refused("waits to be accepted by a process outside of the session");
        let _accepted = unix::accept(listener.as_fd()).unwrap();
        refused("connected to a process outside of the session");
        guest.shared.write();
        assert_eq!(guest.end(), 0);
    });
}

#[test]
fn issue_10_no_thread_is_saved_inside_the_vdso() {
    let guest = Guest::start(saved::in_vdso);
    for _ in 0..20 {
        let save = save(guest.pid);
        let registers = crate::remote::processor::Registers::parse(&save.thread(guest.pid).registers).unwrap();
        let mapping = save.mapping(guest.pid, registers.instruction());
        assert!(!matches!(mapping.backing, Backing::Special { .. }), "{mapping:?}");
    }
    guest.shared.word(1).store(1, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(guest.end(), 0, "its clock went back");
}

#[test]
fn issue_10_a_sleep_is_saved_as_the_call_that_goes_on() {
    const HOUR: u64 = 3_600_000_000_000;
    let calls: [&[i64]; 4] = [
        &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep],
        &[libc::SYS_nanosleep],
        &[libc::SYS_poll],
        &[libc::SYS_futex],
    ];
    for (way, expected) in (0..).zip(calls) {
        let guest = Guest::start(|shared| saved::in_long_sleep(shared, way));
        // The first save interrupts the call; from then on the kernel shows restart_syscall(2) in its place.
        for at in 0..3 {
            guest.asleep(guest.pid);
            let save = save(guest.pid);
            let restart = save.thread(guest.pid).restart.clone().unwrap_or_else(|| panic!("way {way}, save {at}"));
            assert!(expected.contains(&restart.call.into()), "way {way}, save {at}: {restart:?}");
            assert!(restart.left.is_some_and(|left| left > HOUR / 2 && left <= HOUR), "way {way}: {restart:?}");
            assert_eq!(
                way == 1,
                restart.left.is_some_and(|left| left < HOUR),
                "only where the kernel says what is left"
            );
        }
    }
}

#[test]
fn issue_10_holes_of_shared_memory_are_left_out_and_stay_where_that_may_be_seen() {
    as_both_users(
        "dump::tests::one::issue_10_holes_of_shared_memory_are_left_out_and_stay_where_that_may_be_seen",
        || {
            let guest = Guest::start(saved::with_holes);
            guest.asleep(guest.pid);
            let save = save(guest.pid);
            let at = guest.shared.said(saved::PAGES);
            let pages = (0..saved::HOLES as u64).map(|page| save.page(guest.pid, at + page * PAGE as u64));
            let there: Vec<usize> = pages.enumerate().filter(|(_, page)| page.is_some()).map(|(at, _)| at).collect();
            assert_eq!(there, [3, 200]);
            let range = format!("{at:x}-{:x}", at + (saved::HOLES * PAGE) as u64);
            let may_see = std::fs::File::open(format!("/proc/{}/map_files/{range}", guest.pid)).is_ok();
            guest.shared.write();
            let count = guest.end();
            assert!(if may_see { count == 2 } else { count > 0 }, "{count} pages");
        },
    );
}
