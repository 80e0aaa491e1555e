//! One user's little world: a bus, directories, an agent.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use freezeframe_api::names::snapshot_path;
use freezeframe_api::records::JobFailure;
use freezeframe_api::{Dictionary, Job1Proxy, Snapshot1Proxy};
use freezeframe_protocol::engine::Engine;
use freezeframe_store::{Manifest, SnapshotId, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use session_agent::agent::{Agent, Setup};
use session_agent::config::Config;
use session_agent::dirs::Directories;
use session_agent::programs::Programs;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Nothing in these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// As session.conf has it: without `eavesdrop` zbus hangs.
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

/// What a run of `sessionctl` left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Its standard output, which is one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The same, of a run that must have succeeded.
    pub(crate) fn done(self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.json()
    }

    /// Asserts an error in JSON; answers it.
    pub(crate) fn refused(&self, code: i32, name: &str) -> Value {
        assert_eq!(self.code, code, "{self:?}");
        let error = self.json()["error"].clone();
        assert_eq!(error["name"], name, "{self:?}");
        assert!(error["message"].is_string() && error["hint"].is_string(), "{self:?}");
        error
    }
}

/// Drop ends everything that was started in it.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    bus: Child,
    agent: Option<(Runtime, std::sync::Arc<Agent>)>,
}

