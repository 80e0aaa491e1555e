//! Tables of descriptors, and the descriptions behind them, each once.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use libc::pid_t;

use super::Error;
use super::error::fit;
use super::inet::InetSockets;
use super::ipc::posix::Queues;
use super::paths::{DELETED, leads_to};
use super::sockets::{Inside, Sockets};
use super::space::Objects;
use super::subject::Subject;
use super::terminals::Terminals;
use super::view::View;
use super::watches::Index;
use crate::objects::kind::Kind;
use crate::objects::{
    self, Finding, Seen, epoll, event, file, inet, inotify, memfd, netlink, pipe, process, pty, queue, same, signal,
    timer,
};
use crate::process::fdinfo::{self, FdInfo, Lock, LockAccess, LockKind};
use crate::record::objects::{
    Common, Content, Descriptor, DescriptorTable, FileDescription, LockRange, PidFd, TableLock,
};
use crate::record::{List, Record};
use crate::sys::{pidfd, unix};

/// Devices that hold nothing: null, zero, full, random, urandom; all of major number 1.
const PLAIN_DEVICES: [u32; 5] = [3, 5, 7, 8, 9];

/// Where a description is found again that is recorded when all are known.
pub(super) struct Later {
    pub(super) pid: pid_t,
    pub(super) tid: pid_t,
    pub(super) number: i32,
    pub(super) id: u32,
}

impl Later {
    pub(super) fn seen(&self) -> Result<Seen, Error> {
        let seen = open(self.pid, self.tid).and_then(|process| Seen::of(self.tid, process.as_fd(), self.number));
        seen.map_err(Error::read(self.pid, self.tid, format!("descriptor {}", self.number)))
    }
}

/// A pipe: its number, and an end for writing while none for reading was found.
struct Ends {
    id: u32,
    writer: Option<(pid_t, Seen)>,
}

/// What was taken of all descriptions.
pub(super) struct Taken {
    pub(super) records: Vec<Record>,
    /// What of them a save may lose.
    pub(super) findings: Vec<Finding>,
    /// The controlling terminals of processes, by the numbers of both.
    pub(super) terminals: BTreeMap<u32, u32>,
    /// POSIX message queues, which are not read yet.
    pub(super) queues: Queues,
}

/// The descriptions of all tables.
pub(super) struct Descriptions<'a> {
    pub(super) view: &'a View,
    /// Ids of threads and groups as the session sees them.
    pub(super) tids: &'a BTreeMap<pid_t, u32>,
    groups: &'a BTreeMap<pid_t, u32>,
    /// Where files are that are watched.
    pub(super) watches: &'a mut Index,
    pub(super) known: same::Descriptions,
    /// By device and inode.
    pipes: BTreeMap<(u64, u64), Ends>,
    epolls: Vec<Later>,
    terminals: Terminals,
    pub(super) sockets: Sockets,
    pub(super) inet: InetSockets,
    queues: Queues,
    records: Vec<Record>,
    findings: Vec<Finding>,
}

