//! Against a real server: Xtigervnc over a Unix socket, with a window of known colours on it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/server.rs"]
mod server;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freezeframe_rfb::{Client, ClientMessage, Clipboard, Error, Event, Framebuffer, encoding};
use server::{PATIENCE, Server, need, wait_for};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Takes events until the picture is as wanted, asking for more after each update.
async fn follow<S>(client: &mut Client<S>, mut wanted: impl FnMut(&Framebuffer) -> bool) -> Vec<Event>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut events = Vec::new();
    timeout(PATIENCE, async {
        loop {
            let event = client.next_event().await.unwrap();
            let updated = matches!(event, Event::Updated { .. });
            events.push(event);
            if updated && wanted(client.picture()) {
                return;
            }
            if updated {
                client.request_update(true).await.unwrap();
            }
        }
    })
    .await
    .expect("the picture in time");
    events
}

#[tokio::test]
async fn a_solid_root_is_grabbed_to_the_pixel() {
    let server = Server::start("321x203");
    server.run("xsetroot", &["-solid", "#3a7bd5"]);
    let picture = server.grab().await;
    assert_eq!((picture.width(), picture.height()), (321, 203));
    let colour = [0xd5, 0x7b, 0x3a, 0xff];
    // The pointer is drawn by viewers, not by the server: every pixel is the root's.
    assert!(picture.pixels().chunks_exact(4).all(|pixel| pixel == colour));
    let png = image::load_from_memory(&picture.to_png().unwrap()).unwrap().to_rgb8();
    assert!(png.pixels().all(|pixel| pixel.0 == [0x3a, 0x7b, 0xd5]));
}

#[tokio::test]
async fn tight_shows_what_raw_shows() {
    let server = Server::start("640x480");
    // A pattern of two colours, a gradient of text's greys and plain areas: xterm on the root's weave.
    server.run("xsetroot", &["-mod", "7", "5", "-fg", "#102030", "-bg", "#c0ffee"]);
    need("xterm", "xterm");
    let mut xterm = Command::new("xterm")
        .args([
            "-geometry",
            "60x20+40+30",
            "-e",
            "sh",
            "-c",
            "ls --color=always -R /usr/share/doc | head -60; sleep 60",
        ])
        .env("DISPLAY", &server.display)
        .spawn()
        .unwrap();
    let settled = settle(&server).await;
    for wanted in
        [&[encoding::TIGHT][..], &[encoding::TIGHT, encoding::COPY_RECT, encoding::LAST_RECT, -247], encoding::LIVE]
    {
        let mut client = Client::connect(server.stream().await, wanted).await.unwrap();
        client.request_update(false).await.unwrap();
        let mut area = 0;
        while area < 640 * 480 {
            let event = timeout(PATIENCE, client.next_event()).await.unwrap().unwrap();
            if let Event::Updated { area: new, .. } = event {
                area += new;
                client.request_update(true).await.unwrap();
            }
        }
        assert!(*client.picture() == settled, "{wanted:?} shows another picture than Raw");
    }
    let _ = xterm.kill();
    let _ = xterm.wait();
}

/// A picture with more than two colours that two grabs, half a second apart, agree on.
async fn settle(server: &Server) -> Framebuffer {
    let start = Instant::now();
    loop {
        let first = server.grab().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let colours: std::collections::HashSet<_> = first.pixels().chunks_exact(4).collect();
        if colours.len() > 3 && server.grab().await == first {
            return first;
        }
        assert!(start.elapsed() < PATIENCE, "xterm did not settle");
    }
}

#[tokio::test]
async fn a_live_client_follows() {
    let server = Server::start("300x200");
    server.run("xsetroot", &["-solid", "#ff0000", "-cursor_name", "watch"]);
    let mut client = Client::connect(server.stream().await, encoding::LIVE).await.unwrap();
    client.request_update(false).await.unwrap();
    let events = follow(&mut client, |picture| picture.rgb(299, 199) == Some([255, 0, 0])).await;
    assert!(
        events.iter().any(|event| matches!(event, Event::Resized(screen) if screen.resizable.is_some())),
        "{events:?}"
    );

    // The pointer comes in, and its cursor is told.
    client.send(&[ClientMessage::Pointer { buttons: 0, x: 150, y: 100 }]).await.unwrap();
    client.request_update(true).await.unwrap();
    wait_for_cursor(&mut client).await;

    // The client asks for another size, and the server follows.
    let (screen_id, screen_flags) = client.screen().resizable.unwrap();
    let size = ClientMessage::SetDesktopSize { width: 400, height: 250, screen_id, screen_flags };
    client.send(&[size]).await.unwrap();
    client.request_update(true).await.unwrap();
    follow(&mut client, |picture| (picture.width(), picture.height()) == (400, 250)).await;

    // Another client joins and leaves; this one stays.
    assert_eq!(server.grab().await.width(), 400);
    server.run("xsetroot", &["-solid", "#00ff00"]);
    client.request_update(true).await.unwrap();
    follow(&mut client, |picture| picture.rgb(399, 249) == Some([0, 255, 0])).await;
}