impl World {
    /// Directories and a bus, with the bases `minimal` and `xfce`, and no agent.
    pub(crate) fn without_agent() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["home", "runtime", "files/bases"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for profile in ["minimal", "xfce"] {
            fs::write(path("files/bases").join(format!("{profile}.toml")), "").unwrap();
        }
        let config = BUS_CONFIG.replace("@SOCKET@", path("bus").to_str().unwrap());
        fs::write(path("bus.conf"), config).unwrap();
        let bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", path("bus.conf").display()))
            .args(["--nofork", "--nopidfile"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(path("bus.log")).unwrap())
            .spawn()
            .expect("dbus-daemon is needed: apt install dbus-daemon");
        until("the bus answers", || UnixStream::connect(dir.path().join("bus")).is_ok());
        Self { dir, bus, agent: None }
    }

    /// The same with an agent in this process that may use the engine.
    pub(crate) fn new() -> Self {
        let mut world = Self::without_agent();
        world.start_agent(true);
        world
    }

    /// The same with a base to start from.
    pub(crate) fn with_base() -> Self {
        let world = Self::new();
        world.json(&["base", "build", "xfce"]).done();
        world
    }

    /// The same with a session called `desktop`.
    pub(crate) fn with_session() -> Self {
        let world = Self::with_base();
        assert_eq!(world.json(&["start"]).done()["session"], "desktop");
        world
    }

    pub(crate) fn start_agent(&mut self, root: bool) {
        let setup = Setup {
            dirs: Directories {
                data: self.data(),
                config_file: self.dir.path().join("config.toml"),
                runtime: self.runtime(),
            },
            programs: Programs {
                vnc_wrapper: Some(fake_wrapper()),
                data_files: Some(self.dir.path().join("files")),
                ..Programs::default()
            },
            config: Config::read(&self.dir.path().join("config.toml")).unwrap(),
            root,
            engine: Engine::Criu,
        };
        let address = self.address();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let agent = runtime.block_on(async {
            let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
            Agent::run_with_connection(connection, setup).await.unwrap()
        });
        self.agent = Some((runtime, agent));
    }

    /// Ends the agent of this process.
    pub(crate) fn end_agent(&mut self) {
        if let Some((runtime, agent)) = self.agent.take() {
            runtime.block_on(agent.end());
            runtime.shutdown_timeout(Duration::from_secs(5));
            until("the name is free", || self.agent_pid().is_none());
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data/freezeframe")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.dir.path().join("runtime")
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }

    /// `sessionctl` with the environment of this world.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessionctl"));
        command
            .args(arguments)
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_DATA_HOME", self.dir.path().join("data"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("DBUS_SESSION_BUS_ADDRESS", self.address())
            .env("FREEZEFRAME_VNC_WRAPPER", fake_wrapper())
            .env("FREEZEFRAME_DATA_FILES", self.dir.path().join("files"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments).spawn().unwrap())
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        finish(child)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Run {
        self.run(&[&["--json"], arguments].concat())
    }

    /// The state of a session; none when it is not listed.
    pub(crate) fn state(&self, session: &str) -> Option<String> {
        let list = self.json(&["list"]).done();
        let row = list.as_array().unwrap().iter().find(|r| r["session"] == session)?;
        Some(row["state"].as_str().unwrap().to_owned())
    }

    /// Whether packing waits.
    pub(crate) fn hold_packing(&self, hold: bool) {
        let file = self.runtime().join("hold-packing");
        if hold {
            fs::write(file, "").unwrap();
        } else {
            fs::remove_file(file).unwrap();
        }
    }

    /// Cancels the packing of a snapshot; answers what the job says then.
    pub(crate) fn cancel_packing(&self, id: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let address = self.address();
            let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
            let snapshot = Snapshot1Proxy::builder(&connection).path(snapshot_path(id)).unwrap().build().await.unwrap();
            let job = Job1Proxy::builder(&connection).path(snapshot.pack().await.unwrap()).unwrap();
            let job = job.cache_properties(zbus::proxy::CacheProperties::No).build().await.unwrap();
            job.cancel().await.unwrap();
            let began = Instant::now();
            while job.state().await.unwrap() == "running" {
                assert!(began.elapsed() < DEADLINE, "in vain: the packing is cancelled");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(job.state().await.unwrap(), "cancelled");
            JobFailure::from_dict(&job.result().await.unwrap()).unwrap().message
        })
    }

    /// Puts another snapshot of the very same content beside one that is packed; answers its id.
    pub(crate) fn twin(&self, id: &str) -> String {
        let store = Store::open(self.data()).unwrap();
        let (id, twin) = (SnapshotId::new(id).unwrap(), SnapshotId::random());
        let manifest = Manifest { id: twin.clone(), ..store.manifest(&id).unwrap() };
        let written = store.chunk_writer().unwrap().finish().unwrap();
        store.commit_packed(&manifest, None, &store.content(&id).unwrap(), &written).unwrap();
        twin.to_string()
    }

    /// Kills everything that a wrapper's verb started, as if the machine had lost it.
    pub(crate) fn kill_all_wrappers(&self) {
        for pid in fs::read_to_string(self.runtime().join("pids")).unwrap_or_default().lines() {
            kill(pid.parse().unwrap());
        }
    }

    /// What `show` says of a snapshot.
    pub(crate) fn show(&self, id: &str) -> Value {
        self.json(&["show", id]).done()
    }

    /// Kills the wrapper of a session.
    pub(crate) fn kill_wrapper(&self, session: &str) {
        let pid = fs::read_to_string(self.data().join("sessions").join(session).join("pid")).unwrap();
        kill(pid.parse().unwrap());
    }

    /// The pid of the owner of the agent's name.
    pub(crate) fn agent_pid(&self) -> Option<i32> {
        pid_of(&self.address(), freezeframe_api::names::BUS_NAME)
    }
}

/// The pid of the owner of `name` on the bus at `address`.
pub(crate) fn pid_of(address: &str, name: &'static str) -> Option<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = zbus::connection::Builder::address(address).ok()?.build().await.ok()?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await.ok()?;
        let name = zbus::names::BusName::from_static_str(name).unwrap();
        bus.get_connection_unix_process_id(name).await.ok()?.try_into().ok()
    })
}

impl Drop for World {
    fn drop(&mut self) {
        if self.agent.is_none()
            && let Some(pid) = self.agent_pid()
        {
            kill(pid);
        }
        self.end_agent();
        self.kill_all_wrappers();
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

fn finish(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Kills a process that a world started; one that is gone already is as good.
pub(crate) fn kill(pid: i32) {
    let is_ours = fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|c| ["fake-vnc-wrapper", "session-agent", "dbus-daemon"].iter().any(|name| c.contains(name)));
    if is_ours && let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn fake_wrapper() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_fake-vnc-wrapper"))
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
