//! Memory and descriptors that are made in somebody else's process and taken back with the guard.

use std::os::fd::{AsFd, OwnedFd};

use crate::fault::Step;
use crate::sys::{memory, pidfd, ptrace};

use super::processor::{LIST_CODE, RED_ZONE};
use super::thread::{Undo, unmap};
use super::{Call, Error, Thread};

pub(super) const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
pub(super) const READ_EXECUTE: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;

pub(super) fn map(length: u64, protection: u64) -> Call {
    Call::new(libc::SYS_mmap, [0, length, protection, PRIVATE, u64::MAX, 0])
}

impl Thread<'_, '_> {
    /// Maps `length` bytes of empty memory that may be read and written; unmapped with the guard.
    ///
    /// # Errors
    /// Those of [`Thread::call`]; `ENOMEM` at the process's limit.
    pub fn map(&mut self, length: u64) -> Result<u64, Error> {
        self.map_as(length, READ_WRITE)
    }

    fn map_as(&mut self, length: u64, protection: u64) -> Result<u64, Error> {
        let call = map(length, protection);
        // What could not be given back is not made.
        self.check_harmless(&unmap(0, length))?;
        let address = self.call_for_now(&call, |address| Undo::Unmap { address, length })?;
        self.point(Step::Mapped)?;
        Ok(address)
    }

    /// Maps a page with the list's code. Never both writable and executable: a process may have asked to be denied that
    /// (PR_SET_MDWE), so the tracer writes it.
    pub(super) fn map_code(&mut self) -> Result<u64, Error> {
        let address = self.map_as(4096, READ_EXECUTE)?;
        for (at, word) in LIST_CODE.chunks_exact(8).enumerate() {
            let word = u64::from_ne_bytes(word.try_into().unwrap_or_default());
            let poked = ptrace::poke(self.who().tid, address + 8 * at as u64, word);
            poked.map_err(|error| Error::other(self.who(), "write code into", error))?;
        }
        Ok(address)
    }

    /// Writes `from` into memory that [`Thread::map`] or [`Thread::borrow_stack`] gave.
    ///
    /// # Errors
    /// [`Error::Unable`] for memory that this guard does not give back, [`Error::Gone`].
    pub fn fill(&mut self, address: u64, from: &[u8]) -> Result<(), Error> {
        let end = address.saturating_add(from.len() as u64);
        let ours = self.undo.iter().any(|undo| match undo {
            Undo::Unmap { address: start, length } => *start <= address && end <= start + length,
            Undo::Write { address: start, bytes } => *start <= address && end <= start + bytes.len() as u64,
            Undo::Close(_) | Undo::Detach(_) => false,
        });
        if ours {
            return self.write(address, from);
        }
        let why = format!("the memory at {address:#x} is its own and would not be given back");
        Err(Error::Unable { who: self.who().clone(), why })
    }

    /// Borrows `length` bytes below the thread's stack, beyond what a function may use there; what stood there is put back
    /// with the guard. Cheaper than [`Thread::map`], and works where a filter denies mmap(2).
    ///
    /// # Errors
    /// [`Error::Other`] with `EFAULT` where the stack pointer is no place to write.
    pub fn borrow_stack(&mut self, length: usize) -> Result<u64, Error> {
        let below = RED_ZONE + length as u64;
        let address = self.saved().stack().saturating_sub(below) & !15;
        let mut bytes = vec![0; length];
        let tid = self.who().tid;
        let kept = memory::read(tid, address, &mut bytes).and_then(|()| memory::write(tid, address, &bytes));
        kept.map_err(|error| Error::other(self.who(), "borrow the stack of", error))?;
        self.undo.push(Undo::Write { address, bytes });
        self.point(Step::Borrowed)?;
        Ok(address)
    }

    /// Has the thread make `call`, which opens a descriptor; closed with the guard. Returns its number there.
    ///
    /// # Errors
    /// Those of [`Thread::call`].
    pub fn open(&mut self, call: &Call) -> Result<i32, Error> {
        self.check_harmless(&Call::new(libc::SYS_close, [0; 6]))?;
        let number = self.call_for_now(call, Undo::Close)?;
        self.point(Step::Opened)?;
        Ok(number as i32)
    }

    /// Has the thread attach a System V segment for reading; detached with the guard. Returns where.
    ///
    /// # Errors
    /// Those of [`Thread::call`].
    pub fn attach(&mut self, segment: i32) -> Result<u64, Error> {
        let arguments = [segment as u64, 0, libc::SHM_RDONLY as u64, 0, 0, 0];
        let address = self.call_for_now(&Call::new(libc::SYS_shmat, arguments), Undo::Detach)?;
        self.point(Step::Attached)?;
        Ok(address)
    }

    /// A copy, in this process, of the thread's descriptor `number`.
    ///
    /// # Errors
    /// [`Error::Other`] with `EBADF`, `EPERM`; [`Error::Gone`].
    pub fn copy_descriptor(&self, number: i32) -> Result<OwnedFd, Error> {
        // A leader that has ended has no descriptors any more; its threads do.
        let copied = match pidfd::open(self.who().pid).and_then(|process| pidfd::copy(process.as_fd(), number)) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBADF | libc::ESRCH)) => {
                pidfd::open_thread(self.who().tid).and_then(|thread| pidfd::copy(thread.as_fd(), number))
            }
            other => other,
        };
        copied.map_err(|error| Error::other(self.who(), "copy a descriptor of", error))
    }
}
