//! What CRIU loses without a word, and no file of the kernel shows: looked for in the kernel's memory and in copies of
//! descriptors.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::processes::{Process, has_ended};
use crate::kernel::messages::{self, Message};
use crate::kernel::objects::Kernel;
use crate::kernel::terminal::{self, Terminal};
use crate::kernel::thread_settings::{self, Setting};
use crate::kernel::{process, semaphores, sock_diag, socket};

/// Types of sockets that keep messages apart, as /proc/net/unix has them: SOCK_DGRAM and SOCK_SEQPACKET.
const TYPES: [&str; 2] = ["0002", "0005"];

/// Finished lines of up to so many bytes can be kept. The kernel holds 4096 (`N_TTY_BUF_SIZE`, drivers/tty/n_tty.c): behind
/// more than this there may be some that wait where nobody can look.
const MOST_TYPED: u64 = 3072;

/// Something that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Its end would give something back to semaphores.
    Undo,
    /// An empty message waits for it.
    Empty,
    /// Messages wait for it that would come to have another sender's name.
    Senders,
    /// Too many lines were typed into a terminal that it has open.
    Typed,
    /// It handles its system calls itself.
    Dispatch,
    /// It may not read the time stamp counter.
    NoTimeStamp,
    /// It has given up rights for good.
    Landlock,
    /// It has segments of its own.
    Segments,
    /// It hears chosen senders of a group only.
    ChosenSenders,
    /// It has itself told of what changes in a directory.
    Notify,
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
            Self::Typed => "it has not yet read the many lines that were typed into its terminal",
            Self::Dispatch => {
                "it handles system calls itself (PR_SET_SYSCALL_USER_DISPATCH), which the engine would take from it"
            }
            Self::NoTimeStamp => "it has its time stamp counter switched off (PR_SET_TSC), which the engine would lose",
            Self::Landlock => "it has given up rights (Landlock), which the engine would give back to it",
            Self::Segments => "it has memory segments of its own (modify_ldt), which the engine would lose",
            Self::ChosenSenders => {
                "it hears chosen senders of a group only (IP_ADD_SOURCE_MEMBERSHIP), which the engine would lose"
            }
            Self::Notify => "it is told of a directory's changes by signals (F_NOTIFY), which the engine would end",
            Self::UnknownUndo => {
                "it may have to give something back to semaphores at its end (SEM_UNDO), and the kernel does not let us see"
            }
            Self::UnknownMessages => "it has not yet read messages, and the kernel does not let us see which",
        }
    }

    /// Whether it is over when the program does its next step.
    pub fn passes(self) -> bool {
        matches!(self, Self::Empty | Self::Senders | Self::Typed | Self::UnknownMessages)
    }
}

/// All of it in these processes, the first of which is the session's init, by the processes' outside pids. The processes
/// may run: what of one that ends meanwhile cannot be read is not there.
///
/// # Errors
/// When the session's namespaces cannot be read.
pub fn all(processes: &[Process], kernel: Option<&Kernel>) -> io::Result<Vec<(u32, Hidden)>> {
    let mut found = Vec::new();
    let Some(init) = processes.first() else { return Ok(found) };
    let sets = semaphores::sets(init.outside)?;
    let table = match fs::read_to_string(init.proc("net/unix")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let sockets: HashSet<u64> = table.lines().skip(1).filter_map(socket).collect();
    let filters = ["net/mcfilter", "net/mcfilter6"].map(|file| fs::read_to_string(init.proc(file)).unwrap_or_default());
    let chooses = filters.iter().any(|table| table.lines().nth(1).is_some());
    let mut seen = HashSet::new();
    for process in processes.iter().filter(|p| p.state != 'Z') {
        found.extend(undo(process, &sets, kernel).map(|hidden| (process.outside, hidden)));
        found.extend(settings(process, kernel).into_iter().map(|hidden| (process.outside, hidden)));
        let looked = Looked { process, sockets: &sockets, chooses, kernel };
        found.extend(looked.descriptors(&mut seen).into_iter().map(|hidden| (process.outside, hidden)));
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

/// What its threads have set for themselves; nothing when the kernel does not let us see.
fn settings(process: &Process, kernel: Option<&Kernel>) -> Vec<Hidden> {
    let known = kernel.and_then(|kernel| thread_settings::of(kernel, process.outside).ok()).unwrap_or_default();
    let hidden = |setting| match setting {
        Setting::Dispatch => Hidden::Dispatch,
        Setting::NoTimeStamp => Hidden::NoTimeStamp,
        Setting::Landlock => Hidden::Landlock,
        Setting::Segments => Hidden::Segments,
    };
    known.into_iter().map(hidden).collect()
}

/// A process, and what is known of its session.
struct Looked<'a> {
    process: &'a Process,
    /// Sockets that keep messages apart, by their inode numbers.
    sockets: &'a HashSet<u64>,
    /// Whether somebody hears chosen senders of a group only.
    chooses: bool,
    kernel: Option<&'a Kernel>,
}

impl Looked<'_> {
    /// What is in its descriptors; a socket or terminal that was seen before is passed over.
    fn descriptors(&self, seen: &mut HashSet<(u64, u64)>) -> Vec<Hidden> {
        let mut found = Vec::new();
        let Ok(entries) = fs::read_dir(self.process.proc("fd")) else { return found };
        for entry in entries.flatten() {
            let Ok(link) = fs::read_link(entry.path()) else { continue };
            let is_socket = link.to_string_lossy().starts_with("socket:");
            if !is_socket && !link.has_root() {
                continue;
            }
            let Some(number) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let Ok(copy) = process::descriptor(self.process.outside, number) else { continue };
            // Asked only of what matters: a file system of the network may take its time to answer.
            let metadata = || fs::metadata(entry.path()).ok();
            if is_socket {
                found.extend(self.has_chosen(&copy).then_some(Hidden::ChosenSenders));
            } else if process::has_owner(&copy) && metadata().is_some_and(|m| m.is_dir()) {
                // F_NOTIFY makes the process the owner (`fcntl_dirnotify`, fs/notify/dnotify/dnotify.c).
                found.push(Hidden::Notify);
            }
            if !is_socket && !link.starts_with("/dev") {
                continue;
            }
            let Some(metadata) = metadata() else { continue };
            let matters = match is_socket {
                true => self.sockets.contains(&metadata.ino()),
                false => terminal::MAJORS.contains(&rustix::fs::major(metadata.rdev())),
            };
            if matters && seen.insert((metadata.dev(), metadata.ino())) {
                found.extend(match is_socket {
                    true => unread(self.process, metadata.ino(), &copy, self.kernel),
                    false => typed(copy),
                });
            }
        }
        found
    }

    fn has_chosen(&self, socket: &OwnedFd) -> bool {
        let groups = self.kernel.filter(|_| self.chooses).and_then(|kernel| socket::groups(kernel, socket).ok());
        groups.is_some_and(|groups| groups.iter().any(|(_, chosen)| *chosen))
    }
}

fn typed(descriptor: OwnedFd) -> Option<Hidden> {
    let terminal = Terminal::of(descriptor);
    // One that was hung up has nothing any more.
    let is_canonical = terminal.is_canonical().unwrap_or(false);
    (is_canonical && terminal.unread().is_ok_and(|bytes| bytes > MOST_TYPED)).then_some(Hidden::Typed)
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
