//! Issue 9, 4 and 2: every session of root has an id range that no other has, and a snapshot is bound to none.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, VIM, Window, eventually, finish};
use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

use crate::small;

const LIMIT: Duration = Duration::from_secs(180);
const TEXT: &str = "/home/user/text";

/// Makes files in which ids lie in every way, as the session's root: owners, set-id bits, an ACL, a capability of a program, hard
/// links, on its layer and on file systems in memory.
const MAKE: &str = r#"set -e
mkdir /home/user/owned; cd /home/user/owned
for id in 0 1 1000 1234 65533; do echo $id > of-$id; chown $id:$((65533 - id)) of-$id; ln -s of-$id link-$id; chown -h $id link-$id; done
cp /usr/bin/id who; chown 1234:4321 who; chmod 6755 who; ln who who-as-well
cp /usr/bin/perl able; echo listed > listed; mkdir -m 2775 shared; chgrp 4321 shared
perl -e '
    my ($set) = @ARGV;
    sub entry { pack "vvV", @_ }
    my $acl = pack("V", 2) . entry(1, 6, ~0 & 0xffffffff) . entry(2, 4, 1234) . entry(4, 4, ~0 & 0xffffffff)
        . entry(8, 6, 4321) . entry(16, 6, ~0 & 0xffffffff) . entry(32, 0, ~0 & 0xffffffff);
    my $capability = pack("VVVVV", 0x02000001, 1, 0, 0, 0);
    for (["listed", "system.posix_acl_access", $acl], ["able", "security.capability", $capability]) {
        my ($file, $name, $value) = @$_;
        syscall($set + 0, $file, $name, $value, length $value, 0) == 0 or die "$name: $!";
    }
' SET
echo base >> /etc/profile; chown 1234:4321 /etc/issue; echo '# both names' >> /usr/bin/perl
for d in /tmp /run /dev/shm; do echo memory > $d/memory; chown 1234:4321 $d/memory; chmod 4640 $d/memory; mkfifo $d/pipe; chown 1000:1234 $d/pipe; done
"#;

/// Reads them, as the session's root: says the same wherever it is. (An overlay's index is one more link of a file that was copied up
/// once the kernel reads it back, so links of the base's files with one name are not counted.)
const READ: &str = r#"cd /home/user/owned
stat -c '%u:%g %a %F %n' /etc/profile /etc/issue
stat -c '%u:%g %a %h %F %n' * /usr/bin/perl* /tmp/memory /tmp/pipe /run/memory /run/pipe /dev/shm/memory \
    /dev/pts /dev/pts/ptmx /home/user /run/user/1000 /tmp/.X11-unix/X1
perl -e '
    my ($get) = @ARGV;
    for (["listed", "system.posix_acl_access"], ["able", "security.capability"]) {
        my ($file, $name, $value) = (@$_, "\0" x 100);
        my $length = syscall($get + 0, $file, $name, $value, 100);
        die "@$_: $!" if $length < 0;
        print "@$_ ", unpack("H*", substr($value, 0, $length)), "\n";
    }
' GET
ps -C init,Xtigervnc,openbox,dbus-daemon,xterm,vim -o uid=,gid=,args= | sort
"#;

/// What its user can do by that.
const USE: &str = r#"cd /home/user/owned
./who -u; ./who -g; ./who-as-well -u
./able -ne 'print if /^Cap(Eff|Prm)/' /proc/self/status
cat of-0; cat listed 2>&1; echo mine > shared/new 2>&1 || true
touch /home/user/written && stat -c '%u:%g' /home/user/written && rm /home/user/written
sudo -n id -u"#;

/// The numbers of setxattr(2) and lgetxattr(2)'s kin, for a program without a library for them.
fn with_numbers(script: &str) -> String {
    let (set, get) = if cfg!(target_arch = "x86_64") { ("188", "191") } else { ("5", "8") };
    script.replace("SET", set).replace("GET", get)
}

fn as_root(stage: &Stage, session: &str, script: &str) -> Result<String> {
    stage.ctl_plain(&["exec", session, "--wait", "--root", "--", "sh", "-c", &with_numbers(script)])?.done()
}

/// What is found of all that, by root and user.
fn look(stage: &Stage, session: &str) -> Result<String> {
    stage.settled_pids(session)?;
    let found = as_root(stage, session, READ)?;
    for line in [
        "1234:64299 644",
        "65533:0 644",
        "1234:4321 6755 2 regular file who",
        "1234:4321 4640 1 regular file /run/memory",
    ] {
        ensure!(found.contains(line), "no {line:?} in {found}");
    }
    // The value of the ACL has the ids that it was made with, and that of the capability the form without an id.
    ensure!(found.contains("d2040000") && found.contains("e1100000"), "the ACL has other ids: {found}");
    ensure!(found.contains("security.capability 0100000201000000"), "the capability is another's: {found}");
    ensure!(!found.contains("65534"), "ids that are not the session's: {found}");
    let used = stage.inside(session, &["sh", "-c", USE])?;
    let lines: Vec<&str> = used.lines().collect();
    ensure!(lines.get(..3) == Some(&["1234", "4321", "1234"]), "set-id bits: {used}");
    ensure!(used.contains("CapEff:\t0000000000000001") && used.trim_end().ends_with("1000:1000\n0"), "{used}");
    Ok(found + &used)
}

