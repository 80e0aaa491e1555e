//! Puts a program into a running session.
//!
//! The wrapper runs itself as `vnc-wrapper enter`, with a [`Request`] in an inherited file, a program with one thread, because joining a user namespace and
//! forking both need that. A program without ties becomes a child of the session's init, in a session (setsid(2)) of its
//! own, or CRIU would refuse it; one that somebody waits for stays a child of the outside, and is named by the pre-flight.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};

use super::{USER_ID, settings};
use crate::kernel::process::{Fork, close_on_exec_from, exit_now, fork, lead_session, wait_until_ended};
use crate::kernel::{namespaces, process, userns};

/// What to run, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Pid of the session's init, as this program sees it.
    pub init: u32,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Working directory; `/` where it is not there.
    pub directory: String,
    /// As root of the session rather than its user.
    pub root: bool,
    /// Keep standard input, output and error, and end with the program's status.
    pub wait: bool,
    /// The filter of the session's processes asks, and [`SLOT`] is where its listener goes.
    pub asks: bool,
}

/// Longest /etc/group that is read, in bytes.
const MAX_GROUPS: u64 = 1 << 20;
/// Exit status for "the program could not be run", as shells have it.
const CANNOT_RUN: i32 = 126;
/// Exit status for "there is no such program", as shells have it.
const NOT_FOUND: i32 = 127;

/// The descriptor at which `vnc-wrapper enter` finds its request.
pub const REQUEST: i32 = 3;

/// The descriptor at which it finds the slot for its listener ([`settings::apply`]), where the request says so.
pub const SLOT: i32 = 4;

impl Request {
    /// A file in memory with this request, for a program to inherit as [`REQUEST`].
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn hand_over(&self) -> io::Result<OwnedFd> {
        let mut file = fs::File::from(rustix::fs::memfd_create("request", rustix::fs::MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(file.into())
    }

    /// Reads what [`Request::hand_over`] wrote, and closes whatever this program has inherited beyond standard error.
    fn take_over() -> io::Result<(Self, Option<OwnedFd>)> {
        // Opened a second time, to be read from its beginning.
        let text = fs::read(format!("/proc/self/fd/{REQUEST}"))?;
        let request: Self = serde_json::from_slice(&text)?;
        if request.asks {
            let slot = process::keep_only(REQUEST.unsigned_abs(), SLOT)?;
            return Ok((request, Some(slot)));
        }
        process::close_from(REQUEST.unsigned_abs());
        Ok((request, None))
    }
}

/// The whole of `vnc-wrapper enter`: runs the request and returns the exit status. Without `wait` the program's pid inside
/// the session goes to standard output. What went wrong goes to standard error.
pub fn run() -> i32 {
    match Request::take_over().and_then(|(request, slot)| enter(&request, slot.as_ref())) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot enter the session: {error}");
            CANNOT_RUN
        }
    }
}

fn enter(request: &Request, slot: Option<&OwnedFd>) -> io::Result<i32> {
    // Before the program runs, this process is one of the outside inside: nobody there may trace it or look into it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let init = process::open(request.init)?;
    let mut which = namespaces::of_a_session().bits();
    // A resumed session has a time namespace of its own, so that its monotonic clock goes on where it stopped.
    if fs::read_link(format!("/proc/{}/ns/time", request.init))? != fs::read_link("/proc/self/ns/time")? {
        which |= namespaces::CLONE_NEWTIME;
    }
    namespaces::join(&init, which)?;
    userns::become_namespace_root()?;
    let (mut report_end, report) = io::pipe()?;
    let child = match fork()? {
        Fork::Child => {
            drop(report_end);
            if !request.wait {
                // The grandchild becomes init's when this one ends; it waits for that, so that no program sees its parent
                // change (exit_notify, kernel/exit.c: who is left behind has its new parent before anybody is told).
                let between = process::open(std::process::id());
                match between.and_then(|between| Ok((fork()?, between))) {
                    Ok((Fork::Child, between)) => {
                        if wait_until_ended(&between).is_err() {
                            exit_now(CANNOT_RUN);
                        }
                    }
                    Ok((Fork::Parent(_), _)) => exit_now(0),
                    Err(_) => exit_now(CANNOT_RUN),
                }
            }
            exit_now(become_program(request, slot, report))
        }
        Fork::Parent(pid) => pid,
    };
    drop(report);
    let mut text = String::new();
    report_end.read_to_string(&mut text)?;
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child.cast_signed()), None)?;
    let (pid, problem) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some((status, problem)) = problem.split_once(' ') {
        let _ = writeln!(io::stderr(), "{}: {}", request.argv.first().map_or("", String::as_str), problem.trim());
        return Ok(status.parse().unwrap_or(CANNOT_RUN));
    }
    if !request.wait {
        let _ = writeln!(io::stdout(), "{pid}");
        return Ok(0);
    }
    Ok(match status {
        nix::sys::wait::WaitStatus::Exited(_, code) => code,
        nix::sys::wait::WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => CANNOT_RUN,
    })
}

