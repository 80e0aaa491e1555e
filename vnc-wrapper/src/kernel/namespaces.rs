//! Making and joining namespaces (namespaces(7)).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::process;

/// The namespaces that every session has of its own. Its cgroup namespace is the wrapper's own one, because CRIU would
/// restore the session into that one anyway.
pub fn of_a_session() -> CloneFlags {
    CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
}

/// The time namespace, which nix does not name.
pub const CLONE_NEWTIME: i32 = 0x80;

/// Joins `which` namespaces of the process that `pidfd` refers to, all at once (setns(2)).
///
/// # Errors
/// When the process is gone or the kernel refuses.
pub fn join(pidfd: &OwnedFd, which: i32) -> io::Result<()> {
    // SAFETY: setns(2) takes numbers only; the descriptor is open for as long as it is borrowed.
    Errno::result(unsafe { libc::setns(pidfd.as_raw_fd(), which) })?;
    Ok(())
}

/// Does `work` in the network namespace of process `of`.
///
/// # Errors
/// When we may not join it, or what `work` answers.
pub fn in_network_of<T: Send>(of: u32, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    // A network namespace is a thread's own (setns(2)), and this thread ends with the work.
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            join(&process::open(of)?, CloneFlags::CLONE_NEWNET.bits())?;
            work()
        });
        work.join().unwrap_or_else(|_| Err(io::Error::other("the work was lost")))
    })
}
