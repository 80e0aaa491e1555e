//! What a process has open that the engine cannot save.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Waiting;
use super::finding::Trouble;
use super::mounts::{self, MountPoint};
use super::{sockets, space};
use crate::container::processes::{Process, has_ended};
use crate::kernel::terminal;

/// Devices of [`crate::container::plan::DEVICES`] have these major numbers: memory devices and tty (devices.txt).
const PLAIN_MAJORS: [u32; 2] = [1, 5];

/// Anonymous kinds of descriptors that the engine saves, as the kernel names them in /proc/PID/fd. Every other is refused,
/// known to us or not.
const SAVED: [&str; 8] = ["eventfd", "eventpoll", "fanotify", "inotify", "pidfd", "signalfd", "timerfd", "bpf-map"];

/// Names of protocols (/proc/net/protocols) whose sockets the engine saves.
const PROTOCOLS: [&str; 12] = [
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

/// Types of file systems (linux/magic.h, and linux/ipc/mqueue.c).
const SECRET_MEMORY: u64 = 0x5345_434d;
const HUGE_PAGES: u64 = 0x9584_58f6;
const MESSAGE_QUEUES: u64 = 0x1980_0202;

/// No larger file without a name is saved, in bytes on its disk: --ghost-limit of [`crate::engine`].
const LARGEST_UNLINKED: u64 = 4095 << 20;

const CLOSE: &str = "close the application";

/// What is known of one descriptor.
#[derive(Debug)]
struct Facts {
    /// What its link in /proc/PID/fd says.
    link: String,
    /// Major number, when it is a device.
    device: Option<u32>,
    /// Name of its protocol, when it is a socket.
    protocol: Option<String>,
    /// Type of its file system (statfs(2)), when it has a path.
    file_system: Option<u64>,
    /// Its mount, as its process sees it, when it has a path.
    mount: Option<Option<MountPoint>>,
    /// Bytes that it has on its disk, when it is a file without a name.
    unlinked: Option<u64>,
}

/// Mounts by their numbers.
type Mounts = HashMap<u32, MountPoint>;
/// Troubles of sockets by their inode numbers.
type Sockets = HashMap<u64, Trouble>;

/// What is known of the session's namespaces, each looked at once.
#[derive(Debug, Default)]
pub(super) struct Known {
    mounts: HashMap<PathBuf, Mounts>,
    sockets: HashMap<PathBuf, Sockets>,
    none: Sockets,
}

impl Known {
    /// Mounts by number, and troubles of sockets by inode, in the namespaces of `process`.
    fn of(&mut self, process: &Process) -> io::Result<(&Mounts, &Sockets)> {
        let namespace = |name| fs::read_link(process.proc("ns").join(name)).unwrap_or_default();
        let mounts = self.mounts.entry(namespace("mnt"));
        let mounts = mounts.or_insert_with(|| mounts::of(process).into_iter().map(|m| (m.id, m)).collect());
        let sockets = match self.sockets.entry(namespace("net")) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => match sockets::troubles(process) {
                Ok(found) => new.insert(found),
                // One that has ended has no sockets, and does not tell of the namespace.
                Err(error) if has_ended(&error) => &self.none,
                Err(error) => return Err(error),
            },
        };
        Ok((mounts, sockets))
    }
}

/// Looks at every descriptor of `process`. One that ends meanwhile has none.
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn troubles(process: &Process, waiting: &[Waiting], known: &mut Known) -> io::Result<BTreeSet<Trouble>> {
    let mut found = BTreeSet::new();
    let (mounts, sockets) = known.of(process)?;
    for (path, link, metadata) in open(process)? {
        if let Some(from) = waiting.iter().find(|w| w.descriptors.contains(&(metadata.dev(), metadata.ino()))) {
            found.insert(super::tied(&from.command));
            continue;
        }
        let kind = metadata.file_type();
        let device = (kind.is_char_device() || kind.is_block_device()).then(|| rustix::fs::major(metadata.rdev()));
        let protocol = kind.is_socket().then(|| protocol_of(&path)).flatten();
        let has_path = link.starts_with('/') && !link.starts_with("/memfd:");
        let mount = has_path.then(|| mount_id(process, &path)).flatten().map(|id| mounts.get(&id).cloned());
        // Asked only of what may be of a kind that matters: a file system of the network may take its time to answer.
        let is_memory = link.starts_with("/memfd:") || matches!(mount, Some(None));
        let file_system = is_memory.then(|| rustix::fs::statfs(&path).ok()).flatten().map(|s| s.f_type.cast_unsigned());
        found.extend(kind.is_socket().then(|| sockets.get(&metadata.ino()).cloned()).flatten());
        let unlinked = (has_path && kind.is_file() && metadata.nlink() == 0).then(|| space::bytes_of(&metadata));
        found.extend(judge(&Facts { link, device, protocol, file_system, mount, unlinked }));
    }
    Ok(found)
}

/// Whether `process` has one of these descriptors.
pub(super) fn holds(process: &Process, waiting: &Waiting) -> bool {
    open(process).is_ok_and(|all| all.iter().any(|(_, _, m)| waiting.descriptors.contains(&(m.dev(), m.ino()))))
}

/// The descriptors of a process: where they are in /proc, what that says, and what they are.
pub(super) fn open(process: &Process) -> io::Result<Vec<(PathBuf, String, fs::Metadata)>> {
    let entries = match fs::read_dir(process.proc("fd")) {
        Err(error) if has_ended(&error) => return Ok(Vec::new()),
        other => other?,
    };
    // One that is closed meanwhile is not there.
    let one = |path: PathBuf| {
        let link = fs::read_link(&path).ok()?.to_string_lossy().into_owned();
        let metadata = fs::metadata(&path).ok()?;
        Some((path, link, metadata))
    };
    Ok(entries.flatten().filter_map(|entry| one(entry.path())).collect())
}

