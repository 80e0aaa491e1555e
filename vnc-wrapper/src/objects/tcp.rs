//! TCP connections (tcp(7)): those that wait to be accepted, and what was not sent within the session.

use std::io;

use super::descriptor::Descriptor;
use super::network::{inode, queues};
use super::{Session, Trouble, WAIT};
use crate::kernel::tcp;

/// What a socket holds that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Connections that were not accepted.
    Waiting,
    /// Bytes that its other end, in the session as well, does not take, or has not acknowledged. CRIU sends them at the
    /// restore, when the other end may not be there yet; the connection is then reset and the restore fails.
    Unsent,
}

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(inode) = descriptor.socket() else { return Ok(Vec::new()) };
    let object = match session.network(descriptor.process)?.tcp.get(&inode) {
        Some(State::Waiting) => "a connection waits for it that it has not accepted",
        Some(State::Unsent) if holds_back(descriptor) => {
            "it has not yet sent all over a connection within the session, whose other end does not take it"
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Trouble::passing(object, WAIT)])
}

/// Whether something was not sent even once. The table counts as well what was sent and is not acknowledged, which the other
/// end has; CRIU keeps that apart. What cannot be asked counts.
fn holds_back(descriptor: &Descriptor<'_>) -> bool {
    !descriptor.copy().is_some_and(|copy| tcp::unsent(copy).is_ok_and(|count| count == 0))
}

/// The inode number of the socket in a line of the table, and what it holds.
pub(super) fn state(line: &str) -> Option<(u64, State)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (unsent, unread) = queues(&fields)?;
    let (local, _) = fields.get(1)?.split_once(':')?;
    let (remote, _) = fields.get(2)?.split_once(':')?;
    // Of a listening socket (TCP_LISTEN) the second is the number of connections.
    let state = if fields.get(3) == Some(&"0A") {
        (unread > 0).then_some(State::Waiting)
    } else {
        ((local == remote || is_loopback(remote)) && unsent > 0).then_some(State::Unsent)
    };
    Some((inode(&fields)?, state?))
}

/// 127.0.0.0/8 and ::1, in words of 32 bits as the machine has them.
fn is_loopback(address: &str) -> bool {
    (address.len() == 8 && address.ends_with("7F")) || address == "00000000000000000000000001000000"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_read_where_they_count() {
        let line = |state: &str, queues: &str| {
            format!(" 0: 0100007F:1F90 0100007F:A1B2 {state} {queues} 00:00000000 00000000 1000 0 4711 1 ffff")
        };
        assert_eq!(state(&line("04", "00000100:00000000")), Some((4711, State::Unsent)));
        let away = line("01", "00000100:00000000").replace("0100007F:A1B2", "0102A8C0:01BB");
        assert_eq!(state(&away), None);
        assert_eq!(state(&line("04", "00000000:00000300")), None);
        assert_eq!(state(&line("0A", "00000000:00000001")), Some((4711, State::Waiting)));
        assert_eq!(state(&line("0A", "00000000:00000000")), None);
        assert_eq!(state("broken"), None);
    }
}
