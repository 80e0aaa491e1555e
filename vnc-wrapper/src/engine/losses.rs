//! What CRIU would lose without a word, or save in a way that cannot be restored: looked for while everything is frozen.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::domains;
use crate::container::hidden;
use crate::container::processes::Process;
use crate::kernel::objects::Kernel;
use crate::kernel::process::descriptor;
use crate::kernel::tcp;

/// Something that a save would lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The process, as the wrapper sees it.
    pub process: u32,
    /// What, for people, in words that go on from the application's name.
    pub what: String,
    /// Whether it is over when the programs have run for a moment.
    pub passes: bool,
}

impl Loss {
    /// One that stays until somebody does something.
    pub(super) fn lasting(process: u32, what: impl Into<String>) -> Self {
        Self { process, what: what.into(), passes: false }
    }

    /// One that is over when the programs have run for a moment.
    pub(super) fn passing(process: u32, what: impl Into<String>) -> Self {
        Self { passes: true, ..Self::lasting(process, what) }
    }
}

/// The first loss that a save of these processes would bring, the first of which is the session's init. `traces` tells whether
/// the threads of a resumed session can be had to make system calls.
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn first(processes: &[Process], kernel: Option<&Kernel>, traces: bool) -> io::Result<Option<Loss>> {
    let Some(init) = processes.first().map(|init| init.outside) else { return Ok(None) };
    let mut sockets = HashMap::new();
    for (table, find) in TABLES {
        let text = match fs::read_to_string(format!("/proc/{init}/net/{table}")) {
            // A kernel without that protocol.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        sockets.extend(text.lines().skip(1).filter_map(|line| find(&line.split_whitespace().collect::<Vec<_>>())));
    }
    if let Some(point) = bind_mount(&fs::read_to_string(format!("/proc/{init}/mountinfo"))?) {
        let what = format!("the session has a bind mount at {point}, which could not be resumed: unmount it");
        return Ok(Some(Loss::lasting(init, what)));
    }
    if let Some((process, hidden)) = hidden::all(processes, kernel)?.first() {
        return Ok(Some(Loss { process: *process, what: hidden.what().to_owned(), passes: hidden.passes() }));
    }
    for process in processes {
        if process.state == 'Z' {
            continue;
        }
        if let Some(loss) = domains::loss(process, traces)? {
            return Ok(Some(loss));
        }
        if let Some(loss) = descriptors(process, &sockets)? {
            return Ok(Some(loss));
        }
    }
    Ok(None)
}

/// Where a part of the session's root file system is mounted once more. CRIU takes it for a mount of the outside, by a path
/// that a resumed session does not have.
fn bind_mount(mountinfo: &str) -> Option<&str> {
    let mounts = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounts: Vec<_> = mounts.filter_map(|fields| Some((*fields.get(2)?, *fields.get(4)?))).collect();
    let (root, _) = mounts.iter().find(|(_, point)| *point == "/")?;
    mounts.iter().find(|(device, point)| device == root && *point != "/").map(|(_, point)| *point)
}

/// What is in a socket that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Bytes that its other end does not take, or has not acknowledged.
    ToBeSent,
    /// Datagrams.
    ToBeRead,
}

impl Waiting {
    fn what(self) -> &'static str {
        match self {
            Self::ToBeSent => {
                "it has not yet sent all over a connection within the session, whose other end does not take it"
            }
            Self::ToBeRead => "it has not yet read all UDP datagrams that it received",
        }
    }
}

/// Tells of a line of a table the socket's inode and what is in it that would be lost.
type Find = fn(&[&str]) -> Option<(u64, Waiting)>;

/// Tables of sockets (proc_pid_net(5)), and what is looked for in them.
const TABLES: [(&str, Find); 4] = [("tcp", unsent), ("tcp6", unsent), ("udp", unread), ("udp6", unread)];

fn unsent(fields: &[&str]) -> Option<(u64, Waiting)> {
    let (local, _) = fields.get(1)?.split_once(':')?;
    let (remote, _) = fields.get(2)?.split_once(':')?;
    let (queued, _) = fields.get(4)?.split_once(':')?;
    ((local == remote || is_loopback(remote)) && !is_zero(queued)).then(|| Some((inode(fields)?, Waiting::ToBeSent)))?
}

/// 127.0.0.0/8 and ::1, in words of 32 bits as the machine has them. What is left to be sent within the session CRIU sends
/// at the restore, when the other end may not be there yet; the connection is then reset and the restore fails.
fn is_loopback(address: &str) -> bool {
    (address.len() == 8 && address.ends_with("7F")) || address == "00000000000000000000000001000000"
}

