//! What a user sets, and what the snapshots say together: differences and sizes.

use std::fs;
use std::os::unix::fs::symlink;

use freezeframe_api::records::{RetentionOptions, RetentionReport};
use freezeframe_api::{Dictionary, Error, ErrorKind};
use serde_json::{Value, json};

use crate::automatic::manager;
use crate::world::World;

fn save(world: &World, options: &[&str]) -> String {
    world.json(&[&["save"], options].concat()).done()["snapshot"].as_str().unwrap().to_owned()
}

#[test]
fn settings_are_kept_in_the_users_own_file() {
    let mut world = World::new();
    let file = world.dir.path().join("config.toml");
    let before = world.json(&["settings"]).done();
    assert_eq!((&before["automatic"], &before["automatic_minutes"]), (&json!(false), &json!(15)));
    assert_eq!((&before["default_width"], &before["budget_bytes"]), (&json!(1280), &json!(0)));
    assert!(!file.exists());
    // The file is a link, as people keep such files elsewhere, and was changed since the agent read it.
    let elsewhere = world.dir.path().join("dotfiles.toml");
    fs::write(&elsewhere, "# mine\nkeep_deleted = \"2 days\"\n[retention]\ndaily = 7 # a week\n").unwrap();
    symlink(&elsewhere, &file).unwrap();
    let set =
        world.json(&["settings", "keep_last=20", "budget_bytes=40 GiB", "default_width=1024", "notify=off"]).done();
    assert_eq!((&set["keep_last"], &set["keep_daily"]), (&json!(20), &json!(7)));
    assert_eq!((&set["budget_bytes"], &set["notify"]), (&json!(40u64 << 30), &json!(false)));
    let text = fs::read_to_string(&elsewhere).unwrap();
    for kept in ["# mine\n", "daily = 7 # a week\n", "keep_last = 20\n", "budget = \"40 GiB\"\n", "\"1024x800\""] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    let set = world.json(&["settings", "shortcuts.snapshot=<Control>d", "shortcuts.quit="]).done();
    assert_eq!(set["shortcuts"], json!({"quit": "", "snapshot": "<Control>d"}));
    let text = fs::read_to_string(&elsewhere).unwrap();
    assert!(text.contains("[shortcuts]") && text.contains("snapshot = \"<Control>d\"\n"), "{text}");
    // The next agent reads the same.
    world.end_agent();
    world.start_agent(true);
    assert_eq!(world.json(&["settings"]).done(), set);
    let shown = world.run(&["settings"]).stdout;
    assert!(shown.contains("keep_monthly               off"), "{shown}");
    assert!(shown.contains("shortcuts.snapshot         <Control>d"), "{shown}");
    world.json(&["base", "build", "xfce"]).done();
    world.json(&["start"]).done();
    assert_eq!(world.json(&["list"]).done()[0]["size"], "1024x800");
    // Issue 9, number 4: limits are what comes, until others are set, and go to the wrapper.
    let given = || fs::read_to_string(world.data().join("limits")).unwrap();
    assert_eq!(given(), "Some(8192) Some(80)");
    world.json(&["settings", "max_processes=none", "max_memory_percent=50"]).done();
    world.json(&["start"]).done();
    assert_eq!(given(), "None Some(50)");
    world.json(&["settings", "max_processes=8192", "max_memory_percent=80"]).done();
    let text = fs::read_to_string(&elsewhere).unwrap();
    let shortcut = "shortcuts.snapshot=Ctrl+D";
    for wrong in [
        "keep_lats=3",
        "automatic_minutes=0",
        "default_width=12",
        "automatic=perhaps",
        "default_base=../x",
        "max_processes=3",
        shortcut,
    ] {
        world.json(&["settings", wrong]).refused(2, "InvalidArgument");
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), text);
    fs::write(&elsewhere, "what = [").unwrap();
    let error = world.json(&["settings", "keep_last=3"]).refused(2, "InvalidArgument");
    assert!(error["message"].as_str().unwrap().contains("config.toml"), "{error}");
}

#[test]
fn rules_are_tried_without_being_set() {
    let world = World::with_session();
    let all: Vec<String> = (0..3).map(|_| save(&world, &["--wait"])).collect();
    let ask = |options: RetentionOptions| manager(&world, async |m| m.retention(&options.to_dict()).await);
    let one = RetentionOptions { keep_last: Some(1), ..RetentionOptions::default() };
    let report = RetentionReport::from_dict(&ask(one).unwrap()).unwrap();
    assert_eq!((report.rules, report.applied), (true, false));
    assert_eq!(report.remove.iter().map(|row| &row.snapshot).collect::<Vec<_>>(), [&all[0], &all[1]]);
    let error = Error::from_bus(&ask(RetentionOptions { apply: true, ..one }).unwrap_err());
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert!(!RetentionReport::from_dict(&ask(RetentionOptions::default()).unwrap()).unwrap().rules);
    assert_eq!(world.json(&["timeline"]).done().as_array().unwrap().len(), 3);
}

#[test]
fn snapshots_are_compared_and_weighed() {
    let world = World::with_session();
    world.hold_packing(true);
    let first = save(&world, &[]);
    let error = world.json(&["compare", &first, "latest"]).refused(1, "Busy");
    assert!(error["hint"].as_str().unwrap().contains("packed"), "{error}");
    world.hold_packing(false);
    let second = save(&world, &["--wait"]);
    let compared = world.json(&["compare", &first, "latest"]).done();
    assert_eq!((&compared["first"], &compared["second"]), (&json!(first), &json!(second)));
    assert_eq!(compared["files"], json!([{"path": "/file", "change": "changed", "bytes": 234}]));
    assert_eq!((&compared["files_total"], &compared["windows_opened"]), (&json!(1), &json!([])));
    assert!(world.run(&["compare", &first, &second]).stdout.contains("changed"));
    assert_eq!(world.json(&["compare", &first, &first]).done()["files_total"], 0);
    world.json(&["compare", &first, "nothing"]).refused(3, "NotFound");
    let rows = world.json(&["storage"]).done();
    let all: Vec<(&Value, &Value, &Value)> =
        rows.as_array().unwrap().iter().map(|r| (&r["session"], &r["snapshots"], &r["raw_bytes"])).collect();
    assert_eq!(all, [(&json!("desktop"), &json!(2), &json!(2468)), (&json!(""), &json!(2), &json!(2468))]);
    assert!(rows.as_array().unwrap().iter().all(|r| r["own_bytes"].as_u64().unwrap() > 0), "{rows}");
    assert!(world.run(&["storage"]).stdout.contains("All, on disk"));
}