/// The mount that a descriptor was opened through (proc_pid_fdinfo(5)).
fn mount_id(process: &Process, descriptor: &Path) -> Option<u32> {
    let text = fs::read_to_string(process.proc("fdinfo").join(descriptor.file_name()?)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// Name of a socket's protocol: the only thing that tells of every kind what it is (linux/net/socket.c, sockfs).
fn protocol_of(descriptor: &Path) -> Option<String> {
    let mut name = [0u8; 64];
    let length = rustix::fs::getxattr(descriptor, "system.sockprotoname", &mut name[..]).ok()?;
    let name = String::from_utf8_lossy(&name[..length]);
    Some(name.trim_end_matches('\0').to_owned())
}

fn judge(facts: &Facts) -> Option<Trouble> {
    if let Some(name) = anonymous(&facts.link) {
        return (!SAVED.contains(&name)).then(|| match name {
            "io_uring" => Trouble::blocking("it uses io_uring", "close the application, or switch io_uring off in it"),
            "userfaultfd" => Trouble::blocking("it handles page faults itself (userfaultfd)", CLOSE),
            "perf_event" => Trouble::blocking("it measures performance (perf_event)", CLOSE),
            "seccomp notify" => Trouble::blocking("it supervises system calls (seccomp notify)", CLOSE),
            "landlock-ruleset" => {
                Trouble::blocking("it is about to restrict itself (landlock)", "try again in a moment")
            }
            name if name.starts_with("bpf") => {
                Trouble::blocking(format!("it has a program in the kernel ({name})"), CLOSE)
            }
            name => Trouble::blocking(format!("it has an object of the kind {name} open"), CLOSE),
        });
    }
    if let Some(protocol) = &facts.protocol {
        let known = PROTOCOLS.contains(&protocol.as_str());
        return (!known).then(|| Trouble::blocking(format!("it has a socket of the protocol {protocol} open"), CLOSE));
    }
    if facts.device.is_some_and(|major| !PLAIN_MAJORS.contains(&major) && !terminal::MAJORS.contains(&major)) {
        return Some(Trouble::blocking(format!("it has the device {} open", facts.link), CLOSE));
    }
    match facts.file_system {
        Some(SECRET_MEMORY) => Some(Trouble::blocking("it has memory that nobody else may read (memfd_secret)", CLOSE)),
        Some(HUGE_PAGES) => Some(Trouble::blocking("it has a file in huge pages open (memfd_create)", CLOSE)),
        Some(MESSAGE_QUEUES) => Some(Trouble::blocking(format!("it has the message queue {} open", facts.link), CLOSE)),
        _ if matches!(facts.mount, Some(None)) => {
            let object = format!("it has {} open, of a file system that is not mounted any more", facts.link);
            Some(Trouble::blocking(object, CLOSE))
        }
        _ if facts.unlinked.is_some_and(|bytes| bytes > LARGEST_UNLINKED) => {
            Some(Trouble::blocking("it has a deleted file open that is larger than 4095 MiB", CLOSE))
        }
        _ => None,
    }
}

/// The kind in `anon_inode:[kind]` or `anon_inode:kind`.
fn anonymous(link: &str) -> Option<&str> {
    let name = link.strip_prefix("anon_inode:")?;
    Some(name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(link: &str) -> Facts {
        Facts { link: link.into(), device: None, protocol: None, file_system: None, mount: None, unlinked: None }
    }

    fn object(facts: &Facts) -> String {
        judge(facts).map_or_else(String::new, |t| t.object)
    }

    #[test]
    fn anonymous_kinds_are_refused_unless_they_are_known_to_be_saved() {
        assert_eq!(judge(&facts("anon_inode:[eventfd]")), None);
        assert_eq!(judge(&facts("anon_inode:inotify")), None);
        assert_eq!(object(&facts("anon_inode:[io_uring]")), "it uses io_uring");
        assert_eq!(object(&facts("anon_inode:bpf-prog")), "it has a program in the kernel (bpf-prog)");
        assert!(object(&facts("anon_inode:[of a later kernel]")).contains("of a later kernel"));
    }

    #[test]
    fn devices_are_refused_but_for_those_of_every_session() {
        let device = |major| Facts { device: Some(major), ..facts("/dev/x") };
        // null, tty, and a pseudo-terminal; then graphics, sound, kvm and tun, fuse and a disk.
        assert!([1, 5, 136].iter().all(|m| judge(&device(*m)).is_none()));
        assert!([226, 116, 10, 8].iter().all(|m| object(&device(*m)) == "it has the device /dev/x open"));
    }

    #[test]
    fn sockets_are_refused_by_their_protocol() {
        let socket = |name: &str| Facts { protocol: Some(name.into()), ..facts("socket:[7]") };
        assert_eq!(judge(&socket("UNIX-STREAM")), None);
        assert!(object(&socket("SCTP")).contains("protocol SCTP"));
    }

    #[test]
    fn files_of_mounts_that_are_gone_are_refused() {
        assert!(object(&Facts { mount: Some(None), ..facts("/mnt/x") }).contains("not mounted any more"));
    }

    #[test]
    fn files_without_a_name_are_saved_up_to_the_engines_limit() {
        let unlinked = |bytes| Facts { unlinked: Some(bytes), ..facts("/home/user/x (deleted)") };
        assert_eq!(judge(&unlinked(LARGEST_UNLINKED)), None);
        assert!(object(&unlinked(LARGEST_UNLINKED + 512)).contains("larger than 4095 MiB"));
    }
}
