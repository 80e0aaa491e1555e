//! The namespaces that the session's first process is in and we are not: the session's own.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Error;
use super::error::fit;
use super::inside::{Answers, Question, Questions};
use super::subject::Subject;
use super::view::namespace;
use crate::process::id_map::{self, IdMap, Of};
use crate::process::text;
use crate::record::List;
use crate::record::rights::{IdRange, Namespace, NamespaceKind};
use crate::remote::{Call, Thread};
use crate::sys::namespace::owner;

/// `struct new_utsname`: six names of 65 bytes.
const NAME: usize = 65;
/// What the kernel's files here have at most, in bytes.
const SHORT: u64 = 4096;
/// Where the newest pid of the reader's namespace is shown.
const LAST_PID: &[u8] = b"/proc/sys/kernel/ns_last_pid\0";

/// What the first process is asked.
pub(super) struct Asked {
    names: Question,
}

impl Asked {
    /// For the first process only: others may have filters that forbid these calls.
    pub(super) fn ask(questions: &mut Questions) -> Self {
        let names = questions.ask_into(libc::SYS_uname, &[0], 0, 6 * NAME);
        Self { names }
    }
}

/// The newest pid of the namespace that `thread` is in; none where it sees no `/proc`.
pub(super) fn last_pid(thread: &mut Thread<'_, '_>) -> Option<u32> {
    const DIGITS: u64 = 16;
    let memory = thread.borrow_stack(64).ok()?;
    thread.fill(memory, LAST_PID).ok()?;
    let arguments = [libc::AT_FDCWD as u64, memory, libc::O_CLOEXEC as u64, 0, 0, 0];
    let file = thread.open(&Call::new(libc::SYS_openat, arguments)).ok()?;
    let read = thread.call(&Call::new(libc::SYS_read, [file as u64, memory, DIGITS, 0, 0, 0])).ok()?;
    let mut digits = vec![0; read.min(DIGITS) as usize];
    thread.read(memory, &mut digits).ok()?;
    std::str::from_utf8(&digits).ok()?.trim().parse().ok()
}

/// The records. `last`: the newest pid.
pub(super) fn records(
    first: &Subject,
    (asked, answers): (&Asked, &Answers),
    last: u32,
) -> Result<Vec<Namespace>, Error> {
    let pid = first.pid;
    let directory = first.directory();
    let read = |what: &'static str| Error::read(pid, pid, what);
    let ours = |name| -> io::Result<bool> {
        match namespace(&directory, name) {
            Ok(theirs) => Ok(theirs == namespace(Path::new("/proc/self"), name)?),
            // A kernel without it.
            Err(error) if super::subject::gone(&error) => Ok(true),
            Err(error) => Err(error),
        }
    };
    let mut records = Vec::new();
    let mut user = None;
    for name in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"] {
        if ours(name).map_err(read("the namespaces"))? {
            continue;
        }
        let id = records.len() as u32 + 1;
        let kind = match name {
            "user" => {
                user = Some(id);
                of_users(first, &directory)?
            }
            "pid" => NamespaceKind::Pid { last },
            "mnt" => NamespaceKind::Mount,
            "net" => NamespaceKind::Network,
            "ipc" => NamespaceKind::Ipc,
            "uts" => {
                let names = answers.bytes(asked.names).unwrap_or_default();
                let part = |at: usize| {
                    let name = names.get(at * NAME..(at + 1) * NAME).unwrap_or_default();
                    name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
                };
                NamespaceKind::Uts {
                    host: fit(pid, "its host's name", part(1))?,
                    domain: fit(pid, "its domain", part(5))?,
                }
            }
            "cgroup" => NamespaceKind::Cgroup,
            _ => {
                let process = Path::new("/proc").join(pid.to_string());
                let text = text::read(&process, "timens_offsets", SHORT).map_err(read("the clocks"))?;
                let (monotonic, boot) = offsets(&text)
                    .ok_or_else(|| Error::refused(pid, "the offsets of its clocks", text.escape_ascii().to_string()))?;
                NamespaceKind::Time { monotonic, boot }
            }
        };
        let mut record = Namespace { id, kind, parent: None, owner: None };
        // A namespace that the session's user namespace does not own was made above it.
        if let Some(user) = user.filter(|user| *user != id) {
            let owned = is_owned(&directory, name).map_err(read("the namespaces"))?;
            record.owner = owned.then_some(user);
        }
        records.push(record);
    }
    Ok(records)
}

fn of_users(first: &Subject, directory: &Path) -> Result<NamespaceKind, Error> {
    let pid = first.pid;
    let map = |of, what: &'static str| -> Result<List<IdRange, 340>, Error> {
        let IdMap(ranges) = id_map::read(directory, of).map_err(Error::read(pid, pid, what))?;
        let line = |range: &id_map::Range| IdRange { inside: range.inside, above: range.outside, count: range.count };
        fit(pid, what, ranges.iter().map(line).collect::<Vec<_>>())
    };
    let denied = text::read(directory, "setgroups", SHORT).map_err(Error::read(pid, pid, "setgroups"))?;
    Ok(NamespaceKind::User {
        users: map(Of::Users, "uid_map")?,
        groups: map(Of::Groups, "gid_map")?,
        setgroups_denied: denied.starts_with(b"deny"),
    })
}

/// Whether a namespace belongs to the user namespace of the process.
fn is_owned(directory: &Path, name: &str) -> io::Result<bool> {
    let of = |name: &str| File::open(directory.join("ns").join(name));
    let users = of("user")?.metadata()?;
    match owner(of(name)?.as_fd()) {
        Ok(owner) => {
            let owner = File::from(owner).metadata()?;
            Ok((owner.dev(), owner.ino()) == (users.dev(), users.ino()))
        }
        // It is out of our sight: above us.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `monotonic  SECONDS NANOSECONDS`, then the same for `boottime`, both in nanoseconds.
fn offsets(text: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(text).ok()?;
    let offset = |clock: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(clock))?;
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
        let (seconds, nanoseconds) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    };
    Some((offset("monotonic")?, offset("boottime")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_clocks_are_read() {
        let text = b"monotonic         -5         250000000\nboottime           7                 0\n";
        assert_eq!(offsets(text), Some((-4_750_000_000, 7_000_000_000)));
        let own = std::fs::read("/proc/self/timens_offsets").unwrap();
        assert!(offsets(&own).is_some());
        assert_eq!(offsets(b"monotonic 5"), None);
    }
}
