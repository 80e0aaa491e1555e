//! Guests with pseudo-terminals, in a mount namespace with a devpts that is theirs alone. They get ready, wait for word 1, and look
//! whether everything is as it was.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use libc::{c_int, pid_t};

use super::guests::until;
use super::inside::Words;
use super::inside_guests::{RIGHT, child, ready, wait, wait_for_go};
use super::terminal;

/// A devpts at `/dev/pts`, in a mount namespace. Signals of keys act, also where the tests run in the background of a shell.
pub(crate) fn own_devpts() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGHUP] {
        // SAFETY: numbers only.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: a number only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    let (kind, place) = (c"devpts".as_ptr(), c"/dev/pts".as_ptr());
    // SAFETY: strings that end with a NUL.
    let mounted = unsafe { libc::mount(kind, place, kind, libc::MS_NOSUID, options.as_ptr().cast()) };
    assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
}

fn open(path: &str, flags: c_int) -> std::io::Result<OwnedFd> {
    File::options().read(true).write(true).custom_flags(flags).open(path).map(Into::into)
}

/// A new master, whose slave can be opened, and its index.
fn master() -> (OwnedFd, u32) {
    let master = open("/dev/pts/ptmx", libc::O_NOCTTY).unwrap();
    terminal::set_locked(master.as_fd(), false).unwrap();
    let index = terminal::index(master.as_fd()).unwrap();
    (master, index)
}

fn slave(index: u32, flags: c_int) -> OwnedFd {
    open(&format!("/dev/pts/{index}"), flags).unwrap()
}

fn write(to: &OwnedFd, bytes: &[u8]) {
    assert_eq!(rustix::io::write(to, bytes), Ok(bytes.len()));
}

