//! Removing a base that nothing stands on.

use std::fs;
use std::io;

use freezeframe_store::error::IoContext;
use freezeframe_store::layout::Listed;
use freezeframe_store::sync::sync_directory;
use freezeframe_store::{Error as StoreError, Store};
use serde_json::json;

use super::partial::{lock, remove_tree};
use super::{Error, Progress, Result};
use crate::kernel::idmap::IdMap;

/// Removes the base `name`. From the rename on it is gone; what a crash then leaves, the next build of that name removes.
///
/// # Errors
/// [`Error::InUse`] while a session or a snapshot stands on it, or when it is not there.
pub fn remove(store: &Store, name: &str, progress: Progress<'_>) -> Result<serde_json::Value> {
    let target = store.base_dir(name)?;
    let map = IdMap::for_current_user()?;
    let _lock = lock(store, name)?;
    if fs::symlink_metadata(&target).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Err(StoreError::NotFound { what: "base", name: name.to_owned() }.into());
    }
    refuse_if_used(store, name)?;
    let doomed = store.partial_base_dir(name)?;
    remove_tree(&doomed, &map)?;
    progress("removing the base", 0.1);
    fs::rename(&target, &doomed).at("rename", &target)?;
    // A session that was started meanwhile has found the base and may stand on it.
    if let Err(error) = refuse_if_used(store, name) {
        fs::rename(&doomed, &target).at("put back", &target)?;
        return Err(error);
    }
    if let Some(bases) = target.parent() {
        sync_directory(bases)?;
    }
    remove_tree(&doomed, &map)?;
    progress("done", 1.0);
    Ok(json!({ "base": name }))
}

/// Refuses while a session or a snapshot needs the base. A record that cannot be read may be of one that does.
fn refuse_if_used(store: &Store, name: &str) -> Result<()> {
    let sessions = needing("session", store.list_sessions()?, |record| record.base == name);
    let snapshots = needing("snapshot", store.list_snapshots()?, |manifest| manifest.base == name);
    match told(&[sessions, snapshots].concat()) {
        Some(by) => Err(Error::InUse { name: name.to_owned(), by }),
        None => Ok(()),
    }
}

fn needing<R>(what: &str, listed: Vec<Listed<R>>, needs: impl Fn(&R) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for Listed { name, record } in listed {
        match record {
            Ok(record) if needs(&record) => found.push(format!("{what} {name}")),
            Ok(_) => {}
            // A directory without a record is none yet, or none any more.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.push(format!("{what} {name}, perhaps ({error})")),
        }
    }
    found
}

/// The first few, and how many more.
fn told(all: &[String]) -> Option<String> {
    const SHOWN: usize = 3;
    match all {
        [] => None,
        few if few.len() <= SHOWN => Some(few.join(", ")),
        many => Some(format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_few_are_named() {
        let all: Vec<String> = (1..6).map(|n| format!("session s{n}")).collect();
        assert_eq!(told(&all).as_deref(), Some("session s1, session s2, session s3 and 2 more"));
        assert_eq!(told(&all[..1]).as_deref(), Some("session s1"));
        assert_eq!(told(&[]), None);
    }
}
