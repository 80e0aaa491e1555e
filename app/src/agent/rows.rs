//! The timeline's rows, kept up to date by asking for no more than what changed.

use std::collections::BTreeSet;

use freezeframe_api::records::{SnapshotRow, TimelineFilter};
use freezeframe_api::{Dictionary as _, Error, Manager1Proxy};
use jiff::tz::TimeZone;

use crate::timeline::model::{Snapshot, newest_first, renew};

/// As many as fill a large window.
const FIRST: u32 = 60;
/// When more than this changed at once, all are asked for.
const FEW: usize = 64;

/// What is known of all snapshots, newest first.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Snapshot>);

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> Vec<Snapshot> {
        self.0.clone()
    }

    /// Asks for what a window shows at first; true when that was everything.
    pub(super) async fn fetch_newest(&mut self, manager: &Manager1Proxy<'_>) -> Result<bool, Error> {
        let filter = TimelineFilter { newest: Some(FIRST), ..TimelineFilter::default() };
        self.0 = newest_first(ask(manager, &filter).await?, &TimeZone::system());
        Ok(self.0.len() < FIRST as usize)
    }

    /// Asks for everything.
    pub(super) async fn fetch_all(&mut self, manager: &Manager1Proxy<'_>) -> Result<(), Error> {
        self.0 = newest_first(ask(manager, &TimelineFilter::default()).await?, &TimeZone::system());
        Ok(())
    }

    /// Asks for these again, by id.
    pub(super) async fn fetch(&mut self, manager: &Manager1Proxy<'_>, ids: &BTreeSet<String>) -> Result<(), Error> {
        if ids.len() > FEW {
            return self.fetch_all(manager).await;
        }
        let filter = TimelineFilter { snapshots: ids.iter().cloned().collect(), ..TimelineFilter::default() };
        renew(&mut self.0, ids, ask(manager, &filter).await?, &TimeZone::system());
        Ok(())
    }
}

async fn ask(manager: &Manager1Proxy<'_>, filter: &TimelineFilter) -> Result<Vec<SnapshotRow>, Error> {
    manager.timeline(&filter.to_dict()).await?.iter().map(SnapshotRow::from_dict).collect()
}
