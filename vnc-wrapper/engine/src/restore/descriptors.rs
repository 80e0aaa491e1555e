//! Open file descriptions: made here by [`crate::objects`], sent into the first process, inherited by all others, and put in
//! their places.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libc::pid_t;
use rustix::io::IoSlice;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::fault::{self, Step};
use crate::objects::{self, Names, common, epoll, event, file, inotify, memfd, netlink, pipe, signal, timer, unlinked};
use crate::record::Record;
use crate::record::check;
use crate::record::memory::{Backing, Mapping, Origin, SharedObject};
use crate::record::objects::{DescriptorTable, Epoll, Inotify, PipeEnd, Watch};
use crate::record::sockets::UnixSocket;
use crate::remote::Call;
use crate::sys::descriptor;

use super::content::Content;
use super::error::{Error, Object, Result};
use super::files::Files;
use super::first_files::{self, InFirst};
use super::list::List;
use super::made::Made;
use super::sockets::{Makers, Way};
use super::stub::Stub;
use super::terminals;
use super::tree::Forest;

/// Descriptors of one message (SCM_MAX_FD, include/net/scm.h).
const MESSAGE: usize = 250;
const READ: u32 = libc::O_RDONLY as u32;
const WRITE: u32 = libc::O_RDWR as u32;
const DIRECTORY: u32 = (libc::O_PATH | libc::O_DIRECTORY) as u32;

/// What a descriptor in all processes stands for while they are made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    /// An open file description of the content.
    Description(u32),
    /// A shared object of the content.
    Object(u32),
    /// The slave of a pseudo-terminal, while processes are made.
    Slave(u32),
    /// Its file.
    SlaveFile(u32),
    /// Where the newest pid of a pid namespace is written.
    LastPid,
    /// The directory of the kernel's settings.
    Settings,
    /// A file that is mapped, or a directory that somebody stands in; for writing or not.
    Path(Vec<u8>, bool),
}

/// What all processes have open while they are made, in this order from `base` on.
#[derive(Debug, Default)]
pub(super) struct Open {
    numbers: BTreeMap<Key, usize>,
    made: Vec<OwnedFd>,
    /// The first number, above all that any process of the content has. The one below it is the channel.
    base: u32,
    /// How many of them all processes have inherited.
    sent: usize,
}

/// Instances of inotify(7) that do not watch yet.
pub(super) struct Instances(Vec<(Inotify, OwnedFd)>);

impl Instances {
    /// Has them watch, when no file is opened or closed any more.
    pub(super) fn watch(self, files: &dyn Files) -> Result {
        let names = Session { files, open: &Open::default() };
        for (record, made) in self.0 {
            inotify::give_watches(made.as_fd(), &record, &names)?;
        }
        Ok(())
    }
}

/// What records name, for [`crate::objects`].
struct Session<'s> {
    files: &'s dyn Files,
    open: &'s Open,
}

impl Names for Session<'_> {
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd> {
        self.files.open(path, flags)
    }

    fn object(&self, number: u32, flags: u32) -> io::Result<OwnedFd> {
        use rustix::fs::{Mode, OFlags};
        let object = self.open.descriptor(&Key::Object(number)).ok_or(io::ErrorKind::NotFound)?;
        let path = format!("/proc/thread-self/fd/{}", object.as_raw_fd());
        let flags = OFlags::from_bits_retain(flags & file::OPEN_FLAGS);
        Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?)
    }
}

impl From<objects::Error> for Error {
    fn from(error: objects::Error) -> Self {
        match error {
            objects::Error::Call { what, call, error } => Self::Object { what, call, error },
            objects::Error::Refused { what, reason } => Self::Unable { what, why: reason },
        }
    }
}

