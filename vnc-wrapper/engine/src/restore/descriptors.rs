//! Open file descriptions: made here, sent into the first process, inherited by all others, and put in their places.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::EventfdFlags;
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::io::IoSlice;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::PipeFlags;

use crate::fault::{self, Step};
use crate::record::Record;
use crate::record::memory::{Backing, Mapping, Origin, SharedObject};
use crate::record::objects::{Content as Where, DescriptorTable, FileDescription, Pipe, PipeEnd};
use crate::remote::Call;

use super::content::Content;
use super::error::{Error, Object, Result};
use super::files::Files;
use super::list::List;
use super::stub::Stub;

/// Flags that only open(2) looks at: what they did is done.
const ONCE: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::TRUNC).union(OFlags::NOCTTY);
/// Descriptors of one message (SCM_MAX_FD, include/net/scm.h).
const MESSAGE: usize = 250;

/// What a descriptor in all processes stands for while they are made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    /// An open file description of the content.
    Description(u32),
    /// A shared object of the content.
    Object(u32),
    /// A file that is mapped, or a directory that somebody stands in; for writing or not.
    Path(Vec<u8>, bool),
}

/// What all processes have open while they are made, in this order from [`Open::base`] on.
#[derive(Debug, Default)]
pub(super) struct Open {
    numbers: BTreeMap<Key, usize>,
    made: Vec<OwnedFd>,
    /// The first number, above all that any process of the content has.
    base: u32,
}

impl Open {
    /// Makes everything that is referred to.
    pub(super) fn new(content: &Content, files: &dyn Files) -> Result<Self> {
        let numbers = content.tables.values().flat_map(|table| table.descriptors.iter());
        let highest = numbers.map(|descriptor| descriptor.number).max().unwrap_or(0);
        // Above those of a message too, which come at the lowest free numbers.
        let mut open = Self { base: (highest + 1).max(MESSAGE as u32 + 2), ..Self::default() };
        for object in content.objects.values() {
            open.add(Key::Object(object.id), shared(object))?;
        }
        let mut pipes: BTreeMap<u32, [OwnedFd; 2]> = BTreeMap::new();
        for pipe in content.pipes.values() {
            let ends = make_pipe(pipe);
            pipes.insert(pipe.id, ends.map_err(|error| failed(&format!("pipe {}", pipe.id), "pipe2", error))?);
        }
        for (id, record) in &content.descriptions {
            let what = format!("{} (number {id})", record.kind().name);
            let made = match record {
                Record::File(file) => open.file(file, files),
                Record::PipeEnd(end) => pipe_end(end, pipes.get(&end.pipe), content.pipes.get(&end.pipe)),
                Record::EventFd(event) => {
                    let kind = if event.semaphore { EventfdFlags::SEMAPHORE } else { EventfdFlags::empty() };
                    eventfd(event.count, kind, event.common.flags)
                }
                _ => return Err(Error::unable(what, "this release cannot make it")),
            };
            open.add(Key::Description(*id), made.map_err(|(call, error)| failed(&what, call, error)))?;
        }
        for mapping in content.mappings.values().flatten() {
            if let Some((path, write)) = mapped(mapping) {
                open.path(files, path, if write { OFlags::RDWR } else { OFlags::RDONLY }, write)?;
            }
        }
        for space in content.spaces.values() {
            open.path(files, &space.executable, OFlags::RDONLY, false)?;
        }
        for process in content.processes.values().filter(|process| process.space.is_some()) {
            for path in [&process.directory, &process.root] {
                open.path(files, path, OFlags::PATH | OFlags::DIRECTORY, false)?;
            }
        }
        Ok(open)
    }

    fn add(&mut self, key: Key, made: Result<OwnedFd>) -> Result {
        self.made.push(made?);
        self.numbers.insert(key, self.made.len() - 1);
        fault::point(Step::RestoreGiven).map_err(|error| failed("an open file", "a step", error))
    }

    fn path(&mut self, files: &dyn Files, path: &[u8], flags: OFlags, write: bool) -> Result {
        let key = Key::Path(path.to_vec(), write);
        if self.numbers.contains_key(&key) {
            return Ok(());
        }
        let opened = files.open(path, flags);
        self.add(key, opened.map_err(|error| failed(&path.escape_ascii().to_string(), "open", error)))
    }