/// In the session: reports its pid and becomes the program. Returns only when that fails, after reporting why.
fn become_program(request: &Request, slot: Option<&OwnedFd>, mut report: io::PipeWriter) -> i32 {
    let _ = writeln!(report, "{}", std::process::id());
    let Some((program, arguments)) = request.argv.split_first() else {
        let _ = writeln!(report, "{CANNOT_RUN} no program was named");
        return CANNOT_RUN;
    };
    let prepared = (|| {
        lead_session()?;
        // The outside's /dev/null is a file of a mount that the session does not have.
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let replace = |fd: BorrowedFd<'_>| Ok::<_, io::Error>(!request.wait || is_null(&rustix::fs::fstat(fd)?));
        if replace(rustix::stdio::stdin())? {
            rustix::stdio::dup2_stdin(&null)?;
        }
        if replace(rustix::stdio::stdout())? {
            rustix::stdio::dup2_stdout(&null)?;
        }
        if replace(rustix::stdio::stderr())? {
            rustix::stdio::dup2_stderr(&null)?;
        }
        reset_signals()?;
        settings::apply(slot.map(AsFd::as_fd))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        if !request.root {
            let table = small_file("/etc/group").unwrap_or_default();
            let groups: Vec<Gid> = groups_of("user", &table).into_iter().map(Gid::from_raw).collect();
            nix::unistd::setgroups(&groups)?;
            userns::set_ids(Uid::from_raw(USER_ID), Gid::from_raw(USER_ID))?;
        }
        let wanted = if request.directory.is_empty() { "/" } else { &request.directory };
        std::env::set_current_dir(wanted).or_else(|_| std::env::set_current_dir("/"))
    })();
    let error = match prepared {
        Err(error) => error,
        Ok(()) => {
            close_on_exec_from(3);
            let variables = request.environment.iter().map(|(k, v)| (k, v));
            Command::new(program).args(arguments).env_clear().envs(variables).exec()
        }
    };
    let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    let _ = writeln!(report, "{status} {error}");
    status
}

/// Whether a descriptor is /dev/null, wherever that lies.
pub fn is_null(stat: &rustix::fs::Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::CharacterDevice
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3)
}

/// Rust's runtime ignores SIGPIPE, and the wrapper blocks signals; programs expect neither.
fn reset_signals() -> io::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    process::default_action(Signal::SIGPIPE)?;
    Ok(())
}

/// A file of the session's root, who may have put anything there: a FIFO, a device, a link to one.
fn small_file(path: &str) -> io::Result<String> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let mut text = String::new();
    if file.metadata()?.is_file() {
        file.take(MAX_GROUPS).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// Groups whose member list in `table` (group(5)) names `user`.
fn groups_of(user: &str, table: &str) -> Vec<u32> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, id, members] = fields[..] else { return None };
            members.split(',').any(|m| m == user).then(|| id.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_that_list_the_user() {
        let table = "root:x:0:\nsudo:x:27:ann,user\naudio:x:29:user\nusers:x:100:users\nbroken\n";
        assert_eq!(groups_of("user", table), [27, 29]);
    }
}
