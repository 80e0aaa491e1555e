//! Killing things: no session is lost by the agent's end, no snapshot by a wrapper's.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::world::{World, kill, pid_of, until};

#[test]
fn a_session_whose_wrapper_was_killed_is_listed_as_crashed_until_it_is_stopped() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    world.kill_wrapper("desktop");
    until("it is seen", || world.state("desktop").as_deref() == Some("crashed"));
    assert!(world.data().join("sessions/desktop/session.json").exists());
    let error = world.json(&["save", "desktop"]).refused(1, "Failed");
    assert!(error["hint"].as_str().unwrap().contains("sessionctl stop desktop"), "{error}");
    world.json(&["save"]).refused(3, "NotFound");
    // Its name counts as taken, and its lineage does not stand in the way.
    assert_eq!(world.json(&["start"]).done()["session"], "desktop-2");
    assert_eq!(world.json(&["resume", &id]).done()["session"], "desktop-3");
    assert_eq!(world.json(&["stop", "desktop"]).done()["session"], "desktop");
    assert_eq!(world.state("desktop"), None);
    assert!(!world.data().join("sessions/desktop").exists());
}

/// Issue 9, number 15: each question had every client told of a change, which made it ask again.
#[test]
fn a_crashed_session_is_logged_once_and_told_once() {
    let world = World::without_agent();
    world.json(&["base", "build", "xfce"]).done();
    world.json(&["start"]).done();
    world.kill_wrapper("desktop");
    until("it is seen", || world.state("desktop").as_deref() == Some("crashed"));
    let log = world.runtime().join("freezeframe/agent.log");
    let lines = || fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("desktop")).count();
    assert!(world.runtime().join("freezeframe/desktop/control").exists(), "its socket is what is tried");
    world.state("desktop");
    let before = lines();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        let address = world.address();
        let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
        let manager = freezeframe_api::Manager1Proxy::new(&connection).await.unwrap();
        let properties = zbus::fdo::PropertiesProxy::builder(&connection)
            .destination(freezeframe_api::names::BUS_NAME)
            .unwrap()
            .path(freezeframe_api::names::session_path("desktop"))
            .unwrap()
            .build()
            .await
            .unwrap();
        let mut changes = properties.receive_properties_changed().await.unwrap();
        for _ in 0..20 {
            let sessions = manager.list_sessions(&freezeframe_api::Dict::new()).await.unwrap();
            assert_eq!(sessions.len(), 1);
        }
        // The signals of an answered call come before its answer.
        let told = futures_util::FutureExt::now_or_never(futures_util::StreamExt::next(&mut changes));
        told.flatten().is_some()
    });
    assert!(!told, "a change was told where there was none");
    assert_eq!(lines(), before, "{}", fs::read_to_string(&log).unwrap());
}

#[test]
fn a_wrapper_that_dies_while_saving_fails_the_save() {
    let world = World::with_session();
    world.json(&["save", "--label", "die"]).refused(1, "Failed");
    assert_eq!(world.state("desktop").as_deref(), Some("crashed"));
    assert_eq!(world.json(&["timeline"]).done(), json!([]));
}

#[test]
fn a_session_that_ends_by_itself_leaves_the_list() {
    let world = World::with_session();
    let session = world.data().join("sessions/desktop");
    let pid: i32 = fs::read_to_string(session.join("pid")).unwrap().parse().unwrap();
    fs::remove_dir_all(&session).unwrap();
    kill(pid);
    until("it is gone", || world.state("desktop").is_none());
}

#[test]
fn the_next_agent_finds_what_the_last_one_left() {
    let mut world = World::with_session();
    world.json(&["start", "--name", "other"]).done();
    let id = world.run(&["save", "desktop"]).stdout.trim().to_owned();
    world.end_agent();
    world.kill_wrapper("other");
    world.start_agent(true);
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
    assert_eq!(world.state("other").as_deref(), Some("crashed"));
    assert_eq!(world.json(&["show", "latest"]).done()["snapshot"], id);
    let second = world.json(&["save", "desktop"]).done()["snapshot"].clone();
    let timeline = world.json(&["timeline"]).done();
    assert_eq!((&timeline[1]["snapshot"], &timeline[1]["parent"]), (&second, &json!(id)));
}

#[test]
fn a_client_is_told_when_the_agent_ends_and_the_next_agent_knows_of_the_save() {
    let mut world = World::with_session();
    let holding = world.command(&["save", "--label", "hold", "--json"]).spawn().unwrap();
    until("it is saving", || world.state("desktop").as_deref() == Some("saving"));
    world.end_agent();
    world.start_agent(true);
    let output = holding.wait_with_output().unwrap();
    // It was told that the agent ended, or came too late to watch and found the job gone.
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(world.state("desktop").as_deref(), Some("saving"));
    world.json(&["save"]).refused(1, "Busy");
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_by_whoever_starts_the_agent() {
    let world = World::without_agent();
    let config = world.dir.path().join("config/freezeframe");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "defualt_base = \"xfce\"\n").unwrap();
    let error = world.json(&["list"]).refused(5, "Unreachable");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("config.toml") && message.contains("defualt_base"), "{error}");
    fs::write(config.join("config.toml"), "default_size = \"800x600\"\n").unwrap();
    world.json(&["base", "build", "minimal"]).done();
    world.json(&["start"]).done();
    assert_eq!(world.json(&["list"]).done()[0]["size"], "800x600");
}

