//! What the window shares with a real session: the clipboard both ways, and its size.

use std::path::Path;

use anyhow::{Result, ensure};
use freezeframe_tests::{App, Stage, eventually};

use super::{LIMIT, card, desktop, small_desktop};
use crate::alone;

/// More than Xtigervnc takes without being asked (MaxCutText, 256 KiB), and less than we do.
fn long() -> String {
    "Zeile mit ümläuten, 日本 und €\n".repeat(20_000)
}

/// Copies in the session; what is short travels by the command line.
fn copy_inside(stage: &Stage, session: &str, text: &str, times: usize) -> Result<()> {
    let script = "import sys; open('/tmp/text', 'w').write(sys.argv[1] * int(sys.argv[2]))";
    stage.inside(session, &["python3", "-c", script, text, &times.to_string()])?;
    stage.launch(session, &["xclip", "-selection", "clipboard", "-i", "/tmp/text"]).map(drop)
}

fn paste_inside(stage: &Stage, session: &str) -> Result<String> {
    let paste = ["timeout", "5", "xclip", "-selection", "clipboard", "-o", "-target", "UTF8_STRING"];
    Ok(stage.inside_any(session, &paste)?.text())
}

fn clipboard_goes_both_ways(stage: &Stage, app: &App<'_>, session: &str) -> Result<()> {
    stage.put_program(session, "/usr/local/bin/xclip", Path::new("/usr/bin/xclip"))?;
    for (text, times) in [("größer als €, 日本", 1), ("Zeile mit ümläuten, 日本 und €\n", 20_000)] {
        copy_inside(stage, session, text, times)?;
        app.until("the session's text outside", || Ok((app.paste()? == text.repeat(times)).then_some(())))?;
    }
    let file = stage.directory().join("copied");
    for text in ["Ünïcödé ✓\nzwei", &long()] {
        std::fs::write(&file, text)?;
        let _copied = app.copy(&file)?;
        app.until("the user's text in the session", || Ok((paste_inside(stage, session)? == text).then_some(())))?;
    }
    // More than is shared is told when somebody in the session asks for it.
    std::fs::write(&file, long().repeat(2))?;
    let _copied = app.copy(&file)?;
    app.until("the word that it is too long", || {
        ensure!(paste_inside(stage, session)?.len() < 1 << 20, "all of it came");
        Ok(app.all("label", |name| name.contains("too long for the desktop"))?.first().map(drop))
    })
}

fn takes_the_windows_size(stage: &Stage, app: &App<'_>, session: &str) -> Result<()> {
    let size = || -> Result<(i32, i32)> {
        let (width, height) = stage.viewer(session)?.size();
        Ok((width.into(), height.into()))
    };
    ensure!(size()? == (900, 600), "looking at a desktop changed it");
    app.resize(1100, 800)?;
    eventually(LIMIT, "the session has the size of its place in the window", || {
        let (_, _, width, height) = desktop(app)?.extents;
        Ok((width > 1000 && size()? == (width, height)).then_some(()))
    })
}

#[test]
fn the_window_shares_clipboard_and_size_with_a_session() {
    alone(|stage| {
        let session = small_desktop(stage)?;
        let app = App::open(stage, &[])?;
        app.click_on(&card(&app, &session)?)?;
        app.wait_for_title(&session)?;
        desktop(&app)?;
        clipboard_goes_both_ways(stage, &app, &session)?;
        takes_the_windows_size(stage, &app, &session)
    });
}
