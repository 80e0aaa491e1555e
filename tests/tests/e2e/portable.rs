//! A snapshot is bound to nothing of the machine that made it: it is resumed over another copy of its base (issue 9, number 2).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, VIM, Window, eventually, finish};

use crate::{large, small};

const TEXT: &str = "/home/user/text";
/// How long packing may take on a machine that has other things to do.
const PACKED: Duration = Duration::from_secs(180);
const LIMIT: Duration = Duration::from_secs(180);

/// What a layer can hold of a base: a changed file, one name of a file with two, such a name that was removed
/// after the change, a removed file, a directory that is in the way of the
/// base's, and entries in directories that merge.
const CHANGE: &str = "set -e
echo changed >> /etc/profile
echo '# changed' >> /usr/bin/perl
echo '# under its other name' >> /usr/bin/perlbug; rm /usr/bin/perlbug
rm /etc/issue
rm -r /etc/skel; mkdir /etc/skel; echo own > /etc/skel/own
echo new > /etc/apt/new
mv /etc/hostname /etc/renamed 2>/dev/null || echo renamed > /etc/renamed";

/// Says the same before a save and after a resume.
const LOOK: &str = "tail -n 1 /etc/profile; tail -n 1 /usr/bin/perl; tail -n 1 /usr/bin/perl5*; tail -n 1 /usr/bin/perlthanks; ls /usr/bin/perl*
ls /etc; ls -A /etc/skel; ls /etc/apt; cat /etc/apt/new; ls /usr/bin | wc -l; stat -c %h /usr/bin/perl";

/// A session with a word in the memory of vim and changes in every form; answers what is to be found again.
fn desk(stage: &Stage, base: &str) -> Result<(String, Window, String)> {
    let session = stage.start(&["--name", "desk", "--base", base])?;
    stage.launch(&session, &VIM)?;
    let window = stage.wait_for_window(&session, "editor|VIM")?;
    stage.click_on(&session, &window)?.type_text("itravels")?;
    stage.ctl_plain(&["exec", &session, "--wait", "--root", "--", "sh", "-c", CHANGE])?.done()?;
    stage.settled_pids(&session)?;
    let found = stage.inside(&session, &["sh", "-c", LOOK])?;
    ensure!(found.contains("changed") && found.contains("under its other name"), "{found}");
    Ok((session, window, found))
}

/// Resumes it, and sees that it is live and that its files are as they were.
fn comes_back(stage: &Stage, id: &str, window: &Window, found: &str) -> Result<()> {
    let session = stage.word(&["resume", id], "session")?;
    stage.click_on(&session, window)?.type_text(" far")?;
    let text = stage.text_in_vim(&session, window, TEXT)?;
    ensure!(text.trim_end() == "travels far", "{text:?}");
    let now = stage.inside(&session, &["sh", "-c", LOOK])?;
    ensure!(now == found, "{now}\nwhere this was: {found}");
    // And it goes on: what was resumed there is saved there.
    let again = stage.save(&session)?;
    stage.json(&["stop", &session])?;
    let session = stage.word(&["resume", &again], "session")?;
    ensure!(stage.inside(&session, &["sh", "-c", LOOK])? == found, "after another save");
    stage.json(&["stop", &session]).map(drop)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    finish(Command::new("cp").arg("-a").arg(from).arg(to), LIMIT)?.done().map(drop)
}

/// Saves on one data directory, copies that with a real copy of its base, and resumes on the copy.
fn copied(stage: &Stage, base: &str) -> Result<()> {
    let (session, window, found) = desk(stage, base)?;
    let id = stage.word(&["save", &session, "--wait"], "snapshot")?;
    stage.json(&["stop", &session])?;
    let other = Stage::new(&[])?;
    let (from, to) = (stage.data(), other.data());
    copy(&from.join("bases").join(base).canonicalize()?, &to.join("bases"))?;
    for name in ["snapshots", "store"] {
        copy(&from.join(name), &to)?;
    }
    // Nothing of the first is needed.
    std::fs::rename(from.join("snapshots"), from.join("gone"))?;
    comes_back(&other, &id, &window, &found)
}

#[test]
fn a_copied_data_directory_is_resumed_from() {
    small(|stage| copied(stage, "minimal"));
}

#[test]
fn a_copied_data_directory_with_a_large_desktop_is_resumed_from() {
    large(|stage| copied(stage, "xfce"));
}

#[test]
fn an_export_with_its_base_is_resumed_in_an_empty_data_directory() {
    small(|stage| {
        let (session, window, found) = desk(stage, "minimal")?;
        let id = stage.save(&session)?;
        let file = stage.directory().join("desk.freezeframe").to_string_lossy().into_owned();
        stage.json(&["export", &id, &file, "--with-base"])?;
        let key = stage.word(&["key"], "key")?;
        stage.json(&["stop", &session])?;
        let other = Stage::new(&[])?;
        let imported = other.json(&["import", &file, "--trust", &key])?;
        ensure!(imported["snapshot"] == id.as_str(), "{imported}");
        eventually(PACKED, "it is whole", || Ok((other.json(&["show", &id])?["state"] == "whole").then_some(())))?;
        comes_back(&other, &id, &window, &found).context("the import")
    });
}
