//! Running programs in the session.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use freezeframe_engine::filters::watch::Watch;
use freezeframe_protocol::{ExecOptions, Failure, error_name};
use freezeframe_store::BaseRecord;

use super::session::Session;
use crate::container::limits::Group;
use crate::container::{enter, environment};
use crate::failure::{ToFailure, failure, lost_task};
use crate::kernel::process;
use crate::preflight::Waiting;

/// How long the session may hold up a program that is put into it. Its root could, for ever.
const ENTER_DEADLINE: Duration = Duration::from_secs(10);
/// Our own program, whatever became of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

fn request(init: u32, base: &BaseRecord, asks: bool, options: ExecOptions) -> enter::Request {
    let home = if options.root { "/root" } else { "/home/user" };
    let directory = if options.directory.is_empty() { home.to_owned() } else { options.directory };
    enter::Request {
        init,
        argv: options.argv,
        environment: environment::session(options.root, &base.environment, &options.environment),
        directory,
        root: options.root,
        wait: options.wait,
        asks,
    }
}

/// What a program that is put in belongs to: what counts it, and who answers its filter.
pub(super) type Puts<'a> = (Option<&'a Group>, Option<&'a Watch>);

/// The request goes by a descriptor: everybody on the machine can read command lines, and its environment may be secret.
fn command(request: &enter::Request, (group, filters): Puts<'_>) -> Result<Command, Failure> {
    let failed =
        |e: io::Error| failure(error_name::INVALID_ARGUMENT, format!("the command cannot be passed on: {e}"), "");
    let handed = request.hand_over().map_err(failed)?;
    let mut command = Command::new(OWN_PROGRAM);
    command.arg("enter").stdin(Stdio::null());
    let slot = filters.map(|filters| (filters.slot(), enter::SLOT));
    for (file, place) in [(handed.as_fd(), enter::REQUEST)].into_iter().chain(slot) {
        // Above both places: the one must not take the other's.
        let above = rustix::io::fcntl_dupfd_cloexec(file, enter::SLOT + 1).map_err(|e| failed(e.into()))?;
        process::inherit_as(&mut command, above, place);
    }
    group.map_or(Ok(()), |group| group.place_command(&mut command)).map_err(|e| e.to_failure())?;
    Ok(command)
}

/// Starts `argv` as the session's user, without ties to the outside. Returns its pid inside.
pub(super) fn start_detached(init: u32, base: &BaseRecord, puts: Puts<'_>, argv: Vec<String>) -> Result<u32, Failure> {
    start(init, base, puts, ExecOptions { argv, ..ExecOptions::default() })
}

/// The same as the session's root.
pub(super) fn start_service(init: u32, base: &BaseRecord, puts: Puts<'_>, argv: Vec<String>) -> Result<u32, Failure> {
    start(init, base, puts, ExecOptions { argv, root: true, ..ExecOptions::default() })
}

fn start(init: u32, base: &BaseRecord, puts: Puts<'_>, options: ExecOptions) -> Result<u32, Failure> {
    let request = request(init, base, puts.1.is_some(), options);
    pid_of(&command(&request, puts)?.output().map_err(|e| e.to_failure())?)
}

/// What `enter` said of a program that it started: its pid inside.
fn pid_of(output: &Output) -> Result<u32, Failure> {
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let name = if output.status.code() == Some(127) { error_name::NOT_FOUND } else { error_name::FAILED };
        failure(name, format!("cannot run it in the session: {said}"), "")
    })
}

/// Runs a program as `options` say; see `Wrapper1.Execute`.
pub(super) async fn execute(
    session: &Session,
    options: ExecOptions,
    descriptors: Vec<OwnedFd>,
) -> Result<i32, Failure> {
    if options.argv.first().is_none_or(String::is_empty) {
        return Err(failure(
            error_name::INVALID_ARGUMENT,
            "no program was named",
            "sessionctl exec SESSION -- COMMAND",
        ));
    }
    let wait = options.wait;
    let shown = options.argv.join(" ");
    let puts = (session.group.as_ref(), session.filters.as_ref());
    let request = request(session.init, &session.base, puts.1.is_some(), options);
    let entering = session.entering.read().await;
    if !wait {
        let output = tokio::process::Command::from(command(&request, puts)?).kill_on_drop(true).output();
        let output = tokio::time::timeout(ENTER_DEADLINE, output).await.map_err(|_| {
            failure(error_name::FAILED, "the session did not take the program in time", "see what its root is doing")
        })?;
        return Ok(pid_of(&output.map_err(|e| e.to_failure())?)?.cast_signed());
    }
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        let text = "a program that is waited for takes exactly three descriptors";
        return Err(failure(error_name::INVALID_ARGUMENT, text, ""));
    };
    let descriptors = identities([&stdin, &stdout, &stderr]);
    let mut command = tokio::process::Command::from(command(&request, puts)?);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let spawned = command.spawn();
    // The command holds copies of the descriptors; whoever reads the other end waits for the last one to close.
    drop(command);
    let mut child = spawned.map_err(|e| e.to_failure())?;
    let waiting = Waiting { command: shown, parent: child.id().unwrap_or(0), descriptors };
    session.waiting().push(waiting.clone());
    drop(entering);
    let status = child.wait().await;
    // Descriptors that the program's own children keep stay on the list while any process holds them.
    let (init, looked_for) = (session.init, waiting.clone());
    let held = tokio::task::spawn_blocking(move || still_held(init, &looked_for)).await;
    if !held.map_err(|e| lost_task("the program", e))? {
        let mut list = session.waiting();
        if let Some(at) = list.iter().position(|w| *w == waiting) {
            list.remove(at);
        }
    }
    let status = status.map_err(|e| e.to_failure())?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Device and inode of each descriptor but /dev/null, which `enter` replaces by the session's own.
fn identities(descriptors: [&OwnedFd; 3]) -> Vec<(u64, u64)> {
    let stats = descriptors.into_iter().filter_map(|d| rustix::fs::fstat(d.as_fd()).ok());
    stats.filter(|s| !enter::is_null(s)).map(|s| (s.st_dev, s.st_ino)).collect()
}

fn still_held(init: u32, waiting: &Waiting) -> bool {
    let processes = crate::container::processes::list(init).unwrap_or_default();
    crate::preflight::is_held(&processes, waiting)
}
