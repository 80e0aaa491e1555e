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

use super::blame::{Blame, blame};
use super::kept::{self, Taken};
use super::{
    After, BoxedError, Connect, DumpReport, DumpRequest, Engine, EngineError, Moment, RestoreRequest, WhileFrozen,
    plugin, stats,
};
use crate::container::processes;
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

    /// Refuses what CRIU would lose, and takes into safe keeping what can be kept from that.
    fn take(&self, init: u32) -> Result<Taken, BoxedError> {
        let taken = Taken::from(processes::list(init)?)?;
        Ok(taken.map_err(|loss| EngineError::WouldLose { engine: self.describe(), loss })?)
    }

    fn refused(&self, action: &'static str, log: &Path) -> EngineError {
        let text = fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        tracing::warn!("criu's log of the failed {action}:\n{text}");
        let Blame { process, reason } = blame(&text);
        EngineError::Refused { engine: self.describe(), action, process, reason }
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
        let plugin = plugin::Plugin::place(&self.runtime, &self.version);
        if let Some(plugin) = &plugin {
            command.arg("--libdir").arg(plugin.directory());
        }
        let log = request.images.join("dump.log");
        let init = process::open(request.init).map_err(|e| self.cannot_run(e))?;
        let mut ended = false;
        let mut begun = Instant::now();
        let mut so_far = DumpReport::default();
        let mut taken = None;
        let status = self.run(command, request.images, |action, _| {
            match action {
                "pre-dump" => begun = Instant::now(),
                // Called, whatever is locked, as soon as every process has stopped.
                "network-lock" => {
                    so_far.freeze = begun.elapsed();
                    taken = Some(self.take(request.init)?);
                }
                "post-dump" => {
                    so_far.pause = begun.elapsed();
                    taken.as_mut().map_or(Ok(()), |taken| taken.write(request.images))?;
                    while_frozen(so_far)?;
                    if request.after == After::End {
                        // The processes of its namespace die with it.
                        process::kill(&init)?;
                        ended = true;
                        taken.take().into_iter().for_each(Taken::forget);
                    }
                }
                // Called before the processes are let go of, whether the dump has succeeded or not.
                "network-unlock" => {
                    if let Some(taken) = &mut taken {
                        taken.type_again();
                    }
                    // CRIU takes its own links to files away only then; the plugin tells when it has.
                    if plugin.is_none() {
                        taken = None;
                    }
                }
                plugin::LET_GO => taken = None,
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
            // Every process is there, and none runs.
            "post-restore" => Ok(kept::give_back(init, request.images)?),
            _ => Ok(()),
        })?;
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        pid.filter(|_| status.success()).ok_or_else(|| self.refused("resume", &log))
    }
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
