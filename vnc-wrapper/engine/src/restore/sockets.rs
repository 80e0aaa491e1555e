//! Who makes Unix sockets: the processes themselves, for the kernel shows peers who listened, connected or made a pair.
//!
//! ```text
//! who made it            is in the content           has ended
//! calls are made by      its stub                    a temporary process with that pid
//! ```
//!
//! The caller takes the user and group that are to be shown for the time of the call and keeps its capabilities. A socket that a
//! call is about is sent there and closed afterwards; so is the file of the one that it leads to.
//!
//! Names of files are bound by a process that is there only for that, which goes into a new directory beside the file's place as its
//! root: there the name is free, whatever it is. Then the file gets owner, permissions and times of the one that stands in its place and
//! replaces it, or is removed where it had no place any more. Nothing else that stands under the name is touched.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::objects::unix::calls::Calls;
use crate::objects::unix::place::Door;
use crate::record::process::Process;
use crate::record::sockets::Sender;
use crate::remote::Call;
use crate::sys::unix::{self, Credentials};
use crate::sys::{control, pidfd};

use super::area::DATA;
use super::content::{Content, pid};
use super::descriptors::{close_range, message, received};
use super::error::{Error, Object, Result};
use super::list::List;
use super::made::Made;
use super::rights::{self, KEEP};
use super::stub::Stub;
use super::tree::{self, Forest};

const SOCKET: Object = Object::Socket;
const HERE: u64 = libc::AT_FDCWD as u64;
/// An id that is not changed.
const SAME: u64 = u32::MAX as u64;
/// Where pieces of what a call reads stand in the data.
const PIECE: u64 = 8192;
/// The most descriptors that are sent at once (SCM_MAX_FD, include/net/scm.h).
const MESSAGE: usize = 250;
/// How many names for a directory are tried.
const NAMES: u32 = 1000;
/// What a file is called while it is on its way.
const WAY: &[u8] = b".socket";

/// How descriptors come into a process.
#[derive(Clone, Copy)]
pub(super) struct Way<'w> {
    /// The first process.
    pub(super) first: &'w Stub,
    pub(super) channel: &'w UnixStream,
    /// The number of the other end of the channel in all processes; those below it are free.
    pub(super) end: u64,
}

/// The processes that make sockets.
pub(super) struct Makers<'m> {
    content: &'m Content,
    forest: &'m Forest<'m>,
    way: Way<'m>,
    made: RefCell<&'m mut Made>,
    /// Processes that have their groups.
    grouped: RefCell<BTreeSet<u32>>,
    /// Who binds, and its descriptor of the session's root.
    binder: RefCell<Option<(Stub, u64)>>,
    /// Names of directories that were taken.
    names: Cell<u32>,
}

/// What [`Calls`] answers.
fn answer<T>(result: Result<T>) -> io::Result<T> {
    result.map_err(io::Error::other)
}

impl<'m> Makers<'m> {
    pub(super) fn new(content: &'m Content, forest: &'m Forest<'m>, way: Way<'m>, made: &'m mut Made) -> Self {
        Self {
            content,
            forest,
            way,
            made: RefCell::new(made),
            grouped: RefCell::default(),
            binder: RefCell::default(),
            names: Cell::new(0),
        }
    }

    /// Ends who was there for this only.
    pub(super) fn end(self) -> Result {
        match self.binder.into_inner() {
            Some((binder, _)) => tree::dismiss(self.way.first, &binder, self.made.into_inner()),
            None => Ok(()),
        }
    }

