//! Issue 9, number 2: what root has saved is resumed by a normal user, on another disk and with other ids, and the other way round.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, User, eventually};

use crate::id_ranges::is_same;
use crate::native::count;
use crate::{PLACES, play};

const PACKED: Duration = Duration::from_secs(180);

/// Counts in a terminal and in its memory; ends where the file has another number.
const COUNTER: &str = "
import time
n = 0
while open('/tmp/n').read() == f'{n}\\n':
    n += 1
    with open('/tmp/n', 'r+') as file: file.write(f'{n}\\n')
    time.sleep(0.02)
open('/tmp/lost', 'w')
";

/// What a layer can hold of a base, and what ids can lie in, as the session's root. The attribute is one that a program gives, though it is
/// named as those that an overlay keeps for itself.
const MAKE: &str = r#"set -e
echo changed >> /etc/profile; chown 1234:4321 /etc/issue; rm /etc/debian_version
echo '# both names' >> /usr/bin/perl; rm /usr/bin/perlbug
rm -r /etc/skel; mkdir /etc/skel; echo own > /etc/skel/own
mkdir /usr/share/new; echo new > /etc/apt/new; mv /etc/shells /etc/moved
mkdir /home/user/owned; cd /home/user/owned
for id in 0 1 1000 1234 65533; do echo $id > of-$id; chown $id:$((65533 - id)) of-$id; ln -s of-$id link-$id; chown -h $id link-$id; done
cp /usr/bin/id who; chown 1234:4321 who; chmod 6755 who; ln who who-as-well; mkfifo -m 640 fifo
cp /usr/bin/id able; echo listed > listed; mkdir -m 2775 shared; chgrp 4321 shared; truncate -s 50M sparse
python3 -c '
import os, struct
entry = lambda tag, rights, id=0xffffffff: struct.pack("<HHI", tag, rights, id)
acl = struct.pack("<I", 2) + entry(1, 6) + entry(2, 4, 1234) + entry(4, 4) + entry(8, 6, 4321) + entry(16, 6) + entry(32, 0)
os.setxattr("listed", "system.posix_acl_access", acl)
os.setxattr("able", "security.capability", struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0))
os.setxattr("listed", "user.overlay.opaque", b"y")
os.setxattr("listed", "user.note", b"a note")
'
for d in /tmp /run /dev/shm; do echo memory > $d/memory; chown 1234:4321 $d/memory; chmod 4640 $d/memory; done
"#;

/// Reads it: says the same wherever it is.
const READ: &str = r#"tail -n 1 /etc/profile /usr/bin/perl /usr/bin/perl5* /usr/bin/perlthanks 2>&1
ls /usr/bin/perl* /etc; ls -A /etc/skel; cat /etc/apt/new /etc/moved; ls /usr/bin | wc -l; ls /usr/share | wc -l; cat /etc/shadow | wc -l
stat -c '%u:%g %a %F %n' /etc/profile /etc/issue /etc/shadow /usr/bin/sudo /home/user /tmp/memory /run/memory /dev/shm/memory
cd /home/user/owned; stat -c '%u:%g %a %h %F %n' *; stat -c %s sparse
python3 -c '
import os
for file in ["listed", "able"]:
    for name in sorted(os.listxattr(file)): print(file, name, os.getxattr(file, name))
'
"#;

/// What its user can do by that.
const USE: &str = r#"cd /home/user/owned
./who -u; ./who -g; cat of-0; cat listed 2>&1; echo mine > shared/new 2>&1 || true
sudo -n id -u; sudo -n mkdir /etc/apt/later; sudo -n mv /etc/apt/later /etc/apt/last; sudo -n rmdir /etc/apt/last"#;

fn look(stage: &Stage, session: &str) -> Result<String> {
    let read = stage.ctl_plain(&["exec", session, "--wait", "--root", "--", "sh", "-c", READ])?.done()?;
    let used = stage.inside(session, &["sh", "-c", USE])?;
    Ok(read + &used)
}

