//! Groups that a socket has joined for chosen senders only (IP_ADD_SOURCE_MEMBERSHIP, ip(7)).

use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};
use crate::kernel::socket;

/// What would be lost of a socket; nothing where the kernel does not let us see.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(kernel) = session.kernel().filter(|_| descriptor.is_socket()) else { return Ok(Vec::new()) };
    if !session.network(descriptor.process)?.chooses {
        return Ok(Vec::new());
    }
    let groups = descriptor.copy().and_then(|copy| socket::groups(kernel, copy).ok()).unwrap_or_default();
    let chooses = groups.iter().any(|(_, chosen)| *chosen);
    let object = "it hears chosen senders of a group only (IP_ADD_SOURCE_MEMBERSHIP), which the engine would lose";
    Ok(chooses.then(|| Trouble::blocking(object, CLOSE)).into_iter().collect())
}
