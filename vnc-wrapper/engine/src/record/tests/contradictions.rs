//! Records that do not fit together.

use super::super::check::check;
use super::super::memory::Backing;
use super::super::objects::{FileLock, LockRange, TableLock};
use super::super::process::State;
use super::super::{Owner, Record};
use super::{bytes, list, run, sound};

/// Changes the sound content, and expects that text.
fn refused(text: &str, change: impl FnOnce(&mut Vec<Record>)) {
    let mut records = sound();
    change(&mut records);
    let error = check(&records, []).expect_err(text);
    assert!(error.to_string().contains(text), "\"{error}\" instead of \"{text}\"");
}

/// Changes the `place`th record of a kind.
macro_rules! change {
    ($text:literal, $kind:ident[$place:literal], |$it:ident| $change:expr) => {
        refused($text, |records| {
            let mut of_kind = records.iter_mut().filter_map(|record| match record {
                Record::$kind(it) => Some(it),
                _ => None,
            });
            let $it = of_kind.nth($place).unwrap();
            $change;
        });
    };
}

#[test]
fn sound_content_passes() {
    let runs = [run(1, 2)];
    assert_eq!(check(&sound(), [(Owner::Space(1), &runs[..]), (Owner::Object(1), &[run(0, 2)])]), Ok(()));
}

#[test]
fn numbers_that_nothing_has_are_refused() {
    change!("refers to address space 7, which is missing", Process[0], |it| it.space = Some(7));
    change!("refers to descriptor table 7", Process[0], |it| it.table = Some(7));
    change!("refers to signal actions 7", Process[0], |it| it.actions = Some(7));
    change!("refers to namespace 7", Process[0], |it| it.namespaces = list(vec![7]));
    change!("refers to process 7", Process[1], |it| it.parent = Some(7));
    change!("refers to process 7", Thread[0], |it| (it.process, it.tids) = (7, list(vec![300])));
    change!("refers to credentials 7", Thread[0], |it| it.credentials = 7);
    change!("refers to filter 7", Thread[0], |it| it.filters = list(vec![1, 7]));
    change!("refers to process 7", Limits[0], |it| it.process = 7);
    change!("refers to user namespace 2", Namespace[1], |it| it.owner = Some(2));
    change!("refers to namespace of its kind 1", Namespace[1], |it| it.parent = Some(1));
    change!("refers to address space 7", Mapping[0], |it| it.space = 7);
    change!("refers to shared object 7", Mapping[0], |it| it.backing =
        Backing::Object { object: 7, offset: 0, private: true });
    change!("refers to pipe 7", PipeEnd[0], |it| it.pipe = 7);
    change!("refers to description 1, which is missing", PipeEnd[0], |it| it.common.id = 7);
    let error = check(&sound(), [(Owner::Object(7), &[run(0, 1)][..])]).unwrap_err();
    assert!(error.to_string().contains("refers to shared object 7"), "{error}");
}

#[test]
fn numbers_that_are_given_twice_are_refused() {
    for place in 0..sound().len() {
        if matches!(sound()[place], Record::Mapping(_)) {
            continue;
        }
        refused("is given twice", |records| records.push(records[place].clone()));
    }
    change!("number 2 is given twice", PipeEnd[0], |it| it.common.id = 2);
    change!("pid 101 is another's too", Process[1], |it| it.pids = list(vec![101]));
}

#[test]
fn trees_that_are_none_are_refused() {
    change!("a second process without parent", Process[1], |it| it.parent = None);
    change!("below itself", Process[0], |it| it.parent = Some(2));
    change!("below itself", Process[1], |it| it.parent = Some(2));
    change!("its process has ended", Process[1], |it| it.state = State::Ended { status: 0 });
    change!("no thread of it has its pid", Thread[1], |it| it.tids = list(vec![300]));
    change!("it is in other pid namespaces", Thread[1], |it| it.tids = list(vec![102, 1]));
    change!("below itself", Namespace[1], |it| it.parent = Some(2));
    change!("of a kind that it is in already", Process[0], |it| it.namespaces = list(vec![1, 1]));
}