impl<'a> Descriptions<'a> {
    pub(super) fn new(
        view: &'a View,
        tids: &'a BTreeMap<pid_t, u32>,
        groups: &'a BTreeMap<pid_t, u32>,
        watches: &'a mut Index,
    ) -> Self {
        Self {
            view,
            tids,
            groups,
            watches,
            known: same::Descriptions::new(),
            pipes: BTreeMap::new(),
            epolls: Vec::new(),
            terminals: Terminals::default(),
            sockets: Sockets::default(),
            inet: InetSockets::default(),
            queues: Queues::default(),
            records: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The record of the table of `subject`, with the number `id`; its descriptions are kept for [`Self::finish`].
    pub(super) fn table(
        &mut self,
        subject: &Subject,
        tid: pid_t,
        id: u32,
        objects: &mut Objects,
    ) -> Result<DescriptorTable, Error> {
        let pid = subject.pid;
        let numbers = numbers(&subject.task(tid)).map_err(Error::read(pid, tid, "the descriptors"))?;
        let process = open(pid, tid).map_err(Error::read(pid, tid, "the descriptors"))?;
        // A thread's own directory: that of a process whose first thread has ended is empty.
        let directory = PathBuf::from(format!("/proc/{tid}"));
        let mut descriptors = Vec::new();
        let mut locks = Locks::default();
        for number in numbers {
            let read = || Error::read(pid, tid, format!("descriptor {number}"));
            let (description, new) = self.known.number(tid, number).map_err(read())?;
            let info = if new {
                let seen = Seen::of(tid, process.as_fd(), number).map_err(read())?;
                let info = seen.info.clone();
                self.describe(pid, seen, description, objects)?;
                info
            } else {
                fdinfo::read(&directory, number).map_err(read())?
            };
            locks.add(number, &info, new);
            let flags = info.flags;
            descriptors.push(Descriptor {
                number: number.cast_unsigned(),
                description,
                close_on_exec: flags & libc::O_CLOEXEC as u32 != 0,
            });
        }
        let locks = locks.finish(pid)?;
        Ok(DescriptorTable { id, descriptors: fit(pid, "descriptors", descriptors)?, locks })
    }

    /// Takes the record of a description that is new.
    pub(super) fn describe(&mut self, pid: pid_t, seen: Seen, id: u32, objects: &mut Objects) -> Result<(), Error> {
        let kind = Kind::of(&seen);
        let path_only = seen.info.flags & libc::O_PATH as u32 != 0;
        if let Some(side) = pty::side(&seen).filter(|_| !path_only) {
            self.terminals.add(pid, seen, id, side);
            return Ok(());
        }
        let found = match kind {
            Kind::Pipe | Kind::Fifo if !path_only => return self.end(pid, seen, id),
            Kind::Poll => {
                self.epolls.push(Later { pid, tid: seen.pid, number: seen.number, id });
                return Ok(());
            }
            Kind::Socket if unix::is_unix(seen.copy()).map_err(Error::read(pid, seen.pid, "a socket"))? => {
                self.sockets.add(pid, &seen, id);
                return Ok(());
            }
            Kind::Socket if netlink::is_one(&seen).map_err(Error::object(pid))? => {
                self.judge(pid, netlink::look(&seen).map_err(Error::object(pid))?)?;
                netlink::take(&seen, id).map(Record::from)
            }
            Kind::Socket => {
                let which = inet::which(&seen).map_err(Error::object(pid))?;
                return self.inet.add(pid, &seen, which, id);
            }
            Kind::Event => {
                self.judge(pid, event::look(&seen))?;
                event::take(&seen, id).map(Record::from)
            }
            Kind::Timer => {
                self.judge(pid, timer::look(&seen))?;
                timer::take(&seen, id).map(Record::from)
            }
            Kind::Signal => {
                self.judge(pid, signal::look(&seen))?;
                signal::take(&seen, id).map(Record::from)
            }
            Kind::Process => {
                self.judge(pid, process::look(&seen, |of| self.tids.contains_key(&of)))?;
                process::take(&seen, id).map(|record| {
                    let of = record.pid.and_then(|of| self.tids.get(&of.cast_signed()).copied());
                    PidFd { pid: of, ..record }.into()
                })
            }
            Kind::Memfd => {
                self.judge(pid, memfd::look(&seen).map_err(Error::object(pid))?)?;
                self.judge(pid, file::look(&seen))?;
                let object = objects.add_memfd(pid, &seen, self.view)?;
                file::take(&seen, id, Content::Object { object }).map(Record::from)
            }
            Kind::Queue if !path_only => {
                let number = self.queues.add(pid, &seen)?;
                queue::take_end(&seen, id, number).map(Record::from)
            }
            Kind::Inotify => inotify::take(&seen, id, |watch| self.watches.find(watch)).map(Record::from),
            kind => {
                if pty::is_end(&seen) {
                    let what = format!("descriptor {}, {}", seen.number, seen.link.escape_ascii());
                    return Err(Error::refused(pid, what, "a terminal that is opened by O_PATH"));
                }
                self.judge(pid, file::look(&seen))?;
                self.known(pid, &seen, &kind, path_only)?;
                if self.has_its_name(&seen) {
                    file::take(&seen, id, Content::Named).map(Record::from)
                } else {
                    self.without_name(pid, &seen, id, objects)?
                }
            }
        };
        let record = found.map_err(Error::object(pid))?;
        self.keep(record);
        Ok(())
    }

    /// Refuses what a save would lose; notes what it may.
    pub(super) fn judge(&mut self, pid: pid_t, finding: Option<Finding>) -> Result<(), Error> {
        match finding {
            Some(finding) if finding.blocking => Err(Error::refused(pid, finding.what, finding.lost)),
            finding => {
                self.findings.extend(finding);
                Ok(())
            }
        }
    }

    /// Whether the name that the kernel shows leads to it.
    fn has_its_name(&self, seen: &Seen) -> bool {
        let link = || PathBuf::from(format!("/proc/{}/fd/{}", seen.pid, seen.number));
        seen.stat.st_nlink > 0 && (!seen.link.ends_with(DELETED) || leads_to(self.view, &seen.link, &link()))
    }

    /// Takes what has lost the name that the kernel shows: by another one, or with its content.
    fn without_name(
        &mut self,
        pid: pid_t,
        seen: &Seen,
        id: u32,
        objects: &mut Objects,
    ) -> Result<Result<Record, objects::Error>, Error> {
        let what = || format!("descriptor {}, {}", seen.number, seen.link.escape_ascii());
        let inode = self.watches.identify(seen.copy()).map_err(Error::read(pid, seen.pid, what()))?;
        if seen.stat.st_nlink > 0 {
            let Some(path) = self.watches.other_name(inode) else {
                return Err(Error::refused(pid, what(), "it has another name now, which was not found"));
            };
            let path = fit(pid, "a path", path)?;
            return Ok(file::take(seen, id, Content::Named).map(|record| FileDescription { path, ..record }.into()));
        }
        let object = objects.add_unlinked(pid, seen, inode, self.view)?;
        Ok(file::take(seen, id, Content::Object { object }).map(Record::from))
    }

    /// Refuses a description that is not a file, directory or plain device.
    fn known(&self, pid: pid_t, seen: &Seen, kind: &Kind, path_only: bool) -> Result<(), Error> {
        let refuse = |why: &str| {
            let what = format!("descriptor {}, {}", seen.number, seen.link.escape_ascii());
            Err(Error::refused(pid, what, why))
        };
        let known = match kind {
            Kind::File | Kind::Directory | Kind::Link => true,
            Kind::Character(1, minor) if PLAIN_DEVICES.contains(minor) => true,
            Kind::Character(..) | Kind::Block(..) | Kind::Fifo => path_only,
            _ => false,
        };
        if !known || seen.link.first() != Some(&b'/') {
            return refuse("this kind of descriptor cannot be recorded yet");
        }
        if let Some(line) = seen.info.other.first() {
            return refuse(&format!("the kernel says \"{}\" of it, which is not known", line.escape_ascii()));
        }
        if !matches!(kind, Kind::File | Kind::Directory) && !self.has_its_name(seen) {
            return refuse("it has no name any more");
        }
        Ok(())
    }

    /// Takes the end of a pipe, and with the first end for reading the pipe.
    fn end(&mut self, pid: pid_t, seen: Seen, id: u32) -> Result<(), Error> {
        self.judge(pid, pipe::look(&seen))?;
        let next = self.pipes.len() as u32 + 1;
        let reads = seen.info.flags & libc::O_ACCMODE as u32 != libc::O_WRONLY as u32;
        let known = self.pipes.get(&seen.identity()).map(|ends| (ends.id, ends.writer.is_some()));
        let number = known.map_or(next, |(number, _)| number);
        let record = pipe::take_end(&seen, id, number).map_err(Error::object(pid))?;
        self.keep(record.into());
        let identity = seen.identity();
        match known {
            Some((_, false)) => {}
            _ if reads => {
                self.records.push(pipe::take(&seen, number).map_err(Error::object(pid))?.into());
                self.pipes.insert(identity, Ends { id: number, writer: None });
            }
            Some(_) => {}
            None => {
                self.pipes.insert(identity, Ends { id: number, writer: Some((pid, seen)) });
            }
        }
        Ok(())
    }

    /// Keeps a record; who gets its signals is an id that we see, and becomes the session's.
    pub(super) fn keep(&mut self, mut record: Record) {
        if let Some(common) = common(&mut record) {
            // F_OWNER_PGRP.
            let ids = if common.owner_kind == 2 { self.groups } else { self.tids };
            // Somebody outside is nobody: what is restored does not know them.
            common.owner = ids.get(&common.owner.cast_signed()).copied().unwrap_or(0);
        }
        self.records.push(record);
    }

    /// What was taken of all descriptions.
    pub(super) fn finish(
        mut self,
        subjects: &[Subject],
        objects: &mut Objects,
        inside: &mut Inside<'_, '_>,
    ) -> Result<Taken, Error> {
        self.finish_sockets(objects, inside)?;
        self.finish_inet(inside)?;
        let taken = std::mem::take(&mut self.terminals).take(self.view, subjects, self.groups)?;
        taken.records.into_iter().for_each(|record| self.keep(record));
        // Nobody in the session reads these.
        for ends in std::mem::take(&mut self.pipes).into_values() {
            if let Some((pid, seen)) = ends.writer {
                self.records.push(pipe::take(&seen, ends.id).map_err(Error::object(pid))?.into());
            }
        }
        self.finish_polls()?;
        Ok(Taken { records: self.records, findings: self.findings, terminals: taken.controlling, queues: self.queues })
    }

    /// Takes epoll instances, when all that they can watch is known.
    pub(super) fn finish_polls(&mut self) -> Result<(), Error> {
        for poll in std::mem::take(&mut self.epolls) {
            let (seen, pid, id) = (poll.seen()?, poll.pid, poll.id);
            self.judge(pid, epoll::look(&seen, &self.known).map_err(Error::object(pid))?)?;
            let record = epoll::take(&seen, id, &self.known).map_err(Error::object(pid))?;
            self.keep(record.into());
        }
        Ok(())
    }
}

/// Locks of a table: each shows at every descriptor of its file.
#[derive(Default)]
struct Locks {
    seen: Vec<Lock>,
    /// Those that a descriptor was found for which may take them, each with that.
    taken: Vec<(Lock, TableLock)>,
}

impl Locks {
    /// What descriptor `number` shows. `new`: its description was not seen before, to which a lease belongs.
    fn add(&mut self, number: i32, info: &FdInfo, new: bool) {
        let mode = info.flags & libc::O_ACCMODE as u32;
        for lock in info.locks.iter().filter(|lock| match lock.kind {
            LockKind::Posix => true,
            LockKind::Lease => new,
            _ => false,
        }) {
            let exclusive = lock.access == LockAccess::Write;
            let needs = if exclusive { libc::O_WRONLY } else { libc::O_RDONLY } as u32;
            let may = lock.kind == LockKind::Lease || mode == libc::O_RDWR as u32 || mode == needs;
            self.seen.push(*lock);
            if may && self.taken.iter().all(|(known, _)| known != lock || lock.kind == LockKind::Lease) {
                let range = LockRange { start: lock.start, last: lock.end };
                let range = (lock.kind == LockKind::Posix).then_some(range);
                self.taken.push((*lock, TableLock { descriptor: number.cast_unsigned(), exclusive, range }));
            }
        }
    }

    fn finish<const MOST: usize>(self, pid: pid_t) -> Result<List<TableLock, MOST>, Error> {
        let is_taken = |lock: &Lock| self.taken.iter().any(|(known, _)| known == lock);
        if let Some(lock) = self.seen.iter().find(|lock| !is_taken(lock)) {
            let what = format!("a lock on bytes from {} of inode {}", lock.start, lock.inode);
            return Err(Error::refused(pid, what, "it has no descriptor any more by which it could be taken"));
        }
        fit(pid, "locks", self.taken.into_iter().map(|(_, lock)| lock).collect::<Vec<_>>())
    }
}

/// What every description has, of a record of one.
fn common(record: &mut Record) -> Option<&mut Common> {
    match record {
        Record::File(it) => Some(&mut it.common),
        Record::PipeEnd(it) => Some(&mut it.common),
        Record::EventFd(it) => Some(&mut it.common),
        Record::Epoll(it) => Some(&mut it.common),
        Record::TimerFd(it) => Some(&mut it.common),
        Record::SignalFd(it) => Some(&mut it.common),
        Record::PidFd(it) => Some(&mut it.common),
        Record::Inotify(it) => Some(&mut it.common),
        Record::NetlinkSocket(it) => Some(&mut it.common),
        Record::TcpSocket(it) => Some(&mut it.common),
        Record::UdpSocket(it) => Some(&mut it.common),
        Record::TerminalEnd(it) => Some(&mut it.common),
        Record::PosixQueueEnd(it) => Some(&mut it.common),
        Record::UnixSocket(it) => Some(&mut it.common),
        _ => None,
    }
}

/// The numbers of a thread's descriptors, rising.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory.join("fd"))? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A descriptor of a process, through which its descriptors are copied.
pub(super) fn open(pid: pid_t, tid: pid_t) -> io::Result<OwnedFd> {
    if pid == tid {
        return pidfd::open(pid);
    }
    // A leader that has ended has no descriptors any more; its threads do.
    pidfd::open_thread(tid).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => {
            let why = format!("its first thread has ended; descriptors of thread {tid} need Linux 6.9");
            io::Error::new(io::ErrorKind::Unsupported, why)
        }
        _ => error,
    })
}
