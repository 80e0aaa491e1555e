//! The object of a session: `Session1`. It decodes, calls and maps errors.

use std::sync::Arc;

use freezeframe_api::records::{ExecuteOptions, SaveOptions, StopOptions};
use freezeframe_api::{Dict, Dictionary, Result};
use freezeframe_protocol::{display_socket, session_runtime_dir};
use zbus::fdo;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};

use super::Agent;
use super::failure::answered;
use super::state::Session;
use crate::rules::rows;

/// The D-Bus object.
pub(crate) struct SessionObject {
    agent: Arc<Agent>,
    id: String,
}

impl SessionObject {
    pub(crate) fn new(agent: &Arc<Agent>, id: &str) -> Self {
        Self { agent: agent.clone(), id: id.to_owned() }
    }

    fn read<T>(&self, what: impl FnOnce(&Session) -> T) -> fdo::Result<T> {
        let state = self.agent.lock();
        let session = state.sessions.get(&self.id).map(what);
        session.ok_or_else(|| fdo::Error::UnknownObject(format!("there is no session {:?} any more", self.id)))
    }
}

/// One session.
#[zbus::interface(name = "io.github.freezeframe.Session1")]
impl SessionObject {
    /// Saves it. Options: label, stop, automatic (it was not asked for), verify. Result: snapshot, session, pause_ms.
    async fn save(&self, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.agent.save(&self.id, SaveOptions::from_options(&options)?)).await
    }

    /// Ends it; of a crashed one, removes what is left. Options: save. Result: session, snapshot.
    async fn stop(&self, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.agent.stop(&self.id, StopOptions::from_options(&options)?)).await
    }

    /// The pre-flight alone: savable, findings (pid, application, window, object, blocking, remedy).
    async fn check(&self) -> Result<Dict> {
        Ok(answered(self.agent.check(&self.id)).await?.to_dict())
    }

    /// Runs a program in it. Options: root, wait, environment (a{ss}), directory; with wait also stdin, stdout, stderr
    /// (h). Result: session, pid (without wait), status (with it).
    async fn execute(&self, argv: Vec<String>, options: Dict) -> Result<OwnedObjectPath> {
        answered(self.agent.execute(&self.id, argv, ExecuteOptions::from_options(&options)?)).await
    }

    /// A connected RFB socket.
    async fn open_display(&self) -> Result<OwnedFd> {
        answered(self.agent.open_display(&self.id)).await
    }

    /// The display as a PNG.
    async fn screenshot(&self) -> Result<Vec<u8>> {
        answered(self.agent.screenshot(&self.id)).await
    }

    /// Its name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.id
    }

    /// `starting`, `running`, `saving`, `stopping` or `crashed`.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        self.read(|s| s.phase.word().to_owned())
    }

    /// The base it stands on.
    #[zbus(property(emits_changed_signal = "const"))]
    fn base(&self) -> fdo::Result<String> {
        self.read(|s| s.record.base.clone())
    }

    /// Width of the display in pixels.
    #[zbus(property(emits_changed_signal = "const"))]
    fn width(&self) -> fdo::Result<u16> {
        self.read(|s| s.record.width)
    }

    /// Height of the display in pixels.
    #[zbus(property(emits_changed_signal = "const"))]
    fn height(&self) -> fdo::Result<u16> {
        self.read(|s| s.record.height)
    }

    /// `none` or `outbound`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn network(&self) -> fdo::Result<String> {
        self.read(|s| s.record.network.as_str().to_owned())
    }

    /// When it was started or resumed: RFC 3339, UTC.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started(&self) -> fdo::Result<String> {
        self.read(|s| rows::time(s.record.started))
    }

    /// The snapshot that it was resumed from; empty for none.
    #[zbus(property(emits_changed_signal = "const"))]
    fn parent(&self) -> fdo::Result<String> {
        self.read(|s| s.record.parent.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    /// Where a VNC client can connect to the display: the path of a Unix socket.
    #[zbus(property(emits_changed_signal = "const"))]
    fn display_socket(&self) -> String {
        let directory = session_runtime_dir(&self.agent.dirs.runtime, &self.id);
        display_socket(&directory).display().to_string()
    }
}
