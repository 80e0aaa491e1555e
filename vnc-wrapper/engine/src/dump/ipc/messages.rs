//! System V message queues. Messages are looked at by their places (MSG_COPY) and stay.

use super::super::Error;
use super::super::error::fit;
use super::super::sockets::Inside;
use super::Found;
use crate::ipc;
use crate::record::ipc::{MessageQueue, QueuedMessage};
use crate::remote::Call;

/// How much is read at once, in bytes; one message may be longer.
const ROOM: u64 = 1 << 20;
/// The type of a message, before its bytes.
const KIND: u64 = 8;
/// More than a record holds, in bytes.
pub(super) const MOST: u64 = 24 << 20;

/// The record of a queue.
pub(super) fn take(inside: &mut Inside<'_, '_>, found: Found) -> Result<MessageQueue, Error> {
    let pid = inside.pid;
    let Found { ipc, stat } = found;
    let [bytes, count, capacity] = stat.held();
    let what = format!("System V message queue {}", ipc.identifier);
    if bytes.saturating_add(count.saturating_mul(KIND)) > MOST {
        return Err(Error::refused(pid, what, format!("{bytes} bytes wait in it, more than can be recorded")));
    }
    // No message is longer than all.
    let length = (bytes + KIND).next_multiple_of(8);
    let at_once = (ROOM / length).clamp(1, count.max(1));
    let mut messages = Vec::new();
    let places: Vec<u64> = (0..count).collect();
    for places in places.chunks(at_once as usize) {
        let (made, memory) = inside.ask(pid, inside.tid, |thread| {
            let total = length * places.len() as u64;
            let at = thread.map(total.next_multiple_of(4096))?;
            let flags = ipc::MSG_COPY | libc::IPC_NOWAIT as u64;
            let place = |place: &u64| at + (place - places[0]) * length;
            let call = |it: &u64| [ipc.identifier as u64, place(it), bytes, *it, flags, 0];
            let mut calls: Vec<Call> = places.iter().map(|it| Call::new(libc::SYS_msgrcv, call(it))).collect();
            thread.run(&mut calls)?;
            let mut memory = vec![0; total as usize];
            thread.read(at, &mut memory)?;
            Ok((calls, memory))
        })?;
        for (call, memory) in made.iter().zip(memory.chunks_exact(length as usize)) {
            if let Some(error) = call.error() {
                return Err(Error::refused(pid, what, format!("a message cannot be looked at: {call}: {error}")));
            }
            let (kind, bytes) = memory.split_at(KIND as usize);
            let bytes = bytes[..(call.result as usize).min(bytes.len())].to_vec();
            messages.push(QueuedMessage {
                kind: i64::from_ne_bytes(kind.try_into().unwrap_or_default()),
                bytes: fit(pid, "a message", bytes)?,
            });
        }
    }
    Ok(MessageQueue { ipc, capacity, messages: fit(pid, "messages", messages)? })
}
