//! A process that has nothing but what every process has: to compare others with.

use std::io;

use libc::pid_t;

/// It waits for its end; dropped, it ends.
#[derive(Debug)]
pub struct Bare(pid_t);

impl Bare {
    /// Forks it.
    ///
    /// # Errors
    /// Those of fork(2).
    pub fn fork() -> io::Result<Self> {
        // SAFETY: between fork and its end the child makes system calls only, which is all that a child of a process with several threads
        // may do.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: numbers only; with its parent thread it ends too.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            // SAFETY: numbers only: what this process has open must not stay open with it.
            unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
            loop {
                // SAFETY: no arguments.
                unsafe { libc::pause() };
            }
        }
        if child < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(child)) }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> pid_t {
        self.0
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: numbers only; it was not reaped, so its pid is its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: one int is written to `status`.
        unsafe { libc::waitpid(self.0, &raw mut status, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::kcmp::{What, compare};

    #[test]
    fn two_of_them_have_nothing_alike_and_no_semaphores_to_give_back() {
        let (one, other) = (Bare::fork().unwrap(), Bare::fork().unwrap());
        assert!(compare(one.pid(), other.pid(), What::Undo).unwrap().is_eq());
        assert!(compare(one.pid(), other.pid(), What::Memory).unwrap().is_ne());
    }
}
