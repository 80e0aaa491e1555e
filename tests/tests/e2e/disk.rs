//! Disks that are full or read-only: nothing hangs, nothing is lost, and what needs no room is done.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Disk, Stage, User, eventually};
use serde_json::Value;

use crate::{play, small};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn issue_9_8_a_log_on_a_full_disk_keeps_nothing_from_being_saved_and_stopped() {
    small(|stage| {
        let logs = stage.data().join("logs");
        std::fs::create_dir(&logs)?;
        let disk = Disk::tmpfs(&logs, 64 << 10)?;
        disk.fill()?;
        let session = stage.start(&["--name", "desk"])?;
        ensure!(std::fs::metadata(logs.join("desk.log"))?.len() == 0, "the log was written, so this shows nothing");
        let id = stage.save(&session)?;
        stage.json(&["check", &session])?;
        stage.save(&session)?;
        stage.json(&["stop", &session])?;
        ensure!(stage.state(&session)?.is_none(), "{:?}", stage.state(&session));
        stage.json(&["resume", &id])?;
        ensure!(stage.inside(&session, &["echo", "runs"])? == "runs\n", "it does not run");
        Ok(())
    });
}

/// Waits until every snapshot is packed.
fn packed(stage: &Stage) -> Result<()> {
    eventually(LIMIT, "every snapshot is packed", || {
        let timeline = stage.json(&["timeline"])?;
        Ok(timeline.as_array().is_some_and(|rows| rows.iter().all(|r| r["state"] == "whole")).then_some(()))
    })
}

fn timeline(stage: &Stage) -> Result<Vec<String>> {
    let rows = stage.json(&["timeline"])?;
    let ids = rows.as_array().into_iter().flatten().filter_map(|row| row["snapshot"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

fn exported(stage: &Stage, id: &str) -> Result<Value> {
    let file = stage.directory().join("home/exported.freezeframe");
    let exported = stage.json(&["export", id, &file.to_string_lossy()])?;
    std::fs::remove_file(&file)?;
    Ok(exported)
}

/// What works at 0 bytes free, of two packed snapshots.
fn works_on_a_full_disk(stage: &Stage, disk: &Disk, one: &str, other: &str) -> Result<()> {
    disk.fill()?;
    let full = stage.ctl(&["label", one, &"x".repeat(60)])?;
    full.done()?;
    for id in [one, other] {
        stage.json(&["pin", id])?;
        stage.json(&["unpin", id])?;
        stage.json(&["delete", id])?;
        stage.json(&["undelete", id])?;
    }
    ensure!(timeline(stage)? == [one, other], "{:?}", timeline(stage));
    stage.json(&["delete", one])?;
    ensure!(timeline(stage)? == [other], "{:?}", timeline(stage));
    // Another agent knows of it, so it is on the disk.
    if let Some(agent) = stage.agents().pop() {
        stage.kill(&agent)?;
    }
    ensure!(timeline(stage)? == [other], "{:?}", timeline(stage));
    let verified = stage.json(&["verify", other])?;
    ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
    let collected = stage.json(&["gc", "--keep-deleted", "0s"])?;
    ensure!(collected["snapshots_removed"] == serde_json::json!([one]), "{collected}");
    ensure!(collected["freed_bytes"].as_u64() > Some(0), "{collected}");
    disk.relieve()
}

/// What works while the disk is read-only.
fn works_on_a_read_only_disk(
    stage: &Stage,
    disk: &Disk,
    id: &str,
    more: &[&str],
    and: impl Fn() -> Result<()>,
) -> Result<()> {
    and()?;
    if let Some(agent) = stage.agents().pop() {
        stage.kill(&agent)?;
    }
    eventually(LIMIT, "nobody writes to the disk", || Ok(disk.read_only(true).ok()))?;
    ensure!(timeline(stage)? == [id], "{:?}", timeline(stage));
    ensure!(stage.json(&["show", id])?["state"] == "whole", "{:?}", stage.json(&["show", id]));
    let verified = stage.json(&["verify"])?;
    ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
    and()?;
    stage.json(&["list"])?;
    for refused in [&["delete", id][..], &["pin", id], &["label", id, "new"], more] {
        let error = stage.ctl(refused)?.refused(1, "Failed")?;
        let text = error.to_string();
        ensure!(text.contains("read-only") && text.contains(&*disk.path().to_string_lossy()), "{refused:?}: {text}");
    }
    disk.read_only(false)?;
    stage.json(&["label", id, "again"])?;
    Ok(())
}

#[test]
fn issue_9_9_a_full_disk_and_a_read_only_one_keep_nobody_from_what_needs_no_room() {
    let point = tempfile::Builder::new().prefix("disk.").tempdir_in("/var/tmp").expect("a directory");
    let disk = Disk::ext4(point.path(), 400 << 20).expect("a disk");
    small(|stage| {
        stage.move_data_to(disk.path())?;
        let session = stage.start(&["--name", "desk"])?;
        let one = stage.save(&session)?;
        stage.put(&session, "/home/user/file", "something new")?;
        let other = stage.save(&session)?;
        stage.json(&["stop", &session])?;
        packed(stage)?;
        works_on_a_full_disk(stage, &disk, &one, &other)?;
        // The first time makes the user's key, for which a disk that is read-only has no place.
        works_on_a_read_only_disk(stage, &disk, &other, &["start"], || exported(stage, &other).map(drop))?;
        stage.json(&["resume", &other])?;
        ensure!(stage.inside(&session, &["cat", "/home/user/file"])? == "something new", "the file");
        stage.json(&["stop", &session])?;
        Ok(())
    });
}

#[test]
fn issue_9_9_the_same_for_a_normal_user() {
    let point = tempfile::Builder::new().prefix("disk.").tempdir_in("/var/tmp").expect("a directory");
    let disk = Disk::ext4(point.path(), 400 << 20).expect("a disk");
    play(
        1,
        || Stage::of_user(User::create()?),
        |stage| {
            stage.move_data_to(disk.path())?;
            // The disk is too small for a base, so these are root's, imported without one.
            let root = Stage::new(&["minimal"])?;
            let key = root.word(&["key"], "key")?;
            let session = root.start(&["--name", "desk"])?;
            let mut ids = Vec::new();
            for name in ["one", "other"] {
                root.put(&session, "/home/user/file", name)?;
                let id = root.save(&session)?;
                let file = stage.directory().join(name);
                root.json(&["export", &id, &file.to_string_lossy()])?;
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
                stage.json(&["import", &file.to_string_lossy(), "--trust", &key])?;
                ids.push(id);
            }
            packed(stage)?;
            works_on_a_full_disk(stage, &disk, &ids[0], &ids[1])?;
            // Without its base it cannot be exported by this user.
            let shown = || stage.json(&["show", &ids[1]]).map(drop);
            works_on_a_read_only_disk(stage, &disk, &ids[1], &["pin", &ids[1]], shown)
        },
    );
}
