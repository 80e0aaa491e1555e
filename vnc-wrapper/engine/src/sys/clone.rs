//! The first process of a tree that is made again: clone3(2) into new namespaces, then execveat(2) of a program in memory.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null;

use libc::{c_int, pid_t};

/// `struct clone_args` (clone3(2)), the 88 bytes that Linux 5.7 knows; `include/uapi/linux/sched.h`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Arguments {
    /// `CLONE_*`.
    pub flags: u64,
    /// Where a pidfd is written.
    pub pidfd: u64,
    /// Where the child has its thread id.
    pub child_tid: u64,
    /// Where the parent has it.
    pub parent_tid: u64,
    /// The signal at the end; 0: none.
    pub exit_signal: u64,
    /// The lowest address of the stack; 0: the parent's.
    pub stack: u64,
    /// Its length in bytes.
    pub stack_size: u64,
    /// The base of the thread's own memory.
    pub tls: u64,
    /// Where the wanted ids stand, `pid_t` each, the innermost namespace first.
    pub set_tid: u64,
    /// How many.
    pub set_tid_size: u64,
    /// The control group's descriptor.
    pub cgroup: u64,
}

impl Arguments {
    /// As the kernel reads them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let words = [
            self.flags,
            self.pidfd,
            self.child_tid,
            self.parent_tid,
            self.exit_signal,
            self.stack,
            self.stack_size,
            self.tls,
            self.set_tid,
            self.set_tid_size,
            self.cgroup,
        ];
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

/// Makes a process in the new `namespaces` (`CLONE_NEW*`), a child of this one. All of its signals are blocked. It waits until
/// it can read a byte from `channel`, then becomes root of its user namespace and executes `program`; its descriptor 0 is `channel`, and it has no other. It ends if
/// `channel` does.
///
/// # Errors
/// Those of clone3(2). An execveat(2) that fails ends it with the error's number as its exit code.
pub fn first(namespaces: u64, program: BorrowedFd<'_>, channel: BorrowedFd<'_>) -> io::Result<pid_t> {
    let arguments = Arguments { flags: namespaces, exit_signal: libc::SIGCHLD as u64, ..Arguments::default() };
    let (program, channel) = (program.as_raw_fd(), channel.as_raw_fd());
    let every = u64::MAX;
    let mut before = 0u64;
    let size = size_of::<u64>();
    // SAFETY: the kernel reads eight bytes of `every` and writes eight to `before`.
    let blocked =
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const every, &raw mut before, size) };
    if blocked < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel reads a struct clone_args, whose layout `Arguments` has. Without CLONE_VM the child has a copy of this
    // memory, in which `become_program` makes system calls only, all that a child of a process with threads may do.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) };
    if child == 0 {
        become_program(program, channel);
    }
    let made = if child < 0 { Err(io::Error::last_os_error()) } else { Ok(child as pid_t) };
    // SAFETY: the kernel reads eight bytes of `before`.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const before, null::<u64>(), size);
    }
    made
}

/// What the child does.
fn become_program(program: c_int, channel: c_int) -> ! {
    // SAFETY: numbers only.
    let program = unsafe { libc::fcntl(program, libc::F_DUPFD_CLOEXEC, 2) };
    // SAFETY: numbers only; nothing of the child refers to its descriptors.
    let channel = unsafe { libc::dup2(channel, 0) };
    if program < 0 || channel < 0 {
        end();
    }
    for (first, last) in [(1, program - 1), (program + 1, c_int::MAX)] {
        // SAFETY: numbers only; nothing of the child refers to these descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
    let mut byte = 0u8;
    // SAFETY: one byte is written to `byte`.
    if unsafe { libc::read(channel, (&raw mut byte).cast(), 1) } == 1 {
        // Whoever else we were has no name in the user namespace, and would lose every capability by the program. Where a process
        // may not leave its groups, it has none that matter.
        // SAFETY: no groups are read.
        unsafe { libc::syscall(libc::SYS_setgroups, 0, null::<libc::gid_t>()) };
        for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
            // SAFETY: numbers only.
            if unsafe { libc::syscall(call, 0, 0, 0) } < 0 {
                end();
            }
        }
        let arguments = [c"stub".as_ptr(), null()];
        let environment = [null::<libc::c_char>()];
        let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        // SAFETY: an empty path, and two lists of strings that end with a null.
        unsafe {
            libc::syscall(libc::SYS_execveat, program, path, arguments.as_ptr(), environment.as_ptr(), flags);
        }
    }
    end()
}

fn end() -> ! {
    let error = io::Error::last_os_error().raw_os_error().unwrap_or(1);
    // SAFETY: a number only; does not return.
    unsafe { libc::_exit(error) }
}