/// The first outside id of a session: each of its processes has the same.
pub(crate) fn range(stage: &Stage, session: &str) -> Result<u32> {
    let mut found = None;
    let processes = stage.processes(session)?;
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let server = processes.values().find(|p| p.name == "Xtigervnc").context("no display server")?;
    // What the outside keeps for it, such as its way to the network, is in no pid namespace of it.
    for process in processes.values().filter(|p| namespace(p.pid) == namespace(server.pid)) {
        let Ok(map) = fs::read_to_string(format!("/proc/{}/uid_map", process.pid)) else { continue };
        let numbers: Vec<u32> = map.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [0, first, 65536] = numbers[..] else { anyhow::bail!("the uid_map of {}: {map:?}", process.command) };
        ensure!(found.is_none_or(|other| other == first), "two ranges in {session}");
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", process.pid)) else { continue };
        let line = status.lines().find(|line| line.starts_with("Uid:")).context("no Uid")?;
        for id in line.split_whitespace().skip(1) {
            let id: u32 = id.parse()?;
            ensure!((first..first + 65536).contains(&id), "{} has the id {id}, and {session} {first}", process.command);
        }
        found = Some(first);
    }
    found.context("no process")
}

/// Whether the same is found as before.
pub(crate) fn is_same(now: &str, before: &str) -> Result<()> {
    let [now, before] = [now, before].map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    let (new, gone): (Vec<_>, Vec<_>) =
        (now.iter().filter(|l| !before.contains(l)).collect(), before.iter().filter(|l| !now.contains(l)).collect());
    ensure!(now == before, "{new:#?}\nwhere this was: {gone:#?}");
    Ok(())
}

fn are_disjoint(ranges: &[u32]) -> Result<()> {
    for (at, one) in ranges.iter().enumerate() {
        for other in &ranges[at + 1..] {
            ensure!(one.abs_diff(*other) >= 65536, "{ranges:?}");
        }
    }
    Ok(())
}

fn desk(stage: &Stage, name: &str) -> Result<(String, Window)> {
    let session = stage.start(&["--name", name])?;
    stage.launch(&session, &VIM)?;
    let window = stage.wait_for_window(&session, "editor|VIM")?;
    stage.click_on(&session, &window)?.type_text("itravels")?;
    as_root(stage, &session, MAKE)?;
    Ok((session, window))
}

fn is_live(stage: &Stage, session: &str, window: &Window, typed: &str, text: &str) -> Result<()> {
    stage.click_on(session, window)?.type_text(typed)?;
    let found = stage.text_in_vim(session, window, TEXT)?;
    ensure!(found.trim_end() == text, "{found:?}");
    Ok(())
}

/// Issue 9, number 4.
#[test]
fn every_session_of_root_has_its_own_id_range() {
    small(|stage| {
        let (one, two) = (stage.start(&["--name", "one"])?, stage.start(&["--name", "two"])?);
        let ranges = [range(stage, &one)?, range(stage, &two)?];
        let base: serde_json::Value = serde_json::from_slice(&fs::read(stage.data().join("bases/minimal/base.json"))?)?;
        let on_disk = u32::try_from(base["first_id"].as_u64().context("no first_id")?)?;
        are_disjoint(&[ranges[0], ranges[1], on_disk])?;
        for session in [&one, &two] {
            let seen =
                as_root(stage, session, "touch /etc/new && stat -c '%u:%g' /etc/new /bin/sh /etc/passwd /home/user")?;
            ensure!(seen.split_whitespace().eq(["0:0", "0:0", "0:0", "1000:1000"]), "{seen}");
            // On disk they belong to the base's range, whichever the session has.
            let new = stage.data().join("sessions").join(session).join("layer/etc/new");
            ensure!(fs::metadata(&new)?.uid() == on_disk, "{} is of {}", new.display(), fs::metadata(&new)?.uid());
            let mounts = as_root(stage, session, "cat /proc/self/mountinfo /proc/mounts")?;
            ensure!(!mounts.contains("stage."), "a path of the outside: {mounts}");
        }
        // With its ids a process could be signalled from the other session, were it not for the pid namespace.
        let pid =
            |session: &str| -> Result<i32> { Ok(stage.processes(session)?.values().next().context("no process")?.pid) };
        let (of_one, of_two) = (pid(&one)?, pid(&two)?);
        let tried = Command::new("setpriv")
            .args([
                &format!("--reuid={}", ranges[0] + 1000),
                &format!("--regid={}", ranges[0] + 1000),
                "--clear-groups",
            ])
            .args(["sh", "-c", &format!("kill -0 {of_two}")])
            .output()
            .context("setpriv (package util-linux)")?;
        ensure!(
            !tried.status.success(),
            "an id of {one} has power over process {of_two} of {two} ({of_one} is its own)"
        );
        // A range that is given back can be had again, and one that is kept by none is not lost.
        stage.json(&["stop", &one])?;
        let supervisor = stage.supervisor(&two)?;
        stage.kill(&supervisor)?;
        let again = stage.start(&["--name", "again"])?;
        range(stage, &again).map(drop)
    });
}

