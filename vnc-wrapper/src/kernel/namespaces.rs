//! Making, joining and telling apart namespaces (namespaces(7)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

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

/// What tells a namespace from every other while it exists: the device and inode of its file (namespaces(7)).
pub type Identity = (u64, u64);

/// The namespace of that kind (a name in /proc/PID/ns) that process `pid` is in.
///
/// # Errors
/// When the process is gone.
pub fn identity(pid: u32, kind: &str) -> io::Result<Identity> {
    identity_of(&file(pid, kind)?)
}

/// The user namespace that owns that namespace of process `pid`.
///
/// # Errors
/// When the process is gone, or the owner lies outside this process's user namespace.
pub fn owner(pid: u32, kind: &str) -> io::Result<Identity> {
    // ioctl_nsfs(2), NS_GET_USERNS.
    related(&file(pid, kind)?, 0xb701)
}

/// The parent of the user namespace that process `pid` is in.
///
/// # Errors
/// When the process is gone, or the parent lies outside this process's user namespace.
pub fn parent_of_user(pid: u32) -> io::Result<Identity> {
    // ioctl_nsfs(2), NS_GET_PARENT.
    related(&file(pid, "user")?, 0xb702)
}

fn file(pid: u32, kind: &str) -> io::Result<File> {
    File::open(format!("/proc/{pid}/ns/{kind}"))
}

fn identity_of(file: &impl AsFd) -> io::Result<Identity> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn related(namespace: &File, request: libc::c_ulong) -> io::Result<Identity> {
    // SAFETY: both requests of ioctl_nsfs(2) take no argument and answer a new descriptor.
    let found = Errno::result(unsafe { libc::ioctl(namespace.as_raw_fd(), request) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    identity_of(&unsafe { OwnedFd::from_raw_fd(found) })
}
