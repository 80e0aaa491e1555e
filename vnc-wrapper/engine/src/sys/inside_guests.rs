//! What guests in namespaces do: they get ready, wait for word 1, and look whether everything is as it was. 42: it is.

pub(crate) mod files;
pub(crate) mod filters;
pub(crate) mod inet;
pub(crate) mod ipc;
pub(crate) mod sockets;

use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libc::c_int;

use super::guests::{PATIENCE, block, hold_vectors, tid, until};
use super::inside::Words;

/// All is as it was.
pub(crate) const RIGHT: i32 = 42;

pub(super) fn ready(words: Words) {
    words[0].fetch_add(1, Ordering::SeqCst);
}

fn go(words: Words) -> bool {
    words[1].load(Ordering::SeqCst) != 0
}

/// Without a call: the page is looked at.
fn spin(words: Words) {
    while !go(words) {
        std::hint::spin_loop();
    }
}

/// Counts in its own memory and in the shared one, on and on.
pub(crate) fn counts(words: Words, _: &Path) -> i32 {
    let mut own = Box::new(0u32);
    ready(words);
    let pid = std::process::id();
    while !go(words) {
        *own += 1;
        if words[2].fetch_add(1, Ordering::SeqCst) + 1 != *own || std::process::id() != pid {
            return 1;
        }
    }
    RIGHT
}

pub(crate) fn vectors(words: Words, _: &Path) -> i32 {
    if hold_vectors(&words[1], || ready(words)) { RIGHT } else { 1 }
}

/// A hundred threads, each asleep in a futex, with its own name and memory.
pub(crate) fn hundred_threads(words: Words, _: &Path) -> i32 {
    const THREADS: u32 = 100;
    thread_local!(static OWN: AtomicU32 = const { AtomicU32::new(0) });
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            std::thread::Builder::new().name(format!("thread {number}")).spawn(move || {
                OWN.with(|own| own.store(number, Ordering::SeqCst));
                let id = tid();
                words[3].fetch_add(1, Ordering::SeqCst);
                while !go(words) {
                    let word = words[1].as_ptr();
                    // SAFETY: `word` is read.
                    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, null::<libc::timespec>()) };
                }
                let name = std::fs::read_to_string(format!("/proc/self/task/{id}/comm"));
                // Its /proc may be another namespace's, where this id is nobody's.
                let named = name.map_or(true, |name| name.trim() == format!("thread {number}"));
                let kept = OWN.with(|own| own.load(Ordering::SeqCst)) == number && tid() == id && named;
                words[2].fetch_add(u32::from(kept), Ordering::SeqCst);
            })
        })
        .collect();
    until("all threads are there", || words[3].load(Ordering::SeqCst) == THREADS);
    ready(words);
    // The kernel clears a word of each as it ends, and wakes who waits there.
    let joined = threads.into_iter().all(|thread| thread.is_ok_and(|thread| thread.join().is_ok()));
    if joined && words[2].load(Ordering::SeqCst) == THREADS { RIGHT } else { 1 }
}

static CAME: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(signal: c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a siginfo_t.
    let info = unsafe { &*info };
    // SAFETY: a signal that was queued has a value.
    let value = unsafe { info.si_value() }.sival_ptr as u64;
    let at = COUNT.fetch_add(1, Ordering::SeqCst) as usize;
    CAME[at % CAME.len()].store(signal as u64 | value << 32, Ordering::SeqCst);
}

/// Has `signal` noted, and what else is blocked meanwhile.
fn note_signal(signal: c_int, flags: c_int) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = note as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | flags;
    // SAFETY: the action is read; the handler is async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, null_mut()) }, 0);
}

