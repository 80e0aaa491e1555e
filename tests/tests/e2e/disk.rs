//! Disks that are full or read-only: nothing hangs, nothing is lost, and what needs no room is done.

use anyhow::ensure;
use freezeframe_tests::Disk;

use crate::small;

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
