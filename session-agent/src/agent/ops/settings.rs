//! What the user has set.

use std::sync::Arc;

use freezeframe_api::records::{AutomaticTrouble, Comparison, Settings, StorageUse};
use freezeframe_api::{Dict, Error, ErrorKind, Result};

use crate::agent::Agent;

fn not_yet() -> Error {
    Error::new(ErrorKind::NotAvailable, "this release does not have that yet")
}

impl Agent {
    pub(crate) fn settings(&self) -> Settings {
        Settings::default()
    }

    pub(crate) async fn set_settings(self: &Arc<Self>, _settings: &Dict) -> Result<()> {
        Err(not_yet())
    }

    pub(crate) async fn compare(self: &Arc<Self>, _first: &str, _second: &str) -> Result<Comparison> {
        Err(not_yet())
    }

    pub(crate) async fn storage_use(self: &Arc<Self>) -> Result<Vec<StorageUse>> {
        Err(not_yet())
    }

    pub(crate) fn automatic_paused(&self) -> bool {
        false
    }

    pub(crate) fn pause_automatic(self: &Arc<Self>, _paused: bool) {}

    pub(crate) fn automatic_trouble(&self) -> Vec<AutomaticTrouble> {
        Vec::new()
    }
}
