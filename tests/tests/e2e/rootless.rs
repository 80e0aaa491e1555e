//! A normal user: what root has, and what of root's they can use.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, User, eventually};

use crate::viewers::opens_a_client;
use crate::{PLACES, play};

fn stage() -> Result<Stage> {
    Stage::of_user(User::create()?)
}

#[test]
fn a_normal_user_has_a_desktop_and_saves_it() {
    play(PLACES, stage, |stage| {
        let imported = stage.import("minimal")?;
        ensure!(imported["base"] == "minimal", "{imported}");
        let session = stage.start(&["--name", "desk", "--size", "900x600"])?;
        ensure!(stage.state(&session)?.as_deref() == Some("running"), "{:?}", stage.state(&session));
        let said = stage.inside(&session, &["sh", "-c", "id -u; pwd; touch file && ls -l file"])?;
        ensure!(said.starts_with("1000\n/home/user\n") && said.contains("user user"), "{said}");
        stage.inside(&session, &["sudo", "-n", "true"])?;
        stage.launch(&session, &["xterm", "-T", "terminal", "-e", "sh", "-c", "cat > /tmp/typed"])?;
        let window = stage.wait_for_window(&session, "^terminal$")?;
        // The display's socket answers to its own user only, and this test is root.
        ensure!(stage.viewer(&session).is_err(), "another user can look at the display");
        stage.inside(&session, &["xdotool", "windowactivate", "--sync", &window.id])?;
        stage.inside(&session, &["xdotool", "type", "typed\n"])?;
        ensure!(stage.file_inside(&session, "/tmp/typed")? == "typed\n", "the terminal takes no input");
        let picture = stage.screenshot(&session)?;
        ensure!(picture.size() == (900, 600) && picture.colours() > 10, "{:?} {}", picture.size(), picture.colours());
        opens_a_client(stage, &session)?;

        // Other things may be lacking: the directories of tests are open to others.
        let doctor = stage.ctl(&["doctor"])?.json()?;
        let engine = doctor["checks"].as_array().and_then(|all| all.iter().find(|check| check["name"] == "engine"));
        ensure!(engine.is_some_and(|check| check["ok"] == true), "{doctor}");
        let before = stage.settled_pids(&session)?;
        let id = stage.word(&["stop", "desk", "--save"], "snapshot")?;
        ensure!(stage.json(&["list"])? == serde_json::json!([]), "a session is left");
        let session = stage.word(&["resume", &id], "session")?;
        let now = stage.settled_pids(&session)?;
        ensure!(now == before, "{before:?} {now:?}");
        stage.wait_for_window(&session, "^terminal$")?;

        stage.json(&["stop", &session])?;
        ensure!(stage.json(&["list"])? == serde_json::json!([]), "a session is left");
        ensure!(std::fs::read_dir(stage.data().join("sessions"))?.count() == 0, "its directory is left");
        // Of a packed snapshot nothing is left that belongs to ids of the session.
        let packed = || {
            let whole = stage.json(&["show", &id])?["state"] == "whole";
            Ok((whole && stage.stored()? == [Path::new("snapshots").join(&id)]).then_some(()))
        };
        eventually(Duration::from_secs(60), "it is packed", packed)?;
        stage.ctl(&["base", "remove", "minimal"])?.refused(1, "Busy")?;
        stage.json(&["delete", &id])?;
        stage.json(&["gc", "--keep-deleted", "0s"])?;
        stage.json(&["base", "remove", "minimal"])?;
        ensure!(std::fs::read_dir(stage.data().join("bases"))?.count() == 0, "the base's directory is left");
        Ok(())
    });
}

#[test]
fn a_normal_user_keeps_and_checks_what_root_has_exported() {
    play(PLACES, stage, |stage| {
        let root = Stage::new(&["minimal"])?;
        let session = root.start(&["--name", "desk"])?;
        let id = root.word(&["save", &session, "--wait", "--label", "carried over"], "snapshot")?;
        let key = root.word(&["key"], "key")?;
        root.json(&["stop", &session])?;
        let file = stage.directory().join("desk.freezeframe");
        root.json(&["export", &id, &file.to_string_lossy(), "--with-base"])?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
        let picture = root.directory().join("picture.png");
        root.json(&["screenshot", &id, &picture.to_string_lossy()])?;

        let import = ["import", &*file.to_string_lossy(), "--trust", &key];
        stage.ctl(&import[..2])?.refused(1, "Untrusted")?;
        let imported = stage.json(&import)?;
        ensure!(imported["snapshot"] == id.as_str() && imported["base"] == "minimal", "{imported}");
        let verified = stage.json(&["verify"])?;
        ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
        let row = stage.json(&["timeline"])?[0].clone();
        for (field, value) in [("state", "whole"), ("label", "carried over"), ("snapshot", id.as_str())] {
            ensure!(row[field] == value, "{row}");
        }
        ensure!(row["imported"] == true && row["intact"] == true, "{row}");
        let show = stage.json(&["show", &id])?;
        ensure!(show["session"] == "desk" && show["processes"].as_u64() > Some(0), "{show}");
        let mine = stage.data().join("picture.png");
        stage.json(&["screenshot", &id, &mine.to_string_lossy()])?;
        ensure!(std::fs::read(&mine)? == std::fs::read(&picture)?, "another picture");

        // Root's engine wrote it.
        let error = stage.ctl(&["resume", &id])?.refused(1, "NeedsRoot")?;
        ensure!(error["message"].as_str().is_some_and(|text| text.contains("criu")), "{error}");
        ensure!(stage.json(&["list"])? == serde_json::json!([]), "a session is listed");
        stage.json(&["pin", &id])?;
        stage.json(&["gc"])?;
        ensure!(stage.json(&["verify", &id])?["damages"] == serde_json::json!([]), "after gc");
        Ok(())
    });
}