    fn file(
        &self,
        file: &FileDescription,
        files: &dyn Files,
    ) -> std::result::Result<OwnedFd, (&'static str, io::Error)> {
        let flags = OFlags::from_bits_retain(file.common.flags).difference(ONCE | OFlags::CLOEXEC);
        let opened = match file.content {
            Where::Named => files.open(&file.path, flags),
            Where::Object { object } => match self.numbers.get(&Key::Object(object)).map(|at| &self.made[*at]) {
                Some(object) => again(object.as_fd(), flags),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            Where::Unlinked { .. } => Err(io::Error::new(io::ErrorKind::Unsupported, "it has no name any more")),
        };
        let opened = opened.map_err(|error| ("open", error))?;
        if file.position > 0 && !flags.contains(OFlags::PATH) {
            rustix::fs::seek(&opened, rustix::fs::SeekFrom::Start(file.position.cast_unsigned()))
                .map_err(|error| ("lseek", error.into()))?;
        }
        Ok(opened)
    }

    /// The number of `key` in all processes.
    pub(super) fn number(&self, key: &Key) -> Result<u64> {
        let at = self.numbers.get(key).ok_or_else(|| Error::unable(format!("{key:?}"), "it was not opened"))?;
        Ok(u64::from(self.base) + *at as u64)
    }

    /// What is open here under `key`.
    pub(super) fn descriptor(&self, key: &Key) -> Option<BorrowedFd<'_>> {
        self.numbers.get(key).map(|at| self.made[*at].as_fd())
    }

    /// Sends everything into the first process, from [`Open::base`] on, and closes its end of the channel.
    pub(super) fn send(&self, stub: &Stub, channel: &UnixStream) -> Result {
        let mut at = u64::from(self.base);
        for some in self.made.chunks(MESSAGE) {
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            sendmsg(channel, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::NOSIGNAL)
                .map_err(|error| failed("the open files", "sendmsg", error.into()))?;
            at = receive(stub, some.len(), at)?;
        }
        stub.call(Object::Stub, &close_range(0, u64::from(self.base) - 1))?;
        stub.point(Object::Stub, Step::RestoreSent)
    }

    /// Puts the descriptors of a table in their places and closes everything else.
    pub(super) fn place(&self, stub: &Stub, table: &DescriptorTable) -> Result {
        let mut list = List::new(stub);
        let mut free = 0;
        for descriptor in table.descriptors.iter() {
            let object = Object::Descriptor(descriptor.number);
            let from = self.number(&Key::Description(descriptor.description))?;
            let number = u64::from(descriptor.number);
            let flags = if descriptor.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
            list.call(object, libc::SYS_dup3, [from, number, flags, 0, 0, 0])?;
            if free < number {
                let call = close_range(free, number - 1);
                list.call(object, libc::SYS_close_range, call.arguments)?;
            }
            free = number + 1;
        }
        list.call(Object::Stub, libc::SYS_close_range, close_range(free, u64::from(u32::MAX)).arguments)?;
        list.run()
    }
}

fn close_range(first: u64, last: u64) -> Call {
    Call::new(libc::SYS_close_range, [first, last, 0, 0, 0, 0])
}

/// Has the first process receive `count` descriptors and put them at `at` and behind; what is behind those.
fn receive(stub: &Stub, count: usize, at: u64) -> Result<u64> {
    let (object, data) = (Object::Stub, stub.area().data());
    // struct msghdr, struct iovec, a byte, and the control message (recvmsg(2), cmsg(3)).
    let (vector, byte, control) = (data + 64, data + 96, data + 112);
    let control_length = 16 + (4 * count as u64).next_multiple_of(8);
    let header = [0, 0, vector, 1, control, control_length, 0];
    let bytes: Vec<u8> = header.iter().chain([0, byte, 1].iter()).flat_map(|word: &u64| word.to_ne_bytes()).collect();
    stub.write(object, data, &bytes[..56])?;
    stub.write(object, vector, &bytes[64..])?;
    let flags = libc::MSG_DONTWAIT as u64;
    stub.call(object, &Call::new(libc::SYS_recvmsg, [0, data, flags, 0, 0, 0]))?;
    let mut got = vec![0; 16 + 4 * count];
    stub.read(object, control, &mut got)?;
    let length = u64::from_ne_bytes(got[..8].try_into().unwrap_or_default());
    if length != got.len() as u64 {
        let error = io::Error::other(format!("{length} bytes of descriptors instead of {}", got.len()));
        return Err(stub.failed(object, "recvmsg", error));
    }
    let mut list = List::new(stub);
    for (place, number) in got[16..].chunks_exact(4).enumerate() {
        let number = i32::from_ne_bytes(number.try_into().unwrap_or_default());
        list.call(object, libc::SYS_dup3, [number as u64, at + place as u64, 0, 0, 0, 0])?;
        list.call(object, libc::SYS_close, [number as u64, 0, 0, 0, 0, 0])?;
    }
    list.run()?;
    Ok(at + count as u64)
}

