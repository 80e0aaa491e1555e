//! What the user has set, told again whenever it changes: by this program, by another, or by another agent.

use std::collections::BTreeMap;
use std::time::Duration;

use async_channel::Sender;
use freezeframe_api::dict::Field as _;
use freezeframe_api::names::BUS_NAME;
use freezeframe_api::records::Settings;
use freezeframe_api::{Dictionary as _, Error, ErrorKind, Manager1Proxy};
use futures_util::StreamExt as _;
use tokio::sync::Mutex;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;

use super::{aside, bus, connect};

/// Ids of shortcuts and their keys, as the agent keeps them.
type Kept = BTreeMap<String, String>;

/// Between tries to reach the session bus: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Reports what is set until nobody listens. Says nothing while there is no agent, and starts none: what is shown does that.
pub(crate) async fn watch(tell: Sender<Settings>) {
    let mut wait = RETRY.0;
    loop {
        let Err(error) = follow(&tell, &mut wait).await else { return };
        tracing::debug!(?error, "the settings are out of reach");
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
            () = tell.closed() => return,
        }
    }
}

/// Ok when nobody listens any more.
async fn follow(tell: &Sender<Settings>, wait: &mut Duration) -> Result<(), Error> {
    let connection = connect().await?;
    let names = DBusProxy::new(&connection).await?;
    // Subscribed before the first look, so that no change falls between.
    let mut owners = names.receive_name_owner_changed_with_args(&[(0, BUS_NAME)]).await?;
    let manager = Manager1Proxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
    let mut changes = manager.receive_settings_changed().await?;
    let gone = || Error::new(ErrorKind::Unreachable, "the session bus went away");
    loop {
        match look(&names, &manager).await {
            Ok(Some(settings)) => {
                *wait = RETRY.0;
                if tell.send(settings).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {}
            // It says so again when it can, or another does.
            Err(error) => tracing::debug!(?error, "the agent does not tell its settings"),
        }
        tokio::select! {
            owner = owners.next() => drop(owner.ok_or_else(gone)?),
            change = changes.next() => drop(change.ok_or_else(gone)?),
            () = tell.closed() => return Ok(()),
        }
    }
}

/// None while there is no agent.
async fn look(names: &DBusProxy<'_>, manager: &Manager1Proxy<'_>) -> Result<Option<Settings>, Error> {
    let name = BusName::try_from(BUS_NAME).map_err(zbus::Error::from)?;
    if !names.name_has_owner(name).await.map_err(zbus::Error::from)? {
        return Ok(None);
    }
    Ok(Some(Settings::from_dict(&manager.settings().await?)?))
}

/// Changes the shortcuts that the agent keeps, which `change` is given as they are now; returns what they are then. One
/// change comes after the other, so that none undoes another that was made meanwhile.
pub(crate) async fn change_shortcuts(change: impl FnOnce(Kept) -> Kept + Send + 'static) -> Result<Kept, Error> {
    static ONE: Mutex<()> = Mutex::const_new(());
    aside(async move {
        let _one = ONE.lock().await;
        let connection = bus().await?;
        let manager = Manager1Proxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
        let shortcuts = change(Settings::from_dict(&manager.settings().await?)?.shortcuts);
        let settings = shortcuts.put().map(|shortcuts| ("shortcuts".to_owned(), shortcuts)).into_iter().collect();
        manager.set_settings(&settings).await?;
        Ok(shortcuts)
    })
    .await
}
