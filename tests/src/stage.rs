//! One user's whole world, made for one test.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::cache::Cache;
use crate::clean;
use crate::outcome::{Outcome, finish, finish_with};
use crate::picture::Picture;
use crate::processes::{self, Process};
use crate::programs::Programs;
use crate::user::User;
use crate::viewer::Viewer;
use crate::wait::{eventually, wait_until};

/// Nothing that `sessionctl` does in a test takes longer.
const LIMIT: Duration = Duration::from_secs(180);
/// How long a bus may take to listen.
const BUS_LIMIT: Duration = Duration::from_secs(20);

/// Where users' stages are: everybody can pass through it, and it is on a disk.
const STAGES_OF_USERS: &str = "/var/tmp";

/// The three rules of session.conf; without `eavesdrop` zbus hangs.
const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// Name of the variable that a stage sets in the environment of all that it starts, so that a test can look for it where
/// it must not be.
const CANARY: &str = "FREEZEFRAME_TEST_CANARY";

/// One user's whole world. Dropping it ends all that was started in it, and panics when something is left.
#[derive(Debug)]
pub struct Stage {
    programs: Programs,
    directory: TempDir,
    runtime: TempDir,
    bus: Option<Child>,
    canary: String,
    user: Option<User>,
    /// Which engine saves, where that is not the usual one.
    engine: Option<OsString>,
}