fn failed(what: &str, call: &'static str, error: io::Error) -> Error {
    Error::Object { what: what.to_owned(), call, error }
}

/// The file that a mapping shows, and whether it has to be open for writing.
pub(super) fn mapped(mapping: &Mapping) -> Option<(&[u8], bool)> {
    match &mapping.backing {
        Backing::PrivateFile { path, .. } => Some((path, false)),
        Backing::SharedFile { path, .. } => {
            let may_write = mapping.protection & libc::PROT_WRITE as u32 != 0 || has(mapping, b"mw");
            Some((path, may_write))
        }
        _ => None,
    }
}

/// Whether a mapping has that letter pair of `VmFlags`.
pub(super) fn has(mapping: &Mapping, letters: &[u8; 2]) -> bool {
    mapping.advice.chunks_exact(2).any(|pair| pair == letters)
}

fn shared(object: &SharedObject) -> Result<OwnedFd> {
    let what = format!("shared object {}", object.id);
    let name = match &object.origin {
        Origin::Anonymous => b"anonymous".to_vec(),
        Origin::Memfd { name, flags: _ } => name.to_vec(),
        Origin::SystemV { .. } => return Err(Error::unable(what, "this release cannot make System V memory")),
    };
    let made = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let made = made.map_err(|error| failed(&what, "memfd_create", error.into()))?;
    rustix::fs::ftruncate(&made, object.size).map_err(|error| failed(&what, "ftruncate", error.into()))?;
    Ok(made)
}

/// Seals shared memory, once it is filled and mapped.
pub(super) fn seal(object: &SharedObject, descriptor: BorrowedFd<'_>) -> Result {
    let seals = SealFlags::from_bits_retain(object.seals);
    rustix::fs::fcntl_add_seals(descriptor, seals)
        .map_err(|error| failed(&format!("shared object {}", object.id), "F_ADD_SEALS", error.into()))
}

fn make_pipe(pipe: &Pipe) -> io::Result<[OwnedFd; 2]> {
    if pipe.path.is_some() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is a FIFO"));
    }
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    rustix::pipe::fcntl_setpipe_size(&write, pipe.capacity as usize)?;
    for piece in pipe.queue.iter() {
        let written = rustix::io::write(&write, piece)?;
        if written != piece.len() {
            return Err(io::Error::other(format!("{written} of {} bytes went into it", piece.len())));
        }
    }
    Ok([read, write])
}

fn pipe_end(
    end: &PipeEnd,
    ends: Option<&[OwnedFd; 2]>,
    _pipe: Option<&Pipe>,
) -> std::result::Result<OwnedFd, (&'static str, io::Error)> {
    let Some([read, write]) = ends else { return Err(("pipe2", io::ErrorKind::NotFound.into())) };
    let flags = OFlags::from_bits_retain(end.common.flags).difference(OFlags::CLOEXEC);
    let from = if flags.contains(OFlags::WRONLY) { write } else { read };
    again(from.as_fd(), flags).map_err(|error| ("open", error))
}

/// Another open file description of what `descriptor` shows.
fn again(descriptor: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/thread-self/fd/{}", descriptor.as_raw_fd());
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, rustix::fs::Mode::empty())?)
}

fn eventfd(count: u64, kind: EventfdFlags, flags: u32) -> std::result::Result<OwnedFd, (&'static str, io::Error)> {
    let made = rustix::event::eventfd(0, kind | EventfdFlags::CLOEXEC).map_err(|error| ("eventfd2", error.into()))?;
    if count > 0 {
        rustix::io::write(&made, &count.to_ne_bytes()).map_err(|error| ("write", error.into()))?;
    }
    let flags = OFlags::from_bits_retain(flags) & (OFlags::NONBLOCK | OFlags::APPEND);
    rustix::fs::fcntl_setfl(&made, flags).map_err(|error| ("fcntl", error.into()))?;
    Ok(made)
}
