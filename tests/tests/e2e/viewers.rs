//! Viewers: whatever they do, a save neither fails nor waits for them. That they stay is in `staying`.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually, finish};

use crate::{alone, small};

/// A save is not to wait for a viewer; without any it takes about a second here.
const NOT_WAITING: Duration = Duration::from_secs(10);

#[test]
fn viewers_cannot_make_a_save_fail_or_wait() {
    alone(|stage| {
        let session = stage.start(&["--name", "desk", "--size", "1000x700"])?;
        stage
            .launch(&session, &["xterm", "-T", "clock", "-e", "sh", "-c", "while :; do date +%N; sleep 0.02; done"])?;
        stage.wait_for_window(&session, "^clock$")?;
        let socket = stage.display_socket(&session);
        let mut idle = stage.viewer(&session)?;
        ensure!(idle.size() == (1000, 700), "{:?}", idle.size());
        // Connects and says nothing at all, not even its version.
        let _mute = std::os::unix::net::UnixStream::connect(&socket)?;
        let over = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (mut viewer, over) = (stage.viewer(&session)?, Arc::clone(&over));
            move || -> Result<u32> {
                let mut updates = 0;
                while !over.load(Ordering::Relaxed) {
                    viewer.follow()?;
                    updates += 1;
                }
                Ok(updates)
            }
        });
        let began = Instant::now();
        let id = stage.save(&session)?;
        ensure!(began.elapsed() < NOT_WAITING, "the save took {:?}", began.elapsed());
        let mut again = stage.viewer(&session)?;
        again.follow()?;
        again.sync()?;
        ensure!(again.size() == (1000, 700), "{:?}", again.size());
        idle.follow()?;
        over.store(true, Ordering::Relaxed);
        let updates = reader.join().ok().context("the reading viewer")??;
        ensure!(updates > 0, "the reading viewer saw nothing");

        // A viewer that connects is served, whatever is being done with the session.
        let (saved, late) = std::thread::scope(|scope| -> Result<_> {
            let save = scope.spawn(|| stage.save(&session));
            let late = loop {
                let over = save.is_finished();
                let mut viewer = stage.viewer(&session)?;
                if over {
                    viewer.follow()?;
                    break viewer;
                }
            };
            Ok((save.join().ok().context("the save")??, late))
        })?;
        ensure!(saved != id && late.size() == (1000, 700), "{saved} {:?}", late.size());
        let row = stage.json(&["show", &saved])?;
        ensure!(row["size"] == "1000x700" && row["pause_ms"].as_f64().unwrap_or(1e9) < 5e3, "{row}");
        Ok(())
    });
}

/// Somebody's VNC viewer: connects to what it is given and keeps the server's first words.
const CLIENT: &str = "#!/usr/bin/perl
use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;
sysread($socket, my $words, 12);
open(my $file, '>', \"$ENV{XDG_CONFIG_HOME}/seen\") or die $!;
print $file $words;
close($file);
";

/// Opens a viewer of the user's own on a session, and waits until it has seen the display.
pub(crate) fn opens_a_client(stage: &Stage, session: &str) -> Result<()> {
    let client = stage.directory().join("client");
    std::fs::write(&client, CLIENT)?;
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755))?;
    let program = stage.sessionctl();
    let mut command = stage.command(program.as_os_str());
    command.args(["--json", "view", session, "--client"]).env("FREEZEFRAME_VNC_CLIENT", &client);
    let opened = finish(&mut command, NOT_WAITING)?;
    ensure!(opened.done().is_ok() && opened.json()?["session"] == session, "{}", opened.tell());
    let seen = stage.directory().join("config/seen");
    eventually(NOT_WAITING, "the viewer sees the display", || {
        Ok((std::fs::read_to_string(&seen)? == "RFB 003.008\n").then_some(()))
    })
}

#[test]
fn a_viewer_of_the_users_own_is_opened() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        opens_a_client(stage, &session)
    });
}
