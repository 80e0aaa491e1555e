//! How guests are played: saved, watched and resumed, or refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, eventually};
use serde_json::Value;

use crate::guests::{self, Guest};

/// Guests that only the engine refuses, since what stops it is where no look of ours reaches: `check` cannot have named them.
const ONLY_THE_ENGINE: [&str; 1] = ["tty-unread-then-refused"];
/// How long a snapshot may take to be packed.
const PACKED: Duration = Duration::from_secs(120);

/// What became of the guests.
#[derive(Debug, Default)]
pub(crate) struct Told {
    ok: BTreeSet<String>,
    /// What was lost, and when it was seen.
    pub(crate) lost: Vec<(String, String)>,
    refused: BTreeMap<String, String>,
    /// What the engine is known to lose.
    known: BTreeMap<String, String>,
}

impl Told {
    /// Takes over what another play told.
    pub(crate) fn add(&mut self, other: Self) {
        self.ok.extend(other.ok);
        self.lost.extend(other.lost);
        self.refused.extend(other.refused);
        self.known.extend(other.known);
    }

    /// Takes what is known to be lost out of what was lost, and counts as an error what is said to be lost and is not.
    fn set_apart(&mut self, guests: &[&Guest]) {
        for guest in guests {
            let Some(words) = &guest.known else { continue };
            let before = self.lost.len();
            self.lost.retain(|(name, _)| *name != guest.name);
            if self.lost.len() == before {
                self.lose(&guest.name, "in the end", "nothing is lost any more: take its KNOWN_LOSS away");
            }
            self.known.insert(guest.name.clone(), words.clone());
        }
    }

    fn lose(&mut self, guest: &str, when: &str, what: &str) {
        self.ok.remove(guest);
        self.lost.push((guest.to_owned(), format!("{when}: {what}")));
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost: BTreeSet<&str> = self.lost.iter().map(|(name, _)| name.as_str()).collect();
        for (name, what) in &self.refused {
            writeln!(f, "refused {name}: {what}")?;
        }
        for (name, what) in &self.known {
            writeln!(f, "known to be lost, {name}: {what}")?;
        }
        // Last, where nobody has to look for it.
        for (name, what) in &self.lost {
            writeln!(f, "LOST {name}, {what}")?;
        }
        let counts = (self.ok.len(), lost.len(), self.refused.len(), self.known.len());
        write!(
            f,
            "{} ok, {} lost, {} refused by name; {} known to be lost by the engine",
            counts.0, counts.1, counts.2, counts.3
        )
    }
}

/// Plays all guests that can be saved together in one session.
///
/// # Errors
/// When they cannot be played.
pub(crate) fn together(all: &[Guest]) -> Result<Told> {
    let guests: Vec<&Guest> = all.iter().filter(|g| !g.alone && g.refused.is_none()).collect();
    if guests.is_empty() { Ok(Told::default()) } else { saved(&guests) }
}

/// Saves a session with these guests, and has them check themselves: the original, which runs on, and two copies.
///
/// # Errors
/// When the session cannot be started, saved or resumed.
pub(crate) fn saved(guests: &[&Guest]) -> Result<Told> {
    let stage = Stage::new(&["minimal"])?;
    let mut told = Told { ok: guests.iter().map(|g| g.name.clone()).collect(), ..Told::default() };
    let outcome = (|| {
        let session = stage.start(&["--name", "original"])?;
        guests::install(&stage, &session)?;
        for (name, said) in guests::start(&stage, &session, guests)? {
            told.lose(&name, "before the save", if said.is_empty() { "it is not ready" } else { said.trim_end() });
        }
        // Issue 9, 12: what is saved no check refuses.
        for finding in blocking(&stage, &session)? {
            let application = finding["application"].as_str().unwrap_or_default();
            told.lose(application, "check", &format!("it is said to stop a save: {finding}"));
        }
        let snapshot = stage.save(&session)?;
        nothing_left(&stage, &session)?;
        judge(&stage, &session, guests, "original", &mut told)?;
        stage.json(&["stop", &session])?;
        // Once from raw files, as a rule, and once from packed ones.
        for copy in ["copy-one", "copy-two"] {
            let session = stage.word(&["resume", &snapshot, "--alongside", "--name", copy], "session")?;
            nothing_left(&stage, &session)?;
            judge(&stage, &session, guests, copy, &mut told)?;
            stage.json(&["stop", &session])?;
            eventually(PACKED, "the snapshot is packed", || {
                let show = stage.json(&["show", &snapshot])?;
                Ok((show["state"] == "whole").then_some(()))
            })?;
        }
        Ok(())
    })();
    finish(&stage, outcome)?;
    told.set_apart(guests);
    Ok(told)
}