#[test]
fn ranges_and_values_that_no_kernel_has_are_refused() {
    change!("another one overlaps it", Mapping[1], |it| it.start = 0x2000);
    change!("cannot end at 0x1000", Mapping[0], |it| it.end = 0x1000);
    change!("cannot end at 0x2001", Mapping[0], |it| it.end = 0x2001);
    change!("cannot end at 0xfffffffffffff000", Mapping[1], |it| it.end = 0xffff_ffff_ffff_f000);
    change!("no process can have the pid 0", Process[0], |it| it.pids = list(vec![0]));
    change!("no process can have the pid 4194305", Process[0], |it| it.group = 4_194_305);
    change!("it has no pid", Process[0], |it| it.pids = list(vec![]));
    change!("there is no signal 65", Process[0], |it| it.exit_signal = 65);
    change!("a signal that waits is cut short", Process[0], |it| it.signals = list(vec![bytes("short")]));
    change!("is no absolute path", Process[0], |it| it.directory = bytes("home"));
    change!("is no absolute path", File[0], |it| it.path = bytes("/a\0b"));
    change!("its position is -1", File[0], |it| it.position = -1);
    change!("bytes are no instructions", Filter[0], |it| it.program = bytes("short"));
    change!("2 locks of all of the file", File[0], |it| it.locks = list(vec![FileLock::default(); 2]));
    let backwards = || FileLock { exclusive: true, range: Some(LockRange { start: 5, last: Some(4) }) };
    change!("a lock ends before it begins", File[0], |it| it.locks = list(vec![backwards()]));
    change!("5 bytes in a pipe of 4", Pipe[0], |it| it.capacity = 4);
    change!("2 of its pieces may be packets", Pipe[0], |it| it.packets = list(vec![true; 2]));
    change!("a piece has a wrong length", Pipe[0], |it| it.queue = list(vec![bytes([])]));
    change!("its count is too large", EventFd[0], |it| it.count = u64::MAX);
    change!("they use capabilities that they do not have", Credentials[0], |it| it.effective = 1);
    change!("are no memory", Thread[0], |it| it.robust.start = u64::MAX);
    change!("nice 20", Thread[0], |it| it.scheduling.nice = 20);
    change!("above what it may be raised to", Limits[0], |it| it.limits =
        list(vec![crate::record::process::Limit { soft: 2, hard: 1 }; 16]));
    change!("refers to descriptor 9, which is missing", DescriptorTable[0], |it| {
        it.locks = list(vec![TableLock { descriptor: 9, ..TableLock::default() }]);
    });
    change!("a lock ends before it begins", DescriptorTable[0], |it| {
        let range = Some(LockRange { start: 9, last: Some(8) });
        it.locks = list(vec![TableLock { descriptor: 2, exclusive: true, range }]);
    });
    change!("its numbers do not rise", DescriptorTable[0], |it| {
        it.descriptors = list(it.descriptors.iter().rev().cloned().collect());
    });
    for (owner, first) in [(Owner::Space(1), u64::MAX), (Owner::Space(1), 1 << 50), (Owner::Object(1), 2)] {
        let error = check(&sound(), [(owner, &[run(first, 1)][..])]).unwrap_err();
        assert!(error.to_string().contains("is behind its end"), "{error}");
    }
}

