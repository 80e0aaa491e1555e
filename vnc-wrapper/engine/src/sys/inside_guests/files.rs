//! Guests with files: watched, without a name, locked.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags};

use super::{child, go, judged, ready};
use crate::sys::inside::Words;
use crate::sys::watch;

const PAGE: usize = 4096;
/// Where the content of a sparse file goes on.
const FAR: u64 = 1 << 30;

/// Waits without a file of its own until it may go on.
fn rest(words: Words) {
    ready(words);
    super::wait_for_go(words);
    assert!(go(words));
}

/// Number, mask and name of each event that waits.
fn events(instance: BorrowedFd<'_>) -> Vec<(u32, u32, String)> {
    let mut all = Vec::new();
    let mut room = [0; 4096];
    while rustix::io::ioctl_fionread(instance).unwrap() > 0 {
        let read = rustix::io::read(instance, &mut room).unwrap();
        let mut rest = &room[..read];
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
            let (name, next) = behind.split_at(word(12) as usize);
            let name: Vec<u8> = name.iter().copied().take_while(|byte| *byte != 0).collect();
            all.push((word(0), word(4), String::from_utf8(name).unwrap()));
            rest = next;
        }
    }
    all
}

/// Watches a directory that was moved since, a file and a link in it, and one that is watched for being opened and read, which a save
/// and a restore do themselves.
pub(crate) fn watches(words: Words, directory: &Path) -> i32 {
    let (was, is, read) = (directory.join("was"), directory.join("is"), directory.join("read"));
    std::fs::create_dir(&was).unwrap();
    std::fs::create_dir(&read).unwrap();
    std::fs::write(was.join("file"), "").unwrap();
    std::fs::write(read.join("file"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", was.join("link")).unwrap();
    let opened = [was.join("file"), read.join("file")].map(|path| File::open(path).unwrap());
    let instance = watch::inotify().unwrap();
    let instance = instance.as_fd();
    let add = |path: &Path, mask| watch::add(instance, path.as_os_str().as_bytes(), mask).unwrap();
    for _ in 0..4 {
        let number = add(&was, libc::IN_CREATE);
        watch::remove(instance, number).unwrap();
    }
    let all = add(&read, libc::IN_ALL_EVENTS);
    let between = add(directory, libc::IN_CREATE);
    let once = add(&was.join("file"), libc::IN_OPEN | libc::IN_ONESHOT);
    let link = add(&was.join("link"), libc::IN_DELETE_SELF | libc::IN_DONT_FOLLOW);
    let moved = add(&was, libc::IN_CREATE);
    watch::remove(instance, between).unwrap();
    std::fs::rename(&was, &is).unwrap();
    std::env::set_current_dir(&read).unwrap();
    drop(events(instance));
    rest(words);
    let before = events(instance);
    std::fs::write(is.join("new"), "").unwrap();
    std::fs::remove_file(is.join("link")).unwrap();
    drop(File::open(is.join("file")).unwrap());
    drop(opened);
    let none = String::new;
    let right = [
        (moved, libc::IN_CREATE, "new".to_owned()),
        (link, libc::IN_DELETE_SELF, none()),
        (link, libc::IN_IGNORED, none()),
        (once, libc::IN_OPEN, none()),
        (once, libc::IN_IGNORED, none()),
        (all, libc::IN_CLOSE_NOWRITE, "file".to_owned()),
    ];
    let now = events(instance);
    let mut wrong = Vec::new();
    if !before.is_empty() {
        wrong.push(format!("events that nobody made: {before:?}"));
    }
    if now != right {
        wrong.push(format!("{now:?} instead of {right:?}"));
    }
    judged(&wrong, directory)
}

/// Does not read what it watches.
pub(crate) fn leaves_events(words: Words, directory: &Path) -> i32 {
    let instance = watch::inotify().unwrap();
    watch::add(instance.as_fd(), directory.as_os_str().as_bytes(), libc::IN_CREATE).unwrap();
    std::fs::write(directory.join("new"), "").unwrap();
    rest(words);
    i32::from(events(instance.as_fd()).len() != 1)
}

/// Maps two pages of a file.
fn map(file: &File, kind: libc::c_int, pages: usize) -> &'static mut [u8] {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(null_mut(), pages * PAGE, protection, kind, file.as_raw_fd(), 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: it is never unmapped; callers look at pages only that the file has.
    unsafe { std::slice::from_raw_parts_mut(memory.cast::<u8>(), pages * PAGE) }
}

/// Whether the kernel can read a byte there.
fn is_there(byte: *const u8) -> bool {
    let (_from, into) = std::io::pipe().unwrap();
    // SAFETY: at most one byte is read; where there is none the kernel answers EFAULT.
    unsafe { libc::write(into.as_raw_fd(), byte.cast(), 1) == 1 }
}

fn tell(file: &File) -> u64 {
    rustix::fs::tell(file).unwrap()
}

fn open_again(file: &File, flags: OFlags) -> File {
    rustix::fs::open(format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty()).unwrap().into()
}

/// What one call lists of a directory, from its position on.
fn listed(directory: &File) -> Vec<String> {
    let mut room = [MaybeUninit::uninit(); 512];
    let mut entries = rustix::fs::RawDir::new(directory, &mut room);
    let mut names = Vec::new();
    // A directory that is gone cannot be listed.
    while let Some(Ok(entry)) = entries.next() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entries.is_buffer_empty() {
            break;
        }
    }
    names
}

