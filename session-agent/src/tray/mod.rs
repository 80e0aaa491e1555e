//! `freezeframe-tray`: the face beside the clock, and the notifications. A plain D-Bus client, as `sessionctl` is.
//!
//! It is its own program because an agent has no need of a desktop and must not depend on one: whatever a tray host or a
//! notification server does to this process, sessions and snapshots do not notice.
//!
//! - [`model`]: what is known of the agent, and, purely, what icon and menu say of it;
//! - [`news`]: what is new in it, and worth a notification;
//! - `watch`: keeps that up to date over D-Bus, through agents that end and start;
//! - `item`: the model as a StatusNotifierItem (<https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/>);
//! - `notify`: what is told by notifications (<https://specifications.freedesktop.org/notification-spec/>);
//! - `acts`: what a click does.
//!
//! Without a tray host it shows no icon and waits for one; notifications are sent all the same.

mod acts;
mod item;
pub mod model;
pub mod news;
mod notify;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use freezeframe_api::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use ksni::TrayMethods;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::programs::Programs;
use crate::stderr;
use acts::Acts;
use item::Item;
use model::Act;
use news::News;
use notify::Notifier;

/// One of these on a desktop is enough.
const NAME: &str = "io.github.freezeframe.Tray1";

/// Shows Freezeframe beside the clock, and notifies of snapshots. Usually started with the desktop.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {}

/// The whole program.
pub fn main() -> ExitCode {
    Arguments::parse();
    let filter = EnvFilter::try_from_env("FREEZEFRAME_LOG").unwrap_or_else(|_| EnvFilter::new("info,zbus=warn"));
    // A log that cannot be written is passed over: telling so on the same descriptor would panic.
    tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(std::io::stderr).init();
    freezeframe_i18n::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(ErrorKind::Failed, format!("cannot start: {e}")));
    match runtime.and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::say(format_args!("freezeframe-tray: {}", error.message));
            if !error.hint.is_empty() {
                stderr::say(format_args!("{}", error.hint));
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let builder = zbus::connection::Builder::session()?.name(NAME)?;
    let connection = match builder.allow_name_replacements(false).replace_existing_names(false).build().await {
        Ok(connection) => connection,
        Err(zbus::Error::NameTaken) => {
            info!("there is one already");
            return Ok(());
        }
        Err(e) => {
            return Err(Error::new(ErrorKind::Unreachable, format!("cannot connect to the session bus: {e}"))
                .hint("It belongs to a desktop: start it there."));
        }
    };
    let cannot_listen = |e: std::io::Error| Error::new(ErrorKind::Failed, format!("cannot listen to signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
    let programs = Programs::from_environment();
    let (clicks, mut clicked) = mpsc::unbounded_channel();
    let item = Item::new(clicks, programs.icons());
    let handle = item.assume_sni_available(true).spawn().await.map_err(|e| {
        Error::new(ErrorKind::Failed, format!("cannot be shown: {e}")).hint("FREEZEFRAME_LOG=debug shows more.")
    })?;
    let mut notifier = Notifier::new(&connection).await?;
    let acts = Acts { connection: connection.clone(), programs };
    let (failures, mut failed) = mpsc::unbounded_channel();
    let mut models = watch::start(&connection).await?;
    let mut news = News::default();
    loop {
        tokio::select! {
            Some(model) = models.recv() => {
                for told in news.of(&model) {
                    notifier.tell(&told).await;
                }
                handle.update(|item| item.show(model)).await;
            }
            Some(act) = clicked.recv() => match act {
                Act::Quit => break,
                act => acts.start(act, failures.clone()),
            },
            Some(failure) = failed.recv() => notifier.tell(&failure).await,
            Some(signal) = notifier.signals.next() => match signal {
                Ok(message) => if let Some(act) = notifier.answer(&message) {
                    acts.start(act, failures.clone());
                },
                Err(error) => warn!(%error, "a notification's answer cannot be read"),
            },
            _ = terminate.recv() => break,
            () = connection.closed() => break,
        }
    }
    handle.shutdown().await;
    Ok(())
}