    /// Sends descriptors to `stub`, which has them at the numbers that `work` gets, and closes them afterwards.
    fn with<T>(
        &self,
        stub: &Stub,
        descriptors: &[BorrowedFd<'_>],
        work: impl FnOnce(&[u64]) -> Result<T>,
    ) -> Result<T> {
        let mut numbers = Vec::new();
        for some in descriptors.chunks(MESSAGE) {
            message(self.way.channel, some)?;
            numbers.extend(received(stub, self.way.end, some.len())?);
        }
        let done = work(&numbers)?;
        self.close(stub)?;
        Ok(done)
    }

    /// Closes everything but what is there for all.
    fn close(&self, stub: &Stub) -> Result {
        stub.call(SOCKET, &close_range(0, self.way.end - 1)).map(drop)
    }

    /// Has `who` do `work`, with the right user and group; without one, the first process does it as it is.
    fn speaking<T>(&self, who: Option<&Sender>, work: impl FnOnce(&Stub, &Sender) -> Result<T>) -> Result<T> {
        let nobody = Sender::default();
        let Some(who) = who else { return work(self.way.first, &nobody) };
        if who.pid == 0 {
            return Err(Error::unable("a Unix socket", "a process outside of the session has made it"));
        }
        if let Some(stub) = self.forest.stubs.get(&who.pid.cast_signed()) {
            self.group(stub, who.pid)?;
            return work(stub, who);
        }
        tree::with_helper(self.way.first, who.pid, &mut self.made.borrow_mut(), |stub| work(stub, who))
    }

    /// Gives a process the groups that it had.
    fn group(&self, stub: &Stub, pid: u32) -> Result {
        let process = self.content.by_pid(pid.cast_signed()).filter(|_| self.grouped.borrow_mut().insert(pid));
        let thread = process.and_then(|process| self.content.threads(process.id).first());
        let credentials = thread.and_then(|thread| self.content.credentials.get(&thread.credentials));
        credentials.map_or(Ok(()), |wanted| rights::groups(stub, wanted))
    }

    /// Who binds, and its descriptor of the root directory.
    fn binder(&self) -> Result<(Stub, u64)> {
        if let Some(binder) = &*self.binder.borrow() {
            return Ok(binder.clone());
        }
        let stub = tree::helper(self.way.first, self.forest.free, 0, &mut self.made.borrow_mut())?;
        let root = Files(&stub).open(b"/", libc::O_DIRECTORY)?;
        // Out of the way of what is closed.
        let place = self.way.end;
        stub.call(SOCKET, &Call::new(libc::SYS_fcntl, [root, libc::F_DUPFD as u64, place, 0, 0, 0]))
            .and_then(|root| self.close(&stub).map(|()| (stub, root)))
            .inspect(|binder| drop(self.binder.borrow_mut().replace(binder.clone())))
    }

    /// Binds to the name of a file; see the head of this module. Returns a descriptor of the file.
    fn bind_file(&self, socket: BorrowedFd<'_>, name: &[u8], place: Option<&[u8]>, mode: u32) -> Result<OwnedFd> {
        let (stub, root) = self.binder()?;
        let files = Files(&stub);
        let (near, top) = self.directory(&files, name, place)?;
        // The times of the directory stay as they are.
        let before = files.stat(&near)?;
        let file = self.with(&stub, &[socket], |numbers| {
            let top_number = files.open(&top, libc::O_DIRECTORY)?;
            files.enter(top_number)?;
            let mut made = Vec::new();
            let bound = bind_below(&files, numbers[0], name, &mut made);
            for path in made.iter().rev() {
                files.remove(path, true)?;
            }
            files.enter(root)?;
            bound
        });
        let from = [&top[..], b"/", WAY].concat();
        let settled = file.and_then(|file| files.settle(&from, place, mode).map(|()| file));
        files.remove(&top, true)?;
        if let Some(before) = before {
            files.set_times(&near, &before)?;
        }
        settled
    }

    /// Makes a directory in which a name can be bound, beside `place`: a file cannot be moved to another file system. Returns the
    /// directory that it is in, too.
    fn directory(&self, files: &Files<'_>, name: &[u8], place: Option<&[u8]>) -> Result<(Vec<u8>, Vec<u8>)> {
        let near: Vec<&[u8]> = match place {
            Some(place) => vec![parent(place)],
            // Any that takes one, for the file goes.
            None if name.first() == Some(&b'/') => vec![parent(name), b"/tmp", b"/run", b"/dev/shm", b"/"],
            None => vec![b"/tmp", b"/run", b"/dev/shm", b"/"],
        };
        let mut last = None;
        for near in near {
            for _ in 0..NAMES {
                let number = self.names.replace(self.names.get() + 1);
                let top = [near, format!("/.freezeframe-{number}").as_bytes()].concat();
                match files.make(&top, 0o700) {
                    Ok(true) => return Ok((near.to_vec(), top)),
                    Ok(false) => {}
                    Err(error) => {
                        last = Some(error);
                        break;
                    }
                }
            }
        }
        Err(last
            .unwrap_or_else(|| Error::unable("a Unix socket", "there is no free name for a directory to bind it in")))
    }
}

/// The directory of an absolute path.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => b"/",
        Some(at) => &path[..at],
    }
}