fn read(from: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let read = rustix::io::read(from, &mut bytes).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// What a guest finds wrong.
struct Checks(Vec<String>);

impl Checks {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn that(&mut self, what: &str, right: bool) {
        if !right {
            self.0.push(what.to_owned());
        }
    }

    fn end(self, directory: &Path) -> i32 {
        if self.0.is_empty() {
            return RIGHT;
        }
        let _ = std::fs::write(directory.join("wrong"), self.0.join(", "));
        1
    }
}

/// What the kernel shows of an end.
fn shown(end: &OwnedFd) -> String {
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let link = std::fs::read_link(path).unwrap_or_default();
    let fd = end.as_fd();
    let flags = crate::sys::descriptor::flags(fd);
    let asked = (terminal::index(fd), terminal::packet(fd), terminal::locked(fd), terminal::exclusive(fd));
    let settings = (terminal::settings(fd), terminal::window(fd), terminal::device(fd), terminal::session(fd));
    let ready = super::descriptor::ready(fd, libc::POLLIN | libc::POLLOUT | libc::POLLPRI);
    format!("{link:?} {flags:?} {asked:?} {settings:?} {ready:?}")
}

/// Terminals in every state, with gaps between their indices.
pub(crate) fn terminals_of_all_kinds(words: Words, directory: &Path) -> i32 {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    own_devpts();
    let mut all: Vec<_> = (0..12).map(|_| Some(master())).collect();
    let mut take = |at: usize| all[at].take().unwrap();
    // 0, 3: gaps. 1: lines were typed.
    drop(take(0));
    let (lines, index) = take(1);
    let lines_slave = slave(index, libc::O_NOCTTY);
    let again = slave(index, libc::O_NOCTTY | libc::O_NONBLOCK);
    write(&lines, b"one\ntwo\n\x04end\x04par");
    read(&lines);
    terminal::set_window(lines.as_fd(), [50, 132, 7, 9]).unwrap();
    std::fs::set_permissions("/dev/pts/1", std::fs::Permissions::from_mode(0o644)).unwrap();
    // 2: raw bytes, and packet mode with output.
    let (raw, index) = take(2);
    let raw_slave = slave(index, libc::O_NOCTTY);
    let mut settings = terminal::settings(raw.as_fd()).unwrap();
    (settings.local, settings.input, settings.output) = (0, 0, 0);
    terminal::set_settings(raw.as_fd(), &settings).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    write(&raw, &bytes);
    write(&raw_slave, b"shown and not read");
    terminal::set_packet(raw.as_fd(), true).unwrap();
    drop(take(3));
    // 4: never opened. 5: closed, with what was typed and shown. 6: hung up. 7: exclusive. 8: stopped. 9: never opened and locked.
    let (unopened, _) = take(4);
    let (closed, index) = take(5);
    let closing = slave(index, libc::O_NOCTTY);
    write(&closing, b"last words");
    write(&closed, b"typed before\n");
    drop(closing);
    let (hanging, index) = take(6);
    let hung_up = slave(index, libc::O_NOCTTY);
    drop(hanging);
    let (exclusive, index) = take(7);
    let exclusive_slave = slave(index, libc::O_NOCTTY);
    terminal::set_exclusive(exclusive_slave.as_fd()).unwrap();
    let (stopped, index) = take(8);
    let stopped_slave = slave(index, libc::O_NOCTTY | libc::O_NONBLOCK);
    write(&stopped, b"\x13");
    until("output stops", || super::descriptor::ready(stopped_slave.as_fd(), libc::POLLOUT).unwrap() == 0);
    let (locked, _) = take(9);
    terminal::set_locked(locked.as_fd(), true).unwrap();
    drop(all);
    let ends = [
        &lines,
        &lines_slave,
        &again,
        &raw,
        &raw_slave,
        &unopened,
        &closed,
        &hung_up,
        &exclusive,
        &exclusive_slave,
        &stopped,
        &stopped_slave,
        &locked,
    ];
    let states = || ends.map(shown);
    until("what was typed has arrived", || {
        let before = states();
        std::thread::sleep(std::time::Duration::from_millis(5));
        before == states()
    });
    let before = states();
    let owner = || {
        let stat = std::fs::metadata("/dev/pts/1").unwrap();
        (stat.mode(), stat.uid(), stat.gid())
    };
    let access = owner();
    ready(words);
    wait_for_go(words);
    let mut checks = Checks::new();
    for (before, now) in before.iter().zip(states()) {
        checks.that(&format!("{now} was {before}"), *before == now);
    }
    checks.that("owner", owner() == access);
    let got: Vec<_> = (0..4).map(|_| read(&lines_slave)).collect();
    checks.that(&format!("lines {got:?}"), got == [&b"one\n"[..], b"two\n", b"", b"end"]);
    write(&lines, b"\x7f\x7fost\n");
    checks.that("the partial line", read(&lines_slave) == b"post\n");
    checks.that("raw", read(&raw_slave) == bytes);
    checks.that("packets", read(&raw) == b"\0shown and not read");
    checks.that("the output of a closed one", read(&closed) == b"last wordstyped before\r\n");
    let opened = slave(5, libc::O_NOCTTY);
    checks.that("what was typed before", read(&opened) == b"typed before\n");
    checks.that("hung up", rustix::io::read(&hung_up, &mut [0; 8]) == Ok(0));
    let first = slave(4, libc::O_NOCTTY);
    write(&first, b"x");
    checks.that("never opened", read(&unopened) == b"x");
    checks.that("locked", open("/dev/pts/9", libc::O_NOCTTY).is_err());
    checks.that("a stopped one", rustix::io::write(&stopped_slave, b"x") == Err(rustix::io::Errno::AGAIN));
    write(&stopped, b"\x11");
    until("output goes on", || rustix::io::write(&stopped_slave, b"x") == Ok(1));
    checks.that("the next index", master().1 == 0);
    checks.end(directory)
}

static TALLY: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());

extern "C" fn tally(_: c_int) {
    // SAFETY: set below to a word that lives as long as the guest.
    let word = unsafe { &*TALLY.load(Ordering::SeqCst) };
    word.fetch_add(1, Ordering::SeqCst);
}

