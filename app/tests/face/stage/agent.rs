//! A bus of its own, and an agent that stands in for the real one: its sessions are displays that the test made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use freezeframe_api::records::SessionRow;
use freezeframe_api::{Dict, Dictionary as _, names};
use zbus::zvariant::{OwnedFd, OwnedObjectPath};
use zbus::{Connection, fdo};

use super::{Program, wait_for};

/// A session bus.
pub(crate) struct Bus {
    pub(crate) address: String,
    _daemon: Program,
    _directory: tempfile::TempDir,
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
        Self { address: format!("unix:path={}", socket.display()), _daemon: daemon, _directory: directory }
    }
}

/// Sessions by name, with the socket of each one's display.
type Displays = Arc<Mutex<HashMap<String, PathBuf>>>;

/// An agent with the sessions that the test gives it.
pub(crate) struct FakeAgent {
    connection: Connection,
    displays: Displays,
}

impl FakeAgent {
    pub(crate) async fn start(bus: &Bus) -> Self {
        let displays = Displays::default();
        let connection = zbus::connection::Builder::address(bus.address.as_str())
            .unwrap()
            .serve_at(names::ROOT, Manager { displays: Arc::clone(&displays) })
            .unwrap()
            .serve_at(names::ROOT, fdo::ObjectManager)
            .unwrap()
            .name(names::BUS_NAME)
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { connection, displays }
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