/// Binds in a root directory that holds nothing, and brings the file to its top under the name [`WAY`]. `made`: directories that were made.
fn bind_below(files: &Files<'_>, socket: u64, name: &[u8], made: &mut Vec<Vec<u8>>) -> Result<OwnedFd> {
    let mut start = Vec::new();
    if name.first() != Some(&b'/') {
        // As deep as the name leads up.
        let up = name.split(|byte| *byte == b'/').filter(|part| *part == b"..").count();
        for _ in 0..=up {
            start.extend(b"/x");
            files.make(&start, 0o700)?;
            made.push(start.clone());
        }
        files.change_directory(&start)?;
        start.push(b'/');
    }
    for at in (1..name.len()).filter(|at| name[*at] == b'/' && name[at - 1] != b'/') {
        let path = [&start[..], &name[..at]].concat();
        if files.make(&path, 0o700)? {
            made.push(path);
        }
    }
    let address = unix::address(name).map_err(|error| files.0.failed(SOCKET, "bind", error))?;
    files.call(libc::SYS_bind, &[&address], |at| [socket, at[0], address.len() as u64, 0, 0, 0])?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = files.0.take_descriptor(SOCKET, &files.open_call(name, flags)?)?;
    files.rename(name, &[b"/", WAY].concat())?;
    Ok(file)
}

/// A file's owner, permissions and times, as statx(2) says them.
struct Stat {
    mode: u32,
    user: u32,
    group: u32,
    /// Two `struct timespec`: of the last access and change of content.
    times: [u8; 32],
}

/// Calls about files in a process of the session.
struct Files<'s>(&'s Stub);

