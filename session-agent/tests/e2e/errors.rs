//! Errors: names, exit codes, and that nothing is left of what failed.

use std::fs;

use serde_json::json;

use crate::world::{World, until};

#[test]
fn exit_codes_tell_what_kind_of_error() {
    let world = World::new();
    let error = world.json(&["start"]).refused(3, "NotFound");
    assert!(error["hint"].as_str().unwrap().contains("sessionctl base build xfce"));
    world.json(&["base", "build", "xfce"]).done();
    world.json(&["start", "--size", "10x10"]).refused(2, "InvalidArgument");
    world.json(&["start", "--network", "all"]).refused(2, "InvalidArgument");
    world.json(&["start", "--name", "../x"]).refused(2, "InvalidArgument");
    world.json(&["start", "--base", "kde"]).refused(3, "NotFound");
    for words in [vec!["save"], vec!["save", "x"], vec!["stop", "x"], vec!["exec", "x", "--", "y"], vec!["check", "x"]]
    {
        world.json(&words).refused(3, "NotFound");
    }
    for words in [vec!["show", "x"], vec!["resume", "latest"], vec!["pin", "x"]] {
        world.json(&words).refused(3, "NotFound");
    }
    for words in [vec!["verify", "x"], vec!["export", "x", "/dev/null"], vec!["import", "/nonexistent"]] {
        world.json(&words).refused(3, "NotFound");
    }
    world.json(&["import", "/dev/null"]).refused(1, "Damaged");
    world.json(&["gc", "--keep-deleted", "soon"]).refused(2, "InvalidArgument");
    world.json(&["no-such-verb"]).refused(2, "InvalidArgument");
    let run = world.run(&["no-such-verb"]);
    assert!(run.code == 2 && run.stdout.is_empty() && run.stderr.contains("no-such-verb"), "{run:?}");
    let run = world.run(&["show", "x"]);
    assert!(run.code == 3 && run.stdout.is_empty(), "{run:?}");
    assert!(run.stderr.contains("there is no snapshot") && run.stderr.contains("sessionctl timeline"), "{run:?}");
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let world = World::with_base();
    let error = world.json(&["start", "--name", "fails"]).refused(1, "Failed");
    assert_eq!(error["message"], "the desktop did not come up");
    assert_eq!(world.json(&["list"]).done(), json!([]));
    assert!(!world.data().join("sessions/fails").exists());
}

#[test]
fn a_refused_save_names_the_finding_and_leaves_the_session() {
    let world = World::with_session();
    let error = world.json(&["save", "--label", "refuse"]).refused(4, "Refused");
    assert_eq!((&error["message"], &error["hint"]), (&json!("gdb traces process 12"), &json!("End gdb.")));
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
    assert_eq!(world.json(&["timeline"]).done(), json!([]));
    assert_eq!(world.json(&["check", "desktop"]).done(), json!({"savable": true, "findings": []}));
}

#[test]
fn without_root_a_save_by_criu_is_refused_at_once() {
    let mut world = World::without_agent();
    world.start_agent(false);
    world.json(&["base", "build", "minimal"]).done();
    world.json(&["start"]).done();
    for words in [vec!["save"], vec!["stop", "desktop", "--save"]] {
        let error = world.json(&words).refused(1, "NeedsRoot");
        assert!(error["message"].as_str().unwrap().contains("CRIU"), "{error}");
    }
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
}

#[test]
fn one_operation_at_a_time_and_a_save_can_be_cancelled() {
    let world = World::with_session();
    let holding = world.command(&["save", "--label", "hold", "--json"]).spawn().unwrap();
    until("it is saving", || world.state("desktop").as_deref() == Some("saving"));
    for words in [vec!["save"], vec!["stop", "desktop"], vec!["stop", "desktop", "--save"]] {
        world.json(&words).refused(1, "Busy");
    }
    // Looking is not an operation.
    assert_eq!(world.run(&["screenshot", "desktop", "-"]).stdout, "a screenshot");
    let pid = rustix::process::Pid::from_child(&holding);
    // The signal may come before the client listens to it, which ends the client and not the save.
    until("the save is cancelled", || {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        world.state("desktop").as_deref() == Some("running")
    });
    let output = holding.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"Cancelled\""), "{output:?}");
    assert_eq!(world.json(&["timeline"]).done(), json!([]));
    world.json(&["save"]).done();
}

#[test]
fn the_doctor_tells_what_is_lacking_and_what_mends_it() {
    let world = World::new();
    let run = world.json(&["doctor"]);
    assert_eq!(run.code, 1);
    let report = run.json();
    assert_eq!(report["ok"], false);
    assert_eq!(report["checks"][0]["name"], "agent");
    assert_eq!(report["checks"][2]["remedy"], "apt install criu");
    assert!(world.run(&["doctor"]).stdout.contains("apt install criu"));
    // Issue 9, number 17: what sessions can be without is told, and is no failure.
    fs::write(world.runtime().join("lacks-the-network-only"), "").unwrap();
    let report = world.json(&["doctor"]).done();
    assert_eq!((&report["ok"], &report["checks"][2]["ok"]), (&json!(true), &json!(false)));
    let run = world.run(&["doctor"]);
    assert!(run.code == 0 && run.stdout.contains("optional") && run.stdout.contains("apt install passt"), "{run:?}");
}

#[test]
fn an_unreachable_bus_is_told_with_exit_code_5() {
    let world = World::without_agent();
    let mut command = world.command(&["list", "--json"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}/nothing", world.dir.path().display()));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"Unreachable\""));
}

#[test]
fn completions_need_no_agent() {
    let world = World::without_agent();
    for shell in ["bash", "zsh", "fish"] {
        let run = world.run(&["completions", shell]);
        assert!(run.code == 0 && run.stdout.contains("timeline"), "{shell}");
    }
}
