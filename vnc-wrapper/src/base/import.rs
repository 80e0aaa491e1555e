//! A base from a tar that somebody else has made, such as `docker export` writes.

use std::fs::File;
use std::sync::mpsc;

use freezeframe_store::record::Record;
use freezeframe_store::{BaseRecord, Store};
use serde_json::json;

use super::archive::Summary;
use super::cancel::Cancel;
use super::members::{DESKTOPS, PROGRAMS};
use super::partial::Partial;
use super::source::Source;
use super::unpack::unpack;
use super::{Error, Progress, Result};
use crate::kernel::idmap::IdMap;

/// What is to be imported.
#[derive(Debug)]
pub struct ImportRequest {
    /// The base's name.
    pub name: String,
    /// The tar, plain or compressed with gzip or zstd: a file or a pipe.
    pub archive: File,
    /// Where it comes from, for the base's record and for errors: its file, or `import`.
    pub origin: String,
    /// The command that is the desktop; empty: the first of [`DESKTOPS`] that is in it.
    pub desktop: Vec<String>,
}

/// Imports a base. Answers its name, identity and size, and warnings.
///
/// # Errors
/// When the archive cannot be a base, there is one of that name, or it is cancelled; then nothing is left of it.
pub fn import(
    store: &Store,
    request: ImportRequest,
    cancel: &Cancel,
    progress: Progress<'_>,
) -> Result<serde_json::Value> {
    let ImportRequest { name, archive, origin, desktop } = request;
    let map = IdMap::for_current_user()?;
    let size = archive.metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 });
    let partial = Partial::begin(store, &name, &map)?;
    let (tell, told) = mpsc::channel();
    let source = Source::new(archive, tell, cancel);
    let (root, machine_id) = (partial.root(), random_hex());
    let unpacked = std::thread::scope(|scope| {
        let worker = scope.spawn(|| unpack(source, &root, &map, &machine_id, &origin));
        for bytes in told {
            progress("unpacking the base", fraction(bytes, size));
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let made = unpacked.and_then(|summary| {
        let desktop = if desktop.is_empty() { detect(&summary, &origin)? } else { desktop };
        Ok((summary, desktop))
    });
    let (summary, desktop) = match made {
        Ok(made) if !cancel.asked() => made,
        Ok(_) => return Err(partial.abandon(Error::Cancelled)),
        Err(error) => return Err(partial.abandon(if cancel.asked() { Error::Cancelled } else { error })),
    };
    let warnings = warnings(&summary);
    warnings.iter().for_each(|warning| progress(&format!("warning: {warning}"), -1.0));
    progress("making it durable", 0.98);
    let environment = vec![("MOZ_ASSUME_USER_NS".to_owned(), "0".to_owned())];
    let record = new_record(&name, origin, &map, &summary, desktop, environment);
    partial.commit(&record)?;
    progress("done", 1.0);
    Ok(answer(&record, &warnings))
}

/// The record of a base that was made just now.
pub(super) fn new_record(
    name: &str,
    origin: String,
    map: &IdMap,
    summary: &Summary,
    desktop: Vec<String>,
    environment: Vec<(String, String)>,
) -> BaseRecord {
    BaseRecord {
        format: BaseRecord::FORMAT,
        name: name.to_owned(),
        created: jiff::Timestamp::now(),
        origin,
        identity: random_hex(),
        first_id: map.first_id(),
        bytes: summary.bytes,
        desktop,
        environment,
    }
}

/// What callers are told of a new base.
pub(super) fn answer(record: &BaseRecord, warnings: &[String]) -> serde_json::Value {
    json!({
        "base": record.name,
        "origin": record.origin,
        "identity": record.identity,
        "bytes": record.bytes,
        "desktop": record.desktop,
        "warnings": warnings,
    })
}

/// The desktop that is in it.
fn detect(summary: &Summary, name: &str) -> Result<Vec<String>> {
    let found = DESKTOPS.into_iter().find(|desktop| summary.programs.contains(desktop));
    let missing = || Error::NoDesktop { name: name.to_owned(), tried: DESKTOPS.to_vec() };
    Ok(vec![found.ok_or_else(missing)?.to_owned()])
}

/// What will not work with it.
pub(super) fn warnings(summary: &Summary) -> Vec<String> {
    let lacks = |program: &'static str, what: &str| {
        debug_assert!(PROGRAMS.contains(&program));
        (!summary.programs.contains(program)).then(|| format!("it has no {program}: {what}"))
    };
    let display = lacks("Xtigervnc", "sessions cannot start from it (package tigervnc-standalone-server)");
    let bus = lacks("dbus-daemon", "its programs have no session bus (package dbus-daemon)");
    let root = lacks("sudo", "the desktop's user cannot become root (package sudo)");
    [display, bus, root].into_iter().flatten().collect()
}

/// 128 random bits, as 32 hexadecimal digits.
pub(super) fn random_hex() -> String {
    let halves = [freezeframe_store::SnapshotId::random(), freezeframe_store::SnapshotId::random()];
    let third = freezeframe_store::SnapshotId::random();
    let digits = [halves[0].as_str(), halves[1].as_str(), third.as_str()].concat();
    digits[..32].to_owned()
}

fn fraction(bytes: u64, size: u64) -> f64 {
    if size == 0 {
        return -1.0;
    }
    #[allow(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
    let part = bytes as f64 / size as f64;
    part.min(1.0) * 0.97
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_desktop_is_taken() {
        let programs = ["xterm", "openbox-session"].into_iter().collect();
        let summary = Summary { programs, ..Summary::default() };
        assert_eq!(detect(&summary, "x.tar").unwrap(), ["openbox-session"]);
        let error = detect(&Summary::default(), "x.tar").unwrap_err();
        assert!(error.to_string().contains("none of startxfce4, openbox-session, xterm"));
        assert!(warnings(&summary).iter().any(|w| w.contains("Xtigervnc")));
    }

    #[test]
    fn identities_are_random_and_32_digits() {
        let (one, other) = (random_hex(), random_hex());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