impl Files<'_> {
    /// Has it make a call that reads `pieces`.
    fn ask(&self, number: libc::c_long, pieces: &[&[u8]], arguments: impl FnOnce(&[u64]) -> [u64; 6]) -> Result<Call> {
        let mut places = Vec::new();
        for (piece, at) in pieces.iter().zip(0..) {
            let place = self.0.area().data() + at * PIECE;
            if piece.len() as u64 > PIECE {
                return Err(self.0.failed(SOCKET, "write its arguments", io::ErrorKind::InvalidInput.into()));
            }
            self.0.write(SOCKET, place, piece)?;
            places.push(place);
        }
        self.0.make(SOCKET, &Call::new(number, arguments(&places))).map(|(call, _)| call)
    }

    /// [`Self::ask`], which has to succeed.
    fn call(&self, number: libc::c_long, pieces: &[&[u8]], arguments: impl FnOnce(&[u64]) -> [u64; 6]) -> Result<u64> {
        let call = self.ask(number, pieces, arguments)?;
        match call.error() {
            None => Ok(call.result as u64),
            Some(error) => Err(self.0.failed_call(SOCKET, &call, error)),
        }
    }

    fn open_call(&self, path: &[u8], flags: i32) -> Result<Call> {
        let place = self.0.area().data();
        self.0.write(SOCKET, place, &text(path))?;
        Ok(Call::new(libc::SYS_openat, [HERE, place, flags as u64, 0, 0, 0]))
    }

    fn open(&self, path: &[u8], flags: i32) -> Result<u64> {
        self.0.call(SOCKET, &self.open_call(path, flags | libc::O_PATH | libc::O_CLOEXEC)?)
    }

    /// Makes a directory; false: there is something.
    fn make(&self, path: &[u8], mode: u64) -> Result<bool> {
        let made = self.ask(libc::SYS_mkdirat, &[&text(path)], |at| [HERE, at[0], mode, 0, 0, 0])?;
        match made.error() {
            None => Ok(true),
            Some(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Some(error) => Err(self.0.failed_call(SOCKET, &made, error)),
        }
    }

    fn remove(&self, path: &[u8], directory: bool) -> Result {
        let flags = if directory { libc::AT_REMOVEDIR as u64 } else { 0 };
        self.call(libc::SYS_unlinkat, &[&text(path)], |at| [HERE, at[0], flags, 0, 0, 0]).map(drop)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result {
        self.call(libc::SYS_renameat, &[&text(from), &text(to)], |at| [HERE, at[0], HERE, at[1], 0, 0]).map(drop)
    }

    fn change_directory(&self, path: &[u8]) -> Result {
        self.call(libc::SYS_chdir, &[&text(path)], |at| [at[0], 0, 0, 0, 0, 0]).map(drop)
    }

    /// Makes a directory its root and working directory.
    fn enter(&self, number: u64) -> Result {
        self.call(libc::SYS_fchdir, &[], |_| [number, 0, 0, 0, 0, 0])?;
        self.call(libc::SYS_chroot, &[b".\0"], |at| [at[0], 0, 0, 0, 0, 0]).map(drop)
    }

    /// None: there is nothing.
    fn stat(&self, path: &[u8]) -> Result<Option<Stat>> {
        // struct statx (linux/stat.h): owner and group at 20, mode at 28, times of 16 bytes at 64 and 112.
        let place = self.0.area().data() + PIECE;
        let (flags, mask) = (libc::AT_SYMLINK_NOFOLLOW as u64, u64::from(libc::STATX_BASIC_STATS));
        let found = self.ask(libc::SYS_statx, &[&text(path)], |at| [HERE, at[0], flags, mask, place, 0])?;
        match found.error() {
            None => {}
            Some(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Some(error) => return Err(self.0.failed_call(SOCKET, &found, error)),
        }
        let mut bytes = [0; 256];
        self.0.read(SOCKET, place, &mut bytes)?;
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let mut times = [0; 32];
        for (to, from) in [(0, 64), (16, 112)] {
            times[to..to + 8].copy_from_slice(&bytes[from..from + 8]);
            times[to + 8..to + 12].copy_from_slice(&bytes[from + 8..from + 12]);
        }
        Ok(Some(Stat { mode: word(28) & 0xffff, user: word(20), group: word(24), times }))
    }

    fn set_times(&self, path: &[u8], like: &Stat) -> Result {
        let flags = libc::AT_SYMLINK_NOFOLLOW as u64;
        let pieces: [&[u8]; 2] = [&text(path), &like.times];
        self.call(libc::SYS_utimensat, &pieces, |at| [HERE, at[0], at[1], flags, 0, 0]).map(drop)
    }

    /// Puts the file of a socket in its place, as the one that is there, or removes it.
    fn settle(&self, from: &[u8], place: Option<&[u8]>, mode: u32) -> Result {
        let Some(place) = place else { return self.remove(from, false) };
        let there = self.stat(place)?;
        if there.as_ref().is_some_and(|there| there.mode & libc::S_IFMT != libc::S_IFSOCK) {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket");
            return Err(self.0.failed(SOCKET, &format!("replace {}", place.escape_ascii()), error));
        }
        if let Some(Stat { user, group, .. }) = there {
            let (user, group, flags) = (user.into(), group.into(), libc::AT_SYMLINK_NOFOLLOW as u64);
            self.call(libc::SYS_fchownat, &[&text(from)], |at| [HERE, at[0], user, group, flags, 0])?;
        }
        let mode = there.as_ref().map_or(mode, |there| there.mode) & 0o7777;
        self.call(libc::SYS_fchmodat, &[&text(from)], |at| [HERE, at[0], mode.into(), 0, 0, 0])?;
        if let Some(there) = &there {
            self.set_times(from, there)?;
        }
        self.rename(from, place)
    }
}

/// A path as calls take it.
fn text(path: &[u8]) -> Vec<u8> {
    [path, b"\0"].concat()
}

/// Has `stub` make a call as that user and group, which reads `data`.
fn as_who(
    stub: &Stub,
    who: &Sender,
    number: libc::c_long,
    data: &[u8],
    arguments: impl FnOnce(u64) -> [u64; 6],
) -> Result {
    let changes = (who.user, who.group) != (0, 0);
    let mut list = List::new(stub);
    if changes {
        list.call(SOCKET, libc::SYS_prctl, [libc::PR_SET_SECUREBITS as u64, KEEP, 0, 0, 0, 0])?;
        list.call(SOCKET, libc::SYS_setresgid, [SAME, who.group.into(), SAME, 0, 0, 0])?;
        list.call(SOCKET, libc::SYS_setresuid, [SAME, who.user.into(), SAME, 0, 0, 0])?;
    }
    let pieces = [data];
    list.with(SOCKET, number, if data.is_empty() { &[] } else { &pieces }, |at| {
        arguments(at.first().copied().unwrap_or(0))
    })?;
    if changes {
        list.call(SOCKET, libc::SYS_setresuid, [SAME, 0, SAME, 0, 0, 0])?;
        list.call(SOCKET, libc::SYS_setresgid, [SAME, 0, SAME, 0, 0, 0])?;
        list.call(SOCKET, libc::SYS_prctl, [libc::PR_SET_SECUREBITS as u64, 0, 0, 0, 0, 0])?;
    }
    list.run()
}

/// What a call about `door` needs, and its name once that is at `number`.
fn through(door: &Door) -> (Option<BorrowedFd<'_>>, impl Fn(Option<&u64>) -> io::Result<Vec<u8>>) {
    let file = match door {
        Door::File(file) => Some(file.as_fd()),
        Door::Abstract(_) => None,
    };
    let name = move |number: Option<&u64>| match (door, number) {
        (Door::Abstract(name), _) => unix::address(name),
        (Door::File(_), Some(number)) => unix::address(format!("/proc/self/fd/{number}").as_bytes()),
        (Door::File(_), None) => Err(io::ErrorKind::NotFound.into()),
    };
    (file, name)
}

impl Calls for Makers<'_> {
    fn socket(&self, kind: u32) -> io::Result<OwnedFd> {
        let kind = u64::from(kind) | libc::SOCK_CLOEXEC as u64;
        let call = Call::new(libc::SYS_socket, [libc::AF_UNIX as u64, kind, 0, 0, 0, 0]);
        answer(self.way.first.take_descriptor(SOCKET, &call))
    }

    fn pair(&self, kind: u32, who: Option<&Sender>) -> io::Result<(OwnedFd, OwnedFd)> {
        let kind = u64::from(kind) | libc::SOCK_CLOEXEC as u64;
        answer(self.speaking(who, |stub, who| {
            let family = libc::AF_UNIX as u64;
            // Behind what the list holds: nothing of it is read.
            let at = stub.area().data() + PIECE;
            as_who(stub, who, libc::SYS_socketpair, &[], |_| [family, kind, 0, at, 0, 0])?;
            let mut numbers = [0; 8];
            stub.read(SOCKET, at, &mut numbers)?;
            let copies: io::Result<Vec<OwnedFd>> = pidfd::open(stub.tid).and_then(|process| {
                let numbers = numbers.as_chunks::<4>().0.iter().map(|number| i32::from_ne_bytes(*number));
                numbers.map(|number| pidfd::copy(process.as_fd(), number)).collect()
            });
            let copies = copies.map_err(|error| stub.failed(SOCKET, "pidfd_getfd", error))?;
            self.close(stub)?;
            let [one, two] = <[OwnedFd; 2]>::try_from(copies)
                .map_err(|_| stub.failed(SOCKET, "socketpair", io::ErrorKind::InvalidData.into()))?;
            Ok((one, two))
        }))
    }

    fn bind(&self, socket: BorrowedFd<'_>, name: &[u8], place: Option<&[u8]>, mode: u32) -> io::Result<Door> {
        if name.first() != Some(&0) {
            return answer(self.bind_file(socket, name, place, mode)).map(Door::File);
        }
        let address = unix::address(name)?;
        answer(self.with(self.way.first, &[socket], |numbers| {
            let length = address.len() as u64;
            Files(self.way.first).call(libc::SYS_bind, &[&address], |at| [numbers[0], at[0], length, 0, 0, 0])
        }))?;
        Ok(Door::Abstract(name.to_vec()))
    }

    fn listen(&self, socket: BorrowedFd<'_>, backlog: u32, who: Option<&Sender>) -> io::Result<()> {
        answer(self.speaking(who, |stub, who| {
            self.with(stub, &[socket], |numbers| {
                as_who(stub, who, libc::SYS_listen, &[], |_| [numbers[0], backlog.into(), 0, 0, 0, 0])
            })
        }))
    }

    fn holder(&self, id: u32) -> Option<Sender> {
        let has = |process: &&Process| {
            let table = process.table.and_then(|table| self.content.tables.get(&table));
            table.is_some_and(|table| table.descriptors.iter().any(|it| it.description == id))
        };
        let process = self.content.processes.values().find(has)?;
        let thread = self.content.threads(process.id).first()?;
        let credentials = self.content.credentials.get(&thread.credentials)?;
        // The effective ones.
        let (user, group) = (*credentials.users.get(1)?, *credentials.groups.get(1)?);
        Some(Sender { pid: pid(process), user, group })
    }

    fn connect(&self, socket: BorrowedFd<'_>, door: &Door, who: Option<&Sender>) -> io::Result<()> {
        let (file, name) = through(door);
        let sent: Vec<BorrowedFd<'_>> = [socket].into_iter().chain(file).collect();
        unix::without_waiting(socket, || {
            answer(self.speaking(who, |stub, who| {
                self.with(stub, &sent, |numbers| {
                    let address = name(numbers.get(1)).map_err(|error| stub.failed(SOCKET, "connect", error))?;
                    let length = address.len() as u64;
                    as_who(stub, who, libc::SYS_connect, &address, |at| [numbers[0], at, length, 0, 0, 0])
                })
            }))
        })
    }

    fn send(
        &self,
        socket: BorrowedFd<'_>,
        to: Option<&Door>,
        bytes: &[u8],
        rights: &[BorrowedFd<'_>],
        who: Option<&Sender>,
    ) -> io::Result<usize> {
        if to.is_none() && who.is_none() {
            return unix::send(socket, None, bytes, rights, None);
        }
        // The first process may speak for all.
        let stub = self.way.first;
        let who = who.map(|who| Credentials { pid: who.pid.cast_signed(), user: who.user, group: who.group });
        let (file, name) = to.map(through).unzip();
        let file = file.flatten();
        let sent: Vec<BorrowedFd<'_>> = [socket].into_iter().chain(rights.iter().copied()).chain(file).collect();
        answer(self.with(stub, &sent, |numbers| {
            let failed = |error| stub.failed(SOCKET, "sendmsg", error);
            let name = name.map(|name| name(numbers.last())).transpose().map_err(failed)?.unwrap_or_default();
            let rights: Vec<i32> = numbers[1..=rights.len()].iter().map(|number| *number as i32).collect();
            let control = control::of(&rights, who);
            let [header, vector, address, come, content] = [0, 1, 2, 3, 4].map(|at| stub.area().data() + at * PIECE);
            if bytes.len() as u64 > DATA - 4 * PIECE {
                return Err(failed(io::Error::other(format!("a message of {} bytes", bytes.len()))));
            }
            // struct msghdr and struct iovec (recvmsg(2)).
            let at = |place: u64, piece: &[u8]| if piece.is_empty() { 0 } else { place };
            let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
            let (named, comes) = (at(address, &name), at(come, &control));
            let message = [named, name.len() as u64, vector, 1, comes, control.len() as u64, 0];
            stub.write(SOCKET, header, &words(&message))?;
            stub.write(SOCKET, vector, &words(&[content, bytes.len() as u64]))?;
            for (place, piece) in [(address, &name[..]), (come, &control), (content, bytes)] {
                if !piece.is_empty() {
                    stub.write(SOCKET, place, piece)?;
                }
            }
            let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u64;
            let sent = stub.call(SOCKET, &Call::new(libc::SYS_sendmsg, [numbers[0], header, flags, 0, 0, 0]))?;
            Ok(sent as usize)
        }))
    }
}