/// Counts SIGINT in a word.
fn tallies(word: &'static AtomicU32) {
    TALLY.store(std::ptr::from_ref(word).cast_mut(), Ordering::SeqCst);
    super::guests::on(libc::SIGINT, tally);
}

fn ioctl(terminal: &OwnedFd, request: libc::Ioctl) -> c_int {
    // SAFETY: numbers only.
    unsafe { libc::ioctl(terminal.as_raw_fd(), request, 0) }
}

fn own_group() -> pid_t {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    rustix::process::getpgrp().as_raw_pid()
}

fn foreground(terminal: &OwnedFd) -> pid_t {
    // SAFETY: numbers only.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) }
}

fn take_foreground(terminal: &OwnedFd, group: pid_t) {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), group) }, 0);
}

fn reached(words: Words, at: usize, value: u32) {
    until(&format!("word {at} is {value}"), || words[at].load(Ordering::SeqCst) == value);
}

/// Words of [`job_control`].
const FOREGROUND: usize = 10;
const BACKGROUND: usize = 11;
const LEADER: usize = 12;
const STOPPED: [usize; 2] = [13, 14];
const ASK: usize = 15;
const TAKE: usize = 16;
const LINE: usize = 17;
const WITHOUT: usize = 18;

/// The leader of a session with jobs in foreground and background.
fn leader(words: Words, index: u32) -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::setsid() };
    let terminal = slave(index, 0);
    let current = open("/dev/tty", 0).unwrap();
    tallies(&words[LEADER]);
    let background = child(|| {
        own_group();
        tallies(&words[BACKGROUND]);
        ready(words);
        wait_for_go(words);
        reached(words, ASK, 1);
        read(&terminal);
        1
    });
    let without = child(|| {
        assert_eq!(ioctl(&terminal, libc::TIOCNOTTY), 0);
        ready(words);
        wait_for_go(words);
        words[WITHOUT].store(if open("/dev/tty", 0).is_err() { 1 } else { 2 }, Ordering::SeqCst);
        0
    });
    let front = child(|| {
        own_group();
        tallies(&words[FOREGROUND]);
        until("it is in the foreground", || foreground(&terminal) == rustix::process::getpgrp().as_raw_pid());
        ready(words);
        wait_for_go(words);
        reached(words, TAKE, 9);
        0
    });
    until("the groups are there", || {
        [background, front].iter().all(|pid| {
            // SAFETY: a number only.
            (unsafe { libc::getpgid(*pid) }) == *pid
        })
    });
    take_foreground(&terminal, front);
    let before = [shown(&terminal), shown(&current)];
    wait_for_go(words);
    let stops = |pid| {
        let mut status = 0;
        // SAFETY: one int is written to `status`.
        unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED) };
        if libc::WIFSTOPPED(status) { libc::WSTOPSIG(status).cast_unsigned() } else { 99 }
    };
    let same = [shown(&terminal), shown(&current)] == before && foreground(&terminal) == front;
    words[STOPPED[0]].store(stops(background), Ordering::SeqCst);
    words[STOPPED[1]].store(stops(front), Ordering::SeqCst);
    reached(words, TAKE, 1);
    // SAFETY: numbers only.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    take_foreground(&terminal, rustix::process::getpgrp().as_raw_pid());
    words[TAKE].store(2, Ordering::SeqCst);
    let line = read(&current);
    words[LINE].store(if same && line == b"a line\n" { 1 } else { 2 }, Ordering::SeqCst);
    wait(without);
    // SAFETY: numbers only.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Holds the master of a session with job control, and types.
