//! Makes the inside of a session that is resumed, before anything runs in it: its mounts, and the files of those in memory.
//!
//! The native engine makes the session's first process in new namespaces, where it waits. The wrapper then runs itself as
//! `vnc-wrapper furnish`, a program with one thread, which joins those namespaces and applies [`super::plan`] in them.
//! pivot_root(2) moves the root of the first process, too.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use freezeframe_store::session::Network;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::{apply, own_files, plan};
use crate::kernel::process::{Fork, exit_now, fork};
use crate::kernel::{namespaces, process, userns};

/// What to make, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Pid of the session's first process.
    pub first: u32,
    /// Where its root is mounted, in the supervisor's mounts, of which it has copies.
    pub root: PathBuf,
    /// How it reaches the network.
    pub network: Network,
}

/// The descriptors at which `vnc-wrapper furnish` finds its request, and the copies of the session's own files.
const REQUEST: i32 = 3;
const OWN: i32 = 4;
/// This program, whatever became of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Has it made. `own`: the copies of the session's own files, with the ids that they get.
///
/// # Errors
/// When anything cannot be made; the text says what.
pub fn ask(request: &Request, own: &OwnedFd) -> io::Result<()> {
    let mut text = fs::File::from(rustix::fs::memfd_create("request", rustix::fs::MemfdFlags::CLOEXEC)?);
    text.write_all(&serde_json::to_vec(request)?)?;
    let mut command = Command::new(OWN_PROGRAM);
    command.arg("furnish").stdin(Stdio::null()).stdout(Stdio::null());
    // Above both places: the one must not take the other's.
    for (file, place) in [(text.as_fd(), REQUEST), (own.as_fd(), OWN)] {
        process::inherit_as(&mut command, rustix::io::fcntl_dupfd_cloexec(file, OWN + 1)?, place);
    }
    let output = command.stderr(Stdio::piped()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(if said.is_empty() { output.status.to_string() } else { said }))
}

/// The whole of `vnc-wrapper furnish`. Returns the exit status; what went wrong goes to standard error.
pub fn run() -> i32 {
    match furnish() {
        Ok(()) => 0,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "{problem}");
            1
        }
    }
}

fn furnish() -> Result<(), String> {
    let named = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    // Opened a second time, to be read from its beginning.
    let text = fs::read(format!("/proc/self/fd/{REQUEST}")).map_err(named("read the request"))?;
    let request: Request = serde_json::from_slice(&text).map_err(|error| format!("read the request: {error}"))?;
    let own =
        userns::open_directory(&PathBuf::from(format!("/proc/self/fd/{OWN}"))).map_err(named("open its files"))?;
    // Nobody in the session may look into a process of the host's.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| format!("prctl: {error}"))?;
    let first = process::open(request.first).map_err(named("open the first process"))?;
    // The path is walked as who owns the directories above it, in the mounts of the session.
    namespaces::join(&first, CloneFlags::CLONE_NEWNS.bits()).map_err(named("join its mounts"))?;
    std::env::set_current_dir(&request.root).map_err(named("enter its root"))?;
    let others = namespaces::of_a_session() - CloneFlags::CLONE_NEWNS;
    namespaces::join(&first, others.bits()).map_err(named("join its namespaces"))?;
    userns::become_namespace_root().map_err(named("become its root"))?;
    // Only a child is in the pid namespace, which its /proc has to be of.
    let (mut problem_end, mut problem) = io::pipe().map_err(named("pipe"))?;
    let child = match fork().map_err(named("fork"))? {
        Fork::Child => {
            drop(problem_end);
            let made = apply::furnish(&plan::resumed(request.network))
                .and_then(|()| own_files::give(&own).map_err(|error| error.to_string()));
            let told = made.as_ref().err().map_or(Ok(()), |text| problem.write_all(text.as_bytes()));
            exit_now(i32::from(made.is_err() || told.is_err()))
        }
        Fork::Parent(pid) => pid,
    };
    drop(problem);
    let mut text = String::new();
    problem_end.read_to_string(&mut text).map_err(named("hear of it"))?;
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child.cast_signed()), None);
    match status {
        Ok(nix::sys::wait::WaitStatus::Exited(_, 0)) => Ok(()),
        other if text.is_empty() => Err(format!("it ended without a word: {other:?}")),
        _ => Err(text),
    }
}
