//! The guest programs: which there are, how they are started, and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};

/// The program that holds all of them; build.rs makes it.
const PROGRAM: &str = env!("OBJECTS_PROGRAM");
/// Where it is in a session.
const INSIDE: &str = "/run/objects";
/// Where guests log, and where they look for the word to check themselves. On a tmpfs: it is saved with the session.
const BOARD: &str = "/tmp/board";
/// How long guests may take to make their objects, or to check them: four gibibytes of memory take a busy machine a while.
const LIMIT: Duration = Duration::from_secs(300);

/// A guest program, as `objects --list` prints it.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Its name, which is its process's too; with `@tmpfs` when it is to play there.
    pub(crate) name: String,
    /// Whether it runs as the session's root.
    pub(crate) root: bool,
    /// Whether it needs its own session.
    pub(crate) alone: bool,
    /// What the refusal has to say, where the engine cannot save it.
    pub(crate) refused: Option<String>,
    /// What the engine is known to lose of it, without a word.
    pub(crate) known: Option<String>,
}

/// All guests.
///
/// # Errors
/// When a file of `tests/objects` is not among them.
pub(crate) fn all() -> Result<Vec<Guest>> {
    let output = Command::new(PROGRAM).arg("--list").output().with_context(|| PROGRAM.to_owned())?;
    let guests: Vec<Guest> = String::from_utf8(output.stdout)?.lines().filter_map(parse).collect();
    let played: BTreeSet<&str> = guests.iter().map(|g| g.name.trim_end_matches("@tmpfs")).collect();
    for family in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("objects"))? {
        for file in fs::read_dir(family?.path())? {
            let path = file?.path();
            let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}-{}", stem(path.parent().context("family")?), stem(&path).replace('_', "-"));
            ensure!(played.contains(&*name), "{} is not wired in: build the tests again", path.display());
        }
    }
    Ok(guests)
}

fn parse(line: &str) -> Option<Guest> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, user, how, refused, known] = fields[..] else { return None };
    let words = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Guest {
        name: name.to_owned(),
        root: user == "root",
        alone: how == "alone",
        refused: words(refused),
        known: words(known),
    })
}

/// Makes a session fit for guests.
///
/// # Errors
/// When the program cannot be put there.
pub(crate) fn install(stage: &Stage, session: &str) -> Result<()> {
    stage.put_program(session, INSIDE, Path::new(PROGRAM))?;
    stage.inside(session, &["sh", "-c", &format!("mkdir -m 1777 {BOARD}")]).map(drop)
}

/// Starts guests and waits until each has made its object. Answers those that could not, with what they said.
///
/// # Errors
/// When they cannot be started.
pub(crate) fn start(stage: &Stage, session: &str, guests: &[&Guest]) -> Result<BTreeMap<String, String>> {
    for root in [false, true] {
        let names: Vec<&str> = guests.iter().filter(|g| g.root == root).map(|g| g.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let mut command = vec!["exec", session];
        command.extend(root.then_some("--root"));
        command.extend(["--", INSIDE, "--start", BOARD]);
        command.extend(names);
        stage.json(&command)?;
    }
    let said = wait_for(stage, session, guests, |text| text.starts_with("ready") || !text.is_empty())?;
    Ok(said.into_iter().filter(|(_, text)| !text.starts_with("ready")).collect())
}

/// Asks the guests to check themselves, and waits for all answers. Answers what each said after `ready`.
///
/// # Errors
/// When the session does not answer.
pub(crate) fn check(
    stage: &Stage,
    session: &str,
    guests: &[&Guest],
    resumed: bool,
) -> Result<BTreeMap<String, String>> {
    let word = if resumed { "resumed" } else { "original" };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let script = format!("echo {word} {now} > {BOARD}/check.new && mv {BOARD}/check.new {BOARD}/check");
    stage.inside(session, &["sh", "-c", &script])?;
    let answer = |text: &str| text.strip_prefix("ready\n").is_none_or(|rest| rest.ends_with('\n'));
    let said = wait_for(stage, session, guests, answer)?;
    let tell = |text: String| match text.strip_prefix("ready\n").map(str::trim_end) {
        Some("") => "it did not answer".to_owned(),
        Some(answer) => answer.to_owned(),
        None => format!("its log is lost: {text:?}"),
    };
    Ok(said.into_iter().map(|(name, text)| (name, tell(text))).collect())
}

/// What the guests have logged, as soon as `enough` for each, or when the time is over.
fn wait_for(
    stage: &Stage,
    session: &str,
    guests: &[&Guest],
    enough: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>> {
    let mut last = BTreeMap::new();
    let waited = eventually(LIMIT, "the guests' answers", || {
        let text = stage.inside(session, &["sh", "-c", &format!("cd {BOARD} && tail -v -n +1 -- *.log /dev/null")])?;
        last = guests.iter().map(|g| (g.name.clone(), String::new())).collect();
        for part in text.split("==> ").skip(1) {
            let Some((name, log)) = part.split_once(".log <==\n") else { continue };
            // An empty line stands before each next head, that of /dev/null at the end among them.
            let log = log.strip_suffix('\n').unwrap_or(log);
            last.entry(name.to_owned()).and_modify(|known| log.clone_into(known));
        }
        Ok(last.values().all(|text| enough(text)).then_some(()))
    });
    // A guest that has not answered is found by its empty log.
    drop(waited);
    Ok(last)
}