/// What `check` says that stops a save of a session.
fn blocking(stage: &Stage, session: &str) -> Result<Vec<Value>> {
    let check = stage.ctl(&["check", session])?;
    let report = check.json()?;
    let findings: Vec<Value> = report["findings"].as_array().cloned().unwrap_or_default();
    let blocking: Vec<Value> = findings.into_iter().filter(|f| f["blocking"] == true).collect();
    ensure!(check.code == if blocking.is_empty() { 0 } else { 4 }, "{}", check.tell());
    Ok(blocking)
}

/// What `check` says of a guest that a save refuses by these words, in which the two have to agree (issue 9, 12); or what is
/// wrong with that.
fn foretold(stage: &Stage, session: &str, guest: &str, words: &str) -> Result<Result<String, String>> {
    let blocking = blocking(stage, session)?;
    if ONLY_THE_ENGINE.iter().any(|name| name.starts_with(guest)) {
        return Ok(if blocking.is_empty() { Ok(words.to_owned()) } else { Err(format!("it finds {blocking:?}")) });
    }
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let of_guest = |f: &&Value| text(f, "object").contains(words) && (text(f, "application") == guest || f["pid"] == 1);
    let found = blocking.iter().find(of_guest).map(|f| text(f, "object"));
    Ok(found.ok_or_else(|| format!("it does not name it by {words:?}: {blocking:?}")))
}

fn judge(stage: &Stage, session: &str, guests: &[&Guest], when: &str, told: &mut Told) -> Result<()> {
    for (name, said) in guests::check(stage, session, guests, when != "original")? {
        if said != "ok" {
            told.lose(&name, when, &said);
        }
    }
    Ok(())
}

/// The engine's helpers have left no file in the layer.
fn nothing_left(stage: &Stage, session: &str) -> Result<()> {
    let mut left = Vec::new();
    for part in ["layer", "work/index"] {
        find(&stage.data().join("sessions").join(session).join(part), &mut left)?;
    }
    ensure!(left.is_empty(), "left in the layer of {session}: {left:?}");
    Ok(())
}

fn find(directory: &Path, left: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("link_remap.") || name.contains(".cr.") || name.starts_with("freezeframe") {
            left.push(path.clone());
        }
        if path.is_dir() && !path.is_symlink() {
            find(&path, left)?;
        }
    }
    Ok(())
}

/// Plays each guest that cannot be saved: the save is refused by a text that names its process and its object, and
/// leaves it as it was.
///
/// # Errors
/// When they cannot be played.
pub(crate) fn refused(all: &[Guest]) -> Result<Told> {
    let mut told = Told::default();
    let guests: Vec<&Guest> = all.iter().filter(|g| g.refused.is_some()).collect();
    if guests.is_empty() {
        return Ok(told);
    }
    let stage = Stage::new(&["minimal"])?;
    let outcome = (|| {
        for guest in guests {
            let session = stage.start(&["--name", "refused"])?;
            guests::install(&stage, &session)?;
            let unable = guests::start(&stage, &session, &[guest])?;
            if let Some(said) = unable.values().next() {
                told.lose(&guest.name, "before the save", said.trim_end());
            } else {
                let words = guest.refused.as_deref().unwrap_or_default();
                let short: String = guest.name.chars().take(15).collect();
                let object = foretold(&stage, &session, &short, words)?;
                let object = object.unwrap_or_else(|wrong| {
                    told.lose(&guest.name, "check", &wrong);
                    words.to_owned()
                });
                let save = stage.ctl(&["save", &session])?;
                let error = save.json()?["error"]["message"].as_str().unwrap_or_default().to_owned();
                match save.code {
                    0 => told.lose(&guest.name, "save", "it was not refused"),
                    _ if !error.contains(&short) || !error.contains(&object) => {
                        told.lose(&guest.name, "save", &format!("refused, but not by {short} and {object:?}: {error}"));
                    }
                    _ => {
                        told.refused.insert(guest.name.clone(), error);
                    }
                }
                nothing_left(&stage, &session)?;
                judge(&stage, &session, &[guest], "original", &mut told)?;
            }
            stage.json(&["stop", &session])?;
        }
        Ok(())
    })();
    finish(&stage, outcome)?;
    Ok(told)
}

/// A failure comes with the logs.
fn finish(stage: &Stage, outcome: Result<()>) -> Result<()> {
    outcome.map_err(|error| error.context(stage.logs()))
}
