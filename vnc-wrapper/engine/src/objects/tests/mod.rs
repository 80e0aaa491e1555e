//! Guests make objects; their records are taken from outside, given here, and behave as the guest's, which is as it was.

mod events;
mod files;
mod pipes;
mod polls;
mod terminals;
mod unixes;
mod watches;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::*;
use crate::record::{Item, Reader, Record, Writer};
use crate::sys::guests::{Guest, Shared, until};
use crate::testing::as_both_users;
use std::path::Path;

/// A guest with objects: numbers of its descriptors stand in words 10 and on.
struct World {
    guest: Guest,
    process: OwnedFd,
}

impl World {
    /// Runs `make` in a guest that then waits. It gives the descriptors that tests look at.
    fn new(make: impl FnOnce(Shared) -> Vec<OwnedFd>) -> Self {
        let guest = Guest::start(|shared| {
            let made = make(shared);
            shared.word(9).store(made.len() as u32, Ordering::SeqCst);
            for (at, made) in made.into_iter().enumerate() {
                shared.word(10 + at).store(made.into_raw_fd() as u32, Ordering::SeqCst);
            }
            shared.ready();
            i32::from(shared.read() != 1)
        });
        guest.asleep(guest.pid);
        let process = pidfd::open(guest.pid).unwrap();
        Self { guest, process }
    }

    /// The number that the guest has for what it made.
    fn number(&self, at: usize) -> i32 {
        self.guest.shared.word(10 + at).load(Ordering::SeqCst) as i32
    }

    fn seen(&self, at: usize) -> Seen {
        Seen::of(self.guest.pid, self.process.as_fd(), self.number(at)).unwrap()
    }

    /// All that the guest has made, as the kernel shows it.
    fn state(&self) -> Vec<(Vec<u8>, String)> {
        let count = self.guest.shared.word(9).load(Ordering::SeqCst) as usize;
        let seen = (0..count).map(|at| self.seen(at));
        seen.map(|seen| {
            let waits = rustix::io::ioctl_fionread(seen.copy()).ok();
            let ready = crate::sys::descriptor::ready(seen.copy(), libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP);
            let size = rustix::pipe::fcntl_getpipe_size(seen.copy()).ok();
            (seen.link.clone(), format!("{:?} {:?} {waits:?} {ready:?} {size:?}", seen.info, common::take(&seen, 1)))
        })
        .collect()
    }

    /// Runs `take`, which must leave the guest's objects as they are.
    fn untouched<T>(&self, take: impl FnOnce() -> T) -> T {
        let before = self.state();
        let taken = take();
        assert_eq!(self.state(), before);
        taken
    }
}

struct Nowhere;

impl Names for Nowhere {
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd> {
        let root = std::fs::File::open("/")?;
        open_below(root.as_fd(), path, flags)
    }
    fn object(&self, _: u32, _: u32) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The record as a resume reads it.
fn stored<T: Clone + TryFromRecord>(record: T) -> T
where
    Record: From<T>,
{
    let record = Record::from(record);
    let mut writer = Writer::begin(Vec::new(), 0).unwrap();
    writer.record(&record).unwrap();
    let stream = writer.finish().unwrap();
    let Some(Item::Record(read)) = Reader::begin(stream.as_slice()).unwrap().next().unwrap() else { unreachable!() };
    assert_eq!(read, record);
    T::of(read).unwrap()
}

trait TryFromRecord: Sized {
    fn of(record: Record) -> Option<Self>;
}

macro_rules! of {
    ($($kind:ident($type:ty))*) => {$(
        impl TryFromRecord for $type {
            fn of(record: Record) -> Option<Self> {
                match record { Record::$kind(it) => Some(*it), _ => None }
            }
        }
    )*};
}
of!(Pipe(crate::record::objects::Pipe) PipeEnd(crate::record::objects::PipeEnd) EventFd(crate::record::objects::EventFd)
    TimerFd(crate::record::objects::TimerFd) SignalFd(crate::record::objects::SignalFd) Epoll(crate::record::objects::Epoll)
    File(crate::record::objects::FileDescription) SharedObject(crate::record::memory::SharedObject)
    PidFd(crate::record::objects::PidFd) Inotify(crate::record::objects::Inotify) UnixSocket(crate::record::sockets::UnixSocket));

/// What is ready of what anybody asks for.
fn ready(descriptor: impl AsFd) -> i16 {
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;
    crate::sys::descriptor::ready(descriptor.as_fd(), all).unwrap()
}

fn nonblocking(descriptor: BorrowedFd<'_>) {
    let flags = crate::sys::descriptor::flags(descriptor).unwrap();
    crate::sys::descriptor::set_flags(descriptor, flags | libc::O_NONBLOCK as u32).unwrap();
}

/// Reads until nothing waits; what each read gave, and how it ended: with an end of file or with an error.
fn reads(descriptor: BorrowedFd<'_>) -> (Vec<Vec<u8>>, Option<i32>) {
    let mut all = Vec::new();
    loop {
        let mut bytes = vec![0; 1 << 20];
        match rustix::io::read(descriptor, &mut bytes) {
            Ok(0) => return (all, None),
            Ok(read) => all.push(bytes[..read].to_vec()),
            Err(error) => return (all, Some(error.raw_os_error())),
        }
    }
}
