//! Children for the tests: each waits in its own way, and ends with 0 if nothing but what it waited for happened to it.

use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

pub(crate) mod family;
pub(crate) mod saved;
pub(crate) mod starving;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a test and its guest share: numbers in memory and a pipe.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    words: &'static [AtomicU32; 1024],
    pipe: [c_int; 2],
}

impl Shared {
    /// One of 1,024 numbers.
    pub(crate) fn word(&self, at: usize) -> &'static AtomicU32 {
        &self.words[at]
    }

    /// The guest says that it is about to do what it does.
    pub(crate) fn ready(&self) {
        self.word(0).fetch_add(1, Ordering::SeqCst);
    }

    /// Reads one byte; 1 when it came.
    pub(crate) fn read(&self) -> isize {
        let mut byte = 0u8;
        // SAFETY: one byte is written to `byte`.
        unsafe { libc::read(self.pipe[0], (&raw mut byte).cast(), 1) }
    }

    /// Lets one reader go on.
    pub(crate) fn write(&self) {
        // SAFETY: one byte is read.
        assert_eq!(unsafe { libc::write(self.pipe[1], c"x".as_ptr().cast(), 1) }, 1);
    }
}

/// A child of the test; killed with it.
pub(crate) struct Guest {
    pub(crate) pid: pid_t,
    pub(crate) shared: Shared,
    waited: bool,
}

impl Guest {
    /// Forks a guest that runs `body` and ends with its result, and waits until it is ready.
    pub(crate) fn start(body: impl FnOnce(Shared) -> i32) -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let words = unsafe { libc::mmap(null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        assert_ne!(words, libc::MAP_FAILED);
        let mut pipe = [0; 2];
        // SAFETY: two descriptors are written to `pipe`.
        assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        // SAFETY: 4096 bytes of zeroes are 1024 aligned atomics; the mapping is never unmapped.
        let words = unsafe { &*words.cast::<[AtomicU32; 1024]>() };
        let shared = Shared { words, pipe };
        let alone = alone();
        // SAFETY: the child runs `body` and ends; the test's other thread only waits and holds no lock.
        let pid = unsafe { libc::fork() };
        if pid > 0 {
            drop(alone);
        } else if pid == 0 {
            die_with_parent();
            // The tests' session can be led from a pid namespace above, and no record holds a session without a leader.
            // SAFETY: no arguments.
            unsafe { libc::setsid() };
            forget_others(null_mut());
            // What other tests of this process have open is not the guest's.
            // The second end can have the lower number: another test may have closed one meanwhile.
            let (low, high) = (pipe[0].min(pipe[1]), pipe[0].max(pipe[1]));
            for (first, last) in [(3, low - 1), (low + 1, high - 1), (high + 1, c_int::MAX)] {
                // SAFETY: numbers only; nothing of the child refers to these descriptors.
                unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            }
            // Nor is what the tests write to: where that is a file, its position moves while a guest is looked at.
            // SAFETY: a path that ends with a NUL, then numbers only.
            let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
            for standard in 0..3 {
                // SAFETY: numbers only; nobody owns the guest's standard streams.
                assert_eq!(unsafe { libc::dup2(null, standard) }, standard);
            }
            // SAFETY: the number of a descriptor that nothing refers to.
            unsafe { libc::close(null) };
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(shared))).unwrap_or(101);
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) };
        }
        assert!(pid > 0, "{}", io::Error::last_os_error());
        let guest = Self { pid, shared, waited: false };
        until("the guest is ready", || guest.shared.word(0).load(Ordering::SeqCst) > 0);
        guest
    }

    /// Waits until thread `tid` sleeps, and every other that has not ended.
    pub(crate) fn asleep(&self, tid: pid_t) {
        until("the guest sleeps", || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
            let mut threads = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            state(self.pid, tid) == Some('S')
                && threads.all(|other| matches!(state(self.pid, other), Some('S' | 'Z') | None))
        });
    }

    pub(crate) fn signal(&self, signal: c_int) {
        // SAFETY: a number only.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    /// What waitpid(2) with `flags` answers: pid and status.
    pub(crate) fn wait_with(&self, flags: c_int) -> (pid_t, c_int) {
        let mut status = 0;
        // SAFETY: one int is written to `status`.
        (unsafe { libc::waitpid(self.pid, &raw mut status, flags) }, status)
    }

    /// Its exit code; a signal is -1.
    pub(crate) fn end(mut self) -> i32 {
        let mut code = None;
        until("the guest ends", || {
            let (pid, status) = self.wait_with(libc::WNOHANG);
            if pid == self.pid {
                code = Some(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 });
            }
            code.is_some()
        });
        self.waited = true;
        code.unwrap()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.waited {
            // SAFETY: a number only; the child was not reaped, so the pid is its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.wait_with(0);
        }
        // SAFETY: closes the guest's pipe, made in `start`.
        unsafe { libc::close(self.shared.pipe[0]) };
        // SAFETY: as above.
        unsafe { libc::close(self.shared.pipe[1]) };
    }
}

