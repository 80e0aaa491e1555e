//! Bases in exports and imports, for the agent: only who has the ids of a base's files can read and make all of them.
//!
//! The agent exports and imports by itself; what it has done here is one step of that ([`freezeframe_store::export::Bases`]).

use std::io::Read;
use std::path::Path;

use freezeframe_protocol::{BaseContent, BaseToPut, Failure, error_name};
use freezeframe_store::export::Watch;
use freezeframe_store::record::MAX_RECORD;
use freezeframe_store::{Content, Local, ProgressFn, SnapshotId, Store};

use super::Cancel;
use crate::failure::{ToFailure, failure};
use crate::kernel::idmap::IdMap;
use crate::verbs::enter_user_namespace;

/// Stores the base `name`, as the export of the snapshot `id` has it. Answers what it consists of.
///
/// # Errors
/// When it cannot be read or stored.
pub fn take_up(
    data: &Path,
    name: &str,
    id: &SnapshotId,
    progress: ProgressFn<'_>,
) -> Result<serde_json::Value, Failure> {
    let privileged = rustix::process::geteuid().is_root();
    enter_user_namespace()?;
    let cancel = Cancel::on_signals().map_err(|e| e.to_failure())?;
    let store = Store::open(data).map_err(|e| e.to_failure())?;
    let base = store.base(name).map_err(|e| e.to_failure())?;
    let here = if privileged { Local::of_root(base.first_id) } else { Local::of_user() };
    let watch = Watch { cancel: cancel.flag(), progress };
    let content = store.take_up_base(id, &base, here, &watch).map_err(|e| e.to_failure())?;
    serde_json::to_value(BaseContent { bytes: content.to_bytes() }).map_err(|e| std::io::Error::from(e).to_failure())
}

/// Makes the base that standard input tells of ([`BaseToPut`]), with the ids of the user who calls.
///
/// # Errors
/// When it cannot be made; nothing of it is visible then.
pub fn put(data: &Path, progress: ProgressFn<'_>) -> Result<serde_json::Value, Failure> {
    let first_id = IdMap::for_current_user()?.first_id();
    let here = if rustix::process::geteuid().is_root() { Local::of_root(first_id) } else { Local::of_user() };
    enter_user_namespace()?;
    let cancel = Cancel::on_signals().map_err(|e| e.to_failure())?;
    let store = Store::open(data).map_err(|e| e.to_failure())?;
    let mut text = Vec::new();
    std::io::stdin().take(MAX_RECORD).read_to_end(&mut text).map_err(|e| e.to_failure())?;
    let wrong = |error| failure(error_name::INVALID_ARGUMENT, format!("the base cannot be read: {error}"), "");
    let asked: BaseToPut = serde_json::from_slice(&text).map_err(wrong)?;
    let record = serde_json::from_value(asked.record).map_err(wrong)?;
    let content = Content::from_bytes(&asked.content.bytes, Path::new("the base")).map_err(|e| e.to_failure())?;
    let watch = Watch { cancel: cancel.flag(), progress };
    store.put_base(&record, &content, (here, first_id), &watch).map_err(|e| e.to_failure())?;
    Ok(serde_json::Value::Null)
}
