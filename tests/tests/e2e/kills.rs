//! Killing our own processes loses no snapshot, and no session but that of a killed wrapper.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually, wait_until};

use crate::small;

#[test]
fn after_a_kill_of_everything_an_earlier_snapshot_is_resumed() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.put(&session, "/home/user/file", "saved")?;
        let pids = stage.settled_pids(&session)?;
        let id = stage.save(&session)?;
        stage.put(&session, "/home/user/file", "lost")?;
        let agent = stage.agents().pop().context("an agent")?;
        stage.kill(&agent)?;
        stage.kill(&stage.supervisor(&session)?)?;

        let resumed = stage.json(&["resume", &id])?;
        let again = resumed["session"].as_str().context("a session")?;
        ensure!(stage.inside(again, &["cat", "/home/user/file"])? == "saved", "the file");
        ensure!(stage.pids(again)? == pids, "{:?} {pids:?}", stage.pids(again));
        stage.save(again)?;
        Ok(())
    });
}

#[test]
fn after_a_kill_of_the_agent_the_next_one_finds_the_session() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.put(&session, "/home/user/file", "kept")?;
        let before = stage.settled_pids(&session)?;
        let agent = stage.agents().pop().context("an agent")?;
        stage.kill(&agent)?;
        ensure!(stage.agents().is_empty(), "{:?}", stage.agents());
        ensure!(stage.pids(&session)? == before, "the session goes on without an agent");
        ensure!(stage.state(&session)?.as_deref() == Some("running"), "{:?}", stage.state(&session));
        let id = stage.save(&session)?;
        ensure!(stage.pids(&session)? == before, "saving changed its processes");
        stage.json(&["stop", &session])?;
        stage.json(&["resume", &id])?;
        ensure!(stage.inside(&session, &["cat", "/home/user/file"])? == "kept", "the file");
        Ok(())
    });
}

#[test]
fn a_killed_wrapper_is_a_crashed_session_that_stop_clears_away() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let id = stage.save(&session)?;
        let inside = stage.processes(&session)?;
        stage.kill(&stage.supervisor(&session)?)?;
        let all_gone = || {
            let all = freezeframe_tests::all_processes();
            inside.values().all(|p| all.iter().all(|a| a.pid != p.pid))
        };
        wait_until(Duration::from_secs(20), "the session's processes end with their supervisor", all_gone)?;
        wait_until(Duration::from_secs(20), "the agent calls it crashed", || {
            stage.state(&session).is_ok_and(|state| state.as_deref() == Some("crashed"))
        })?;
        stage.json(&["stop", &session])?;
        ensure!(stage.state(&session)?.is_none(), "{:?}", stage.state(&session));
        ensure!(std::fs::read_dir(stage.data().join("sessions"))?.count() == 0, "its directory is left");
        stage.json(&["resume", &id])?;
        Ok(())
    });
}

#[test]
fn a_session_whose_desktop_ends_is_gone() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.inside(&session, &["pkill", "-x", "openbox"])?;
        wait_until(Duration::from_secs(30), "the session ends with its desktop", || {
            stage.state(&session).is_ok_and(|state| state.as_deref() != Some("running"))
        })
    });
}

/// Shows by a new entry of `store/raw` how far a save is.
type Moment = fn(&Path) -> bool;

/// Moments of a save at which something is killed.
const MOMENTS: [(&str, Moment); 3] = [
    ("it has begun", |_| true),
    ("memory is written", |new| {
        let images = std::fs::read_dir(new.join("images")).into_iter().flatten().flatten();
        images.into_iter().any(|e| e.file_name().to_string_lossy().starts_with("pages-"))
    }),
    ("it is being committed", |new| new.file_name().is_some_and(|n| !n.to_string_lossy().starts_with('.'))),
];