/// Waits for `condition`; fails by the name of `what` after [`PATIENCE`].
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A System V segment; it goes when it is dropped and nobody has it attached.
pub(crate) struct Segment(c_int);

impl Segment {
    pub(crate) fn make() -> Self {
        // SAFETY: numbers only.
        let identifier = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) };
        assert!(identifier >= 0, "{}", io::Error::last_os_error());
        Self(identifier)
    }

    pub(crate) fn identifier(&self) -> i32 {
        self.0
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: numbers only.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, null_mut()) };
    }
}

/// The letter of a thread's state in its `stat`.
pub(crate) fn state(pid: pid_t, tid: pid_t) -> Option<char> {
    // A name can be any bytes.
    let stat = std::fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    String::from_utf8_lossy(&stat).rsplit_once(") ")?.1.chars().next()
}

/// Who traces a thread; 0: nobody, or it is gone.
pub(crate) fn tracer(pid: pid_t, tid: pid_t) -> pid_t {
    let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok());
    tracer.unwrap_or(0)
}

/// While a test holds this, no other one forks a guest: a guest has a copy of all memory of this process, so that one forked
/// while a save of others is in memory would be saved with it, and ever more.
pub(crate) struct Alone(Option<std::sync::MutexGuard<'static, ()>>);

static FORKS: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Waits for it. What is large comes from mappings, which are given back at once.
pub(crate) fn alone() -> Alone {
    let guard = FORKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: numbers only.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
    Alone(Some(guard))
}

impl Drop for Alone {
    fn drop(&mut self) {
        // SAFETY: a number only.
        unsafe { libc::malloc_trim(0) };
        self.0 = None;
    }
}

/// Unmaps what other tests share with their guests by files, which vanish with those tests; but not what is at `own`.
pub(crate) fn forget_others(own: *const u8) {
    for line in std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let Some((start, end)) = range.filter(|_| line.contains("/words")) else { continue };
        let [start, end] = [start, end].map(|at| usize::from_str_radix(at, 16).unwrap_or(0));
        if start != own as usize {
            // SAFETY: this guest has no reference to the numbers of other tests.
            unsafe { libc::munmap(start as *mut _, end - start) };
        }
    }
}

pub(crate) fn die_with_parent() {
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// This thread's id.
pub(crate) fn tid() -> pid_t {
    // SAFETY: no arguments.
    unsafe { libc::gettid() }
}

const SLEEP: i64 = 999_000_000;

fn sleep_time() -> libc::timespec {
    libc::timespec { tv_sec: 0, tv_nsec: SLEEP }
}

fn failed(result: i64, errno: i32) -> bool {
    result == -1 && io::Error::last_os_error().raw_os_error() == Some(errno)
}

pub(crate) fn in_read(shared: Shared) -> i32 {
    shared.ready();
    i32::from(shared.read() != 1)
}

pub(crate) fn in_poll(shared: Shared) -> i32 {
    shared.ready();
    let started = Instant::now();
    // SAFETY: no descriptors.
    let polled = unsafe { libc::poll(null_mut(), 0, (SLEEP / 1_000_000) as i32) };
    i32::from(polled != 0 || started.elapsed().as_nanos() < SLEEP as u128)
}

pub(crate) fn in_nanosleep(shared: Shared) -> i32 {
    shared.ready();
    let started = Instant::now();
    let time = sleep_time();
    // SAFETY: `time` is read.
    let slept = unsafe { libc::nanosleep(&raw const time, null_mut()) };
    i32::from(slept != 0 || started.elapsed().as_nanos() < SLEEP as u128)
}

pub(crate) fn in_futex(shared: Shared) -> i32 {
    shared.ready();
    let time = sleep_time();
    let word = shared.word(1).as_ptr();
    // SAFETY: `word` and `time` are read.
    let waited = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, &raw const time) };
    i32::from(!failed(waited, libc::ETIMEDOUT))
}

pub(crate) fn in_epoll(shared: Shared) -> i32 {
    // SAFETY: numbers only.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
    // SAFETY: `event` is read.
    assert_eq!(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, shared.pipe[0], &raw mut event) }, 0);
    shared.ready();
    // SAFETY: one event is written.
    let got = unsafe { libc::epoll_wait(epoll, &raw mut event, 1, -1) };
    i32::from(got != 1)
}

