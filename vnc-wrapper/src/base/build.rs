//! A base from Debian packages, by a recipe and mmdebstrap.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use freezeframe_store::Store;

use super::archive::Summary;
use super::cancel::Cancel;
use super::import::{answer, new_record, random_hex, warnings};
use super::mmdebstrap::{Stages, arguments, says_stale};
use super::partial::Partial;
use super::recipe::Recipe;
use super::source::Source;
use super::unpack::{unpack, words_or_status};
use super::{Error, Progress, Result};
use crate::criu::provision::{self, CriuError};
use crate::kernel::idmap::IdMap;

/// What is to be built.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The recipe's file.
    pub recipe: PathBuf,
    /// The base's name; empty: the recipe's.
    pub name: String,
}

/// Said when a mirror's copy is taken although it says that it is out of date.
pub const STALE_MIRROR: &str = "the mirror's lists of packages are out of date; taking them all the same";

/// Builds a base. Answers its name, identity and size, and warnings.
///
/// # Errors
/// When the packages cannot be had, there is a base of that name, or it is cancelled; then nothing is left of it.
pub fn build(
    store: &Store,
    request: &BuildRequest,
    cancel: &Cancel,
    progress: Progress<'_>,
) -> Result<serde_json::Value> {
    let recipe = Recipe::load(&request.recipe)?;
    let name = if request.name.is_empty() { recipe.name.clone() } else { request.name.clone() };
    let map = IdMap::for_current_user()?;
    let partial = Partial::begin(store, &name, &map)?;
    let work = Work { partial: &partial, map: &map, machine_id: &random_hex(), cancel };
    let summary = match work.install(&recipe, progress) {
        Ok(summary) if !cancel.asked() => summary,
        Ok(_) => return Err(partial.abandon(Error::Cancelled)),
        Err(error) => return Err(partial.abandon(if cancel.asked() { Error::Cancelled } else { error })),
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

enum Event {
    Line(String),
    TarBytes(u64),
}

/// What mmdebstrap works for.
struct Work<'a> {
    partial: &'a Partial,
    map: &'a IdMap,
    machine_id: &'a str,
    cancel: &'a Cancel,
}

impl Work<'_> {
    /// Runs mmdebstrap, a second time when the mirror is stale.
    fn install(&self, recipe: &Recipe, progress: Progress<'_>) -> Result<Summary> {
        match self.attempt(recipe, false, progress) {
            // mmdebstrap reads the lists first: nothing was unpacked yet.
            Err(Error::Packages { reason }) if says_stale(&reason) && !self.cancel.asked() => {
                progress(STALE_MIRROR, -1.0);
                self.attempt(recipe, true, progress)
            }
            other => other,
        }
    }

    fn attempt(&self, recipe: &Recipe, stale: bool, progress: Progress<'_>) -> Result<Summary> {
        let start = |source| Error::Start { program: "mmdebstrap", source };
        let mut command = mmdebstrap();
        command.args(arguments(recipe, stale)).stdout(Stdio::piped());
        if let Some(directory) = self.partial.scratch()? {
            command.env("TMPDIR", directory);
        }
        let mut child = command.spawn().map_err(start_error)?;
        let (Some(tar), Some(words)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(start(std::io::Error::other("it has no output")));
        };
        let telling = self.cancel.tells(&child);
        let (summary, words) = self.follow(tar, words, progress);
        drop(telling);
        let status = child.wait().map_err(start)?;
        match summary {
            // A full disk or a broken tar: mmdebstrap only met a broken pipe.
            Err(error @ Error::Unpack { .. }) => Err(error),
            _ if !status.success() => Err(Error::Packages { reason: words_or_status(&words, status) }),
            other => other,
        }
    }

    /// Unpacks `tar` and tells of progress until both end. Answers what is worth telling of `words` beside the outcome.
    fn follow(&self, tar: ChildStdout, words: ChildStderr, progress: Progress<'_>) -> (Result<Summary>, String) {
        let (tell, told) = mpsc::channel();
        let (count, counted) = mpsc::channel();
        let tell_bytes = tell.clone();
        let (root, source) = (self.partial.root(), Source::new(tar, count, self.cancel));
        std::thread::scope(|scope| {
            scope.spawn(move || counted.into_iter().try_for_each(|bytes| tell_bytes.send(Event::TarBytes(bytes))));
            let unpacking = scope.spawn(|| unpack(source, &root, self.map, self.machine_id, "what mmdebstrap wrote"));
            let listening = scope.spawn(move || listen(words, &tell));
            let mut stages = Stages::default();
            for event in told {
                let news = match event {
                    Event::Line(line) => stages.line(&line),
                    Event::TarBytes(bytes) => Some(stages.tar_bytes(bytes)),
                };
                if let Some((stage, fraction)) = news {
                    progress(stage, fraction);
                }
            }
            let summary = unpacking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (summary, listening.join().unwrap_or_default())
        })
    }
}

/// mmdebstrap with nothing of the terminal, and with room for its work: /tmp is often in memory. It leads a process group
/// of its own, because it signals its whole group when it is interrupted.
pub(crate) fn mmdebstrap() -> Command {
    let mut command = Command::new("mmdebstrap");
    command.env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
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
