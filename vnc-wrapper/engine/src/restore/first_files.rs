//! Files without a name and memfds are made by the first process. A file system of the session's user namespace takes none from
//! who has no ids there (EOVERFLOW), and the session may not change the owner of what belongs to nobody in it (EPERM).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use libc::c_long;
use rustix::fs::{AtFlags, MemfdFlags, OFlags};

use crate::objects::unlinked::Place;
use crate::remote::Call;

use super::descriptors::hand_over;
use super::error::{Error, Object};
use super::stub::Stub;

/// The directory's number in the first process, which has its end of the channel at 0. Sending all files closes it.
const DIRECTORY: u64 = 2;
/// Until they have their own.
const MODE: u64 = 0o700;

/// A directory in the first process.
pub(super) struct InFirst<'s>(&'s Stub);

impl<'s> InFirst<'s> {
    pub(super) fn new((first, channel): (&'s Stub, &UnixStream), directory: OwnedFd) -> io::Result<Self> {
        hand_over(first, channel, directory, DIRECTORY).map_err(|error| as_io(&error))?;
        Ok(Self(first))
    }

    /// The call with that number on the directory and `name`, with two more arguments.
    fn call(&self, number: c_long, name: &str, rest: [u64; 2]) -> io::Result<Call> {
        let at = self.0.area().data();
        self.0.write(Object::Stub, at, &[name.as_bytes(), &[0]].concat()).map_err(|error| as_io(&error))?;
        Ok(Call::new(number, [DIRECTORY, at, rest[0], rest[1], 0, 0]))
    }
}

impl Place for InFirst<'_> {
    fn open(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let call = self.call(libc::SYS_openat, name, [flags.bits().into(), MODE])?;
        self.0.take_descriptor(Object::Stub, &call).map_err(|error| as_io(&error))
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        let call = self.call(libc::SYS_mkdirat, name, [MODE, 0])?;
        self.0.call(Object::Stub, &call).map(drop).map_err(|error| as_io(&error))
    }

    fn remove(&self, name: &str, flags: AtFlags) -> io::Result<()> {
        let call = self.call(libc::SYS_unlinkat, name, [flags.bits().into(), 0])?;
        self.0.call(Object::Stub, &call).map(drop).map_err(|error| as_io(&error))
    }
}

/// memfd_create(2) in the first process.
pub(super) fn memfd(first: &Stub, name: &[u8], flags: MemfdFlags) -> io::Result<OwnedFd> {
    let at = first.area().data();
    first.write(Object::Stub, at, &[name, &[0]].concat()).map_err(|error| as_io(&error))?;
    let call = Call::new(libc::SYS_memfd_create, [at, flags.bits().into(), 0, 0, 0, 0]);
    first.take_descriptor(Object::Stub, &call).map_err(|error| as_io(&error))
}

/// What the kernel said, where it did: callers ask for the number.
fn as_io(error: &Error) -> io::Error {
    error.number().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}