impl Stage {
    /// A world of root's, with the named bases and the engine of the cache.
    ///
    /// # Errors
    /// When we are not root, or the programs or a base are missing.
    pub fn new(bases: &[&str]) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "these tests need root: the engine does");
        let cache = Cache::find()?;
        let stage = Self::make(&cache.stages()?, Programs::find()?, None)?;
        let data = stage.data();
        for name in ["bases", "engine"] {
            stage.directory_of_ours(&data.join(name))?;
        }
        for name in bases {
            symlink(cache.base(name)?, data.join("bases").join(name))?;
        }
        for engine in cache.engines()? {
            let name = engine.file_name().unwrap_or_default().to_owned();
            symlink(engine, data.join("engine").join(name))?;
        }
        Ok(stage)
    }

    /// A world of a normal user's, without bases.
    ///
    /// # Errors
    /// When we are not root, which makes the user's directories, or the programs are missing.
    pub fn of_user(user: User) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "these tests need root, which makes a normal user for them");
        let programs = Programs::find()?;
        let mut stage = Self::make(Path::new(STAGES_OF_USERS), programs.clone(), Some(user))?;
        // The build directory may be one that the user cannot enter.
        let copies = stage.path("programs");
        DirBuilder::new().mode(0o755).create(&copies)?;
        for name in ["session-agent", "sessionctl", "vnc-wrapper"] {
            let (from, to) = (programs.directory.join(name), copies.join(name));
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))?;
        }
        stage.programs = Programs {
            sessionctl: copies.join("sessionctl"),
            vnc_wrapper: copies.join("vnc-wrapper"),
            directory: copies,
        };
        Ok(stage)
    }

    /// The same world, in which the native engine saves.
    #[must_use]
    pub fn natively(mut self) -> Self {
        self.engine = Some("native".into());
        self
    }

    fn make(stages: &Path, programs: Programs, user: Option<User>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("stage.").tempdir_in(stages)?;
        // Short, for the sake of the sockets in it (unix(7)).
        let runtime = tempfile::Builder::new().prefix("ff.").tempdir_in("/tmp")?;
        let canary = format!("canary-{}", directory.path().file_name().unwrap_or_default().to_string_lossy());
        let engine = std::env::var_os("FREEZEFRAME_ENGINE");
        let mut stage = Self { programs, directory, runtime, bus: None, canary, user, engine };
        if stage.user.is_some() {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(stage.directory.path(), fs::Permissions::from_mode(0o755))?;
            stage.give(stage.runtime.path())?;
        }
        for path in [stage.path("home"), stage.path("data"), stage.path("config"), stage.data()] {
            stage.directory_of_ours(&path)?;
        }
        stage.start_bus()?;
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid), Some(user.gid)).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn directory_of_ours(&self, path: &Path) -> Result<()> {
        DirBuilder::new().mode(0o700).create(path).with_context(|| path.display().to_string())?;
        self.give(path)
    }

    fn start_bus(&mut self) -> Result<()> {
        let socket = self.runtime.path().join("bus");
        let config = self.path("bus.conf");
        fs::write(&config, BUS_CONFIG.replace("@SOCKET@", &socket.to_string_lossy()))?;
        let log = File::create(self.path("bus.log"))?;
        let mut command = self.command(OsStr::new("dbus-daemon"));
        command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.bus = Some(command.spawn().context("dbus-daemon is needed: apt install dbus-daemon")?);
        wait_until(BUS_LIMIT, "the bus answers", || UnixStream::connect(&socket).is_ok())
    }

    /// A command in this world: its environment, and its user.
    pub fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment()).current_dir("/");
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn environment(&self) -> BTreeMap<&'static str, OsString> {
        let runtime = self.runtime.path();
        let name = self.user.as_ref().map_or("root", |u| u.name.as_str());
        let engine = self.engine.clone().map(|engine| ("FREEZEFRAME_ENGINE", engine));
        let all = BTreeMap::from([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("HOME", self.path("home").into()),
            ("USER", name.into()),
            ("LOGNAME", name.into()),
            ("LANG", "C.UTF-8".into()),
            ("RUST_BACKTRACE", "0".into()),
            ("XDG_DATA_HOME", self.path("data").into()),
            ("XDG_CONFIG_HOME", self.path("config").into()),
            ("XDG_RUNTIME_DIR", runtime.into()),
            ("DBUS_SESSION_BUS_ADDRESS", self.bus_address().into()),
            ("FREEZEFRAME_FAULTS", self.path("faults").into()),
            (CANARY, self.canary.clone().into()),
        ]);
        all.into_iter().chain(engine).collect()
    }

    /// The address of its session bus.
    pub fn bus_address(&self) -> String {
        format!("unix:path={}/bus", self.runtime.path().display())
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.path("data").join("freezeframe")
    }

    /// Moves the data directory, which nobody uses yet, to another disk.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn move_data_to(&self, disk: &Path) -> Result<()> {
        let (place, new) = (self.path("data"), disk.join("freezeframe"));
        self.directory_of_ours(&new)?;
        for name in ["bases", "engine"].iter().filter(|name| self.data().join(name).exists()) {
            self.directory_of_ours(&new.join(name))?;
            for entry in fs::read_dir(self.data().join(name))? {
                let entry = entry?;
                symlink(fs::read_link(entry.path())?, new.join(name).join(entry.file_name()))?;
            }
        }
        fs::remove_dir_all(&place)?;
        Ok(symlink(disk, &place)?)
    }

    /// A directory for the test's own files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Words of the host that nobody inside a session may read: paths, and a value in the agent's environment.
    pub fn secrets(&self) -> [String; 3] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [text(self.directory.path()), text(self.runtime.path()), self.canary.clone()]
    }

    /// The program under test that people use.
    pub fn sessionctl(&self) -> PathBuf {
        self.programs.sessionctl.clone()
    }

    /// Runs `sessionctl --json`.
    ///
    /// # Errors
    /// When it does not end in time. A failure that it reports is no error here.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = self.command(self.programs.sessionctl.as_os_str());
        // In front, where no `--` hides it.
        command.arg("--json").args(arguments);
        finish(&mut command, LIMIT)
    }

    /// Imports the base of that name from the cache, by standard input: the stage's user may not see the cache.
    ///
    /// # Errors
    /// When it is not imported.
    pub fn import(&self, base: &str) -> Result<Value> {
        let archive = File::open(Cache::find()?.archive(base)?)?;
        let mut command = self.command(self.programs.sessionctl.as_os_str());
        command.args(["--json", "base", "import", base, "-"]);
        let outcome = finish_with(&mut command, archive.into(), LIMIT)?;
        outcome.done()?;
        outcome.json()
    }

    /// Runs `sessionctl` for people to read.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn ctl_plain(&self, arguments: &[&str]) -> Result<Outcome> {
        finish(self.command(self.programs.sessionctl.as_os_str()).args(arguments), LIMIT)
    }

    /// Runs `sessionctl --json`, which has to succeed; answers its document.
    ///
    /// # Errors
    /// When it does not.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let outcome = self.ctl(arguments)?;
        outcome.done()?;
        outcome.json()
    }

    /// The text at `field` of a document that `sessionctl` has to print.
    ///
    /// # Errors
    /// When it is not there.
    pub fn word(&self, arguments: &[&str], field: &str) -> Result<String> {
        let document = self.json(arguments)?;
        let word = document[field].as_str().with_context(|| format!("{field} is missing in {document}"))?;
        Ok(word.to_owned())
    }

    /// Starts a session; answers its name.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, arguments: &[&str]) -> Result<String> {
        self.word(&[&["start"], arguments].concat(), "session")
    }

    /// Saves a session; answers the snapshot's id.
    ///
    /// # Errors
    /// When it is not saved.
    pub fn save(&self, session: &str) -> Result<String> {
        self.word(&["save", session], "snapshot")
    }

    /// Runs a program in a session to its end; answers its standard output.
    ///
    /// # Errors
    /// When its exit code is not 0.
    pub fn inside(&self, session: &str, command: &[&str]) -> Result<String> {
        self.inside_any(session, command)?.done()
    }

    /// Runs a program in a session to its end, whatever its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn inside_any(&self, session: &str, command: &[&str]) -> Result<Outcome> {
        self.ctl_plain(&[&["exec", session, "--wait", "--"], command].concat())
    }

    /// Starts a program in a session that has no tie to us; answers its pid inside.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self, session: &str, command: &[&str]) -> Result<i32> {
        let document = self.json(&[&["exec", session, "--"], command].concat())?;
        document["pid"].as_i64().and_then(|p| p.try_into().ok()).with_context(|| document.to_string())
    }

    /// Puts a file into a session, as its user.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, session: &str, path: &str, text: &str) -> Result<()> {
        self.inside(session, &["sh", "-c", "printf %s \"$2\" > \"$1\"", "sh", path, text]).map(drop)
    }

    /// Puts a program into a session, as its root, where everybody may run it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_program(&self, session: &str, path: &str, program: &Path) -> Result<()> {
        let mut command = self.command(self.programs.sessionctl.as_os_str());
        command.args([
            "exec",
            session,
            "--wait",
            "--root",
            "--",
            "sh",
            "-c",
            "cat > \"$1\" && chmod 755 \"$1\"",
            "sh",
            path,
        ]);
        finish_with(&mut command, File::open(program)?.into(), LIMIT)?.done().map(drop)
    }

    /// Connects to a session's display.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn viewer(&self, session: &str) -> Result<Viewer> {
        Viewer::connect(&self.display_socket(session))
    }

    /// The socket of a session's display.
    pub fn display_socket(&self, session: &str) -> PathBuf {
        self.runtime.path().join("freezeframe").join(session).join("display")
    }

    /// A picture of a session's display.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn screenshot(&self, session: &str) -> Result<Picture> {
        let file = self.path(&format!("home/{session}.png"));
        self.json(&["screenshot", session, &file.to_string_lossy()])?;
        Picture::open(&file)
    }

    /// The state that `sessionctl list` gives for a session; none when it is not listed.
    ///
    /// # Errors
    /// When there is no list.
    pub fn state(&self, session: &str) -> Result<Option<String>> {
        let list = self.json(&["list"])?;
        let row = list.as_array().into_iter().flatten().find(|row| row["session"] == session);
        Ok(row.and_then(|row| row["state"].as_str()).map(str::to_owned))
    }

    /// Names the points at which saves and resumes fail from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn fail_at(&self, points: &[&str]) -> Result<()> {
        Ok(fs::write(self.path("faults"), points.join("\n"))?)
    }

    /// Writes the configuration, which the agent reads when it starts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, text: &str) -> Result<()> {
        let directory = self.path("config").join("freezeframe");
        fs::create_dir_all(&directory)?;
        Ok(fs::write(directory.join("config.toml"), text)?)
    }

    /// Our processes whose command line has this word and this world's directories.
    fn ours(&self, word: &str) -> Vec<Process> {
        let paths = self.paths();
        let names = |p: &Process| p.command.split([' ', '/']).any(|w| w == word);
        clean::of(&paths).into_iter().filter(names).collect()
    }

    /// The agents; one, or none before the first `sessionctl`.
    pub fn agents(&self) -> Vec<Process> {
        self.ours("session-agent")
    }

    /// What runs of the wrapper: supervisors, and verbs.
    pub fn wrappers(&self) -> Vec<Process> {
        self.ours("vnc-wrapper")
    }

    /// The supervisor of a session.
    ///
    /// # Errors
    /// When there is none.
    pub fn supervisor(&self, session: &str) -> Result<Process> {
        let wanted = format!(" --id {session}");
        let is_it = |p: &Process| {
            let arguments = format!("{} ", p.command);
            p.command.contains(" session ") && arguments.contains(&format!("{wanted} "))
        };
        self.wrappers().into_iter().find(is_it).with_context(|| format!("{session} has no vnc-wrapper"))
    }

    /// The processes of a session, by their pids inside. None of an `exec --wait` may be running.
    ///
    /// # Errors
    /// When it has no supervisor.
    pub fn processes(&self, session: &str) -> Result<BTreeMap<i32, Process>> {
        Ok(processes::inside(self.supervisor(session)?.pid))
    }

    /// Pids inside a session, and what runs there.
    ///
    /// # Errors
    /// When it has no supervisor.
    pub fn pids(&self, session: &str) -> Result<BTreeMap<i32, (String, String)>> {
        Ok(self.processes(session)?.into_iter().map(|(pid, p)| (pid, (p.name, p.command))).collect())
    }

    /// The same as soon as the desktop has started whatever it starts: no process came or went for a second, and none is
    /// of the window manager's autostart, which comes and goes.
    ///
    /// # Errors
    /// When that does not come to an end.
    pub fn settled_pids(&self, session: &str) -> Result<BTreeMap<i32, (String, String)>> {
        let mut last = (self.pids(session)?, Instant::now());
        eventually(LIMIT, &format!("processes of {session} neither come nor go"), || {
            let now = self.pids(session)?;
            if now != last.0 || now.values().any(|(name, _)| name.starts_with("openbox-")) {
                last = (now, Instant::now());
            }
            Ok((last.1.elapsed() > Duration::from_secs(1)).then(|| last.0.clone()))
        })
    }

    /// Kills a process and waits until it is gone.
    ///
    /// # Errors
    /// When it is not gone in time.
    pub fn kill(&self, process: &Process) -> Result<()> {
        kill(Pid::from_raw(process.pid), Signal::SIGKILL)?;
        wait_until(BUS_LIMIT, &format!("{} is gone", process.command), || {
            processes::all().iter().all(|p| p.pid != process.pid)
        })
    }

    /// Entries of directories in which a failed save may leave something: `snapshots` and `store/raw`.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn stored(&self) -> Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for name in ["snapshots", "store/raw"] {
            for entry in fs::read_dir(self.data().join(name)).context(name)? {
                all.push(PathBuf::from(name).join(entry?.file_name()));
            }
        }
        all.sort();
        Ok(all)
    }

    /// The logs of agent and sessions, for the message of a failed test.
    pub fn logs(&self) -> String {
        let logs = fs::read_dir(self.data().join("logs")).into_iter().flatten().flatten().map(|e| e.path());
        let mut text = String::new();
        for path in logs.chain([self.runtime.path().join("freezeframe/agent.log")]) {
            let log = fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(80)..].join("\n");
            text.push_str(&format!("--- {}\n{last}\n", path.display()));
        }
        text
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.directory.path().to_owned(), self.runtime.path().to_owned()]
    }

    /// Ends all that was started, removes all that was made.
    fn close(&mut self) -> Result<()> {
        // The agent first, which would start what is missing.
        for agent in self.agents() {
            let _ = kill(Pid::from_raw(agent.pid), Signal::SIGKILL);
        }
        let ended = clean::end_all(&self.paths());
        if let Some(mut bus) = self.bus.take() {
            bus.wait()?;
        }
        ended?;
        for path in self.paths() {
            clean::ensure_no_mounts(&path)?;
            if path.exists() {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        match self.close() {
            Ok(()) => {}
            Err(error) if std::thread::panicking() => eprintln!("the stage left something behind: {error:#}"),
            Err(error) => panic!("the stage left something behind: {error:#}"),
        }
    }
}
