//! What waits in a Unix socket, looked at from the first to the last message without being taken.
//!
//! SO_PEEK_OFF makes each look go on behind the one before, and SO_PASSCRED shows who sent it; both are the socket's own
//! and are put back. The process stands still meanwhile.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::unix::{self, Message};

/// `SO_PEEK_OFF`, `SO_PASSCRED` (asm-generic/socket.h).
const PEEK_OFFSET: u32 = 42;
const PASS_CREDENTIALS: u32 = 16;
/// Room for a message, in bytes; larger ones are looked at once more.
const ROOM: usize = 1 << 18;
/// No message is larger: `net.core.wmem_max` can be, but nobody has that much in one.
const MOST: usize = 1 << 24;
/// `overflowuid`: who sent it is not known.
const NOBODY: u32 = 65534;

/// An option that is put back.
struct Borrowed<'a> {
    socket: BorrowedFd<'a>,
    name: u32,
    before: Vec<u8>,
}

impl<'a> Borrowed<'a> {
    fn set(socket: BorrowedFd<'a>, name: u32, value: i32) -> io::Result<Self> {
        let before = unix::option(socket, name)?;
        unix::set_option(socket, name, &value.to_ne_bytes())?;
        Ok(Self { socket, name, before })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // What was set a moment ago can be set again.
        let _ = unix::set_option(self.socket, self.name, &self.before);
    }
}

/// Looks at all that waits in `socket` of that `SOCK_` type.
///
/// # Errors
/// Those of recvmsg(2); what is too large.
pub fn read(socket: BorrowedFd<'_>, kind: u32) -> io::Result<Vec<Message>> {
    let _credentials = Borrowed::set(socket, PASS_CREDENTIALS, 1)?;
    let _offset = Borrowed::set(socket, PEEK_OFFSET, 0)?;
    let stream = kind == libc::SOCK_STREAM as u32;
    // Of a stream no more than there is: at its end a look takes the error that waits for the program (ECONNRESET).
    let total = if stream { rustix::io::ioctl_fionread(socket)? } else { u64::MAX };
    let mut messages: Vec<Message> = Vec::new();
    let mut at = 0;
    while (at as u64) < total
        && let Some(mut message) = peek(socket, at, stream)?
    {
        // The end of a stream is empty, that of SOCK_SEQPACKET comes from nobody.
        if message.bytes.is_empty() && (stream || message.credentials.is_none()) {
            break;
        }
        let length = message.bytes.len();
        if stream && !message.rights.is_empty() {
            set_offset(socket, at)?;
            let before = unix::before_last(socket, length)?;
            if before > 0 {
                let rest = message.bytes.split_off(before);
                let bytes = std::mem::replace(&mut message.bytes, rest);
                messages.push(known(Message { bytes, credentials: message.credentials, ..Message::default() }));
            }
        }
        messages.push(known(message));
        at += length;
        set_offset(socket, at)?;
    }
    Ok(messages)
}

fn set_offset(socket: BorrowedFd<'_>, at: usize) -> io::Result<()> {
    unix::set_option(socket, PEEK_OFFSET, &i32::try_from(at).map_err(io::Error::other)?.to_ne_bytes())
}

/// Without credentials that the kernel has not kept.
fn known(mut message: Message) -> Message {
    message.credentials = message.credentials.filter(|who| who.pid != 0 || who.user != NOBODY);
    message
}

fn peek(socket: BorrowedFd<'_>, at: usize, stream: bool) -> io::Result<Option<Message>> {
    let mut room = ROOM;
    loop {
        let message = unix::peek(socket, room)?;
        let Some(found) = &message else { return Ok(None) };
        if stream || !found.cut {
            return Ok(message);
        }
        if room >= MOST {
            return Err(io::Error::other(format!("a message of more than {MOST} bytes")));
        }
        room = MOST;
        set_offset(socket, at)?;
    }
}