#[test]
fn sockets_that_do_not_fit_together_are_refused() {
    use super::super::objects::Common;
    use super::super::sockets::{Message, Sender, UnixSocket, UnixState};
    let socket = |id, state| UnixSocket {
        common: Common { id, ..Common::default() },
        kind: libc::SOCK_STREAM as u32,
        state,
        ..UnixSocket::default()
    };
    let waits = UnixState::Connected { peer: None };
    let listening = |client| UnixState::Listening { backlog: 5, waiting: list(vec![None, Some(client)]) };
    let sockets = || {
        let mut all = vec![
            socket(11, UnixState::Connected { peer: Some(12) }),
            socket(12, UnixState::Connected { peer: Some(11) }),
            socket(13, listening(14)),
            socket(14, waits.clone()),
        ];
        let message = Message { bytes: bytes("a"), rights: list(vec![1, 12]), ..Message::default() };
        all[0].queue = list(vec![message]);
        all[2].name = Some(bytes("\0abstract\0"));
        all
    };
    let with = |change: &dyn Fn(&mut Vec<UnixSocket>)| {
        let mut sockets = sockets();
        change(&mut sockets);
        let records: Vec<Record> = sound().into_iter().chain(sockets.into_iter().map(Record::from)).collect();
        check(&records, []).map_err(|error| error.to_string())
    };
    assert_eq!(with(&|_| ()), Ok(()));
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<UnixSocket>));
    let cases: [Change<'_>; 11] = [
        ("socket 14 waits for it and elsewhere", &|all| {
            all[2].state = UnixState::Listening { backlog: 5, waiting: list(vec![Some(14), Some(14)]) };
        }),
        ("refers to socket 99", &|all| all[0].state = UnixState::Connected { peer: Some(99) }),
        ("socket 14 is not connected to it", &|all| all[0].state = UnixState::Connected { peer: Some(14) }),
        ("socket 11 does not wait for it", &|all| all[2].state = listening(11)),
        ("it cannot listen", &|all| all[2].kind = libc::SOCK_DGRAM as u32),
        ("there is no kind 77", &|all| all[0].kind = 77),
        ("directions 4 are shut", &|all| all[3].shutdown = 4),
        ("the name \"a\\x00b\"", &|all| all[3].name = Some(bytes("a\0b"))),
        ("it has a file and no name", &|all| all[3].place = Some(bytes("/a"))),
        ("refers to description 98", &|all| {
            all[3].queue = list(vec![Message { bytes: bytes("a"), rights: list(vec![98]), ..Message::default() }]);
        }),
        ("a sender with the pid 5000000", &|all| {
            all[3].peer = Some(Sender { pid: 5_000_000, ..Sender::default() });
        }),
    ];
    for (text, change) in cases {
        let error = with(change).expect_err(text);
        assert!(error.contains(text), "\"{error}\" instead of \"{text}\"");
    }
}

#[test]
fn watches_and_pidfds_that_cannot_be_are_refused() {
    use super::super::objects::{Common, Inotify, InotifyWatch, PidFd};
    let common = Common { id: 21, ..Common::default() };
    let with = |record: Record| {
        let records: Vec<Record> = sound().into_iter().chain([record]).collect();
        check(&records, []).map_err(|error| error.to_string())
    };
    let pidfd = |pid| PidFd { common: common.clone(), pid, thread: false }.into();
    assert_eq!((with(pidfd(Some(102))), with(pidfd(None))), (Ok(()), Ok(())));
    assert!(with(pidfd(Some(7))).unwrap_err().contains("refers to process 7"));
    let watching = |numbers: &[u32]| {
        let watch = |number: &u32| InotifyWatch { number: *number, mask: 2, path: bytes("/a") };
        Inotify { common: common.clone(), watches: list(numbers.iter().map(watch).collect()) }.into()
    };
    assert_eq!(with(watching(&[1, 5])), Ok(()));
    for numbers in [&[5, 1][..], &[0], &[1, 1], &[5_000_000]] {
        assert!(with(watching(numbers)).unwrap_err().contains("do not rise, or are too large"), "{numbers:?}");
    }
}

