//! From a base to a session to a snapshot and back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::world::{World, until};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn bases_are_built_imported_listed_and_removed() {
    let world = World::new();
    assert_eq!(world.json(&["base", "list"]).done(), json!([]));
    assert_eq!(world.json(&["base", "build", "minimal"]).done(), json!({"base": "minimal"}));
    let tar = world.dir.path().join("x.tar");
    fs::write(&tar, "0123456789").unwrap();
    let tar = tar.to_str().unwrap();
    assert_eq!(world.json(&["base", "import", "mine", tar]).done(), json!({"base": "mine"}));
    let piped = world.run_with_input(&["base", "import", "piped", "-", "--json"], "12345");
    assert_eq!(piped.done(), json!({"base": "piped"}));
    let list = world.json(&["base", "list"]).done();
    let bytes: Vec<_> = list.as_array().unwrap().iter().map(|b| (b["base"].clone(), b["bytes"].clone())).collect();
    assert_eq!(bytes, [(json!("mine"), json!(10)), (json!("minimal"), json!(0)), (json!("piped"), json!(5))]);
    world.json(&["base", "build", "minimal"]).refused(1, "Exists");
    world.json(&["base", "build", "kde"]).refused(3, "NotFound");
    assert_eq!(world.json(&["base", "remove", "mine"]).done(), json!({"base": "mine"}));
    world.json(&["base", "remove", "mine"]).refused(3, "NotFound");
}

#[test]
fn a_session_is_started_listed_and_stopped() {
    let world = World::with_base();
    let start = world.json(&["start", "--size", "1024x768", "--network", "none"]).done();
    assert_eq!(start, json!({"session": "desktop"}));
    assert_eq!(world.run(&["start"]).stdout, "desktop-2\n");
    let list = world.json(&["list"]).done();
    let row = &list[0];
    for (key, value) in [("session", "desktop"), ("state", "running"), ("base", "xfce"), ("size", "1024x768")] {
        assert_eq!(row[key], value);
    }
    assert_eq!(row["parent"], Value::Null);
    let started = row["started"].as_str().unwrap();
    assert!(started.len() == 24 && started.ends_with('Z') && started.as_bytes()[19] == b'.', "{started}");
    assert!(world.run(&["list"]).stdout.contains("1280x800"));
    assert_eq!(world.json(&["stop", "desktop"]).done(), json!({"session": "desktop", "snapshot": null}));
    assert_eq!(world.state("desktop"), None);
    assert!(!world.data().join("sessions/desktop").exists());
    world.json(&["base", "remove", "xfce"]).refused(1, "Busy");
}

#[test]
fn a_program_runs_with_and_without_a_tie() {
    let world = World::with_session();
    assert_eq!(world.json(&["exec", "desktop", "--", "xterm"]).done(), json!({"session": "desktop", "pid": 4242}));
    let script = ["exec", "desk", "--wait", "--env", "WORD=hello", "--", "sh", "-c", "cat; echo $WORD >&2; exit 7"];
    let run = world.run_with_input(&script, "typed");
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (7, "typed", "hello\n"));
}