/// Signals of all kinds wait for the process; they come in order, with what was sent.
pub(crate) fn signals(words: Words, _: &Path) -> i32 {
    let real = libc::SIGRTMIN() + 3;
    let all = [libc::SIGUSR1, libc::SIGTRAP, libc::SIGCHLD, real];
    for signal in all {
        note_signal(signal, libc::SA_RESTART);
    }
    block(&all);
    // SAFETY: numbers only.
    let ignored = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let send = |signal, value: usize| {
        let value = libc::sigval { sival_ptr: value as *mut _ };
        let pid = std::process::id() as libc::pid_t;
        // SAFETY: numbers only.
        unsafe { libc::sigqueue(pid, signal, value) };
    };
    for (signal, value) in [(real, 5), (real, 6), (libc::SIGUSR1, 7), (libc::SIGTRAP, 8), (libc::SIGCHLD, 9)] {
        send(signal, value);
    }
    let own = libc::sigval { sival_ptr: 4 as *mut _ };
    // SAFETY: no arguments.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: this thread lives.
    unsafe { libc::pthread_sigqueue(this, real, own) };
    ready(words);
    spin(words);
    send(libc::SIGHUP, 1);
    block(&[]);
    // The lowest number first; of one signal the thread's own before the process's, then the first first.
    let rt = real as u64;
    let right =
        [(libc::SIGTRAP as u64, 8), (libc::SIGUSR1 as u64, 7), (libc::SIGCHLD as u64, 9), (rt, 4), (rt, 5), (rt, 6)];
    let mut came: Vec<u64> = CAME.iter().map(|one| one.load(Ordering::SeqCst)).take_while(|one| *one != 0).collect();
    let mut wanted = right.map(|(signal, value)| signal | value << 32).to_vec();
    // Handlers of signals that come at once are stacked: the last one delivered runs first.
    came.sort_unstable();
    wanted.sort_unstable();
    if came == wanted && ignored != libc::SIG_ERR { RIGHT } else { 1 }
}

static ALARMS: AtomicI32 = AtomicI32::new(0);

extern "C" fn alarm(_: c_int) {
    ALARMS.fetch_add(1, Ordering::SeqCst);
}

fn on_alarm(signal: c_int) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = alarm as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action is read; the handler is async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, null_mut()) }, 0);
}

fn interval(milliseconds: i64) -> libc::itimerspec {
    let time = libc::timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    libc::itimerspec { it_interval: time, it_value: time }
}

/// A timer of POSIX, number 2 of its process, and an interval timer; both run on.
pub(crate) fn timers(words: Words, _: &Path) -> i32 {
    on_alarm(libc::SIGALRM);
    on_alarm(libc::SIGUSR2);
    let mut ids = [0 as c_int; 3];
    for id in &mut ids {
        // SAFETY: all zeroes is a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGUSR2;
        // The kernel's call: glibc's handle is not its number.
        // SAFETY: the event is read and the number written.
        assert_eq!(unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw const event, id) }, 0);
    }
    for id in &ids[..2] {
        // SAFETY: a number only.
        unsafe { libc::syscall(libc::SYS_timer_delete, *id) };
    }
    let every = interval(20);
    // SAFETY: the time is read.
    assert_eq!(unsafe { libc::syscall(libc::SYS_timer_settime, ids[2], 0, &raw const every, null_mut::<u8>()) }, 0);
    let value = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
    let value = libc::itimerval { it_interval: value, it_value: value };
    // SAFETY: the time is read.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const value, null_mut()) }, 0);
    ready(words);
    spin(words);
    let before = ALARMS.load(Ordering::SeqCst);
    let mut now = interval(0);
    // SAFETY: the time is written.
    let asked = unsafe { libc::syscall(libc::SYS_timer_gettime, ids[2], &raw mut now) };
    let ends = Instant::now() + PATIENCE;
    while ALARMS.load(Ordering::SeqCst) < before + 10 && Instant::now() < ends {
        std::hint::spin_loop();
    }
    let right = asked == 0 && now.it_interval.tv_nsec == 20_000_000 && ALARMS.load(Ordering::SeqCst) >= before + 10;
    if right { RIGHT } else { 1 }
}