/// Files without names, with other names, sparse, shared, mapped; a directory that is gone; one that is half read.
pub(crate) fn without_names(words: Words, directory: &Path) -> i32 {
    let path = directory.join("gone");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"begin").unwrap();
    file.write_all_at(b"end", FAR).unwrap();
    let (reader, adder) = (File::open(&path).unwrap(), File::options().append(true).open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    let only = open_again(&file, OFlags::PATH);
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640)).unwrap();
    let (shared, private) = (map(&file, libc::MAP_SHARED, 1), map(&file, libc::MAP_PRIVATE, 1));
    private[9] = b'p';
    let parent = child(|| {
        let own = open_again(&file, OFlags::RDWR);
        ready(words);
        super::wait_for_go(words);
        i32::from(own.write_all_at(b"BEGIN", 0).is_err())
    });
    // One of its names is left; the other one is another file's now.
    let (first, second) = (directory.join("first"), directory.join("second"));
    let linked = File::create(&first).unwrap();
    std::fs::hard_link(&first, &second).unwrap();
    std::fs::remove_file(&first).unwrap();
    std::fs::write(&first, "other").unwrap();
    let moved = File::create(directory.join("before")).unwrap();
    std::fs::rename(directory.join("before"), directory.join("after")).unwrap();
    let unnamed = rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o600));
    let unnamed = unnamed.ok().map(File::from);
    if let Some(file) = &unnamed {
        file.write_all_at(b"unnamed", 0).unwrap();
    }
    // Linux 6.3.
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
    let data = rustix::fs::memfd_create(c"data", flags).ok();
    let (empty, listing) = (directory.join("empty"), directory.join("listing"));
    std::fs::create_dir(&empty).unwrap();
    let gone = File::open(&empty).unwrap();
    std::fs::remove_dir(&empty).unwrap();
    std::fs::create_dir(&listing).unwrap();
    let all: BTreeSet<String> = (0..40).map(|number| format!("a file with a long name {number}")).collect();
    all.iter().for_each(|name| std::fs::write(listing.join(name), "").unwrap());
    let listing = File::open(listing).unwrap();
    let mut names = listed(&listing);
    // Mapped only, one and a half pages of three.
    let name = format!("/dev/shm/freezeframe-{}", directory.file_name().unwrap().to_string_lossy());
    let short = File::options().read(true).write(true).create_new(true).open(&name).unwrap();
    std::fs::remove_file(&name).unwrap();
    short.write_all_at(&[b's'; PAGE + PAGE / 2], 0).unwrap();
    let (mapped, copied) = (map(&short, libc::MAP_SHARED, 3), map(&short, libc::MAP_PRIVATE, 3));
    copied[0] = b'c';
    drop(short);
    ready(words);
    super::wait_for_go(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    check("the child's descriptor", super::wait(parent) == 0);
    let text = |file: &File, at: u64, length: usize| {
        let mut text = vec![0; length];
        file.read_exact_at(&mut text, at).map(|()| text).unwrap_or_default()
    };
    check("content", text(&reader, 0, 5) == b"BEGIN" && text(&reader, FAR, 3) == b"end");
    let found = file.metadata().unwrap();
    check("length and holes", found.len() == FAR + 3 && found.blocks() < 1000);
    check(
        "links, mode and owner",
        (found.nlink(), found.mode() & 0o7777, found.uid(), found.gid()) == (0, 0o640, 0, 0),
    );
    check("positions", tell(&file) == 5 && tell(&reader) == 0);
    check("a reader", (&reader).write(b"x").is_err());
    check("appended", (&adder).write(b"!").is_ok() && text(&reader, FAR + 3, 1) == b"!");
    check("O_PATH", only.metadata().unwrap().ino() == found.ino() && (&only).write(b"x").is_err());
    check("no name", std::fs::hard_link(format!("/proc/self/fd/{}", file.as_raw_fd()), &path).is_err());
    check("mapped", shared[..5] == *b"BEGIN" && private[9] == b'p' && private[4] == b'n');
    check("another name", (&linked).write(b"linked").is_ok() && std::fs::read(&second).is_ok_and(|it| it == b"linked"));
    check("the first name", std::fs::read(&first).is_ok_and(|it| it == b"other"));
    check(
        "moved",
        (&moved).write(b"moved").is_ok() && std::fs::read(directory.join("after")).is_ok_and(|it| it == b"moved"),
    );
    if let Some(file) = &unnamed {
        check("made without a name", text(file, 0, 7) == b"unnamed");
        let given =
            rustix::fs::linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), CWD, &path, AtFlags::SYMLINK_FOLLOW);
        check("a name is given to it", given.is_ok() && std::fs::read(&path).is_ok_and(|it| it == b"unnamed"));
    }
    if let Some(data) = &data {
        let (seals, mode) = (rustix::fs::fcntl_get_seals(data).unwrap(), rustix::fs::fstat(data).unwrap().st_mode);
        check("a memfd that is no program", seals == SealFlags::EXEC && mode & 0o111 == 0);
    }
    check("a directory that is gone", gone.metadata().unwrap().is_dir() && listed(&gone).is_empty());
    while let Some(more) = Some(listed(&listing)).filter(|more| !more.is_empty()) {
        names.extend(more);
    }
    let count = names.len();
    let names: BTreeSet<String> = names.into_iter().filter(|name| !name.starts_with('.')).collect();
    check("what is left of a directory", names == all && count == all.len() + 2);
    check("mapped only", mapped[0] == b's' && mapped[PAGE] == b's' && mapped[2 * PAGE - 1] == 0);
    check("copied only", copied[0] == b'c' && copied[1] == b's' && copied[PAGE] == b's');
    check("behind its end", !is_there(&raw const mapped[2 * PAGE]) && is_there(&raw const mapped[PAGE]));
    mapped[PAGE] = b't';
    check("one file", copied[PAGE] == b't' && mapped[0] == b's');
    judged(&wrong, directory)
}

