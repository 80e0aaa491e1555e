//! Guests for the tests of what is restored: each the first process of a pid namespace in a user namespace, with a page of
//! numbers that is a file, so that the test sees it before and after.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, pid_t};

use super::guests::{Alone, alone, die_with_parent, forget_others, until};

/// Numbers that a test and its guests share.
pub(crate) type Words = &'static [AtomicU32; 1024];

/// A guest in namespaces, below a process that made them.
pub(crate) struct Inside {
    /// Its pid, as the test sees it.
    pub(crate) pid: pid_t,
    /// The process above it.
    above: pid_t,
    pub(crate) words: Words,
    pub(crate) directory: tempfile::TempDir,
}

fn map(file: &File) -> Words {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a file of 4096 bytes.
    let words = unsafe { libc::mmap(null_mut(), 4096, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert_ne!(words, libc::MAP_FAILED);
    // SAFETY: 4096 bytes are 1024 aligned atomics; the mapping is never unmapped.
    unsafe { &*words.cast::<[AtomicU32; 1024]>() }
}

/// Makes user and pid namespaces with this user as their root.
fn enter() -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: numbers only.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) } < 0 {
        return Err(io::Error::last_os_error());
    }
    write_maps(std::process::id() as pid_t, user, group)
}

/// One line in each id map: the user as root.
pub(crate) fn write_maps(pid: pid_t, user: u32, group: u32) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    std::fs::write(format!("/proc/{pid}/uid_map"), format!("0 {user} 1"))?;
    std::fs::write(format!("/proc/{pid}/gid_map"), format!("0 {group} 1"))
}

/// Lets others fork again; a child keeps what it inherited, for it never forks guests.
fn in_parent(pid: pid_t, alone: Alone) -> pid_t {
    if pid == 0 {
        std::mem::forget(alone);
    }
    pid
}

impl Inside {
    /// Starts a guest that runs `body` and ends with its result, and waits until it has counted word 0 up.
    pub(crate) fn start(body: impl FnOnce(Words, &Path) -> i32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("words");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(4096).unwrap();
        let words = map(&file);
        let alone = alone();
        // SAFETY: the child runs what follows and ends; the test's other threads hold no lock that it needs: fork(3) sees to
        // that of the allocator.
        let above = in_parent(unsafe { libc::fork() }, alone);
        if above == 0 {
            die_with_parent();
            forget_others(words.as_ptr().cast());
            let entered = enter();
            if entered.is_err() {
                // SAFETY: ends the child.
                unsafe { libc::_exit(120) };
            }
            // SAFETY: as above.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                die_with_parent();
                let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    begin(words);
                    body(words, directory.path())
                }));
                // SAFETY: ends the guest.
                unsafe { libc::_exit(code.unwrap_or(101)) };
            }
            words[1023].store(pid as u32, Ordering::SeqCst);
            let mut status = 0;
            // SAFETY: one int is written to `status`.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            // SAFETY: ends the child.
            unsafe { libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 121 }) };
        }
        assert!(above > 0, "{}", io::Error::last_os_error());
        until("the guest is there", || words[1023].load(Ordering::SeqCst) > 0);
        let guest = Self { pid: words[1023].load(Ordering::SeqCst) as pid_t, above, words, directory };
        until("the guest is ready", || words[0].load(Ordering::SeqCst) > 0);
        guest
    }

    /// Whether all threads of it and of its descendants sleep, but those that have ended.
    pub(crate) fn all_asleep(&self) -> bool {
        crate::freeze::descendants(self.pid).unwrap().into_iter().all(|pid| {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let mut threads = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            threads.all(|tid| matches!(super::guests::state(pid, tid), Some('S' | 'Z')))
        })
    }

    /// Waits for its end; its exit code.
    pub(crate) fn end(mut self) -> i32 {
        reap(std::mem::take(&mut self.above))
    }

    /// Lets it go on, and waits for its end; what it has found wrong.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        self.words[1].store(1, Ordering::SeqCst);
        wake_all(&self.words[1]);
        let mut status = 0;
        // SAFETY: one int is written to `status`.
        unsafe { libc::waitpid(self.above, &raw mut status, 0) };
        self.above = 0;
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == super::inside_guests::RIGHT {
            return Ok(());
        }
        let wrong = std::fs::read_to_string(self.directory.path().join("wrong")).unwrap_or_default();
        Err(format!("{status:#x}: {wrong}"))
    }

    /// Kills it, and waits until nothing of its namespaces is left.
    pub(crate) fn kill(&mut self) {
        if self.above > 0 {
            // SAFETY: numbers only; `above` was not reaped, so neither pid is another's.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            let mut status = 0;
            // SAFETY: one int is written to `status`.
            unsafe { libc::waitpid(self.above, &raw mut status, 0) };
            self.above = 0;
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A session of its own, no descriptors but /dev/null, and no shared memory of other tests.
fn begin(words: Words) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|flags| flags.ends_with('s'))) {
        let (start, end) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).unwrap();
        let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
        if start != words.as_ptr() as usize {
            // SAFETY: memory of other tests, which the guest does not use.
            unsafe { libc::munmap(start as *mut _, end - start) };
        }
    }
    // SAFETY: a path that ends with a NUL, then numbers only.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    for standard in 0..3 {
        // SAFETY: numbers only; nobody owns the guest's standard streams.
        unsafe { libc::dup2(null, standard) };
    }
    // SAFETY: numbers only; nothing of the guest refers to these descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3, c_int::MAX, 0) };
    // SAFETY: no arguments.
    unsafe { libc::setsid() };
}

