//! Unix sockets (unix(7)): connections that wait to be accepted, and messages that wait.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::descriptor::Descriptor;
use super::{Session, Trouble, WAIT};
use crate::container::processes::{Process, has_ended};
use crate::kernel::messages::{self, Message};
use crate::kernel::objects::Kernel;
use crate::kernel::{sock_diag, socket};

/// Types of sockets that keep messages apart, as /proc/net/unix has them: SOCK_DGRAM and SOCK_SEQPACKET.
const TYPES: [&str; 2] = ["0002", "0005"];

/// Options by which a message comes with more than its bytes and descriptors (socket(7)); CRIU does not save that.
const WITH_MORE: [i32; 6] = [
    libc::SO_PASSCRED,
    libc::SO_PASSSEC,
    // SO_PASSPIDFD (asm-generic/socket.h), since Linux 6.5.
    76,
    libc::SO_TIMESTAMP,
    libc::SO_TIMESTAMPNS,
    libc::SO_TIMESTAMPING,
];

/// What waits in a socket and would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// An empty message.
    Empty,
    /// Messages that would come to have another sender's name.
    Senders,
    /// Messages that nobody lets us see.
    Unknown,
}

impl Lost {
    fn object(self) -> &'static str {
        match self {
            Self::Empty => "it has not yet read an empty message, which the engine would lose",
            Self::Senders => "it has not yet read messages whose sender the engine would lose",
            Self::Unknown => "it has not yet read messages, and the kernel does not let us see which",
        }
    }
}

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(inode) = descriptor.socket() else { return Ok(Vec::new()) };
    let network = session.network(descriptor.process)?;
    if network.listening.contains(&inode) {
        return Ok(vec![Trouble::passing("a connection waits for it that it has not accepted", WAIT)]);
    }
    let Some(copy) = descriptor.copy() else { return Ok(Vec::new()) };
    if !socket::kind(copy).is_ok_and(|(domain, _)| domain == libc::AF_UNIX) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    if rustix::io::ioctl_fionread(copy).is_ok_and(|bytes| bytes > 0) && WITH_MORE.iter().any(|o| is_set(copy, *o)) {
        found.push(Trouble::passing("messages with credentials or times wait for it that it has not read", WAIT));
    }
    if network.apart.contains(&inode) && session.is_new(descriptor) {
        let lost = unread(descriptor.process, inode, copy, session.kernel());
        found.extend(lost.map(|lost| Trouble::passing(lost.object(), WAIT)));
    }
    Ok(found)
}

fn is_set(copy: &OwnedFd, option: i32) -> bool {
    socket::get(copy, libc::SOL_SOCKET, option).is_ok_and(|value| value.iter().any(|byte| *byte != 0))
}

/// The inode number of a socket that keeps messages apart, in a line of /proc/net/unix (proc_pid_net(5)).
pub(super) fn apart(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    TYPES.contains(fields.get(4)?).then(|| fields.get(6)?.parse().ok())?
}

fn unread(process: &Process, inode: u64, socket: &OwnedFd, kernel: Option<&Kernel>) -> Option<Lost> {
    // Most have nothing; an end that was closed counts as something, and has no message.
    let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let is_ready = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0);
    if !is_ready {
        return None;
    }
    match kernel.map(|kernel| messages::waiting(kernel, socket)) {
        Some(Ok(messages)) if messages.is_empty() => None,
        Some(Ok(messages)) => match sock_diag::unix_connected(process.outside) {
            Ok(all) => {
                let connected: Vec<bool> = all.iter().filter(|(to, _)| *to == inode).map(|(_, named)| *named).collect();
                judge(&messages, &connected)
            }
            Err(error) if has_ended(&error) => None,
            Err(_) => Some(Lost::Unknown),
        },
        Some(Err(_)) => Some(Lost::Unknown),
        None => {
            let closed = ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP));
            let closed = closed && rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes == 0);
            (!closed).then_some(Lost::Unknown)
        }
    }
}

/// CRIU takes an empty message for the end of all, and sends what it read from one of the sockets that are connected to
/// this one, if there is any, else from one without a name. `connected` tells of each whether it has a name.
fn judge(messages: &[Message], connected: &[bool]) -> Option<Lost> {
    if messages.iter().any(|m| m.length == 0) {
        return Some(Lost::Empty);
    }
    let first = messages.first()?;
    let nameless = messages.iter().all(|m| m.name == 0) && connected.iter().all(|named| !named);
    let one = connected.len() == 1 && messages.iter().all(|m| m.connected && m.sender == first.sender);
    (!nameless && !one).then_some(Lost::Senders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_to_be_those_that_the_engine_gives() {
        let message = |sender, name, connected| Message { length: 3, sender, name, connected };
        assert_eq!(judge(&[], &[true, true]), None);
        assert_eq!(judge(&[message(1, 9, true), message(1, 9, true)], &[true]), None);
        assert_eq!(judge(&[message(1, 9, true)], &[true, false]), Some(Lost::Senders));
        assert_eq!(judge(&[message(1, 0, false), message(2, 0, true)], &[false]), None);
        assert_eq!(judge(&[message(1, 0, false)], &[true]), Some(Lost::Senders));
        assert_eq!(judge(&[message(1, 9, true), message(2, 8, false)], &[true]), Some(Lost::Senders));
        assert_eq!(judge(&[message(1, 9, false)], &[]), Some(Lost::Senders));
        let empty = Message { length: 0, ..message(1, 0, true) };
        assert_eq!(judge(&[message(1, 0, true), empty], &[false]), Some(Lost::Empty));
    }

    #[test]
    fn sockets_that_keep_messages_apart_are_found() {
        let line = |kind: &str| format!("0000000000000000: 00000002 00000000 00000000 {kind} 01 4711 /run/x");
        assert_eq!(apart(&line("0002")), Some(4711));
        assert_eq!(apart(&line("0001")), None);
        assert_eq!(apart("broken"), None);
    }
}
