//! The engine that runs CRIU (criu.org), which needs root: it reads /proc/PID/map_files of the initial user namespace.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use freezeframe_store::session::Network;
use freezeframe_store::usage;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    After, BoxedError, Connect, DumpReport, DumpRequest, Engine, EngineError, Moment, RestoreRequest, WhileFrozen,
    stats,
};
use crate::fault;
use crate::kernel::process;

/// Environment variable that tells a hook which socket to ask.
const HOOK_VARIABLE: &str = "FREEZEFRAME_HOOK";
/// Environment variable in which CRIU names the stage to its action script (criu(8), --action-script).
const ACTION_VARIABLE: &str = "CRTOOLS_SCRIPT_ACTION";
/// Environment variable in which CRIU gives its action script the pid of the tree's root, from some stages on.
const INIT_VARIABLE: &str = "CRTOOLS_INIT_PID";
/// The wrapper's program, whatever became of its file: the wrapper is process 1 of its pid namespace.
const OWN_PROGRAM: &str = "/proc/1/exe";
/// CRIU is given up when it has neither called a hook nor written anything for so long. Its own limit for stopping
/// processes is 10 seconds (criu(8), --timeout).
const QUIET: Duration = Duration::from_secs(120);
/// How often its progress is looked at, in milliseconds.
const LOOK: u16 = 5000;
/// How long a hook may take to say what it is; it does so at once.
const HOOK_DEADLINE: Duration = Duration::from_secs(10);

/// CRIU, found and probed.
#[derive(Clone, Debug)]
pub struct CriuEngine {
    /// The command: the program, and what comes before its own arguments.
    command: Vec<OsString>,
    version: String,
    /// Directory for the socket that CRIU's hooks ask; its path has to be short (unix(7)).
    runtime: PathBuf,
}

/// Options that dump and restore share. What each is for:
/// - inet connections within the session survive; its listening Unix sockets may have no peer inside;
/// - file locks; an unlinked file with other names is linked back for the restore; unlinked files are kept up to the
///   largest size that CRIU's 32-bit limit allows;
/// - cgroups stay the outside's; no firewall is touched, since nothing outside may talk to a `none` network;
/// - bind mounts of the outside's device nodes are found again by their paths.
const SHARED_OPTIONS: [&str; 13] = [
    "--tcp-established",
    "--ext-unix-sk",
    "--file-locks",
    "--shell-job",
    "--link-remap",
    "--ghost-limit",
    "4095M",
    "--manage-cgroups=ignore",
    "--network-lock",
    "skip",
    "--external",
    "mnt[]:ms",
    "-v2",
];

impl CriuEngine {
    /// The engine that runs `command`, of `version`.
    pub fn new(command: Vec<OsString>, version: String, runtime: PathBuf) -> Self {
        Self { command, version, runtime }
    }

    fn hook(&self) -> PathBuf {
        self.runtime.join("hook")
    }