/// `F_SETLK`, `F_SETLKW` or `F_GETLK` on some bytes, exclusive or not; what the kernel answers.
fn lock(file: &File, how: libc::c_int, exclusive: bool, start: i64, length: i64) -> Option<libc::flock> {
    // SAFETY: all zeroes is a valid struct flock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    (lock.l_type, lock.l_start, lock.l_len) = (kind as libc::c_short, start, length);
    // SAFETY: `lock` is read and written.
    (unsafe { libc::fcntl(file.as_raw_fd(), how, &raw mut lock) } == 0).then_some(lock)
}

/// Locks of two processes on one file, one of them waiting for the other, and a lease.
pub(crate) fn locks(words: Words, directory: &Path) -> i32 {
    let (path, leased) = (directory.join("locked"), directory.join("leased"));
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    let file = open();
    let again = File::open(&path).unwrap();
    let lease = File::create(&leased).unwrap();
    crate::sys::descriptor::lease(lease.as_fd(), true).unwrap();
    crate::sys::descriptor::set_signal(lease.as_fd(), libc::SIGURG).unwrap();
    let taken = [lock(&file, libc::F_SETLK, true, 0, 10), lock(&again, libc::F_SETLK, false, 100, 0)];
    assert!(taken.iter().all(Option::is_some));
    let above = std::process::id() as libc::pid_t;
    let other = child(|| {
        let own = open();
        assert!(lock(&own, libc::F_SETLK, true, 20, 5).is_some());
        let seen = lock(&own, libc::F_GETLK, true, 5, 1).unwrap();
        words[2].store(u32::from(seen.l_pid != above), Ordering::SeqCst);
        ready(words);
        let waited = lock(&own, libc::F_SETLKW, true, 9, 1).is_some();
        words[3].store(1, Ordering::SeqCst);
        i32::from(!waited)
    });
    ready(words);
    super::wait_for_go(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    let held = |start, length| {
        let seen = lock(&file, libc::F_GETLK, true, start, length).unwrap();
        (seen.l_pid, i32::from(seen.l_type), seen.l_start, seen.l_len)
    };
    check("the other one's", held(0, 30) == (other, libc::F_WRLCK, 20, 5));
    check("nothing else", i32::from(lock(&file, libc::F_GETLK, true, 25, 0).unwrap().l_type) == libc::F_UNLCK);
    check("the other one waits", words[3].load(Ordering::SeqCst) == 0);
    let third = child(|| {
        let own = open();
        let seen = |start| lock(&own, libc::F_GETLK, true, start, 1).map(|seen| (seen.l_pid, i32::from(seen.l_type)));
        let here = [(0, above, libc::F_WRLCK), (1000, above, libc::F_RDLCK)];
        i32::from(!here.into_iter().all(|(start, pid, kind)| seen(start) == Some((pid, kind))))
    });
    check("its own", super::wait(third) == 0);
    // SAFETY: numbers only.
    let kept = unsafe { libc::fcntl(lease.as_raw_fd(), libc::F_GETLEASE) };
    check("the lease", kept == libc::F_WRLCK);
    drop(again);
    check("the other one's turn", super::wait(other) == 0);
    judged(&wrong, directory)
}

/// What `/proc/self/oom_score_adj` says.
fn memory_score() -> String {
    std::fs::read_to_string("/proc/self/oom_score_adj").unwrap()
}

/// A process and its child, each with another value in `oom_score_adj`.
pub(crate) fn memory_scores(words: Words, _: &Path) -> i32 {
    let own = |score: &str| {
        std::fs::write("/proc/self/oom_score_adj", score).unwrap();
        ready(words);
        super::wait_for_go(words);
        i32::from(memory_score().trim() != score)
    };
    let child = child(|| own("999"));
    let code = own("990");
    if super::wait(child) == 0 && code == 0 { super::RIGHT } else { 1 }
}
