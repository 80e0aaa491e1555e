//! The contract of `sessionctl`: fields, exit codes, short names.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::eventually;
use serde_json::Value;

use crate::small;

/// Fails unless `document` has exactly these fields, each of its kind: s, n, b, a (array), s? (text or null).
fn fields(document: &Value, wanted: &[(&str, &str)]) -> Result<()> {
    let object = document.as_object().with_context(|| format!("no object: {document}"))?;
    for (name, kind) in wanted {
        let value = object.get(*name).with_context(|| format!("{name} is missing in {document}"))?;
        let fits = match *kind {
            "s" => value.is_string(),
            "s?" => value.is_string() || value.is_null(),
            "n" => value.is_number(),
            "b" => value.is_boolean(),
            _ => value.is_array(),
        };
        ensure!(fits, "{name} is not of kind {kind} in {document}");
    }
    Ok(())
}

const TIMELINE_ROW: [(&str, &str); 14] = [
    ("snapshot", "s"),
    ("session", "s"),
    ("parent", "s?"),
    ("created", "s"),
    ("label", "s"),
    ("state", "s"),
    ("pinned", "b"),
    ("raw_bytes", "n"),
    ("own_bytes", "n"),
    ("verified", "b"),
    ("imported", "b"),
    ("shared_bytes", "n"),
    ("pause_ms", "n"),
    ("windows", "a"),
];

#[test]
fn every_field_and_exit_code_is_there() {
    small(|stage| {
        let started = stage.json(&["start", "--name", "one", "--base", "minimal", "--size", "1000x700"])?;
        fields(&started, &[("session", "s")])?;
        ensure!(started["session"] == "one", "{started}");
        stage.launch("one", &["xterm", "-T", "a window of xterm", "-e", "cat"])?;
        stage.wait_for_window("one", "a window of xterm")?;

        let list = stage.json(&["list"])?;
        let row = &list[0];
        let kinds =
            [("session", "s"), ("state", "s"), ("base", "s"), ("size", "s"), ("started", "s"), ("parent", "s?")];
        fields(row, &kinds)?;
        ensure!(row["state"] == "running" && row["base"] == "minimal" && row["size"] == "1000x700", "{row}");
        ensure!(row["parent"].is_null(), "{row}");

        let check = stage.json(&["check", "one"])?;
        fields(&check, &[("savable", "b"), ("findings", "a")])?;
        ensure!(check["savable"] == true, "{check}");

        // Without its name: it is the only one that runs.
        let saved = stage.json(&["save", "--label", "first words"])?;
        fields(&saved, &[("snapshot", "s"), ("session", "s"), ("pause_ms", "n")])?;
        ensure!(saved["session"] == "one", "{saved}");
        let pause = saved["pause_ms"].as_f64().unwrap_or(0.0);
        ensure!(pause > 1.0 && pause < 60_000.0, "{saved}");
        let id = saved["snapshot"].as_str().unwrap_or_default().to_owned();

        let timeline = stage.json(&["timeline"])?;
        let row = &timeline[0];
        fields(row, &TIMELINE_ROW)?;
        ensure!(row["snapshot"] == *id && row["label"] == "first words", "{row}");
        ensure!(row["state"] == "committing" || row["state"] == "whole", "{row}");
        fields(&row["windows"][0], &[("title", "s"), ("application", "s")])?;
        ensure!(row["windows"][0]["title"] == "a window of xterm", "{row}");
        ensure!(row["raw_bytes"].as_u64().unwrap_or(0) > 1_000_000, "{row}");

        let shown = stage.json(&["show", &id])?;
        fields(&shown, &TIMELINE_ROW)?;
        let more = ["freeze_ms", "memory_bytes", "layer_bytes", "processes", "threads"].map(|name| (name, "n"));
        fields(&shown, &more)?;
        fields(&shown, &[("closed", "a")])?;
        ensure!(shown["pause_ms"] == saved["pause_ms"], "{saved} {shown}");
        ensure!(shown["freeze_ms"].as_f64() < shown["pause_ms"].as_f64(), "{shown}");
        let count = |name: &str| shown[name].as_u64().unwrap_or(0);
        ensure!(count("processes") >= 5 && count("threads") >= count("processes"), "{shown}");
        ensure!(count("memory_bytes") > 1_000_000, "{shown}");

        let resumed = stage.json(&["resume", &id, "--alongside", "--name", "two"])?;
        fields(&resumed, &[("session", "s"), ("snapshot", "s"), ("resume_ms", "n")])?;
        ensure!(resumed["session"] == "two" && resumed["snapshot"] == *id, "{resumed}");
        let list = stage.json(&["list"])?;
        let two = list.as_array().into_iter().flatten().find(|row| row["session"] == "two").context("two")?;
        ensure!(two["parent"] == *id && two["size"] == "1000x700", "{two}");

        let status = stage.inside_any("one", &["sh", "-c", "echo out; echo err >&2; exit 7"])?;
        ensure!((status.code, status.text().as_str(), status.stderr.as_str()) == (7, "out\n", "err\n"), "{status:?}");

        // Several run now.
        stage.ctl(&["save"])?.refused(2, "InvalidArgument")?;
        stage.ctl(&["start", "--size", "12x12"])?.refused(2, "InvalidArgument")?;
        stage.ctl(&["frobnicate"])?.refused(2, "InvalidArgument")?;
        stage.ctl(&["start", "--name", "one"])?.refused(1, "Exists")?;
        stage.ctl(&["show", "ffffffffffff"])?.refused(3, "NotFound")?;
        stage.ctl(&["save", "nobody"])?.refused(3, "NotFound")?;
        stage.ctl(&["start", "--base", "nothing"])?.refused(3, "NotFound")?;
        stage.json(&["stop", "two"])?;
        stage.json(&["stop", "one"])?;
        ensure!(stage.json(&["list"])? == serde_json::json!([]), "sessions are left");
        let packed = || Ok((stage.json(&["show", &id])?["state"] == "whole").then_some(()));
        eventually(Duration::from_secs(120), "the snapshot is packed", packed)?;
        // Raw files that a resume was reading when packing ended are for the collection.
        stage.json(&["gc"])?;
        ensure!(stage.stored()?.len() == 1, "{:?}", stage.stored());
        Ok(())
    });
}