    fn command(&self, verb: &str, network: Network) -> Result<Command, EngineError> {
        let Some((program, prefix)) = self.command.split_first() else {
            return Err(EngineError::Run { program: "criu".into(), source: io::ErrorKind::NotFound.into() });
        };
        let mut command = Command::new(program);
        command.args(prefix).arg(verb).args(SHARED_OPTIONS);
        command.args(["--action-script", OWN_PROGRAM]).env(HOOK_VARIABLE, self.hook());
        if network == Network::Outbound {
            command.args(["--empty-ns", "net"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    /// Runs CRIU and calls `act` at each stage that it tells, with the pid of the session's init as far as it is known.
    /// The first error of `act` makes CRIU fail, and is what is returned. `writes` is where its progress can be seen.
    fn run(
        &self,
        mut command: Command,
        writes: &Path,
        mut act: impl FnMut(&str, u32) -> Result<(), BoxedError>,
    ) -> Result<ExitStatus, EngineError> {
        let hooks = Hooks::listen(&self.hook()).map_err(|e| self.cannot_run(e))?;
        let mut child = command.spawn().map_err(|e| self.cannot_run(e))?;
        let mut problem = None;
        let served = process::open(child.id()).and_then(|child| {
            hooks.serve(&child, writes, |action, init| {
                // Before what is done at this stage, part of which cannot be taken back.
                let told = fault::point(&format!("engine-{action}"));
                let outcome = told.map_err(Into::into).and_then(|()| act(action, init));
                outcome.map_err(|error| problem.get_or_insert(error)).is_ok()
            })
        });
        // If that failed, nobody is there any more to answer: later hooks fail, and CRIU lets go of the processes. Killed in
        // the middle it would leave its own code in them.
        drop(hooks);
        if matches!(&served, Ok(Served::Hung)) {
            // It holds the processes, and nothing else will make it let go of them.
            child.kill().map_err(|e| self.cannot_run(e))?;
        }
        let status = child.wait().map_err(|e| self.cannot_run(e))?;
        if let Ok(Served::Hung) = served {
            return Err(EngineError::Hung { engine: self.describe(), quiet: QUIET });
        }
        served.map_err(|e| self.cannot_run(e))?;
        match problem.map(|error: BoxedError| error.downcast::<EngineError>()) {
            None => Ok(status),
            Some(Ok(own)) => Err(*own),
            Some(Err(error)) => Err(EngineError::InHook(error)),
        }
    }

    fn cannot_run(&self, source: io::Error) -> EngineError {
        let program = self.command.first().map_or_else(String::new, |p| p.to_string_lossy().into_owned());
        EngineError::Run { program, source }
    }

    fn refused(&self, action: &'static str, log: &Path) -> EngineError {
        let text = fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        tracing::warn!("criu's log of the failed {action}:\n{text}");
        EngineError::Refused { engine: self.describe(), action, reason: reason(&text), process: process(&text) }
    }
}

impl Engine for CriuEngine {
    fn describe(&self) -> String {
        format!("criu {}", self.version)
    }

    fn dump(&self, request: &DumpRequest<'_>, while_frozen: &mut WhileFrozen<'_>) -> Result<DumpReport, EngineError> {
        let mut command = self.command("dump", request.network)?;
        command.arg("--tree").arg(request.init.to_string());
        command.arg("--images-dir").arg(request.images).args(["-o", "dump.log"]);
        command.arg("--root").arg(request.root);
        // Also when they are to end: told that, CRIU does not put back what it took (what was typed into terminals, flags
        // of their descriptors) when the dump fails.
        command.arg("--leave-running");
        let log = request.images.join("dump.log");
        let init = process::open(request.init).map_err(|e| self.cannot_run(e))?;
        let mut ended = false;
        let mut begun = Instant::now();
        let mut so_far = DumpReport::default();
        let status = self.run(command, request.images, |action, _| {
            match action {
                "pre-dump" => begun = Instant::now(),
                // Called, whatever is locked, as soon as every process has stopped.
                "network-lock" => so_far.freeze = begun.elapsed(),
                "post-dump" => {
                    so_far.pause = begun.elapsed();
                    if drops_events(&log) {
                        return Err(EngineError::EventsQueued.into());
                    }
                    while_frozen(so_far)?;
                    if request.after == After::End {
                        // The processes of its namespace die with it.
                        process::kill(&init)?;
                        ended = true;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        // CRIU fails when it lets go of processes that are dead.
        if !status.success() && !ended {
            return Err(self.refused("save", &log));
        }
        match request.after {
            // Exact, and with the time that letting go of the processes took.
            After::Run => stats::read(request.images),
            // What was stopped never ran again, and `while_frozen` may have taken the images away.
            After::End => Ok(so_far),
        }
    }

    fn restore(&self, request: &RestoreRequest<'_>, connect: &mut Connect<'_>) -> Result<u32, EngineError> {
        let (log, pid_file) = (request.work.join("restore.log"), request.work.join("restore.pid"));
        let mut command = self.command("restore", request.network)?;
        command.arg("--images-dir").arg(request.images).arg("--work-dir").arg(request.work);
        command.arg("-o").arg("restore.log").arg("--pidfile").arg(&pid_file);
        command.arg("--root").arg(request.root).arg("--restore-detached");
        if request.stopped {
            command.arg("--leave-stopped");
        }
        let status = self.run(command, request.work, |action, init| match action {
            "setup-namespaces" if request.network == Network::Outbound => connect(Moment::Namespaces, init),
            "pre-resume" if request.network == Network::Outbound => connect(Moment::BeforeRun, init),
            _ => Ok(()),
        })?;
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        pid.filter(|_| status.success()).ok_or_else(|| self.refused("resume", &log))
    }
}

/// What in CRIU's log says why it failed: its first error, which is the cause; later ones follow from it.
fn reason(log: &str) -> String {
    let errors = log.lines().filter_map(|line| line.split_once("Error (").map(|(_, rest)| rest));
    // Said by every run on a host that gives root no CAP_SYS_RESOURCE, and harmless.
    let errors = errors.filter(|text| !text.contains("Can't setup RLIMIT_NOFILE"));
    let mut texts = errors.map(|rest| rest.split_once("): ").map_or(rest, |(_, text)| text).trim());
    texts.next().map_or_else(|| "it ended without saying why".to_owned(), str::to_owned)
}

/// The process that CRIU's log says it failed at: `Dump files (pid: 42) failed`, `Unseizable non-zombie 42 found`.
fn process(log: &str) -> Option<u32> {
    const BEFORE: [&str; 3] = ["(pid: ", "Unseizable non-zombie ", "namespace for "];
    let errors = log.lines().filter(|line| line.contains("Error ("));
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    errors.flat_map(|line| BEFORE.iter().filter_map(|word| number(line.split_once(word)?.1))).next()
}

/// Whether CRIU's log says that it left out inotify events (criu/fsnotify.c).
fn drops_events(log: &Path) -> bool {
    fs::read(log).is_ok_and(|text| String::from_utf8_lossy(&text).contains("inotify events will be dropped"))
}

/// How the serving of hooks came to its end.
enum Served {
    /// CRIU has ended.
    Ended,
    /// It has not, and has shown no sign of life for [`QUIET`].
    Hung,
}

/// Answers CRIU's action scripts, each of which is this program asking back.
struct Hooks {
    listener: UnixListener,
    path: PathBuf,
}

impl Hooks {
    fn listen(path: &Path) -> io::Result<Self> {
        let _ = fs::remove_file(path);
        Ok(Self { listener: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// Calls `act` with the name of each stage, and the session's init as far as it is known, until `child` has ended; its
    /// answer is the script's success.
    fn serve(&self, child: &OwnedFd, writes: &Path, mut act: impl FnMut(&str, u32) -> bool) -> io::Result<Served> {
        let mut seen = (usage::bytes_below(writes).unwrap_or(0), Instant::now());
        loop {
            let mut ready =
                [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN), PollFd::new(child.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(LOOK)) {
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(0) => {
                    let written = usage::bytes_below(writes).unwrap_or(0);
                    if written != seen.0 {
                        seen = (written, Instant::now());
                    } else if seen.1.elapsed() > QUIET {
                        return Ok(Served::Hung);
                    }
                    continue;
                }
                other => other?,
            };
            seen.1 = Instant::now();
            let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            if is_ready(&ready[0]) {
                let (mut stream, _) = self.listener.accept()?;
                stream.set_read_timeout(Some(HOOK_DEADLINE))?;
                let mut action = [0u8; 64];
                let length = stream.read(&mut action)?;
                let text = String::from_utf8_lossy(&action[..length]);
                let (action, init) = text.split_once(' ').unwrap_or((&text, ""));
                let answer = act(action, init.parse().unwrap_or(0));
                // A hook that is gone has ended with an error, and CRIU knows.
                let _ = stream.write_all(&[u8::from(answer)]);
                seen.1 = Instant::now();
            } else if is_ready(&ready[1]) {
                return Ok(Served::Ended);
            }
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// If this process was started by CRIU as its action script: asks the wrapper, and returns the exit status.
pub fn run_as_hook() -> Option<i32> {
    let socket = std::env::var_os(HOOK_VARIABLE)?;
    let action = std::env::var(ACTION_VARIABLE).ok()?;
    let init = std::env::var(INIT_VARIABLE).unwrap_or_default();
    let asked = (|| {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("{action} {init}").as_bytes())?;
        let mut answer = [0u8; 1];
        stream.read_exact(&mut answer)?;
        Ok::<bool, io::Error>(answer[0] == 1)
    })();
    Some(i32::from(!matches!(asked, Ok(true))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_reason() {
        let log = "Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n\
                   (00.1) Warn  (criu/x.c:1): odd\n(00.2) Error (criu/sk-unix.c:850): unix: Unix socket 0x1 not found\n\
                   (00.3) Error (criu/cr-dump.c:2098): Dumping FAILED.\n";
        assert_eq!(reason(log), "unix: Unix socket 0x1 not found");
        assert_eq!(reason(""), "it ended without saying why");
    }

    #[test]
    fn the_process_is_the_one_that_the_log_names() {
        let log = "(00.1) Error (criu/sk-queue.c:144): skqueue: Control messages in queue, not supported\n\
                   (00.2) Error (criu/cr-dump.c:1545): Dump files (pid: 49) failed with -1\n";
        assert_eq!(process(log), Some(49));
        assert_eq!(process("Error (infect.c:262): Unseizable non-zombie 33 found, state D, err -1/4"), Some(33));
        assert_eq!(process("Error (namespaces.c:460): Can't dump nested cgroup namespace for 42"), Some(42));
        assert_eq!(process("Warn  (x.c:1): (pid: 3)\nError (cr-dump.c:1975): Dumping FAILED."), None);
    }
}
