//! POSIX message queues, and their descriptors: opened by the first process, for names are those of its namespace.

use std::os::fd::{AsFd, OwnedFd};

use crate::objects::{common, queue};
use crate::record::Record;
use crate::record::ipc::PosixQueue;
use crate::remote::Call;

use super::super::content::Content;
use super::super::descriptors::{Key, Open};
use super::super::error::{Error, Object, Result};
use super::super::list::List;
use super::super::stub::Stub;

/// What mq_open(2) takes of a description's flags.
const FLAGS: u32 = (libc::O_ACCMODE | libc::O_NONBLOCK) as u32;

/// Makes all queues and opens them. Those that were unlinked come first: another may have the name since.
pub(in super::super) fn queues(open: &mut Open, content: &Content, first: &Stub) -> Result {
    let mut all: Vec<&PosixQueue> = content.queues.values().collect();
    all.sort_by_key(|queue| !queue.unlinked);
    for record in all {
        let made = make(record, first)?;
        for description in content.descriptions.values() {
            let Record::PosixQueueEnd(it) = description else { continue };
            if it.queue == record.id {
                let end = call(record, first, it.common.flags & FLAGS, false)?;
                let end = first.take_descriptor(Object::PosixQueue(record.id), &end)?;
                let failed = |error| Error::Object { what: what(record), call: "F_SETFL", error };
                common::give(end.as_fd(), &it.common).map_err(failed)?;
                open.add(Key::Description(it.common.id), end)?;
            }
        }
        if record.unlinked {
            name(record, first)?;
            first.call(
                Object::PosixQueue(record.id),
                &Call::new(libc::SYS_mq_unlink, [first.area().data(), 0, 0, 0, 0, 0]),
            )?;
        }
        queue::give(&made, record)?;
    }
    Ok(())
}

fn what(record: &PosixQueue) -> String {
    format!("POSIX message queue \"{}\"", record.name.escape_ascii())
}

/// Writes the name where calls read it.
fn name(record: &PosixQueue, first: &Stub) -> Result {
    first.write(Object::PosixQueue(record.id), first.area().data(), &[&record.name[..], b"\0"].concat())
}

/// The call that opens a queue, or makes it.
fn call(record: &PosixQueue, first: &Stub, flags: u32, new: bool) -> Result<Call> {
    name(record, first)?;
    let data = first.area().data();
    // Behind the longest name.
    let attributes = data + 512;
    // Without O_CLOEXEC, which would stay among its flags.
    let mut flags = u64::from(flags);
    if new {
        flags |= (libc::O_CREAT | libc::O_EXCL) as u64;
        // struct mq_attr: flags, how many, how long.
        let words = [0, record.capacity.into(), record.length.into(), 0, 0, 0, 0, 0u64];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        first.write(Object::PosixQueue(record.id), attributes, &bytes)?;
    }
    Ok(Call::new(libc::SYS_mq_open, [data, flags, 0o600, attributes, 0, 0]))
}

/// Makes a queue, with its owner and mode; open for reading and writing here.
fn make(record: &PosixQueue, first: &Stub) -> Result<OwnedFd> {
    let object = Object::PosixQueue(record.id);
    let call = call(record, first, (libc::O_RDWR | libc::O_NONBLOCK) as u32, true)?;
    let number = first.call(object, &call)?;
    let copied = first.copy_descriptor(object, number)?;
    let mut list = List::new(first);
    list.call(object, libc::SYS_fchown, [number, record.user.into(), record.group.into(), 0, 0, 0])?;
    list.call(object, libc::SYS_fchmod, [number, record.mode.into(), 0, 0, 0, 0])?;
    list.call(object, libc::SYS_close, [number, 0, 0, 0, 0, 0])?;
    list.run()?;
    Ok(copied)
}