impl Open {
    /// Makes everything that is referred to; what only a process of the session can make, by the `first` one. `passed`: how far the
    /// time of day has moved since it was saved; `devpts`: the root directories of those of the content.
    pub(super) fn new(
        content: &Content,
        files: &dyn Files,
        passed: Duration,
        devpts: &BTreeMap<u32, OwnedFd>,
        first: (&Stub, &UnixStream),
    ) -> Result<Self> {
        let numbers = content.tables.values().flat_map(|table| table.descriptors.iter());
        let highest = numbers.map(|descriptor| descriptor.number).max().unwrap_or(0);
        // Above those of a message too, which come at the lowest free numbers.
        let mut open = Self { base: (highest + 2).max(MESSAGE as u32 + 3), ..Self::default() };
        let by_descriptor =
            |object: &&SharedObject| !matches!(object.origin, Origin::Anonymous | Origin::SystemV { .. });
        for object in content.objects.values().filter(by_descriptor) {
            let made = match object.origin {
                Origin::File { .. } | Origin::Directory { .. } => {
                    let place = |directory| InFirst::new(first, directory);
                    unlinked::give(object, &Session { files, open: &open }, place)?
                }
                _ => memfd::give(object, |name, flags| first_files::memfd(first.0, name, flags))?,
            };
            open.add(Key::Object(object.id), made)?;
        }
        for pipe in content.pipes.values() {
            let ends: Vec<&PipeEnd> =
                content.descriptions.values().filter_map(|record| end_of(record, pipe.id)).collect();
            let made = pipe::give(pipe, &ends, &Session { files, open: &open })?;
            for (end, made) in ends.iter().zip(made) {
                open.add(Key::Description(end.common.id), made)?;
            }
        }
        for (key, made) in terminals::make(content, devpts)? {
            open.add(key, made)?;
        }
        for (id, record) in &content.descriptions {
            let made = match record {
                // Those that are made with what they are ends of.
                Record::PipeEnd(_) | Record::TerminalEnd(_) => continue,
                Record::File(it) if of_process(&it.path) => continue,
                Record::File(it) => file::give(it, &Session { files, open: &open })?,
                Record::EventFd(it) => event::give(it)?,
                Record::TimerFd(it) => timer::give(it, passed)?,
                Record::SignalFd(it) => signal::give(it)?,
                Record::Epoll(it) => epoll::give(it)?,
                Record::Inotify(it) => inotify::give(it)?,
                // Of processes that are not there yet, or made by them; as are files that `/proc` has of one.
                Record::PidFd(_) | Record::UnixSocket(_) | Record::NetlinkSocket(_) | Record::PosixQueueEnd(_) => {
                    continue;
                }
                Record::TcpSocket(_) | Record::UdpSocket(_) => continue,
                _ => {
                    let what = format!("{} (number {id})", record.kind().name);
                    return Err(Error::unable(what, "this release cannot make it"));
                }
            };
            open.add(Key::Description(*id), made)?;
        }
        if content.last_pid().is_some() {
            // Written to by a process of the session, this is about that one's namespace, wherever it was opened.
            let opened = std::fs::File::options().write(true).open("/proc/sys/kernel/ns_last_pid");
            let opened = opened.map_err(|error| failed("/proc/sys/kernel/ns_last_pid", "open", error))?;
            open.add(Key::LastPid, opened.into())?;
        }
        if content.has_ipc() {
            let opened =
                super::ipc::settings().map_err(|error| failed(crate::ipc::limits::DIRECTORY, "open", error))?;
            open.add(Key::Settings, opened)?;
        }
        for mapping in content.mappings.values().flatten() {
            if let Some((path, write)) = mapped(mapping) {
                open.path(files, path, if write { WRITE } else { READ }, write)?;
            }
        }
        for space in content.spaces.values() {
            open.path(files, &space.executable, READ, false)?;
        }
        for process in content.processes.values().filter(|process| process.space.is_some()) {
            for path in [&process.directory, &process.root] {
                open.path(files, path, DIRECTORY, false)?;
            }
        }
        Ok(open)
    }

    pub(super) fn add(&mut self, key: Key, made: OwnedFd) -> Result {
        self.made.push(made);
        self.numbers.insert(key, self.made.len() - 1);
        fault::point(Step::RestoreGiven).map_err(|error| failed("an open file", "a step", error))
    }

    fn path(&mut self, files: &dyn Files, path: &[u8], flags: u32, write: bool) -> Result {
        let key = Key::Path(path.to_vec(), write);
        if self.numbers.contains_key(&key) {
            return Ok(());
        }
        let opened = files.open(path, flags);
        self.add(key, opened.map_err(|error| failed(&path.escape_ascii().to_string(), "open", error))?)
    }

