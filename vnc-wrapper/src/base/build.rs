//! A base from Debian packages, by a recipe and mmdebstrap.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use freezeframe_store::Store;

use super::archive::Summary;
use super::import::{Counting, answer, new_record, random_hex, warnings};
use super::mmdebstrap::{Stages, arguments, says_stale};
use super::partial::Partial;
use super::recipe::Recipe;
use super::unpack::{unpack, words_or_status};
use super::{Error, Progress, Result};
use crate::criu::provision::{self, CriuError};
use crate::kernel::idmap::IdMap;

/// What is to be built.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The recipe's name, or the path of its file.
    pub profile: String,
    /// The base's name; empty: the recipe's.
    pub name: String,
}

/// Said when a mirror's copy is taken although it says that it is out of date.
pub const STALE_MIRROR: &str = "the mirror's lists of packages are out of date; taking them all the same";

/// Builds a base. Answers its name, identity and size, and warnings.
///
/// # Errors
/// When the packages cannot be had, or there is a base of that name; then nothing is left of it.
pub fn build(store: &Store, request: &BuildRequest, progress: Progress<'_>) -> Result<serde_json::Value> {
    let recipe = Recipe::find(&request.profile, store.root())?;
    let name = if request.name.is_empty() { recipe.name.clone() } else { request.name.clone() };
    let map = IdMap::for_current_user()?;
    let partial = Partial::begin(store, &name, &map)?;
    let summary = match install(&recipe, &partial, &map, progress) {
        Ok(summary) => summary,
        Err(error) => return Err(partial.abandon(error)),
    };
    progress("making it durable", 0.99);
    let origin = format!("recipe:{}", recipe.name);
    let environment = recipe.environment.into_iter().collect();
    let record = new_record(&name, origin, &map, &summary, recipe.desktop, environment);
    partial.commit(&record)?;
    let mut warnings = warnings(&summary);
    warnings.extend(engine(store, progress));
    progress("done", 1.0);
    Ok(answer(&record, &warnings))
}

/// Sees to it that sessions of the new base can be saved. The base is whole without that: an error is only a warning.
fn engine(store: &Store, progress: Progress<'_>) -> Option<String> {
    match provision::find_or_fetch(store.root(), progress) {
        Ok(_) | Err(CriuError::NeedsRoot) => None,
        Err(error) => Some(format!("its sessions cannot be saved yet: {error}")),
    }
}

/// Runs mmdebstrap, a second time when the mirror is stale.
fn install(recipe: &Recipe, partial: &Partial, map: &IdMap, progress: Progress<'_>) -> Result<Summary> {
    let machine_id = random_hex();
    match attempt(recipe, &partial.root(), map, &machine_id, false, progress) {
        // mmdebstrap reads the lists first: nothing was unpacked yet.
        Err(Error::Packages { reason }) if says_stale(&reason) => {
            progress(STALE_MIRROR, -1.0);
            attempt(recipe, &partial.root(), map, &machine_id, true, progress)
        }
        other => other,
    }
}

enum Event {
    Line(String),
    TarBytes(u64),
}

fn attempt(
    recipe: &Recipe,
    root: &Path,
    map: &IdMap,
    machine_id: &str,
    stale: bool,
    progress: Progress<'_>,
) -> Result<Summary> {
    let start = |source| Error::Start { program: "mmdebstrap", source };
    let mut command = mmdebstrap();
    command.args(arguments(recipe, stale)).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(start_error)?;
    let (Some(tar), Some(words)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(start(std::io::Error::other("it has no output")));
    };
    let (tell, told) = mpsc::channel();
    let (summary, words) = std::thread::scope(|scope| {
        let tell_bytes = tell.clone();
        let (count, counted) = mpsc::channel();
        scope.spawn(move || counted.into_iter().try_for_each(|bytes| tell_bytes.send(Event::TarBytes(bytes))));
        let unpacking =
            scope.spawn(move || unpack(Counting::new(tar, count), root, map, machine_id, "what mmdebstrap wrote"));
        let listening = scope.spawn(move || listen(words, &tell));
        let mut stages = Stages::default();
        for event in told {
            match event {
                Event::Line(line) => {
                    if let Some((stage, fraction)) = stages.line(&line) {
                        progress(stage, fraction);
                    }
                }
                Event::TarBytes(bytes) => {
                    let (stage, fraction) = stages.tar_bytes(bytes);
                    progress(stage, fraction);
                }
            }
        }
        let summary = unpacking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (summary, listening.join().unwrap_or_default())
    });
    let status = child.wait().map_err(start)?;
    match summary {
        // A full disk or a broken tar: mmdebstrap only met a broken pipe.
        Err(error @ Error::Unpack { .. }) => Err(error),
        _ if !status.success() => Err(Error::Packages { reason: words_or_status(&words, status) }),
        other => other,
    }
}

/// mmdebstrap with nothing of the terminal, and with room for its work: /tmp is often in memory.
pub(crate) fn mmdebstrap() -> Command {
    let mut command = Command::new("mmdebstrap");
    command.env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::piped());
    if std::env::var_os("TMPDIR").is_none() {
        command.env("TMPDIR", "/var/tmp");
    }
    command
}

/// Why mmdebstrap was not started.
pub(crate) fn start_error(source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        return Error::NoProgram { program: "mmdebstrap", package: "mmdebstrap" };
    }
    Error::Start { program: "mmdebstrap", source }
}

/// Tells every line of `words`; answers those that are of errors, or the last ones where there are none.
fn listen(words: impl std::io::Read, tell: &mpsc::Sender<Event>) -> String {
    let (mut errors, mut last) = (Vec::new(), Vec::new());
    for line in BufReader::new(words).split(b'\n').map_while(std::io::Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let list = if line.starts_with("E: ") || line.starts_with("Err:") { &mut errors } else { &mut last };
        list.push(line.clone());
        let surplus = list.len().saturating_sub(20);
        list.drain(..surplus);
        let _ = tell.send(Event::Line(line));
    }
    if errors.is_empty() { last } else { errors }.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_picked_from_what_mmdebstrap_says() {
        let (tell, told) = mpsc::channel();
        let words = "I: running apt-get update...\nE: Unable to locate package foo\nI: cleaning\n";
        assert_eq!(listen(words.as_bytes(), &tell), "E: Unable to locate package foo");
        drop(tell);
        assert_eq!(told.into_iter().count(), 3);
    }
}
