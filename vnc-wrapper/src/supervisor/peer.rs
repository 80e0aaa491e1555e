//! The agent's end of a control connection, as zbus is to see it.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split};
use zbus::fdo::ConnectionCredentials;

/// The reading half of an agent's connection.
///
/// zbus asks SO_PEERCRED for the peer's pid and takes 0 for an error; but 0 is what a process of the outside has in the
/// supervisor's pid namespace. The user id, which counts, was checked before.
#[derive(Debug)]
pub(super) struct Reader(OwnedReadHalf, u32);

/// A connection whose peer is known to be a process of the user `uid`.
#[derive(Debug)]
pub(super) struct Peer {
    /// The connection.
    pub(super) stream: UnixStream,
    /// The user.
    pub(super) uid: u32,
}

impl Socket for Peer {
    type ReadHalf = Reader;
    type WriteHalf = OwnedWriteHalf;

    fn split(self) -> Split<Reader, OwnedWriteHalf> {
        let (read, write) = self.stream.into_split();
        Split::new(Reader(read, self.uid), write)
    }
}

#[async_trait::async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let (length, descriptors) = self.0.recvmsg(buffer).await?;
        for descriptor in &descriptors {
            // zbus takes them without MSG_CMSG_CLOEXEC; no other program that we start is to have them.
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok((length, descriptors))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(ConnectionCredentials::default().set_unix_user_id(self.1))
    }
}
