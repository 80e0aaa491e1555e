//! Whether a CRIU can dump on this kernel: by dumping two small processes, with a TCP connection between sockets of one
//! of them. That connection is what versions of CRIU fail at that otherwise seem to work.
//!
//! Only root can probe. The processes are this program's own verb [`TARGET_VERB`]; they end with the probe, whatever
//! becomes of it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The hidden verb that runs [`target`].
pub const TARGET_VERB: &str = "probe-target";
/// What the target says when it is ready to be dumped.
const READY: &str = "ready";
/// How long the target lives if nobody ends it.
const TARGET_LIFE: Duration = Duration::from_secs(60);
/// How long a dump of it may take; it takes a tenth of a second.
const DUMP_DEADLINE: Duration = Duration::from_secs(30);
/// As the engine calls CRIU, as far as it matters for two processes without a container.
const OPTIONS: [&str; 10] = [
    "--leave-running",
    "--tcp-established",
    "--ext-unix-sk",
    "--file-locks",
    "--shell-job",
    "--manage-cgroups=ignore",
    "--network-lock",
    "skip",
    "-v1",
    "--log-file=dump.log",
];

/// Why a probe did not go well.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The processes to dump could not be had.
    #[error("the processes for the probe cannot be started: {0}")]
    Target(io::Error),
    /// CRIU could not be run.
    #[error("it cannot be run: {0}")]
    Run(io::Error),
    /// CRIU took too long.
    #[error("it did not finish a dump of two processes in {} seconds", DUMP_DEADLINE.as_secs())]
    Late,
    /// CRIU refused.
    #[error("it cannot dump on this kernel: {0}")]
    Refused(String),
}

/// Dumps `target`, which has to behave like [`target`], with the CRIU that `criu` is the command of. `images` is an empty
/// directory; the caller removes it.
///
/// # Errors
/// What went wrong.
pub fn probe(criu: &[OsString], target: &mut Command, images: &Path) -> Result<(), ProbeError> {
    let target = Target::start(target).map_err(ProbeError::Target)?;
    let Some((program, prefix)) = criu.split_first() else {
        return Err(ProbeError::Run(io::ErrorKind::NotFound.into()));
    };
    let mut command = Command::new(program);
    command.args(prefix).arg("dump").args(OPTIONS).arg("--images-dir").arg(images);
    command.arg("--tree").arg(target.0.id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = run(&mut command)?;
    if status.success() {
        return Ok(());
    }
    let log = freezeframe_store::bounded::read(&images.join("dump.log"), 16 << 20).unwrap_or_default();
    Err(ProbeError::Refused(reason(&String::from_utf8_lossy(&log)).unwrap_or_else(|| status.to_string())))
}

/// The command whose process is [`target`].
pub fn own_target() -> Command {
    // By its path, because in a mount namespace of our own /proc/self/exe leads to a mount that CRIU cannot look up.
    // Where the file is gone it still is the same program.
    let own = std::env::current_exe().ok().filter(|path| path.is_file());
    let mut command = Command::new(own.unwrap_or_else(|| "/proc/self/exe".into()));
    command.arg(TARGET_VERB);
    command
}

fn run(command: &mut Command) -> Result<ExitStatus, ProbeError> {
    let mut child = command.spawn().map_err(ProbeError::Run)?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(ProbeError::Run)? {
            return Ok(status);
        }
        if begun.elapsed() > DUMP_DEADLINE {
            // It is killed either way; that it cannot be would be the lesser news.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(ProbeError::Late);
        }
        sleep(Duration::from_millis(5));
    }
}

/// The first error in CRIU's log, without the place in its source; the later ones only follow from it.
fn reason(log: &str) -> Option<String> {
    let noise = |line: &&str| !line.contains("RLIMIT_NOFILE");
    let line = log.lines().filter(|line| line.contains("Error (")).find(noise)?;
    let text = line.split_once("): ").map_or(line, |(_, text)| text);
    Some(text.trim().to_owned())
}

/// The processes to dump; they end when this is dropped.
struct Target(Child);

impl Target {
    fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut target = Self(child);
        let mut said = String::new();
        if let Some(output) = target.0.stdout.take() {
            // Ends when the target has let go of its output, which it does when it is ready.
            output.take(64).read_to_string(&mut said)?;
        }
        if said.trim() == READY { Ok(target) } else { Err(io::Error::other("they ended too early")) }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // The target's child, in its process group, ends with it.
        let id = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = id {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The verb [`TARGET_VERB`]: becomes what a probe dumps, and sleeps.
///
/// # Errors
/// When a socket or a process cannot be made.
pub fn target() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let connected = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    let seconds = TARGET_LIFE.as_secs().to_string();
    let mut child =
        Command::new("sleep").arg(seconds).stdin(Stdio::null()).stdout(Stdio::null()).arg0("sleep").spawn()?;
    let mut output = io::stdout();
    writeln!(output, "{READY}")?;
    output.flush()?;
    let nowhere = fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    child.wait()?;
    drop((listener, connected, accepted));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A shell that behaves like the target.
    fn shell(script: &str) -> Command {
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", script]);
        command
    }

    fn fake_criu(directory: &Path, script: &str) -> Vec<OsString> {
        let path = directory.join("criu");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        vec!["sh".into(), path.into()]
    }

    #[test]
    fn the_first_error_of_criu_is_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let log = "(00.0) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self\\n\
            (00.1) Error (criu/sockets.c:2): sockets: Can'\\''t get 1:16 opt\\n(00.2) Error (criu/cr-dump.c:3): Dumping FAILED.";
        let log = log.replace("self", "x").replace("Can't setup", "Cannot setup");
        let criu =
            fake_criu(directory.path(), &format!("printf '{log}' > {}/dump.log; exit 1", directory.path().display()));
        let target = "echo ready; exec >/dev/null; sleep 60";
        let error = probe(&criu, &mut shell(target), directory.path()).unwrap_err();
        assert_eq!(error.to_string(), "it cannot dump on this kernel: sockets: Can't get 1:16 opt");
    }

    #[test]
    fn the_target_is_dumped_while_it_lives_and_ends_with_the_probe() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let script = format!("for a; do last=$a; done; test -d /proc/$last && echo $last > {}", pid.display());
        probe(
            &fake_criu(directory.path(), &script),
            &mut shell("echo ready; exec >/dev/null; sleep 60"),
            directory.path(),
        )
        .unwrap();
        let pid = fs::read_to_string(pid).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists());
    }

    #[test]
    fn a_target_that_is_not_ready_is_not_dumped() {
        let directory = tempfile::tempdir().unwrap();
        let criu = fake_criu(directory.path(), "exit 0");
        let error = probe(&criu, &mut shell("exit 3"), directory.path()).unwrap_err();
        assert!(matches!(error, ProbeError::Target(_)), "{error}");
    }
}
