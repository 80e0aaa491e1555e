//! The engine that runs CRIU (criu.org), which needs root: it reads /proc/PID/map_files of the initial user namespace.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use freezeframe_store::session::Network;

use super::blame::{Blame, blame};
use super::hooks::{HOOK_VARIABLE, Hooks, QUIET, Served};
use super::kept::{self, Taken};
use super::traced::Traced;
use super::{
    After, BoxedError, Connect, DumpReport, DumpRequest, Engine, EngineError, Moment, RestoreRequest, WhileFrozen,
    cache, ids, plugin, stats,
};
use crate::container::processes;
use crate::failure::panic_words;
use crate::fault;
use crate::kernel::process;

/// How much of the engine's log is read, in bytes.
const MAX_LOG: u64 = 64 << 20;

/// The wrapper's program, whatever became of its file: the wrapper is process 1 of its pid namespace.
const OWN_PROGRAM: &str = "/proc/1/exe";

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

    /// Runs CRIU and calls `act` at each stage that it tells, with the pid of the session's init as far as it is known, and
    /// whoever tells. The first error of `act` makes CRIU fail, and is what is returned. `writes` is where its progress can be seen.
    fn run(
        &self,
        mut command: Command,
        writes: &Path,
        mut act: impl FnMut(&str, u32, &mut UnixStream) -> Result<(), BoxedError>,
    ) -> Result<ExitStatus, EngineError> {
        let hooks = Hooks::listen(&self.hook()).map_err(|e| self.cannot_run(e))?;
        let mut child = command.spawn().map_err(|e| self.cannot_run(e))?;
        let mut problem = None;
        let served = process::open(child.id()).and_then(|child| {
            hooks.serve(&child, writes, |action, init, asking| {
                // Before what is done at this stage, part of which cannot be taken back.
                let acted = || {
                    fault::point(&format!("engine-{action}"))?;
                    act(action, init, asking)
                };
                // A panic would leave CRIU, and with it the session, without an answer.
                let outcome = catch_unwind(AssertUnwindSafe(acted))
                    .unwrap_or_else(|bug| Err(format!("a bug in Freezeframe: {}", panic_words(&*bug)).into()));
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
        self.runtime.parent().into_iter().for_each(cache::keep);
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
    fn take(&self, init: u32, traces: bool, waiting: &[u32]) -> Result<Taken, BoxedError> {
        let taken = Taken::from(processes::list(init)?, traces, waiting)?;
        Ok(taken.map_err(|found| EngineError::WouldLose { engine: self.describe(), found })?)
    }

    fn refused(&self, action: &'static str, status: ExitStatus, log: &Path) -> EngineError {
        if let Some(signal) = status.signal() {
            return EngineError::Killed { engine: self.describe(), action, signal };
        }
        let mut bytes = Vec::new();
        // What went wrong first is near its beginning.
        let _ = fs::File::open(log).and_then(|log| log.take(MAX_LOG).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        tracing::warn!("criu's log of the failed {action}:\n{text}");
        let Blame { process, reason } = blame(&text);
        EngineError::Refused { engine: self.describe(), action, process, reason }
    }
}

/// Ends a session that must not run, at once; its own error is the one to report.
fn kill_for(session: &OwnedFd, error: BoxedError) -> Result<(), BoxedError> {
    process::kill(session)?;
    Err(error)
}

impl Engine for CriuEngine {
    fn describe(&self) -> String {
        format!("criu {}", self.version)
    }

    fn can_call(&self) -> bool {
        plugin::is_placeable(&self.runtime, &self.version)
    }

    fn saves_own_files(&self) -> bool {
        true
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
        let (mut taken, mut waiting) = (None, Vec::new());
        let status = self.run(command, request.images, |action, of, asking| {
            match action {
                plugin::WAITS => waiting.push(of),
                "pre-dump" => begun = Instant::now(),
                // Called, whatever is locked, as soon as every process has stopped.
                "network-lock" => {
                    so_far.freeze = begun.elapsed();
                    taken = Some(self.take(request.init, plugin.is_some(), &waiting)?);
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
                plugin::LET_GO => {
                    if let Some(taken) = taken.take() {
                        taken.go_on(&mut Traced::new(asking));
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        // CRIU fails when it lets go of processes that are dead.
        if !status.success() && !ended {
            return Err(self.refused("save", status, &log));
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
        let images = ids::Mapped::make(request.images, request.work.join("images"), request.map);
        let images = images.map_err(|e| self.cannot_run(e))?;
        command.arg("--images-dir").arg(images.path()).arg("--work-dir").arg(request.work);
        command.arg("-o").arg("restore.log").arg("--pidfile").arg(&pid_file);
        command.arg("--root").arg(request.root).arg("--restore-detached");
        // What it makes is where it is itself.
        let placed = request.group.map_or(Ok(()), |group| group.place_command(&mut command));
        placed.map_err(|e| self.cannot_run(e))?;
        if request.stopped {
            command.arg("--leave-stopped");
        }
        // A session that never runs needs nothing of what it is for.
        let plugin = (!request.stopped).then(|| plugin::Plugin::place(&self.runtime, &self.version)).flatten();
        if let Some(plugin) = &plugin {
            command.arg("--libdir").arg(plugin.directory());
            let people = kept::people(request.images).and_then(|people| plugin.tell_people(&people));
            command.envs(people.map_err(|e| self.cannot_run(e))?);
        }
        let (mut session, mut rest) = (None, None);
        let status = self.run(command, request.work, |action, init, asking| {
            match action {
                "setup-namespaces" => connect(Moment::Namespaces, init)?,
                // Every process is there, and none runs.
                "post-restore" => {
                    let opened = session.insert(process::open(init)?);
                    connect(Moment::Restored, init).or_else(|error| kill_for(opened, error))?;
                    rest = Some(kept::give_back(init, request.images)?);
                }
                plugin::TRACE => rest.as_mut().map_or(Ok(()), |rest| rest.trace(&mut Traced::new(asking)))?,
                // CRIU has taken its own links to files away.
                "pre-resume" => {
                    rest.take().map_or(Ok(()), |rest| rest.end(!request.stopped))?;
                    let done = connect(Moment::BeforeRun, init);
                    // CRIU lets them run whatever it is told now.
                    done.or_else(|error| session.as_ref().map_or(Ok(()), |opened| kill_for(opened, error)))?;
                }
                _ => {}
            }
            Ok(())
        });
        let status = status.inspect_err(|_| {
            // From pre-resume on CRIU lets them run, whatever it is told.
            let ended = session.as_ref().map_or(Ok(()), process::kill);
            ended.unwrap_or_else(|error| tracing::error!("the session cannot be ended: {error}"));
        })?;
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        pid.filter(|_| status.success()).ok_or_else(|| self.refused("resume", status, &log))
    }
}
