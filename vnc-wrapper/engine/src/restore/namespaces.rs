//! What the session's own namespaces hold: the host's names, and the clocks.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;

use crate::fault::Step;
use crate::record::rights::NamespaceKind;
use crate::remote::Call;

use super::content::Content;
use super::descriptors::hand_over;
use super::error::{Object, Result};
use super::list::List;
use super::stub::Stub;

/// How far a session's clocks are from those of this machine, in nanoseconds (time_namespaces(7)): so they stand still while
/// it is saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clocks {
    /// What is added to CLOCK_MONOTONIC.
    pub monotonic: i64,
    /// What is added to CLOCK_BOOTTIME.
    pub boot: i64,
}

/// A descriptor of the first process that nothing else has by then.
const PLACE: u64 = 3;
const NEW_TIME: u64 = 0x80;

/// Gives the first process, which is alone, its host's names and its clocks; all others inherit them.
pub(super) fn give(
    first: &Stub,
    content: &Content,
    namespaces: u64,
    clocks: Option<Clocks>,
    channel: &UnixStream,
) -> Result {
    if namespaces & libc::CLONE_NEWUTS as u64 != 0 {
        names(first, content)?;
    }
    if let Some(clocks) = clocks {
        enter(first, clocks, channel)?;
    }
    first.point(Object::Settings, Step::RestoreNamespaces)
}

fn names(first: &Stub, content: &Content) -> Result {
    let mut list = List::new(first);
    for namespace in content.namespaces.values() {
        let NamespaceKind::Uts { host, domain } = &namespace.kind else { continue };
        for (call, name) in [(libc::SYS_sethostname, host), (libc::SYS_setdomainname, domain)] {
            let length = name.len() as u64;
            list.with(Object::Settings, call, &[&name[..]], |at| [at[0], length, 0, 0, 0, 0])?;
        }
    }
    list.run()
}

/// A time namespace with these offsets, which can be set only while nobody is in it.
fn enter(first: &Stub, clocks: Clocks, channel: &UnixStream) -> Result {
    let object = Object::Settings;
    first.call(object, &Call::new(libc::SYS_unshare, [NEW_TIME, 0, 0, 0, 0, 0]))?;
    let line = |clock: &str, offset: i64| {
        let (seconds, rest) = (offset.div_euclid(1_000_000_000), offset.rem_euclid(1_000_000_000));
        format!("{clock} {seconds} {rest}\n")
    };
    let text = line("monotonic", clocks.monotonic) + &line("boottime", clocks.boot);
    let written = std::fs::write(format!("/proc/{}/timens_offsets", first.tid), text);
    written.map_err(|error| first.failed(object, "write its clocks' offsets", error))?;
    let opened: io::Result<File> = File::open(format!("/proc/{}/ns/time_for_children", first.tid));
    let opened = opened.map_err(|error| first.failed(object, "open its time namespace", error))?;
    hand_over(first, channel, opened, PLACE)?;
    first.call(object, &Call::new(libc::SYS_setns, [PLACE, NEW_TIME, 0, 0, 0, 0]))?;
    first.call(object, &Call::new(libc::SYS_close, [PLACE, 0, 0, 0, 0, 0])).map(drop)
}
