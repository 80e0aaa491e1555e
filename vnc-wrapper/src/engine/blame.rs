//! Why CRIU refused, and because of which process, as far as its log tells. Pure: text in, words out.

/// What a log says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blame {
    /// The process, as the wrapper sees it.
    pub(super) process: Option<u32>,
    /// What was wrong, in CRIU's words or better ones.
    pub(super) reason: String,
}

/// Errors that do not tell anything, by their beginning. The first is said by every run on a host that gives root no
/// CAP_SYS_RESOURCE, and harmless; the second is followed by one that says more.
const EMPTY: [&str; 2] = ["rlimit: Can't setup RLIMIT_NOFILE", "Timeout reached"];

/// Reads CRIU's log. The first error is the cause; later ones follow from it, and name the process (criu/cr-dump.c).
pub(super) fn blame(log: &str) -> Blame {
    let errors: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("Error (").map(|(_, rest)| rest))
        .map(|rest| rest.split_once("): ").map_or(rest, |(_, text)| text).trim())
        .filter(|text| !EMPTY.iter().any(|empty| text.starts_with(empty)))
        .collect();
    let named = |text: &&str| {
        let number = number_after(text, "(pid: ").or_else(|| unstoppable(text));
        number.or_else(|| number_after(text, "namespace for "))
    };
    let process = errors.iter().find_map(named);
    let reason = match errors.first() {
        None => "it ended without saying why".to_owned(),
        Some(text) if unstoppable(text).is_some() => {
            "it cannot be stopped: it waits for a device, or for its own child (vfork)".to_owned()
        }
        Some(text) => (*text).to_owned(),
    };
    Blame { process, reason }
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
    fn the_first_error_is_the_reason_and_a_later_one_names_the_process() {
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
}
