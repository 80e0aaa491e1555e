//! Internet sockets, made in the net namespace of the first process and given what they had from here.

use std::io;
use std::os::fd::OwnedFd;

use crate::objects::inet::{self, Makes};
use crate::record::Record;
use crate::record::inet::TcpSocket;
use crate::remote::Call;

use super::content::Content;
use super::descriptors::{Key, Open};
use super::error::{Object, Result};
use super::stub::Stub;

/// The first process, as who makes sockets.
struct First<'s>(&'s Stub);

impl Makes for First<'_> {
    fn socket(&self, family: u32, kind: u32, protocol: u32, owner: (u32, u32)) -> io::Result<OwnedFd> {
        let kind = kind | libc::SOCK_CLOEXEC as u32;
        let call = Call::new(libc::SYS_socket, [family, kind, protocol, 0, 0, 0].map(u64::from));
        let chown = |number| {
            let arguments = [number, owner.0.into(), owner.1.into(), 0, 0, 0];
            self.0.call(Object::Socket, &Call::new(libc::SYS_fchown, arguments)).map(drop)
        };
        let own = |number| if owner == (0, 0) { Ok(()) } else { chown(number) };
        self.0.take_descriptor_after(Object::Socket, &call, own).map_err(io::Error::other)
    }
}

/// Makes all that the content has; `first` is in their net namespace, which has its addresses.
pub(super) fn give(open: &mut Open, content: &Content, first: &Stub) -> Result {
    let makes = First(first);
    let tcp: Vec<TcpSocket> = content
        .descriptions
        .values()
        .filter_map(|record| match record {
            Record::TcpSocket(it) => Some((**it).clone()),
            _ => None,
        })
        .collect();
    for (id, socket) in inet::give::give(&tcp, &makes)? {
        open.add(Key::Description(id), socket)?;
    }
    for (id, record) in &content.descriptions {
        if let Record::UdpSocket(it) = record {
            open.add(Key::Description(*id), inet::udp::give(it, &makes)?)?;
        }
    }
    Ok(())
}