    /// Names who gets signals of descriptions, once all are there. `find`: a process or thread of the session, as this one
    /// sees it.
    pub(super) fn owners(&self, content: &Content, find: impl Fn(u32) -> Option<pid_t>) -> Result {
        for (id, record) in &content.descriptions {
            let Some(it) = check::common(record) else { continue };
            let Some(made) = self.descriptor(&Key::Description(*id)) else { continue };
            let what = || format!("{} (number {id})", record.kind().name);
            let owner = match it.owner {
                0 => 0,
                owner => find(owner)
                    .ok_or_else(|| Error::unable(what(), format!("{owner}, who gets its signals, is not there")))?,
            };
            common::give_owner(made, it, owner.cast_unsigned())
                .map_err(|error| failed(&what(), "F_SETOWN_EX", error))?;
        }
        Ok(())
    }

    /// Gives shared objects their owners and permissions, with the rights of the first process.
    pub(super) fn own(&self, content: &Content, first: &Stub) -> Result {
        let mut list = List::new(first);
        for object in content.objects.values() {
            let Ok(number) = self.number(&Key::Object(object.id)) else { continue };
            let (user, group) = (object.user.into(), object.group.into());
            list.call(Object::Shared(object.id), libc::SYS_fchown, [number, user, group, 0, 0, 0])?;
            list.call(Object::Shared(object.id), libc::SYS_fchmod, [number, object.mode.into(), 0, 0, 0, 0])?;
        }
        list.run()
    }

    /// The instances of inotify that are to watch, as copies.
    pub(super) fn instances(&self, content: &Content) -> Result<Instances> {
        let mut instances = Vec::new();
        for record in content.descriptions.values() {
            let Record::Inotify(it) = record else { continue };
            let made = self.descriptor(&Key::Description(it.common.id)).filter(|_| !it.watches.is_empty());
            if let Some(copy) = made.map(descriptor::copy) {
                let copy = copy.map_err(|error| failed("an inotify instance", "F_DUPFD_CLOEXEC", error))?;
                instances.push(((**it).clone(), copy));
            }
        }
        Ok(Instances(instances))
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

    /// Makes netlink sockets, in the net namespace of the first process.
    pub(super) fn netlink(&mut self, content: &Content, first: &Stub) -> Result {
        for (id, record) in &content.descriptions {
            let Record::NetlinkSocket(it) = record else { continue };
            let kind = u64::from(it.kind | libc::SOCK_CLOEXEC as u32);
            let call = Call::new(libc::SYS_socket, [libc::AF_NETLINK as u64, kind, it.protocol.into(), 0, 0, 0]);
            let socket = first.take_descriptor(Object::Stub, &call)?;
            self.add(Key::Description(*id), netlink::give(it, socket)?)?;
        }
        Ok(())
    }

    /// Makes what needs processes to be there, `find` having them as this process sees them, and has epoll instances watch.
    pub(super) fn late(&mut self, content: &Content, files: &dyn Files, find: impl Fn(u32) -> Option<pid_t>) -> Result {
        for (id, record) in &content.descriptions {
            let open = |id: u32, thread: bool| {
                let there = find(id).ok_or(io::ErrorKind::NotFound)?;
                objects::process::open(there.cast_unsigned(), thread)
            };
            let made = match record {
                Record::PidFd(it) => objects::process::give(it, open)?,
                Record::File(it) if of_process(&it.path) => file::give(it, &Session { files, open: self })?,
                _ => continue,
            };
            self.add(Key::Description(*id), made)?;
        }
        for record in content.descriptions.values() {
            let Record::Epoll(it) = record else { continue };
            let Some(made) = self.descriptor(&Key::Description(it.common.id)) else { continue };
            let own = |watch: &&Watch| !in_process(content, it.common.id, watch);
            let watches: Vec<Watch> = it.watches.iter().filter(own).cloned().collect();
            let rest = Epoll { common: it.common.clone(), watches: watches.try_into().unwrap_or_default() };
            epoll::give_watches(made, &rest, |id| self.descriptor(&Key::Description(id)))?;
        }
        Ok(())
    }

    /// Has all Unix sockets made by the processes, none of which has ended or been stopped yet.
    pub(super) fn sockets(&mut self, content: &Content, forest: &Forest<'_>, way: Way<'_>, made: &mut Made) -> Result {
        let records: Vec<UnixSocket> = content.sockets().cloned().collect();
        if records.is_empty() {
            return Ok(());
        }
        let makers = Makers::new(content, forest, Way { end: u64::from(self.base) - 1, ..way }, made);
        let find = |id| self.descriptor(&Key::Description(id));
        let given = objects::unix::give::give(&records, &makers, find)?;
        makers.end()?;
        for (id, socket) in given {
            self.add(Key::Description(id), socket)?;
        }
        Ok(())
    }

    /// Sends everything into the first process, from `base` on; its end of the channel is then below that.
    pub(super) fn send(&mut self, stub: &Stub, channel: &UnixStream) -> Result {
        let all: Vec<usize> = (0..self.made.len()).collect();
        self.transfer(stub, channel, 0, &all)?;
        let place = u64::from(self.base) - 1;
        stub.call(Object::Stub, &Call::new(libc::SYS_dup3, [0, place, 0, 0, 0, 0]))?;
        stub.call(Object::Stub, &close_range(0, place - 1))?;
        self.sent = self.made.len();
        stub.point(Object::Stub, Step::RestoreSent)
    }

    /// Sends those of `places` to a process whose end of the channel is `end`.
    fn transfer(&self, stub: &Stub, channel: &UnixStream, end: u64, places: &[usize]) -> Result {
        for some in places.chunks(MESSAGE) {
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|place| self.made[*place].as_fd()).collect();
            message(channel, &descriptors)?;
            let numbers: Vec<u64> = some.iter().map(|place| u64::from(self.base) + *place as u64).collect();
            receive(stub, end, &numbers)?;
        }
        Ok(())
    }

