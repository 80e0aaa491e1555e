//! What becomes of snapshots in the store: packed, read back, collected, thinned out, exported.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicBool;

use freezeframe_store::manifest::Watched;
use freezeframe_store::record::Record;
use freezeframe_store::session::Network;
use freezeframe_store::{Manifest, SessionId, SnapshotId, Store};
use serde_json::{Value, json};

use crate::world::{World, kill, until};

fn save(world: &World, options: &[&str]) -> String {
    world.json(&[&["save"], options].concat()).done()["snapshot"].as_str().unwrap().to_owned()
}

fn ids(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|r| r["snapshot"].as_str().unwrap()).collect()
}

#[test]
fn a_snapshot_is_listed_at_once_and_packed_behind_the_scenes() {
    let world = World::with_session();
    world.hold_packing(true);
    let id = save(&world, &[]);
    let show = world.show(&id);
    assert_eq!((&show["state"], &show["own_bytes"]), (&json!("committing"), &json!(1234)));
    // It can be resumed from its raw files.
    assert_eq!(world.json(&["resume", &id, "--alongside"]).done()["session"], "desktop-2");
    world.hold_packing(false);
    until("it is packed", || world.show(&id)["state"] == "whole");
    let own = world.show(&id)["own_bytes"].as_u64().unwrap();
    assert!(own > 0 && own != 1234, "{own}");
    assert!(!world.data().join("store/raw").join(&id).exists());
    let next = save(&world, &["desktop", "--wait"]);
    assert_eq!(world.show(&next)["state"], "whole");
    // And from the packs, in the place of the session that runs.
    world.json(&["stop", "desktop-2"]).done();
    assert_eq!(world.json(&["resume", &id]).done()["session"], "desktop");
}

#[test]
fn what_a_killed_agent_left_is_packed_by_the_next() {
    for all_of_ours in [true, false] {
        let mut world = World::with_session();
        world.hold_packing(true);
        let id = save(&world, &[]);
        world.end_agent();
        // A real one, which is then killed, with or without all that it started.
        assert_eq!(world.show(&id)["state"], "committing");
        kill(world.agent_pid().unwrap());
        until("it is gone", || world.agent_pid().is_none());
        if all_of_ours {
            world.kill_all_wrappers();
        }
        assert_eq!(world.show(&id)["state"], "committing");
        world.hold_packing(false);
        until("the next one packs it", || world.show(&id)["state"] == "whole");
        assert_eq!(world.json(&["verify"]).done()["committing"], json!([]));
    }
}

