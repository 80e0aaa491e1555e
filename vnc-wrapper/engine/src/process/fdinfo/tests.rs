//! Real samples (Linux 6.18), and what is printed is read again.

use std::os::fd::AsRawFd;

use proptest::prelude::*;

use super::*;

const COMMON: &str = "pos:\t5\nflags:\t02100001\nmnt_id:\t17\nino:\t12\n";

fn kind(lines: &str) -> Kind {
    let info = parse(format!("{COMMON}{lines}").as_bytes()).unwrap();
    assert_eq!((info.position, info.flags, info.mount, info.inode), (5, 0o2_100_001, Some(17), Some(12)));
    assert_eq!(info.other, Vec::<Vec<u8>>::new());
    info.kind
}

#[test]
fn issue_10_each_kind_of_descriptor_is_read() {
    let event = kind("eventfd-count:               1f\neventfd-id: 2\neventfd-semaphore: 1\n");
    assert_eq!(event, Kind::Event { count: 0x1f, id: Some(2), semaphore: Some(true) });
    assert_eq!(kind("eventfd-count: 0\n"), Kind::Event { count: 0, id: None, semaphore: None });
    assert_eq!(kind("sigmask:\t0000000200000202\n"), Kind::Signals(Signals(0x2_0000_0202)));
    let timer = kind("clockid: 1\nticks: 3\nsettime flags: 01\nit_value: (2, 999933528)\nit_interval: (1, 500)\n");
    let (value, interval) = (Duration::new(2, 999_933_528), Duration::new(1, 500));
    assert_eq!(timer, Kind::Timer { clock: 1, ticks: 3, flags: 1, value, interval });
    assert_eq!(kind("Pid:\t14607\nNSpid:\t14607\t3\n"), Kind::Process { pid: 14607, pids: vec![14607, 3] });
    assert_eq!(kind("Pid:\t-1\nNSpid:\t-1\n"), Kind::Process { pid: -1, pids: vec![-1] });
    assert_eq!(kind("tty-index:\t4\n"), Kind::Terminal(4));
    assert_eq!(kind(""), Kind::Plain);
}

#[test]
fn issue_10_what_is_watched_is_read() {
    let poll = kind(
        "tfd:        6 events: 80000019 data: ffffffffffffffff  pos:0 ino:2c3e39 sdev:f\n\
                     tfd:        7 events:       1c data:                7  pos:-1 ino:1 sdev:fe00001\n",
    );
    let first =
        Watched { descriptor: 6, events: 0x8000_0019, data: u64::MAX, position: 0, inode: 0x2c_3e39, device: (0, 15) };
    let second = Watched { descriptor: 7, events: 0x1c, data: 7, position: -1, inode: 1, device: (254, 1) };
    assert_eq!(poll, Kind::Poll(vec![first, second]));
    let handle = Handle { kind: 1, bytes: vec![0xda, 0x40, 6, 0, 0x85, 0x42, 0xfe, 0x67] };
    let inotify = kind(
        "inotify wd:1a ino:640da sdev:fe00000 mask:2 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 \
                        f_handle:da4006008542fe67\ninotify wd:2 ino:ea745 sdev:28 mask:3c6 ignored_mask:0 \n",
    );
    let first = Watch { number: 26, inode: 0x6_40da, device: (254, 0), mask: 2, handle: Some(handle.clone()) };
    let second = Watch { number: 2, inode: 0xe_a745, device: (0, 40), mask: 0x3c6, handle: None };
    assert_eq!(inotify, Kind::Inotify(vec![first, second]));
    let fanotify = kind(
        "fanotify flags:0 event-flags:8000\nfanotify sdev:1b mflags:0 mask:20 ignored_mask:0\n\
                         fanotify mnt_id:1b mflags:40 mask:20 ignored_mask:1\nfanotify ino:3c4a7 sdev:fe00000 mflags:0 mask:20 \
                         ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:da4006008542fe67\n",
    );
    let mark = |on, flags, ignored| Mark { on, flags, mask: 0x20, ignored };
    let inode = Marked::Inode { inode: 0x3_c4a7, device: (254, 0), handle: Some(handle) };
    let marks = vec![mark(Marked::FileSystem((0, 27)), 0, 0), mark(Marked::Mount(27), 0x40, 1), mark(inode, 0, 0)];
    assert_eq!(fanotify, Kind::Fanotify { flags: 0, event_flags: 0x8000, marks });
}

#[test]
fn issue_10_locks_are_read() {
    let text = "lock:\t1: FLOCK  ADVISORY  WRITE 14607 fe:00:10027094 0 EOF\n\
                lock:\t2: POSIX  ADVISORY  READ 14607 fe:00:10027094 5 14\n\
                lock:\t3: OFDLCK ADVISORY  WRITE -1 fe:1a:10027097 3 6\n\
                lock:\t4: LEASE  BREAKING  UNLCK 27366 fe:00:10027098 0 EOF\n";
    let info = parse(format!("{COMMON}{text}").as_bytes()).unwrap();
    let [flock, posix, open, lease] = info.locks.try_into().unwrap();
    assert_eq!(
        (flock.kind, flock.access, flock.end, flock.breaking),
        (LockKind::Flock, LockAccess::Write, None, false)
    );
    assert_eq!((posix.kind, posix.access, posix.start, posix.end), (LockKind::Posix, LockAccess::Read, 5, Some(14)));
    assert_eq!((open.kind, open.pid, open.device, open.inode), (LockKind::OpenFile, -1, (254, 26), 10_027_097));
    assert_eq!((lease.kind, lease.access, lease.breaking), (LockKind::Lease, LockAccess::Unlock, true));
}

