//! Descriptors of anonymous kinds (`anon_inode:` in /proc/PID/fd): every kind is refused that is not known to be saved.

use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};

/// Kinds that the engine saves, as the kernel names them; some of them have rules of their own.
const SAVED: [&str; 8] = ["eventfd", "eventpoll", "fanotify", "inotify", "pidfd", "signalfd", "timerfd", "bpf-map"];

/// What would be lost of a descriptor of another kind.
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    Ok(kind(&descriptor.link).and_then(judge).into_iter().collect())
}

/// The kind in `anon_inode:[kind]` or `anon_inode:kind`.
pub(super) fn kind(link: &str) -> Option<&str> {
    let name = link.strip_prefix("anon_inode:")?;
    Some(name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name))
}

fn judge(kind: &str) -> Option<Trouble> {
    (!SAVED.contains(&kind)).then(|| match kind {
        "io_uring" => Trouble::blocking("it uses io_uring", "close the application, or switch io_uring off in it"),
        "userfaultfd" => Trouble::blocking("it handles page faults itself (userfaultfd)", CLOSE),
        "perf_event" => Trouble::blocking("it measures performance (perf_event)", CLOSE),
        "seccomp notify" => Trouble::blocking("it supervises system calls (seccomp notify)", CLOSE),
        "landlock-ruleset" => Trouble::passing("it is about to restrict itself (landlock)", "try again in a moment"),
        kind if kind.starts_with("bpf") => Trouble::blocking(format!("it has a program in the kernel ({kind})"), CLOSE),
        kind => Trouble::blocking(format!("it has an object of the kind {kind} open"), CLOSE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_kinds_are_refused_unless_they_are_known_to_be_saved() {
        let object = |link| kind(link).and_then(judge).map_or_else(String::new, |t| t.object);
        assert_eq!(object("anon_inode:[eventfd]"), "");
        assert_eq!(object("anon_inode:inotify"), "");
        assert_eq!(object("anon_inode:[io_uring]"), "it uses io_uring");
        assert_eq!(object("anon_inode:bpf-prog"), "it has a program in the kernel (bpf-prog)");
        assert!(object("anon_inode:[of a later kernel]").contains("of a later kernel"));
        assert_eq!(object("/home/user/anon_inode:x"), "");
    }
}