#[test]
fn a_flipped_byte_is_found_and_the_snapshot_is_not_resumed() {
    let world = World::with_session();
    let id = save(&world, &["--wait"]);
    let verified = world.json(&["verify"]).done();
    assert_eq!((&verified["snapshots"], &verified["damages"]), (&json!([id]), &json!([])));
    assert!(verified["bytes"].as_u64().unwrap() > 0);
    assert!(world.run(&["verify", &id]).stdout.contains("as it was written"));
    let packs = world.data().join("store/packs");
    let pack = fs::read_dir(&packs).unwrap().map(|e| e.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    for words in [vec!["verify"], vec!["verify", &id]] {
        let run = world.json(&words);
        assert_eq!(run.code, 1, "{run:?}");
        let damages = run.json()["damages"].clone();
        assert_eq!(damages[0]["path"], pack.to_str().unwrap(), "{damages}");
        assert_eq!(damages[0]["snapshots"], json!([id]));
    }
    let text = world.run(&["verify"]).stdout;
    assert!(text.contains(&format!("sessionctl delete {id}")) && text.contains("1 snapshot cannot"), "{text}");
    // Refused before the session that runs is touched.
    let error = world.json(&["resume", &id]).refused(1, "Damaged");
    assert!(error["message"].as_str().unwrap().contains(pack.to_str().unwrap()), "{error}");
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
    assert_eq!(world.json(&["timeline"]).done().as_array().unwrap().len(), 1);
}

/// Turns a bit over in the middle of the only pack; answers its path and its good bytes.
fn damage_pack(world: &World) -> (std::path::PathBuf, Vec<u8>) {
    let packs = world.data().join("store/packs");
    let pack = fs::read_dir(&packs).unwrap().map(|e| e.unwrap().path()).next().unwrap();
    let good = fs::read(&pack).unwrap();
    let mut bytes = good.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    (pack, good)
}

#[test]
fn what_verify_finds_is_remembered_until_it_finds_it_mended() {
    let mut world = World::with_session();
    let id = save(&world, &["--wait"]);
    let known = |world: &World| {
        let show = world.show(&id);
        let row = world.json(&["timeline"]).done()[0].clone();
        assert_eq!((&row["state"], &row["intact"]), (&show["state"], &show["intact"]));
        // Nobody has restored it.
        assert_eq!((&show["verified"], &show["verified_at"]), (&json!(false), &json!("")));
        (show["state"].as_str().unwrap().to_owned(), show["intact"] == true)
    };
    assert_eq!(known(&world), ("whole".into(), false));
    world.json(&["verify"]).done();
    assert_eq!(known(&world), ("whole".into(), true));
    let at = world.show(&id)["intact_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(world.run(&["show", &id]).stdout.contains("Intact"));

    let (pack, good) = damage_pack(&world);
    // Nobody has looked yet.
    assert_eq!(known(&world), ("whole".into(), true));
    assert_eq!(world.json(&["verify"]).code, 1);
    for restarted in [false, true] {
        if restarted {
            world.end_agent();
            world.start_agent(true);
        }
        assert_eq!(known(&world), ("damaged".into(), false), "after a restart: {restarted}");
        let show = world.show(&id);
        assert!(show["damage"].as_str().unwrap().contains(pack.to_str().unwrap()), "{show}");
        assert_eq!((&show["intact_at"], &show["base"]), (&json!(""), &json!("xfce")));
        assert!(world.run(&["timeline"]).stdout.contains("damaged"));
        world.json(&["resume", &id]).refused(1, "Damaged");
        world.json(&["resume", &id, "--alongside"]).refused(1, "Damaged");
        world.json(&["export", &id, world.dir.path().join("x").to_str().unwrap()]).refused(1, "Damaged");
    }
    // What the user says of it stays, and what was found stays beside it.
    world.json(&["pin", &id]).done();
    assert_eq!(known(&world), ("damaged".into(), false));

    fs::write(&pack, good).unwrap();
    assert_eq!(known(&world), ("damaged".into(), false), "nobody has looked again");
    world.json(&["verify", &id]).done();
    assert_eq!(known(&world), ("whole".into(), true));
    let show = world.show(&id);
    assert_eq!((&show["damage"], &show["pinned"]), (&json!(""), &json!(true)));
    assert!(show["intact_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() >= at);
    assert_eq!(world.json(&["resume", &id, "--alongside"]).done()["session"], "desktop-2");
}

#[test]
fn a_resume_that_meets_damage_remembers_it_and_stops_nothing() {
    let world = World::with_session();
    let id = save(&world, &["--wait"]);
    damage_pack(&world);
    let error = world.json(&["resume", &id]).refused(1, "Damaged");
    assert!(error["message"].as_str().unwrap().contains("nothing was stopped"), "{error}");
    assert_eq!(world.state("desktop").as_deref(), Some("running"));
    assert_eq!(world.show(&id)["state"], "damaged");
}

#[test]
fn what_is_imported_and_what_is_shared_is_told() {
    let (ann, bob) = (World::with_session(), World::new());
    let first = save(&ann, &["--wait"]);
    let path = ann.dir.path().join("x.freezeframe");
    let path = path.to_str().unwrap();
    ann.json(&["export", &first, path, "--with-base"]).done();
    let key = ann.run(&["key"]).stdout.trim().to_owned();
    bob.json(&["import", path, "--trust", &key]).done();
    assert_eq!((&ann.show(&first)["imported"], &bob.show(&first)["imported"]), (&json!(false), &json!(true)));
    assert!(bob.run(&["timeline"]).stdout.contains("imported"));
    // The very same content twice: all of it is shared, until one of the two is deleted.
    let copy = ann.twin(&first);
    let shared = |id: &str| ann.show(id)["shared_bytes"].as_u64().unwrap();
    until("it is counted", || shared(&first) > 0 && shared(&first) == shared(&copy));
    ann.json(&["delete", &copy]).done();
    until("it is counted again", || shared(&first) == 0);
}

#[test]
fn packing_can_be_put_off() {
    let mut world = World::with_session();
    let put_off = |world: &World| {
        world.hold_packing(true);
        let id = save(world, &["desktop"]);
        let error = world.cancel_packing(&id);
        assert!(error.contains(&id) && error.contains("resumed"), "{error}");
        world.hold_packing(false);
        id
    };
    let first = put_off(&world);
    // It stays as it is and can be resumed; nobody packs it behind the user's back.
    assert_eq!(world.json(&["resume", &first, "--alongside"]).done()["session"], "desktop-2");
    let other = save(&world, &["desktop", "--wait"]);
    assert_eq!((&world.show(&other)["state"], &world.show(&first)["state"]), (&json!("whole"), &json!("committing")));
    // It is packed after a collection, …
    world.json(&["gc"]).done();
    until("it is packed after gc", || world.show(&first)["state"] == "whole");
    // … by what needs it packed, …
    let second = put_off(&world);
    let file = world.dir.path().join("x.freezeframe");
    world.json(&["export", &second, file.to_str().unwrap()]).done();
    assert_eq!(world.show(&second)["state"], "whole");
    // … and by the next agent.
    let third = put_off(&world);
    world.end_agent();
    world.start_agent(true);
    until("the next agent packs it", || world.show(&third)["state"] == "whole");
    assert_eq!(world.json(&["verify"]).done()["damages"], json!([]));
}

#[test]
fn gc_takes_away_what_was_deleted_long_enough_ago() {
    let world = World::with_session();
    let (gone, kept) = (save(&world, &["--wait"]), save(&world, &["--wait"]));
    world.json(&["delete", &gone]).done();
    let collected = world.json(&["gc"]).done();
    assert_eq!((&collected["snapshots_removed"], &collected["deleted_kept"]), (&json!([]), &json!([gone])));
    world.json(&["undelete", &gone]).done();
    world.json(&["delete", &gone]).done();
    let collected = world.json(&["gc", "--keep-deleted", "0s"]).done();
    assert_eq!((&collected["snapshots_removed"], &collected["deleted_kept"]), (&json!([gone]), &json!([])));
    assert!(collected["freed_bytes"].as_u64().unwrap() > 0, "{collected}");
    world.json(&["undelete", &gone]).refused(3, "NotFound");
    assert_eq!(ids(&world.json(&["timeline", "--deleted"]).done()), [&kept]);
    assert_eq!(world.json(&["verify"]).done()["damages"], json!([]));
    assert!(world.run(&["gc"]).stdout.contains("0 snapshots removed"));
}

#[test]
fn a_snapshot_that_is_deleted_is_packed_when_it_is_brought_back() {
    let world = World::with_session();
    world.hold_packing(true);
    let (_first, second) = (save(&world, &[]), save(&world, &[]));
    world.json(&["delete", &second]).done();
    world.hold_packing(false);
    world.json(&["undelete", &second]).done();
    until("it is packed", || world.show(&second)["state"] == "whole");
}

#[test]
fn retention_says_what_would_go_and_deletes_it_when_told_to() {
    let mut world = World::with_session();
    assert!(world.run(&["retention"]).stdout.contains("No rule is set"));
    let all: Vec<String> = (0..4).map(|_| save(&world, &["--wait"])).collect();
    assert_eq!(world.json(&["retention"]).done()["rules"], false);
    world.json(&["pin", &all[0]]).done();
    world.end_agent();
    fs::write(world.dir.path().join("config.toml"), "keep_deleted = \"0s\"\n[retention]\nkeep_last = 2\n").unwrap();
    world.start_agent(true);
    let report = world.json(&["retention"]).done();
    assert_eq!((&report["rules"], &report["applied"]), (&json!(true), &json!(false)));
    assert_eq!(ids(&report["remove"]), [&all[1]]);
    assert_eq!(report["remove"][0]["reasons"], json!(["no rule keeps it"]));
    assert_eq!(ids(&report["keep"]), [&all[0], &all[2], &all[3]]);
    assert_eq!(report["keep"][0]["reasons"], json!(["pinned"]));
    assert!(world.run(&["retention"]).stdout.contains("sessionctl retention --apply"));
    assert_eq!(world.json(&["timeline"]).done().as_array().unwrap().len(), 4);
    assert_eq!(world.json(&["retention", "--apply"]).done()["applied"], true);
    assert_eq!(world.show(&all[1])["state"], "deleted");
    assert_eq!(world.json(&["retention"]).done()["remove"], json!([]));
    assert_eq!(world.json(&["gc"]).done()["snapshots_removed"], json!([all[1]]));
}

#[test]
fn a_key_is_trusted_from_an_import_on_until_that_is_taken_back() {
    let (ann, bob) = (World::with_session(), World::new());
    let id = save(&ann, &[]);
    let file = ann.dir.path().join("x.freezeframe");
    let path = file.to_str().unwrap();
    let key = ann.run(&["key"]).stdout.trim().to_owned();
    ann.json(&["export", &id, path, "--with-base"]).done();
    let remember = ["import", path, "--trust", &key, "--remember"];
    bob.json(&[&remember[..], &["two\nlines"]].concat()).refused(2, "InvalidArgument");
    bob.json(&["import", path]).refused(1, "Untrusted");
    bob.json(&[&remember[..], &["Ann’s machine"]].concat()).done();
    assert_eq!(bob.json(&["trusted"]).done(), json!([{"key": key, "name": "Ann’s machine"}]));
    assert_eq!(bob.json(&["import", path]).done()["was_there"], true);
    // Another name for the same key.
    bob.json(&[&remember[..], &["Ann"]].concat()).done();
    assert!(bob.run(&["trusted"]).stdout.contains(&format!("{key}  Ann")));
    bob.json(&["distrust", "me"]).refused(2, "InvalidArgument");
    assert_eq!(bob.run(&["distrust", &key]).code, 0);
    bob.json(&["distrust", &key]).refused(3, "NotFound");
    assert_eq!(bob.json(&["trusted"]).done(), json!([]));
    bob.json(&["import", path]).refused(1, "Untrusted");
    // What came with it stays.
    assert_eq!(bob.show(&id)["imported"], true);
}

#[test]
fn a_snapshot_travels_as_a_file_to_whoever_trusts_its_maker() {
    let (ann, bob) = (World::with_session(), World::new());
    let id = save(&ann, &["--label", "for Bob"]);
    let file = ann.dir.path().join("x.freezeframe");
    let path = file.to_str().unwrap();
    let key = ann.run(&["key"]).stdout.trim().to_owned();
    let exported = ann.json(&["export", &id, path]).done();
    assert_eq!((&exported["snapshot"], &exported["key"]), (&json!(id), &json!(key)));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let error = bob.json(&["import", path]).refused(1, "Untrusted");
    assert_eq!(error["key"], json!(key), "{error}");
    assert!(error["message"].as_str().unwrap().contains(&key), "{error}");
    assert!(error["hint"].as_str().unwrap().contains(&format!("--trust {key}")), "{error}");
    bob.json(&["import", path, "--trust", "me"]).refused(2, "InvalidArgument");
    bob.json(&["import", path, "--trust", &key]).refused(3, "NotFound");
    ann.json(&["export", &id, path, "--with-base"]).done();
    let imported = bob.json(&["import", path, "--trust", &key]).done();
    for (name, value) in [("snapshot", json!(id)), ("base", json!("xfce")), ("was_there", json!(false))] {
        assert_eq!(imported[name], value, "{imported}");
    }
    let show = bob.show(&id);
    assert_eq!((&show["label"], &show["state"]), (&json!("for Bob"), &json!("whole")));
    assert_eq!(bob.json(&["resume", &id]).done()["session"], "desktop");
    // Through pipes, to somebody who has it already.
    let mut command = ann.command(&["export", &id, "-"]);
    let piped = command.output().unwrap();
    assert!(piped.status.success() && !piped.stdout.is_empty(), "{piped:?}");
    let other = ann.dir.path().join("y.freezeframe");
    fs::write(&other, &piped.stdout).unwrap();
    let mut command = bob.command(&["import", "-", "--trust", &key, "--json"]);
    let again = command.stdin(fs::File::open(&other).unwrap()).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stdout).contains("\"was_there\":true"), "{again:?}");
    let mut bytes = piped.stdout;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&other, bytes).unwrap();
    bob.json(&["import", other.to_str().unwrap(), "--trust", &key, "--remember", "Ann"]).refused(1, "Damaged");
    // Nothing was remembered that was not asked for, and nothing of an import that failed.
    assert_eq!(bob.json(&["trusted"]).done(), json!([]));
    // A failed export leaves nothing.
    let nowhere = ann.dir.path().join("no/where");
    ann.json(&["export", &id, nowhere.to_str().unwrap()]).refused(1, "Failed");
    let left = fs::read_dir(ann.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.ends_with(".partial")));
}