#[test]
fn issue_10_terminals_that_do_not_fit_together_are_refused() {
    use super::super::objects::Common;
    use super::super::terminals::{
        Devpts, Terminal, TerminalEnd, TerminalLife, TerminalSettings, TerminalSide, TypedLine,
    };
    struct World {
        devpts: Devpts,
        terminals: Vec<Terminal>,
        ends: Vec<TerminalEnd>,
    }
    let world = || {
        let settings =
            TerminalSettings { characters: bytes([0; 19]), local: libc::ICANON, ..TerminalSettings::default() };
        let opened = Terminal {
            id: 1,
            devpts: 5,
            index: 3,
            life: TerminalLife::Opened,
            settings,
            window: list(vec![0; 4]),
            lines: list(vec![TypedLine { bytes: bytes("typed\n"), end_of_file: false }]),
            ..Terminal::default()
        };
        let hung_up = Terminal { id: 2, devpts: 5, index: 4, life: TerminalLife::HungUp, ..Terminal::default() };
        let end = |id, terminal, side| TerminalEnd { common: Common { id, ..Common::default() }, terminal, side };
        let ends = vec![
            end(31, 1, TerminalSide::Master),
            end(32, 1, TerminalSide::Controlling { path: bytes("/dev/tty") }),
            end(33, 2, TerminalSide::Slave),
        ];
        let devpts = Devpts { id: 5, path: bytes("/dev/pts"), mode: 0o620, ptmx_mode: 0o666, ..Devpts::default() };
        World { devpts, terminals: vec![opened, hung_up], ends }
    };
    let with = |change: &dyn Fn(&mut World, &mut Vec<Record>)| {
        let (mut world, mut records) = (world(), sound());
        change(&mut world, &mut records);
        records.push(world.devpts.into());
        records.extend(world.terminals.into_iter().map(Record::from));
        records.extend(world.ends.into_iter().map(Record::from));
        check(&records, []).map_err(|error| error.to_string())
    };
    let has = |records: &mut Vec<Record>, terminal| {
        for record in records {
            if let Record::Process(process) = record {
                (process.group, process.session, process.terminal) = (101, 101, Some(terminal));
            }
        }
    };
    assert_eq!(with(&|_, _| ()), Ok(()));
    let led = |world: &mut World, records: &mut Vec<Record>| {
        has(records, 1);
        (world.terminals[0].session, world.terminals[0].foreground) = (101, 101);
    };
    assert_eq!(with(&led), Ok(()));
    type Change<'a> = (&'a str, &'a dyn Fn(&mut World, &mut Vec<Record>));
    let cases: [Change<'_>; 16] = [
        ("refers to devpts 9", &|world, _| world.terminals[0].devpts = 9),
        ("index 1048576", &|world, _| world.terminals[0].index = 1 << 20),
        ("index 3 is another's too", &|world, _| world.terminals[1].index = 3),
        ("no absolute path", &|world, _| world.devpts.path = bytes("pts")),
        ("a mode that no file has", &|world, _| world.devpts.mode = 0o10_000),
        ("it has 0 masters", &|world, _| world.ends.truncate(0)),
        ("it cannot be of that pseudo-terminal", &|world, _| world.ends[0].terminal = 2),
        ("refers to pseudo-terminal 9", &|world, _| world.ends[0].terminal = 9),
        ("what was typed does not fit it", &|world, _| world.terminals[0].settings.local = 0),
        ("it was hung up and goes on", &|world, _| world.terminals[1].typed = bytes("x")),
        ("it was never opened and used", &|world, _| {
            world.ends.remove(1);
            world.terminals[0].life = TerminalLife::Unopened;
        }),
        ("settings or window are cut short", &|world, _| world.terminals[0].window = list(vec![])),
        ("process 101 does not have it", &|world, _| {
            (world.terminals[0].session, world.terminals[0].foreground) = (101, 101);
        }),
        ("nobody of its session is in group 7", &|world, records| {
            led(world, records);
            world.terminals[0].foreground = 7;
        }),
        ("pseudo-terminal 1 is another session's", &|_, records| has(records, 1)),
        ("refers to pseudo-terminal 9", &|_, records| has(records, 9)),
    ];
    for (text, change) in cases {
        let error = with(change).expect_err(text);
        assert!(error.contains(text), "\"{error}\" instead of \"{text}\"");
    }
}
