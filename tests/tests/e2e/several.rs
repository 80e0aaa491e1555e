//! One snapshot resumed twice beside its running original: three desktops, and none knows of another.

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, VIM};

use crate::small;

const TEXT: &str = "/home/user/text";

#[test]
fn three_desktops_do_not_disturb_each_other() {
    small(|stage| {
        let original = stage.start(&["--name", "desk", "--size", "900x600"])?;
        stage.launch(&original, &VIM)?;
        let window = stage.wait_for_window(&original, "editor|VIM")?;
        stage.click_on(&original, &window)?.type_text("icommon")?;
        stage.put(&original, "/home/user/shared", "common")?;
        let saved = stage.settled_pids(&original)?;
        let id = stage.save(&original)?;
        let (one, two) = std::thread::scope(|scope| -> Result<_> {
            let resume = || stage.word(&["resume", &id, "--alongside"], "session");
            let (one, two) = (scope.spawn(resume), scope.spawn(resume));
            Ok((one.join().ok().context("one")??, two.join().ok().context("two")??))
        })?;
        let all = [original.as_str(), one.as_str(), two.as_str()];
        ensure!(one != two && one != original && two != original, "{all:?}");
        for session in all {
            ensure!(stage.state(session)?.as_deref() == Some("running"), "{session}");
            ensure!(stage.pids(session)? == saved, "{session}: {:?} {saved:?}", stage.pids(session));
            ensure!(stage.viewer(session)?.size() == (900, 600), "{session}");
        }
        // Each its own words, and its own program.
        let mut started = Vec::new();
        for session in all {
            stage.click_on(session, &window)?.type_text(&format!(" {session}"))?;
            stage.put(session, "/home/user/shared", session)?;
            stage.put(session, &format!("/home/user/only-{session}"), "x")?;
            let name = format!("in-{session}");
            let argv = ["python3", "-c", "import time; time.sleep(1e6)", name.as_str()];
            started.push((session, stage.launch(session, &argv)?, name));
        }
        for session in all {
            let text = stage.text_in_vim(session, &window, TEXT)?;
            ensure!(text.trim_end() == format!("common {session}"), "{session}: {text:?}");
            ensure!(stage.inside(session, &["cat", "/home/user/shared"])? == session, "{session}: its file");
            let files = stage.inside(session, &["sh", "-c", "cd /home/user; ls -d only-*"])?;
            ensure!(files.trim() == format!("only-{session}"), "{session}: {files}");
            let pids = stage.pids(session)?;
            for (owner, pid, name) in &started {
                let here = pids.values().any(|(_, command)| command.split(' ').any(|word| word == name));
                ensure!(here == (*owner == session), "{session}: {name} {pids:?}");
                ensure!(*owner != session || pids[pid].1.ends_with(name.as_str()), "{session}: {pid} {pids:?}");
            }
        }
        // One ends, the others go on.
        stage.json(&["stop", &one])?;
        for session in [original.as_str(), two.as_str()] {
            stage.click_on(session, &window)?.type_text("i!")?;
            let text = stage.text_in_vim(session, &window, TEXT)?;
            ensure!(text.contains('!'), "{session}: {text:?}");
        }
        wrote_nothing_into_the_snapshot(stage, &id)
    });
}

/// What was saved is resumed once more as it was saved.
fn wrote_nothing_into_the_snapshot(stage: &Stage, id: &str) -> Result<()> {
    let fourth = stage.word(&["resume", id, "--alongside", "--name", "fourth"], "session")?;
    let window = stage.wait_for_window(&fourth, "editor|VIM")?;
    ensure!(stage.text_in_vim(&fourth, &window, TEXT)?.trim_end() == "common", "the fourth");
    ensure!(stage.inside(&fourth, &["cat", "/home/user/shared"])? == "common", "the fourth's file");
    Ok(())
}
