//! Viewers that stay: connected through saves, good and failed, and to the session that takes the place of theirs.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Screen, Stage, Viewer, eventually};

use crate::alone;

const SOON: Duration = Duration::from_secs(30);
/// Fills memory, so that a save takes long enough to join in the middle of it.
const MEMORY: &str =
    "import os, time; kept = os.urandom(400 << 20); open('/tmp/filled', 'w').write('y'); time.sleep(1e6)";

/// A terminal over the whole display that notes every line that is typed.
fn notebook(stage: &Stage, session: &str) -> Result<()> {
    let note = "while read line; do echo \"$line\" >> /tmp/typed; done";
    stage.launch(session, &["xterm", "-T", "notebook", "-geometry", "150x50+0+0", "-e", "sh", "-c", note])?;
    let window = stage.wait_for_window(session, "^notebook$")?;
    stage.click_on(session, &window).map(drop)
}

fn is_noted(stage: &Stage, session: &str, lines: &[String]) -> Result<()> {
    let expected: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut last = String::new();
    eventually(SOON, "all that was typed is noted", || {
        last = stage.inside(session, &["cat", "/tmp/typed"])?;
        Ok((last == expected).then_some(()))
    })
    .with_context(|| format!("{last:?} instead of {expected:?}"))
}

/// Saves, and types into the viewer all the while.
fn saves_while_typing(
    stage: &Stage,
    session: &str,
    viewer: &mut Viewer,
    noted: &mut Vec<String>,
    save: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    std::thread::scope(|scope| {
        let saving = scope.spawn(save);
        while !saving.is_finished() {
            let line = format!("line {}", noted.len());
            viewer.send_text(&format!("{line}\n"))?;
            noted.push(line);
            std::thread::sleep(Duration::from_millis(20));
        }
        saving.join().ok().context("the save")?
    })?;
    is_noted(stage, session, noted)
}

#[test]
fn viewers_stay_and_follow() {
    alone(|stage| {
        let session = stage.start(&["--name", "desk", "--size", "1000x700"])?;
        notebook(stage, &session)?;
        let socket = stage.display_socket(&session);
        let screen = Screen::new(stage)?;
        let mut vncviewer = screen.vncviewer(&socket)?;
        let mut viewer = stage.viewer(&session)?;
        let mut noted = Vec::new();
        vncviewer.point(500, 350)?;
        let mut both = |viewer: &mut Viewer, noted: &mut Vec<String>, word: &str, session: &str| -> Result<()> {
            viewer.type_text(&format!("ours {word}\n"))?;
            noted.push(format!("ours {word}"));
            is_noted(stage, session, noted)?;
            vncviewer.type_text(&format!("theirs {word}\n"))?;
            noted.push(format!("theirs {word}"));
            is_noted(stage, session, noted)?;
            vncviewer.is_well()
        };
        both(&mut viewer, &mut noted, "before", &session)?;
        for round in 0..2 {
            saves_while_typing(stage, &session, &mut viewer, &mut noted, || stage.save(&session).map(drop))?;
            both(&mut viewer, &mut noted, &format!("after save {round}"), &session)?;
        }
        for point in ["freeze", "layer", "commit"] {
            stage.fail_at(&[point])?;
            saves_while_typing(stage, &session, &mut viewer, &mut noted, || {
                let outcome = stage.ctl(&["save", &session])?;
                ensure!(outcome.code == 1, "{}", outcome.tell());
                Ok(())
            })?;
            both(&mut viewer, &mut noted, &format!("after a failure at {point}"), &session)?;
        }
        stage.fail_at(&[])?;

        // To an earlier frame of it, whose notebook has less in it, and back.
        let before = noted.len();
        let earlier = stage.save(&session)?;
        both(&mut viewer, &mut noted, "to be forgotten", &session)?;
        // The session is to be saved for that; it goes on when it cannot be.
        stage.fail_at(&["commit"])?;
        let outcome = stage.ctl(&["resume", &earlier])?;
        ensure!(outcome.code == 1, "{}", outcome.tell());
        stage.fail_at(&[])?;
        both(&mut viewer, &mut noted, "to be forgotten, too", &session)?;
        let resumed = stage.json(&["resume", &earlier])?;
        ensure!(resumed["session"] == *session, "{resumed}");
        noted.truncate(before);
        both(&mut viewer, &mut noted, "in the resumed session", &session)?;
        // Once more, under another name.
        let resumed = stage.word(&["resume", &earlier, "--name", "other"], "session")?;
        ensure!(resumed == "other", "{resumed}");
        noted.truncate(before);
        both(&mut viewer, &mut noted, "in the other session", &resumed)?;
        ensure!(viewer.size() == (1000, 700), "{:?}", viewer.size());
        Ok(())
    });
}

/// Whether a process is stopped by its tracer (proc_pid_stat(5), the third field).
fn is_frozen(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['t', 'T']))
}

#[test]
fn who_joins_while_all_is_frozen_sees_the_last_picture() {
    alone(|stage| {
        let session = stage.start(&["--name", "desk", "--size", "900x600"])?;
        stage.launch(&session, &["python3", "-c", MEMORY])?;
        notebook(stage, &session)?;
        stage.file_inside(&session, "/tmp/filled")?;
        let server =
            stage.processes(&session)?.into_values().find(|p| p.name == "Xtigervnc").context("no Xtigervnc")?;
        let shown = stage.screenshot(&session)?;
        let join = || {
            std::thread::scope(|scope| -> Result<_> {
                let save = scope.spawn(|| stage.save(&session));
                let mut joined = None;
                while !save.is_finished() && joined.is_none() {
                    if !is_frozen(server.pid) {
                        continue;
                    }
                    let mut viewer = stage.viewer(&session)?;
                    let picture = viewer.whole()?;
                    // Still, so the server has not had a part in it.
                    if is_frozen(server.pid) {
                        joined = Some((picture, viewer));
                    }
                }
                save.join().ok().context("the save")??;
                Ok(joined)
            })
        };
        // A busy machine may let nobody come in time; then it is saved again.
        let deadline = Instant::now() + SOON;
        let (seen, mut viewer) = loop {
            match join()? {
                Some(joined) => break joined,
                None => ensure!(Instant::now() < deadline, "nobody came while all was frozen"),
            }
        };
        viewer.type_text("from the joiner\n")?;
        // The cursor of the terminal may blink, and no more.
        let differing = seen.differing(&shown, None)?;
        ensure!(differing < 2000, "{differing} pixels differ");
        is_noted(stage, &session, &["from the joiner".to_owned()])?;
        Ok(())
    });
}
