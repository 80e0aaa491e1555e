//! Unix sockets of a session. They are connected to each other and hold descriptors for each other: so all tables are read first,
//! then everything in flight is found, and only then is one recorded.
//!
//! Peers, connections that wait and files come from sock_diag(7), which answers for the net namespace that its socket was made in.
//! So a thread of the session makes that socket, which works for root and other users alike.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use libc::pid_t;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Error;
use super::error::fit;
use super::paths::leads_to;
use super::space::Objects;
use super::table::{Descriptions, Later};
use crate::freeze::Frozen;
use crate::objects::kind::Kind;
use crate::objects::{self, Seen, unix};
use crate::record::sockets::{Sender, UnixSocket};
use crate::remote::{Call, Thread};
use crate::sys::diag::{self, Socket};
use crate::sys::{pidfd, unix as calls};

/// The sockets that were found.
#[derive(Default)]
pub(super) struct Sockets {
    found: Vec<Later>,
    /// Numbers of descriptions, by inode.
    numbers: BTreeMap<u32, u32>,
    /// What was in flight, so that it can be looked at.
    held: Vec<OwnedFd>,
}

impl Sockets {
    /// One more, of process `pid`.
    pub(super) fn add(&mut self, pid: pid_t, seen: &Seen, id: u32) {
        self.found.push(Later { pid, tid: seen.pid, number: seen.number, id });
        self.numbers.extend(u32::try_from(seen.stat.st_ino).map(|inode| (inode, id)));
    }
}

/// Threads of the session, which are asked what only they can be.
pub(super) struct Inside<'a, 't> {
    pub(super) frozen: &'a mut Frozen<'t>,
    /// The first process, and its thread that speaks for it.
    pub(super) pid: pid_t,
    pub(super) tid: pid_t,
}

impl Inside<'_, '_> {
    /// Has a thread asked, and everything given back.
    pub(super) fn ask<T>(
        &mut self,
        pid: pid_t,
        tid: pid_t,
        what: impl FnOnce(&mut Thread<'_, '_>) -> Result<T, crate::remote::Error>,
    ) -> Result<T, Error> {
        let stopped = self.frozen.thread(tid);
        let mut thread = stopped.ok_or_else(|| Error::refused(pid, format!("thread {tid}"), "it is gone"))?.thread()?;
        let answer = what(&mut thread)?;
        thread.close()?;
        Ok(answer)
    }

    /// A socket that answers for the session's net namespace.
    pub(super) fn netlink(&mut self) -> Result<OwnedFd, Error> {
        let (family, kind, protocol) = diag::SOCKET;
        self.ask(self.pid, self.tid, |thread| {
            let arguments = [family, kind, protocol].map(|number| number as u64);
            let call = Call::new(libc::SYS_socket, [arguments[0], arguments[1], arguments[2], 0, 0, 0]);
            let number = thread.open(&call)?;
            thread.copy_descriptor(number)
        })
    }

    /// All Unix sockets of the session's net namespace.
    fn diagnosis(&mut self) -> Result<BTreeMap<u32, Socket>, Error> {
        let netlink = self.netlink()?;
        diag::sockets(netlink.as_fd()).map_err(Error::read(self.pid, self.tid, "its Unix sockets"))
    }

    /// `SO_PEERCRED` of a socket as who has it sees it: the only way to the session's number of a process that has ended.
    fn peer(&mut self, socket: &Later) -> Result<calls::Credentials, Error> {
        const LENGTH: usize = calls::Credentials::LENGTH;
        self.ask(socket.pid, socket.tid, |thread| {
            let at = thread.borrow_stack(LENGTH + 4)?;
            let (length, mut bytes) = (at + LENGTH as u64, [0; LENGTH]);
            thread.fill(at, &[&bytes[..], &(LENGTH as u32).to_ne_bytes()].concat())?;
            let (level, option) = (libc::SOL_SOCKET as u64, libc::SO_PEERCRED as u64);
            let arguments = [socket.number as u64, level, option, at, length, 0];
            thread.call(&Call::new(libc::SYS_getsockopt, arguments))?;
            thread.read(at, &mut bytes)?;
            Ok(calls::Credentials::of(&bytes))
        })
    }
}

