//! Whether the records of sockets fit together.

use std::collections::HashSet;

use super::values::{PID_MAX, ensure, path, refers};
use super::{Known, Result};
use crate::record::sockets::{Sender, UnixSocket, UnixState};

const KINDS: [u32; 3] = [libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32, libc::SOCK_SEQPACKET as u32];

impl Known<'_> {
    /// Each connection waits at one place.
    pub(super) fn waiting(&self) -> Result {
        let mut waits = HashSet::new();
        for (number, it) in &self.sockets {
            let UnixState::Listening { waiting, .. } = &it.state else { continue };
            for client in waiting.iter().flatten() {
                let who = format!("UnixSocket ({number})");
                ensure(waits.insert(*client), &who, || format!("socket {client} waits for it and elsewhere"))?;
            }
        }
        Ok(())
    }

    pub(super) fn unix_socket(&self, who: &str, it: &UnixSocket) -> Result {
        ensure(KINDS.contains(&it.kind), who, || format!("there is no kind {}", it.kind))?;
        ensure(it.shutdown <= 3, who, || format!("directions {} are shut", it.shutdown))?;
        let names = [&it.name, &it.peer_name].into_iter().chain(it.queue.iter().map(|message| &message.name));
        for name in names.flatten() {
            // A path ends at its first zero; an abstract name begins with one.
            let right = !name.is_empty() && (name[0] == 0 || !name.contains(&0));
            ensure(right, who, || format!("the name \"{}\"", name.escape_ascii()))?;
        }
        if let Some(place) = &it.place {
            ensure(it.name.is_some(), who, || "it has a file and no name".to_owned())?;
            path(who, place)?;
        }
        let senders = it.peer.iter().chain(it.queue.iter().filter_map(|message| message.sender.as_ref()));
        for Sender { pid, .. } in senders {
            ensure(*pid <= PID_MAX, who, || format!("a sender with the pid {pid}"))?;
        }
        for right in it.queue.iter().flat_map(|message| message.rights.iter()) {
            refers(self.descriptions.contains(right), who, "description", *right)?;
        }
        let stream = it.kind != libc::SOCK_DGRAM as u32;
        let empty = |message: &crate::record::sockets::Message| message.bytes.is_empty();
        let nothing = it.kind == libc::SOCK_STREAM as u32 && it.queue.iter().any(empty);
        ensure(!nothing, who, || "a part of its stream is empty".to_owned())?;
        match &it.state {
            UnixState::Alone => Ok(()),
            UnixState::Listening { waiting, .. } => {
                ensure(stream && it.queue.is_empty(), who, || "it cannot listen".to_owned())?;
                waiting.iter().flatten().try_for_each(|number| {
                    let client = self.sockets.get(number);
                    refers(client.is_some(), who, "socket", *number)?;
                    let waits = client.is_some_and(|client| {
                        client.kind == it.kind && client.state == UnixState::Connected { peer: None }
                    });
                    ensure(waits, who, || format!("socket {number} does not wait for it"))
                })
            }
            UnixState::Connected { peer: None } => Ok(()),
            UnixState::Connected { peer: Some(number) } => {
                let peer = self.sockets.get(number);
                refers(peer.is_some(), who, "socket", *number)?;
                let right = peer.is_some_and(|peer| {
                    let back = UnixState::Connected { peer: Some(it.common.id) };
                    peer.kind == it.kind && *number != it.common.id && (!stream || peer.state == back)
                });
                ensure(right, who, || format!("socket {number} is not connected to it"))
            }
        }
    }
}