/// A loop without calls, whose vector registers hold a pattern.
pub(crate) fn in_vectors(shared: Shared) -> i32 {
    i32::from(!hold_vectors(shared.word(1), || shared.ready()))
}

/// Holds a pattern in vector registers, without calls, until `go` is set; whether it was kept.
pub(crate) fn hold_vectors(go: &AtomicU32, ready: impl FnOnce()) -> bool {
    let pattern: [u8; 32] = std::array::from_fn(|at| at as u8 ^ 0x5a);
    let mut low = [0u8; 16];
    let mut wide = [0u8; 32];
    let avx = std::arch::is_x86_feature_detected!("avx");
    ready();
    let go = go.as_ptr();
    if avx {
        // SAFETY: reads `pattern` and `go`, writes `wide` and `low`; the registers are named as clobbered.
        unsafe {
            std::arch::asm!(
                "vmovdqu ymm5, [{pattern}]", "movdqu xmm9, [{pattern}]",
                "2:", "pause", "cmp dword ptr [{go}], 0", "je 2b",
                "vmovdqu [{wide}], ymm5", "movdqu [{low}], xmm9",
                pattern = in(reg) pattern.as_ptr(), go = in(reg) go, wide = in(reg) wide.as_mut_ptr(),
                low = in(reg) low.as_mut_ptr(), out("xmm5") _, out("xmm9") _,
            );
        }
    } else {
        wide = pattern;
        // SAFETY: as above.
        unsafe {
            std::arch::asm!(
                "movdqu xmm9, [{pattern}]", "2:", "pause", "cmp dword ptr [{go}], 0", "je 2b", "movdqu [{low}], xmm9",
                pattern = in(reg) pattern.as_ptr(), go = in(reg) go, low = in(reg) low.as_mut_ptr(), out("xmm9") _,
            );
        }
    }
    wide == pattern && low == pattern[..16]
}

static HANDLED: AtomicU32 = AtomicU32::new(0);
static ORDER: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];
static PIPE: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(signal: c_int) {
    let at = HANDLED.fetch_add(1, Ordering::SeqCst) as usize;
    ORDER[at % ORDER.len()].store(signal as u32, Ordering::SeqCst);
}

extern "C" fn read_in_handler(_: c_int) {
    let mut byte = 0u8;
    // SAFETY: one byte is written.
    let got = unsafe { libc::read(PIPE.load(Ordering::SeqCst) as c_int, (&raw mut byte).cast(), 1) };
    HANDLED.store(if got == 1 { 1 } else { 100 }, Ordering::SeqCst);
}

pub(crate) fn on(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the action is read; the handlers above are async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, null_mut()) }, 0);
}

