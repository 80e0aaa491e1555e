//! Both ends of a connection, made in repair mode: nothing is sent before both are there.
//!
//! Each end begins to send with what the other has not received, so that nothing is on its way: what was sent and had not
//! arrived is sent once more, in order.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::repair::{Queue, Repair, Window};
use crate::record::inet::Connection;
use crate::sys::inet as calls;
use crate::sys::{descriptor, unix};

/// How long the kernel may take for what it does at once unless the machine is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// Bytes that are put into a queue at once.
const PIECE: usize = 32 << 10;

/// One end, bound already.
#[derive(Debug)]
pub(super) struct End<'e> {
    pub(super) socket: BorrowedFd<'e>,
    pub(super) remote: SocketAddr,
    pub(super) connection: &'e Connection,
    /// What waits to be read.
    pub(super) waiting: &'e [u8],
}

impl<'e> End<'e> {
    /// What it has written and `other` has not received.
    pub(super) fn left(&self, other: &Self) -> &'e [u8] {
        let left = self.connection.sent.wrapping_sub(other.connection.received) as usize;
        let bytes = &self.connection.unacknowledged[..];
        &bytes[bytes.len().saturating_sub(left)..]
    }

    fn begin(&self, repair: &Repair<'_>, other: &Self) -> io::Result<()> {
        repair.set_sequence(Queue::Send, other.connection.received)?;
        let first = self.connection.received.wrapping_sub(self.waiting.len() as u32);
        repair.set_sequence(Queue::Receive, first)?;
        calls::connect(self.socket, self.remote)?;
        repair.agree(self.connection)
    }

    fn fill(&self, repair: &Repair<'_>, other: &Self) -> io::Result<()> {
        repair.choose(Queue::Receive)?;
        for mut piece in self.waiting.chunks(PIECE) {
            while !piece.is_empty() {
                let taken = calls::send(self.socket, piece)?;
                piece = piece.get(taken..).filter(|_| taken > 0).ok_or(io::ErrorKind::WriteZero)?;
            }
        }
        repair.choose(Queue::No)?;
        let Connection { received, window, largest_window, .. } = *self.connection;
        let send = other.connection.window;
        repair.set_window(Window {
            heard_at: received,
            send,
            largest: largest_window.max(send),
            receive: window,
            offered_at: received,
        })
    }
}

/// Connects both.
pub(super) fn join(one: &End<'_>, two: &End<'_>) -> io::Result<()> {
    let (first, second) = (Repair::begin(one.socket)?, Repair::begin(two.socket)?);
    one.begin(&first, two)?;
    two.begin(&second, one)?;
    one.fill(&first, two)?;
    two.fill(&second, one)
}

/// Waits until poll(2) has one of `events`.
pub(super) fn wait_for(socket: BorrowedFd<'_>, events: i16) -> io::Result<()> {
    let ends = Instant::now() + PATIENCE;
    while descriptor::ready(socket, events)? & events == 0 {
        if Instant::now() > ends {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Sends bytes whose room in the queue the kernel makes when it hears of the other end.
pub(super) fn send(socket: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    let ends = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        match calls::send(socket, &bytes[..bytes.len().min(PIECE)]) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < ends => {
                Repair::begin(socket)?.end_and_ask()?;
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends the end.
pub(super) fn end(socket: BorrowedFd<'_>) -> io::Result<()> {
    unix::shutdown(socket, libc::SHUT_WR)
}
