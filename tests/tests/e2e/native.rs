//! Sessions that the native engine saves and resumes (`FREEZEFRAME_ENGINE=native`).

use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, User, eventually};

use crate::{PLACES, play};

/// Counts in a terminal and in a file in memory; ends where a number is not the one after the last, or something that it has open
/// is not what it was.
const COUNTER: &str = "
import os, time
hidden = open('/dev/shm/hidden', 'w+')
os.unlink('/dev/shm/hidden')
hidden.write('kept')
status = open('/proc/self/status')
n = 0
def same():
    hidden.seek(0)
    status.seek(0)
    return hidden.read() == 'kept' and f'Pid:\\t{os.getpid()}\\n' in status.read() and open('/tmp/n').read() == f'{n}\\n'
while same():
    n += 1
    with open('/tmp/n', 'r+') as file: file.write(f'{n}\\n')
    print(n)
    time.sleep(0.02)
open('/tmp/lost', 'w')
";

fn count(stage: &Stage, session: &str) -> Result<u32> {
    let read = || Ok(stage.inside(session, &["cat", "/tmp/n"])?.trim().parse().ok());
    eventually(Duration::from_secs(20), "the counter counts", read)
}

/// Starts a desktop, saves it, ends it and resumes it.
fn comes_back(stage: &Stage) -> Result<()> {
    let session = stage.start(&["--name", "desk", "--size", "900x600"])?;
    let inside = |command: &str| stage.inside(&session, &["sh", "-c", command]);
    inside(
        "echo 0 > /tmp/n; mkfifo -m 640 /tmp/fifo; ln /tmp/n /tmp/again; mkdir -m 1711 /dev/shm/kept; \
            truncate -s 50M /dev/shm/kept/sparse; echo layer > /home/user/file",
    )?;
    stage.launch(&session, &["xterm", "-T", "terminal", "-e", "python3", "-c", COUNTER])?;
    stage.wait_for_window(&session, "^terminal$")?;
    let before = count(stage, &session)?;
    let pids = stage.settled_pids(&session)?;

    let id = stage.save(&session)?;
    let snapshot = stage.json(&["show", &id])?;
    ensure!(snapshot["engine"].as_str().is_some_and(|engine| engine.starts_with("freezeframe ")), "{snapshot}");
    let ran_on = count(stage, &session)?;
    ensure!(ran_on >= before, "{before} {ran_on}");
    stage.json(&["stop", &session])?;

    let session = stage.word(&["resume", &id], "session")?;
    let inside = |command: &str| stage.inside(&session, &["sh", "-c", command]);
    let resumed = count(stage, &session)?;
    ensure!(resumed >= before, "{before} {resumed}");
    eventually(Duration::from_secs(20), "it counts on", || Ok((count(stage, &session)? > resumed + 3).then_some(())))?;
    let now = stage.settled_pids(&session)?;
    ensure!(pids == now, "{pids:?} {now:?}");
    let files = inside(
        "cat /home/user/file; stat -c '%a %F' /tmp/fifo /dev/shm/kept; stat -c %s%b /dev/shm/kept/sparse; \
                        [ /tmp/n -ef /tmp/again ] && ! [ -e /tmp/lost ]",
    )?;
    ensure!(files.starts_with("layer\n640 fifo\n1711 directory\n524288000\n"), "{files}");
    stage.wait_for_window(&session, "^terminal$")?;
    ensure!(stage.screenshot(&session)?.colours() > 10, "nothing is seen");
    // What was resumed is saved and resumed as well.
    let id = stage.save(&session)?;
    stage.json(&["stop", &session])?;
    let session = stage.word(&["resume", &id], "session")?;
    let again = count(stage, &session)?;
    ensure!(again >= resumed, "{resumed} {again}");
    stage.json(&["stop", &session])?;
    Ok(())
}

#[test]
fn issue_10_a_desktop_comes_back() {
    play(PLACES, || Ok(Stage::new(&["minimal"])?.natively()), comes_back);
}

#[test]
fn issue_10_a_normal_users_desktop_comes_back() {
    let stage = || {
        let stage = Stage::of_user(User::create()?)?.natively();
        stage.import("minimal")?;
        Ok(stage)
    };
    play(PLACES, stage, comes_back);
}
