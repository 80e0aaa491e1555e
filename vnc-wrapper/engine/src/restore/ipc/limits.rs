//! The limits of the session's ipc namespace. What it holds may be beyond them, for they may have been lowered since: so they are raised as far
//! as is needed at first, and are what they were in the end.

use std::os::unix::net::UnixStream;

use crate::ipc::limits::{FILES, of_new, settings as files};
use crate::objects::Finding;
use crate::remote::Call;

use super::super::content::Content;
use super::super::descriptors::hand_over;
use super::super::error::{Object, Result};
use super::super::stub::Stub;
use super::messages::needed;
use super::{read, settings, write};

/// A descriptor of the first process that nothing else has by then.
const PLACE: u64 = 3;

/// What the limits are to be.
#[derive(Debug, Default)]
pub(in super::super) struct Limits(Vec<(&'static str, Vec<u64>)>);

impl Limits {
    /// Raises limits as far as is needed; those of a kernel that does not allow it stay as they are.
    pub(in super::super) fn raise(content: &Content, first: &Stub, channel: &UnixStream) -> Result<Self> {
        if !content.has_ipc() {
            return Ok(Self::default());
        }
        let object = Object::Ipc;
        let directory = settings().map_err(|error| first.failed(object, "open /proc/sys", error))?;
        hand_over(first, channel, directory, PLACE)?;
        let needed = needs(content);
        let recorded = content.ipc_limits.as_ref().map(files).unwrap_or_default();
        let mut wanted = Vec::new();
        for (file, _) in files(&of_new(0)) {
            let recorded = recorded.iter().find(|(other, _)| *other == file).map(|(_, values)| values);
            let needed = needed.iter().find(|(other, _)| *other == file).map_or(0, |(_, value)| *value);
            if recorded.is_none() && needed == 0 {
                continue;
            }
            let Some(now) = read(first, object, PLACE, file)? else { continue };
            let target = recorded.unwrap_or(&now).clone();
            let raised: Vec<u64> = now.iter().zip(&target).map(|(now, target)| needed.max(*now).max(*target)).collect();
            if raised != now && file != FILES[0] {
                // Where it is not allowed, the object that needs it says so.
                let _ = write(first, object, PLACE, file, &text(&raised));
            }
            wanted.push((file, target));
        }
        first.call(object, &Call::new(libc::SYS_close, [PLACE, 0, 0, 0, 0, 0]))?;
        Ok(Self(wanted))
    }

    /// Sets them; what could not be set is found.
    pub(super) fn set(self, first: &Stub, settings: u64) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for (file, target) in self.0 {
            let Some(now) = read(first, Object::Ipc, settings, file)? else { continue };
            if now == target {
                continue;
            }
            if let Err(error) = write(first, Object::Ipc, settings, file, &text(&target)) {
                findings.push(Finding {
                    what: format!("the limit {file} of the session's ipc namespace"),
                    lost: format!("it is {} instead of {}: {error}", text(&now), text(&target)),
                    blocking: false,
                });
            }
        }
        Ok(findings)
    }
}

fn text(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// What the objects of a content need.
fn needs(content: &Content) -> Vec<(&'static str, u64)> {
    let queues = || content.messages.iter();
    let lengths = queues().flat_map(|queue| queue.messages.iter().map(|message| message.bytes.len() as u64));
    let posix = || content.queues.values();
    let needs = [
        ("kernel/msgmnb", queues().map(needed).max()),
        ("kernel/msgmax", lengths.max()),
        ("fs/mqueue/queues_max", Some(posix().count() as u64)),
        ("fs/mqueue/msg_max", posix().map(|queue| queue.capacity.into()).max()),
        ("fs/mqueue/msgsize_max", posix().map(|queue| queue.length.into()).max()),
    ];
    let new = files(&of_new(0));
    let usual = |file: &str| new.iter().find(|(other, _)| *other == file).map_or(0, |(_, values)| values[0]);
    needs
        .into_iter()
        .map(|(file, value)| (file, value.unwrap_or(0)))
        .filter(|(file, value)| *value > usual(file))
        .collect()
}