/// A stack for handlers, on which it stands.
pub(crate) fn on_its_signal_stack(words: Words, _: &Path) -> i32 {
    static WORDS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: c_int) {
        let words = WORDS.load(Ordering::SeqCst) as *const [AtomicU32; 1024];
        // SAFETY: set below to words that live as long as the guest.
        let words = unsafe { &*words };
        ready(words);
        spin(words);
        let mut now = libc::stack_t { ss_sp: null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: one stack_t is written.
        unsafe { libc::sigaltstack(null(), &raw mut now) };
        words[2].store(u32::from(now.ss_flags == libc::SS_ONSTACK && now.ss_size == 65_536), Ordering::SeqCst);
    }
    let stack = Box::leak(vec![0u8; 65_536].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: 65_536 };
    // SAFETY: the stack lives as long as the guest.
    assert_eq!(unsafe { libc::sigaltstack(&raw const stack, null_mut()) }, 0);
    WORDS.store(std::ptr::from_ref(words) as u64, Ordering::SeqCst);
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the action is read; the handler makes async-signal-safe calls only.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, null_mut()) }, 0);
    // SAFETY: a number only.
    unsafe { libc::raise(libc::SIGUSR1) };
    if words[2].load(Ordering::SeqCst) == 1 { RIGHT } else { 1 }
}

/// How long [`sleeps`] sleeps: longer than a busy machine takes to save it. Tests have less left of it.
const SLEEP: Duration = Duration::from_secs(100);
/// A thread for each call that waits for a time; none is interrupted.
pub(crate) fn sleeps(words: Words, _: &Path) -> i32 {
    let waits: [fn() -> bool; 4] = [
        || {
            let time = libc::timespec { tv_sec: SLEEP.as_secs() as i64, tv_nsec: 0 };
            // SAFETY: the time is read.
            unsafe { libc::nanosleep(&raw const time, null_mut()) == 0 }
        },
        || {
            let (time, mut rest) =
                (libc::timespec { tv_sec: SLEEP.as_secs() as i64, tv_nsec: 0 }, interval(0).it_value);
            // SAFETY: the time is read and what is left of it written.
            unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw const time, &raw mut rest) == 0 }
        },
        || {
            // SAFETY: no descriptors.
            unsafe { libc::poll(null_mut(), 0, SLEEP.as_millis() as c_int) == 0 }
        },
        || {
            let (word, time) = (0u32, libc::timespec { tv_sec: SLEEP.as_secs() as i64, tv_nsec: 0 });
            let place = &raw const word;
            // SAFETY: the word and the time are read.
            let waited = unsafe { libc::syscall(libc::SYS_futex, place, libc::FUTEX_WAIT, 0, &raw const time) };
            waited == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT)
        },
    ];
    let threads: Vec<_> = waits
        .into_iter()
        .map(|wait| {
            std::thread::spawn(move || {
                ready(words);
                wait()
            })
        })
        .collect();
    if threads.into_iter().all(|thread| thread.join().unwrap_or(false)) { RIGHT } else { 1 }
}

pub(super) fn wait_for_go(words: Words) {
    while !go(words) {
        let word = words[1].as_ptr();
        // SAFETY: `word` is read.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, null::<libc::timespec>()) };
    }
}

/// Forks a child that runs `body` and ends with its result; its pid.
pub(super) fn child(body: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the guest has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = body();
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    assert!(pid > 0);
    pid
}

/// Parent, session and group.
fn place() -> [libc::pid_t; 3] {
    // SAFETY: numbers only.
    let session = unsafe { libc::getsid(0) };
    [std::os::unix::process::parent_id() as libc::pid_t, session, rustix::process::getpgrp().as_raw_pid()]
}

/// Gets ready, waits, and looks whether it is where it was.
fn stays(words: Words, memory: &AtomicU32) -> i32 {
    let before = (std::process::id(), place());
    ready(words);
    wait_for_go(words);
    // Seen by all that share it.
    memory.fetch_add(1, Ordering::SeqCst);
    i32::from(before != (std::process::id(), place()))
}

pub(super) fn wait(pid: libc::pid_t) -> i32 {
    let mut status = -1;
    // SAFETY: one int is written to `status`.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    status
}

fn until_ended(pid: libc::pid_t) {
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is written.
    unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, flags) };
}

/// Processes that wait in [`family`].
pub(crate) const FAMILY: u32 = 5;

