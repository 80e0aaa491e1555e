//! Repair mode of TCP sockets (TCP_REPAIR, net/ipv4/tcp.c): their queues and sequence numbers are read and set, and closing them
//! sends nothing. It needs CAP_NET_ADMIN in the user namespace of their net namespace, which its owner has.

use std::io;
use std::os::fd::BorrowedFd;

use super::{SOCKET, TCP};
use crate::sys::inet as calls;

/// `TCP_REPAIR` and its fellows (linux/tcp.h).
const REPAIR: i32 = 19;
const QUEUE: i32 = 20;
const SEQUENCE: i32 = 21;
const OPTIONS: i32 = 22;
const CLOCK: i32 = 24;
const WINDOW: i32 = 29;
/// Without a probe of the window, which would be seen by the other end.
const OFF: i32 = -1;
/// With one.
const OFF_AND_ASK: i32 = 0;
/// `TCPOPT_MSS`, `TCPOPT_WINDOW`, `TCPOPT_SACK_PERM`, `TCPOPT_TIMESTAMP` (include/net/tcp.h).
const SEGMENT: u32 = 2;
const SCALES: u32 = 3;
const SELECTIVE: u32 = 4;
const TIMESTAMPS: u32 = 8;

/// A queue of a socket in repair mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// None.
    No = 0,
    /// What waits to be read.
    Receive = 1,
    /// What was written, and not acknowledged.
    Send = 2,
}

/// `struct tcp_repair_window`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// When the other's window was last heard of, as the number of that segment.
    pub heard_at: u32,
    /// How much the other end takes, from the first byte that it has not said to have.
    pub send: u32,
    /// The largest that it has offered.
    pub largest: u32,
    /// How much was offered.
    pub receive: u32,
    /// From where on.
    pub offered_at: u32,
}

impl Window {
    fn fields(self) -> [u32; 5] {
        [self.heard_at, self.send, self.largest, self.receive, self.offered_at]
    }
}

/// A socket in repair mode, while this lives.
#[derive(Debug)]
pub struct Repair<'s> {
    socket: BorrowedFd<'s>,
    /// SO_REUSEADDR, which repair mode changes.
    reuse: i32,
}

impl<'s> Repair<'s> {
    /// Begins it.
    ///
    /// # Errors
    /// EPERM without the right to it, or for a listener.
    pub fn begin(socket: BorrowedFd<'s>) -> io::Result<Self> {
        let reuse = calls::number(socket, SOCKET, libc::SO_REUSEADDR)?;
        calls::set_number(socket, TCP, REPAIR, 1)?;
        Ok(Self { socket, reuse })
    }

    /// Chooses the queue that calls are about.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn choose(&self, queue: Queue) -> io::Result<()> {
        calls::set_number(self.socket, TCP, QUEUE, queue as i32)
    }

    /// The number behind the last byte of a queue, its end counted too.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn sequence(&self, queue: Queue) -> io::Result<u32> {
        self.choose(queue)?;
        let number = calls::number(self.socket, TCP, SEQUENCE);
        self.choose(Queue::No)?;
        number.map(i32::cast_unsigned)
    }

    /// Sets that number; before the socket is connected.
    ///
    /// # Errors
    /// EPERM when it is connected.
    pub fn set_sequence(&self, queue: Queue, number: u32) -> io::Result<()> {
        self.choose(queue)?;
        calls::set_number(self.socket, TCP, SEQUENCE, number.cast_signed())?;
        self.choose(Queue::No)
    }

    /// The largest segment that it may send (TCP_MAXSEG means that in repair mode).
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn segment(&self) -> io::Result<u32> {
        calls::number(self.socket, TCP, libc::TCP_MAXSEG).map(i32::cast_unsigned)
    }

    /// What it knows of windows.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn window(&self) -> io::Result<Window> {
        let bytes = calls::option(self.socket, TCP, WINDOW, 20)?;
        let (words, _) = bytes.as_chunks::<4>();
        let [heard_at, send, largest, receive, offered_at] =
            <[[u8; 4]; 5]>::try_from(words).map_err(|_| io::ErrorKind::InvalidData)?.map(u32::from_ne_bytes);
        Ok(Window { heard_at, send, largest, receive, offered_at })
    }

    /// Sets that.
    ///
    /// # Errors
    /// EINVAL when it does not fit the numbers.
    pub fn set_window(&self, window: Window) -> io::Result<()> {
        let bytes: Vec<u8> = window.fields().iter().flat_map(|field| field.to_ne_bytes()).collect();
        calls::set_option(self.socket, TCP, WINDOW, &bytes)
    }

    /// Sets what both ends have agreed on when they were connected.
    ///
    /// # Errors
    /// EPERM when something was sent already.
    pub fn agree(&self, agreed: &crate::record::inet::Connection) -> io::Result<()> {
        // struct tcp_repair_opt: code, value.
        let mut words = vec![SEGMENT, agreed.segment];
        if let Some(scales) = &agreed.scales {
            words.extend([SCALES, u32::from(scales.received) | u32::from(scales.sent) << 16]);
        }
        if agreed.selective {
            words.extend([SELECTIVE, 0]);
        }
        if agreed.timestamps {
            words.extend([TIMESTAMPS, 0]);
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        calls::set_option(self.socket, TCP, OPTIONS, &bytes)?;
        if agreed.timestamps {
            calls::set_number(self.socket, TCP, CLOCK, agreed.clock.cast_signed())?;
        }
        Ok(())
    }

    /// Leaves it, with a probe of the other's window, which answers.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn end_and_ask(self) -> io::Result<()> {
        calls::set_number(self.socket, TCP, REPAIR, OFF_AND_ASK)
        // The guard then leaves it once more, which does nothing.
    }
}

impl Drop for Repair<'_> {
    fn drop(&mut self) {
        // Who could begin it can end it.
        let _ = calls::set_number(self.socket, TCP, REPAIR, OFF);
        let _ = calls::set_number(self.socket, SOCKET, libc::SO_REUSEADDR, self.reuse);
    }
}

/// What its clock for timestamps shows.
///
/// # Errors
/// Those of getsockopt(2).
pub(super) fn clock(socket: BorrowedFd<'_>) -> io::Result<u32> {
    calls::number(socket, TCP, CLOCK).map(i32::cast_unsigned)
}

/// Whether a program has it in repair mode.
///
/// # Errors
/// Those of getsockopt(2).
pub(super) fn is_on(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(calls::number(socket, TCP, REPAIR)? != 0)
}
