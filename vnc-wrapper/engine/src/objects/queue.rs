//! POSIX message queues (mq_overview(7)). No call looks at what waits in one: all messages are received and sent again, while all who
//! have the queue stand still and nobody waits in it.
//!
//! - They come out by priority and, of one priority, in the order in which they were sent; so they are sent again as they came.
//! - The first message of an empty queue would set off the signal that somebody asked for (mq_notify(3)). Its value is shown nowhere, so
//!   that it could not be asked for again either: such a queue is found by name, and not touched.
//! - Times of the queue's file change; an epoll instance that watches the queue with EPOLLET gives its event once more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::{Error, common};
use crate::fault::{self, Step};
use crate::objects::Seen;
use crate::record::ipc::{PosixMessage, PosixQueue, PosixQueueEnd};
use crate::sys::mqueue::{self, Attributes};

/// What the file of a queue shows at most (`FILENT_SIZE` in ipc/mqueue.c).
const FILE: usize = 80;

/// The record of an open queue, with the number `id`; `queue`: that of the queue.
///
/// # Errors
/// When the kernel does not answer.
pub fn take_end(seen: &Seen, id: u32, queue: u32) -> Result<PosixQueueEnd, Error> {
    Ok(PosixQueueEnd { common: common::take(seen, id)?, queue })
}

/// The pid, as this process sees it, of who asked for a signal when a message comes; none: nobody. `queue` must be open for reading.
///
/// # Errors
/// When the kernel does not answer as expected.
pub fn notified(queue: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let mut text = [0; FILE];
    let read = rustix::io::pread(queue, &mut text, 0)?;
    let shown = String::from_utf8_lossy(&text[..read]).into_owned();
    let pid = shown.split_once("NOTIFY_PID:").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    let pid: u32 = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, shown))?;
    Ok((pid != 0).then_some(pid))
}

/// Messages that were taken out of a queue; dropped, they are in it again.
struct Taken<'q> {
    queue: BorrowedFd<'q>,
    messages: Vec<PosixMessage>,
    /// How many of them are in it again.
    back: usize,
}

impl Taken<'_> {
    fn all(&mut self, attributes: &Attributes) -> io::Result<()> {
        let mut room = vec![0; usize::try_from(attributes.length).map_err(io::Error::other)?];
        while let Some((length, priority)) = mqueue::receive(self.queue, &mut room)? {
            let bytes = room[..length].to_vec().try_into().map_err(io::Error::other);
            match bytes {
                Ok(bytes) => self.messages.push(PosixMessage { priority, bytes }),
                Err(error) => {
                    // Longer than any kernel lets it be.
                    mqueue::send(self.queue, &room[..length], priority)?;
                    return Err(error);
                }
            }
        }
        fault::point(Step::QueueRead)
    }

    fn put_back(&mut self) -> io::Result<()> {
        while let Some(message) = self.messages.get(self.back) {
            mqueue::send(self.queue, &message.bytes, message.priority)?;
            self.back += 1;
        }
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // An error was met already.
        let _ = self.put_back();
    }
}

/// What waits in a queue, which is open for reading and writing.
///
/// # Errors
/// When the kernel does not answer; the queue is as it was.
pub fn read(queue: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<Vec<PosixMessage>> {
    if attributes.waiting == 0 {
        return Ok(Vec::new());
    }
    let mut taken = Taken { queue, messages: Vec::new(), back: 0 };
    taken.all(attributes)?;
    taken.put_back()?;
    Ok(std::mem::take(&mut taken.messages))
}

/// Puts messages into a new queue.
///
/// # Errors
/// Those of mq_send(3).
pub fn give(queue: impl AsFd, record: &PosixQueue) -> Result<(), Error> {
    let what = format!("POSIX message queue \"{}\"", record.name.escape_ascii());
    let sent = record.messages.iter().try_for_each(|it| mqueue::send(queue.as_fd(), &it.bytes, it.priority));
    sent.map_err(Error::given(what, "mq_timedsend"))
}
