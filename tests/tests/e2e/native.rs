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

/// Installs a seccomp filter by which getpriority(2) fails with EDOM, and counts in a file as long as it does.
const FILTERED: &str = "
import ctypes, os, struct, time
open('/tmp/filtered', 'w').write(str(os.getpid()))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0)))
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 140), (6, 0, 0, 0x50000 | 33), (6, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *one) for one in code))
program = struct.pack('HxxxxxxQ', 4, ctypes.addressof(code))
assert libc.syscall(317, 1, 1, program) == 0
n = 0
while libc.syscall(140, 0, 0) == -1 and ctypes.get_errno() == 33:
    n += 1
    with open('/tmp/denied', 'w') as file: file.write(f'{n}\\n')
    time.sleep(0.02)
open('/tmp/allowed', 'w')
";

pub(crate) fn count(stage: &Stage, session: &str) -> Result<u32> {
    number(stage, session, "/tmp/n")
}

fn number(stage: &Stage, session: &str, file: &str) -> Result<u32> {
    let read = || Ok(stage.inside(session, &["cat", file]).ok().and_then(|text| text.trim().parse().ok()));
    eventually(Duration::from_secs(20), "the counter counts", read)
}

/// The filter that a program installed for itself is there and holds.
fn is_denied(stage: &Stage, session: &str, before: u32) -> Result<u32> {
    let counts_on = || Ok(Some(number(stage, session, "/tmp/denied")?).filter(|now| *now > before));
    let now = eventually(Duration::from_secs(20), "a program with a filter of its own goes on", counts_on)?;
    let filters = "! [ -e /tmp/allowed ] && grep Seccomp_filters: /proc/$(cat /tmp/filtered)/status";
    let filters = stage.inside(session, &["sh", "-c", filters])?;
    ensure!(filters.trim().ends_with("\t2"), "{filters}");
    Ok(now)
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
    stage.launch(&session, &["python3", "-c", FILTERED])?;
    let denied = is_denied(stage, &session, 0)?;
    let before = count(stage, &session)?;
    let pids = stage.settled_pids(&session)?;

    let id = stage.save(&session)?;
    let snapshot = stage.json(&["show", &id])?;
    ensure!(snapshot["engine"].as_str().is_some_and(|engine| engine.starts_with("freezeframe ")), "{snapshot}");
    let denied = is_denied(stage, &session, denied)?;
    let ran_on = count(stage, &session)?;
    ensure!(ran_on >= before, "{before} {ran_on}");
    stage.json(&["stop", &session])?;

    let session = stage.word(&["resume", &id], "session")?;
    let inside = |command: &str| stage.inside(&session, &["sh", "-c", command]);
    let resumed = count(stage, &session)?;
    ensure!(resumed >= before, "{before} {resumed}");
    eventually(Duration::from_secs(20), "it counts on", || Ok((count(stage, &session)? > resumed + 3).then_some(())))?;
    let denied = is_denied(stage, &session, denied)?;
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
    is_denied(stage, &session, denied)?;
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