/// Issue 9, numbers 4 and 2.
#[test]
fn a_session_is_resumed_in_another_range_with_all_that_belongs_to_its_ids() {
    small(|stage| {
        let (session, window) = desk(stage, "desk")?;
        let found = look(stage, &session)?;
        let id = stage.save(&session)?;
        // Beside the one that runs on, whose range is taken.
        let copy = stage.word(&["resume", &id, "--alongside"], "session")?;
        are_disjoint(&[range(stage, &session)?, range(stage, &copy)?])?;
        let now = look(stage, &copy)?;
        is_same(&now, &found)?;
        is_live(stage, &copy, &window, " far", "travels far")?;
        // New programs find its display, its session bus and its own files.
        stage.launch(&copy, &["xterm", "-T", "later", "-e", "cat"])?;
        stage.wait_for_window(&copy, "^later$")?;
        stage.inside(&copy, &["pkill", "-x", "cat"])?;
        eventually(LIMIT, "the window goes", || Ok(stage.window(&copy, "^later$")?.is_none().then_some(())))?;
        let again = stage.word(&["save", &copy, "--stop"], "snapshot")?;
        stage.json(&["stop", &session])?;
        let last = stage.word(&["resume", &again], "session")?;
        let now = look(stage, &last)?;
        is_same(&now, &found)?;
        is_live(stage, &last, &window, "a away", "travels far away")
    });
}

/// Gives what belongs to one range to another, as a machine with other lines in /etc/subuid would have made it.
fn move_ids(path: &Path, from: u32, to: u32) -> Result<()> {
    let there = fs::symlink_metadata(path)?;
    let moved = |id: u32| id.checked_sub(from).filter(|n| *n < 65536).map_or(id, |n| n + to);
    // It goes when the owner changes, and names root of the range in its last four bytes (capabilities(7), VFS_CAP_REVISION_3).
    let mut capability = [0; 24];
    let length = lgetxattr(path, "security.capability", &mut capability[..]).unwrap_or(0);
    lchown(path, Some(moved(there.uid())), Some(moved(there.gid())))?;
    if !there.is_symlink() {
        fs::set_permissions(path, fs::Permissions::from_mode(there.mode() & 0o7777))?;
    }
    if length == capability.len() {
        let id = capability.last_chunk_mut::<4>().context("no id")?;
        *id = moved(u32::from_le_bytes(*id)).to_le_bytes();
        lsetxattr(path, "security.capability", &capability, XattrFlags::empty())?;
    }
    if there.is_dir() {
        for entry in fs::read_dir(path)? {
            move_ids(&entry?.path(), from, to)?;
        }
    }
    Ok(())
}

/// Issue 9, number 2: the base here belongs to other ids than the layer, which came from elsewhere, and both to others than the
/// session's.
#[test]
fn a_snapshot_is_resumed_over_a_base_of_another_id_range() {
    small(|stage| {
        let (session, window) = desk(stage, "desk")?;
        let found = look(stage, &session)?;
        let id = stage.word(&["save", &session, "--wait"], "snapshot")?;
        stage.json(&["stop", &session])?;
        let other = Stage::new(&[])?;
        let base = other.data().join("bases/minimal");
        let from = stage.data().join("bases/minimal").canonicalize()?;
        finish(Command::new("cp").arg("-a").arg(from).arg(&base), LIMIT)?.done()?;
        for name in ["snapshots", "store"] {
            finish(Command::new("cp").arg("-a").arg(stage.data().join(name)).arg(other.data()), LIMIT)?.done()?;
        }
        let record = base.join("base.json");
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&record)?)?;
        let first = u32::try_from(json["first_id"].as_u64().context("no first_id")?)?;
        let elsewhere = 0x1000_0000;
        json["first_id"] = elsewhere.into();
        fs::write(&record, serde_json::to_vec(&json)?)?;
        move_ids(&base.join("root"), first, elsewhere)?;
        let session = other.word(&["resume", &id], "session")?;
        are_disjoint(&[first, elsewhere, range(&other, &session)?])?;
        let now = look(&other, &session)?;
        is_same(&now, &found)?;
        is_live(&other, &session, &window, " far", "travels far")?;
        // What is saved here is of both ranges still, and comes back.
        let again = other.word(&["save", &session, "--stop"], "snapshot")?;
        let session = other.word(&["resume", &again], "session")?;
        is_live(&other, &session, &window, "a away", "travels far away")?;
        // And a new session on that base is like any.
        let fresh = other.start(&["--name", "fresh"])?;
        let seen = as_root(&other, &fresh, "stat -c '%u:%g' /bin/sh /home/user; su user -c 'sudo -n id -u'")?;
        ensure!(seen.split_whitespace().eq(["0:0", "1000:1000", "0"]), "{seen}");
        Ok(())
    });
}
