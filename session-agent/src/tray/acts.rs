//! What a click does.

use std::process::{Command, Stdio};

use freezeframe_api::names::{BUS_NAME, session_path, snapshot_path};
use freezeframe_api::records::{JobFailure, ResumeOptions, SaveOptions};
use freezeframe_api::{Dictionary, Error, ErrorKind, Job1Proxy, Manager1Proxy, Result, Session1Proxy, Snapshot1Proxy};
use freezeframe_i18n::{gettext, gettext_f};
use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};
use zbus::fdo::DBusProxy;
use zbus::names::WellKnownName;
use zbus::proxy::CacheProperties;
use zbus::zvariant::OwnedObjectPath;

use super::model::Act;
use super::news::Told;
use crate::programs::Programs;

/// Does them.
#[derive(Clone, Debug)]
pub(super) struct Acts {
    pub(super) connection: zbus::Connection,
    pub(super) programs: Programs,
}

impl Acts {
    /// Does it in the background; what goes wrong is sent to `failures`.
    pub(super) fn start(&self, act: Act, failures: UnboundedSender<Told>) {
        let acts = self.clone();
        tokio::spawn(async move {
            info!(?act, "asked for");
            if let Err(error) = acts.perform(&act).await {
                warn!(%error, ?act, "failed");
                // Nobody listens any more only when the program ends.
                let _ = failures.send(Told::failure(title(&act), &error));
            }
        });
    }

    async fn perform(&self, act: &Act) -> Result<()> {
        let connection = &self.connection;
        match act {
            Act::Save(session) => {
                let session = Session1Proxy::builder(connection).path(session_path(session))?;
                let session = session.cache_properties(CacheProperties::No).build().await?;
                self.wait(session.save(&SaveOptions::default().to_dict()).await?).await
            }
            Act::Resume { snapshot, alongside } => {
                let options = ResumeOptions { alongside: *alongside, name: None };
                self.wait(self.snapshot(snapshot).await?.resume(&options.to_dict()).await?).await
            }
            Act::Delete(snapshot) => Ok(self.snapshot(snapshot).await?.delete().await?),
            Act::Pause(paused) => {
                let manager = Manager1Proxy::builder(connection).cache_properties(CacheProperties::No);
                Ok(manager.build().await?.set_automatic_paused(*paused).await?)
            }
            Act::StartAgent => {
                let bus = DBusProxy::new(connection).await?;
                bus.start_service_by_name(WellKnownName::from_static_str_unchecked(BUS_NAME), 0).await?;
                Ok(())
            }
            Act::OpenTimeline => self.open(&[]),
            Act::Show(snapshot) => self.open(&["--snapshot", snapshot]),
            Act::Quit => Ok(()),
        }
    }

    async fn snapshot(&self, id: &str) -> Result<Snapshot1Proxy<'static>> {
        let snapshot = Snapshot1Proxy::builder(&self.connection).path(snapshot_path(id))?;
        Ok(snapshot.cache_properties(CacheProperties::No).build().await?)
    }

    /// Waits until a job has ended. One whose agent ends meanwhile is nothing to be told: the icon says so.
    async fn wait(&self, path: OwnedObjectPath) -> Result<()> {
        let job = Job1Proxy::builder(&self.connection).path(path)?.cache_properties(CacheProperties::No);
        let job = job.build().await?;
        let mut owners = job.inner().receive_owner_changed().await?;
        let mut finished = job.receive_finished().await?;
        let (state, result) = match job.state().await?.as_str() {
            "running" => tokio::select! {
                Some(signal) = finished.next() => {
                    let arguments = signal.args()?;
                    (arguments.state.clone(), arguments.result().to_owned())
                }
                Some(None) = owners.next() => return Ok(()),
                else => return Ok(()),
            },
            state => (state.to_owned(), job.result().await?),
        };
        // What was cancelled, somebody wanted so.
        if state == "failed" { Err(JobFailure::from_dict(&result)?.into()) } else { Ok(()) }
    }

    fn open(&self, arguments: &[&str]) -> Result<()> {
        let program = self.programs.find("freezeframe").ok_or_else(|| {
            let missing = Error::new(ErrorKind::MachineLacks, gettext("the app freezeframe was not found"));
            missing.hint(gettext("Install it: make install"))
        })?;
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
        let mut child = command
            .spawn()
            .map_err(|e| Error::new(ErrorKind::Failed, format!("cannot start {}: {e}", program.display())))?;
        // Reaped when it ends, which may be long after.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}

fn title(act: &Act) -> String {
    match act {
        Act::Save(session) => gettext_f("{session} could not be saved", &[("session", session)]),
        Act::Resume { .. } => gettext("The snapshot could not be resumed"),
        Act::Delete(_) => gettext("The snapshot could not be deleted"),
        Act::OpenTimeline | Act::Show(_) => gettext("The timeline could not be opened"),
        Act::Pause(_) => gettext("Automatic snapshots could not be paused"),
        Act::StartAgent => gettext("The session agent could not be started"),
        Act::Quit => gettext("The tray could not be ended"),
    }
}
