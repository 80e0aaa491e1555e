//! Waiting for a job: progress on standard error, Ctrl-C cancels.

use std::io::IsTerminal;
use std::time::Duration;

use freezeframe_api::names::BUS_NAME;
use freezeframe_api::records::JobFailure;
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Job1Proxy, Result};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::proxy::CacheProperties;
use zbus::zvariant::OwnedObjectPath;

use super::reach::Agent;
use crate::rules::words;

/// How a job's progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// A bar on a terminal, else a line for each stage.
    Progress,
    /// Nothing: the terminal belongs to a program.
    Nothing,
}

/// Waits until the job at `path` ends; answers its result.
pub(super) async fn wait<R: Dictionary>(agent: &Agent, path: OwnedObjectPath, show: Show) -> Result<R> {
    let lost = || {
        Error::new(ErrorKind::Unreachable, "the agent ended before this was done")
            .hint("`sessionctl list` and `sessionctl timeline` show how far it came.")
    };
    let connection = &agent.connection;
    let bus = DBusProxy::new(connection).await?;
    let mut owner = bus.receive_name_owner_changed_with_args(&[(0, BUS_NAME)]).await?;
    let job = Job1Proxy::builder(connection).path(path.clone())?.cache_properties(CacheProperties::No).build().await?;
    let mut finished = job.receive_finished().await?;
    let properties = PropertiesProxy::builder(connection).destination(BUS_NAME)?.path(path)?.build().await?;
    let mut changed = properties.receive_properties_changed().await?;
    // Subscribed first, then read: a job that has ended meanwhile says so.
    let state = {
        let read = job.state();
        tokio::pin!(read);
        loop {
            // Signals are taken meanwhile: a full queue of them would keep the answer from coming.
            tokio::select! {
                state = &mut read => break state.map_err(|_| lost())?,
                Some(signal) = finished.next() => {
                    let arguments = signal.args()?;
                    return result(&arguments.state, &arguments.result);
                }
                Some(_) = changed.next() => {}
            }
        }
    };
    if state != "running" {
        return result(&state, &job.result().await.map_err(|_| lost())?);
    }
    let mut display = Display::new(show);
    display.stage(&job.stage().await.unwrap_or_default());
    loop {
        tokio::select! {
            Some(signal) = finished.next() => {
                let arguments = signal.args()?;
                display.end();
                return result(&arguments.state, &arguments.result);
            }
            Some(signal) = changed.next() => {
                let arguments = signal.args()?;
                for (name, value) in &arguments.changed_properties {
                    match *name {
                        "Stage" => if let Ok(stage) = String::try_from(value.try_clone().map_err(zbus::Error::from)?) {
                            display.stage(&stage);
                        },
                        "BytesDone" => if let Ok(bytes) = u64::try_from(value) {
                            display.bytes.0 = bytes;
                        },
                        "BytesTotal" => if let Ok(bytes) = u64::try_from(value) {
                            display.bytes.1 = bytes;
                        },
                        "Progress" => if let Ok(fraction) = f64::try_from(value) {
                            display.fraction(fraction);
                        },
                        _ => {}
                    }
                }
            }
            Some(signal) = owner.next() => if signal.args()?.new_owner().is_none() {
                display.end();
                return Err(lost());
            },
            Ok(()) = tokio::signal::ctrl_c() => {
                if let Err(error) = job.cancel().await {
                    display.end();
                    let error = Error::from_bus(&error);
                    return Err(error.hint("It goes on in the background."));
                }
            }
        }
    }
}

fn result<R: Dictionary>(state: &str, result: &Dict) -> Result<R> {
    if state == "done" {
        return R::from_dict(result);
    }
    Err(JobFailure::from_dict(result)?.into())
}

struct Display {
    bar: Option<ProgressBar>,
    lines: bool,
    last: String,
    /// Done and to do; 0 to do when they are not counted.
    bytes: (u64, u64),
}

impl Display {
    fn new(show: Show) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (show == Show::Progress && terminal).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, lines: show == Show::Progress && !terminal, last: String::new(), bytes: (0, 0) }
    }

    fn stage(&mut self, stage: &str) {
        let stage = super::output::clean(stage);
        if stage.is_empty() || stage == self.last {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_message(stage.clone());
        }
        if self.lines {
            crate::stderr::say(format_args!("{stage}"));
        }
        self.last = stage;
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    fn fraction(&self, fraction: f64) {
        let Some(bar) = &self.bar else { return };
        if fraction < 0.0 {
            return;
        }
        if bar.length().is_none()
            && let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}")
        {
            bar.set_length(1000);
            bar.set_style(style);
        }
        if self.bytes.1 > 0 {
            let (done, total) = (words::bytes(self.bytes.0), words::bytes(self.bytes.1));
            bar.set_message(format!("{}, {done} of {total}", self.last));
        }
        bar.set_position((fraction.clamp(0.0, 1.0) * 1000.0) as u64);
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.end();
    }
}
