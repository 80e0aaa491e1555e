//! Three clients do random things at once, and our own processes are killed meanwhile: no snapshot that was reported is lost, none is
//! called damaged, and nothing is left.
//!
//! `make test` plays a bounded number of acts. `FREEZEFRAME_DISORDER_MINUTES=60` plays for that long and resumes every snapshot at the
//! end; `FREEZEFRAME_DISORDER_SEED` repeats the choices of a failed run, though not its timing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Outcome, Process, Stage, eventually};

use crate::{PLACES, play};

/// The clients, each with a session of its name.
const CLIENTS: [&str; 3] = ["north", "south", "east"];
/// Acts of each client in a bounded run.
const ACTS: u32 = 40;
/// Snapshots of each client that a bounded run resumes at the end.
const RESUMED: usize = 1;
/// How long a state may take to be reached on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(120);
/// The file whose content says which snapshot a session comes from.
const FILE: &str = "/home/user/word";

#[test]
fn random_acts_and_kills_lose_nothing_and_leave_nothing() {
    let seed = number("FREEZEFRAME_DISORDER_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) | 1
    });
    let until =
        number("FREEZEFRAME_DISORDER_MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    play(PLACES, || Stage::new(&["minimal"]), |stage| disorder(stage, seed, until).context(format!("seed {seed}")));
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn disorder(stage: &Stage, seed: u64, until: Option<Instant>) -> Result<()> {
    let clients = std::thread::scope(|scope| -> Result<Vec<Client<'_>>> {
        let threads: Vec<_> = CLIENTS
            .into_iter()
            .zip(1..)
            .map(|(name, number)| {
                let mut client = Client::new(stage, name, seed.wrapping_mul(number));
                scope.spawn(move || client.play(until).map(|()| client))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().ok().context("a client panicked")?).collect()
    })?;
    // A run in which nobody was killed and nothing was saved has shown nothing.
    let (kills, saves): (u32, usize) = clients.iter().fold((0, 0), |(k, s), c| (k + c.kills, s + c.saved.len()));
    ensure!(kills > 0 && saves > 0, "{kills} kills and {saves} saves");
    everything_is_whole(stage, &clients)?;
    for client in &clients {
        let mut saved: Vec<_> = client.saved.iter().collect();
        saved.reverse();
        saved.truncate(if until.is_some() { usize::MAX } else { RESUMED });
        for (id, word) in saved {
            client.end_session()?;
            stage.json(&["resume", id, "--alongside", "--name", client.name])?;
            ensure!(stage.inside(client.name, &["cat", FILE])? == *word, "{id} has another word than {word}");
        }
        client.end_session()?;
    }
    nothing_is_left(stage)
}

/// Every snapshot that was reported is on the timeline, packed, and reads back as it was written.
fn everything_is_whole(stage: &Stage, clients: &[Client<'_>]) -> Result<()> {
    // After an hour hundreds may wait for it: each has its time.
    let mut waiting = usize::MAX;
    let timeline = loop {
        let (fewer, rows) = eventually(LIMIT, "one more snapshot is packed", || {
            let timeline = stage.json(&["timeline"])?;
            let rows = timeline.as_array().context("rows")?.clone();
            let left = rows.iter().filter(|row| row["state"] != "whole").count();
            ensure!(left == 0 || left < waiting, "{left} of {} snapshots are not packed yet", rows.len());
            Ok(Some((left, rows)))
        })?;
        if fewer == 0 {
            break rows;
        }
        waiting = fewer;
    };
    for client in clients {
        for id in client.saved.keys() {
            ensure!(timeline.iter().any(|row| row["snapshot"] == **id), "{id} of {} is lost", client.name);
        }
    }
    let verified = stage.json(&["verify"])?;
    ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
    Ok(())
}

/// No session, process or directory; the stage itself looks for mounts.
fn nothing_is_left(stage: &Stage) -> Result<()> {
    ensure!(stage.json(&["list"])? == serde_json::json!([]), "sessions: {}", stage.json(&["list"])?);
    eventually(LIMIT, "nothing of the sessions is left", || {
        let wrappers = stage.wrappers();
        ensure!(wrappers.is_empty(), "{wrappers:?}");
        for name in ["sessions", "store/raw"] {
            let left: Vec<_> = std::fs::read_dir(stage.data().join(name))?.flatten().map(|e| e.file_name()).collect();
            ensure!(left.is_empty(), "{name}: {left:?}");
        }
        for name in CLIENTS {
            ensure!(stage.display_socket(name).parent().is_some_and(|p| !p.exists()), "the sockets of {name}");
        }
        let hidden = |name: &str| name.starts_with('.');
        let left: Vec<_> = stage
            .stored()?
            .into_iter()
            .filter(|p| p.file_name().is_some_and(|n| hidden(&n.to_string_lossy())))
            .collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}

/// Somebody who does random things with one session and its snapshots.
struct Client<'a> {
    stage: &'a Stage,
    name: &'static str,
    random: u64,
    words: u32,
    kills: u32,
    /// What the session's file holds; nothing while there is no session or that is not known.
    word: Option<String>,
    /// What the file holds in each snapshot that was reported and is not deleted.
    saved: BTreeMap<String, String>,
}

impl<'a> Client<'a> {
    fn new(stage: &'a Stage, name: &'static str, seed: u64) -> Self {
        Self { stage, name, random: seed, words: 0, kills: 0, word: None, saved: BTreeMap::new() }
    }

    /// A number below `bound` (xorshift, Marsaglia 2003).
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap_or(0) % bound
    }

    fn play(&mut self, until: Option<Instant>) -> Result<()> {
        let mut acts = 0;
        while until.map_or(acts < ACTS, |until| Instant::now() < until) {
            acts += 1;
            let act = self.below(16);
            self.act(act).with_context(|| format!("{}, act {act} (number {acts})", self.name))?;
        }
        Ok(())
    }

    fn act(&mut self, act: usize) -> Result<()> {
        match act {
            0..=2 => self.write(),
            3..=6 => self.save(&[]),
            7 => self.save(&["--stop"]),
            8 => self.end_session(),
            9 | 10 => self.resume(),
            11 => self.delete_and_take_back(),
            12 => self.look(),
            13 => self.try_to(&["gc"]).map(drop),
            _ => self.kill(),
        }
    }

    /// Runs `sessionctl`. It may fail, as agents and wrappers are killed; but it ends, and says why.
    fn try_to(&self, arguments: &[&str]) -> Result<Outcome> {
        let outcome = self.stage.ctl(arguments)?;
        ensure!([0, 1, 3, 4, 5].contains(&outcome.code), "{}", outcome.tell());
        if outcome.code != 0 && !arguments.contains(&"exec") {
            let document = outcome.json()?;
            let message = document["error"]["message"].as_str().unwrap_or_default();
            // `verify` answers 1 with what it found.
            ensure!(!message.is_empty() || document["damages"].is_array(), "no reason is given: {}", outcome.tell());
        }
        Ok(outcome)
    }

    /// The state of the session, as soon as it is none that passes.
    fn state(&self) -> Result<Option<String>> {
        eventually(LIMIT, "the session is in a state that lasts", || {
            let state = self.stage.state(self.name)?;
            let lasts =
                state.as_deref().is_none_or(|state| matches!(state, "running" | "crashed" | "stopped" | "interrupted"));
            ensure!(lasts, "{} is {state:?}", self.name);
            Ok(Some(state))
        })
    }

    /// Ends the session and clears away what is left of a crashed one.
    fn end_session(&self) -> Result<()> {
        eventually(LIMIT, "the session is stopped", || {
            let Some(_) = self.state()? else { return Ok(Some(())) };
            self.try_to(&["stop", self.name])?;
            Ok(None)
        })
    }

    /// Starts the session where it does not run. Whether it runs then; somebody may be killing what starts it.
    fn is_running(&mut self) -> Result<bool> {
        if self.state()?.as_deref() == Some("running") {
            return Ok(true);
        }
        self.word = None;
        self.end_session()?;
        Ok(self.try_to(&["start", "--name", self.name])?.code == 0)
    }

    fn write(&mut self) -> Result<()> {
        if !self.is_running()? {
            return Ok(());
        }
        self.words += 1;
        let word = format!("{}-{}", self.name, self.words);
        let script = format!("printf %s {word} > {FILE}");
        let done = self.try_to(&["exec", self.name, "--wait", "--", "sh", "-c", &script])?.code == 0;
        self.word = done.then_some(word);
        Ok(())
    }

    fn save(&mut self, options: &[&str]) -> Result<()> {
        if !self.is_running()? {
            return Ok(());
        }
        if self.word.is_none() {
            self.write()?;
        }
        let saved = self.try_to(&[&["save", self.name], options].concat())?;
        if saved.code == 0
            && let Some(word) = &self.word
        {
            let document = saved.json()?;
            let id = document["snapshot"].as_str().with_context(|| document.to_string())?;
            self.saved.insert(id.to_owned(), word.clone());
        }
        Ok(())
    }

    /// One of the snapshots.
    fn any(&mut self) -> Option<(String, String)> {
        let index = self.below(self.saved.len().max(1));
        self.saved.iter().nth(index).map(|(id, word)| (id.clone(), word.clone()))
    }

    fn resume(&mut self) -> Result<()> {
        let Some((id, word)) = self.any() else { return Ok(()) };
        self.end_session()?;
        self.word = None;
        if self.try_to(&["resume", &id, "--alongside", "--name", self.name])?.code != 0 {
            return Ok(());
        }
        let read = self.try_to(&["exec", self.name, "--wait", "--", "cat", FILE])?;
        if read.code == 0 {
            ensure!(read.text() == word, "{id} has {:?} where {word} was saved", read.text());
            self.word = Some(word);
        }
        Ok(())
    }

    fn delete_and_take_back(&mut self) -> Result<()> {
        let Some((id, _)) = self.any() else { return Ok(()) };
        self.try_to(&["delete", &id])?;
        // Whether the agent was killed before, during or after it: it is there in the end.
        eventually(LIMIT, "it is back on the timeline", || {
            self.try_to(&["undelete", &id])?;
            let timeline = self.stage.json(&["timeline"])?;
            Ok(timeline.as_array().into_iter().flatten().any(|row| row["snapshot"] == *id).then_some(()))
        })
    }

    fn look(&mut self) -> Result<()> {
        let Some((id, _)) = self.any() else { return Ok(()) };
        let verified = self.try_to(&["verify", &id])?.json()?;
        ensure!(verified["damages"].as_array().is_none_or(Vec::is_empty), "{verified}");
        let shown = self.try_to(&["show", &id])?;
        ensure!(shown.code != 0 || shown.json()?["state"] != "damaged", "{}", shown.tell());
        ensure!(shown.code != 3, "it is lost: {}", shown.tell());
        Ok(())
    }

    /// Kills an agent, a wrapper, the engine or what packs.
    fn kill(&mut self) -> Result<()> {
        let below = self.stage.directory().to_string_lossy().into_owned();
        let engine =
            |p: &Process| p.command.contains(&below) && [" dump ", " restore "].iter().any(|w| p.command.contains(w));
        let victims: Vec<Process> = match self.below(4) {
            0 => self.stage.agents(),
            1 => self.stage.wrappers().into_iter().filter(|p| p.command.contains(" session ")).collect(),
            2 => freezeframe_tests::all_processes().into_iter().filter(engine).collect(),
            _ => self.stage.wrappers().into_iter().filter(|p| !p.command.contains(" session ")).collect(),
        };
        let index = self.below(victims.len().max(1));
        // One that has ended meanwhile cannot be killed any more.
        if victims.get(index).is_some_and(|victim| self.stage.kill(victim).is_ok()) {
            self.kills += 1;
        }
        Ok(())
    }
}
