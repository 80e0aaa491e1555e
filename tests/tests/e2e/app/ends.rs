//! What stops something, or is stopped: a save that is refused, one that is cancelled, an agent that goes and comes, and
//! the ends of a session.

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{App, Stage, eventually};

use super::{CARD, LIMIT, card, small_desktop, snapshots, timeline};
use crate::alone;

/// Traces a child, as a debugger does (`PTRACE_SEIZE`).
const DEBUGGER: &str = "import ctypes, subprocess, time
child = subprocess.Popen(['sleep', '100000'])
assert ctypes.CDLL(None).ptrace(0x4206, child.pid, 0, 0) == 0
open('/tmp/ready', 'w').write('ready')
time.sleep(100000)
";

/// So many files that copying them takes longer than a click.
const MANY: &str = "mkdir /home/user/many && cd /home/user/many && seq 30000 | split -l 1 -a 4 -";

fn gone(app: &App<'_>, role: &str, words: &str) -> Result<()> {
    app.until(&format!("no {role} {words:?}"), || {
        Ok(app.all(role, |name| name.contains(words))?.is_empty().then_some(()))
    })
}

/// A traced program is in the way: it is named with its remedy, and once it is gone the same dialog saves.
fn is_refused_and_tried_again(stage: &Stage, app: &App<'_>, session: &str) -> Result<()> {
    stage.put(session, "/home/user/debugger", DEBUGGER)?;
    stage.launch(session, &["xterm", "-T", "a debugger", "-e", "python3", "/home/user/debugger"])?;
    stage.wait_for_window(session, "^a debugger$")?;
    stage.file_inside(session, "/tmp/ready")?;
    app.press(&["ctrl+s"])?;
    app.wait_for_words("It Cannot Be Saved Now")?;
    app.wait_for_words("is being traced by python3")?;
    app.wait_for_words("Detach the debugger")?;
    let report = stage.ctl(&["check", session])?.json()?;
    let finding = &report["findings"][0];
    let (application, window) = (finding["application"].as_str(), finding["window"].as_str());
    app.wait_for_words(application.context("its application")?)?;
    app.wait_for_words(window.context("its window")?)?;
    app.keep("ends 1 refused");
    ensure!(timeline(stage)?.is_empty(), "it was saved");
    stage.inside(session, &["pkill", "-9", "python3"])?;
    app.click("Try Again")?;
    app.wait_for_words(&format!("Saved “{session}”"))?;
    snapshots(stage, 1).map(drop)
}

fn is_cancelled(stage: &Stage, app: &App<'_>, session: &str) -> Result<()> {
    stage.inside(session, &["sh", "-c", MANY])?;
    let (stored, pids) = (stage.stored()?, stage.pids(session)?);
    app.press(&["ctrl+s"])?;
    let cancel = app.find("button", "Cancel", |name| name == format!("Cancel: Saving “{session}”"))?;
    app.keep("ends 2 saving");
    app.click_on(&cancel)?;
    app.wait_for_words("Cancelled")?;
    gone(app, "button", "Cancel: Saving")?;
    ensure!(timeline(stage)?.len() == 1, "it was saved");
    ensure!(stage.stored()? == stored, "something is left: {:?}", stage.stored());
    ensure!(stage.pids(session)? == pids, "the session is not as it was");
    stage.inside(session, &["rm", "-r", "/home/user/many"]).map(drop)
}

fn agent_goes_and_comes(stage: &Stage, app: &App<'_>, session: &str) -> Result<()> {
    stage.kill(&stage.agents().pop().context("an agent")?)?;
    app.wait_for_words("The session agent does not answer")?;
    card(app, session)?;
    app.keep("ends 3 without an agent");
    // With this another runs.
    ensure!(stage.state(session)?.as_deref() == Some("running"), "the session ended with its agent");
    gone(app, "label", "The session agent does not answer")?;
    app.press(&["ctrl+s"])?;
    snapshots(stage, 2)?;
    app.until("three cards", || Ok((app.all(CARD, |_| true)?.len() == 3).then_some(())))
}

/// Stops a session by its card's menu and the button of the dialog, and waits until nothing of it is left.
fn is_stopped(stage: &Stage, app: &App<'_>, session: &str, button: &str) -> Result<()> {
    app.choose(&card(app, &format!("{session}, Running"))?, "Stop…")?;
    app.wait_for_words(&format!("Stop “{session}”?"))?;
    app.wait_for_words("Its applications end.")?;
    app.keep("ends 4 stop");
    app.click(button)?;
    app.wait_for_words(&format!("“{session}” was stopped"))?;
    eventually(LIMIT, "the session is gone", || Ok(stage.state(session)?.is_none().then_some(())))?;
    gone(app, CARD, &format!("{session}, Running"))
}

#[test]
fn what_is_refused_cancelled_and_stopped_is_said_in_the_window() {
    alone(|stage| {
        let session = small_desktop(stage)?;
        let app = App::open(stage, &[])?;
        card(&app, &session)?;
        is_refused_and_tried_again(stage, &app, &session)?;
        is_cancelled(stage, &app, &session)?;
        agent_goes_and_comes(stage, &app, &session)?;
        is_stopped(stage, &app, &session, "Save and Stop")?;
        snapshots(stage, 3)?;
        let other = stage.start(&["--name", "other", "--base", "minimal", "--size", "900x600"])?;
        is_stopped(stage, &app, &other, "Stop Without Saving")?;
        snapshots(stage, 3)?;
        app.keep("ends 5 stopped");
        Ok(())
    });
}
