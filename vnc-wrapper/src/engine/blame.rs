//! Why CRIU refused, and because of which process, as far as its log tells. Pure: text in, words out.
//!
//! In a log the cause stands before what follows from it: an error of the part that failed comes first, and then one of each
//! caller, up to "Dumping FAILED". Before the cause there may be errors that harm nothing. So the reason is the last error
//! that says something of its own before the first that only says that a step failed.

/// What a log says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blame {
    /// The process, as the wrapper sees it.
    pub(super) process: Option<u32>,
    /// What was wrong, in CRIU's words or better ones.
    pub(super) reason: String,
}

/// Errors that harm nothing, or that another says more of, by a part of them. Every run says some of them on a host that gives
/// root no CAP_SYS_RESOURCE, or that has no iptables (CRIU tries which it can use).
const NOISE: [&str; 6] = [
    "rlimit: Can't setup RLIMIT_NOFILE",
    "Timeout reached",
    "execvp(",
    "-V failed",
    "exited, status=",
    "killed by signal",
];

/// Errors that say that a step failed, because another failed before, by a part of them (criu/cr-dump.c, cr-restore.c).
const GENERAL: [&str; 14] = [
    "failed with",
    "FAILED",
    "(pid: ",
    "Can't dump threads",
    "Dump tasks' files",
    "Can't dump misc",
    "Can't cure",
    "Can't stop daemon",
    "Failed to dump",
    "Dumping",
    "Restoring",
    "script failed",
    "Unable to dump",
    "Failed to wait",
];

/// Reads CRIU's log.
pub(super) fn blame(log: &str) -> Blame {
    let errors: Vec<&str> = log.lines().filter_map(error).filter(|text| !is_any(text, &NOISE)).collect();
    let end = errors.iter().position(|text| is_any(text, &GENERAL)).unwrap_or(errors.len());
    let reason = match errors[..end].last().or(errors.first()) {
        None => "it ended without saying why".to_owned(),
        Some(text) if unstoppable(text).is_some() => {
            "it cannot be stopped: it waits for a device, or for its own child (vfork)".to_owned()
        }
        Some(text) => (*text).to_owned(),
    };
    Blame { process: errors.iter().find_map(|text| named(text)), reason }
}

/// What an error of the log says, without where in CRIU it is from.
fn error(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Error (")?;
    Some(rest.split_once("): ").map_or(rest, |(_, text)| text).trim())
}

fn is_any(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

/// The process that an error names.
fn named(text: &str) -> Option<u32> {
    // What opened a terminal within one is told of apart (criu/tty.c).
    let marks = ["(pid: ", "namespace for ", "ctty pid_real "];
    unstoppable(text).or_else(|| marks.iter().find_map(|mark| number_after(text, mark)))
}

/// The process that did not stop (compel/src/lib/infect.c).
fn unstoppable(text: &str) -> Option<u32> {
    number_after(text, "Unseizable non-zombie ")
}

fn number_after(text: &str, mark: &str) -> Option<u32> {
    let rest = text.split_once(mark)?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specific_error_is_the_reason_and_a_later_one_names_the_process() {
        let log = "Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n\
                   (00.1) Warn  (criu/x.c:1): odd\n(00.2) Error (criu/sk-unix.c:850): unix: Unix socket 0x1 not found\n\
                   (00.3) Error (criu/cr-dump.c:1545): Dump files (pid: 72) failed with -1\n\
                   (00.3) Error (criu/cr-dump.c:2098): Dumping FAILED.\n";
        let expected = Blame { process: Some(72), reason: "unix: Unix socket 0x1 not found".into() };
        assert_eq!(blame(log), expected);
        let nested = "Error (namespaces.c:460): Can't dump nested cgroup namespace for 42";
        assert_eq!(blame(nested).process, Some(42));
        assert_eq!(blame(""), Blame { process: None, reason: "it ended without saying why".into() });
    }

    #[test]
    fn a_process_that_does_not_stop_is_named() {
        let log = "Error (criu/cr-dump.c:1655): Timeout reached. Try to interrupt: 0\n\
                   Error (compel/src/lib/infect.c:262): Unseizable non-zombie 216 found, state D, err -1/4\n";
        let told = blame(log);
        assert_eq!(told.process, Some(216));
        assert!(told.reason.contains("vfork"), "{told:?}");
    }

    /// Logs of CRIU 4.2.1, as they were written.
    const OF_SUDO: &str = r#"
Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
Error (criu/util.c:642): execvp("iptables-save", ...) failed: No such file or directory
Error (criu/util.c:1723): iptables-save -V failed
Error (criu/util.c:642): execvp("ip6tables-legacy-save", ...) failed: No such file or directory
Error (criu/util.c:1723): ip6tables-legacy-save -V failed
Error (criu/tty.c:2286): tty: ctty inheritance detected sid/pgrp 33 (ctty pid_real 103 pty pid_real 102)
Error (criu/cr-dump.c:1975): Dumping FAILED.
"#;
    const OF_A_DESCRIPTOR_ON_ITS_WAY: &str = r"
Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
Error (criu/files-ext.c:94): Can't dump file 22 of that type [600] (anon anon_inode:[landlock-ruleset])
Error (criu/cr-dump.c:1545): Dump files (pid: 67) failed with -1
Error (criu/cr-dump.c:1975): Dumping FAILED.
";
    const OF_A_FORGOTTEN_NAME: &str = r"
Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
Error (criu/proc_parse.c:2272): parse_fdinfo_pid_s: error parsing [inotify wd:2 ino:ea7f9 sdev:28 mask:2c8 ignored_mask:0 ] for 8: Invalid argument
Error (criu/cr-dump.c:1545): Dump files (pid: 9) failed with -1
Error (criu/cr-dump.c:1975): Dumping FAILED.
";

    #[test]
    fn issue_9_11_a_program_that_is_missing_is_not_the_reason() {
        let told = blame(OF_SUDO);
        assert!(told.reason.starts_with("tty: ctty inheritance detected"), "{told:?}");
        assert_eq!(told.process, Some(103));
    }

    #[test]
    fn issue_9_11_what_failed_is_told_and_not_that_something_did() {
        let told = blame(OF_A_DESCRIPTOR_ON_ITS_WAY);
        assert!(told.reason.starts_with("Can't dump file 22"), "{told:?}");
        assert_eq!(told.process, Some(67));
        let told = blame(OF_A_FORGOTTEN_NAME);
        assert!(told.reason.contains("error parsing [inotify wd:2"), "{told:?}");
        assert_eq!(told.process, Some(9));
        // Where nothing more is said, that something failed is all that is known.
        let only = "Error (criu/cr-dump.c:1545): Dump files (pid: 67) failed with -1";
        assert_eq!(blame(only).reason, "Dump files (pid: 67) failed with -1");
    }
}