pub(crate) fn job_control(words: Words, directory: &Path) -> i32 {
    own_devpts();
    let gap = master();
    let (master, index) = master();
    drop(gap);
    let pid = child(|| {
        // SAFETY: numbers only; nobody uses the master here.
        unsafe { libc::close(master.as_raw_fd()) };
        leader(words, index)
    });
    until("the jobs are there", || words[0].load(Ordering::SeqCst) == 3);
    ready(words);
    wait_for_go(words);
    let mut checks = Checks::new();
    write(&master, b"\x03");
    reached(words, FOREGROUND, 1);
    let others = [BACKGROUND, LEADER].map(|at| words[at].load(Ordering::SeqCst));
    checks.that("only the foreground is interrupted", others == [0, 0]);
    words[ASK].store(1, Ordering::SeqCst);
    reached(words, STOPPED[0], libc::SIGTTIN as u32);
    write(&master, b"\x1a");
    reached(words, STOPPED[1], libc::SIGTSTP as u32);
    words[TAKE].store(1, Ordering::SeqCst);
    reached(words, TAKE, 2);
    write(&master, b"a line\n");
    until("the leader has read", || words[LINE].load(Ordering::SeqCst) != 0);
    checks.that("the leader's terminals and line", words[LINE].load(Ordering::SeqCst) == 1);
    until("one has no terminal", || words[WITHOUT].load(Ordering::SeqCst) != 0);
    checks.that("it had none before", words[WITHOUT].load(Ordering::SeqCst) == 1);
    drop(master);
    checks.that("the leader hears of the hang-up", wait(pid) == libc::SIGHUP);
    checks.end(directory)
}

/// Holds the master of an interactive shell that runs a job, as script(1) and terminals do.
pub(crate) fn interactive_shell(words: Words, directory: &Path) -> i32 {
    use std::os::unix::process::CommandExt;
    own_devpts();
    let (master, index) = master();
    let nonblocking = super::descriptor::flags(master.as_fd()).unwrap() | libc::O_NONBLOCK.cast_unsigned();
    super::descriptor::set_flags(master.as_fd(), nonblocking).unwrap();
    let shell = child(|| {
        // SAFETY: no arguments.
        unsafe { libc::setsid() };
        let terminal = slave(index, 0);
        for standard in 0..3 {
            // SAFETY: numbers only; nobody owns the guest's standard streams.
            unsafe { libc::dup2(terminal.as_raw_fd(), standard) };
        }
        let error = std::process::Command::new("/bin/sh")
            .arg("-i")
            .env_clear()
            .env("PS1", "ask> ")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(directory)
            .exec();
        panic!("{error}");
    });
    let mut seen = Vec::new();
    let mut shows = |what: &str| {
        until(&format!("the shell shows {what}"), || {
            seen.extend(read(&master));
            let found = seen.windows(what.len()).position(|piece| piece == what.as_bytes());
            found.is_some_and(|at| {
                seen.drain(..at + what.len());
                true
            })
        });
    };
    shows("ask> ");
    write(&master, b"echo $((40 + 2))\n");
    shows("\r\n42\r\n");
    shows("ask> ");
    write(&master, b"sleep 1000\n");
    until("the job is in the foreground", || ![shell, 0, -1].contains(&foreground(&master)));
    // Typed ahead, for the shell.
    write(&master, b"echo $((1 + 1)) a\xc3\xa4head");
    shows("head");
    ready(words);
    wait_for_go(words);
    // What was typed ahead is forgotten by that.
    write(&master, b"\x03");
    shows("ask> ");
    write(&master, b"echo $((20 + 3))\n");
    shows("\r\n23\r\n");
    shows("ask> ");
    write(&master, b"sleep 1000\n");
    until("the next job is in the foreground", || ![shell, 0, -1].contains(&foreground(&master)));
    write(&master, b"\x1a");
    shows("ask> ");
    write(&master, b"fg\n");
    until("the job is in the foreground again", || ![shell, 0, -1].contains(&foreground(&master)));
    write(&master, b"\x03");
    shows("ask> ");
    write(&master, b"exit 7\n");
    let status = wait(shell);
    let mut checks = Checks::new();
    checks.that(&format!("the shell ends with {status:#x}"), status == 7 << 8);
    checks.end(directory)
}

/// Has a terminal of the devpts that everybody has.
pub(crate) fn outside() -> OwnedFd {
    open("/dev/ptmx", libc::O_NOCTTY).unwrap()
}
