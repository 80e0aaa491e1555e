//! Files that are open: on file systems that are not saved, or gone, and those without a name.

use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};

/// Types of file systems (linux/magic.h, and linux/ipc/mqueue.c).
const SECRET_MEMORY: u64 = 0x5345_434d;
const HUGE_PAGES: u64 = 0x9584_58f6;
const MESSAGE_QUEUES: u64 = 0x1980_0202;

/// No larger file without a name is saved, in bytes on its disk: --ghost-limit of [`crate::engine`].
const LARGEST_UNLINKED: u64 = 4095 << 20;

/// What is known of a file.
#[derive(Debug)]
struct Facts<'a> {
    /// What its link in /proc/PID/fd says.
    link: &'a str,
    /// Whether its file system is mounted, where it can be.
    is_mounted: bool,
    /// Type of its file system (statfs(2)), where it matters.
    file_system: Option<u64>,
    /// Bytes that it has on its disk, when it is a file without a name.
    unlinked: Option<u64>,
}

/// What would be lost of a file.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let is_in_memory = descriptor.link.starts_with("/memfd:");
    let has_path = descriptor.has_path();
    if !has_path && !is_in_memory {
        return Ok(Vec::new());
    }
    let mount = has_path.then(|| descriptor.field("mnt_id")?.parse().ok()).flatten();
    let is_mounted = mount.is_none_or(|id: u32| session.mounts(descriptor.process).contains_key(&id));
    // Asked only of what may be of a kind that matters: a file system of the network may take its time to answer.
    let asked = (is_in_memory || !is_mounted).then(|| rustix::fs::statfs(&descriptor.path).ok()).flatten();
    let file_system = asked.map(|s| s.f_type.cast_unsigned());
    let unlinked = descriptor.metadata().filter(|m| has_path && m.is_file() && is_unlinked(m)).map(bytes_of);
    Ok(judge(&Facts { link: &descriptor.link, is_mounted, file_system, unlinked }).into_iter().collect())
}

fn is_unlinked(file: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) == 0
}

/// Bytes of a file on its disk; holes have none.
fn bytes_of(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(file).saturating_mul(512)
}

fn judge(facts: &Facts<'_>) -> Option<Trouble> {
    let link = facts.link;
    let object = match facts.file_system {
        Some(SECRET_MEMORY) => "it has memory that nobody else may read (memfd_secret)".to_owned(),
        Some(HUGE_PAGES) => "it has a file in huge pages open (memfd_create)".to_owned(),
        Some(MESSAGE_QUEUES) => format!("it has the message queue {link} open"),
        _ if !facts.is_mounted => format!("it has {link} open, of a file system that is not mounted any more"),
        _ if facts.unlinked.is_some_and(|bytes| bytes > LARGEST_UNLINKED) => {
            "it has a deleted file open that is larger than 4095 MiB".to_owned()
        }
        _ => return None,
    };
    Some(Trouble::blocking(object, CLOSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(link: &str) -> Facts<'_> {
        Facts { link, is_mounted: true, file_system: None, unlinked: None }
    }

    fn object(facts: &Facts<'_>) -> String {
        judge(facts).map_or_else(String::new, |t| t.object)
    }

    #[test]
    fn files_of_mounts_that_are_gone_are_refused() {
        assert_eq!(object(&facts("/mnt/x")), "");
        assert!(object(&Facts { is_mounted: false, ..facts("/mnt/x") }).contains("not mounted any more"));
    }

    #[test]
    fn files_without_a_name_are_saved_up_to_the_engines_limit() {
        let unlinked = |bytes| Facts { unlinked: Some(bytes), ..facts("/home/user/x (deleted)") };
        assert_eq!(judge(&unlinked(LARGEST_UNLINKED)), None);
        assert!(object(&unlinked(LARGEST_UNLINKED + 512)).contains("larger than 4095 MiB"));
    }

    #[test]
    fn message_queues_are_named_also_where_their_mount_is_not_the_sessions() {
        let queue = Facts { is_mounted: false, file_system: Some(MESSAGE_QUEUES), ..facts("/queue") };
        assert_eq!(object(&queue), "it has the message queue /queue open");
    }
}