/// Sessions, groups, an orphan, a leader that has ended, processes that have ended, memory that all share.
pub(crate) fn family(words: Words, _: &Path) -> i32 {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(null_mut(), 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    // SAFETY: its first bytes are an aligned atomic; it is never unmapped.
    let memory: &'static AtomicU32 = unsafe { &*memory.cast() };
    memory.store(1000, Ordering::SeqCst);
    let exited = child(|| 7);
    let killed = child(|| {
        // SAFETY: a number only.
        unsafe { libc::raise(libc::SIGTERM) };
        1
    });
    let leader = child(|| {
        // SAFETY: no arguments.
        unsafe { libc::setsid() };
        let grouped = child(|| {
            // SAFETY: numbers only.
            unsafe { libc::setpgid(0, 0) };
            stays(words, memory)
        });
        let between = child(|| {
            child(|| {
                until("its parent has ended", || std::os::unix::process::parent_id() == 1);
                stays(words, memory)
            });
            0
        });
        wait(between);
        let code = stays(words, memory);
        i32::from(code != 0 || wait(grouped) != 0)
    });
    let headless = child(|| {
        std::thread::spawn(move || {
            until("the leader has ended", || {
                let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
            });
            let code = stays(words, memory);
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) };
        });
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        1
    });
    until_ended(exited);
    until_ended(killed);
    until("all are there", || words[0].load(Ordering::SeqCst) == FAMILY - 1);
    let code = stays(words, memory);
    let right = code == 0
        && wait(exited) == 7 << 8
        && wait(killed) == libc::SIGTERM
        && wait(leader) == 0
        && wait(headless) == 0
        // The orphan.
        && wait(-1) == 0
        && wait(-1) == -1
        && memory.load(Ordering::SeqCst) == 1000 + FAMILY;
    if right { RIGHT } else { 1 }
}

fn position(descriptor: c_int) -> i64 {
    // SAFETY: numbers only.
    unsafe { libc::lseek(descriptor, 0, libc::SEEK_CUR) }
}

fn read_into(descriptor: c_int, bytes: &mut [u8]) -> isize {
    // SAFETY: at most as many bytes as there are are written.
    unsafe { libc::read(descriptor, bytes.as_mut_ptr().cast(), bytes.len()) }
}

fn write_from(descriptor: c_int, bytes: &[u8]) -> isize {
    // SAFETY: the bytes are read.
    unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) }
}

