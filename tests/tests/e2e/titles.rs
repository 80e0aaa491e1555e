//! What programs of a session call themselves is shown, and does no harm to anybody who shows it.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _, PropMode};
use x11rb::rust_connection::{DefaultStream, RustConnection};
use x11rb::wrapper::ConnectionExt as _;

use crate::small;

/// Longest title that a snapshot keeps, in characters.
const TITLE: usize = 256;

/// Gives the only window of a session another title and another class, as any of its programs can.
fn rename(stage: &Stage, session: &str, title: &[u8], class: &[u8]) -> Result<()> {
    let processes = stage.processes(session)?;
    let inside = processes.values().find(|p| p.name == "xterm").context("xterm")?;
    let stream = UnixStream::connect(format!("/proc/{}/root/tmp/.X11-unix/X1", inside.pid))?;
    let (stream, _) = DefaultStream::from_unix_stream(stream)?;
    let display = RustConnection::connect_to_stream_with_auth_info(stream, 0, Vec::new(), Vec::new())?;
    let root = display.setup().roots.first().context("a screen")?.root;
    let atom = |name: &str| -> Result<u32> { Ok(display.intern_atom(false, name.as_bytes())?.reply()?.atom) };
    let clients = display.get_property(false, root, atom("_NET_CLIENT_LIST")?, AtomEnum::WINDOW, 0, 1)?.reply()?;
    let window = clients.value32().and_then(|mut all| all.next()).context("a window")?;
    let (name, utf8) = (atom("_NET_WM_NAME")?, atom("UTF8_STRING")?);
    display.change_property8(PropMode::REPLACE, window, name, utf8, title)?.check()?;
    display.change_property8(PropMode::REPLACE, window, AtomEnum::WM_CLASS, AtomEnum::STRING, class)?.check()?;
    Ok(())
}

/// Issue 9, number 7.
#[test]
fn a_title_with_zeros_and_overrides_and_a_megabyte_harms_nobody() {
    small(|stage| {
        let session = stage.start(&["--name", "desk"])?;
        stage.launch(&session, &["xterm", "-T", "a window", "-e", "cat"])?;
        stage.wait_for_window(&session, "a window")?;
        let title = format!("evil\0title\u{202e}\u{2066}\u{feff}\u{1b}[2J{}", "ß".repeat(1 << 19));
        rename(stage, &session, title.as_bytes(), "instance\0Cl\u{202e}ass\u{7}\0".as_bytes())?;

        ensure!(stage.json(&["check", &session])?["savable"] == true, "it cannot be saved");
        let id = stage.save(&session)?;
        let shown = stage.json(&["show", &id])?;
        let window = &shown["windows"][0];
        let kept = window["title"].as_str().context("a title")?;
        ensure!(kept.starts_with("evil\u{fffd}title\u{fffd}[2Jß"), "{window}");
        ensure!(kept.ends_with("ß…") && kept.chars().count() <= TITLE, "{window}");
        ensure!(window["application"] == "Class\u{fffd}", "{window}");
        for verb in [&["timeline"][..], &["show", &id]] {
            let said = stage.ctl_plain(verb)?;
            let harmless = |c: char| !c.is_control() || c == '\n';
            ensure!(said.code == 0 && said.text().chars().all(harmless), "{}", said.tell());
        }

        // The next agent reads it from the disk.
        for agent in stage.agents() {
            stage.kill(&agent)?;
        }
        ensure!(stage.json(&["show", &id])?["windows"][0] == *window, "another agent shows it otherwise");
        let resumed = stage.word(&["resume", &id, "--alongside", "--name", "copy"], "session")?;
        eventually(Duration::from_secs(30), "the copy runs", || {
            Ok((stage.state(&resumed)?.as_deref() == Some("running")).then_some(()))
        })
    });
}
