//! A save that fails, at whatever point, leaves the session running as before and nothing behind.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};

use crate::small;

/// Every point that a save passes: the wrapper's own, and the engine's.
const POINTS: [&str; 9] = [
    "preflight",
    "precopy",
    "picture",
    "freeze",
    "engine-pre-dump",
    "engine-network-lock",
    "layer",
    "engine-post-dump",
    "commit",
];

/// A terminal with a counter that writes where it is.
const COUNTER: &str = "n=0; while :; do n=$((n+1)); echo $n | tee /tmp/counter.new; mv /tmp/counter.new /tmp/counter; \
                       sleep 0.05; done";

fn counter(stage: &Stage, session: &str) -> Result<u64> {
    stage.inside(session, &["cat", "/tmp/counter"])?.trim().parse().context("the counter")
}

/// Waits until the counter goes on from at least `from`; answers where it is.
fn counts_on(stage: &Stage, session: &str, from: u64) -> Result<u64> {
    eventually(Duration::from_secs(20), &format!("the counter passes {from}"), || {
        let now = counter(stage, session)?;
        Ok((now > from).then_some(now))
    })
}

fn types(stage: &Stage, session: &str, word: &str) -> Result<()> {
    let window = stage.wait_for_window(session, "^answers$")?;
    stage.click_on(session, &window)?.type_text(&format!("{word}\n"))?;
    eventually(Duration::from_secs(20), &format!("{word} was typed"), || {
        Ok(stage.inside(session, &["cat", "/tmp/typed"])?.lines().any(|line| line == word).then_some(()))
    })
}

fn fails_everywhere(stop: bool) {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.launch(&session, &["xterm", "-T", "counter", "-geometry", "40x10+0+400", "-e", "sh", "-c", COUNTER])?;
        let answers = ["-T", "answers", "-geometry", "40x10+500+20", "-e", "sh", "-c", "cat > /tmp/typed"];
        stage.launch(&session, &[&["xterm"][..], &answers].concat())?;
        stage.wait_for_window(&session, "^counter$")?;
        types(stage, &session, "before")?;
        stage.put(&session, "/home/user/file", "as it was")?;
        eventually(Duration::from_secs(60), "the window manager's autostart has ended", || {
            let now = lasting(stage, &session)?;
            Ok(now.values().all(|name| !name.starts_with("openbox-")).then_some(()))
        })?;
        let pids = lasting(stage, &session)?;
        let stored = stage.stored()?;
        let ending: &[&str] = if stop { &["rehearsal"] } else { &[] };
        for point in POINTS.iter().chain(ending).copied() {
            let before = counts_on(stage, &session, 0)?;
            stage.fail_at(&[point])?;
            let save: &[&str] = if stop { &["save", "desk", "--stop"] } else { &["save", "desk"] };
            let outcome = stage.ctl(save)?;
            stage.fail_at(&[])?;
            let error = outcome.refused(1, "Failed").with_context(|| format!("at {point}"))?;
            ensure!(error["message"].as_str().is_some_and(|m| m.contains(point)), "at {point}: {error}");
            ensure!(stage.json(&["timeline"])? == serde_json::json!([]), "at {point}: a snapshot is listed");
            ensure!(stage.stored()? == stored, "at {point}: {:?} is left", stage.stored());
            ensure!(stage.state(&session)?.as_deref() == Some("running"), "at {point}: {:?}", stage.state(&session));
            let now = lasting(stage, &session)?;
            ensure!(now == pids, "at {point}: other processes\n{pids:?}\n{now:?}");
            counts_on(stage, &session, before).with_context(|| format!("at {point}"))?;
            types(stage, &session, &format!("after {point}"))?;
        }
        let id = stage.save(&session)?;
        let state = stage.json(&["show", &id])?["state"].clone();
        ensure!(state == "committing" || state == "whole", "a save without a fault: {state}");
        let before = counter(stage, &session)?;
        counts_on(stage, &session, before)?;
        let again = stage.word(&["resume", &id, "--alongside", "--name", "again"], "session")?;
        counts_on(stage, &again, 1)?;
        types(stage, &again, "resumed")?;
        ensure!(stage.inside(&again, &["cat", "/home/user/file"])? == "as it was", "the file");
        Ok(())
    });
}

