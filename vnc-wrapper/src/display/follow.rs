//! How viewers follow from a session that is stopped to the one that takes its place.
//!
//! The agent makes a pair of sockets (seqpacket). One end it gives to the wrapper of the session that it is about to stop,
//! which puts its viewers into it when the session's snapshot is safe: each in one message, with the viewer's connection
//! and a memory file that its splice is written down in. The other end it gives to the wrapper of the session that takes
//! the place, once that runs. In between the viewers are in the socket's queue: nobody has to look after them, and when
//! an end is closed, of whatever cause, the kernel closes them.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_rfb::splice::Parcel;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::Display;

/// How long viewers may take to be put into the socket.
const LIMIT: Duration = Duration::from_secs(1);
/// How long what a splice wrote down may be.
const MAX_SPLICE: u64 = 64 << 20;

impl Display {
    /// Puts all viewers into `heir`. Those for which that fails are dropped.
    pub async fn give_away(&self, heir: &OwnedFd) {
        let give = |parcel: Parcel| {
            if let Err(error) = send(heir, &parcel) {
                tracing::warn!("a viewer cannot follow: {error}");
            }
        };
        self.outlet.give_away(LIMIT, give).await;
    }

    /// Serves the viewers that are in `socket`.
    ///
    /// # Errors
    /// When there is something else in it; the viewers before that are served.
    pub fn take_over(self: &Arc<Self>, socket: &OwnedFd) -> io::Result<()> {
        while let Some(parcel) = receive(socket)? {
            let outlet = Arc::clone(&self.outlet);
            tokio::spawn(async move {
                if let Err(error) = outlet.adopt(parcel).await {
                    tracing::debug!("the connection of a viewer that followed ended: {error}");
                }
            });
        }
        Ok(())
    }
}

fn send(socket: &OwnedFd, parcel: &Parcel) -> io::Result<()> {
    let mut splice = File::from(memfd_create("splice", MemfdFlags::CLOEXEC)?);
    splice.write_all(&parcel.splice)?;
    splice.seek(SeekFrom::Start(0))?;
    let descriptors = [parcel.viewer.as_fd(), splice.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(b"v")], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next viewer; none when there is none.
fn receive(socket: &OwnedFd) -> io::Result<Option<Parcel>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    match recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
        Ok(received) if received.bytes > 0 => {}
        // Whoever put them in has ended, or will put in no more.
        Ok(_) | Err(rustix::io::Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let (Some(viewer), Some(splice)) = (descriptors.next(), descriptors.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message without a viewer"));
    };
    let mut written = Vec::new();
    File::from(splice).take(MAX_SPLICE).read_to_end(&mut written)?;
    Ok(Some(Parcel { viewer: UnixStream::from(viewer), splice: written }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn viewers_wait_in_the_socket() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut ends = Vec::new();
        for number in 0..64u8 {
            let (here, viewer) = UnixStream::pair().unwrap();
            send(&ours, &Parcel { viewer, splice: vec![number; 100_000] }).unwrap();
            ends.push(here);
        }
        drop(ours);
        for (number, mut end) in ends.into_iter().enumerate() {
            let mut parcel = receive(&theirs).unwrap().unwrap();
            assert_eq!(parcel.splice, vec![number as u8; 100_000]);
            parcel.viewer.write_all(b"hello").unwrap();
            let mut heard = [0; 5];
            end.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
        }
        assert!(receive(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_viewer_that_nobody_takes_is_closed() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let (mut end, viewer) = UnixStream::pair().unwrap();
        send(&ours, &Parcel { viewer, splice: Vec::new() }).unwrap();
        drop((ours, theirs));
        assert_eq!(end.read(&mut [0; 5]).unwrap(), 0);
    }
}
