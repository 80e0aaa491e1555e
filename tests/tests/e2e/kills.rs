//! Killing our own processes loses no snapshot, and no session but that of a killed wrapper.

use std::time::Duration;

use anyhow::{Context, ensure};
use freezeframe_tests::wait_until;

use crate::small;

#[test]
fn after_a_kill_of_everything_an_earlier_snapshot_is_resumed() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.put(&session, "/home/user/file", "saved")?;
        let id = stage.save(&session)?;
        let pids = stage.pids(&session)?;
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
        let before = stage.pids(&session)?;
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