/// Descriptors of all kinds, some far up, some shared by dup(2); memory of a memfd and of a file, private and shared.
pub(crate) fn descriptors(words: Words, directory: &Path) -> i32 {
    use std::os::fd::IntoRawFd;
    let path = directory.join("file");
    std::fs::write(&path, vec![b'f'; 12_288]).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap().into_raw_fd();
    // SAFETY: numbers only.
    unsafe { libc::lseek(file, 5, libc::SEEK_SET) };
    let far = {
        // SAFETY: numbers only.
        unsafe { libc::dup3(file, 700, libc::O_CLOEXEC) }
    };
    let mut pipe = [0; 2];
    // SAFETY: two numbers are written.
    assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_NONBLOCK) }, 0);
    write_from(pipe[1], b"waits");
    // SAFETY: numbers only.
    let event = unsafe { libc::eventfd(3, libc::EFD_SEMAPHORE) };
    // SAFETY: numbers only.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) };
    let every = interval(20);
    // SAFETY: the time is read.
    unsafe { libc::timerfd_settime(timer, 0, &raw const every, null_mut()) };
    // SAFETY: numbers only.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut watch = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 77 };
    // SAFETY: the event is read.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, pipe[0], &raw mut watch) };
    block(&[libc::SIGUSR1]);
    let mut set = super::guests::mask(&[libc::SIGUSR1]);
    // SAFETY: the set is read.
    let signals = unsafe { libc::signalfd(-1, &raw mut set, libc::SFD_NONBLOCK) };
    let mut watch = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 78 };
    // SAFETY: the event is read.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, signals, &raw mut watch) };
    // SAFETY: numbers only.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), libc::O_NONBLOCK) } as c_int;
    // SAFETY: a name that ends with a NUL.
    let memfd = unsafe { libc::memfd_create(c"memory".as_ptr(), 0) };
    write_from(memfd, &[b'm'; 8192]);
    let map = |descriptor, kind| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of two pages.
        let memory = unsafe { libc::mmap(null_mut(), 8192, protection, kind, descriptor, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        // SAFETY: it is never unmapped.
        unsafe { std::slice::from_raw_parts_mut(memory.cast::<u8>(), 8192) }
    };
    let (shared, private, file_pages) =
        (map(memfd, libc::MAP_SHARED), map(memfd, libc::MAP_PRIVATE), map(file, libc::MAP_PRIVATE));
    private[4096] = b'p';
    file_pages[1] = b'q';
    let flags = |descriptor| {
        // SAFETY: numbers only.
        let [status, own] = [libc::F_GETFL, libc::F_GETFD].map(|what| unsafe { libc::fcntl(descriptor, what) });
        status | own << 24
    };
    let all = [file, far, pipe[0], pipe[1], event, timer, epoll, memfd, signals, process];
    let before = all.map(flags);
    ready(words);
    spin(words);
    let mut wrong = Vec::new();
    let mut check = |what: &str, right: bool| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    check("flags", all.map(flags) == before);
    check("position", position(file) == 5 && position(far) == 5);
    let mut bytes = [0; 8];
    check("file", read_into(far, &mut bytes) == 8 && bytes == [b'f'; 8] && position(file) == 13);
    let mut got = [libc::epoll_event { events: 0, u64: 0 }; 4];
    // SAFETY: at most four events are written.
    let events = unsafe { libc::epoll_wait(epoll, got.as_mut_ptr(), 4, 0) };
    check("epoll", events == 1 && { got[0].u64 } == 77);
    check("pipe", read_into(pipe[0], &mut bytes) == 5 && &bytes[..5] == b"waits");
    check("pipe goes on", write_from(pipe[1], b"x") == 1 && read_into(pipe[0], &mut bytes) == 1 && bytes[0] == b'x');
    check("semaphore", read_into(event, &mut bytes) == 8 && bytes == 1u64.to_ne_bytes());
    check("timer", read_into(timer, &mut bytes) == 8 && u64::from_ne_bytes(bytes) >= 1);
    let none = null_mut::<libc::siginfo_t>();
    // SAFETY: numbers only; no information is passed.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process, libc::SIGUSR1, none, 0) };
    check("pidfd", sent == 0);
    // SAFETY: at most four events are written. It is woken, and does not only look.
    let events = unsafe { libc::epoll_wait(epoll, got.as_mut_ptr(), 4, 10_000) };
    check("signalfd in epoll", events == 1 && { got[0].u64 } == 78);
    check("memfd", shared[0] == b'm' && private[0] == b'm' && private[4096] == b'p' && shared[4096] == b'm');
    shared[0] = b's';
    // SAFETY: numbers only.
    unsafe { libc::lseek(memfd, 0, libc::SEEK_SET) };
    check("memfd is one", read_into(memfd, &mut bytes) == 8 && bytes[0] == b's' && private[0] == b's');
    check("private file", file_pages[1] == b'q' && file_pages[0] == b'f' && file_pages[4097] == b'f');
    judged(&wrong, directory)
}

/// Right, or written down what is wrong.
fn judged(wrong: &[String], directory: &Path) -> i32 {
    if wrong.is_empty() {
        return RIGHT;
    }
    let _ = std::fs::write(directory.join("wrong"), wrong.join(", "));
    1
}

/// Reads into a page that it has never touched, beside one that it has: the kernel is the first that writes there.
pub(crate) fn reads_into_a_new_page(words: Words, _: &Path) -> i32 {
    const PAGE: usize = 4096;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(null_mut(), 2 * PAGE, protection, flags, -1, 0) }.cast::<u8>();
    // SAFETY: the first of its two pages.
    unsafe { memory.write(1) };
    // SAFETY: a path that ends with a NUL.
    let zero = unsafe { libc::open(c"/dev/zero".as_ptr(), libc::O_RDONLY) };
    ready(words);
    spin(words);
    // SAFETY: the second of its two pages is written.
    let read = unsafe { libc::read(zero, memory.wrapping_add(PAGE).cast(), PAGE) };
    if read == PAGE as isize { RIGHT } else { 1 }
}

