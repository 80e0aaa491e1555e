//! What CRIU loses without a word, and no file of the kernel shows: looked for in the kernel's memory.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::processes::Process;
use crate::kernel::messages::{self, Message};
use crate::kernel::objects::Kernel;
use crate::kernel::{process, semaphores, sock_diag};

/// Types of sockets that keep messages apart, as /proc/net/unix has them: SOCK_DGRAM and SOCK_SEQPACKET.
const TYPES: [&str; 2] = ["0002", "0005"];

/// Something that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Its end would give something back to semaphores.
    Undo,
    /// An empty message waits for it.
    Empty,
    /// Messages wait for it that would come to have another sender's name.
    Senders,
    /// There are semaphores, and the kernel does not let us see whether it would give something back to them.
    UnknownUndo,
    /// Messages wait for it, and the kernel does not let us see which.
    UnknownMessages,
}

impl Hidden {
    /// What it is, in words that go on from the application's name.
    pub fn what(self) -> &'static str {
        match self {
            Self::Undo => {
                "it would give something back to semaphores at its end (SEM_UNDO), which the engine would lose"
            }
            Self::Empty => "it has not yet read an empty message, which the engine would lose",
            Self::Senders => "it has not yet read messages whose sender the engine would lose",
            Self::UnknownUndo => {
                "it may have to give something back to semaphores at its end (SEM_UNDO), and the kernel does not let us see"
            }
            Self::UnknownMessages => "it has not yet read messages, and the kernel does not let us see which",
        }
    }

    /// Whether it is over when the program does its next step.
    pub fn passes(self) -> bool {
        matches!(self, Self::Empty | Self::Senders | Self::UnknownMessages)
    }
}

/// All of it in these processes, the first of which is the session's init, by the processes' outside pids. The processes
/// may run: what of one that ends meanwhile cannot be read is not there.
///
/// # Errors
/// When the session's namespaces cannot be read.
pub fn all(processes: &[Process]) -> io::Result<Vec<(u32, Hidden)>> {
    let (mut found, kernel) = (Vec::new(), Kernel::open());
    let Some(init) = processes.first() else { return Ok(found) };
    if let Err(error) = &kernel {
        tracing::debug!("the kernel's memory cannot be read: {error}");
    }
    let kernel = kernel.as_ref().ok();
    let sets = semaphores::sets(init.outside)?;
    let table = match fs::read_to_string(init.proc("net/unix")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let sockets: HashSet<u64> = table.lines().skip(1).filter_map(socket).collect();
    let mut seen = HashSet::new();
    for process in processes.iter().filter(|p| p.state != 'Z') {
        found.extend(undo(process, &sets, kernel).map(|hidden| (process.outside, hidden)));
        for (inode, descriptor) in descriptors(process, &sockets) {
            if seen.insert(inode) {
                found.extend(unread(process, inode, &descriptor, kernel).map(|hidden| (process.outside, hidden)));
            }
        }
    }
    Ok(found)
}

/// The inode number of a socket that keeps messages apart, in a line of /proc/net/unix (proc_pid_net(5)).
fn socket(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    TYPES.contains(fields.get(4)?).then(|| fields.get(6)?.parse().ok())?
}

fn undo(process: &Process, sets: &semaphores::Sets, kernel: Option<&Kernel>) -> Option<Hidden> {
    if sets.is_empty() {
        return None;
    }
    match kernel.map(|kernel| semaphores::has_undo(kernel, process.outside, sets)) {
        Some(Ok(has)) => has.then_some(Hidden::Undo),
        Some(Err(error)) if has_ended(&error) => None,
        Some(Err(_)) | None => Some(Hidden::UnknownUndo),
    }
}

/// Our own copies of the descriptors of a process which are one of `sockets`.
fn descriptors(process: &Process, sockets: &HashSet<u64>) -> Vec<(u64, OwnedFd)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(process.proc("fd")) else { return found };
    for entry in entries.flatten() {
        if !fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:")) {
            continue;
        }
        let Some(inode) = fs::metadata(entry.path()).ok().map(|m| m.ino()).filter(|n| sockets.contains(n)) else {
            continue;
        };
        let number = entry.file_name().to_str().and_then(|n| n.parse().ok());
        found.extend(number.and_then(|n| Some((inode, process::descriptor(process.outside, n).ok()?))));
    }
    found
}

fn unread(process: &Process, inode: u64, socket: &OwnedFd, kernel: Option<&Kernel>) -> Option<Hidden> {
    // Most have nothing; an end that was closed counts as something, and has no message.
    let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(socket), PollFlags::POLLIN)];
    let is_ready = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0);
    if !is_ready {
        return None;
    }
    match kernel.map(|kernel| messages::waiting(kernel, socket)) {
        Some(Ok(messages)) if messages.is_empty() => None,
        Some(Ok(messages)) => match sock_diag::unix_connected(process.outside) {
            Ok(all) => {
                let connected: Vec<bool> = all.iter().filter(|(to, _)| *to == inode).map(|(_, named)| *named).collect();
                judge(&messages, &connected)
            }
            Err(error) if has_ended(&error) => None,
            Err(_) => Some(Hidden::UnknownMessages),
        },
        Some(Err(_)) => Some(Hidden::UnknownMessages),
        None => {
            let closed = ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP));
            let closed = closed && rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes == 0);
            (!closed).then_some(Hidden::UnknownMessages)
        }
    }
}

/// CRIU takes an empty message for the end of all, and sends what it read from one of the sockets that are connected to
/// this one, if there is any, else from one without a name. `connected` tells of each whether it has a name.
fn judge(messages: &[Message], connected: &[bool]) -> Option<Hidden> {
    if messages.iter().any(|m| m.length == 0) {
        return Some(Hidden::Empty);
    }
    let first = messages.first()?;
    let nameless = messages.iter().all(|m| m.name == 0) && connected.iter().all(|named| !named);
    let one = connected.len() == 1 && messages.iter().all(|m| m.connected && m.sender == first.sender);
    (!nameless && !one).then_some(Hidden::Senders)
}

fn has_ended(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_to_be_those_that_the_engine_gives() {
        let message = |sender, name, connected| Message { length: 3, sender, name, connected };
        assert_eq!(judge(&[], &[true, true]), None);
        assert_eq!(judge(&[message(1, 9, true), message(1, 9, true)], &[true]), None);
        assert_eq!(judge(&[message(1, 9, true)], &[true, false]), Some(Hidden::Senders));
        assert_eq!(judge(&[message(1, 0, false), message(2, 0, true)], &[false]), None);
        assert_eq!(judge(&[message(1, 0, false)], &[true]), Some(Hidden::Senders));
        assert_eq!(judge(&[message(1, 9, true), message(2, 8, false)], &[true]), Some(Hidden::Senders));
        assert_eq!(judge(&[message(1, 9, false)], &[]), Some(Hidden::Senders));
        let empty = Message { length: 0, ..message(1, 0, true) };
        assert_eq!(judge(&[message(1, 0, true), empty], &[false]), Some(Hidden::Empty));
    }

    #[test]
    fn sockets_that_keep_messages_apart_are_found() {
        let line = |kind: &str| format!("0000000000000000: 00000002 00000000 00000000 {kind} 01 4711 /run/x");
        assert_eq!(socket(&line("0002")), Some(4711));
        assert_eq!(socket(&line("0001")), None);
        assert_eq!(socket("broken"), None);
    }
}