#[test]
fn lines_of_other_kinds_are_kept() {
    let info = parse(format!("{COMMON}drm-driver:\ti915\nno colon\n").as_bytes()).unwrap();
    assert_eq!(info.other, [b"drm-driver:\ti915".to_vec(), b"no colon".to_vec()]);
}

#[test]
fn lines_that_are_not_of_their_form_are_errors() {
    for bad in [
        "eventfd-id: 2",
        "tfd: 1 events: 2",
        "it_value: (1, 2)",
        "clockid: 1\nit_value: (1, 1000000000)",
        "NSpid:\t1",
        "inotify wd:1 sdev:1 mask:1",
        "inotify wd:1 ino:1 sdev:1 mask:1 fhandle-bytes:2 fhandle-type:1 f_handle:7e9",
        "fanotify sdev:1 mflags:0 mask:1 ignored_mask:0",
        "lock:\t1: FLOCK ADVISORY WRITE",
        "mnt_id:\tx",
    ] {
        parse(format!("{COMMON}{bad}\n").as_bytes()).unwrap_err();
    }
    assert_eq!(parse(b"flags:\t02\n").unwrap_err().field, "pos");
    assert_eq!(parse(b"pos:\t0\n").unwrap_err().field, "flags");
}

#[test]
fn descriptors_of_this_process_are_read() {
    let own = Path::new("/proc/self");
    let notify = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).unwrap();
    // The kernel gives numbers in order: the last is 17, 11 in the file.
    let directories: Vec<_> = (0..17).map(|_| tempfile::tempdir().unwrap()).collect();
    for directory in &directories {
        rustix::fs::inotify::add_watch(&notify, directory.path(), rustix::fs::inotify::WatchFlags::CREATE).unwrap();
    }
    let Kind::Inotify(watches) = read(own, notify.as_raw_fd()).unwrap().kind else { panic!("no inotify") };
    let mut numbers: Vec<i32> = watches.iter().map(|watch| watch.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=17).collect::<Vec<_>>());
    let file = tempfile::tempfile().unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let locks = read(own, file.as_raw_fd()).unwrap().locks;
    assert_eq!((locks.len(), locks[0].kind, locks[0].access), (1, LockKind::Flock, LockAccess::Write));
}

fn watched() -> impl Strategy<Value = Watched> {
    any::<(i32, u32, u64, i64, u64, u32)>().prop_map(|(descriptor, events, data, position, inode, device)| Watched {
        descriptor,
        events,
        data,
        position,
        inode,
        device: text::device(device),
    })
}

fn watch() -> impl Strategy<Value = Watch> {
    let handle = proptest::option::of((0..i32::MAX, proptest::collection::vec(any::<u8>(), 0..20)));
    (0..i32::MAX, any::<(u64, u32, u32)>(), handle).prop_map(|(number, (inode, device, mask), handle)| {
        let handle = handle.map(|(kind, bytes)| Handle { kind, bytes });
        Watch { number, inode, device: text::device(device), mask, handle }
    })
}

fn number((major, minor): (u32, u32)) -> u32 {
    major << 20 | minor
}

proptest! {
    #[test]
    fn bytes_do_not_break_fdinfo(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in 0usize..12) {
        let _ = parse(&bytes);
        let heads = ["eventfd-count:", "tfd: 1 ", "sigmask:", "clockid: 1\nit_value:", "inotify wd:1 ", "fanotify flags:", "Pid:",
            "fanotify ino:", "lock:", "tty-index:", "clockid: 1\nticks:", "Pid: 1\nNSpid:"];
        let _ = parse(&[COMMON.as_bytes(), heads[head].as_bytes(), &bytes[..]].concat());
    }

    #[test]
    fn watched_files_are_read_as_written(all in proptest::collection::vec(watched(), 1..9)) {
        let lines: String = all.iter().map(|one| format!(
            "tfd: {:8} events: {:8x} data: {:16x}  pos:{} ino:{:x} sdev:{:x}\n",
            one.descriptor, one.events, one.data, one.position, one.inode, number(one.device),
        )).collect();
        prop_assert_eq!(kind(&lines), Kind::Poll(all));
    }

    #[test]
    fn watches_are_read_as_written(all in proptest::collection::vec(watch(), 1..9)) {
        let lines: String = all.iter().map(|one| {
            let handle = one.handle.as_ref().map(|handle| {
                let bytes: String = handle.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("fhandle-bytes:{:x} fhandle-type:{:x} f_handle:{bytes}", handle.bytes.len(), handle.kind)
            });
            format!("inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 {}\n",
                one.number, one.inode, number(one.device), one.mask, handle.unwrap_or_default())
        }).collect();
        prop_assert_eq!(kind(&lines), Kind::Inotify(all));
    }

    #[test]
    fn timers_are_read_as_written(clock: i32, ticks: u64, flags in 0u32..8, value: Duration, interval: Duration) {
        let lines = format!(
            "clockid: {clock}\nticks: {ticks}\nsettime flags: 0{flags:o}\nit_value: ({}, {})\nit_interval: ({}, {})\n",
            value.as_secs(), value.subsec_nanos(), interval.as_secs(), interval.subsec_nanos(),
        );
        prop_assert_eq!(kind(&lines), Kind::Timer { clock, ticks, flags, value, interval });
    }
}
