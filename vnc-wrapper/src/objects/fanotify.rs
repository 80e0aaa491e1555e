//! fanotify(7): CRIU drops the events that wait.

use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble, anonymous};

/// What would be lost of a group.
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let is_one = anonymous::kind(&descriptor.link) == Some("fanotify");
    let trouble = || Trouble::blocking("it uses fanotify, whose events the engine would lose", CLOSE);
    Ok(is_one.then(trouble).into_iter().collect())
}
