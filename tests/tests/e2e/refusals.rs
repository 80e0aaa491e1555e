//! What cannot be saved is refused by name, and harms nothing.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually, wait_until};

use crate::small;

/// Refused with exit code 4 by save and check alike; the finding names `application` and says `object`.
fn is_refused(stage: &Stage, session: &str, application: &str, object: &str) -> Result<()> {
    let check = stage.ctl(&["check", session])?;
    ensure!(check.code == 4, "{}", check.tell());
    let report = check.json()?;
    ensure!(report["savable"] == false, "{report}");
    let findings = report["findings"].as_array().context("findings")?;
    let text = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let found = findings.iter().find(|f| text(f, "object").contains(object));
    let found = found.with_context(|| format!("nothing about {object:?} in {report}"))?;
    ensure!(text(found, "application") == application && found["blocking"] == true, "{found}");
    ensure!(found["pid"].as_u64().is_some_and(|pid| pid > 1) && !text(found, "remedy").is_empty(), "{found}");
    let stored = stage.stored()?;
    let error = stage.ctl(&["save", session])?.refused(4, "Refused")?;
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(message.contains(application) && message.contains(object), "{error}");
    ensure!(stage.stored()? == stored, "{:?}", stage.stored());
    Ok(())
}

#[test]
fn a_traced_process_is_refused_until_it_is_let_go() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        // PTRACE_SEIZE (0x4206) does not stop the other one; the tracer lets go when it ends.
        let script = "import ctypes, subprocess, sys, time\n\
                      libc = ctypes.CDLL(None, use_errno=True)\n\
                      child = subprocess.Popen(['sleep', '100000'])\n\
                      print(libc.ptrace(0x4206, child.pid, 0, 0), ctypes.get_errno())\n\
                      open('/tmp/traced', 'w').write(str(child.pid))\n\
                      time.sleep(100000)\n";
        let tracer = stage.launch(&session, &["python3", "-c", script])?;
        stage.file_inside(&session, "/tmp/traced")?;
        is_refused(stage, &session, "sleep", "traced by python3")?;
        stage.inside(&session, &["kill", "-9", &tracer.to_string()])?;
        let saved = || Ok(stage.ctl(&["save", &session])?.done().ok());
        eventually(Duration::from_secs(20), "a save after the tracer has gone", saved)?;
        Ok(())
    });
}

#[test]
fn a_program_that_somebody_waits_for_is_refused_until_it_has_ended() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let program = stage.sessionctl();
        let mut command = stage.command(program.as_os_str());
        command.args(["exec", &session, "--wait", "--", "sh", "-c", "echo ready; exec cat"]);
        let mut waiting = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut word = [0; 6];
        std::io::Read::read_exact(waiting.stdout.as_mut().context("stdout")?, &mut word)?;
        ensure!(&word == b"ready\n", "{word:?}");
        wait_until(Duration::from_secs(10), "cat runs", || {
            stage.pids(&session).is_ok_and(|pids| pids.values().any(|(name, _)| name == "cat"))
        })?;
        is_refused(stage, &session, "cat", "exec cat")?;
        // Its standard input ends, and so does it.
        drop(waiting.stdin.take());
        ensure!(waiting.wait()?.success(), "exec --wait");
        stage.save(&session)?;
        Ok(())
    });
}

#[test]
fn a_program_that_somebody_waits_for_is_refused_whatever_it_has_open() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let program = stage.sessionctl();
        let mut command = stage.command(program.as_os_str());
        command.args(["exec", &session, "--wait", "--", "sleep", "100000"]);
        let mut waiting = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        wait_until(Duration::from_secs(10), "sleep runs", || {
            stage.pids(&session).is_ok_and(|pids| pids.values().any(|(name, _)| name == "sleep"))
        })?;
        is_refused(stage, &session, "sleep", "sleep 100000")?;
        stage.inside(&session, &["pkill", "sleep"])?;
        waiting.wait()?;
        stage.save(&session)?;
        Ok(())
    });
}

#[test]
fn a_display_that_takes_no_connection_holds_up_nobody() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        // The session's own user takes the X server's place, and lets one caller in its queue and then nobody.
        let script = "import os, socket, time\n\
                      os.remove('/tmp/.X11-unix/X1')\n\
                      s = socket.socket(socket.AF_UNIX); s.bind('/tmp/.X11-unix/X1'); s.listen(0)\n\
                      c = socket.socket(socket.AF_UNIX); c.connect('/tmp/.X11-unix/X1')\n\
                      open('/tmp/full', 'w').write('full')\n\
                      time.sleep(100000)\n";
        stage.launch(&session, &["python3", "-c", script])?;
        stage.file_inside(&session, "/tmp/full")?;
        for _ in 0..4 {
            let check = stage.json(&["check", &session])?;
            ensure!(check["savable"] == true, "{check}");
        }
        ensure!(stage.inside(&session, &["echo", "here"])?.trim() == "here", "exec");
        stage.json(&["stop", &session])?;
        Ok(())
    });
}

#[test]
fn a_sandbox_in_namespaces_of_its_own_is_refused_until_it_is_closed() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let sandbox = stage.launch(&session, &["unshare", "--user", "--ipc", "sleep", "100000"])?;
        wait_until(Duration::from_secs(10), "sleep runs", || {
            stage.pids(&session).is_ok_and(|pids| pids.get(&sandbox).is_some_and(|(name, _)| name == "sleep"))
        })?;
        is_refused(stage, &session, "sleep", "namespace of its own")?;
        stage.inside(&session, &["kill", &sandbox.to_string()])?;
        let saved = || Ok(stage.ctl(&["save", &session])?.done().ok());
        eventually(Duration::from_secs(20), "a save after the sandbox has gone", saved)?;
        Ok(())
    });
}