    /// Puts the descriptors of a table in their places and closes everything else.
    pub(super) fn place(
        &self,
        stub: &Stub,
        table: &DescriptorTable,
        content: &Content,
        channel: &UnixStream,
    ) -> Result {
        let place = |id| self.numbers.get(&Key::Description(id)).copied();
        let late: BTreeSet<usize> = table.descriptors.iter().filter_map(|it| place(it.description)).collect();
        let late: Vec<usize> = late.into_iter().filter(|place| *place >= self.sent).collect();
        self.transfer(stub, channel, u64::from(self.base) - 1, &late)?;
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
        for descriptor in table.descriptors.iter() {
            let Some(Record::Epoll(it)) = content.descriptions.get(&descriptor.description) else { continue };
            for watch in it.watches.iter().filter(|watch| holder(content, it.common.id, watch) == Some(table.id)) {
                // struct epoll_event, which is packed on this processor.
                let event = [&watch.events.to_ne_bytes()[..], &watch.data.to_ne_bytes()].concat();
                let [epoll, number] = [descriptor.number, watch.number].map(u64::from);
                let add = libc::EPOLL_CTL_ADD as u64;
                let object = Object::Descriptor(descriptor.number);
                list.with(object, libc::SYS_epoll_ctl, &[&event], |at| [epoll, add, number, at[0], 0, 0])?;
            }
        }
        list.run()?;
        stub.point(Object::Stub, Step::RestorePlaced)
    }
}