pub(crate) fn mask(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in signals {
        // SAFETY: `set` is written.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

pub(crate) fn block(signals: &[c_int]) {
    let set = mask(signals);
    // SAFETY: `set` is read.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, null_mut()) };
}

pub(crate) fn in_handler(shared: Shared) -> i32 {
    PIPE.store(shared.pipe[0] as u32, Ordering::SeqCst);
    on(libc::SIGUSR1, read_in_handler);
    shared.ready();
    // SAFETY: a number only.
    unsafe { libc::raise(libc::SIGUSR1) };
    i32::from(HANDLED.load(Ordering::SeqCst) != 1)
}

/// Gets a SIGTRAP in a call that this ends.
pub(crate) fn with_a_trap(shared: Shared) -> i32 {
    on(libc::SIGTRAP, count);
    shared.ready();
    let read = shared.read();
    i32::from(!failed(read as i64, libc::EINTR) || HANDLED.load(Ordering::SeqCst) != 1)
}

pub(crate) fn in_sigsuspend(shared: Shared) -> i32 {
    on(libc::SIGUSR1, count);
    block(&[libc::SIGUSR1, libc::SIGUSR2]);
    let set = mask(&[libc::SIGUSR2]);
    shared.ready();
    // SAFETY: `set` is read.
    let suspended = unsafe { libc::sigsuspend(&raw const set) };
    i32::from(!failed(suspended.into(), libc::EINTR) || HANDLED.load(Ordering::SeqCst) != 1)
}

/// Signals wait while it reads; then they come, each once and in order.
pub(crate) fn with_waiting_signals(shared: Shared) -> i32 {
    let real = libc::SIGRTMIN() + 3;
    let all = [libc::SIGUSR1, libc::SIGTRAP, libc::SIGSYS, real];
    for signal in all {
        on(signal, count);
    }
    block(&all);
    for signal in [real, real, libc::SIGUSR1, libc::SIGTRAP, libc::SIGSYS] {
        let value = libc::sigval { sival_ptr: 9 as *mut _ };
        let pid = std::process::id() as pid_t;
        // SAFETY: numbers only.
        unsafe { libc::sigqueue(pid, signal, value) };
    }
    shared.ready();
    if shared.read() != 1 {
        return 1;
    }
    block(&[]);
    let handled = HANDLED.load(Ordering::SeqCst);
    let count = |signal: c_int| ORDER.iter().filter(|one| one.load(Ordering::SeqCst) == signal as u32).count();
    i32::from(handled != 5 || count(real) != 2 || all[..3].iter().any(|signal| count(*signal) != 1))
}

/// Threads that wait for one byte, which each passes on; word 2 gets the id of one that is not the leader.
pub(crate) fn with_threads(shared: Shared) -> i32 {
    // Ready only with all of them: one that is still being made changes the guest's memory.
    let all = std::sync::Arc::new(std::sync::Barrier::new(4));
    let threads: Vec<_> = (0..3)
        .map(|at| {
            let all = std::sync::Arc::clone(&all);
            std::thread::spawn(move || {
                all.wait();
                if at == 1 {
                    shared.word(2).store(tid() as u32, Ordering::SeqCst);
                    shared.ready();
                }
                let code = i32::from(shared.read() != 1);
                shared.write();
                code
            })
        })
        .collect();
    all.wait();
    threads.into_iter().map(|thread| thread.join().unwrap_or(1)).sum()
}

/// The leader ends; word 2 gets the id of the thread that is left.
pub(crate) fn with_dead_leader(shared: Shared) -> i32 {
    let leader = tid();
    std::thread::spawn(move || {
        until("the leader has ended", || state(leader, leader) == Some('Z'));
        shared.word(2).store(tid() as u32, Ordering::SeqCst);
        shared.ready();
        let code = i32::from(shared.read() != 1);
        // SAFETY: ends the guest.
        unsafe { libc::_exit(code) };
    });
    // SAFETY: ends this thread only; the other one ends the process.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    1
}

/// Numbers of [`Shared`]: 1 ends a storm, 9 counts what went wrong, 10 rounds.
const OVER: usize = 1;
const WRONG: usize = 9;
const ROUNDS: usize = 10;

/// A kind of storm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Storm {
    /// fork(2), with orphans.
    Fork,
    /// vfork(2) and execve(2).
    Vfork,
    /// Threads that end at once.
    Threads,
    /// execve(2) by a thread that is not the leader.
    Exec,
}

fn fork() -> pid_t {
    // SAFETY: the caller is a guest, whose other threads hold no locks that the child needs.
    unsafe { libc::fork() }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// The exit code of a child.
fn code_of(pid: pid_t) -> Option<i32> {
    let mut status = 0;
    // SAFETY: one int is written.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    (waited == pid && libc::WIFEXITED(status)).then(|| libc::WEXITSTATUS(status))
}

fn round(storm: Storm) -> bool {
    let shell = || std::process::Command::new("/bin/sh").args(["-c", "exit 7"]).status();
    match storm {
        Storm::Fork => {
            let child = fork();
            if child == 0 {
                if fork() == 0 {
                    exit(3);
                }
                exit(5);
            }
            code_of(child) == Some(5)
        }
        // The standard library spawns by vfork(2).
        Storm::Vfork => shell().is_ok_and(|status| status.code() == Some(7)),
        Storm::Threads => (0..8)
            .map(|at| std::thread::spawn(move || std::thread::sleep(Duration::from_millis(at % 2))))
            .collect::<Vec<_>>()
            .into_iter()
            .all(|thread| thread.join().is_ok()),
        Storm::Exec => {
            let child = fork();
            if child == 0 {
                for _ in 0..3 {
                    std::thread::spawn(|| std::thread::sleep(PATIENCE));
                }
                std::thread::spawn(|| {
                    use std::os::unix::process::CommandExt;
                    let _ = std::process::Command::new("/bin/sh").args(["-c", "exit 7"]).exec();
                    exit(1);
                });
                std::thread::sleep(PATIENCE);
                exit(2);
            }
            code_of(child) == Some(7)
        }
    }
}

/// Two processes that do nothing but that, below one that adopts their orphans.
pub(crate) fn storm(shared: Shared, storm: Storm) -> i32 {
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let makers: Vec<_> = (0..2)
        .map(|_| {
            let maker = fork();
            if maker == 0 {
                die_with_parent();
                while shared.word(OVER).load(Ordering::SeqCst) == 0 {
                    if !round(storm) {
                        shared.word(WRONG).fetch_add(1, Ordering::SeqCst);
                    }
                    shared.word(ROUNDS).fetch_add(1, Ordering::SeqCst);
                }
                exit(0);
            }
            maker
        })
        .collect();
    shared.ready();
    // Orphans come here too: not reaped, they would fill the machine.
    let (mut left, mut ended) = (makers.len(), true);
    while left > 0 {
        let mut status = 0;
        // SAFETY: one int is written.
        let child = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if makers.contains(&child) {
            left -= 1;
            ended &= libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        } else if child < 0 {
            return 1;
        }
    }
    let rounds = shared.word(ROUNDS).load(Ordering::SeqCst);
    i32::from(!ended || rounds == 0 || shared.word(WRONG).load(Ordering::SeqCst) > 0)
}

/// Measures itself until word 1 is set: the result is 0 unless a call was interrupted, a signal came or a tick was lost.
pub(crate) fn measures_itself(shared: Shared) -> i32 {
    for signal in 1..=64 {
        if ![libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, 32, 33].contains(&signal) {
            on(signal, count);
        }
    }
    // SAFETY: numbers only.
    let epoll = unsafe { libc::epoll_create1(0) };
    // SAFETY: numbers only.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) };
    let period = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    let setting = libc::itimerspec { it_interval: period, it_value: period };
    let started = Instant::now();
    // SAFETY: `setting` is read.
    unsafe { libc::timerfd_settime(timer, 0, &raw const setting, null_mut()) };
    let interrupted = |result: i64| failed(result, libc::EINTR);
    let over = move || shared.word(OVER).load(Ordering::SeqCst) != 0;
    let waiter = std::thread::spawn(move || {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let mut wrong = 0;
        while !over() {
            // SAFETY: one event is written.
            wrong += i32::from(interrupted(unsafe { libc::epoll_wait(epoll, &raw mut event, 1, 2) }.into()));
        }
        wrong
    });
    let sleeper = std::thread::spawn(move || {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let mut wrong = 0;
        while !over() {
            // SAFETY: `time` is read.
            wrong += i32::from(unsafe { libc::nanosleep(&raw const time, null_mut()) } != 0);
        }
        wrong
    });
    shared.ready();
    let (mut ticks, mut wrong) = (0u64, 0);
    while !over() {
        let mut expired = 0u64;
        // SAFETY: eight bytes are written.
        let read = unsafe { libc::read(timer, (&raw mut expired).cast(), 8) };
        wrong += i32::from(read != 8);
        ticks += expired;
    }
    let passed = started.elapsed().as_millis() as u64 / 5;
    wrong += waiter.join().unwrap_or(1) + sleeper.join().unwrap_or(1);
    let lost = passed.saturating_sub(ticks) > 1 && {
        // What expired since the last look is still there to be read.
        let mut expired = 0u64;
        // SAFETY: eight bytes are written.
        unsafe { libc::read(timer, (&raw mut expired).cast(), 8) };
        passed > ticks + expired
    };
    i32::from(wrong > 0) | i32::from(lost) << 1 | i32::from(HANDLED.load(Ordering::SeqCst) > 0) << 2
}

/// Reads byte after byte, and counts them in word 0.
pub(crate) fn reads_on(shared: Shared) -> i32 {
    loop {
        shared.ready();
        if shared.read() != 1 {
            return 1;
        }
    }
}

extern "C" fn until_over(shared: *mut libc::c_void) -> c_int {
    // SAFETY: `in_vfork` passes its `shared`, and waits for this child.
    let shared = unsafe { &*shared.cast::<Shared>() };
    while shared.word(OVER).load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    7
}

/// Waits as in vfork(2) for a child that runs in its memory until word 1 is set.
pub(crate) fn in_vfork(shared: Shared) -> i32 {
    with_until_over(shared, libc::CLONE_VFORK)
}

/// Makes a child that runs in its memory until word 1 is set, and waits for that.
pub(crate) fn with_until_over(shared: Shared, flags: c_int) -> i32 {
    let mut stack = vec![0u128; 8192];
    let flags = flags | libc::CLONE_VM | libc::SIGCHLD;
    let argument = (&raw const shared).cast_mut().cast();
    let top = stack.as_mut_ptr_range().end.cast();
    if flags & libc::CLONE_VFORK != 0 {
        shared.ready();
    }
    // SAFETY: the child has a stack of its own, and ends before `stack` and `shared` do, as this waits for it.
    let child = unsafe { libc::clone(until_over, top, flags, argument) };
    shared.ready();
    i32::from(code_of(child) != Some(7))
}