#[test]
fn a_session_is_saved_and_what_is_known_of_it_shown() {
    let world = World::with_session();
    let saved = world.json(&["save", "--label", "before the talk"]).done();
    assert_eq!(keys(&saved), ["pause_ms", "session", "snapshot"]);
    let id = saved["snapshot"].as_str().unwrap().to_owned();
    let second = world.run(&["save", "desktop"]).stdout.trim().to_owned();
    let timeline = world.json(&["timeline"]).done();
    let row = &timeline[0];
    let expected = [
        "automatic",
        "created",
        "future",
        "imported",
        "intact",
        "label",
        "lineage",
        "own_bytes",
        "parent",
        "pause_ms",
        "pinned",
        "raw_bytes",
        "resume_failure",
        "session",
        "shared_bytes",
        "snapshot",
        "state",
        "verified",
        "windows",
    ];
    assert_eq!(keys(row), expected);
    assert_eq!(row["snapshot"], id);
    assert_eq!(row["label"], "before the talk");
    assert_eq!(row["raw_bytes"], 1234);
    assert_eq!(row["windows"], json!([{"title": "notes.txt", "application": "Mousepad"}]));
    assert_eq!(timeline[1]["parent"], id);
    assert_eq!(world.json(&["timeline", "--search", "TALK mousepad"]).done().as_array().unwrap().len(), 1);
    assert_eq!(world.json(&["timeline", "--session", "other"]).done(), json!([]));
    let show = world.json(&["show", &id[..8]]).done();
    for (key, value) in [
        ("pause_ms", json!(12.5)),
        ("freeze_ms", json!(2.5)),
        ("memory_bytes", json!(1000)),
        ("layer_bytes", json!(234)),
        ("processes", json!(24)),
        ("threads", json!(74)),
        ("closed", json!([])),
        ("snapshot", json!(id)),
    ] {
        assert_eq!(show[key], value, "{key}");
    }
    assert_eq!(world.json(&["show", "latest"]).done()["snapshot"], second);
    assert_eq!(world.json(&["show", "@{0 seconds ago}"]).done()["snapshot"], second);
    world.json(&["show", "yesterday"]).refused(3, "NotFound");
    assert!(world.run(&["show", "latest"]).stdout.contains("notes.txt"));
    assert!(world.run(&["timeline"]).stdout.contains("Today, "));
}

#[test]
fn what_a_user_says_of_a_snapshot_is_kept() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    for words in [vec!["label", &id, "good one"], vec!["pin", &id]] {
        assert_eq!(world.json(&words).done(), json!({"snapshot": id}));
    }
    let show = world.json(&["show", &id]).done();
    assert_eq!((&show["label"], &show["pinned"]), (&json!("good one"), &json!(true)));
    world.json(&["unpin", &id]).done();
    world.json(&["delete", &id]).done();
    assert_eq!(world.json(&["timeline"]).done(), json!([]));
    assert_eq!(world.json(&["timeline", "--deleted"]).done()[0]["state"], "deleted");
    world.json(&["resume", &id]).refused(3, "NotFound");
    world.json(&["show", "latest"]).refused(3, "NotFound");
    world.json(&["undelete", &id]).done();
    assert_eq!(world.json(&["timeline"]).done()[0]["label"], "good one");
}

#[test]
fn a_snapshot_is_resumed_in_the_place_of_the_session_and_beside_it() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    let resumed = world.json(&["resume", &id]).done();
    assert_eq!(keys(&resumed), ["resume_ms", "session", "snapshot"]);
    assert_eq!((&resumed["session"], &resumed["snapshot"]), (&json!("desktop"), &json!(id)));
    let list = world.json(&["list"]).done();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["parent"], id);
    // What ran before was saved first.
    let timeline = world.json(&["timeline"]).done();
    assert_eq!(timeline[1]["label"], "Before resuming “notes.txt”");
    assert_eq!(timeline[1]["parent"], id);
    let beside = world.json(&["resume", &id, "--alongside"]).done();
    assert_eq!(beside["session"], "desktop-2");
    let named = world.json(&["resume", &id, "--alongside", "--name", "third"]).done();
    assert_eq!(named["session"], "third");
    assert_eq!(world.json(&["list"]).done().as_array().unwrap().len(), 3);
    assert_eq!(world.json(&["timeline"]).done().as_array().unwrap().len(), 2);
    // A name that is taken is told before anything is stopped.
    world.json(&["start", "--name", "other"]).done();
    world.json(&["resume", &id, "--name", "other"]).refused(1, "Exists");
    assert_eq!(world.json(&["list"]).done().as_array().unwrap().len(), 4);
    // The snapshot's children follow it in the timeline.
    let last = world.json(&["save", "third"]).done()["snapshot"].clone();
    let timeline = world.json(&["timeline"]).done();
    let child = timeline.as_array().unwrap().iter().find(|r| r["snapshot"] == last).unwrap();
    assert_eq!(child["parent"], id);
}

