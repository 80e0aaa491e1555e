//! Messages that wait in a Unix socket (unix(7)), seen without being received.

use std::io;
use std::os::fd::OwnedFd;

use super::objects::{Kernel, not_understood};

/// No queue is longer: each message takes memory of its sender.
const MOST: u32 = 1 << 16;

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its bytes.
    pub length: u32,
    /// Its sender's socket, as a number that means nothing else.
    pub sender: u64,
    /// The sender's name, in the same way; 0 for none.
    pub name: u64,
    /// Whether the sender is connected to the socket that it waits in.
    pub connected: bool,
}

/// The messages that wait in `socket`, a Unix socket of ours, in order.
///
/// # Errors
/// When the kernel's memory is not understood.
pub fn waiting(kernel: &Kernel, socket: &OwnedFd) -> io::Result<Vec<Message>> {
    let of_file = kernel.follow(kernel.file(socket)?, "file", "private_data")?;
    let own = kernel.follow(of_file, "socket", "sk")?;
    let head = own + kernel.offset("sock", "sk_receive_queue")?;
    let count = number(kernel, head + kernel.offset("sk_buff_head", "qlen")?)?;
    let (length, sender) = (kernel.offset("sk_buff", "len")?, kernel.offset("sk_buff", "sk")?);
    if count > MOST {
        return Err(not_understood());
    }
    let mut found = Vec::new();
    // Both structures begin with the link to the next (linux/skbuff.h).
    let mut next = kernel.memory().word(head)?;
    for _ in 0..count {
        if next == head {
            return Err(not_understood());
        }
        let from = kernel.memory().word(next + sender)?;
        let of_sender = |member| if from == 0 { Ok(0) } else { kernel.follow(from, "unix_sock", member) };
        found.push(Message {
            length: number(kernel, next + length)?,
            sender: from,
            name: of_sender("addr")?,
            connected: of_sender("peer")? == own,
        });
        next = kernel.memory().word(next)?;
    }
    if next == head { Ok(found) } else { Err(not_understood()) }
}

fn number(kernel: &Kernel, at: u64) -> io::Result<u32> {
    Ok(u32::from_ne_bytes(kernel.memory().read(at, 4)?.try_into().map_err(|_| not_understood())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn messages_are_seen_and_stay() {
        let kernel = Kernel::open().unwrap();
        let place = tempfile::tempdir().unwrap();
        let (to, other) = (place.path().join("to"), place.path().join("other"));
        let receiver = UnixDatagram::bind(&to).unwrap();
        let nameless = UnixDatagram::unbound().unwrap();
        nameless.connect(&to).unwrap();
        let named = UnixDatagram::bind(&other).unwrap();
        nameless.send(b"one").unwrap();
        nameless.send(b"").unwrap();
        named.send_to(b"three", &to).unwrap();
        let seen = waiting(&kernel, &receiver.try_clone().unwrap().into()).unwrap();
        assert_eq!(seen.iter().map(|m| m.length).collect::<Vec<_>>(), [3, 0, 5]);
        assert_eq!(seen.iter().map(|m| m.connected).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(seen.iter().map(|m| m.name != 0).collect::<Vec<_>>(), [false, false, true]);
        assert!(seen[0].sender == seen[1].sender && seen[0].sender != seen[2].sender);
        let mut bytes = [0; 9];
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 3);
    }
}
