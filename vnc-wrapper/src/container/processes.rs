//! The processes of a session, seen from outside through /proc.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A process of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid as the wrapper sees it.
    pub outside: u32,
    /// Its pid as the session sees it.
    pub inside: u32,
    /// The pid of its parent as the wrapper sees it.
    pub parent: u32,
    /// Its threads.
    pub threads: u32,
    /// Name of its program (the first 15 bytes; proc_pid_comm(5)).
    pub name: String,
    /// The process that traces it, as the wrapper sees it; 0 for none.
    pub tracer: u32,
    /// Its state letter (proc_pid_status(5)).
    pub state: char,
}

impl Process {
    /// `file` of this process in /proc.
    pub fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.outside))
    }
}

impl Process {
    /// Memory whose contents no file has, in RAM and swapped out (proc_pid_smaps(5)): what the engine writes of it. Pages of
    /// files are not among them, nor is shared memory. 0 once it has ended.
    pub fn private_bytes(&self) -> u64 {
        private_bytes(&fs::read_to_string(self.proc("smaps_rollup")).unwrap_or_default())
    }
}

impl Process {
    /// The first of its threads that has not ended: the leader, unless that has ended before others. None of a zombie, which has
    /// neither namespaces nor files (proc_pid_stat(5), "state").
    ///
    /// # Errors
    /// When its threads cannot be listed for another reason than its end.
    pub fn live_thread(&self) -> io::Result<Option<u32>> {
        let entries = match fs::read_dir(self.proc("task")) {
            Err(error) if has_ended(&error) => return Ok(None),
            other => other?,
        };
        let mut threads: Vec<u32> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        threads.sort_unstable_by_key(|thread| (*thread != self.outside, *thread));
        Ok(threads.into_iter().find(|thread| has_not_ended(*thread)))
    }
}

fn has_not_ended(thread: u32) -> bool {
    // The name before the state may hold anything, but nothing after the state holds a parenthesis.
    let stat = fs::read(format!("/proc/{thread}/stat")).unwrap_or_default();
    let name_end = stat.iter().rposition(|byte| *byte == b')');
    name_end.and_then(|end| stat.get(end + 2)).is_some_and(|state| !matches!(state, b'Z' | b'X'))
}

fn private_bytes(rollup: &str) -> u64 {
    let field = |key: &str| {
        let text = rollup.lines().find_map(|line| line.strip_prefix(key))?;
        text.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    (field("Anonymous:").unwrap_or(0) + field("Swap:").unwrap_or(0)) << 10
}

/// Whether an error says that the process, whose files in /proc were looked at, is not there any more.
pub fn has_ended(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// All processes in the pid namespace of the session's `init` and those below it. One that ends meanwhile is left out.
///
/// # Errors
/// When /proc cannot be listed, or `init` is gone.
pub fn list(init: u32) -> io::Result<Vec<Process>> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid"));
    let of_the_session = namespace(init)?;
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        // Helpers of the wrapper may have namespaces of their own beside the session's (pasta has), but none below it.
        if let Some((process, depth)) = parse_status(pid, &status)
            && (depth > 2 || namespace(pid).is_ok_and(|own| own == of_the_session))
        {
            all.push(process);
        }
    }
    all.sort_by_key(|p| p.inside);
    Ok(all)
}

/// The process that the session of `init` numbers `inside`.
///
/// # Errors
/// When /proc cannot be listed or there is no such process.
pub fn find(init: u32, inside: u32) -> io::Result<Process> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("no process {inside} in the session"));
    list(init)?.into_iter().find(|p| p.inside == inside).ok_or_else(gone)
}

/// Reads /proc/PID/status, with the number of pid namespaces that the process is in, from ours on; none for a process that
/// is in no pid namespace below ours.
fn parse_status(outside: u32, status: &str) -> Option<(Process, usize)> {
    let field = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let numbers: Vec<u32> = field("NSpid")?.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let [_, inside, ..] = numbers[..] else { return None };
    let process = Process {
        outside,
        inside,
        parent: field("PPid")?.parse().ok()?,
        threads: field("Threads")?.parse().ok()?,
        name: field("Name")?.to_owned(),
        tracer: field("TracerPid")?.parse().ok()?,
        state: field("State")?.chars().next()?,
    };
    Some((process, numbers.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_has_no_live_thread() {
        let own = std::process::id();
        let process =
            |outside| Process { outside, inside: 1, parent: 0, threads: 1, name: "x".into(), tracer: 0, state: 'S' };
        assert_eq!(process(own).live_thread().unwrap(), Some(own));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = process(child.id());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while dead.live_thread().unwrap().is_some() {
            assert!(std::time::Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(dead.live_thread().unwrap(), None);
    }

    #[test]
    fn pages_of_files_are_no_memory_of_a_process() {
        let rollup =
            "5-7 ---p 0 0:0 0 [rollup]\nRss:  900 kB\nAnonymous:     300 kB\nAnonHugePages: 2 kB\nSwap:   20 kB\n";
        assert_eq!(private_bytes(rollup), 320 << 10);
        assert_eq!(private_bytes(""), 0);
    }

    #[test]
    fn only_processes_of_a_namespace_below_are_the_sessions() {
        let status = "Name:\txterm\nState:\tS (sleeping)\nTracerPid:\t0\nPPid:\t7\nThreads:\t3\nNSpid:\t812\t14\n";
        let (process, depth) = parse_status(812, status).unwrap();
        assert_eq!(depth, 2);
        assert_eq!((process.inside, process.threads, process.name.as_str()), (14, 3, "xterm"));
        assert_eq!(parse_status(812, &status.replace("812\t14", "812")), None);
    }
}
