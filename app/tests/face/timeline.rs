//! The timeline and its acts, by keys and pixels, before an agent that stands in for the real one.

use std::path::{Path, PathBuf};

use freezeframe_api::records::{SnapshotRow, WindowRow};
use image::{Rgb, RgbImage};

use crate::stage::{Bus, FakeAgent, Stage, VncServer, wait_for};

const RED: [u8; 3] = [0xc0, 0x1c, 0x28];
const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];

pub(crate) fn picture(directory: &Path, name: &str, colour: [u8; 3]) -> PathBuf {
    let path = directory.join(format!("{name}.png"));
    RgbImage::from_pixel(640, 400, Rgb(colour)).save(&path).unwrap();
    path
}

pub(crate) fn row(id: &str, hours_ago: i64, label: &str) -> SnapshotRow {
    let created = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours_ago);
    SnapshotRow {
        snapshot: id.into(),
        session: "desktop".into(),
        created: created.to_string(),
        label: label.into(),
        state: "whole".into(),
        own_bytes: 4_200_000,
        pause_ms: 120.0,
        windows: vec![WindowRow { title: format!("{label} — Editor"), application: "editor".into() }],
        ..SnapshotRow::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_found_renamed_pinned_deleted_and_brought_back() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let red = picture(stage.directory.path(), "red", RED);
    let blue = picture(stage.directory.path(), "blue", BLUE);
    let snapshots = vec![(row("aaaaaaaaaaaa", 50, "budget"), Some(red)), (row("bbbbbbbbbbbb", 1, "poem"), Some(blue))];
    let agent = FakeAgent::start_with(&bus, snapshots).await;
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    wait_for("both pictures", || stage.find(RED).and(stage.find(BLUE)));
    stage.keep("two-cards");

    // Typing searches: a word of a label.
    stage.xdotool(&["type", "--delay", "30", "budg"]);
    wait_for("only what was looked for", || stage.find(RED).filter(|_| stage.find(BLUE).is_none()));
    stage.keep("search");
    stage.xdotool(&["key", "Escape"]);
    wait_for("both again", || stage.find(BLUE).and(stage.find(RED)));

    // The keyboard is at the newest: pinned by its menu, renamed by F2, deleted by Delete.
    stage.xdotool(&["key", "Tab"]);
    let rename = || {
        stage.xdotool(&["key", "F2"]);
        wait_for("the dialog", || (stage.active_title() != "Freezeframe").then_some(()));
        stage.xdotool(&["key", "ctrl+a"]);
        stage.xdotool(&["type", "--delay", "30", "verse"]);
        stage.keep("rename");
        stage.xdotool(&["key", "Return"]);
    };
    rename();
    wait_for("the new label", || {
        let labels: Vec<String> = agent.snapshots().into_iter().map(|row| row.label).collect();
        labels.contains(&"verse".to_owned()).then_some(())
    });
    stage.wait_for_title("Freezeframe");
    let renamed = agent.snapshots().into_iter().find(|row| row.label == "verse").unwrap();
    let gone = if renamed.snapshot.starts_with('a') { RED } else { BLUE };
    stage.xdotool(&["key", "Delete"]);
    wait_for("its deletion", || (agent.snapshot(&renamed.snapshot)?.state == "deleted").then_some(()));
    wait_for("a timeline without it", || stage.find(gone).is_none().then_some(()));
    stage.keep("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_starts_at_the_snapshot_that_was_asked_for() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let red = picture(stage.directory.path(), "red", RED);
    // Far below what is seen first.
    let rows = (0..200).map(|n| (row(&format!("{n:012x}"), n, "work"), (n == 150).then(|| red.clone())));
    let agent = FakeAgent::start_with(&bus, rows.collect()).await;
    let wanted = format!("{:012x}", 150);
    let _app = stage.app(&["--snapshot", &wanted]);
    stage.wait_for_title("Freezeframe");
    wait_for("its picture", || stage.find(RED));
    stage.keep("asked-for");
    stage.xdotool(&["key", "Delete"]);
    wait_for("its deletion", || (agent.snapshot(&wanted)?.state == "deleted").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_taken_by_a_key_and_appears() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let server = VncServer::start(&stage, "640x480");
    let agent = FakeAgent::start(&bus).await;
    agent.add("amber-fox", &server.socket).await;
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    // Until the window knows what runs, the key has nothing to save.
    wait_for("the snapshot", || {
        stage.xdotool(&["key", "ctrl+s"]);
        (!agent.snapshots().is_empty()).then_some(())
    });
    let saved = agent.snapshots().remove(0);
    assert_eq!(saved.session, "amber-fox");
    stage.keep("taken");
}
