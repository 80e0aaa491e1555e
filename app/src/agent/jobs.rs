//! What takes long: begun, followed to its end, cancelled.

use std::os::fd::OwnedFd;

use async_channel::{Receiver, Sender};
use freezeframe_api::records::{
    BuildOptions, ExportOptions, ImportSnapshotOptions, JobFailure, ResumeOptions, SaveOptions, StartOptions,
    StopOptions,
};
use freezeframe_api::{Dict, Dictionary as _, Error, ErrorKind, Job1Proxy, Manager1Proxy, names};
use futures_util::StreamExt as _;
use zbus::Connection;
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::proxy::CacheProperties;
use zbus::zvariant::{Fd, OwnedObjectPath};

use super::bus;
use super::calls::{session, snapshot};
use crate::runtime::runtime;

/// What is asked for. Each one's result is told at its method in the API crate.
#[derive(Debug)]
pub(crate) enum Request {
    Start(StartOptions),
    BuildBase(String),
    Save { session: String, options: SaveOptions },
    Stop { session: String, options: StopOptions },
    Resume { snapshot: String, options: ResumeOptions },
    Verify { snapshot: String },
    Export { snapshot: String, file: OwnedFd, options: ExportOptions },
    Import { file: OwnedFd, options: ImportSnapshotOptions },
}

/// What a job says.
#[derive(Debug)]
pub(crate) enum Update {
    /// What is being done, and how much of it: 0 to 1, below 0 when that is not known.
    Progress { stage: String, fraction: f64 },
    /// Why it was not cancelled.
    GoesOn(Error),
    /// Its end, the last update.
    Ended(Result<Dict, Error>),
}

/// A job that was begun.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) updates: Receiver<Update>,
    /// Each message asks once for an end.
    pub(crate) cancel: Sender<()>,
}

/// Begins it.
pub(crate) fn begin(request: Request) -> Running {
    let (tell, updates) = async_channel::unbounded();
    let (cancel, cancelled) = async_channel::bounded(1);
    runtime().spawn(async move {
        let outcome = run(request, &tell, &cancelled).await;
        // Nobody listens: then nobody is to be told.
        let _ = tell.send(Update::Ended(outcome)).await;
    });
    Running { updates, cancel }
}

async fn run(request: Request, tell: &Sender<Update>, cancelled: &Receiver<()>) -> Result<Dict, Error> {
    let connection = bus().await?;
    let path = request.call(&connection).await?;
    follow(&connection, path, tell, cancelled).await
}

impl Request {
    async fn call(self, connection: &Connection) -> Result<OwnedObjectPath, Error> {
        let manager = Manager1Proxy::new(connection).await?;
        let path = match self {
            Self::Start(options) => manager.start_session(&options.to_dict()).await,
            Self::BuildBase(profile) => manager.build_base(&profile, &BuildOptions::default().to_dict()).await,
            Self::Save { session: name, options } => session(connection, &name).await?.save(&options.to_dict()).await,
            Self::Stop { session: name, options } => session(connection, &name).await?.stop(&options.to_dict()).await,
            Self::Resume { snapshot: id, options } => snapshot(connection, &id).await?.resume(&options.to_dict()).await,
            Self::Verify { snapshot: id } => snapshot(connection, &id).await?.verify().await,
            Self::Export { snapshot: id, file, options } => {
                snapshot(connection, &id).await?.export(Fd::from(&file), &options.to_dict()).await
            }
            Self::Import { file, options } => manager.import_snapshot(Fd::from(&file), &options.to_dict()).await,
        };
        Ok(path?)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Unreachable, "the session agent ended before this was done")
        .hint("The timeline shows how far it came.")
}

async fn follow(
    connection: &Connection,
    path: OwnedObjectPath,
    tell: &Sender<Update>,
    cancelled: &Receiver<()>,
) -> Result<Dict, Error> {
    let bus = DBusProxy::new(connection).await?;
    let mut owner = bus.receive_name_owner_changed_with_args(&[(0, names::BUS_NAME)]).await?;
    let job = Job1Proxy::builder(connection).path(path.clone())?.cache_properties(CacheProperties::No).build().await?;
    let mut finished = job.receive_finished().await?;
    let properties = PropertiesProxy::builder(connection).destination(names::BUS_NAME)?.path(path)?.build().await?;
    let mut changed = properties.receive_properties_changed().await?;
    // Subscribed first, then read: a job that has ended meanwhile says so.
    let mut ended = false;
    let (mut stage, mut fraction) = (String::new(), -1.0);
    let state = job.state();
    tokio::pin!(state);
    loop {
        tokio::select! {
            state = &mut state, if !ended => match state.map_err(|_| lost())?.as_str() {
                "running" => ended = true,
                state => return result(state, &job.result().await.map_err(|_| lost())?),
            },
            Some(signal) = finished.next() => {
                let arguments = signal.args()?;
                return result(&arguments.state, &arguments.result);
            }
            Some(signal) = changed.next() => {
                let arguments = signal.args()?;
                for (name, value) in &arguments.changed_properties {
                    match *name {
                        "Stage" => stage = <&str>::try_from(value).map(str::to_owned).unwrap_or_default(),
                        "Progress" => fraction = f64::try_from(value).unwrap_or(-1.0),
                        _ => {}
                    }
                }
                let _ = tell.send(Update::Progress { stage: stage.clone(), fraction }).await;
            }
            Some(signal) = owner.next() => if signal.args()?.new_owner().is_none() {
                return Err(lost());
            },
            Ok(()) = cancelled.recv() => if let Err(error) = job.cancel().await {
                let _ = tell.send(Update::GoesOn(Error::from_bus(&error))).await;
            },
        }
    }
}

fn result(state: &str, result: &Dict) -> Result<Dict, Error> {
    if state == "done" {
        return result
            .iter()
            .map(|(key, value)| Ok((key.clone(), value.try_clone().map_err(zbus::Error::from)?)))
            .collect();
    }
    Err(JobFailure::from_dict(result)?.into())
}
