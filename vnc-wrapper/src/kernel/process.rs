//! Forking, ending and watching processes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};
use tokio::io::unix::AsyncFd;

/// The two sides of a [`fork`].
pub enum Fork {
    /// In the parent, with the child's pid.
    Parent(u32),
    /// In the child.
    Child,
}

/// Forks this process.
///
/// # Errors
/// When the kernel refuses, or when this process has more than one thread: the child could then wait for ever for a lock
/// that a thread which it does not have holds.
pub fn fork() -> io::Result<Fork> {
    let threads = match std::fs::read_dir("/proc/self/task") {
        Ok(entries) => entries.count(),
        // In the mounts of a session that this process has joined without being in its pid namespace. Joining a user
        // namespace has proved that there is one thread (setns(2), EINVAL).
        Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
        Err(error) => return Err(error),
    };
    if threads != 1 {
        return Err(io::Error::other(format!("fork with {threads} threads")));
    }
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => Ok(Fork::Child),
        nix::unistd::ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw().unsigned_abs())),
    }
}

/// Ends this process at once, without exit handlers.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// A handle on process `pid` that cannot come to mean another process.
///
/// # Errors
/// When there is no such process.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The same for a thread (`PIDFD_THREAD`, since Linux 6.9).
///
/// # Errors
/// When there is no such thread, or the kernel knows no such handles.
pub fn open_thread(id: u32) -> io::Result<OwnedFd> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    let thread = PidfdFlags::from_bits_retain(libc::O_EXCL.cast_unsigned());
    Ok(rustix::process::pidfd_open(id, thread)?)
}

/// A copy of the descriptor `number` of process `pid` (pidfd_getfd(2)).
///
/// # Errors
/// When the process or its descriptor is gone.
pub fn descriptor(pid: u32, number: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_getfd(open(pid)?, number, PidfdGetfdFlags::empty())?)
}

/// Whether somebody is told by a signal of what happens to the file (F_GETOWN, fcntl(2)).
pub fn has_owner(descriptor: &OwnedFd) -> bool {
    // SAFETY: takes and gives numbers; the descriptor is open.
    let owner = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETOWN) };
    // A group of processes is a negative number; the C library passes on what is not an error.
    owner != 0 && !(owner == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF))
}

/// Sends SIGKILL; a process that is gone already is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn kill(pidfd: &OwnedFd) -> io::Result<()> {
    send(pidfd, Signal::KILL)
}

/// Waits until the process has ended.
///
/// # Errors
/// When it cannot be waited for.
pub fn wait_until_ended(pidfd: &OwnedFd) -> io::Result<()> {
    let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut ended, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other.map(|_| ())?),
        }
    }
}

/// Sends SIGTERM; a process that is gone already is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn terminate(pidfd: &OwnedFd) -> io::Result<()> {
    send(pidfd, Signal::TERM)
}

fn send(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Makes this process the leader of a session of its own (setsid(2)).
///
/// # Errors
/// When it leads a process group already.
pub fn lead_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Whether this process is killed when its parent ends (prctl(2), PR_SET_PDEATHSIG).
///
/// # Errors
/// When the kernel refuses.
pub fn end_with_parent(yes: bool) -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(yes.then_some(Signal::KILL))?)
}

/// Takes the lowest priority for the processor. That it cannot is no reason not to work.
pub fn be_nice() {
    // SAFETY: setpriority(2) takes numbers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Closes every descriptor from `first` on (close_range(2)). Only for the beginning of a program, which owns none yet.
pub fn close_from(first: u32) {
    // SAFETY: close_range(2) takes numbers only; no value of this program owns a descriptor yet.
    unsafe { libc::close_range(first, u32::MAX, 0) };
}

/// Closes all descriptors from `first` on but `kept`, which this program has inherited and does not pass on. For the beginning of a
/// program.
///
/// # Errors
/// When it has not inherited it.
pub fn keep_only(first: u32, kept: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) takes numbers only.
    nix::errno::Errno::result(unsafe { libc::fcntl(kept, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and at the beginning of a program no value owns it.
    let kept = unsafe { OwnedFd::from_raw_fd(kept) };
    let number = kept.as_raw_fd().unsigned_abs();
    if first < number {
        // SAFETY: close_range(2) takes numbers only; no value of this program owns one of these.
        unsafe { libc::close_range(first, number - 1, 0) };
    }
    close_from(number.max(first) + 1);
    Ok(kept)
}

/// Makes the program of `command` inherit `file` as descriptor `number`, which must not be one of the standard ones.
pub fn inherit_as(command: &mut Command, file: OwnedFd, number: i32) {
    let hook = move || {
        let placed = if file.as_raw_fd() == number {
            // SAFETY: fcntl(2) takes numbers only; the hook owns the descriptor.
            unsafe { libc::fcntl(number, libc::F_SETFD, 0) }
        } else {
            // SAFETY: dup2(2) takes numbers only; the hook owns the descriptor.
            unsafe { libc::dup2(file.as_raw_fd(), number) }
        };
        nix::errno::Errno::result(placed)?;
        Ok(())
    };
    // SAFETY: between fork and exec the hook makes one system call and neither allocates nor takes a lock. Whatever the
    // child has at `number` is closed by exec anyway, as all that Rust opens is.
    unsafe { command.pre_exec(hook) };
}

/// Writes `bytes` to `file` in the child that is to become the program.
pub fn write_before_exec(command: &mut Command, file: OwnedFd, bytes: &'static [u8]) {
    let hook = move || {
        // SAFETY: write(2) reads the bytes, which are there for the whole time; the hook owns the descriptor.
        nix::errno::Errno::result(unsafe { libc::write(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })?;
        Ok(())
    };
    // SAFETY: between fork and exec the hook makes one system call and neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) };
}

/// Marks every descriptor from `first` on to be closed by exec.
pub fn close_on_exec_from(first: u32) {
    let flag = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC closes nothing now.
    unsafe { libc::close_range(first, u32::MAX, flag) };
}

/// Gives `signal` its default action.
///
/// # Errors
/// When it has none that can be set.
pub fn default_action(signal: nix::sys::signal::Signal) -> io::Result<()> {
    // SAFETY: SIG_DFL installs no handler of ours.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }?;
    Ok(())
}

/// Makes `handle` wait in the runtime: it becomes readable when its process has ended (pidfd_open(2)).
///
/// # Errors
/// When the runtime cannot take it.
pub fn watch(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` has the same open descriptor for all of its life, and the `AsyncFd` owns it.
    let watched = unsafe { AsyncFd::register_with_interest(handle, tokio::io::Interest::READABLE) };
    watched.map_err(|error| io::Error::other(error.to_string()))
}
