//! Saves that are verified by restoring what was saved.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};

use crate::small;

const LIMIT: Duration = Duration::from_secs(60);

/// Processes, mounts and directories that trying a snapshot may leave.
fn nothing_is_left(stage: &Stage) -> Result<()> {
    let left = || {
        let wrappers = stage.wrappers().into_iter().filter(|p| p.command.contains(" rehearse "));
        let directories = std::fs::read_dir(stage.data().join("sessions")).into_iter().flatten().flatten();
        let rehearsals = directories.filter(|d| d.file_name().to_string_lossy().starts_with('.'));
        Ok((wrappers.count() + rehearsals.count() == 0).then_some(()))
    };
    eventually(LIMIT, "nothing is left of the attempt", left)
}

#[test]
fn a_verified_save_was_restored_and_a_bad_one_is_told_while_the_session_runs() {
    small(|stage| {
        let session = stage.start(&["--name", "desk", "--network", "outbound"])?;
        stage.launch(&session, &["xterm", "-T", "work", "-e", "cat"])?;
        stage.wait_for_window(&session, "^work$")?;
        stage.put(&session, "/home/user/file", "of the session")?;
        let pids = stage.settled_pids(&session)?;

        let good = stage.word(&["save", &session, "--verify"], "snapshot")?;
        let show = stage.json(&["show", &good])?;
        ensure!(show["verified"] == true && show["damage"] == "", "{show}");
        nothing_is_left(stage)?;

        stage.fail_at(&["damage-images"])?;
        let error = stage.ctl(&["save", &session, "--verify"])?.refused(1, "Damaged")?;
        stage.fail_at(&[])?;
        ensure!(error["hint"].as_str().is_some_and(|h| h.contains("save it again")), "{error}");
        nothing_is_left(stage)?;
        let timeline = stage.json(&["timeline"])?;
        let states: Vec<_> =
            timeline.as_array().context("no timeline")?.iter().map(|r| (&r["verified"], &r["state"])).collect();
        let bad = states.iter().find(|(_, state)| *state == "damaged").with_context(|| timeline.to_string())?;
        ensure!(states.len() == 2 && *bad.0 == false, "{timeline}");

        // Reading it back finds what was written, which is still nothing that can be restored.
        let timeline = timeline.as_array().context("no timeline")?;
        let id = timeline.iter().find(|r| r["state"] == "damaged").and_then(|r| r["snapshot"].as_str());
        let id = id.context("no id")?;
        eventually(LIMIT, "it is packed", || {
            stage.json(&["verify", id])?;
            Ok(stage.json(&["show", id])?["own_bytes"].as_u64().filter(|bytes| *bytes > 0))
        })?;
        let show = stage.json(&["show", id])?;
        ensure!(show["state"] == "damaged" && show["verified"] == false, "{show}");
        let error = stage.ctl(&["resume", id])?.refused(1, "Damaged")?;
        ensure!(error["hint"].as_str().is_some_and(|h| h.contains("--alongside")), "{error}");
        stage.ctl(&["resume", id, "--alongside"])?.refused(1, "Failed")?;

        // Neither has touched the session, and the good one is.
        ensure!(stage.pids(&session)? == pids, "other processes");
        ensure!(stage.state(&session)?.as_deref() == Some("running"), "it runs");
        stage.json(&["resume", &good, "--alongside", "--name", "beside"])?;
        ensure!(stage.inside("beside", &["cat", "/home/user/file"])? == "of the session", "the file");
        Ok(())
    });
}

#[test]
fn issue_9_10_a_save_that_ends_its_session_restores_it_on_the_side_first() {
    small(|stage| {
        let session = stage.start(&["--name", "desk", "--network", "outbound"])?;
        stage.launch(&session, &["xterm", "-T", "work", "-e", "cat"])?;
        stage.wait_for_window(&session, "^work$")?;
        stage.put(&session, "/home/user/file", "of the session")?;
        let pids = stage.settled_pids(&session)?;
        let first = stage.save(&session)?;
        let stored = [std::path::PathBuf::from("snapshots").join(&first)];
        eventually(LIMIT, "it is packed", || Ok((stage.stored()? == stored).then_some(())))?;

        // What cannot come back does not end it, be it asked for or because another is resumed in its place.
        stage.fail_at(&["damage-images"])?;
        let saves: [&[&str]; 3] = [&["save", "desk", "--stop"], &["stop", "desk", "--save"], &["resume", &first]];
        for save in saves {
            let error = stage.ctl(save)?.refused(1, "Damaged")?;
            ensure!(error["message"].as_str().is_some_and(|m| m.contains("not ended")), "{save:?}: {error}");
            nothing_is_left(stage)?;
            ensure!(stage.stored()? == stored, "{save:?}: {:?} is left", stage.stored());
            ensure!(stage.state(&session)?.as_deref() == Some("running"), "{save:?}: {:?}", stage.state(&session));
            ensure!(stage.pids(&session)? == pids, "{save:?}: other processes");
            ensure!(stage.inside(&session, &["cat", "/home/user/file"])? == "of the session", "{save:?}: the file");
        }
        stage.fail_at(&[])?;

        let id = stage.word(&["save", &session, "--stop"], "snapshot")?;
        nothing_is_left(stage)?;
        ensure!(stage.state(&session)?.is_none(), "{:?}", stage.state(&session));
        let show = stage.json(&["show", &id])?;
        ensure!(show["verified"] == true && show["damage"] == "", "{show}");
        stage.json(&["resume", &id])?;
        // The way out is not the session's own, and is recreated.
        let (mut now, mut pids) = (stage.settled_pids(&session)?, pids);
        for all in [&mut now, &mut pids] {
            all.retain(|_, (name, _)| !name.starts_with("passt"));
        }
        ensure!(now == pids, "other processes after the resume: {now:?}\n{pids:?}");
        Ok(())
    });
}

#[test]
fn the_policy_verifies_every_save_in_the_background() {
    small(|stage| {
        stage.configure("verify_saves = true\n")?;
        let session = stage.start(&["--name", "desk"])?;
        let id = stage.save(&session)?;
        eventually(LIMIT, "it is verified", || Ok((stage.json(&["show", &id])?["verified"] == true).then_some(())))?;
        nothing_is_left(stage)
    });
}
