//! What the live view shares with the user's desktop: its size, the clipboard, the screen, the shortcuts.

use std::process::{Command, Stdio};

use crate::stage::{Access, Bus, FakeServer, Program, Said, Stage, VncServer, need, solid_update, wait_for};

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];

/// The size of the session's display.
fn size_of(server: &VncServer) -> (u32, u32) {
    let picture = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(server.grab()));
    (picture.width().into(), picture.height().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desktop_takes_the_windows_size() {
    let stage = Stage::new(None);
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let _app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    wait_for("the desktop at its own size", || {
        stage.find(BLUE).filter(|[_, _, width, height]| (*width, *height) == (640, 480))
    });
    assert_eq!(size_of(&server), (640, 480), "looking at a desktop must not change it");

    // A size that comes while the window is still being placed counts as its own: a user goes on until it fits.
    let mut try_again = 0;
    wait_for("the desktop at the window's size", || {
        try_again += 1;
        if try_again % 10 == 1 {
            let width = (900 + try_again).to_string();
            stage.xdotool(&["getactivewindow", "windowsize", &width, "700"]);
        }
        let [_, _, width, height] = stage.find(BLUE)?;
        ((width, height) == size_of(&server) && width > 800).then_some(())
    });
    stage.keep("followed");
    let size = size_of(&server);
    stage.xdotool(&["key", "F11"]);
    wait_for("the desktop at the screen's size", || (size_of(&server) == (1300, 900)).then_some(()));
    stage.xdotool(&["key", "F11"]);
    wait_for("the desktop at the window's size again", || (size_of(&server) == size).then_some(()));
}

/// A program that has this text in a display's clipboard.
fn copy(stage: &Stage, display: &str, name: &str, text: &str) -> Program {
    let file = stage.path(name);
    std::fs::write(&file, text).unwrap();
    Program::start(
        Command::new("xclip")
            .args(["-selection", "clipboard", "-quiet", "-i"])
            .arg(&file)
            .env("DISPLAY", display)
            .stderr(Stdio::null()),
    )
}

fn paste(display: &str) -> String {
    let output = Command::new("timeout")
        .args(["5", "xclip", "-selection", "clipboard", "-o", "-target", "UTF8_STRING"])
        .env("DISPLAY", display)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_copied_and_pasted_both_ways() {
    need(&[("xclip", "xclip")]);
    let stage = Stage::new(None);
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let _app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    wait_for("the desktop", || stage.find(BLUE));

    let long = "Zeile mit ümläuten, 日本 und €\n".repeat(4000);
    for (name, text) in [("short", "größer als €, 日本"), ("long", &long)] {
        let _theirs = copy(&stage, &server.display, name, text);
        wait_for("the session's text outside", || (paste(&stage.display) == text).then_some(()));
    }
    for (name, text) in [("in", "Ünïcödé ✓\nzwei"), ("long in", &long)] {
        let _ours = copy(&stage, &stage.display, name, text);
        wait_for("the user's text in the session", || (paste(&server.display) == text).then_some(()));
    }

    // While the keyboard is elsewhere neither side hears of the other; then the session's text comes.
    let other = Program::start(Command::new("xterm").args(["-T", "other"]).env("DISPLAY", &stage.display));
    stage.wait_for_title("other");
    let _theirs = copy(&stage, &server.display, "away", "while away");
    wait_for("the session's own text", || (paste(&server.display) == "while away").then_some(()));
    assert_ne!(paste(&stage.display), "while away");
    drop(other);
    wait_for("the session's text outside", || (paste(&stage.display) == "while away").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_screen_has_a_bar_and_every_shortcut() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let server = FakeServer::start(&stage, 650, 450, vec![solid_update(650, 450, BLUE)]);
    let mut app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    wait_for("the desktop at its own size", || stage.find(BLUE).filter(|[_, _, width, ..]| *width == 650));
    stage.xdotool(&["key", "F11"]);
    wait_for("full screen", || stage.find(BLUE).filter(|place| *place == [0, 0, 1300, 900]));
    let bar = || access.now().into_iter().any(|one| one.name == "F11 leaves full screen" && one.showing());
    wait_for("the bar that says how to leave", || bar().then_some(()));
    stage.keep("full-screen-bar");
    // It goes by itself, and comes when the pointer asks for it.
    stage.xdotool(&["mousemove", "600", "500"]);
    wait_for("the bar's end", || (!bar()).then_some(()));
    stage.xdotool(&["mousemove", "600", "100", "mousemove", "600", "0"]);
    wait_for("the bar", || bar().then_some(()));
    stage.xdotool(&["mousemove", "600", "500"]);
    wait_for("the bar's end", || (!bar()).then_some(()));

    // The window manager would close the window; in full screen the keys are the desktop's.
    stage.xdotool(&["key", "alt+F4"]);
    let f4 = 0xffc1;
    wait_for("the shortcut in the session", || {
        server.said().contains(&Said::Key { down: true, keysym: f4 }).then_some(())
    });
    assert!(app.running());
    // Back in the window they are the window manager's again.
    stage.xdotool(&["key", "F11"]);
    wait_for("the window", || stage.find(BLUE).filter(|[_, _, width, ..]| *width == 650));
    stage.xdotool(&["key", "alt+F4"]);
    wait_for("the program's end", || (!app.running()).then_some(()));
}
