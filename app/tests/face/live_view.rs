//! The live view: the app itself on its own screen, before real and unreal RFB servers.

use crate::stage::{FakeServer, Relay, Said, Stage, VncServer, box_around, solid_update, wait_for};
use image::Rgb;

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];
const GREEN: [u8; 3] = [0x10, 0xa0, 0x40];

#[tokio::test(flavor = "multi_thread")]
async fn shows_every_pixel_and_types_into_the_session() {
    let stage = Stage::new(None);
    let server = VncServer::start(&stage, "801x603");
    server.solid_root("#3a7bd5");
    let _app = stage.app(&["--socket", server.socket.to_str().unwrap()]);

    // The window takes the desktop's size, so that a pixel is a pixel.
    let [left, top, ..] = wait_for("the desktop at its own size", || {
        stage.find(BLUE).filter(|[_, _, width, height]| (*width, *height) == (801, 603))
    });

    let typed = stage.path("typed");
    let script = format!("read line; echo \"$line\" > {}; sleep 600", typed.display());
    let _xterm = server.xterm("60x20+120+90", &script);
    wait_for("xterm in the window", || {
        let pixel = *stage.picture().get_pixel(left + 300, top + 250);
        (pixel != Rgb(BLUE)).then_some(())
    });
    let (x, y) = (left + 300, top + 250);
    stage.xdotool(&["mousemove", &x.to_string(), &y.to_string(), "click", "1"]);
    let text = r#"Freezeframe 6*7=42 {"a": [~]} \|/ <OK>"#;
    stage.xdotool(&["type", "--delay", "30", text]);
    stage.xdotool(&["key", "Return"]);
    let line = wait_for("what was typed", || std::fs::read_to_string(&typed).ok().filter(|line| line.ends_with('\n')));
    // The shell's `read` takes the backslash.
    assert_eq!(line.trim_end(), text.replace('\\', ""));

    // Pixel for pixel what the server has. Into a picture for a viewer that does not move the pointer, the server draws the
    // pointer, unless xterm hides it, as it does while somebody types. A busy window manager may still move the window, so
    // both places are asked for each time.
    wait_for("the same picture here and there", || {
        let there = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(server.grab()));
        let here = stage.picture();
        let [left, top, ..] =
            box_around(&here, BLUE).filter(|[_, _, width, height]| (*width, *height) == (801, 603))?;
        let pointer = server.pointer();
        let at_pointer = |x: u16, y: u16| x.abs_diff(pointer[0]) < 24 && y.abs_diff(pointer[1]) < 24;
        let same = (0..603u16).all(|y| {
            (0..801u16).all(|x| {
                at_pointer(x, y) || Some(here.get_pixel(left + u32::from(x), top + u32::from(y)).0) == there.rgb(x, y)
            })
        });
        same.then_some(())
    });
    stage.keep("live");
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_the_servers_connection_being_dropped() {
    let stage = Stage::new(None);
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let mut relay = Relay::start(stage.path("relay"), &server.socket);
    let mut app = stage.app(&["--socket", stage.path("relay").to_str().unwrap()]);
    wait_for("the desktop", || stage.find(BLUE));

    // As in a save: dropped, and taken again at once.
    for (name, colour) in [("#10a040", GREEN), ("#3a7bd5", BLUE), ("#10a040", GREEN)] {
        relay.cut().await;
        relay.mend();
        server.solid_root(name);
        wait_for("the desktop after a drop", || stage.find(colour));
    }

    // Away for longer: the last picture stays, darkened, with a word over it; then it is live again.
    relay.cut().await;
    wait_for("the darkened picture", || stage.find(GREEN).is_none().then_some(()));
    stage.keep("away");
    assert!(app.running());
    relay.mend();
    wait_for("the desktop after a pause", || stage.find(GREEN));
    stage.keep("back");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_arrives_as_it_was_made() {
    let stage = Stage::new(None);
    let server = FakeServer::start(&stage, 500, 400, vec![solid_update(500, 400, BLUE)]);
    let _app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    let [left, top, ..] = wait_for("the desktop at its own size", || {
        stage.find(BLUE).filter(|[_, _, width, height]| (*width, *height) == (500, 400))
    });
    let at = |x: u32, y: u32| [(left + x).to_string(), (top + y).to_string()];

    // A drag with the left button, and all the ways of the wheel.
    let [x, y] = at(100, 50);
    stage.xdotool(&["mousemove", &x, &y, "mousedown", "1"]);
    let [x, y] = at(200, 60);
    stage.xdotool(&["mousemove", &x, &y, "mouseup", "1"]);
    for button in ["4", "5", "6", "7", "3"] {
        stage.xdotool(&["click", button]);
    }
    let expected_buttons = [0, 1, 0, 8, 0, 16, 0, 32, 0, 64, 0, 4, 0];
    wait_for("pointer and wheel", || {
        let mut buttons: Vec<u8> = Vec::new();
        for said in server.said() {
            if let Said::Pointer { buttons: now, .. } = said
                && buttons.last() != Some(&now)
            {
                buttons.push(now);
            }
        }
        (buttons == expected_buttons).then_some(())
    });
    let said = server.said();
    assert!(said.contains(&Said::Pointer { buttons: 1, x: 100, y: 50 }), "{said:?}");
    assert!(said.contains(&Said::Pointer { buttons: 1, x: 200, y: 60 }), "{said:?}");

    // Shift goes up before its letter does: the letter that went down goes up.
    let before = server.said().len();
    for step in [["keydown", "shift"], ["keydown", "a"], ["keyup", "shift"], ["keyup", "a"]] {
        stage.xdotool(&step);
    }
    let key = |down, keysym| Said::Key { down, keysym };
    let expected = [key(true, 0xffe1), key(true, 0x41), key(false, 0xffe1), key(false, 0x41)];
    wait_for("a letter with Shift", || (without_repeats(&server.said()[before..]) == expected).then_some(()));

    // Keys that other programs take for themselves: Tab, arrows, Escape, F10, Control and Q.
    let before = server.said().len();
    for name in ["Tab", "Left", "Escape", "F10", "ctrl+q", "ctrl+w", "alt+F1"] {
        stage.xdotool(&["key", name]);
    }
    wait_for("keys of the window's own", || {
        let downs: Vec<u32> = server.said()[before..]
            .iter()
            .filter_map(|said| match said {
                Said::Key { down: true, keysym } => Some(*keysym),
                _ => None,
            })
            .collect();
        (downs == [0xff09, 0xff51, 0xff1b, 0xffc7, 0xffe3, 0x71, 0xffe3, 0x77, 0xffe9, 0xffbe]).then_some(())
    });

    // The keyboard goes to another window while Control is held: Control goes up in the session.
    let before = server.said().len();
    stage.xdotool(&["keydown", "ctrl"]);
    wait_for("Control", || server.said()[before..].contains(&key(true, 0xffe3)).then_some(()));
    let _other = crate::stage::Program::start(
        std::process::Command::new("xterm").args(["-T", "other"]).env("DISPLAY", &stage.display),
    );
    stage.wait_for_title("other");
    wait_for("Control let go", || server.said()[before..].contains(&key(false, 0xffe3)).then_some(()));
    stage.xdotool(&["keyup", "ctrl"]);
}

/// What was said without the presses that a held key repeats.
fn without_repeats(said: &[Said]) -> Vec<Said> {
    let mut kept: Vec<Said> = Vec::new();
    for one in said {
        if matches!(one, Said::Key { .. }) && kept.last() != Some(one) {
            kept.push(one.clone());
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn full_screen_and_back_by_keyboard() {
    let stage = Stage::new(None);
    let server = FakeServer::start(&stage, 650, 450, vec![solid_update(650, 450, BLUE)]);
    let _app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    wait_for("the desktop at its own size", || stage.find(BLUE).filter(|[_, _, width, ..]| *width == 650));
    stage.xdotool(&["key", "F11"]);
    // 1300x900 is twice the desktop.
    wait_for("full screen", || stage.find(BLUE).filter(|place| *place == [0, 0, 1300, 900]));
    stage.keep("full-screen");
    stage.xdotool(&["key", "F11"]);
    wait_for("the window", || stage.find(BLUE).filter(|[_, _, width, ..]| *width == 650));
    let f11 = 0xffc8;
    assert!(!server.said().iter().any(|said| matches!(said, Said::Key { keysym, .. } if *keysym == f11)));

    // Shift+F11 gives the keyboard back to the window; the button that it lands on leads to the list.
    stage.xdotool(&["key", "shift+F11"]);
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("Freezeframe");
    stage.keep("no-bus");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_server_harms_nobody() {
    let stage = Stage::new(None);
    let rect = |sides: [u16; 4], encoding: i32, rest: &[u8]| {
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend(sides.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend(encoding.to_be_bytes());
        bytes.extend(rest);
        bytes
    };
    let mut answers = vec![
        // A picture too large, one that is just not, and a rectangle outside.
        rect([0, 0, 0xffff, 0xffff], -223, &[]),
        [rect([0, 0, 8192, 8192], -223, &[]), vec![9]].concat(),
        rect([500, 0, 1, 1], 0, &[0; 4]),
        // Compressed data that ends too soon, a cursor too large, and another protocol.
        rect([0, 0, 500, 400], 7, &[0x00, 3, 0x78, 0x01, 0x00]),
        rect([0, 0, 2000, 2000], -239, &[0; 100]),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ];
    // In the end the truth, and after it a text that never comes: nothing can be said against a server that is slow.
    let text = [vec![3, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], vec![b'x'; 1 << 20]].concat();
    answers.push([solid_update(500, 400, BLUE), text].concat());
    let server = FakeServer::start(&stage, 500, 400, answers);
    let mut app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    wait_for("the desktop after the lies", || stage.find(BLUE));
    assert!(app.memory() < 800 << 20, "{} MiB", app.memory() >> 20);
    stage.keep("after-lies");
    // The window answers still: it closes, and the program with it.
    stage.xdotool(&["key", "alt+F4"]);
    wait_for("the program's end", || (!app.running()).then_some(()));
}