async fn wait_for_cursor(client: &mut Client<UnixStream>) {
    let wait = async {
        loop {
            match client.next_event().await.unwrap() {
                Event::Cursor(cursor) if cursor.width > 0 => return cursor,
                Event::Updated { .. } => client.request_update(true).await.unwrap(),
                _ => {}
            }
        }
    };
    let cursor = timeout(PATIENCE, wait).await.expect("a cursor in time");
    assert!(cursor.pixels.chunks_exact(4).any(|pixel| pixel[3] == 255));
    assert!(cursor.hot_x < cursor.width && cursor.hot_y < cursor.height);
}

#[tokio::test]
async fn reading_may_be_dropped_and_sending_does_not_wait() {
    let server = Server::start("200x100");
    server.run("xsetroot", &["-solid", "#123456"]);
    let client = Client::connect(server.stream().await, encoding::GRAB).await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    // Nothing was asked for, so nothing comes; reading is dropped again and again.
    for _ in 0..20 {
        assert!(timeout(Duration::from_millis(5), reader.next_event()).await.is_err());
    }
    let reading = tokio::spawn(async move {
        loop {
            if let Event::Updated { .. } = reader.next_event().await.unwrap() {
                return reader;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let rect = freezeframe_rfb::Rect { x: 0, y: 0, width: 200, height: 100 };
    writer
        .send(&[
            ClientMessage::Pointer { buttons: 0, x: 5, y: 5 },
            ClientMessage::UpdateRequest { incremental: false, rect },
        ])
        .await
        .unwrap();
    let mut reader = timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert_eq!(reader.picture().rgb(0, 0), Some([0x12, 0x34, 0x56]));

    // When the server goes, reading says so at once.
    drop(server);
    let error = timeout(PATIENCE, async {
        loop {
            if let Err(error) = reader.next_event().await {
                return error;
            }
        }
    });
    assert!(matches!(error.await.unwrap(), Error::Closed));
}

#[tokio::test]
async fn the_clipboard_goes_both_ways_in_utf8() {
    need("xclip", "xclip");
    let server = Server::start("200x100");
    let wanted = [encoding::RAW, encoding::EXTENDED_CLIPBOARD];
    let mut client = Client::connect(server.stream().await, &wanted).await.unwrap();
    client.send(&[ClientMessage::Clipboard(Clipboard::Can)]).await.unwrap();

    // From the session: the server says that there is something, and gives it when asked.
    let ours = "größer als €\n日本";
    let mut copy = Command::new("sh")
        .args(["-c", r#"printf '%s' "$1" | xclip -selection clipboard -quiet -loops 1"#, "sh", ours])
        .env("DISPLAY", &server.display)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = timeout(PATIENCE, async {
        loop {
            match client.next_event().await.unwrap() {
                Event::Clipboard(Clipboard::Has { text: true }) => {
                    client.send(&[ClientMessage::Clipboard(Clipboard::Wants)]).await.unwrap();
                }
                Event::Clipboard(Clipboard::Text(text)) => return text,
                _ => {}
            }
        }
    });
    assert_eq!(text.await.expect("the session's text"), ours);
    let _ = copy.kill();
    let _ = copy.wait();

    // Into the session: it asks when something is pasted there.
    let theirs = "Ünïcödé ✓\nzwei";
    client.send(&[ClientMessage::Clipboard(Clipboard::Has { text: true })]).await.unwrap();
    let display = server.display.clone();
    let mut paste = tokio::task::spawn_blocking(move || {
        wait_for("the pasted text", || {
            let output = Command::new("xclip")
                .args(["-selection", "clipboard", "-o", "-target", "UTF8_STRING"])
                .env("DISPLAY", &display)
                .output()
                .unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        })
    });
    let pasted = timeout(PATIENCE, async {
        loop {
            tokio::select! {
                event = client.next_event() => {
                    if let Event::Clipboard(Clipboard::Wants) = event.unwrap() {
                        client.send(&[ClientMessage::Clipboard(Clipboard::Text(theirs.into()))]).await.unwrap();
                    }
                }
                pasted = &mut paste => return pasted.unwrap(),
            }
        }
    });
    assert_eq!(pasted.await.expect("the text in the session"), theirs);
}