/// The session's processes but for those that come and go with the counter.
fn lasting(stage: &Stage, session: &str) -> Result<std::collections::BTreeMap<i32, String>> {
    let passing = ["sleep", "mv", "tee", "sh"];
    let pids = stage.pids(session)?.into_iter();
    // A shell that has not become its program yet has no other name than the counter's own.
    Ok(pids.filter(|(_, (name, _))| !passing.contains(&name.as_str())).map(|(pid, (name, _))| (pid, name)).collect())
}

#[test]
fn a_save_that_fails_at_any_point_harms_nothing() {
    fails_everywhere(false);
}

#[test]
fn a_save_that_is_to_end_the_session_and_fails_harms_nothing() {
    fails_everywhere(true);
}

/// In the control loop's task, in its own thread, and while everything is frozen.
const PANICS: [&str; 4] = ["preflight", "picture", "engine-post-dump", "layer"];

#[test]
fn issue_9_8_a_save_that_panics_is_answered_and_the_session_is_free() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let pids = stage.settled_pids(&session)?;
        let saves: [(&[&str], &[&str]); 2] =
            [(&["save", "desk"], &["commit"]), (&["save", "desk", "--stop"], &["commit"])];
        for (save, more) in saves {
            for point in PANICS.iter().chain(more) {
                stage.fail_at(&[&format!("panic {point}")])?;
                let outcome = stage.ctl(save)?;
                stage.fail_at(&[])?;
                let error = outcome.refused(1, "Failed").with_context(|| format!("{save:?} at {point}"))?;
                ensure!(error["message"].as_str().is_some_and(|m| m.contains(point)), "at {point}: {error}");
                ensure!(
                    stage.state(&session)?.as_deref() == Some("running"),
                    "at {point}: {:?}",
                    stage.state(&session)
                );
                ensure!(stage.stored()?.is_empty(), "at {point}: {:?} is left", stage.stored());
                ensure!(stage.pids(&session)? == pids, "at {point}: {:?}", stage.pids(&session));
                ensure!(stage.inside(&session, &["echo", "runs"])? == "runs\n", "at {point}: it does not run");
            }
        }
        let id = stage.save(&session)?;
        stage.json(&["stop", &session])?;
        stage.json(&["resume", &id])?;
        Ok(())
    });
}

#[test]
fn issue_9_14_a_save_on_a_full_disk_says_so_at_whatever_step() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let saves: [&[&str]; 2] = [&["save", "desk"], &["save", "desk", "--stop"]];
        for save in saves {
            for point in ["precopy", "layer", "commit"] {
                stage.fail_at(&[&format!("full {point}")])?;
                let outcome = stage.ctl(save)?;
                stage.fail_at(&[])?;
                outcome.refused(1, "NoSpace").with_context(|| format!("{save:?} at {point}"))?;
                ensure!(stage.state(&session)?.as_deref() == Some("running"), "{save:?} at {point}");
                ensure!(stage.stored()?.is_empty(), "{save:?} at {point}: {:?} is left", stage.stored());
            }
        }
        Ok(())
    });
}

#[test]
fn a_resume_that_fails_leaves_nothing() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let id = stage.save(&session)?;
        stage.json(&["stop", &session])?;
        for point in ["engine-pre-restore", "engine-setup-namespaces", "engine-post-restore"] {
            stage.fail_at(&[point])?;
            let outcome = stage.ctl(&["resume", &id])?;
            ensure!(outcome.code == 1 && outcome.text().contains(point), "{point}: {}", outcome.tell());
            ensure!(stage.json(&["list"])? == serde_json::json!([]), "{point}: a session is left");
            ensure!(std::fs::read_dir(stage.data().join("sessions"))?.count() == 0, "{point}: a directory is left");
        }
        stage.fail_at(&[])?;
        stage.json(&["resume", &id])?;
        ensure!(stage.state("desk")?.as_deref() == Some("running"), "the whole one is resumed");
        Ok(())
    });
}
