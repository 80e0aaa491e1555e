//! What the session's ipc namespace holds, made in a new one by processes that are in it.
//!
//! An object gets its identifier by `/proc/sys/kernel/shm_next_id` and its kin, which whoever has CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE in
//! the namespace may write. They are opened below a directory that all processes have from here, so the session needs no `/proc`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `segments` | System V shared memory |
//! | `semaphores` | System V semaphores, and what is done to them as processes end |
//! | `messages` | System V message queues |
//! | `posix` | POSIX message queues |
//! | `limits` | the namespace's limits |

mod limits;
mod messages;
mod posix;
pub(super) mod segments;
mod semaphores;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::fault::Step as Fault;
use crate::ipc;
use crate::objects::Finding;
use crate::record::ipc::IpcObject;
use crate::remote::Call;

use super::content::Content;
use super::descriptors::{Key, Open};
use super::error::{Error, Object, Result};
use super::list::List;
use super::nursery::Nursery;
use super::rights::KEEP;
use super::stub::Stub;
use super::tree::Forest;

pub(super) use limits::Limits;
pub(super) use posix::queues;
pub(super) use semaphores::undo;

/// A user or group that stays as it is (setresuid(2)).
const SAME: u64 = u32::MAX as u64;

/// The directory of settings, as every process sees its own.
pub(super) fn settings() -> io::Result<OwnedFd> {
    Ok(File::open(ipc::limits::DIRECTORY)?.into())
}

/// Fails for a content with what needs an ipc namespace of its own, where none is made.
pub(super) fn check(content: &Content, namespaces: u64) -> Result {
    if namespaces & libc::CLONE_NEWIPC as u64 != 0 || !content.has_ipc() {
        return Ok(());
    }
    Err(Error::unable("what is in the session's ipc namespace", "the plan makes no ipc namespace for it"))
}

/// Makes all System V objects. None of the processes of `forest` has ended yet.
pub(super) fn make(content: &Content, forest: &Forest<'_>, (open, nursery): (&Open, &Nursery), first: &Stub) -> Result {
    if content.has_ipc() {
        let maker = Maker { forest, first, settings: open.number(&Key::Settings)? };
        for object in content.objects.values() {
            segments::make(&maker, object, nursery)?;
        }
        for set in &content.semaphores {
            semaphores::make(&maker, set)?;
        }
        for queue in &content.messages {
            messages::make(&maker, queue)?;
        }
    }
    first.point(Object::Ipc, Fault::RestoreIpc)
}

/// What comes when segments are filled and everything is attached.
pub(super) fn finish(content: &Content, open: &Open, limits: Limits, first: &Stub) -> Result<Vec<Finding>> {
    segments::lock(content, first)?;
    if !content.has_ipc() {
        return Ok(Vec::new());
    }
    limits.set(first, open.number(&Key::Settings)?)
}

/// Who makes objects.
struct Maker<'m> {
    forest: &'m Forest<'m>,
    first: &'m Stub,
    /// The descriptor of the directory of settings in all of them.
    settings: u64,
}

impl Maker<'_> {
    /// The process with that pid of the session, or the first one if it is not there.
    fn process(&self, pid: u32) -> &Stub {
        self.forest.stubs.get(&pid.cast_signed()).unwrap_or(self.first)
    }

    /// Has `by` make an object by `call`, as the user who made it; `next` is the setting that says which identifier it gets.
    fn create(&self, by: &Stub, object: Object, next: &str, wanted: &IpcObject, call: &Call) -> Result {
        write(by, object, self.settings, next, &wanted.identifier.to_string())?;
        let (user, group) = (wanted.creator_user.into(), wanted.creator_group.into());
        let other = (user, group) != (0, 0);
        if other {
            let mut list = List::new(by);
            list.call(object, libc::SYS_prctl, [libc::PR_SET_SECUREBITS as u64, KEEP, 0, 0, 0, 0])?;
            list.call(object, libc::SYS_setresgid, [SAME, group, SAME, 0, 0, 0])?;
            list.call(object, libc::SYS_setresuid, [SAME, user, SAME, 0, 0, 0])?;
            list.run()?;
        }
        let made = by.call(object, call)?;
        if other {
            let mut list = List::new(by);
            list.call(object, libc::SYS_setresuid, [SAME, 0, SAME, 0, 0, 0])?;
            list.call(object, libc::SYS_setresgid, [SAME, 0, SAME, 0, 0, 0])?;
            list.call(object, libc::SYS_prctl, [libc::PR_SET_SECUREBITS as u64, 0, 0, 0, 0, 0])?;
            list.run()?;
        }
        if made != wanted.identifier as u64 {
            let error = io::Error::other(format!("the kernel gives it the identifier {made}"));
            return Err(by.failed_call(object, call, error));
        }
        Ok(())
    }
}

/// The flags by which an object is made that is not there yet.
fn new(wanted: &IpcObject) -> u64 {
    (libc::IPC_CREAT | libc::IPC_EXCL) as u64 | u64::from(wanted.mode)
}

/// `struct ipc64_perm`, as IPC_SET reads it, in an answer of that length.
fn permissions(wanted: &IpcObject, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, value) in [(4, wanted.user), (8, wanted.group), (20, wanted.mode)] {
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

/// Whether its owner is not who made it.
fn was_given_away(it: &IpcObject) -> bool {
    (it.user, it.group) != (it.creator_user, it.creator_group)
}

fn open(by: &Stub, object: Object, settings: u64, file: &str, flags: i32) -> Result<u64> {
    let data = by.area().data();
    by.write(object, data, format!("{file}\0").as_bytes())?;
    by.call(object, &Call::new(libc::SYS_openat, [settings, data, flags as u64, 0, 0, 0]))
}

/// Has a process write a setting of its namespace.
fn write(by: &Stub, object: Object, settings: u64, file: &str, text: &str) -> Result {
    let number = open(by, object, settings, file, libc::O_WRONLY)?;
    let data = by.area().data();
    by.write(object, data, text.as_bytes())?;
    let written = by.call(object, &Call::new(libc::SYS_write, [number, data, text.len() as u64, 0, 0, 0]));
    by.call(object, &Call::new(libc::SYS_close, [number, 0, 0, 0, 0, 0]))?;
    written.map(drop)
}

/// Has a process read a setting of its namespace; none for one that the kernel does not have.
fn read(by: &Stub, object: Object, settings: u64, file: &str) -> Result<Option<Vec<u64>>> {
    const ROOM: u64 = 128;
    let number = match open(by, object, settings, file, libc::O_RDONLY) {
        Err(error) if error.number() == Some(libc::ENOENT) => return Ok(None),
        number => number?,
    };
    let data = by.area().data();
    let length = by.call(object, &Call::new(libc::SYS_read, [number, data, ROOM, 0, 0, 0]))?;
    let mut text = vec![0; length.min(ROOM) as usize];
    by.read(object, data, &mut text)?;
    by.call(object, &Call::new(libc::SYS_close, [number, 0, 0, 0, 0, 0]))?;
    match ipc::limits::parse(&text) {
        Some(numbers) => Ok(Some(numbers)),
        None => Err(by.failed(object, file, io::Error::other(format!("it shows \"{}\"", text.escape_ascii())))),
    }
}
