//! Trees of processes, in namespaces.

use std::sync::atomic::Ordering;

use libc::pid_t;

use super::{Save, save, save_from};
use crate::dump::{Session, Then};
use crate::freeze::OwnProc;
use crate::record::Record;
use crate::record::process::{Process, State};
use crate::record::rights::NamespaceKind;
use crate::sys::guests::family::{self, family};
use crate::sys::guests::{self, until};
use crate::sys::inside::{self, Inside};
use crate::testing::as_both_users;

/// Waits until every process has come to rest. As we see them: the session's pids are others.
fn at_rest(guest: &Inside) {
    let states = || {
        let all = crate::freeze::descendants(guest.pid).unwrap();
        all.into_iter().map(|pid| (pid, guests::state(pid, pid))).collect::<Vec<_>>()
    };
    until("the family rests", || {
        let states = states();
        let of = |letter: char| states.iter().filter(|(_, state)| *state == Some(letter)).count();
        let headless = guest.words[family::HEADLESS_THREAD].load(Ordering::SeqCst) != 0;
        headless && of('Z') == 3 && of('T') == 1 && of('S') + 4 == states.len()
    });
}

fn by_pid(save: &Save, pid: u32) -> &Process {
    save.processes().into_iter().find(|process| process.pids[0] == pid).unwrap_or_else(|| panic!("no process {pid}"))
}

#[test]
fn issue_10_a_tree_of_every_kind_of_process_is_saved_with_the_sessions_ids() {
    as_both_users("dump::tests::tree::issue_10_a_tree_of_every_kind_of_process_is_saved_with_the_sessions_ids", || {
        let guest = Inside::start(family);
        at_rest(&guest);
        let save = save(guest.pid);
        let said = |at: usize| guest.words[at].load(Ordering::SeqCst);
        let of = |at: usize| by_pid(&save, said(at));
        let first = by_pid(&save, 1);
        assert_eq!((first.parent, first.group, first.session, first.pids.len()), (None, 1, 1, 1));
        assert_eq!(save.processes().len(), 10);

        let leader = of(family::LEADER);
        assert_eq!((leader.group, leader.session), (said(family::LEADER), said(family::LEADER)));
        let member = of(family::MEMBER);
        assert_eq!((member.parent, member.session), (Some(leader.id), said(family::LEADER)));
        assert_eq!(member.group, said(family::MEMBER));
        let orphan = of(family::ORPHAN);
        assert_eq!((orphan.parent, orphan.group, orphan.session), (Some(first.id), 1, 1));

        assert_eq!(of(family::ENDED).state, State::Ended { status: 7 << 8 });
        assert_eq!(of(family::KILLED).state, State::Ended { status: libc::SIGTERM });
        assert_eq!((of(family::ENDED).space, of(family::ENDED).table), (None, None));
        assert_eq!(of(family::STOPPED).state, State::Stopped { signal: libc::SIGSTOP as u8 });

        let headless = of(family::HEADLESS);
        assert_eq!((&headless.state, headless.leader_ended), (&State::Running, Some(3 << 8)));
        let threads = save.threads();
        let left: Vec<_> = threads.iter().filter(|thread| thread.process == headless.id).collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].tids[0], said(family::HEADLESS_THREAD));
        assert!(save.mappings().iter().any(|mapping| Some(mapping.space) == headless.space));
        assert_eq!(headless.directory, first.directory);

        let sharing = of(family::SHARING);
        let parts = |process: &Process| (process.space, process.table, process.actions);
        assert_eq!(parts(sharing), parts(first));
        assert!(parts(orphan) != parts(first) && orphan.space != first.space && orphan.table != first.table);

        let settings = of(family::SETTINGS);
        assert_eq!((settings.umask, &settings.directory[..], settings.oom_score_adj), (0o077, &b"/tmp"[..], 500));
        assert_eq!(settings.personality, 0x0040_0000);
        let thread = threads.iter().find(|thread| thread.process == settings.id).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(thread.scheduling.nice, (own + 5).min(19));
        let rights = save.credentials();
        assert_eq!(rights.len(), 2, "all but one have the same");
        assert!(rights.iter().any(|rights| rights.id == thread.credentials && rights.no_new_privileges));
        assert!(rights.iter().all(|rights| rights.users[..] == [0; 4] && rights.groups[..] == [0; 4]));
    });
}

#[test]
fn issue_10_the_sessions_own_namespaces_are_recorded() {
    as_both_users("dump::tests::tree::issue_10_the_sessions_own_namespaces_are_recorded", || {
        let guest = Inside::start(family);
        at_rest(&guest);
        let save = save(guest.pid);
        let namespaces: Vec<_> = save
            .records
            .iter()
            .filter_map(|record| if let Record::Namespace(it) = record { Some(&**it) } else { None })
            .collect();
        assert_eq!(namespaces.len(), 2, "user and pid: {namespaces:?}");
        for namespace in &namespaces {
            match &namespace.kind {
                NamespaceKind::User { users, groups, setgroups_denied } => {
                    let own = rustix::process::geteuid().as_raw();
                    assert_eq!((users.len(), users[0].inside, users[0].above, users[0].count), (1, 0, own, 1));
                    assert!(groups.len() == 1 && *setgroups_denied);
                    assert_eq!((namespace.owner, namespace.parent), (None, None));
                }
                NamespaceKind::Pid { last } => {
                    assert_eq!(*last, guest.words[family::SETTINGS].load(Ordering::SeqCst), "the newest process");
                    assert_eq!(namespace.owner, namespaces.iter().map(|it| it.id).find(|id| *id != namespace.id));
                }
                other => panic!("{other:?}"),
            }
        }
        let ids: Vec<u32> = namespaces.iter().map(|namespace| namespace.id).collect();
        assert_eq!(by_pid(&save, 1).namespaces[..], ids[..]);
    });
}

#[test]
fn issue_10_a_tree_runs_on_after_each_of_many_saves() {
    let guest = Inside::start(family);
    at_rest(&guest);
    let shown = || {
        let mut all: Vec<(pid_t, Option<char>)> = crate::freeze::descendants(guest.pid)
            .unwrap()
            .into_iter()
            .map(|pid| (pid, guests::state(pid, pid)))
            .collect();
        all.sort_unstable();
        all
    };
    let before = shown();
    for _ in 0..10 {
        save(guest.pid);
        until("all are as before", || shown() == before);
    }
}

#[test]
fn issue_10_what_was_put_into_a_session_is_saved_as_a_child_of_its_first_process() {
    let guest = Inside::start(inside::with_proc);
    let put = inside::put_in(&guest);
    until("it has its session", || {
        crate::process::stat::read(format!("/proc/{}", put.pid).as_ref()).is_ok_and(|stat| stat.session == put.pid)
    });
    let proc = format!("/proc/{}/root{}/proc", guest.pid, guest.directory.path().display());
    let source = OwnProc::new(guest.pid, proc).unwrap();
    let save = save_from(Session::new(guest.pid, source), Then::Run).unwrap();
    assert_eq!(save.processes().len(), 3);
    let first = by_pid(&save, 1);
    let inner = *crate::process::status::read(format!("/proc/{}", put.pid).as_ref()).unwrap().pids.last().unwrap();
    let put = by_pid(&save, inner.cast_unsigned());
    assert_eq!((put.parent, put.session), (Some(first.id), inner.cast_unsigned()));
    assert_eq!(first.namespaces.len(), 3, "user, pid and mounts");
}
