//! The list of trusted keys.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

use super::files::{self, FORMAT};
use super::key::PublicKey;

const TITLE: &str = "freezeframe trusted keys";
/// Longest name of a key, in bytes.
const MAX_NAME: usize = 200;

/// A key that the user trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The key.
    pub key: PublicKey,
    /// Whose it is, in the user's words; may be empty.
    pub name: String,
}

fn file(keys: &Path) -> PathBuf {
    keys.join("trusted")
}

/// All of them. Empty lines and such as begin with `#` are passed over.
pub(super) fn list(keys: &Path) -> Result<Vec<Trusted>> {
    let path = file(keys);
    let Some(text) = files::read(&path, false)? else { return Ok(Vec::new()) };
    let body = files::body(&path, &text, TITLE)?;
    let mut all = Vec::new();
    for (line, number) in body.lines().zip(2_usize..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, name) = line.split_once(' ').unwrap_or((line, ""));
        let key =
            key.parse().map_err(|e| Error::Damaged { path: path.clone(), reason: format!("line {number}: {e}") })?;
        all.push(Trusted { key, name: name.trim().to_owned() });
    }
    Ok(all)
}

/// The name as it stands in the list.
pub(super) fn check_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let rule = "use one line of at most 200 bytes";
        return Err(Error::BadName { what: "key", name: name.chars().take(MAX_NAME).collect(), rule });
    }
    Ok(name)
}

/// Adds a key, or changes its name.
pub(super) fn add(keys: &Path, key: &PublicKey, name: &str) -> Result<()> {
    let name = check_name(name)?;
    let _lock = files::lock(keys)?;
    let mut all = list(keys)?;
    all.retain(|t| t.key != *key);
    all.push(Trusted { key: *key, name: name.to_owned() });
    write(keys, &all)
}

/// Takes a key away; says whether it was there.
pub(super) fn remove(keys: &Path, key: &PublicKey) -> Result<bool> {
    let _lock = files::lock(keys)?;
    let mut all = list(keys)?;
    let before = all.len();
    all.retain(|t| t.key != *key);
    if all.len() == before {
        return Ok(false);
    }
    write(keys, &all).map(|()| true)
}

fn write(keys: &Path, all: &[Trusted]) -> Result<()> {
    let mut text = format!("{TITLE} {FORMAT}\n");
    for Trusted { key, name } in all {
        text.push_str(format!("{key} {name}").trim_end());
        text.push('\n');
    }
    if text.len() as u64 > files::MAX_FILE {
        return Err(Error::Damaged {
            path: file(keys),
            reason: "the list is full: take keys out that are not used".into(),
        });
    }
    files::replace(&file(keys), &text)
}