#[test]
fn a_snapshot_that_appears_and_one_that_is_damaged_are_seen() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    let snapshots = world.data().join("snapshots");
    fs::create_dir(snapshots.join("deadbeefdead")).unwrap();
    until("it is listed", || world.json(&["timeline"]).done().as_array().unwrap().len() == 2);
    let show = world.json(&["show", "dead"]).done();
    assert_eq!(show["state"], "damaged");
    assert!(show["damage"].as_str().unwrap().contains("manifest.json"), "{show}");
    world.json(&["resume", "dead"]).refused(1, "Damaged");
    assert_eq!(world.json(&["show", "latest"]).done()["snapshot"], id);
    fs::remove_dir(snapshots.join("deadbeefdead")).unwrap();
    until("it is gone", || world.json(&["timeline"]).done().as_array().unwrap().len() == 1);
}

/// Issue 9, number 7: the manifest of a window that called itself so killed the agent at every start.
#[test]
fn a_hostile_manifest_is_a_row_and_the_agent_lives() {
    use freezeframe_store::manifest::{Closed, Window};
    let mut world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    until("it is packed", || world.show(&id)["state"] == "whole");
    world.end_agent();
    let store = freezeframe_store::Store::open(world.data()).unwrap();
    let snapshot = freezeframe_store::SnapshotId::new(id.clone()).unwrap();
    let mut manifest = store.manifest(&snapshot).unwrap();
    let hostile = "a\0b\u{202e}\u{feff}\u{1b}[2J\n";
    manifest.label = hostile.into();
    manifest.engine = hostile.into();
    manifest.windows = vec![
        Window { title: hostile.into(), application: hostile.into(), pid: 1 },
        Window { title: "ß".repeat(1 << 19), application: "x".repeat(1 << 20), pid: 2 },
    ];
    manifest.closed = vec![Closed { object: hostile.into(), application: hostile.into(), pid: 3 }];
    let path = world.data().join("snapshots").join(&id).join("manifest.json");
    freezeframe_store::record::write(&path, &manifest).unwrap();
    // Others, of which nothing can be read; what is wrong with them quotes them.
    let other = |id: &str, text: &str| {
        let directory = world.data().join("snapshots").join(id);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("manifest.json"), text).unwrap();
    };
    other("deadbeefdead", "{\"format\": \"\\u0000\\u202e\"}");
    other("deadbeefdea2", "\0\0\0");
    other("deadbeefdea3", "{\"format\": 1, \"label\": \"\\ud800\"}");
    fs::create_dir(world.data().join("sessions/endless")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", world.data().join("sessions/endless/session.json")).unwrap();
    world.start_agent(true);
    let timeline = world.json(&["timeline"]).done();
    let row = |id: &str| timeline.as_array().unwrap().iter().find(|row| row["snapshot"] == id).unwrap().clone();
    let shown = row(&id);
    let clean = "a\u{fffd}b\u{fffd}[2J";
    assert_eq!((&shown["label"], &shown["windows"][0]["title"]), (&json!(clean), &json!(clean)));
    assert_eq!(shown["windows"][1]["title"].as_str().unwrap().chars().count(), freezeframe_text::TITLE);
    let details = world.show(&id);
    assert_eq!((&details["closed"][0]["object"], &details["engine"]), (&json!(clean), &json!(clean)));
    for damaged in ["deadbeefdead", "deadbeefdea2", "deadbeefdea3"] {
        assert_eq!(row(damaged)["state"], "damaged");
        assert!(world.show(damaged)["damage"].as_str().unwrap().contains("manifest.json"));
    }
    // Every property of every object can be asked for at once, as the app does.
    assert_eq!(world.run(&["timeline"]).code, 0);
    world.json(&["verify", &id]);
    assert_eq!(world.state("endless").as_deref(), Some("crashed"));
}

#[test]
fn a_base_made_anew_is_told_before_anything_is_stopped() {
    let world = World::with_session();
    let id = world.run(&["save"]).stdout.trim().to_owned();
    let record = world.data().join("bases/xfce/base.json");
    let mut base: serde_json::Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    base["identity"] = json!("another");
    fs::write(&record, base.to_string()).unwrap();
    let error = world.json(&["resume", &id]).refused(3, "NotFound");
    assert!(error["message"].as_str().unwrap().contains("recreated"), "{error}");
    fs::remove_dir_all(world.data().join("bases/xfce")).unwrap();
    world.json(&["resume", &id]).refused(3, "NotFound");
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
    assert_eq!(world.json(&["timeline"]).done().as_array().unwrap().len(), 1);
}

#[test]
fn clients_start_the_agent_and_two_at_once_start_one() {
    let world = World::without_agent();
    let spawn = || world.command(&["base", "list", "--json"]).spawn().unwrap();
    let clients = [spawn(), spawn(), spawn()];
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let first = world.agent_pid().unwrap();
    world.json(&["base", "build", "minimal"]).done();
    world.json(&["start"]).done();
    kill(first);
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
    assert_ne!(world.agent_pid(), Some(first));
    assert_eq!(world.json(&["stop", "desktop"]).done()["session"], "desktop");
}

#[test]
fn without_a_bus_clients_start_one_private_bus() {
    let world = World::without_agent();
    let private = format!("unix:path={}", world.runtime().join("freezeframe/bus").display());
    let spawn = || {
        let mut command = world.command(&["base", "list", "--json"]);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.spawn().unwrap()
    };
    let clients = [spawn(), spawn()];
    let outputs = clients.map(|c| c.wait_with_output().unwrap());
    let mode = fs::metadata(world.runtime().join("freezeframe/bus")).map(|m| m.permissions().mode() & 0o777);
    let agent = pid_of(&private, freezeframe_api::names::BUS_NAME);
    let bus = pid_of(&private, "org.freedesktop.DBus");
    // Clean up before looking at anything.
    for pid in [agent, bus].into_iter().flatten() {
        kill(pid);
    }
    for output in outputs {
        assert!(output.status.success(), "{output:?}");
    }
    assert!(agent.is_some() && bus.is_some());
    assert_eq!(mode.unwrap(), 0o600);
}