impl Descriptions<'_> {
    /// The records of all Unix sockets, and of what is in flight between them.
    pub(super) fn finish_sockets(&mut self, objects: &mut Objects, inside: &mut Inside<'_, '_>) -> Result<(), Error> {
        if self.sockets.found.is_empty() {
            return Ok(());
        }
        let all = inside.diagnosis()?;
        let mut at = 0;
        // Sockets in flight are found on the way, and looked at in their turn.
        while let Some(socket) = self.sockets.found.get(at) {
            let (pid, seen) = (socket.pid, socket.seen()?);
            for descriptor in unix::in_flight(&seen, &all).map_err(Error::object(pid))? {
                self.arrive(pid, descriptor, objects)?;
            }
            at += 1;
        }
        for socket in std::mem::take(&mut self.sockets.found) {
            let seen = socket.seen()?;
            let mut record = unix::take(&seen, socket.id, &all, self).map_err(Error::object(socket.pid))?;
            self.senders(&seen, &socket, &mut record, inside)?;
            self.keep(record.into());
        }
        Ok(())
    }

    /// Takes the record of a description in flight to process `pid`, unless it is known.
    fn arrive(&mut self, pid: pid_t, descriptor: OwnedFd, objects: &mut Objects) -> Result<(), Error> {
        let (own, number) = (own_pid(), descriptor.as_raw_fd());
        let read = || Error::read(pid, pid, "a descriptor in flight");
        let (id, new) = self.known.number(own, number).map_err(read())?;
        if !new {
            return Ok(());
        }
        let seen = pidfd::open(own).and_then(|process| Seen::of(own, process.as_fd(), number)).map_err(read())?;
        if Kind::of(&seen) == Kind::Process {
            return Err(Error::refused(
                pid,
                "a pidfd in flight to it",
                "it could not be made again before its process",
            ));
        }
        self.sockets.held.push(descriptor);
        self.describe(pid, seen, id, objects)
    }

    /// Names who made a socket and who sent what waits in it as the session does.
    fn senders(
        &self,
        seen: &Seen,
        socket: &Later,
        record: &mut UnixSocket,
        inside: &mut Inside<'_, '_>,
    ) -> Result<(), Error> {
        let refuse = |why: &str| {
            let what = format!("descriptor {}, {}", seen.number, seen.link.escape_ascii());
            Err(Error::refused(socket.pid, what, why))
        };
        if let Some(peer) = &mut record.peer {
            match self.in_session(peer) {
                Some(found) => *peer = found,
                None if seen.pid == own_pid() => {
                    return refuse("it is in flight, and who made it cannot be found out");
                }
                None => {
                    let calls::Credentials { pid, user, group } = inside.peer(socket)?;
                    if pid == 0 {
                        return refuse("it was made by a process outside of the session");
                    }
                    *peer = Sender { pid: pid.cast_unsigned(), user, group };
                }
            }
        }
        let mut queue = record.queue.to_vec();
        for sender in queue.iter_mut().filter_map(|message| message.sender.as_mut()) {
            let Some(found) = self.in_session(sender) else {
                return refuse("what waits in it was sent by a process that has ended or is outside of the session");
            };
            *sender = found;
        }
        record.queue = fit(socket.pid, "what waits in a socket", queue)?;
        Ok(())
    }

    /// Somebody that we see, as the session does; none for one that has ended or is outside of it.
    fn in_session(&self, who: &Sender) -> Option<Sender> {
        let pid = *self.tids.get(&who.pid.cast_signed())?;
        let (user, group) = self.view.owner(who.user, who.group);
        (user != u32::MAX && group != u32::MAX).then_some(Sender { pid, user, group })
    }

    /// The file that a socket was bound to, if it is still under its name: for a net namespace that we have no rights in.
    fn under_its_name(&mut self, name: &[u8], device: u32, inode: u32) -> io::Result<Option<OwnedFd>> {
        if name.first() != Some(&b'/') {
            return Ok(None);
        }
        let root = rustix::fs::open(self.view.locate(b"/"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat2(root, OsStr::from_bytes(name), flags, Mode::empty(), ResolveFlags::IN_ROOT)
        else {
            return Ok(None);
        };
        // The kernel's device numbers have 20 bits for the minor one (linux/kdev_t.h), and this answer 32 for the inode.
        let ((major, minor), found) = self.watches.identify(file.as_fd())?;
        let same = (major << 20 | minor) == device && found as u32 == inode;
        Ok(same.then_some(file))
    }
}

impl unix::Session for Descriptions<'_> {
    fn socket(&self, inode: u32) -> Option<u32> {
        self.sockets.numbers.get(&inode).copied()
    }

    fn file(
        &mut self,
        seen: &Seen,
        name: &[u8],
        device: u32,
        inode: u32,
    ) -> Result<Option<(Vec<u8>, u32)>, objects::Error> {
        let refused = |reason: &str| seen.refused(format!("its file (bound as {}) {reason}", name.escape_ascii()));
        let file = match calls::file(seen.copy()) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let found = self.under_its_name(name, device, inode).map_err(seen.failed("look for its file"))?;
                found.ok_or_else(|| refused("is not under that name any more, and where it is is not shown"))?
            }
            Err(error) => return Err(seen.failed("SIOCUNIXFILE")(error)),
        };
        let found = rustix::fs::fstat(&file).map_err(|error| seen.failed("fstat")(error.into()))?;
        if found.st_nlink == 0 {
            return Ok(None);
        }
        let mode = found.st_mode & 0o7777;
        let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let path = std::fs::read_link(&link).map_err(seen.failed("readlink"))?.into_os_string().into_vec();
        if leads_to(self.view, &path, &link) {
            return Ok(Some((path, mode)));
        }
        let inode = self.watches.identify(file.as_fd()).map_err(seen.failed("identify its file"))?;
        let path =
            self.watches.other_name(inode).ok_or_else(|| refused("has another name now, which was not found"))?;
        Ok(Some((path, mode)))
    }

    fn in_flight(&mut self, descriptor: OwnedFd) -> Result<u32, objects::Error> {
        let found = self.known.number(own_pid(), descriptor.as_raw_fd());
        let (number, _) = found.map_err(|error| objects::Error::Call {
            what: "a descriptor in flight".to_owned(),
            call: "kcmp",
            error,
        })?;
        Ok(number)
    }
}

fn own_pid() -> pid_t {
    std::process::id().cast_signed()
}
