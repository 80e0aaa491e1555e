//! What is done at once.

use freezeframe_api::records::{BaseRow, CheckReport, Comparison, Settings};
use freezeframe_api::{Dictionary as _, Error, ErrorKind, Manager1Proxy, Session1Proxy, Snapshot1Proxy, names};
use tokio::io::AsyncReadExt as _;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use super::{aside, bus};

/// A picture larger than this is none of ours.
const LARGEST_PICTURE: u64 = 32 << 20;

pub(super) async fn session(connection: &Connection, name: &str) -> Result<Session1Proxy<'static>, Error> {
    let path = names::session_path(name);
    Ok(Session1Proxy::builder(connection).path(path)?.cache_properties(CacheProperties::No).build().await?)
}

pub(super) async fn snapshot(connection: &Connection, id: &str) -> Result<Snapshot1Proxy<'static>, Error> {
    let path = names::snapshot_path(id);
    Ok(Snapshot1Proxy::builder(connection).path(path)?.cache_properties(CacheProperties::No).build().await?)
}

/// Something of a snapshot that changes at once, and can be changed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Label(String),
    Pin,
    Unpin,
    Delete,
    Undelete,
}

/// Changes a snapshot's marks.
pub(crate) async fn mark(id: String, mark: Mark) -> Result<(), Error> {
    aside(async move {
        let snapshot = snapshot(&bus().await?, &id).await?;
        match mark {
            Mark::Label(label) => snapshot.set_label(&label).await,
            Mark::Pin => snapshot.pin().await,
            Mark::Unpin => snapshot.unpin().await,
            Mark::Delete => snapshot.delete().await,
            Mark::Undelete => snapshot.undelete().await,
        }?;
        Ok(())
    })
    .await
}

/// What differs between two snapshots.
pub(crate) async fn compare(first: String, second: String) -> Result<Comparison, Error> {
    aside(async move {
        let manager = Manager1Proxy::new(&bus().await?).await?;
        Comparison::from_dict(&manager.compare(&first, &second).await?)
    })
    .await
}

/// All bases.
pub(crate) async fn bases() -> Result<Vec<BaseRow>, Error> {
    aside(async move {
        let rows = Manager1Proxy::new(&bus().await?).await?.list_bases().await?;
        rows.iter().map(BaseRow::from_dict).collect()
    })
    .await
}

/// What the user has set.
pub(crate) async fn settings() -> Result<Settings, Error> {
    aside(async move { Settings::from_dict(&Manager1Proxy::new(&bus().await?).await?.settings().await?) }).await
}

/// What the pre-flight says of a session.
pub(crate) async fn check(name: String) -> Result<CheckReport, Error> {
    aside(async move { CheckReport::from_dict(&session(&bus().await?, &name).await?.check().await?) }).await
}

/// A running session's picture, a PNG.
pub(crate) async fn screenshot(name: &str) -> Result<Vec<u8>, Error> {
    Ok(session(&bus().await?, name).await?.screenshot().await?)
}

/// A snapshot's picture, a PNG.
pub(crate) async fn thumbnail(id: &str) -> Result<Vec<u8>, Error> {
    let file = snapshot(&bus().await?, id).await?.open_thumbnail().await?;
    let file = tokio::fs::File::from_std(std::fs::File::from(std::os::fd::OwnedFd::from(file)));
    let mut bytes = Vec::new();
    file.take(LARGEST_PICTURE)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| Error::new(ErrorKind::Failed, format!("the picture cannot be read: {error}")))?;
    Ok(bytes)
}
