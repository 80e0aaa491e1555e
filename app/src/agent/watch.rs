//! What there is, told again whenever it changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use freezeframe_api::records::SessionRow;
use freezeframe_api::{Dict, Dictionary as _, Error, ErrorKind, Manager1Proxy, names};
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, MatchRule, Message, MessageStream, message};

use super::rows::Rows;
use super::{SHARED, connect};
use crate::timeline::model::Snapshot;

/// One look for all signals that come within this time.
const GATHER: Duration = Duration::from_millis(150);
/// The pictures of what is seen first go before the rest of a large timeline, whose answer would hold up theirs.
const HEAD_START: Duration = Duration::from_millis(400);
/// Between tries to reach the agent: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What the agent said.
#[derive(Debug)]
pub(crate) enum News {
    /// All sessions.
    Sessions(Vec<SessionRow>),
    /// All snapshots, newest first.
    Timeline(Vec<Snapshot>),
    /// The agent does not answer.
    Unreachable(Error),
}

/// Reports what there is, and again whenever it changes, until nobody listens. A message in `hurry` cuts short the wait
/// for the next try.
pub(crate) async fn watch(tell: Sender<News>, hurry: Receiver<()>) {
    let mut wait = RETRY.0;
    let mut rows = Rows::default();
    loop {
        let outcome = follow(&tell, &mut wait, &mut rows).await;
        SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Err(error) = outcome else { return };
        tracing::debug!(?error, "the agent is out of reach");
        if tell.send(News::Unreachable(error)).await.is_err() {
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

/// What has to be asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stale {
    sessions: bool,
    timeline: bool,
    /// Of the timeline only these, by id.
    snapshots: BTreeSet<String>,
    gone: bool,
}

impl Stale {
    fn everything() -> Self {
        Self { sessions: true, timeline: true, ..Self::default() }
    }
}

#[derive(Debug, Default)]
struct Marks {
    stale: Mutex<Stale>,
    changed: Notify,
}

impl Marks {
    fn add(&self, more: Stale) {
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        stale.sessions |= more.sessions;
        stale.timeline |= more.timeline;
        stale.snapshots.extend(more.snapshots);
        stale.gone |= more.gone;
        self.changed.notify_one();
    }

    fn take(&self) -> Stale {
        std::mem::take(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ok when nobody listens any more.
async fn follow(tell: &Sender<News>, wait: &mut Duration, rows: &mut Rows) -> Result<(), Error> {
    let connection = connect().await?;
    // Subscribed before the first look, so that no change falls between.
    let listener = Listener::start(&connection).await?;
    let manager = Manager1Proxy::new(&connection).await?;
    let mut stale = Stale::everything();
    loop {
        if stale.sessions {
            let sessions = manager.list_sessions(&Dict::new()).await?;
            let sessions = sessions.iter().map(SessionRow::from_dict).collect::<Result<_, _>>()?;
            *wait = RETRY.0;
            SHARED.lock().unwrap_or_else(PoisonError::into_inner).replace(connection.clone());
            if tell.send(News::Sessions(sessions)).await.is_err() {
                return Ok(());
            }
        }
        if stale.timeline && rows.is_empty() {
            // A large timeline takes its time; what is seen first need not wait for it.
            let whole = rows.fetch_newest(&manager).await?;
            if tell.send(News::Timeline(rows.all())).await.is_err() {
                return Ok(());
            }
            stale.timeline = !whole;
            if stale.timeline {
                tokio::time::sleep(HEAD_START).await;
            }
        }
        if stale.timeline || !stale.snapshots.is_empty() {
            if stale.timeline {
                rows.fetch_all(&manager).await?;
            } else {
                rows.fetch(&manager, &stale.snapshots).await?;
            }
            if tell.send(News::Timeline(rows.all())).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            () = listener.marks.changed.notified() => {}
            () = tell.closed() => return Ok(()),
        }
        tokio::time::sleep(GATHER).await;
        stale = listener.marks.take();
        if stale.gone {
            return Err(Error::new(ErrorKind::Unreachable, "the session bus went away"));
        }
    }
}

/// Takes signals all the time: a full queue of them would keep answers from coming.
struct Listener {
    marks: Arc<Marks>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    async fn start(connection: &Connection) -> Result<Self, Error> {
        let mut signals = signals_of_agent(connection).await?;
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        let mut owners = bus.receive_name_owner_changed_with_args(&[(0, names::BUS_NAME)]).await?;
        let marks = Arc::new(Marks::default());
        let told = Arc::clone(&marks);
        let task = tokio::spawn(async move {
            loop {
                let stale = tokio::select! {
                    signal = signals.next() => match signal {
                        Some(Ok(signal)) => concerns(&signal),
                        Some(Err(_)) => Stale::default(),
                        None => Stale { gone: true, ..Stale::default() },
                    },
                    // The agent went or another came: what it knows has to be asked again.
                    owner = owners.next() => Stale { gone: owner.is_none(), ..Stale::everything() },
                };
                let gone = stale.gone;
                if stale != Stale::default() {
                    told.add(stale);
                }
                if gone {
                    return;
                }
            }
        });
        Ok(Self { marks, task })
    }
}

/// Everything that the agent says unasked.
async fn signals_of_agent(connection: &Connection) -> Result<MessageStream, Error> {
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(names::BUS_NAME)
        .and_then(|rule| rule.path_namespace(names::ROOT))
        .map_err(|error| Error::from_bus(&error))?
        .build();
    Ok(MessageStream::for_match_rule(rule, connection, Some(64)).await?)
}

/// A job reports its progress many times a second, and nothing here shows it.
fn concerns(signal: &Message) -> Stale {
    let header = signal.header();
    let Some(path) = header.path() else { return Stale::default() };
    match header.member().map(zbus::names::MemberName::as_str) {
        // Objects come and go at the root; the first argument is theirs.
        Some("InterfacesAdded") => {
            let body = signal.body().deserialize::<(OwnedObjectPath, HashMap<String, Dict>)>();
            body.map_or_else(|_| Stale::default(), |(object, _)| below(object.as_str()))
        }
        Some("InterfacesRemoved") => {
            let body = signal.body().deserialize::<(OwnedObjectPath, Vec<String>)>();
            body.map_or_else(|_| Stale::default(), |(object, _)| below(object.as_str()))
        }
        _ => below(path.as_str()),
    }
}

fn below(path: &str) -> Stale {
    let rest = path.strip_prefix(names::ROOT).unwrap_or_default();
    let snapshot = rest.strip_prefix("/snapshots/").map(names::unescape);
    Stale {
        sessions: rest.starts_with("/sessions/"),
        timeline: snapshot == Some(None),
        snapshots: snapshot.flatten().into_iter().collect(),
        gone: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_makes_stale_what_it_is_about() {
        let session = below(names::session_path("a").as_str());
        assert_eq!(session, Stale { sessions: true, ..Stale::default() });
        let snapshot = below(names::snapshot_path("a-b").as_str());
        assert_eq!(snapshot, Stale { snapshots: ["a-b".to_owned()].into(), ..Stale::default() });
        let strange = below(&format!("{}/snapshots/_z", names::ROOT));
        assert_eq!(strange, Stale { timeline: true, ..Stale::default() });
        assert_eq!(below(names::job_path(1).as_str()), Stale::default());
    }
}
