//! POSIX message queues: those that descriptors refer to, and those that only have a name. The latter are found in the namespace's own file
//! system, which the first process mounts for itself, nowhere, for as long as it takes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::pid_t;
use rustix::fs::{Dir, Mode, OFlags};

use super::super::Error;
use super::super::error::fit;
use super::super::sockets::Inside;
use super::super::view::View;
use super::messages::MOST;
use crate::objects::{Finding, Seen, queue};
use crate::record::ipc::PosixQueue;
use crate::remote::{self, Call, Thread};
use crate::sys::descriptor;
use crate::sys::mqueue;

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC` and `FSCONFIG_CMD_CREATE` (include/uapi/linux/mount.h).
const CLOSE_ON_EXEC: u64 = 1;
const CREATE: u64 = 6;
const SYSTEM: &[u8] = b"mqueue\0";
/// How the kernel shows a name that is none any more.
const DELETED: &[u8] = b" (deleted)";

/// Device and inode.
type Identity = (u64, u64);

/// Queues that descriptors refer to.
#[derive(Default)]
pub(in super::super) struct Queues {
    known: BTreeMap<Identity, Known>,
}

struct Known {
    id: u32,
    /// Who has it.
    pid: pid_t,
    name: Vec<u8>,
    /// Copies of descriptors, by access mode.
    copies: BTreeMap<u32, OwnedFd>,
}

impl Queues {
    /// The number of the queue that a descriptor of `pid` is of.
    pub(in super::super) fn add(&mut self, pid: pid_t, seen: &Seen) -> Result<u32, Error> {
        let id = self.known.len() as u32 + 1;
        let path = seen.link.strip_suffix(DELETED).unwrap_or(&seen.link);
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let known = self.known.entry(seen.identity());
        let known = known.or_insert_with(|| Known { id, pid, name, copies: BTreeMap::new() });
        let access = seen.info.flags & libc::O_ACCMODE as u32;
        if let std::collections::btree_map::Entry::Vacant(free) = known.copies.entry(access) {
            let copy = descriptor::copy(seen.copy());
            free.insert(copy.map_err(Error::read(pid, seen.pid, seen.link.escape_ascii().to_string()))?);
        }
        Ok(known.id)
    }

    /// Refuses what there is where the session has no ipc namespace.
    pub(in super::super) fn none(&self) -> Result<(), Error> {
        let Some(known) = self.known.values().next() else { return Ok(()) };
        let what = format!("POSIX message queue \"{}\"", known.name.escape_ascii());
        Err(Error::refused(known.pid, what, "it is not of an ipc namespace of the session's own"))
    }

    /// The records of all queues of the namespace.
    pub(super) fn take(
        mut self,
        inside: &mut Inside<'_, '_>,
        namespace: u32,
        view: &View,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<PosixQueue>, Error> {
        let (pid, tid) = (inside.pid, inside.tid);
        let mut all = Vec::new();
        match inside.ask(pid, tid, |thread| Ok(mounted(thread)))? {
            Ok(Some(Mounted { device, named })) => {
                for (name, opened) in named {
                    let stat = rustix::fs::fstat(&opened).map_err(|error| failed(pid, tid, &name, error.into()))?;
                    let known = self.known.remove(&(stat.st_dev, stat.st_ino));
                    let (id, pid) = (known.as_ref().map(|known| known.id), known.map_or(pid, |known| known.pid));
                    all.push((id, pid, name, opened, false));
                }
                if self.known.keys().any(|(other, _)| *other != device) {
                    return self.none().map(|()| Vec::new());
                }
            }
            Ok(None) => {}
            Err(remote::Error::Call { error, .. })
                if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS)) =>
            {
                findings.push(Finding {
                    what: "POSIX message queues that nobody has open".to_owned(),
                    lost: "the session's first process has no right to look for them (CAP_SYS_ADMIN); any that there are would be lost".to_owned(),
                    blocking: false,
                });
            }
            Err(error) => return Err(error.into()),
        }
        for (_, known) in std::mem::take(&mut self.known) {
            let queue = known.both(pid, tid)?;
            let stat = rustix::fs::fstat(&queue).map_err(|error| failed(pid, tid, &known.name, error.into()))?;
            all.push((Some(known.id), known.pid, known.name, queue, stat.st_nlink == 0));
        }
        let mut next = 1 + all.iter().filter_map(|one| one.0).max().unwrap_or(0);
        let mut records = Vec::new();
        for (id, pid, name, queue, unlinked) in all {
            let id = id.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            let record = PosixQueue {
                id,
                namespace,
                unlinked,
                name: fit(pid, "the name of a message queue", name)?,
                ..PosixQueue::default()
            };
            records.push(read(pid, tid, queue.as_fd(), record, view)?);
        }
        Ok(records)
    }
}

fn failed(pid: pid_t, tid: pid_t, name: &[u8], error: io::Error) -> Error {
    Error::read(pid, tid, format!("POSIX message queue \"{}\"", name.escape_ascii()))(error)
}

impl Known {
    /// A description for reading and writing.
    fn both(&self, pid: pid_t, tid: pid_t) -> Result<OwnedFd, Error> {
        if let Some(copy) = self.copies.get(&(libc::O_RDWR as u32)) {
            return descriptor::copy(copy.as_fd()).map_err(|error| failed(pid, tid, &self.name, error));
        }
        let any = self.copies.values().next();
        let opened = any.map(|copy| {
            let path = format!("/proc/thread-self/fd/{}", copy.as_raw_fd());
            rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        });
        match opened {
            Some(Ok(opened)) => Ok(opened),
            _ => {
                let what = format!("POSIX message queue \"{}\"", self.name.escape_ascii());
                let why = "it has no name any more, and nobody has it open for reading and writing";
                Err(Error::refused(self.pid, what, why))
            }
        }
    }
}

/// Queues that have a name.
struct Mounted {
    /// The device of the namespace's file system.
    device: u64,
    named: Vec<(Vec<u8>, OwnedFd)>,
}

/// All queues that have a name, opened; none on a kernel without queues.
///
/// They are opened here where that is allowed. Who has asked for a signal loses that when it closes any descriptor of the queue
/// (`mqueue_flush_file`), and so would the first process.
fn mounted(thread: &mut Thread<'_, '_>) -> Result<Option<Mounted>, remote::Error> {
    const FLAGS: OFlags = OFlags::RDWR.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
    let memory = thread.borrow_stack(512)?;
    thread.fill(memory, SYSTEM)?;
    let context = match thread.open(&Call::new(libc::SYS_fsopen, [memory, CLOSE_ON_EXEC, 0, 0, 0, 0])) {
        Err(remote::Error::Call { error, .. }) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
        opened => opened? as u64,
    };
    thread.call(&Call::new(libc::SYS_fsconfig, [context, CREATE, 0, 0, 0, 0]))?;
    let mount = thread.open(&Call::new(libc::SYS_fsmount, [context, CLOSE_ON_EXEC, 0, 0, 0, 0]))?;
    let copy = thread.copy_descriptor(mount)?;
    let listed =
        rustix::fs::fstat(&copy).map_err(io::Error::from).and_then(|stat| Ok((stat.st_dev, names(copy.as_fd())?)));
    let (device, names) =
        listed.map_err(|error| remote::Error::other(thread.who(), "list the message queues of", error))?;
    let mut named = Vec::new();
    for name in names {
        if let Ok(opened) = rustix::fs::openat(&copy, &name[..], FLAGS, Mode::empty()) {
            named.push((name, opened));
            continue;
        }
        thread.fill(memory, &[&name[..], b"\0"].concat())?;
        let flags = u64::from(FLAGS.bits());
        let number = thread.open(&Call::new(libc::SYS_openat, [mount as u64, memory, flags, 0, 0, 0]))?;
        named.push((name, thread.copy_descriptor(number)?));
    }
    Ok(Some(Mounted { device, named }))
}

/// What a directory holds.
fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = Dir::new(rustix::fs::openat(directory, ".", flags, Mode::empty())?)?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Reads a queue into its record.
fn read(
    pid: pid_t,
    tid: pid_t,
    queue: BorrowedFd<'_>,
    mut record: PosixQueue,
    view: &View,
) -> Result<PosixQueue, Error> {
    let name = record.name.to_vec();
    let failed = |error| failed(pid, tid, &name, error);
    let refused =
        |why: String| Err(Error::refused(pid, format!("POSIX message queue \"{}\"", name.escape_ascii()), why));
    if let Some(who) = queue::notified(queue).map_err(failed)? {
        return refused(format!(
            "process {who} is to get a signal when a message comes (mq_notify), of which the kernel does not show all"
        ));
    }
    let attributes = mqueue::attributes(queue).map_err(failed)?;
    let stat = rustix::fs::fstat(queue).map_err(|error| failed(error.into()))?;
    (record.user, record.group) = view.owner(stat.st_uid, stat.st_gid);
    record.mode = stat.st_mode & 0o7777;
    let size = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    (record.capacity, record.length) = (size(attributes.capacity), size(attributes.length));
    let messages = queue::read(queue, &attributes).map_err(failed)?;
    let total: u64 = messages.iter().map(|message| message.bytes.len() as u64).sum();
    if total > MOST {
        return refused(format!("{total} bytes wait in it, more than can be recorded"));
    }
    record.messages = fit(pid, "messages", messages)?;
    Ok(record)
}