/// A shell that forks, waits and reads from a pipe all the time; what it counted is right at the end.
pub(crate) fn shell(_: Words, directory: &Path) -> i32 {
    use std::os::unix::process::CommandExt;
    const SCRIPT: &str = r#"
        cd "$1" || exit 2
        i=0; sum=0
        printf 1 | dd of=words bs=1 conv=notrunc 2>/dev/null
        while [ ! -e go ]; do
            i=$((i + 1))
            n=$(echo $i | (read x; sleep 0.01; echo $x))
            sum=$((sum + n))
            echo $i > count
        done
        [ $sum = $((i * (i + 1) / 2)) ] && [ $(cat count) = $i ] && exit 42
        echo "sum $sum of $i" > wrong
        exit 1"#;
    let error = std::process::Command::new("/bin/sh").args(["-c", SCRIPT, "sh"]).arg(directory).exec();
    panic!("{error}");
}

/// Numbers of descriptors that a test gives to [`finds_descriptors`].
pub(crate) const PIDFD: u32 = 50;
pub(crate) const INOTIFY: u32 = 51;

/// Finds a pidfd of itself, and an inotify instance whose watch 3 is of its directory.
pub(crate) fn finds_descriptors(words: Words, directory: &Path) -> i32 {
    ready(words);
    spin(words);
    // SAFETY: numbers only; no siginfo_t.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, PIDFD, 0, null::<u8>(), 0) };
    let made = std::fs::write(directory.join("new"), "");
    let mut event = [0; 64];
    let read = read_into(INOTIFY as c_int, &mut event);
    let watch = i32::from_ne_bytes([event[0], event[1], event[2], event[3]]);
    if sent == 0 && made.is_ok() && read > 16 && watch == 3 && event[16..19] == *b"new" { RIGHT } else { 1 }
}

/// New processes get the pids that come next.
pub(crate) fn pids_go_on(words: Words, _: &Path) -> i32 {
    let mut newest = 0;
    for _ in 0..30 {
        newest = child(|| 0);
        wait(newest);
    }
    ready(words);
    spin(words);
    let next = child(|| 0);
    if wait(next) == 0 && next == newest + 1 { RIGHT } else { 1 }
}

/// A child that was stopped, which its parent has learned.
pub(crate) fn stopped(words: Words, _: &Path) -> i32 {
    let pid = child(|| {
        words[3].store(1, Ordering::SeqCst);
        let mut own = 0u32;
        while !go(words) {
            own = own.wrapping_add(1);
            words[4].store(own, Ordering::SeqCst);
        }
        3
    });
    until("the child runs", || words[3].load(Ordering::SeqCst) == 1);
    let wait_with = |flags| {
        let mut status = 0;
        // SAFETY: one int is written to `status`.
        (unsafe { libc::waitpid(pid, &raw mut status, flags) }, status)
    };
    let kill = |signal| {
        // SAFETY: numbers only.
        unsafe { libc::kill(pid, signal) }
    };
    kill(libc::SIGSTOP);
    let first = wait_with(libc::WUNTRACED);
    note_signal(libc::SIGCHLD, libc::SA_RESTART);
    ready(words);
    while words[5].load(Ordering::SeqCst) == 0 {
        std::hint::spin_loop();
    }
    let again = wait_with(libc::WUNTRACED | libc::WNOHANG);
    let signals = COUNT.load(Ordering::SeqCst);
    kill(libc::SIGCONT);
    spin(words);
    let right = libc::WIFSTOPPED(first.1) && again.0 == 0 && signals == 0 && wait(pid) == 3 << 8;
    if right { RIGHT } else { 1 }
}

