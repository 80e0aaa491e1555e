//! A bus of its own, and an agent that stands in for the real one: its sessions are displays that the test made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use freezeframe_api::records::{
    BaseRow, Collected, RetentionOptions, RetentionReport, RetentionRow, SessionRow, Settings, StorageUse,
};
use freezeframe_api::{Dict, Dictionary as _, names};
use zbus::zvariant::{OwnedFd, OwnedObjectPath};
use zbus::{Connection, fdo};

use super::{Program, wait_for};

/// A session bus.
pub(crate) struct Bus {
    pub(crate) address: String,
    _daemon: Program,
    directory: tempfile::TempDir,
}

/// The three rules of the session bus's own configuration; without all of them zbus waits for ever.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

impl Bus {
    pub(crate) fn start() -> Self {
        super::need(&[("dbus-daemon", "dbus-daemon")]);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let configuration = directory.path().join("bus.conf");
        std::fs::write(&configuration, CONFIGURATION.replace("SOCKET", socket.to_str().unwrap())).unwrap();
        let daemon =
            Program::start(Command::new("dbus-daemon").arg("--config-file").arg(&configuration).arg("--nofork"));
        wait_for("the bus", || socket.exists().then_some(()));
        Self { address: format!("unix:path={}", socket.display()), _daemon: daemon, directory }
    }

    /// A directory that lives as long as the bus.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Sessions by name, with the socket of each one's display.
type Displays = Arc<Mutex<HashMap<String, PathBuf>>>;

/// An agent with the sessions that the test gives it.
pub(crate) struct FakeAgent {
    connection: Connection,
    displays: Displays,
    settings: Arc<Mutex<Settings>>,
}

impl FakeAgent {
    pub(crate) async fn start(bus: &Bus) -> Self {
        let displays = Displays::default();
        let settings = Arc::new(Mutex::new(Settings {
            automatic_minutes: 30,
            keep_last: 5,
            default_base: "xfce".into(),
            default_width: 1280,
            default_height: 800,
            ..Settings::default()
        }));
        let manager = Manager { displays: Arc::clone(&displays), settings: Arc::clone(&settings) };
        let connection = zbus::connection::Builder::address(bus.address.as_str())
            .unwrap()
            .serve_at(names::ROOT, manager)
            .unwrap()
            .serve_at(names::ROOT, fdo::ObjectManager)
            .unwrap()
            .name(names::BUS_NAME)
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { connection, displays, settings }
    }

    /// What was set last.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.lock().unwrap().clone()
    }

    pub(crate) async fn add(&self, id: &str, socket: &Path) {
        self.displays.lock().unwrap().insert(id.to_owned(), socket.to_owned());
        let session = Session { id: id.to_owned(), displays: Arc::clone(&self.displays) };
        self.connection.object_server().at(names::session_path(id), session).await.unwrap();
    }

    pub(crate) async fn remove(&self, id: &str) {
        self.displays.lock().unwrap().remove(id);
        self.connection.object_server().remove::<Session, _>(names::session_path(id)).await.unwrap();
    }

    /// Off the bus, as after a crash.
    pub(crate) async fn stop(self) {
        self.connection.close().await.unwrap();
    }
}

struct Manager {
    displays: Displays,
    settings: Arc<Mutex<Settings>>,
}

#[zbus::interface(name = "io.github.freezeframe.Manager1")]
impl Manager {
    fn list_sessions(&self, _options: Dict) -> Vec<Dict> {
        let mut names: Vec<String> = self.displays.lock().unwrap().keys().cloned().collect();
        names.sort();
        let row = |session: String| SessionRow {
            session,
            state: "running".into(),
            base: "xfce".into(),
            size: "800x600".into(),
            ..SessionRow::default()
        };
        names.into_iter().map(|session| row(session).to_dict()).collect()
    }

    fn list_bases(&self) -> Vec<Dict> {
        let base = |name: &str| BaseRow { base: name.into(), state: "whole".into(), ..BaseRow::default() }.to_dict();
        ["minimal", "xfce"].map(base).into()
    }

    fn settings(&self) -> Dict {
        self.settings.lock().unwrap().to_dict()
    }

    fn set_settings(&self, changed: Dict) {
        let mut settings = self.settings.lock().unwrap();
        let mut all = settings.to_dict();
        all.extend(changed);
        *settings = Settings::from_dict(&all).unwrap();
    }

    /// Of forty snapshots the newest stay, as many as the first rule says.
    #[allow(clippy::needless_pass_by_value, reason = "zbus gives it so")]
    fn retention(&self, options: Dict) -> Dict {
        let keep = RetentionOptions::from_dict(&options).unwrap().keep_last.unwrap_or_default() as usize;
        let row = |number: usize| RetentionRow {
            snapshot: format!("s{number:02}"),
            created: format!("2026-01-01T{:02}:{:02}:00Z", number / 2, number % 2 * 30),
            own_bytes: 50 << 20,
            ..RetentionRow::default()
        };
        let (remove, keep) = ((0..40 - keep.min(40)).map(row), (40 - keep.min(40)..40).map(row));
        RetentionReport { rules: true, remove: remove.collect(), keep: keep.collect(), ..RetentionReport::default() }
            .to_dict()
    }

    fn storage_use(&self) -> Vec<Dict> {
        let line = |session: &str, snapshots, own_bytes, raw_bytes| {
            StorageUse { session: session.into(), snapshots, own_bytes, raw_bytes }.to_dict()
        };
        vec![
            line("amber-fox", 28, 1_400 << 20, 9_000 << 20),
            line("blue-heron", 12, 600 << 20, 3_500 << 20),
            line("", 40, 2_100 << 20, 12_500 << 20),
        ]
    }

    async fn collect_garbage(
        &self,
        _options: Dict,
        #[zbus(object_server)] server: &zbus::ObjectServer,
    ) -> fdo::Result<OwnedObjectPath> {
        let path = OwnedObjectPath::try_from(format!("{}/jobs/1", names::ROOT)).unwrap();
        server.at(path.clone(), Job).await?;
        Ok(path)
    }

    fn find_session(&self, name: &str) -> Result<OwnedObjectPath, Refusal> {
        if self.displays.lock().unwrap().contains_key(name) {
            return Ok(names::session_path(name));
        }
        Err(Refusal::NotFound(format!("there is no session {name:?}")))
    }
}

/// Errors by the real agent's names.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "io.github.freezeframe.Error")]
enum Refusal {
    #[zbus(error)]
    ZBus(zbus::Error),
    NotFound(String),
}

struct Session {
    id: String,
    displays: Displays,
}

#[zbus::interface(name = "io.github.freezeframe.Session1")]
impl Session {
    fn open_display(&self) -> fdo::Result<OwnedFd> {
        let socket = self.displays.lock().unwrap().get(&self.id).cloned();
        let socket = socket.ok_or_else(|| fdo::Error::UnknownObject("it has ended".into()))?;
        let stream = std::os::unix::net::UnixStream::connect(socket).map_err(|e| fdo::Error::Failed(e.to_string()))?;
        Ok(OwnedFd::from(std::os::fd::OwnedFd::from(stream)))
    }

    #[zbus(property)]
    fn state(&self) -> String {
        "running".into()
    }
}

/// A collection that is done at once.
struct Job;

#[zbus::interface(name = "io.github.freezeframe.Job1")]
impl Job {
    #[zbus(property)]
    fn state(&self) -> String {
        "done".into()
    }

    #[zbus(property)]
    fn result(&self) -> Dict {
        Collected { snapshots_removed: vec!["s01".into()], freed_bytes: 300 << 20, ..Collected::default() }.to_dict()
    }
}
