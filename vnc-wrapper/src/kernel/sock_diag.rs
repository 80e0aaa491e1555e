//! Asking about the sockets of a network namespace from outside, and ending TCP connections there (sock_diag(7)).

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::{namespaces, process};

/// Type of the request (linux/sock_diag.h).
const SOCK_DESTROY: u16 = 21;
/// `struct nlmsghdr` and `struct inet_diag_req_v2` (linux/inet_diag.h), in bytes.
const REQUEST: usize = 16 + 56;
/// Type of a question (linux/sock_diag.h).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct nlmsghdr` and `struct unix_diag_req` (linux/unix_diag.h), in bytes.
const UNIX_REQUEST: usize = 16 + 24;
/// What is to be told (linux/unix_diag.h): names, peers, connections that were not accepted yet, and lengths of queues.
const UDIAG_SHOW_NAME: u32 = 0x01;
const UDIAG_SHOW_PEER: u32 = 0x04;
const UDIAG_SHOW_ICONS: u32 = 0x08;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
/// A socket's name.
const UNIX_DIAG_NAME: u16 = 0;
/// The inode number of the socket that it is connected to.
const UNIX_DIAG_PEER: u16 = 2;
/// The inode numbers of those connections' other ends.
const UNIX_DIAG_ICONS: u16 = 3;
/// Bytes that were not read here, and there.
const UNIX_DIAG_RQLEN: u16 = 4;

/// Ends the connections with these local and remote ends in the network namespace of process `of`: both sides are told at
/// once, by ECONNABORTED here and a reset there. One that is gone already is no error.
///
/// # Errors
/// When we have no CAP_NET_ADMIN there, or the kernel was built without CONFIG_INET_DIAG_DESTROY.
pub fn destroy(of: u32, connections: Vec<(SocketAddr, SocketAddr)>) -> io::Result<()> {
    ask(of, move |kernel| {
        for (local, remote) in connections {
            send(kernel.as_raw_fd(), &request(local, remote), MsgFlags::empty())?;
            let mut answer = [0u8; 512];
            let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            match messages(&answer[..length]).find_map(|m| m.error()) {
                Some(0) => {}
                Some(error) if -error == libc::ENOENT => {}
                Some(error) => return Err(io::Error::from_raw_os_error(-error)),
                None => return Err(io::Error::other("the kernel's answer is not understood")),
            }
        }
        Ok(())
    })
}

/// Inode numbers of the listening Unix sockets in the network namespace of process `of` for which a connection waits that
/// has brought data already.
///
/// # Errors
/// When the namespace is gone, or the kernel was built without CONFIG_UNIX_DIAG.
pub fn unix_listeners_with_data(of: u32) -> io::Result<Vec<u64>> {
    let (mut waiting, mut unread) = (Vec::new(), HashMap::new());
    unix(of, UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN, |inode, kind, value| match kind {
        UNIX_DIAG_ICONS => waiting.extend(value.chunks(4).filter_map(|c| Some((inode, number(c, 0)?)))),
        UNIX_DIAG_RQLEN => drop(unread.insert(inode, number(value, 4).unwrap_or(0))),
        _ => {}
    })?;
    let has_data = |(_, from): &&(u32, u32)| unread.get(from).is_some_and(|bytes| *bytes > 0);
    Ok(waiting.iter().filter(has_data).map(|(listener, _)| u64::from(*listener)).collect())
}

/// Of each Unix socket in the network namespace of process `of` that is connected: the inode number of the socket at its
/// other end, and whether it has a name itself.
///
/// # Errors
/// When the namespace is gone, or the kernel was built without CONFIG_UNIX_DIAG.
pub fn unix_connected(of: u32) -> io::Result<Vec<(u64, bool)>> {
    let (mut peers, mut named) = (Vec::new(), HashSet::new());
    unix(of, UDIAG_SHOW_NAME | UDIAG_SHOW_PEER, |inode, kind, value| match kind {
        UNIX_DIAG_PEER => peers.extend(number(value, 0).map(|peer| (inode, peer))),
        UNIX_DIAG_NAME => drop(named.insert(inode)),
        _ => {}
    })?;
    Ok(peers.into_iter().map(|(inode, peer)| (u64::from(peer), named.contains(&inode))).collect())
}