/// A session with changes in every form, and what is to be found again.
fn desk(stage: &Stage) -> Result<(String, String)> {
    let session = stage.start(&["--name", "desk", "--size", "900x600"])?;
    stage.ctl_plain(&["exec", &session, "--wait", "--root", "--", "sh", "-c", MAKE])?.done()?;
    stage.inside(&session, &["sh", "-c", "echo 0 > /tmp/n"])?;
    stage.launch(&session, &["xterm", "-T", "terminal", "-e", "python3", "-c", COUNTER])?;
    stage.wait_for_window(&session, "^terminal$")?;
    count(stage, &session)?;
    stage.settled_pids(&session)?;
    let found = look(stage, &session)?;
    ensure!(found.contains("# both names") && found.contains("user.overlay.opaque b'y'"), "{found}");
    ensure!(found.contains("1234:4321 6755 2 regular file who") && !found.contains("65534"), "{found}");
    Ok((session, found))
}

/// Saves it, carries it over with its base, and resumes it there. Answers the session there.
fn carry(from: &Stage, session: &str, found: &str, to: &Stage) -> Result<String> {
    let before = count(from, session)?;
    let id = from.save(session)?;
    from.json(&["stop", session])?;
    let file = from.data().join("desk.freezeframe");
    from.json(&["export", &id, &file.to_string_lossy(), "--with-base"])?;
    let key = from.word(&["key"], "key")?;
    let there = to.directory().join("carried.freezeframe");
    fs::copy(&file, &there)?;
    fs::set_permissions(&there, fs::Permissions::from_mode(0o644))?;
    let imported = to.json(&["import", &there.to_string_lossy(), "--trust", &key])?;
    ensure!(imported["snapshot"] == id.as_str() && imported["base"] == "minimal", "{imported}");
    eventually(PACKED, "it is whole", || Ok((to.json(&["show", &id])?["state"] == "whole").then_some(())))?;
    let session = to.word(&["resume", &id], "session")?;
    let resumed = count(to, &session)?;
    ensure!(resumed >= before, "{before} {resumed}");
    eventually(Duration::from_secs(20), "it counts on", || Ok((count(to, &session)? > resumed + 3).then_some(())))?;
    to.wait_for_window(&session, "^terminal$")?;
    is_same(&look(to, &session)?, found)?;
    to.inside(&session, &["sh", "-c", "! [ -e /tmp/lost ]"])?;
    ensure!(to.screenshot(&session)?.colours() > 10, "nothing is seen");
    // What is saved there comes back there, from its raw files and when it is packed.
    let id = to.save(&session)?;
    to.json(&["stop", &session])?;
    let session = to.word(&["resume", &id], "session")?;
    is_same(&look(to, &session)?, found)?;
    Ok(session)
}

fn of_root() -> Result<Stage> {
    Ok(Stage::new(&["minimal"])?.natively())
}

fn of_user() -> Result<Stage> {
    Ok(Stage::of_user(User::create()?)?.natively())
}

#[test]
fn issue_9_2_what_root_saved_is_resumed_by_a_normal_user_and_back_by_root() {
    play(PLACES, of_root, |root| {
        let (session, found) = desk(root)?;
        let user = of_user()?;
        let session = carry(root, &session, &found, &user)?;
        let another = Stage::new(&[])?.natively();
        carry(&user, &session, &found, &another).map(drop)
    });
}

#[test]
fn issue_9_2_what_a_normal_user_saved_is_resumed_by_root_and_by_another_user() {
    play(PLACES, of_user, |user| {
        user.import("minimal")?;
        let (session, found) = desk(user)?;
        let root = Stage::new(&[])?.natively();
        let session = carry(user, &session, &found, &root)?;
        let another = of_user()?;
        carry(&root, &session, &found, &another).map(drop)
    });
}
