//! The session agent, over D-Bus. Runs on [`crate::runtime`] and speaks with the main thread through channels.

use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use freezeframe_api::records::SessionRow;
use freezeframe_api::{Dict, Dictionary as _, Error, ErrorKind, Manager1Proxy, Session1Proxy, names};
use futures_util::StreamExt as _;
use tokio::net::UnixStream;
use zbus::{Connection, MatchRule, MessageStream, message};

/// Long enough for an agent that D-Bus has to start first.
const CALL: Duration = Duration::from_secs(25);
/// One look at the list for all signals that come within this time.
const GATHER: Duration = Duration::from_millis(150);
/// Between tries to reach the agent: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What the list of sessions shows.
#[derive(Debug)]
pub(crate) enum Sessions {
    /// The sessions there are.
    List(Vec<SessionRow>),
    /// The agent does not answer.
    Unreachable(Error),
}

/// Tells the sessions, and again whenever they change, until nobody listens. A message in `hurry` cuts short the wait
/// for the next try.
pub(crate) async fn watch_sessions(tell: Sender<Sessions>, hurry: Receiver<()>) {
    let mut wait = RETRY.0;
    loop {
        let error = match follow(&tell, &mut wait).await {
            Ok(()) => return,
            Err(error) => error,
        };
        tracing::debug!(?error, "the agent is out of reach");
        if tell.send(Sessions::Unreachable(error)).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
            asked = hurry.recv() => match asked {
                Ok(()) => wait = RETRY.0,
                Err(_) => return,
            },
        }
    }
}

/// Ok when nobody listens any more.
async fn follow(tell: &Sender<Sessions>, wait: &mut Duration) -> Result<(), Error> {
    let connection = bus().await?;
    // Subscribed before the first look, so that no change falls between.
    let mut changes = signals_of_agent(&connection).await?;
    let mut owners = owner_changes(&connection).await?;
    let manager = Manager1Proxy::new(&connection).await.map_err(|error| Error::from_bus(&error))?;
    loop {
        let rows = manager.list_sessions(&Dict::new()).await.map_err(|error| Error::from_bus(&error))?;
        let rows = rows.iter().map(SessionRow::from_dict).collect::<Result<_, _>>()?;
        *wait = RETRY.0;
        if tell.send(Sessions::List(rows)).await.is_err() {
            return Ok(());
        }
        loop {
            tokio::select! {
                signal = changes.next() => match signal {
                    Some(Ok(signal)) if concerns_sessions(&signal) => break,
                    Some(_) => {}
                    None => return Err(gone()),
                },
                owner = owners.next() => match owner {
                    // The agent went or another came: what it knows has to be asked again.
                    Some(_) => break,
                    None => return Err(gone()),
                },
                () = tell.closed() => return Ok(()),
            }
        }
        tokio::time::sleep(GATHER).await;
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unreachable, "the session bus went away")
}

/// Everything that the agent says unasked.
async fn signals_of_agent(connection: &Connection) -> Result<MessageStream, Error> {
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(names::BUS_NAME)
        .and_then(|rule| rule.path_namespace(names::ROOT))
        .map_err(|error| Error::from_bus(&error))?
        .build();
    MessageStream::for_match_rule(rule, connection, Some(64)).await.map_err(|error| Error::from_bus(&error))
}

async fn owner_changes(connection: &Connection) -> Result<zbus::fdo::NameOwnerChangedStream, Error> {
    let bus = zbus::fdo::DBusProxy::new(connection).await.map_err(|error| Error::from_bus(&error))?;
    bus.receive_name_owner_changed_with_args(&[(0, names::BUS_NAME)]).await.map_err(|error| Error::from_bus(&error))
}

/// A job reports its progress many times a second, and the list does not show it.
fn concerns_sessions(signal: &zbus::Message) -> bool {
    let header = signal.header();
    header.path().is_some_and(|path| {
        let below = path.as_str().strip_prefix(names::ROOT).unwrap_or_default();
        below.is_empty() || below.starts_with("/sessions/")
    })
}

/// Why a session's display could not be had.
#[derive(Debug)]
pub(crate) enum NoDisplay {
    /// The session is no more: trying again is of no use.
    Ended(Error),
    /// It may come back: trying again is.
    Away(Error),
}

/// A fresh connection to a session's display. The name may be shortened while it fits one session only.
pub(crate) async fn open_display(session: &str) -> Result<UnixStream, NoDisplay> {
    let connection = bus().await.map_err(NoDisplay::Away)?;
    let away = |error: &zbus::Error| NoDisplay::Away(Error::from_bus(error));
    let manager = Manager1Proxy::new(&connection).await.map_err(|error| away(&error))?;
    let path = manager.find_session(session).await.map_err(|error| sort(Error::from_bus(&error)))?;
    let session = Session1Proxy::builder(&connection)
        .path(path)
        .map_err(|error| away(&error))?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(|error| away(&error))?;
    match session.open_display().await {
        Ok(descriptor) => {
            let stream = StdUnixStream::from(std::os::fd::OwnedFd::from(descriptor));
            let broken =
                |error| NoDisplay::Away(Error::new(ErrorKind::Failed, format!("cannot use the display: {error}")));
            stream.set_nonblocking(true).map_err(broken)?;
            UnixStream::from_std(stream).map_err(broken)
        }
        Err(error) => {
            let error = Error::from_bus(&error);
            // A crashed session stays on the list, but nothing will ever come of it.
            match session.state().await.as_deref() {
                Ok("crashed") => Err(NoDisplay::Ended(Error::new(ErrorKind::Failed, "the session has crashed"))),
                _ => Err(sort(error)),
            }
        }
    }
}

fn sort(error: Error) -> NoDisplay {
    match error.kind {
        ErrorKind::NotFound | ErrorKind::InvalidArgument => NoDisplay::Ended(error),
        _ => NoDisplay::Away(error),
    }
}

/// A connection to the session bus. One for each use: a bus that went away takes no more than that use with it.
pub(crate) async fn bus() -> Result<Connection, Error> {
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
