//! What cannot be saved is refused by name, and harms nothing.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, all_processes, eventually, wait_until};

use crate::{alone, small};

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

/// Watches what it is told of and writes the names of what happens there.
const WATCHER: &str = "import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(0)
paths = {}
for path in sys.argv[1:]:
    paths[libc.inotify_add_watch(fd, path.encode(), 0x100)] = path
assert -1 not in paths
log = open('/tmp/heard', 'w')
print('ready', file=log, flush=True)
while True:
    wd, mask, cookie, length = struct.unpack('iIII', (data := os.read(fd, 4096))[:16])
    print(paths[wd], data[16:16 + length].rstrip(bytes(1)).decode(), file=log, flush=True)
";

#[test]
fn issue_9_18_names_of_watched_files_that_the_kernel_has_forgotten_are_looked_up() {
    // Alone, since the caches are the whole machine's.
    alone(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let watched = ["/usr/share/applications", "/home/user/deep/own", "/etc/xdg"];
        stage.inside(&session, &["mkdir", "-p", "/home/user/deep/own", "/etc/xdg"])?;
        stage.put(&session, "/home/user/watcher", WATCHER)?;
        let guest = stage.launch(&session, &[&["python3", "/home/user/watcher"], &watched[..]].concat())?;
        stage.file_inside(&session, "/tmp/heard")?;
        stage.settled_pids(&session)?;
        let heard = |session: &str, name: &str| -> Result<()> {
            for directory in watched {
                stage.inside(session, &["sudo", "touch", &format!("{directory}/{name}")])?;
                eventually(Duration::from_secs(20), &format!("{directory} is watched"), || {
                    let said = stage.inside(session, &["cat", "/tmp/heard"])?;
                    Ok(said.lines().any(|line| line == format!("{directory} {name}")).then_some(()))
                })?;
            }
            Ok(())
        };
        let process = stage.processes(&session)?.remove(&guest).context("the watcher")?;
        let number = fs::read_dir(format!("/proc/{}/fd", process.pid))?
            .flatten()
            .find(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy() == "anon_inode:inotify"));
        let number = number.context("its inotify descriptor")?.file_name();
        let about = Path::new("/proc").join(process.pid.to_string()).join("fdinfo").join(number);
        let forgotten = || {
            // What is to be written back is not given up.
            nix::unistd::sync();
            fs::write("/proc/sys/vm/drop_caches", "2")?;
            let text = fs::read_to_string(&about)?;
            Ok(text.lines().any(|line| line.starts_with("inotify ") && !line.contains("f_handle:")).then_some(()))
        };
        eventually(Duration::from_secs(60), "the kernel forgets a name", forgotten)?;
        let check = stage.json(&["check", &session])?;
        ensure!(check["savable"] == true, "{check}");
        eventually(Duration::from_secs(60), "the kernel forgets a name again", forgotten)?;
        let snapshot = stage.save(&session)?;
        heard(&session, "in-the-original")?;
        stage.json(&["stop", &session])?;
        let copy = stage.word(&["resume", &snapshot, "--alongside", "--name", "copy"], "session")?;
        heard(&copy, "in-the-copy")?;
        Ok(())
    });
}

#[test]
fn issue_9_11_a_terminal_within_a_terminal_is_named_with_the_remedy_that_works() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        let rule = |text: &str| {
            let script = "rm -f /etc/sudoers.d/zz && echo \"$1\" > /etc/sudoers.d/zz && chmod 440 /etc/sudoers.d/zz";
            stage.inside(&session, &["sudo", "sh", "-c", script, "sh", text])
        };
        let sudo = |count: &str| {
            stage.launch(&session, &["xterm", "-T", "a terminal", "-e", "sudo", "sleep", count])?;
            wait_until(Duration::from_secs(20), "sleep runs", || {
                stage
                    .pids(&session)
                    .is_ok_and(|pids| pids.values().any(|(_, command)| *command == format!("sleep {count}")))
            })
        };
        rule("Defaults use_pty")?;
        sudo("100001")?;
        stage.settled_pids(&session)?;
        let error = stage.ctl(&["save", &session])?.refused(4, "Refused")?;
        let (message, hint) =
            (error["message"].as_str().unwrap_or_default(), error["hint"].as_str().unwrap_or_default());
        ensure!(message.contains("sudo") && message.contains("a terminal within a terminal"), "{error}");
        ensure!(!message.contains("iptables") && !hint.contains("try again"), "{error}");
        ensure!(hint.contains("`Defaults !use_pty`"), "{error}");
        stage.inside(&session, &["sudo", "pkill", "-f", "sleep 100001"])?;
        rule("Defaults !use_pty")?;
        sudo("100002")?;
        stage.settled_pids(&session)?;
        stage.save(&session)?;
        Ok(())
    });
}

#[test]
fn issue_9_11_an_engine_that_was_killed_is_said_to_have_been() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.settled_pids(&session)?;
        let program = stage.sessionctl();
        let mut command = stage.command(program.as_os_str());
        let saving = command.args(["--json", "save", &session]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        // Not when it is only tried. Killed at work it would leave its own code in the processes, so as soon as it is there.
        let data = stage.data().to_string_lossy().into_owned();
        let engine = || {
            all_processes().into_iter().find(|p| {
                p.command.contains(" dump ") && p.command.contains("--link-remap") && p.command.contains(&data)
            })
        };
        let mut found = None;
        wait_until(Duration::from_secs(20), "the engine runs", || {
            found = engine();
            found.is_some()
        })?;
        stage.kill(&found.context("the engine")?)?;
        let output = saving.wait_with_output()?;
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(output.status.code() == Some(1), "{document}");
        let message = document["error"]["message"].as_str().unwrap_or_default();
        ensure!(message.contains("was killed (signal 9)") && !message.contains("without saying why"), "{document}");
        Ok(())
    });
}
