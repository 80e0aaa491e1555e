//! Saving what was resumed, and ending a session by its save.

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, VIM};

use crate::small;

fn lines(stage: &Stage, session: &str) -> Result<Vec<String>> {
    Ok(stage.inside(session, &["cat", "/home/user/diary"])?.lines().map(str::to_owned).collect())
}

fn write(stage: &Stage, session: &str, line: &str) -> Result<()> {
    stage.inside(session, &["sh", "-c", "echo \"$1\" >> /home/user/diary", "sh", line]).map(drop)
}

#[test]
fn a_resumed_session_can_be_saved_and_resumed_again() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let vim = stage.launch(&session, &VIM)?;
        let window = stage.wait_for_window(&session, "editor|VIM")?;
        stage.click_on(&session, &window)?.type_text("ione")?;
        write(stage, &session, "one")?;
        let first = stage.save(&session)?;
        stage.json(&["stop", &session])?;

        stage.json(&["resume", &first])?;
        stage.click_on(&session, &window)?.type_text(" two")?;
        write(stage, &session, "two")?;
        let second = stage.word(&["save", &session, "--stop"], "snapshot")?;
        ensure!(stage.json(&["list"])? == serde_json::json!([]), "--stop leaves no session");

        stage.json(&["resume", &second])?;
        ensure!(lines(stage, &session)? == ["one", "two"], "{:?}", lines(stage, &session));
        let pids = stage.pids(&session)?;
        ensure!(pids.get(&vim).is_some_and(|(name, _)| name == "xterm"), "the terminal has its pid: {pids:?}");
        stage.click_on(&session, &window)?.type_text(" three")?;
        ensure!(stage.text_in_vim(&session, &window, "/home/user/text")?.trim_end() == "one two three", "vim's text");

        // The first one again, in the place of the running one, which is saved and stopped first.
        let resumed = stage.json(&["resume", &first])?;
        ensure!(resumed["session"] == "desk", "{resumed}");
        ensure!(lines(stage, &session)? == ["one"], "{:?}", lines(stage, &session));
        ensure!(stage.text_in_vim(&session, &window, "/home/user/text")?.trim_end() == "one", "vim's text");
        let timeline = stage.json(&["timeline"])?;
        let rows = timeline.as_array().context("rows")?;
        ensure!(rows.len() == 3, "{timeline}");
        let parent = |id: &str| rows.iter().find(|r| r["snapshot"] == id).map(|r| r["parent"].clone());
        let third = rows.iter().find(|r| r["parent"] == *second).context("the one that was saved by the resume")?;
        ensure!(parent(&first) == Some(serde_json::Value::Null), "{timeline}");
        ensure!(parent(&second) == Some(first.clone().into()), "{timeline}");
        let third = third["snapshot"].as_str().unwrap_or_default().to_owned();
        stage.json(&["resume", &third, "--alongside", "--name", "third"])?;
        ensure!(stage.text_in_vim("third", &window, "/home/user/text")?.trim_end() == "one two three", "vim's text");
        Ok(())
    });
}

#[test]
fn stopping_with_a_save_keeps_all() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        write(stage, &session, "kept")?;
        let stopped = stage.json(&["stop", &session, "--save"])?;
        let id = stopped["snapshot"].as_str().with_context(|| stopped.to_string())?;
        ensure!(stage.state(&session)?.is_none(), "it has ended");
        stage.json(&["resume", id])?;
        ensure!(lines(stage, &session)? == ["kept"], "the file");
        Ok(())
    });
}

#[test]
fn other_names_of_a_file_of_the_base_stay_its_names() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        // Two names of one file in the base; the overlay keeps them together by its index.
        let names = "/usr/bin/perlbug /usr/bin/perlthanks";
        let as_root = |session: &str, script: &str| {
            stage.ctl(&["exec", session, "--root", "--wait", "--", "sh", "-ec", script])?.done()
        };
        let count = format!("stat -c %h {names} | sort -u; cmp {names}; tail -n 1 /usr/bin/perlthanks");
        as_root(&session, "echo '# written to one name' >> /usr/bin/perlbug")?;
        let before = as_root(&session, &count)?;
        ensure!(before.lines().eq(["2", "# written to one name"]), "{before:?}");
        for _ in 0..2 {
            let snapshot = stage.word(&["save", &session, "--stop"], "snapshot")?;
            stage.json(&["resume", &snapshot])?;
            let after = as_root(&session, &count)?;
            ensure!(after == before, "{after:?}");
        }
        as_root(&session, "echo '# and after a resume' >> /usr/bin/perlthanks")?;
        let later = as_root(&session, &format!("cmp {names}; tail -n 1 /usr/bin/perlbug"))?;
        ensure!(later.trim() == "# and after a resume", "{later:?}");
        Ok(())
    });
}