/// Asks for `show` of all Unix sockets in the network namespace of process `of`, and calls `told` with a socket's inode
/// number and each attribute of it.
fn unix(of: u32, show: u32, mut told: impl FnMut(u32, u16, &[u8]) + Send) -> io::Result<()> {
    ask(of, |kernel| {
        let mut request = header(UNIX_REQUEST, SOCK_DIAG_BY_FAMILY, libc::NLM_F_REQUEST | libc::NLM_F_DUMP);
        request.extend([libc::AF_UNIX as u8, 0, 0, 0]);
        request.extend(u32::MAX.to_ne_bytes()); // in whatever state
        request.extend([0; 4]); // whichever socket
        request.extend(show.to_ne_bytes());
        request.extend([0xff; 8]); // no cookie
        send(kernel.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut answer = vec![0u8; 64 << 10];
        loop {
            let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            for message in messages(&answer[..length]) {
                match (i32::from(message.kind), message.error()) {
                    (libc::NLMSG_DONE, _) => return Ok(()),
                    (_, Some(error)) => return Err(io::Error::from_raw_os_error(-error)),
                    _ => {}
                }
                let Some(inode) = number(message.body, 4) else { continue };
                for (kind, value) in attributes(message.body.get(16..).unwrap_or_default()) {
                    told(inode, kind, value);
                }
            }
        }
    })
}

/// Lets `work` talk to the kernel in the network namespace of process `of`.
fn ask<T: Send>(of: u32, work: impl FnOnce(&OwnedFd) -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        // A network namespace is a thread's own (setns(2)), and this thread ends with the work.
        let thread = scope.spawn(|| {
            namespaces::join(&process::open(of)?, nix::sched::CloneFlags::CLONE_NEWNET.bits())?;
            let kernel =
                socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
            work(&kernel)
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the work was lost")))
    })
}

/// The beginning of a request of `length` bytes in all.
fn header(length: usize, kind: u16, flags: i32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags as u16).to_ne_bytes());
    bytes.extend([0; 8]); // sequence number and port, for whoever has several on their way
    bytes
}

/// The request for one connection, with an acknowledgement.
fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let mut bytes = header(REQUEST, SOCK_DESTROY, libc::NLM_F_REQUEST | libc::NLM_F_ACK);
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes()); // in whatever state
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    for end in [local, remote] {
        let mut address = [0; 16];
        match end.ip() {
            IpAddr::V4(ip) => address[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => address = ip.octets(),
        }
        bytes.extend(address);
    }
    bytes.extend([0; 4]); // on whatever interface
    bytes.extend([0xff; 8]); // INET_DIAG_NOCOOKIE
    bytes
}

/// A message of an answer (netlink(7)).
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

impl Message<'_> {
    /// The error number in an NLMSG_ERROR: 0 for none, else negative.
    fn error(&self) -> Option<i32> {
        let number = i32::from_ne_bytes(self.body.get(..4)?.try_into().ok()?);
        (i32::from(self.kind) == libc::NLMSG_ERROR).then_some(number)
    }
}

/// The messages in an answer, as far as they are whole.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = number(answer, 0)? as usize;
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        let body = answer.get(16..length)?;
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, body })
    })
}

/// The attributes behind a message's fixed part, as far as they are whole.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says() {
        for (local, remote) in [("1.2.3.4:5", "6.7.8.9:10"), ("[::1]:5", "[::2]:10")] {
            let bytes = request(local.parse().unwrap(), remote.parse().unwrap());
            assert_eq!(bytes.len(), REQUEST);
            assert_eq!(bytes[24..28], [0, 5, 0, 10]);
        }
    }

    #[test]
    fn an_answer_is_read_as_far_as_it_is_whole() {
        let mut answer = header(20, libc::NLMSG_ERROR as u16, 0);
        answer.extend((-2i32).to_ne_bytes());
        answer.extend(header(28, 20, 0));
        answer.extend([8, 0, 3, 0, 7, 0, 0, 0, 5, 0, 4, 0]);
        let all: Vec<_> = messages(&answer).collect();
        assert_eq!((all.len(), all[0].error(), all[1].error()), (2, Some(-2), None));
        // The second attribute says that it is longer than what is left.
        assert_eq!(attributes(all[1].body).collect::<Vec<_>>(), [(3, &[7, 0, 0, 0][..])]);
        assert_eq!(messages(&answer[..19]).count(), 0);
        assert_eq!(messages(&[0; 16]).count(), 0);
    }
}
