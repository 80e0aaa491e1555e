//! UDP sockets (udp(7)): CRIU saves none of the datagrams that wait, and no datagram that is held back.

use std::io;

use super::descriptor::Descriptor;
use super::network::{inode, queues};
use super::{CLOSE, Session, Trouble, WAIT};

/// What a socket holds that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A datagram that is still being written.
    HeldBack,
    /// Datagrams that were not read.
    Unread,
}

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(inode) = descriptor.socket() else { return Ok(Vec::new()) };
    let trouble = session.network(descriptor.process)?.udp.get(&inode).map(|state| match state {
        State::HeldBack => Trouble::passing("it holds back a datagram that it is still writing (UDP_CORK)", CLOSE),
        State::Unread => Trouble::passing("it has not yet read all UDP datagrams that it received", WAIT),
    });
    Ok(trouble.into_iter().collect())
}

/// The inode number of the socket in a line of the table, and what it holds.
pub(super) fn state(line: &str) -> Option<(u64, State)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let state = match queues(&fields)? {
        (1.., _) => State::HeldBack,
        (0, 1..) => State::Unread,
        (0, 0) => return None,
    };
    Some((inode(&fields)?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_by_the_queues() {
        let line =
            |queues: &str| format!("0: 0100007F:C001 0100007F:0009 01 {queues} 00:00000000 00000000 1000 0 12 2 0 0");
        assert_eq!(state(&line("00000300:00000000")), Some((12, State::HeldBack)));
        assert_eq!(state(&line("00000000:00000300")), Some((12, State::Unread)));
        assert_eq!(state(&line("00000000:00000000")), None);
        assert_eq!(state("broken"), None);
    }
}