#[test]
fn saving_can_end_the_session_and_ending_can_save_it() {
    let world = World::with_session();
    world.json(&["save", "--stop"]).done();
    assert_eq!(world.json(&["list"]).done(), json!([]));
    assert_eq!(world.json(&["resume", "latest"]).done()["session"], "desktop");
    let stopped = world.json(&["stop", "desktop", "--save"]).done();
    assert_eq!(world.json(&["show", "latest"]).done()["snapshot"], stopped["snapshot"]);
    assert_eq!(world.json(&["list"]).done(), json!([]));
}

#[test]
fn pictures_are_written_whole() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    let file = world.dir.path().join("x.png");
    let path = file.to_str().unwrap();
    assert_eq!(world.run(&["screenshot", "desktop", path]).code, 0);
    assert_eq!(fs::read(&file).unwrap(), b"a screenshot");
    assert_eq!(world.run(&["screenshot", &id, path]).code, 0);
    assert!(fs::read(&file).unwrap().starts_with(b"\x89PNG\r\n"));
    assert_eq!(world.run(&["screenshot", "desktop", "-"]).stdout, "a screenshot");
    world.json(&["screenshot", "nothing", path]).refused(3, "NotFound");
    let nowhere = world.dir.path().join("no/where.png");
    world.json(&["screenshot", "desktop", nowhere.to_str().unwrap()]).refused(1, "Failed");
}

/// Issue 9, number 16: the line of the README, with a name that has no directory.
#[test]
fn a_screenshot_goes_to_a_relative_path_too() {
    let world = World::with_session();
    let mut command = world.command(&["screenshot", "desktop", "now.png"]);
    let output = command.current_dir(world.dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(world.dir.path().join("now.png")).unwrap(), "a screenshot");
    // What is there and no file is not replaced by one.
    world.json(&["screenshot", "desktop", "/dev/null"]).refused(2, "InvalidArgument");
}

/// Issue 9, number 16.
#[test]
fn a_view_that_cannot_open_is_an_error() {
    let world = World::with_session();
    let view = |client: &str| {
        let mut command = world.command(&["view", "--client", "desktop", "--json"]);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        if !client.is_empty() {
            command.env("FREEZEFRAME_VNC_CLIENT", client);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = view("/bin/false");
    assert!(code == Some(1) && said.contains("/bin/false ended at once"), "{said}");
    assert_eq!(view("/bin/true").0, Some(0));
    let viewer = world.dir.path().join("vncviewer");
    fs::write(&viewer, "").unwrap();
    fs::set_permissions(&viewer, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = world.command(&["view", "--client", "desktop", "--json"]);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env("PATH", world.dir.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("no display here"), "{output:?}");
}

/// Issue 9, number 16.
#[test]
fn what_changes_nothing_because_it_is_so_already_is_an_error() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    let error = world.json(&["undelete", &id]).refused(1, "Exists");
    assert!(error["message"].as_str().unwrap().contains("is not deleted"), "{error}");
    world.json(&["delete", &id]).done();
    let error = world.json(&["delete", &id]).refused(3, "NotFound");
    assert!(error["hint"].as_str().unwrap().contains("sessionctl undelete"), "{error}");
    world.json(&["undelete", &id]).done();
    assert_ne!(world.show(&id)["state"], "deleted");
}

#[test]
fn a_viewer_is_started_on_the_display() {
    let world = World::with_session();
    let seen = world.dir.path().join("seen");
    let viewer = world.dir.path().join("viewer");
    fs::write(&viewer, format!("#!/bin/sh\necho \"$1\" > {0}.new && mv {0}.new {0}\n", seen.display())).unwrap();
    fs::set_permissions(&viewer, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = world.command(&["view", "--client", "desktop", "--json"]);
    let output = command.env("FREEZEFRAME_VNC_CLIENT", &viewer).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    until("the viewer ran", || seen.exists());
    let display = world.runtime().join("freezeframe/desktop/display");
    assert_eq!(fs::read_to_string(&seen).unwrap().trim(), display.to_str().unwrap());
    let mut command = world.command(&["view", "--client", "desktop", "--json"]);
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("apt install tigervnc-viewer"), "{output:?}");
}