/// Has a process take the locks that its table has, and leases: after everything that closes files, which would release them, and
/// with its own user, who has to own what is leased.
pub(super) fn lock(stub: &Stub, table: &DescriptorTable) -> Result {
    let mut list = List::new(stub);
    for lock in table.locks.iter() {
        let (number, kind) = (u64::from(lock.descriptor), if lock.exclusive { libc::F_WRLCK } else { libc::F_RDLCK });
        let object = Object::Descriptor(lock.descriptor);
        let Some(range) = &lock.range else {
            list.call(object, libc::SYS_fcntl, [number, libc::F_SETLEASE as u64, kind as u64, 0, 0, 0])?;
            continue;
        };
        // struct flock: kind and whence, start, length, pid. Length 0 is to the end.
        let length = range.last.and_then(|last| last.checked_sub(range.start)?.checked_add(1)).unwrap_or(0);
        let words = [kind as u64, range.start, length, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        list.with(object, libc::SYS_fcntl, &[&bytes], |at| [number, libc::F_SETLK as u64, at[0], 0, 0, 0])?;
    }
    list.run()
}

pub(super) fn close_range(first: u64, last: u64) -> Call {
    Call::new(libc::SYS_close_range, [first, last, 0, 0, 0, 0])
}

/// Whether a process has to watch for itself: a signalfd wakes whom it was watched by, for signals of that process.
fn in_process(content: &Content, epoll: u32, watch: &Watch) -> bool {
    holder(content, epoll, watch).is_some()
}

/// The first table in which a process can watch for itself, if it has to.
fn holder(content: &Content, epoll: u32, watch: &Watch) -> Option<u32> {
    let signals = matches!(content.descriptions.get(&watch.description), Some(Record::SignalFd(_)));
    let has = |table: &&DescriptorTable| {
        let mut all = table.descriptors.iter();
        all.clone().any(|it| it.description == epoll)
            && all.any(|it| it.number == watch.number && it.description == watch.description)
    };
    content.tables.values().filter(|_| signals).find(has).map(|table| table.id)
}

/// Sends descriptors, no more than [`MESSAGE`].
pub(super) fn message(channel: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> Result {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    let sent = sendmsg(channel, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::NOSIGNAL);
    sent.map(drop).map_err(|error| failed("the open files", "sendmsg", error.into()))
}

/// Gives the first process, whose end of the channel is descriptor 0, a descriptor with that number, which must be above 1.
pub(super) fn hand_over(first: &Stub, channel: &UnixStream, descriptor: impl AsFd, number: u64) -> Result {
    message(channel, &[descriptor.as_fd()])?;
    receive(first, 0, &[number])
}

/// Has a process receive descriptors from `end` and put them at `numbers`.
fn receive(stub: &Stub, end: u64, numbers: &[u64]) -> Result {
    let mut list = List::new(stub);
    for (to, number) in numbers.iter().zip(received(stub, end, numbers.len())?) {
        list.call(Object::Stub, libc::SYS_dup3, [number, *to, 0, 0, 0, 0])?;
        list.call(Object::Stub, libc::SYS_close, [number, 0, 0, 0, 0, 0])?;
    }
    list.run()
}

/// Has a process receive so many descriptors from `end`; their numbers there.
pub(super) fn received(stub: &Stub, end: u64, count: usize) -> Result<Vec<u64>> {
    let (object, data) = (Object::Stub, stub.area().data());
    // struct msghdr, struct iovec, a byte, and the control message (recvmsg(2), cmsg(3)).
    let (vector, byte, control) = (data + 64, data + 96, data + 112);
    let control_length = 16 + (4 * count as u64).next_multiple_of(8);
    let header = [0, 0, vector, 1, control, control_length, 0];
    let bytes: Vec<u8> = header.iter().chain([0, byte, 1].iter()).flat_map(|word: &u64| word.to_ne_bytes()).collect();
    stub.write(object, data, &bytes[..56])?;
    stub.write(object, vector, &bytes[64..])?;
    let flags = libc::MSG_DONTWAIT as u64;
    stub.call(object, &Call::new(libc::SYS_recvmsg, [end, data, flags, 0, 0, 0]))?;
    let mut got = vec![0; 16 + 4 * count];
    stub.read(object, control, &mut got)?;
    let length = u64::from_ne_bytes(got[..8].try_into().unwrap_or_default());
    if length != got.len() as u64 {
        let error = io::Error::other(format!("{length} bytes of descriptors instead of {}", got.len()));
        return Err(stub.failed(object, "recvmsg", error));
    }
    let number = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().unwrap_or_default()) as u64;
    Ok(got[16..].chunks_exact(4).map(number).collect())
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

/// Whether a path leads to what `/proc` shows of one process, which has to be there first.
fn of_process(path: &[u8]) -> bool {
    path.strip_prefix(b"/proc/").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}

/// The end of that pipe, if the description is one.
fn end_of(record: &Record, pipe: u32) -> Option<&PipeEnd> {
    match record {
        Record::PipeEnd(end) if end.pipe == pipe => Some(end),
        _ => None,
    }
}
