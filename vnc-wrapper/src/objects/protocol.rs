//! Sockets by their protocols: every protocol is refused that is not known to be saved.

use std::io;
use std::path::Path;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};

/// Names of protocols (/proc/net/protocols) whose sockets the engine saves.
const SAVED: [&str; 12] = [
    "TCP",
    "TCPv6",
    "UDP",
    "UDPv6",
    "UDP-Lite",
    "UDPLITEv6",
    "UNIX",
    "UNIX-STREAM",
    "NETLINK",
    "PACKET",
    "RAW",
    "RAWv6",
];

/// What would be lost of a socket of another protocol.
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let name = descriptor.is_socket().then(|| of(&descriptor.path)).flatten();
    Ok(name.as_deref().and_then(judge).into_iter().collect())
}

/// Name of a socket's protocol: the only thing that tells of every kind what it is (linux/net/socket.c, sockfs).
fn of(path: &Path) -> Option<String> {
    let mut name = [0u8; 64];
    let length = rustix::fs::getxattr(path, "system.sockprotoname", &mut name[..]).ok()?;
    let name = String::from_utf8_lossy(&name[..length]);
    Some(name.trim_end_matches('\0').to_owned())
}

fn judge(name: &str) -> Option<Trouble> {
    let is_saved = SAVED.contains(&name);
    (!is_saved).then(|| Trouble::blocking(format!("it has a socket of the protocol {name} open"), CLOSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_refused_by_their_protocol() {
        assert_eq!(judge("UNIX-STREAM"), None);
        assert!(judge("SCTP").is_some_and(|t| t.object.contains("protocol SCTP")));
    }
}
