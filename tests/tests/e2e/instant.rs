//! Files and memory in a snapshot are of one instant, also while programs write all the time.

use std::time::Duration;

use anyhow::{Result, ensure};
use freezeframe_tests::{Stage, eventually};

use crate::small;

/// Writes, makes, renames and removes files, and knows at every step what has to be there. When it is told to end it
/// compares, and reports.
const WRITER: &str = r"
import os, signal, time
home, kept = '/home/user/files', 50
os.makedirs(home)
ended = False
def end(*_):
    global ended
    ended = True
signal.signal(signal.SIGTERM, end)
log = open('/home/user/log', 'a')
n = 0
while not ended:
    n += 1
    log.write(f'{n}\n')
    log.flush()
    with open(f'{home}/new', 'w') as f: f.write('x' * (n * 37 % 9000))
    os.rename(f'{home}/new', f'{home}/{n}')
    if n > kept: os.unlink(f'{home}/{n - kept}')
    if n == 300: open('/tmp/ready', 'w').write('ready')
    time.sleep(0.001)
problems = []
lines = open('/home/user/log').read().split()
if lines != [str(i) for i in range(1, n + 1)]: problems.append(f'the log has {len(lines)} lines, {lines[-3:]}, at {n}')
wanted = {str(i): i * 37 % 9000 for i in range(max(1, n - kept + 1), n + 1)}
found = {name: os.stat(f'{home}/{name}').st_size for name in os.listdir(home)}
if found != wanted: problems.append(f'{sorted(set(found.items()) ^ set(wanted.items()))} at {n}')
open('/tmp/verdict.new', 'w').write('; '.join(problems) or f'well {n}')
os.rename('/tmp/verdict.new', '/tmp/verdict')
";

fn verdict(stage: &Stage, session: &str, writer: i32) -> Result<u64> {
    stage.inside(session, &["kill", "-TERM", &writer.to_string()])?;
    let said = eventually(Duration::from_secs(30), "the writer reports what it found", || {
        Ok(Some(stage.inside(session, &["cat", "/tmp/verdict"])?))
    })?;
    let steps = said.strip_prefix("well ").and_then(|n| n.parse().ok());
    steps.ok_or_else(|| anyhow::anyhow!("{session}: files and memory differ: {said}"))
}

#[test]
fn files_and_memory_are_of_one_instant() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let writer = stage.launch(&session, &["python3", "-c", WRITER])?;
        stage.file_inside(&session, "/tmp/ready")?;
        let saves = [stage.save(&session)?, stage.save(&session)?, stage.save(&session)?];
        let original = verdict(stage, &session, writer)?;
        stage.json(&["stop", &session])?;
        ensure!(original > 300, "{original}");
        for id in &saves {
            let resumed = stage.word(&["resume", id, "--alongside"], "session")?;
            let steps = verdict(stage, &resumed, writer)?;
            ensure!(steps >= 300, "{resumed} begins again: {steps}");
            stage.json(&["stop", &resumed])?;
        }
        Ok(())
    });
}
