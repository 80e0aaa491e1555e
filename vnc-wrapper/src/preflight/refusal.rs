//! What the engine refused although nothing was found before, as a finding.

use freezeframe_protocol::Finding;

use super::finding::Names;
use crate::container::processes::Process;
use crate::engine::passes;
use crate::objects::{CLOSE, Found, Trouble};
use freezeframe_store::manifest::Window;

/// What the engine says, what that is in words for people, and a remedy of its own. The first that fits counts.
const WORDS: [(&str, &str, Option<&str>); 13] = [
    ("Control messages in queue", "messages with credentials wait for it that it has not read", None),
    ("in-flight socket", "a connection waits for it that it has not accepted", None),
    ("In-flight connection", "a connection waits for it that it has not accepted", None),
    ("has data to read", "messages wait for it that it has not read", None),
    ("corked", "it holds back a datagram that it is still writing", None),
    (
        "ctty inheritance detected",
        "it runs in a terminal within a terminal, as sudo makes one",
        Some(
            "end it; for sudo, put `Defaults !use_pty` into a file in /etc/sudoers.d of the session, and start it again",
        ),
    ),
    ("Can't dump file", "it has something open of a kind that cannot be saved", None),
    ("Can't lookup mount", "it has a file open of a file system that is not mounted any more", None),
    ("Can't dump nested", "it runs in a namespace of its own (a sandbox)", None),
    ("Timeout reached", "it waits in the kernel and cannot be stopped", None),
    ("Unsupported proto", "it has a socket open of a protocol that cannot be saved", None),
    ("Unknown socket", "it has a socket open of a kind that cannot be saved", None),
    ("unsupported", "something is mounted that cannot be saved", None),
];

/// The remedy for what waits to be taken by its program.
const PASSES: &str = "try again in a moment; if that does not help, close the application";

/// The finding for what the engine said of the process `outside`; none when that is not of the session. The session ends with
/// the processes that have the pids `essential` inside.
pub fn finding(
    reason: &str,
    outside: u32,
    processes: &[Process],
    windows: &[Window],
    essential: &[u32],
) -> Option<Finding> {
    let process = processes.iter().find(|p| p.outside == outside)?;
    let known = WORDS.iter().find(|(said, _, _)| reason.contains(said));
    let (words, remedy) = known.map_or(("it cannot be saved", None), |(_, words, remedy)| (words, *remedy));
    let object = format!("{words} (the engine says: {reason})");
    let trouble = if passes(reason) {
        Trouble::passing(object, PASSES)
    } else {
        Trouble::blocking(object, remedy.unwrap_or(CLOSE))
    };
    Some(Names::new(processes, windows, essential).finding(process, trouble))
}

/// The findings for what would be lost, found while all was frozen.
pub fn found(all: &[Found], processes: &[Process], windows: &[Window], essential: &[u32]) -> Vec<Finding> {
    let names = Names::new(processes, windows, essential);
    let one = |found: &Found| {
        let process = processes.iter().find(|p| p.outside == found.process)?;
        Some(names.finding(process, found.trouble.clone()))
    };
    all.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_says_of_a_process_becomes_a_finding() {
        let process =
            Process { outside: 42, inside: 14, parent: 1, threads: 1, name: "player".into(), tracer: 0, state: 'S' };
        let windows = [Window { title: "A film".into(), application: "Player".into(), pid: 14 }];
        let said = "skqueue: Control messages in queue, not supported";
        let finding_of = finding(said, 42, std::slice::from_ref(&process), &windows, &[]).unwrap();
        assert_eq!(
            (finding_of.pid, finding_of.application.as_str(), finding_of.window.as_str()),
            (14, "player", "A film")
        );
        assert!(finding_of.blocking && finding_of.object.contains("credentials") && finding_of.object.contains(said));
        let lost = Found { process: 42, trouble: Trouble::blocking("it is odd", CLOSE) };
        assert_eq!(found(&[lost], std::slice::from_ref(&process), &[], &[])[0].object, "it is odd");
        let odd = finding("odd", 42, std::slice::from_ref(&process), &[], &[]).unwrap();
        assert!(odd.object.starts_with("it cannot be saved"));
        assert_eq!(finding(said, 43, &[process], &[], &[]), None);
    }

    #[test]
    fn issue_9_11_only_what_passes_is_to_be_tried_again() {
        let process =
            Process { outside: 42, inside: 14, parent: 1, threads: 1, name: "player".into(), tracer: 0, state: 'S' };
        let windows = [Window { title: "A film".into(), application: "Player".into(), pid: 14 }];
        let remedy = |said| finding(said, 42, std::slice::from_ref(&process), &windows, &[]).unwrap().remedy;
        assert!(remedy("skqueue: Control messages in queue, not supported").starts_with("try again"));
        assert!(remedy("tty: ctty inheritance detected sid/pgrp 33").contains("!use_pty"));
        assert_eq!(remedy("Can't dump file 3 of that type [20666] (unknown)"), CLOSE);
    }
}
