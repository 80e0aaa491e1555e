//! Issue 9, 3: a snapshot from somebody else can do to the host what a session can, which is nothing.
//!
//! What a holder of a trusted key could do is done here: the engine's images are changed before they are packed, so that
//! every checksum is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};
use nix::fcntl::{Flock, FlockArg};

use crate::id_ranges::range;
use crate::small;

const LIMIT: Duration = Duration::from_secs(60);
/// Bytes at the head of an image: what it is, and the length of its only entry (criu.org/Images).
const MAGIC: usize = 8;

/// Saves the session, changes the images, and waits until they are packed. Answers the snapshot's id.
fn saved_with(stage: &Stage, session: &str, change: impl Fn(&Path) -> Result<()>) -> Result<String> {
    // As a collection has it: nothing can be packed meanwhile.
    let lock = fs::File::open(stage.data().join("store/lock"))?;
    let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let id = stage.save(session)?;
    change(&stage.data().join("store/raw").join(&id).join("images"))?;
    drop(lock);
    eventually(LIMIT, "it is packed", || {
        Ok(stage.json(&["show", &id])?["own_bytes"].as_u64().filter(|bytes| *bytes > 0))
    })?;
    Ok(id)
}

fn images(directory: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let named = entries
        .iter()
        .map(fs::DirEntry::path)
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)));
    let found: Vec<PathBuf> = named.collect();
    ensure!(!found.is_empty(), "there is no {prefix}* in {}", directory.display());
    Ok(found)
}

/// `UsernsEntry` (criu/images/userns.proto) in which root inside is root outside: two fields that each hold one extent of
/// `inner`, `outer` and `count`, 65536 being three bytes.
fn roots_own_ids() -> Vec<u8> {
    let extent = [0x08, 0, 0x10, 0, 0x18, 0x80, 0x80, 0x04];
    [0x0a, 0x12].iter().flat_map(|field| [&[*field, 8][..], &extent].concat()).collect()
}

fn becomes_root(directory: &Path) -> Result<()> {
    for image in images(directory, "userns-")? {
        let head = fs::read(&image)?[..MAGIC].to_vec();
        let entry = roots_own_ids();
        let length = u32::try_from(entry.len())?.to_le_bytes();
        fs::write(&image, [&head[..], &length, &entry].concat())?;
    }
    Ok(())
}

/// Makes a device of the session a file of the host: changes the `source` of its mount (field 8 of `MntEntry`,
/// criu/images/mnt.proto), which has as many letters.
fn mounts_a_file_of_the_host(directory: &Path) -> Result<()> {
    let (from, to) = (b"B\x0b/dev/random", b"B\x0b/etc/passwd");
    for image in images(directory, "mountpoints-")? {
        let mut bytes = fs::read(&image)?;
        let found = bytes.windows(from.len()).position(|part| part == from);
        let at = found.with_context(|| format!("{} has no /dev/random", image.display()))?;
        bytes[at..at + to.len()].copy_from_slice(to);
        fs::write(&image, bytes)?;
    }
    Ok(())
}

/// Such a snapshot is not resumed, and nothing of the try is left.
fn is_refused(stage: &Stage, id: &str, why: &str) -> Result<()> {
    for resume in [&["resume", id][..], &["resume", id, "--alongside"]] {
        let error = stage.ctl(resume)?.refused(1, "Failed")?;
        let message = error["message"].as_str().context("a message")?;
        ensure!(message.contains(why) && message.contains("killed before it ran"), "{message}");
    }
    ensure!(stage.json(&["list"])? == serde_json::json!([]), "a session is left");
    eventually(LIMIT, "nothing runs", || Ok(stage.wrappers().is_empty().then_some(())))
}

/// The id map in the images has no effect: a session gets the ids that it is given here, whatever they say.
fn has_its_own_ids(stage: &Stage, network: &str) -> Result<()> {
    let session = stage.start(&["--name", "desk", "--network", network])?;
    let id = saved_with(stage, &session, becomes_root)?;
    let copy = stage.word(&["resume", &id, "--alongside"], "session")?;
    let ranges = [range(stage, &session)?, range(stage, &copy)?];
    ensure!(ranges[0].abs_diff(ranges[1]) >= 65536 && ranges[1] >= 65536, "{ranges:?}");
    stage.inside(&copy, &["sudo", "-n", "true"]).map(drop)
}

#[test]
fn an_id_map_that_was_changed_gives_no_ids() {
    small(|stage| has_its_own_ids(stage, "none"));
}

#[test]
fn an_id_map_that_was_changed_gives_no_ids_to_a_session_with_a_way_out() {
    small(|stage| has_its_own_ids(stage, "outbound"));
}

#[test]
fn a_mount_of_the_host_is_refused_and_everything_killed() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let id = saved_with(stage, &session, mounts_a_file_of_the_host)?;
        stage.json(&["stop", &session])?;
        is_refused(stage, &id, "of the host")
    });
}