fn unread(fields: &[&str]) -> Option<(u64, Waiting)> {
    let (_, queued) = fields.get(4)?.split_once(':')?;
    (!is_zero(queued)).then(|| Some((inode(fields)?, Waiting::ToBeRead)))?
}

fn is_zero(hex: &str) -> bool {
    hex.bytes().all(|digit| digit == b'0')
}

fn inode(fields: &[&str]) -> Option<u64> {
    fields.get(9)?.parse().ok()
}

/// What is in the descriptors of a process that would be lost.
fn descriptors(process: &Process, sockets: &HashMap<u64, Waiting>) -> io::Result<Option<Loss>> {
    for entry in fs::read_dir(process.proc("fd"))? {
        let entry = entry?;
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        if target.starts_with("socket:") && !sockets.is_empty() {
            let found = fs::metadata(entry.path()).ok().and_then(|m| sockets.get(&m.ino()));
            if let Some(waiting) = found
                && (*waiting == Waiting::ToBeRead || holds_back(process, &entry.file_name().to_string_lossy()))
            {
                return Ok(Some(Loss::passing(process.outside, waiting.what())));
            }
        } else if target == "anon_inode:[fanotify]" {
            return Ok(Some(Loss::lasting(process.outside, "it uses fanotify, whose events the engine would lose")));
        } else if target == "anon_inode:[eventfd]" {
            let about = fs::read_to_string(process.proc("fdinfo").join(entry.file_name())).unwrap_or_default();
            if let Some(what) = eventfd(&about) {
                return Ok(Some(Loss::lasting(process.outside, what)));
            }
        }
    }
    Ok(None)
}

/// Whether something was not sent even once. The table counts as well what was sent and is not acknowledged, which the other
/// end has; CRIU keeps that apart. What cannot be asked counts.
fn holds_back(process: &Process, number: &str) -> bool {
    let unsent = number.parse().map_err(io::Error::other);
    let unsent = unsent.and_then(|number| tcp::unsent(&descriptor(process.outside, number)?));
    !unsent.is_ok_and(|count| count == 0)
}

/// CRIU makes an eventfd with its count, for which eventfd(2) takes 32 bits, and without EFD_SEMAPHORE.
fn eventfd(about: &str) -> Option<&'static str> {
    let field = |key: &str| about.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let count = field("eventfd-count:").and_then(|hex| u64::from_str_radix(hex, 16).ok())?;
    if count > u64::from(u32::MAX) {
        return Some("it has an eventfd with a count of more than 32 bits, which the engine cannot save");
    }
    (field("eventfd-semaphore:") == Some("1"))
        .then_some("it has an eventfd that is a semaphore (EFD_SEMAPHORE), which the engine cannot save")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(find: Find, line: &str) -> Option<u64> {
        find(&line.split_whitespace().collect::<Vec<_>>()).map(|(inode, _)| inode)
    }

    #[test]
    fn queues_are_read_where_they_count() {
        let line = |state: &str, queues: &str| {
            format!(" 0: 0100007F:1F90 0100007F:A1B2 {state} {queues} 00:00000000 00000000 1000 0 4711 1 ffff")
        };
        assert_eq!(find(unsent, &line("04", "00000100:00000000")), Some(4711));
        let away = line("01", "00000100:00000000").replace("0100007F:A1B2", "0102A8C0:01BB");
        assert_eq!(find(unsent, &away), None);
        assert_eq!(find(unsent, &line("04", "00000000:00000300")), None);
        assert_eq!(find(unread, &line("07", "00000000:00000300")), Some(4711));
        assert_eq!(find(unread, &line("07", "00000000:00000000")), None);
        assert_eq!(find(unread, "broken"), None);
    }

    #[test]
    fn a_bind_mount_is_a_second_one_of_the_root() {
        let own = "30 1 0:52 / / rw - overlay overlay rw\n31 30 0:53 / /proc rw - proc proc rw\n";
        assert_eq!(bind_mount(own), None);
        let more = format!("{own}40 30 0:52 /home/d /mnt rw - overlay overlay rw\n");
        assert_eq!(bind_mount(&more), Some("/mnt"));
    }

    #[test]
    fn eventfds_are_saved_as_far_as_the_engine_can() {
        assert!(eventfd("pos:\t0\neventfd-count:      10000000005\n").is_some());
        assert!(eventfd("eventfd-count:                1\neventfd-id: 4\neventfd-semaphore: 1\n").is_some());
        assert_eq!(eventfd("eventfd-count:         ffffffff\neventfd-semaphore: 0\n"), None);
    }
}
