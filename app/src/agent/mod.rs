//! The session agent, over D-Bus. All of it runs on [`crate::runtime`] and speaks with the main thread through channels.
//!
//! [`watch()`] reports what there is, again and again; [`mod@settings`] what the user has set; [`jobs`] does what
//! takes long; [`calls`] is everything else.

pub(crate) mod calls;
mod display;
pub(crate) mod jobs;
mod rows;
pub(crate) mod settings;
mod watch;

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use freezeframe_api::{Error, ErrorKind};
use zbus::Connection;

pub(crate) use display::{NoDisplay, open_display};
pub(crate) use watch::{News, watch};

use crate::runtime::runtime;

/// Long enough for an agent that D-Bus has to start first.
const CALL: Duration = Duration::from_secs(25);

/// The connection that [`watch()`] keeps; others use it as long as it is good.
static SHARED: Mutex<Option<Connection>> = Mutex::new(None);

/// A connection to the session bus: the one that is there, or a new one.
pub(crate) async fn bus() -> Result<Connection, Error> {
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shared {
        Some(connection) => Ok(connection),
        None => connect().await,
    }
}

async fn connect() -> Result<Connection, Error> {
    let unreachable = |error: &zbus::Error| {
        Error::new(ErrorKind::Unreachable, format!("there is no session bus: {error}"))
            .hint("Start Freezeframe inside a desktop session, or with dbus-run-session.")
    };
    zbus::connection::Builder::session()
        .map_err(|error| unreachable(&error))?
        .method_timeout(CALL)
        .build()
        .await
        .map_err(|error| unreachable(&error))
}

/// Does it on the threads that wait for sockets; the main thread may await this.
async fn aside<T: Send + 'static>(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    match runtime().spawn(work).await {
        Ok(outcome) => outcome,
        Err(bug) => Err(Error::new(ErrorKind::Failed, format!("this program made a mistake: {bug}"))),
    }
}
