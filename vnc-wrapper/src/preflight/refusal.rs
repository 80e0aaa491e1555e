//! What the engine refused although nothing was found before, as a finding.

use freezeframe_protocol::Finding;

use super::finding::{Names, Trouble};
use crate::container::processes::Process;
use crate::engine::Loss;
use freezeframe_store::manifest::Window;

/// What the engine says, and what that is in words for people. The first that fits counts.
const WORDS: [(&str, &str); 12] = [
    ("Control messages in queue", "messages with credentials wait for it that it has not read"),
    ("in-flight socket", "a connection waits for it that it has not accepted"),
    ("In-flight connection", "a connection waits for it that it has not accepted"),
    ("has data to read", "messages wait for it that it has not read"),
    ("corked", "it holds back a datagram that it is still writing"),
    ("Can't dump file", "it has something open of a kind that cannot be saved"),
    ("Can't lookup mount", "it has a file open of a file system that is not mounted any more"),
    ("Can't dump nested", "it runs in a namespace of its own (a sandbox)"),
    ("Timeout reached", "it waits in the kernel and cannot be stopped"),
    ("Unsupported proto", "it has a socket open of a protocol that cannot be saved"),
    ("Unknown socket", "it has a socket open of a kind that cannot be saved"),
    ("unsupported", "something is mounted that cannot be saved"),
];

const REMEDY: &str = "try again in a moment; if that does not help, close the application";

/// The finding for what the engine said of the process `outside`; none when that is not of the session.
pub fn finding(reason: &str, outside: u32, processes: &[Process], windows: &[Window]) -> Option<Finding> {
    let process = processes.iter().find(|p| p.outside == outside)?;
    let words = WORDS.iter().find(|(said, _)| reason.contains(said)).map_or("it cannot be saved", |(_, words)| words);
    let trouble = Trouble::blocking(format!("{words} (the engine says: {reason})"), REMEDY);
    Some(Names::new(processes, windows).finding(process, trouble))
}

/// The finding for what would be lost, found while all was frozen; none when that is not of the session.
pub fn loss(loss: &Loss, processes: &[Process], windows: &[Window]) -> Option<Finding> {
    let process = processes.iter().find(|p| p.outside == loss.process)?;
    let remedy = if loss.passes { REMEDY } else { "undo that, or close the application" };
    Some(Names::new(processes, windows).finding(process, Trouble::blocking(&*loss.what, remedy)))
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
        let found = finding(said, 42, std::slice::from_ref(&process), &windows).unwrap();
        assert_eq!((found.pid, found.application.as_str(), found.window.as_str()), (14, "player", "A film"));
        assert!(found.blocking && found.object.contains("credentials") && found.object.contains(said));
        let lost = Loss { process: 42, what: "it is odd".into(), passes: false };
        assert_eq!(loss(&lost, std::slice::from_ref(&process), &[]).unwrap().object, "it is odd");
        let odd = finding("odd", 42, std::slice::from_ref(&process), &[]).unwrap();
        assert!(odd.object.starts_with("it cannot be saved"));
        assert_eq!(finding(said, 43, &[process], &[]), None);
    }
}
