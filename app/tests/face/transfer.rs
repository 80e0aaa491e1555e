//! Files that are chosen to be imported.

use std::process::Command;

use crate::accessible::{close, open};
use crate::accessible_acts::go_to;
use crate::stage::{Access, Bus, FakeAgent, Stage, wait_for};

/// Chooses a file in GTK's own dialog, which may not be ready for its path at once: what it did not take is typed again.
pub(crate) fn choose_file(stage: &Stage, path: &str) {
    let chosen = || stage.active_title() != "Import Snapshot";
    wait_for("the end of the dialog", || {
        if chosen() {
            return Some(());
        }
        stage.xdotool(&["key", "--delay", "40", "ctrl+l", "ctrl+a"]);
        stage.xdotool(&["type", "--delay", "30", path]);
        stage.xdotool(&["key", "Return"]);
        // Keys that came later would be the window's.
        let mut looks = 0;
        while !chosen() && looks < 50 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            looks += 1;
        }
        chosen().then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_refused_and_does_not_hold_up_the_window() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let _agent = FakeAgent::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    // Nobody will ever write to it: who opens it waits.
    let pipe = stage.path("pipe.freezeframe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    stage.xdotool(&["key", "ctrl+o"]);
    stage.wait_for_title("Import Snapshot");
    choose_file(&stage, pipe.to_str().unwrap());
    access.wait("the failure", |one| one.name.contains("“pipe.freezeframe” could not be imported"));
    go_to(&stage, &access, "Tab", "Details");
    stage.xdotool(&["key", "Return"]);
    access.wait("the reason", |one| one.name.contains("is a folder, a pipe or a device."));
    close(&stage);
    open(&stage, "ctrl+comma", "Preferences");
}