/// Capabilities of this thread: effective, permitted, inheritable, bounding and ambient, as its `status` shows them.
fn capabilities() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().filter(|line| line.starts_with("Cap") || line.starts_with("NoNewPrivs")).map(str::to_owned).collect()
}

/// A process that has given up rights, and a thread of it that has given up more.
pub(crate) fn rights(words: Words, _: &Path) -> i32 {
    let prctl = |option: c_int, one: c_int, two: c_int| {
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::prctl(option, one, two, 0, 0) }, 0);
    };
    // SECBIT_NOROOT; CAP_SYS_TIME, CAP_NET_RAW; capset(2) with CAP_SETPCAP and a few.
    prctl(libc::PR_SET_SECUREBITS, 1, 0);
    prctl(libc::PR_CAPBSET_DROP, 25, 0);
    let set = |bits: u32, inheritable: u32| {
        let header = [0x2008_0522u32, 0];
        let sets = [bits, bits, inheritable, 0, 0, 0];
        // SAFETY: a header and two sets of three words are read.
        assert_eq!(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }, 0);
    };
    set(1 << 8 | 1 << 13 | 1 << 5, 1 << 13);
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, 13);
    let other = std::thread::spawn(move || {
        set(1 << 13, 1 << 13);
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0);
        let before = capabilities();
        ready(words);
        spin(words);
        capabilities() == before
    });
    until("the thread is there", || words[0].load(Ordering::SeqCst) == 1);
    let before = capabilities();
    ready(words);
    spin(words);
    // SAFETY: numbers only.
    let secure = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
    let right = capabilities() == before && secure == 1 && other.join().unwrap_or(false);
    if right { RIGHT } else { 1 }
}

/// How far the clock that does not jump is ahead when [`clocks`] goes on.
pub(crate) const AHEAD: Duration = Duration::from_secs(100_000);

/// Reads its clock by the vdso and by a call, and its host's name, in the first process and in a child.
pub(crate) fn clocks(words: Words, _: &Path) -> i32 {
    let before = Instant::now();
    ready(words);
    spin(words);
    let look = move || {
        let ahead = before.elapsed() >= AHEAD;
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time is written.
        unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut now) };
        let mut again = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time is written. This is the vdso's.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut again) };
        let same = (now.tv_sec, now.tv_nsec) <= (again.tv_sec, again.tv_nsec) && again.tv_sec - now.tv_sec < 1000;
        ahead && same && rustix::system::uname().nodename().to_bytes() == b"guest"
    };
    if look() && wait(child(|| i32::from(!look()))) == 0 { RIGHT } else { 1 }
}

/// A netlink socket that is bound and a member of a group, with options.
pub(crate) fn netlink(words: Words, _: &Path) -> i32 {
    use crate::sys::netlink;
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: numbers only.
    let number = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_KOBJECT_UEVENT) };
    assert!(number >= 0);
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let port = 7_000_000 + std::process::id();
    netlink::bind(socket.as_fd(), port).unwrap();
    let set = |level, name, value| netlink::set_number(socket.as_fd(), level, name, value).unwrap();
    set(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, 2);
    set(libc::SOL_NETLINK, libc::NETLINK_PKTINFO, 1);
    set(libc::SOL_SOCKET, libc::SO_RCVBUF, 5000);
    let look = || {
        let number = |level, name| netlink::number(socket.as_fd(), level, name).unwrap();
        let numbers = [
            number(libc::SOL_SOCKET, libc::SO_PROTOCOL),
            number(libc::SOL_SOCKET, libc::SO_TYPE),
            number(libc::SOL_SOCKET, libc::SO_RCVBUF),
            number(libc::SOL_NETLINK, libc::NETLINK_PKTINFO),
        ];
        let flags = crate::sys::descriptor::flags(socket.as_fd()).unwrap();
        (netlink::port(socket.as_fd()).unwrap(), netlink::groups(socket.as_fd()).unwrap(), numbers, flags)
    };
    let before = look();
    ready(words);
    spin(words);
    if before == look() && before.0 == port && before.1 == [2] { RIGHT } else { 1 }
}