/// Issue 9, number 15: an agent held 400 MB after it had verified 3,000 snapshots.
#[test]
fn an_agent_that_has_verified_many_snapshots_is_small() {
    const SNAPSHOTS: usize = 200;
    const PAGES: u64 = 5_000;
    let world = World::without_agent();
    let store = Store::open(world.data()).unwrap();
    // One of the stand-in's has no bytes to speak of; this one has its own list for each.
    let first = SnapshotId::random();
    let manifest = |id: &SnapshotId| Manifest {
        format: Manifest::FORMAT,
        id: id.clone(),
        session: SessionId::new("desktop").unwrap(),
        lineage: "lineage".into(),
        parent: None,
        created: "2026-11-22T12:00:00Z".parse().unwrap(),
        label: String::new(),
        automatic: false,
        base: "xfce".into(),
        base_identity: "identity".into(),
        first_id: None,
        attributes: None,
        width: 1280,
        height: 800,
        network: Network::None,
        engine: "fake 1".into(),
        kernel: "6.0".into(),
        pause_ms: 1.0,
        freeze_ms: 1.0,
        memory_bytes: PAGES * 4096,
        layer_bytes: 0,
        processes: 1,
        threads: 1,
        windows: vec![],
        closed: vec![],
        watched: Watched::default(),
    };
    let writer = store.begin_snapshot(first.clone()).unwrap();
    fs::create_dir(writer.layer_dir()).unwrap();
    let pages = (1..=PAGES).flat_map(|number| [&number.to_le_bytes()[..], &[1; 4088]].concat()).collect::<Vec<u8>>();
    fs::write(writer.images_dir().join("pages-1.img"), pages).unwrap();
    writer.commit(&manifest(&first), None).unwrap();
    store.pack(&first, &AtomicBool::new(false), &|_| {}).unwrap();
    let content = store.content(&first).unwrap();
    for _ in 1..SNAPSHOTS {
        let written = store.chunk_writer().unwrap().finish().unwrap();
        store.commit_packed(&manifest(&SnapshotId::random()), None, &content, &written).unwrap();
    }
    let verified = world.json(&["verify"]).done();
    assert_eq!(verified["snapshots"].as_array().unwrap().len(), SNAPSHOTS);
    // proc_pid_status(5), in kibibytes.
    let status = fs::read_to_string(format!("/proc/{}/status", world.agent_pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 60 << 10, "{resident} KiB");
}

#[test]
fn issue_9_10_a_killed_attempt_marks_nothing_and_a_failed_resume_is_remembered() {
    let world = World::with_session();
    let file = |name: &str| world.runtime().join(name);
    fs::write(file("kill-rehearsal"), "").unwrap();
    world.json(&["save", "--verify", "--label", "good"]).refused(1, "Interrupted");
    fs::remove_file(file("kill-rehearsal")).unwrap();
    let timeline = world.json(&["timeline"]).done();
    let id = timeline[0]["snapshot"].as_str().unwrap().to_owned();
    let state = timeline[0]["state"].as_str().unwrap();
    assert!(["committing", "whole"].contains(&state), "{timeline}");
    assert_eq!((&timeline[0]["verified"], &world.show(&id)["damage"]), (&json!(false), &json!("")));

    fs::write(file("refuse-resume"), "").unwrap();
    world.json(&["resume", &id, "--alongside"]).refused(1, "Failed");
    fs::remove_file(file("refuse-resume")).unwrap();
    let show = world.show(&id);
    assert!(show["resume_failure"].as_str().unwrap().contains("lacks a feature"), "{show}");
    assert!(!show["resume_failure_at"].as_str().unwrap().is_empty() && show["state"] != "damaged", "{show}");
    assert!(world.run(&["show", &id]).stdout.contains("could not be resumed"));
    assert!(world.run(&["timeline"]).stdout.contains("could not be resumed"));

    world.json(&["resume", &id, "--alongside"]).done();
    let show = world.show(&id);
    assert_eq!((&show["resume_failure"], &show["verified"]), (&json!(""), &json!(true)));
}

#[test]
fn issue_9_10_a_save_that_ends_the_session_is_a_verified_one() {
    let world = World::with_session();
    let id = save(&world, &["--stop", "--verify"]);
    assert_eq!((world.state("desktop"), &world.show(&id)["verified"]), (None, &json!(true)));
}
