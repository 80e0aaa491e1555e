//! What becomes of snapshots after their save: packed, damaged, deleted, carried to somebody else.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, VIM, Window, eventually};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::small;

/// How long packing a small desktop may take on a machine that has other things to do.
const PACKED: Duration = Duration::from_secs(120);
const TEXT: &str = "/home/user/text";

/// A session with a word in the memory of vim.
fn desk_with(stage: &Stage, word: &str) -> Result<(String, Window)> {
    let session = stage.start(&["--name", "desk"])?;
    stage.launch(&session, &VIM)?;
    let window = stage.wait_for_window(&session, "editor|VIM")?;
    stage.click_on(&session, &window)?.type_text(&format!("i{word}"))?;
    stage.put(&session, "/home/user/file", word)?;
    stage.settled_pids(&session)?;
    Ok((session, window))
}

/// Resumes beside whatever runs, looks for the word in memory and on the disk, and stops it again.
fn comes_back(stage: &Stage, id: &str, window: &Window, word: &str) -> Result<()> {
    let session = stage.word(&["resume", id, "--alongside"], "session")?;
    let text = stage.text_in_vim(&session, window, TEXT)?;
    ensure!(text.trim_end() == word, "{id} as {session}: vim has {text:?}");
    let file = stage.inside(&session, &["cat", "/home/user/file"])?;
    ensure!(file == word, "{id} as {session}: the file has {file:?}");
    stage.json(&["stop", &session]).map(drop)
}

fn row(stage: &Stage, id: &str) -> Result<Value> {
    let timeline = stage.json(&["timeline", "--deleted"])?;
    let found = timeline.as_array().into_iter().flatten().find(|row| row["snapshot"] == id).cloned();
    found.with_context(|| format!("{id} is not on the timeline: {timeline}"))
}

/// Waits until the snapshot is packed; answers its line in the timeline.
fn packed(stage: &Stage, id: &str) -> Result<Value> {
    let whole = || Ok(Some(row(stage, id)?).filter(|row| row["state"] == "whole"));
    eventually(PACKED, &format!("{id} is packed"), whole)
}

/// Saves, and waits until it is packed.
fn save(stage: &Stage, session: &str) -> Result<String> {
    let id = stage.word(&["save", session, "--wait"], "snapshot")?;
    let state = row(stage, &id)?["state"].clone();
    ensure!(state == "whole", "{id} is {state} after save --wait");
    Ok(id)
}

fn bytes(row: &Value, field: &str) -> Result<u64> {
    row[field].as_u64().with_context(|| format!("{field} in {row}"))
}

fn packs(stage: &Stage) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(stage.data().join("store/packs"))?;
    let mut packs = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    packs.sort();
    Ok(packs)
}

/// Turns one bit over in the middle of a file.
fn flip(path: &Path) -> Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    byte[0] ^= 1;
    file.write_all_at(&byte, middle).with_context(|| path.display().to_string())
}

#[test]
fn a_snapshot_is_the_same_before_and_after_it_is_packed() {
    small(|stage| {
        let (session, window) = desk_with(stage, "same")?;
        let first = stage.save(&session)?;
        let state = row(stage, &first)?["state"].clone();
        ensure!(state == "committing" || state == "whole", "{state}");
        comes_back(stage, &first, &window, "same").context("right after the save")?;
        let first_row = packed(stage, &first)?;
        comes_back(stage, &first, &window, "same").context("when it is packed")?;

        let second = save(stage, &session)?;
        let second_row = row(stage, &second)?;
        let (first_own, second_own) = (bytes(&first_row, "own_bytes")?, bytes(&second_row, "own_bytes")?);
        let raw = bytes(&first_row, "raw_bytes")?;
        ensure!(first_own < raw / 2, "the first takes {first_own} of {raw}");
        ensure!(second_own < first_own / 2, "the second adds {second_own}, the first {first_own}");
        comes_back(stage, &second, &window, "same").context("the second")?;
        // Raw files that a resume was reading when packing ended go as well, without being asked to.
        let raw = stage.data().join("store/raw");
        eventually(PACKED, "the raw files are gone", || Ok((fs::read_dir(&raw)?.count() == 0).then_some(())))?;
        let verified = stage.json(&["verify"])?;
        ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
        Ok(())
    });
}

