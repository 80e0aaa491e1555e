//! What the preferences ask of the agent. Runs on [`crate::runtime`]; awaited by the main thread.

use std::future::Future;

use freezeframe_api::records::{
    BaseRow, CollectOptions, Collected, JobFailure, RetentionOptions, RetentionReport, Settings, StorageUse,
};
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Job1Proxy, Manager1Proxy, Result};
use futures_util::StreamExt as _;
use zbus::Connection;
use zbus::proxy::CacheProperties;
use zbus::zvariant::OwnedObjectPath;

use crate::agent::bus;
use crate::runtime::runtime;

/// All that is shown when the window opens.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) settings: Settings,
    pub(super) bases: Vec<BaseRow>,
}

/// Runs it where sockets are waited for.
async fn ask<T: Send + 'static>(question: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match runtime().spawn(question).await {
        Ok(answer) => answer,
        Err(error) => Err(Error::new(ErrorKind::Failed, format!("the question was given up: {error}"))),
    }
}

async fn manager(connection: &Connection) -> Result<Manager1Proxy<'_>> {
    Manager1Proxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .map_err(|error| Error::from_bus(&error))
}

fn rows<T: Dictionary>(rows: &[Dict]) -> Result<Vec<T>> {
    rows.iter().map(T::from_dict).collect()
}

/// Settings and bases.
pub(super) async fn known() -> Result<Known> {
    ask(async {
        let connection = bus().await?;
        let manager = manager(&connection).await?;
        let settings = manager.settings().await.map_err(|error| Error::from_bus(&error))?;
        let bases = manager.list_bases().await.map_err(|error| Error::from_bus(&error))?;
        Ok(Known { settings: Settings::from_dict(&settings)?, bases: rows(&bases)? })
    })
    .await
}

/// Keeps what is different in `new`.
pub(super) async fn set(old: &Settings, new: &Settings) -> Result<()> {
    let changed = changed(old, new);
    ask(async move {
        let connection = bus().await?;
        manager(&connection).await?.set_settings(&changed).await.map_err(|error| Error::from_bus(&error))
    })
    .await
}

/// The keys with another value than before. What somebody else changed meanwhile stays theirs.
fn changed(old: &Settings, new: &Settings) -> Dict {
    let old = old.to_dict();
    new.to_dict().into_iter().filter(|(key, value)| old.get(key) != Some(value)).collect()
}

/// What the rules of these settings would keep, and what not.
pub(super) async fn retention(settings: &Settings) -> Result<RetentionReport> {
    let options = RetentionOptions {
        apply: false,
        keep_last: Some(settings.keep_last),
        keep_hourly: Some(settings.keep_hourly),
        keep_daily: Some(settings.keep_daily),
        keep_weekly: Some(settings.keep_weekly),
        keep_monthly: Some(settings.keep_monthly),
        budget_bytes: Some(settings.budget_bytes),
    };
    let options = options.to_dict();
    ask(async move {
        let connection = bus().await?;
        let report = manager(&connection).await?.retention(&options).await.map_err(|error| Error::from_bus(&error))?;
        RetentionReport::from_dict(&report)
    })
    .await
}

/// What each session's snapshots take; the last line is of the whole store.
pub(super) async fn storage() -> Result<Vec<StorageUse>> {
    ask(async {
        let connection = bus().await?;
        let lines = manager(&connection).await?.storage_use().await.map_err(|error| Error::from_bus(&error))?;
        rows(&lines)
    })
    .await
}

/// Takes away what no snapshot needs, and waits until that is done.
pub(super) async fn collect() -> Result<Collected> {
    ask(async {
        let connection = bus().await?;
        let options = CollectOptions::default().to_dict();
        let path =
            manager(&connection).await?.collect_garbage(&options).await.map_err(|error| Error::from_bus(&error))?;
        finished(&connection, path).await
    })
    .await
}

/// Waits for a job's end.
async fn finished<T: Dictionary>(connection: &Connection, path: OwnedObjectPath) -> Result<T> {
    let failed = |error: &zbus::Error| Error::from_bus(error);
    let job = Job1Proxy::builder(connection)
        .path(path)
        .map_err(|error| failed(&error))?
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .map_err(|error| failed(&error))?;
    // Subscribed first, then read: a job that has ended meanwhile says so.
    let mut ends = job.receive_finished().await.map_err(|error| failed(&error))?;
    let mut owners = job.inner().receive_owner_changed().await.map_err(|error| failed(&error))?;
    let state = job.state().await.map_err(|error| failed(&error))?;
    if state != "running" {
        return result(&state, &job.result().await.map_err(|error| failed(&error))?);
    }
    loop {
        tokio::select! {
            Some(end) = ends.next() => {
                let end = end.args().map_err(|error| failed(&error))?;
                return result(&end.state, &end.result);
            }
            owner = owners.next() => if owner.flatten().is_none() {
                return Err(Error::new(ErrorKind::Unreachable, "the agent ended before this was done"));
            },
        }
    }
}

fn result<T: Dictionary>(state: &str, result: &Dict) -> Result<T> {
    if state == "done" { T::from_dict(result) } else { Err(JobFailure::from_dict(result)?.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let old = Settings { keep_last: 3, ..Settings::default() };
        let new = Settings { automatic: true, keep_last: 0, ..old.clone() };
        let mut keys: Vec<String> = changed(&old, &new).into_keys().collect();
        keys.sort();
        assert_eq!(keys, ["automatic", "keep_last"]);
        assert!(changed(&old, &old).is_empty());
    }
}