/// Waits for a restored first process, a child of this one, to end; its exit code, or minus its signal.
pub(crate) fn reap(pid: pid_t) -> i32 {
    let mut code = None;
    until("the restored guest ends", || {
        let mut status = 0;
        // SAFETY: one int is written to `status`.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        assert!(waited >= 0, "{}", io::Error::last_os_error());
        if waited == pid {
            code = Some(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) });
        }
        code.is_some()
    });
    code.unwrap_or(-1)
}

/// A process that has a copy of every descriptor of this one, as one that another thread forks has for a while. It ends when
/// this is dropped, or with the thread that made it.
pub(crate) struct Copies(pid_t);

impl Copies {
    pub(crate) fn keep() -> Self {
        // SAFETY: the child makes system calls only.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            die_with_parent();
            loop {
                // SAFETY: no arguments.
                unsafe { libc::pause() };
            }
        }
        assert!(pid > 0, "{}", io::Error::last_os_error());
        Self(pid)
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // SAFETY: numbers only; the child was not reaped, so the pid is its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: nothing is written.
        unsafe { libc::waitpid(self.0, null_mut(), 0) };
    }
}

/// Wakes everybody who waits in a futex at `word`.
pub(crate) fn wake_all(word: &AtomicU32) {
    // SAFETY: the kernel only takes the address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Brings the loopback interface of this net namespace up.
pub(crate) fn loopback_up() {
    let socket = super::inet::socket(libc::AF_INET as u32, libc::SOCK_DGRAM as u32, 0).unwrap();
    // SAFETY: struct ifreq consists of bytes, numbers and pointers; all zeros are a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads a struct ifreq.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw mut request) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// [`loopback_up`] in the net namespace of a process.
pub(crate) fn loopback_up_in(pid: pid_t) -> io::Result<()> {
    // SAFETY: the child runs what follows and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let namespaces = [("user", libc::CLONE_NEWUSER), ("net", libc::CLONE_NEWNET)];
        let up = namespaces.into_iter().all(|(name, kind)| joins(pid, name, kind))
            && std::panic::catch_unwind(loopback_up).is_ok();
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!up)) };
    }
    if child > 0 && reap(child) == 0 { Ok(()) } else { Err(io::Error::other("the loopback interface stays down")) }
}

fn joins(pid: pid_t, name: &str, kind: c_int) -> bool {
    let Ok(namespace) = File::open(format!("/proc/{pid}/ns/{name}")) else { return false };
    // SAFETY: numbers only; `namespace` is open.
    unsafe { libc::setns(namespace.as_raw_fd(), kind) == 0 }
}

/// A process that was put into the namespaces of a guest; killed when it is dropped.
pub(crate) struct Put {
    /// As the test sees it.
    pub(crate) pid: pid_t,
    above: pid_t,
}

/// Puts a process into the namespaces of `guest`, which does [`with_proc`]. Word 1000 says its pid.
pub(crate) fn put_in(guest: &Inside) -> Put {
    let alone = alone();
    // SAFETY: the child runs what follows and ends.
    let above = in_parent(unsafe { libc::fork() }, alone);
    if above == 0 {
        die_with_parent();
        forget_others(guest.words.as_ptr().cast());
        let namespaces = [("user", libc::CLONE_NEWUSER), ("pid", libc::CLONE_NEWPID), ("mnt", libc::CLONE_NEWNS)];
        if namespaces.into_iter().all(|(name, kind)| joins(guest.pid, name, kind)) {
            // SAFETY: as above.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                die_with_parent();
                begin(guest.words);
                loop {
                    // SAFETY: no arguments.
                    unsafe { libc::pause() };
                }
            }
            guest.words[1000].store(pid.cast_unsigned(), Ordering::SeqCst);
            // SAFETY: nothing is written.
            unsafe { libc::waitpid(pid, null_mut(), 0) };
        }
        // SAFETY: ends the child.
        unsafe { libc::_exit(1) };
    }
    assert!(above > 0);
    until("a process was put in", || guest.words[1000].load(Ordering::SeqCst) != 0);
    Put { pid: guest.words[1000].load(Ordering::SeqCst).cast_signed(), above }
}

impl Drop for Put {
    fn drop(&mut self) {
        for pid in [self.pid, self.above] {
            // SAFETY: numbers only; `above` was not reaped, and its child dies with it.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        // SAFETY: nothing is written.
        unsafe { libc::waitpid(self.above, null_mut(), 0) };
    }
}

/// Mounts a proc of its pid namespace in its directory, and rests with one child, or two when word 1 says so.
pub(crate) fn with_proc(words: Words, directory: &Path) -> i32 {
    let place = directory.join("proc");
    std::fs::create_dir(&place).unwrap();
    let place = std::ffi::CString::new(place.into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    let proc = c"proc".as_ptr();
    // SAFETY: strings that end with a NUL; no data.
    let mounted = unsafe { libc::mount(proc, place.as_ptr(), proc, 0, null_mut()) };
    assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
    let child = || {
        // SAFETY: the guest has one thread.
        if unsafe { libc::fork() } == 0 {
            loop {
                // SAFETY: no arguments.
                unsafe { libc::pause() };
            }
        }
    };
    child();
    words[0].store(1, Ordering::SeqCst);
    until("one more is asked for", || words[1].load(Ordering::SeqCst) != 0);
    child();
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}