#[test]
fn after_a_kill_of_everything_the_next_agent_packs_what_was_saved() {
    small(|stage| {
        let (session, window) = desk_with(stage, "kept")?;
        let agent = stage.agents().pop().context("an agent")?;
        let supervisor = stage.supervisor(&session)?;
        // As a collection has it: nothing can be packed meanwhile, and everything else goes on.
        let lock = fs::File::open(stage.data().join("store/lock"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        let id = stage.save(&session)?;
        stage.kill(&agent)?;
        for wrapper in stage.wrappers().into_iter().filter(|wrapper| wrapper.pid != supervisor.pid) {
            // The verb that packs; it may have come to its end.
            let _ = stage.kill(&wrapper);
        }
        stage.kill(&supervisor)?;
        ensure!(stage.data().join("snapshots").join(&id).exists(), "{id} is lost");
        ensure!(!stage.data().join("snapshots").join(&id).join("content").exists(), "{id} was packed by then");
        ensure!(row(stage, &id)?["state"] == "committing", "{:?}", row(stage, &id));
        drop(lock);
        packed(stage, &id)?;
        let verified = stage.json(&["verify", &id])?;
        ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
        comes_back(stage, &id, &window, "kept")
    });
}

#[test]
fn a_flipped_bit_is_found_and_what_it_touches_is_not_resumed() {
    small(|stage| {
        let (session, window) = desk_with(stage, "good")?;
        let good = save(stage, &session)?;
        let before = packs(stage)?;
        // Nothing that the good one needs is in the packs that come now.
        let script = "head -c 3000000 /dev/urandom > /home/user/random";
        stage.inside(&session, &["sh", "-c", script])?;
        let bad = save(stage, &session)?;
        stage.json(&["stop", &session])?;
        let new: Vec<PathBuf> = packs(stage)?.into_iter().filter(|pack| !before.contains(pack)).collect();
        let size = |pack: &PathBuf| fs::metadata(pack).map_or(0, |m| m.len());
        let pack = new.into_iter().max_by_key(size).context("the second save made no pack")?;
        flip(&pack)?;

        for words in [&["verify"][..], &["verify", &bad]] {
            let outcome = stage.ctl(words)?;
            ensure!(outcome.code == 1, "{}", outcome.tell());
            let damages = outcome.json()?["damages"].clone();
            ensure!(damages[0]["path"] == *pack.to_string_lossy(), "{damages}");
            ensure!(damages[0]["snapshots"] == serde_json::json!([bad]), "{damages}");
        }
        let plain = stage.ctl_plain(&["verify"])?;
        ensure!(plain.text().contains(&*pack.to_string_lossy()) && plain.text().contains(&bad), "{}", plain.tell());
        let clean = stage.json(&["verify", &good])?;
        ensure!(clean["damages"] == serde_json::json!([]), "{clean}");

        let states = |id: &str| -> Result<(Value, Value)> {
            let row = row(stage, id)?;
            Ok((row["state"].clone(), row["intact"].clone()))
        };
        ensure!(states(&bad)? == ("damaged".into(), false.into()), "{:?}", row(stage, &bad));
        ensure!(states(&good)? == ("whole".into(), true.into()), "{:?}", row(stage, &good));
        let shares = || Ok((bytes(&row(stage, &bad)?, "shared_bytes")? > 0).then_some(()));
        eventually(PACKED, "what it shares is counted", shares)?;
        stage.ctl(&["resume", &bad])?.refused(1, "Damaged")?;
        ensure!(stage.json(&["list"])? == serde_json::json!([]), "a session is listed");
        ensure!(fs::read_dir(stage.data().join("sessions"))?.count() == 0, "a session's directory is left");
        comes_back(stage, &good, &window, "good")?;
        // The very bit turned back.
        flip(&pack)?;
        let mended = stage.json(&["verify", &bad])?;
        ensure!(mended["damages"] == serde_json::json!([]), "{mended}");
        ensure!(states(&bad)? == ("whole".into(), true.into()), "{:?}", row(stage, &bad));
        comes_back(stage, &bad, &window, "good").context("mended")
    });
}

#[test]
fn a_layer_that_is_too_deep_is_refused_and_nothing_is_lost() {
    small(|stage| {
        let (session, window) = desk_with(stage, "shallow")?;
        let deep = "cd /home/user; for i in $(seq 300); do mkdir d && cd d || exit; done";
        stage.inside(&session, &["sh", "-c", deep])?;
        let before = stage.settled_pids(&session)?;
        let error = stage.ctl(&["save", &session])?.refused(1, "Failed")?;
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        ensure!(text("message").contains("256 deep") && text("hint").contains("save again"), "{error}");
        ensure!(stage.pids(&session)? == before, "the session was touched");
        ensure!(stage.stored()?.is_empty(), "{:?}", stage.stored());
        // It goes on with all that it had, and can be saved when that is out of the way.
        stage.inside(&session, &["sh", "-c", "rm -r /home/user/d"])?;
        let id = save(stage, &session)?;
        stage.json(&["stop", &session])?;
        comes_back(stage, &id, &window, "shallow")
    });
}

#[test]
fn what_is_deleted_goes_with_gc_and_comes_back_before() {
    small(|stage| {
        let (session, window) = desk_with(stage, "stays")?;
        let stays = save(stage, &session)?;
        stage.inside(&session, &["sh", "-c", "head -c 8000000 /dev/urandom > /home/user/random"])?;
        let goes = save(stage, &session)?;
        stage.json(&["stop", &session])?;

        stage.json(&["delete", &goes])?;
        let kept = stage.json(&["gc"])?;
        ensure!(kept["deleted_kept"] == serde_json::json!([goes]), "{kept}");
        ensure!(kept["snapshots_removed"] == serde_json::json!([]), "{kept}");
        stage.json(&["undelete", &goes])?;
        comes_back(stage, &goes, &window, "stays").context("taken back")?;

        stage.json(&["delete", &goes])?;
        let collected = stage.json(&["gc", "--keep-deleted", "0s"])?;
        ensure!(collected["snapshots_removed"] == serde_json::json!([goes]), "{collected}");
        ensure!(bytes(&collected, "freed_bytes")? > 8_000_000, "{collected}");
        ensure!(bytes(&collected, "bytes")? < bytes(&kept, "bytes")? - 8_000_000, "{kept} {collected}");
        ensure!(row(stage, &goes).is_err(), "it is still listed");
        stage.ctl(&["undelete", &goes])?.refused(3, "NotFound")?;
        let verified = stage.json(&["verify"])?;
        ensure!(verified["damages"] == serde_json::json!([]), "{verified}");
        comes_back(stage, &stays, &window, "stays")
    });
}

#[test]
fn an_export_is_imported_and_resumed_by_somebody_else_who_trusts_its_key() {
    small(|stage| {
        let (session, window) = desk_with(stage, "carried")?;
        let id = save(stage, &session)?;
        let file = stage.directory().join("desk.freezeframe");
        let path = file.to_string_lossy().into_owned();
        let exported = stage.json(&["export", &id, &path])?;
        let key = stage.word(&["key"], "key")?;
        ensure!(exported["key"] == key.as_str() && exported["snapshot"] == id.as_str(), "{exported}");
        stage.json(&["stop", &session])?;

        let other = Stage::new(&["minimal"])?;
        ensure!(other.word(&["key"], "key")? != key, "both have the same key");
        let import = ["import", path.as_str(), "--trust", key.as_str()];
        let nothing = |what: &str| -> Result<()> {
            let timeline = other.json(&["timeline", "--deleted"])?;
            ensure!(timeline == serde_json::json!([]), "{what}: {timeline}");
            ensure!(other.stored()?.is_empty(), "{what}: {:?}", other.stored());
            Ok(())
        };
        let error = other.ctl(&import[..2])?.refused(1, "Untrusted")?;
        let text = format!("{} {}", error["message"], error["hint"]);
        ensure!(text.contains(&key) && text.contains("--trust"), "{error}");
        nothing("not trusted")?;

        let altered = stage.directory().join("altered.freezeframe");
        fs::copy(&file, &altered)?;
        flip(&altered)?;
        other.ctl(&["import", &altered.to_string_lossy(), "--trust", &key])?.refused(1, "Damaged")?;
        nothing("altered")?;

        let imported = other.json(&import)?;
        ensure!(imported["snapshot"] == id.as_str() && imported["was_there"] == false, "{imported}");
        ensure!(row(&other, &id)?["state"] == "whole", "{:?}", row(&other, &id));
        ensure!(other.json(&import)?["was_there"] == true, "imported twice");
        // It is live: it takes input, and runs programs.
        let session = other.word(&["resume", &id], "session")?;
        other.click_on(&session, &window)?.type_text(" over")?;
        let text = other.text_in_vim(&session, &window, TEXT)?;
        ensure!(text.trim_end() == "carried over", "{text:?}");
        ensure!(other.inside(&session, &["cat", "/home/user/file"])? == "carried", "the file");
        Ok(())
    });
}