#[test]
fn snapshots_have_short_names_and_words() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let (first, second) = (stage.save(&session)?, stage.save(&session)?);
        let shown = |word: &str| stage.word(&["show", word], "snapshot");
        ensure!(shown("latest")? == second, "latest");
        ensure!(shown("@{now}")? == second, "@{{now}}");
        let created = stage.word(&["show", &first], "created")?;
        ensure!(shown(&format!("@{{{created}}}"))? == first, "the instant of the first");
        stage.ctl(&["show", "yesterday"])?.refused(3, "NotFound")?;
        stage.ctl(&["show", "@{2 hours ago}"])?.refused(3, "NotFound")?;
        let common = first.chars().zip(second.chars()).take_while(|(a, b)| a == b).count();
        ensure!(shown(&first[..=common])? == first && shown(&second[..=common])? == second, "{first} {second}");
        ensure!(stage.word(&["save", "de"], "session")? == "desk", "a session's name may be shortened");

        stage.json(&["label", &first, "some words"])?;
        stage.json(&["pin", &first])?;
        let row = stage.json(&["show", &first])?;
        ensure!(row["label"] == "some words" && row["pinned"] == true, "{row}");
        ensure!(stage.json(&["timeline", "--search", "some words"])?.as_array().map(Vec::len) == Some(1), "search");
        stage.json(&["unpin", &first])?;
        stage.json(&["delete", &first])?;
        ensure!(stage.json(&["timeline"])?.as_array().map(Vec::len) == Some(2), "deleted");
        stage.json(&["undelete", &first])?;
        ensure!(stage.json(&["timeline"])?.as_array().map(Vec::len) == Some(3), "undeleted");
        Ok(())
    });
}

#[test]
fn an_agent_that_cannot_be_reached_is_exit_code_5() {
    small(|stage| {
        let program = stage.sessionctl();
        let mut command = stage.command(program.as_os_str());
        command.args(["--json", "list"]).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
        let outcome = freezeframe_tests::finish(&mut command, Duration::from_secs(60))?;
        outcome.refused(5, "Unreachable").map(drop)
    });
}

#[test]
fn doctor_tells_of_each_check_and_its_exit_code_sums_them_up() {
    small(|stage| {
        let outcome = stage.ctl(&["doctor"])?;
        let report = outcome.json()?;
        let checks = report["checks"].as_array().context("checks")?;
        for check in checks {
            let kinds = [("name", "s"), ("ok", "b"), ("needed_for", "s"), ("found", "s"), ("remedy", "s")];
            fields(check, &kinds)?;
            ensure!(check["ok"] == true || check["found"].as_str().is_some_and(|f| !f.is_empty()), "{check}");
        }
        let forbids = |check: &Value| {
            check["ok"] == false && ["start", "save", "everything"].iter().any(|verb| check["needed_for"] == *verb)
        };
        let all = !checks.iter().any(forbids);
        ensure!(report["ok"] == all && outcome.code == i32::from(!all), "{}", outcome.tell());
        for name in ["criu", "id-ranges", "disk-space", "file-system"] {
            ensure!(checks.iter().any(|check| check["name"] == name && check["ok"] == true), "{name}: {report}");
        }
        Ok(())
    });
}