/// Saves, and calls `kill` at the moment; answers the snapshot's id if the save has told one.
fn save_and_kill(stage: &Stage, moment: Moment, kill: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
    let raw = stage.data().join("store/raw");
    let entries = || -> Vec<PathBuf> {
        std::fs::read_dir(&raw).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let before = entries();
    std::thread::scope(|scope| {
        let save = scope.spawn(|| stage.ctl(&["save", "desk"]));
        let reached = || entries().iter().any(|path| !before.contains(path) && moment(path));
        while !save.is_finished() && !reached() {
            std::thread::sleep(Duration::from_millis(1));
        }
        kill()?;
        let outcome = save.join().ok().context("the save")??;
        ensure!([0, 1, 5].contains(&outcome.code), "{}", outcome.tell());
        let document = outcome.json()?;
        ensure!(outcome.code == 0 || !document["error"]["message"].as_str().unwrap_or("").is_empty(), "{document}");
        Ok(document["snapshot"].as_str().map(str::to_owned))
    })
}

/// Ids on the timeline; each is whole, and nothing else is in the store before long.
fn whole_snapshots(stage: &Stage) -> Result<Vec<String>> {
    let timeline = eventually(Duration::from_secs(120), "every snapshot is packed", || {
        let timeline = stage.json(&["timeline"])?;
        let rows = timeline.as_array().context("rows")?;
        Ok(rows.iter().all(|row| row["state"] == "whole").then(|| timeline.clone()))
    })?;
    let rows = timeline.as_array().context("rows")?;
    let ids: Vec<String> = rows.iter().filter_map(|row| row["snapshot"].as_str()).map(str::to_owned).collect();
    wait_until(Duration::from_secs(20), "what an unfinished save left is taken away", || {
        stage.stored().is_ok_and(|stored| stored.len() == ids.len())
    })
    .with_context(|| format!("{:?} with {ids:?}", stage.stored()))?;
    Ok(ids)
}

#[test]
fn a_wrapper_killed_in_the_middle_of_a_save_loses_no_snapshot() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.put(&session, "/home/user/file", "saved")?;
        let first = stage.save(&session)?;
        for (name, moment) in MOMENTS {
            let supervisor = stage.supervisor(&session)?;
            let told = save_and_kill(stage, moment, || stage.kill(&supervisor)).context(name)?;
            wait_until(Duration::from_secs(20), "the agent has seen it", || {
                stage.state(&session).is_ok_and(|state| state.as_deref() != Some("running"))
            })?;
            if stage.state(&session)?.is_some() {
                stage.json(&["stop", &session])?;
            }
            let ids = whole_snapshots(stage).context(name)?;
            ensure!(ids.contains(&first), "{name}: the earlier one is lost: {ids:?}");
            ensure!(told.is_none_or(|id| ids.contains(&id)), "{name}: one that was told is lost: {ids:?}");
            for id in ids {
                stage.json(&["resume", &id, "--alongside", "--name", "desk"])?;
                ensure!(stage.inside(&session, &["cat", "/home/user/file"])? == "saved", "{name}: {id}");
                stage.json(&["stop", "desk"])?;
            }
            stage.json(&["resume", &first])?;
        }
        Ok(())
    });
}

#[test]
fn an_agent_killed_in_the_middle_of_a_save_loses_neither_snapshot_nor_session() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let before = stage.settled_pids(&session)?;
        let first = stage.save(&session)?;
        for (name, moment) in MOMENTS {
            let agent = stage.agents().pop().context("an agent")?;
            let told = save_and_kill(stage, moment, || stage.kill(&agent)).context(name)?;
            wait_until(Duration::from_secs(20), "the next agent calls the session running", || {
                stage.state(&session).is_ok_and(|state| state.as_deref() == Some("running"))
            })
            .context(name)?;
            ensure!(stage.pids(&session)? == before, "{name}: {:?} {before:?}", stage.pids(&session));
            let ids = whole_snapshots(stage).context(name)?;
            ensure!(ids.contains(&first) && told.is_none_or(|id| ids.contains(&id)), "{name}: {ids:?}");
            stage.save(&session).context(name)?;
        }
        stage.json(&["stop", &session])?;
        stage.json(&["resume", "latest"])?;
        ensure!(stage.pids(&session)? == before, "{:?} {before:?}", stage.pids(&session));
        Ok(())
    });
}
