//! System V message queues.

use crate::ipc::QUEUES;
use crate::record::ipc::MessageQueue;
use crate::remote::Call;

use super::super::area::DATA;
use super::super::error::{Object, Result};
use super::super::list::List;
use super::{Maker, new, permissions};

/// Where `msg_qbytes` stands in `struct msqid64_ds`.
const CAPACITY: usize = 88;

/// Makes a queue, with its messages.
pub(super) fn make(maker: &Maker<'_>, record: &MessageQueue) -> Result {
    let wanted = &record.ipc;
    let (object, first) = (Object::Queue(wanted.identifier), maker.first);
    let identifier = wanted.identifier as u64;
    let arguments = [wanted.key as u32 as u64, new(wanted), 0, 0, 0, 0];
    maker.create(first, object, "kernel/msg_next_id", wanted, &Call::new(libc::SYS_msgget, arguments))?;
    let mut list = List::new(first);
    let set = |list: &mut List<'_>, capacity: u64| {
        let mut bytes = permissions(wanted, QUEUES.length);
        bytes[CAPACITY..CAPACITY + 8].copy_from_slice(&capacity.to_ne_bytes());
        list.with(object, libc::SYS_msgctl, &[&bytes], |at| [identifier, libc::IPC_SET as u64, at[0], 0, 0, 0])
    };
    // It may hold more than it could take now.
    let needed = needed(record);
    set(&mut list, needed)?;
    for message in record.messages.iter() {
        let bytes = [&message.kind.to_ne_bytes(), &message.bytes[..]].concat();
        let (length, flags) = (message.bytes.len() as u64, libc::IPC_NOWAIT as u64);
        if bytes.len() <= DATA as usize {
            list.with(object, libc::SYS_msgsnd, &[&bytes], |at| [identifier, at[0], length, flags, 0, 0])?;
            continue;
        }
        // Longer than all room for what calls read: from memory of its own.
        list.run()?;
        let size = bytes.len() as u64;
        let map = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let at = first.call(object, &Call::new(libc::SYS_mmap, [0, size, protection, map, u64::MAX, 0]))?;
        first.write(object, at, &bytes)?;
        first.call(object, &Call::new(libc::SYS_msgsnd, [identifier, at, length, flags, 0, 0]))?;
        first.call(object, &Call::new(libc::SYS_munmap, [at, size, 0, 0, 0, 0]))?;
    }
    if needed != record.capacity {
        set(&mut list, record.capacity)?;
    }
    list.run()
}

/// How much a queue must be able to hold while it is filled, in bytes: each message counts as one at least.
pub(super) fn needed(record: &MessageQueue) -> u64 {
    let bytes: u64 = record.messages.iter().map(|message| message.bytes.len() as u64).sum();
    record.capacity.max(bytes).max(record.messages.len() as u64)
}
