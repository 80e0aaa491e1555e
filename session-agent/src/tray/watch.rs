//! Keeps the model up to date: looks again whenever the agent says that something changed, came or went.

use std::time::Duration;

use freezeframe_api::names::{BUS_NAME, ROOT};
use freezeframe_api::records::{AutomaticTrouble, SessionRow, Settings, SnapshotRow};
use freezeframe_api::{Dict, Dictionary, Manager1Proxy, Result};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{MatchRule, Message, MessageStream};

use super::model::Model;

/// A save makes several signals; they are answered by one look.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// An agent that does not answer for so long is not there.
const ANSWER: Duration = Duration::from_secs(10);

/// Starts the agent if it can be started, and looks at it from then on.
pub(super) async fn start(connection: &zbus::Connection) -> Result<mpsc::Receiver<Model>> {
    let bus = DBusProxy::new(connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, BUS_NAME)]).await?;
    let rule = MatchRule::builder().msg_type(Type::Signal).path_namespace(ROOT)?.build();
    let mut signals = MessageStream::for_match_rule(rule, connection, None).await?;
    if let Err(error) = bus.start_service_by_name(name(), 0).await {
        info!(%error, "the agent cannot be started");
    }
    let (sender, models) = mpsc::channel(1);
    let connection = connection.clone();
    tokio::spawn(async move {
        loop {
            let model = look(&connection, &bus).await;
            if sender.send(model).await.is_err() {
                return;
            }
            loop {
                tokio::select! {
                    Some(_) = owners.next() => break,
                    Some(signal) = signals.next() => if signal.as_ref().is_ok_and(matters) {
                        break;
                    },
                    else => return,
                }
            }
            tokio::time::sleep(DEBOUNCE).await;
            while let Ok(Some(_)) = timeout(Duration::ZERO, signals.next()).await {}
        }
    });
    Ok(models)
}

fn name() -> zbus::names::WellKnownName<'static> {
    zbus::names::WellKnownName::from_static_str_unchecked(BUS_NAME)
}

/// The progress of jobs changes nothing that is shown.
fn matters(signal: &Message) -> bool {
    let header = signal.header();
    let of_a_job = header.path().is_some_and(|path| path.as_str().starts_with(&format!("{ROOT}/jobs/")));
    let foreign = header.path().is_none_or(|path| !path.as_str().starts_with(ROOT));
    !of_a_job && !foreign
}

async fn look(connection: &zbus::Connection, bus: &DBusProxy<'_>) -> Model {
    // A call would start an agent that the user has ended.
    if !bus.name_has_owner(BusName::from(name())).await.unwrap_or(false) {
        return Model::default();
    }
    match timeout(ANSWER, read(connection)).await {
        Ok(Ok(model)) => model,
        Ok(Err(error)) => {
            warn!(%error, "the agent does not answer as it should");
            Model::default()
        }
        Err(_) => {
            warn!("the agent does not answer");
            Model::default()
        }
    }
}

async fn read(connection: &zbus::Connection) -> Result<Model> {
    let manager = Manager1Proxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
    let none = Dict::new();
    Ok(Model {
        there: true,
        sessions: rows::<SessionRow>(&manager.list_sessions(&none).await?)?,
        snapshots: rows::<SnapshotRow>(&manager.timeline(&none).await?)?,
        settings: Settings::from_dict(&manager.settings().await?)?,
        paused: manager.automatic_paused().await?,
        troubles: rows::<AutomaticTrouble>(&manager.automatic_trouble().await?)?,
    })
}

fn rows<R: Dictionary>(dicts: &[Dict]) -> Result<Vec<R>> {
    dicts.iter().map(R::from_dict).collect()
}
