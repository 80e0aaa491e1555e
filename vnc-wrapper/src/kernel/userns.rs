//! Entering new user namespaces and having their maps written.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

use super::idmap::{IdMap, map_text, proc_file};
use super::process::{Fork, exit_now, fork};

/// Writes the maps of the new user namespace that process `pid` is in.
///
/// # Errors
/// When the kernel, newuidmap or newgidmap refuses.
pub fn write_maps(pid: u32, map: &IdMap) -> io::Result<()> {
    if map.by_helper {
        for (program, ranges) in [("newuidmap", &map.uids), ("newgidmap", &map.gids)] {
            let numbers = ranges.iter().flat_map(|r| [r.inside, r.outside, r.count]).map(|n| n.to_string());
            let output = Command::new(program).arg(pid.to_string()).args(numbers).stdin(Stdio::null()).output();
            let output = output.map_err(|e| io::Error::new(e.kind(), format!("{program} (package uidmap): {e}")))?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(format!("{program}: {}", text.trim())));
            }
        }
        return Ok(());
    }
    fs::write(proc_file(pid, "uid_map"), map_text(&map.uids))?;
    fs::write(proc_file(pid, "gid_map"), map_text(&map.gids))
}

/// Starts `command` as root of a new user namespace with `map`, and of a new mount namespace.
///
/// The child keeps its working directory, also one that it could not have opened itself.
///
/// # Errors
/// When a namespace cannot be made, a map cannot be written, or the program cannot be run.
pub fn spawn_in_user_namespace(map: &IdMap, command: &mut Command) -> io::Result<Child> {
    let (mut unshared, unshared_end) = io::pipe()?;
    let (mapped_end, mut mapped) = io::pipe()?;
    let (unshared_end, mapped_end) = (OwnedFd::from(unshared_end), OwnedFd::from(mapped_end));
    let child_ends = (unshared_end.try_clone()?, mapped_end.try_clone()?);
    let hook = move || {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        nix::unistd::write(&child_ends.0, &std::process::id().to_ne_bytes())?;
        let mut answer = [0u8; 1];
        if nix::unistd::read(&child_ends.1, &mut answer)? != 1 {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        become_namespace_root()
    };
    // SAFETY: between fork and exec the hook only makes system calls on descriptors that were opened before the fork; it
    // neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) };
    // `spawn` returns only after exec, so another thread has to write the maps meanwhile. It ends when the child has
    // written its pid, or when every writing end is closed.
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> io::Result<()> {
            let mut pid = [0u8; 4];
            unshared.read_exact(&mut pid)?;
            write_maps(u32::from_ne_bytes(pid), map)?;
            mapped.write_all(&[1])
        });
        let spawned = command.spawn();
        drop((unshared_end, mapped_end));
        if spawned.is_err() {
            // The hook still holds the child's ends; only replacing the command would drop them. The writer has ended
            // or will, because the child closed its copies and these are the last.
            let _ = std::mem::replace(command, Command::new("true"));
        }
        match (spawned, writer.join()) {
            (_, Ok(Err(error))) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            (spawned, _) => spawned,
        }
    })
}

/// A user namespace with `map` that no process is in. This process must have one thread.
///
/// # Errors
/// When it cannot be made or its maps cannot be written.
pub fn empty_namespace(map: &IdMap) -> io::Result<OwnedFd> {
    let (mut made_end, mut made) = io::pipe()?;
    let (mut done_end, done) = io::pipe()?;
    match fork()? {
        Fork::Child => {
            drop((made_end, done));
            let outcome = unshare(CloneFlags::CLONE_NEWUSER).map_err(io::Error::from).and_then(|()| {
                made.write_all(&[1])?;
                // Until the other end is closed.
                done_end.read(&mut [0])
            });
            exit_now(i32::from(outcome.is_err()))
        }
        Fork::Parent(child) => {
            drop((made, done_end));
            let namespace = (|| {
                made_end.read_exact(&mut [0]).map_err(|_| io::Error::other("no user namespace can be made"))?;
                write_maps(child, map)?;
                Ok(File::open(proc_file(child, "ns/user"))?.into())
            })();
            drop(done);
            nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child.cast_signed()), None)?;
            namespace
        }
    }
}

/// Takes id 0 of the user namespace that this process is in, and no supplementary groups.
///
/// # Errors
/// When the map has no id 0.
pub fn become_namespace_root() -> io::Result<()> {
    // Raw system calls: the C library's wrappers would signal every thread to change ids with it, which must not
    // happen between fork and exec.
    let no_groups: *const libc::gid_t = std::ptr::null();
    // SAFETY: setgroups(2) with length 0 reads no memory.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0usize, no_groups) };
    nix::errno::Errno::result(groups)?;
    set_ids(Uid::from_raw(0), Gid::from_raw(0))
}

/// Sets all three group ids, then all three user ids, of this thread.
///
/// # Errors
/// When the kernel refuses.
pub fn set_ids(uid: Uid, gid: Gid) -> io::Result<()> {
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    // SAFETY: setresgid(2) takes numbers only.
    nix::errno::Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: setresuid(2) takes numbers only.
    nix::errno::Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// Moves this process, which must have one thread, into a new user namespace with `map`, as its root.
///
/// A child that stays outside writes the maps: newuidmap refuses to work on its own parent from inside.
///
/// # Errors
/// When the namespace cannot be made or the maps cannot be written.
pub fn enter_user_namespace(map: &IdMap) -> io::Result<()> {
    let (mut ready_end, mut ready) = io::pipe()?;
    let parent = std::process::id();
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            drop(ready);
            let mut byte = [0u8; 1];
            let outcome = ready_end.read_exact(&mut byte).and_then(|()| write_maps(parent, map));
            if let Err(error) = &outcome {
                let _ = writeln!(io::stderr(), "{error}");
            }
            // SAFETY: _exit(2) ends the child at once, without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            ready.write_all(&[1])?;
            drop(ready_end);
            match nix::sys::wait::waitpid(child, None)? {
                nix::sys::wait::WaitStatus::Exited(_, 0) => become_namespace_root(),
                _ => Err(io::Error::other("newuidmap or newgidmap refused to write the session's id map")),
            }
        }
    }
}

/// Opens `path` as a directory that a process of another namespace can be started in.
///
/// # Errors
/// When it is not there or no directory.
pub fn open_directory(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}

/// Makes `command` start in the directory that `directory` has open, without walking any path.
pub fn start_in(command: &mut Command, directory: OwnedFd) -> &mut Command {
    let hook = move || {
        // SAFETY: fchdir(2) takes a descriptor only; it is open as long as the hook owns it.
        nix::errno::Errno::result(unsafe { libc::fchdir(directory.as_raw_fd()) })?;
        Ok(())
    };
    // SAFETY: between fork and exec the hook makes one system call and neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) }
}
