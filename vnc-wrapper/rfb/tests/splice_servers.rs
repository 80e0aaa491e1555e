//! The splice with real servers, Xtigervnc, that come and go under viewers that stay.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/server.rs"]
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use freezeframe_rfb::splice::{Outlet, Parcel, Server as Place};
use freezeframe_rfb::{Client, ClientMessage, Error, Event, Framebuffer, encoding};
use server::{PATIENCE, Server, need, wait_for};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Tight before Raw, so that its streams are used.
const TIGHT_FIRST: &[i32] = &[
    encoding::TIGHT,
    encoding::COPY_RECT,
    encoding::CURSOR,
    encoding::EXTENDED_DESKTOP_SIZE,
    encoding::LAST_RECT,
    -254,
];

#[derive(Debug)]
struct Socket(PathBuf);

impl Place for Socket {
    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.0).await
    }
}

/// A picture that moves, ended with this.
struct Animation(Child);

impl Animation {
    fn start(server: &Server) -> Self {
        need("xterm", "xterm");
        let lines = "i=0; while :; do i=$((i+1)); echo $i $((i*i)) $((i*7919%997)); [ $((i%25)) = 0 ] && clear; done";
        let child = Command::new("xterm")
            .args(["-geometry", "40x12+5+5", "-bg", "#203040", "-fg", "#ffe0a0", "-e", "sh", "-c", lines])
            .env("DISPLAY", &server.display)
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Animation {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A viewer that asks for update after update and shows its picture; it ends with the first error.
struct Viewer {
    pictures: watch::Receiver<(u64, Framebuffer)>,
    end: JoinHandle<Error>,
}

async fn join(outlet: &Arc<Outlet<Socket>>, encodings: &'static [i32]) -> Client<UnixStream> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn({
        let outlet = Arc::clone(outlet);
        async move {
            if let Err(error) = outlet.serve(theirs).await {
                eprintln!("a viewer is not served any longer: {error}");
            }
        }
    });
    timeout(PATIENCE, Client::connect(ours, encodings)).await.expect("a handshake in time").unwrap()
}

async fn watching(outlet: &Arc<Outlet<Socket>>, encodings: &'static [i32]) -> Viewer {
    let mut client = join(outlet, encodings).await;
    client.request_update(false).await.unwrap();
    let (show, pictures) = watch::channel((0, client.picture().clone()));
    let end = tokio::spawn(async move {
        loop {
            match client.next_event().await {
                Ok(Event::Updated { area, .. }) => {
                    show.send_modify(|(count, picture)| {
                        *count += u64::from(area > 0);
                        picture.clone_from(client.picture());
                    });
                    if let Err(error) = client.request_update(true).await {
                        return error;
                    }
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    });
    Viewer { pictures, end }
}

impl Viewer {
    async fn sees(&mut self, what: &str, mut wanted: impl FnMut(u64, &Framebuffer) -> bool) {
        let seen = timeout(PATIENCE, self.pictures.wait_for(|(count, picture)| wanted(*count, picture)));
        let Ok(Ok(_)) = seen.await else {
            let (count, picture) = self.pictures.borrow().clone();
            let colours: std::collections::BTreeSet<_> = picture.pixels().chunks_exact(4).take(1 << 16).collect();
            let colours: Vec<_> = colours.into_iter().take(8).collect();
            let ended = self.end.is_finished();
            panic!("{what} was not seen after {count} updates of {picture:?} in {colours:?}; ended: {ended}");
        };
    }
}

fn outlet(socket: &Path) -> Arc<Outlet<Socket>> {
    Outlet::new(Socket(socket.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_killed_under_viewers() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("rfb");
    let sizes = ["400x300", "400x300", "360x250", "500x310", "400x300", "320x240"];
    let mut server = Server::start_on(&socket, sizes[0]);
    let mut animation = Animation::start(&server);
    let outlet = outlet(&socket);
    let mut viewers = [watching(&outlet, TIGHT_FIRST).await, watching(&outlet, encoding::LIVE).await];
    for size in &sizes[1..] {
        for viewer in &mut viewers {
            let before = viewer.pictures.borrow().0;
            viewer.sees("an animation", |count, _| count > before + 10).await;
        }
        drop(server);
        drop(animation);
        server = Server::start_on(&socket, size);
        animation = Animation::start(&server);
        let (width, height) = size.split_once('x').unwrap();
        let wanted = (width.parse().unwrap(), height.parse().unwrap());
        for viewer in &mut viewers {
            viewer.sees("the new size", |_, picture| (picture.width(), picture.height()) == wanted).await;
        }
    }
    drop(animation);
    server.run("xsetroot", &["-mod", "7", "5", "-fg", "#102030", "-bg", "#c0ffee"]);
    for viewer in &mut viewers {
        let shown = server.grab().await;
        viewer.sees("the last picture", |_, picture| *picture == shown).await;
        assert!(!viewer.end.is_finished());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_left_and_found_again() {
    let server = Server::start("300x200");
    server.run("xsetroot", &["-solid", "#ff0000"]);
    let outlet = outlet(&server.socket);
    let mut viewer = watching(&outlet, encoding::LIVE).await;
    viewer.sees("red", |_, picture| picture.rgb(299, 199) == Some([255, 0, 0])).await;
    let animation = Animation::start(&server);
    for _ in 0..3 {
        let before = viewer.pictures.borrow().0;
        viewer.sees("the animation", |count, _| count > before + 5).await;
        outlet.close(Some(server.grab().await));
        timeout(PATIENCE, outlet.until_alone()).await.expect("the server left");
        outlet.open();
    }
    drop(animation);
    // Only the root window is left, and the server's own cursor on it.
    let terminal = [0x40, 0x30, 0x20, 255];
    viewer.sees("no terminal", |_, picture| picture.pixels().chunks_exact(4).all(|pixel| pixel != terminal)).await;

    // Nobody sees what changes while the server is left, and a viewer that joins sees what was.
    outlet.close(Some(server.grab().await));
    timeout(PATIENCE, outlet.until_alone()).await.expect("the server left");
    server.run("xsetroot", &["-solid", "#00ff00"]);
    let mut late = watching(&outlet, TIGHT_FIRST).await;
    late.sees("red", |_, picture| picture.rgb(299, 199) == Some([255, 0, 0])).await;
    assert_eq!(outlet.viewers(), 2);
    outlet.open();
    for viewer in [&mut viewer, &mut late] {
        viewer.sees("green", |_, picture| picture.rgb(299, 199) == Some([0, 255, 0])).await;
    }
    assert!(!viewer.end.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_of_the_meantime_is_delivered_in_order() {
    need("xterm", "xterm");
    let server = Server::start("400x300");
    let typed = server.socket.with_extension("typed");
    let mut xterm = Command::new("xterm")
        .args(["-geometry", "50x20+0+0", "-e", "sh", "-c", "while read line; do echo \"$line\" >> \"$1\"; done", "sh"])
        .arg(&typed)
        .env("DISPLAY", &server.display)
        .spawn()
        .unwrap();
    let outlet = outlet(&server.socket);
    let mut client = join(&outlet, encoding::LIVE).await;
    let text = |text: &str| -> Vec<ClientMessage> {
        let keysym = |c: char| if c == '\n' { 0xff0d } else { u32::from(c) };
        text.chars().flat_map(|c| [true, false].map(|down| ClientMessage::Key { down, keysym: keysym(c) })).collect()
    };
    let read = || std::fs::read_to_string(&typed).unwrap_or_default();
    client.send(&[ClientMessage::Pointer { buttons: 0, x: 50, y: 50 }]).await.unwrap();
    let mut tries = 0;
    wait_for("a terminal that listens", || {
        tries += 1;
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async { client.send(&text("a\n")).await.unwrap() });
        });
        read().contains('a').then_some(())
    });
    // Sent at full speed, across three times without a server.
    let mut expected = String::new();
    for round in 0..3 {
        let line = format!("before {round} the quick brown fox\n");
        client.send(&text(&line)).await.unwrap();
        outlet.close(None);
        let during = format!("during {round} jumps over\n");
        client.send(&text(&during)).await.unwrap();
        timeout(PATIENCE, outlet.until_alone()).await.expect("the server left");
        outlet.open();
        expected.push_str(&line);
        expected.push_str(&during);
    }
    let ours = || read().lines().filter(|line| *line != "a").map(|line| format!("{line}\n")).collect::<String>();
    tokio::task::block_in_place(|| {
        wait_for(&format!("{expected} instead of {}", ours()), || (ours() == expected).then_some(()));
    });
    let _ = xterm.kill();
    let _ = xterm.wait();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_follow_to_another_display() {
    let (first, second) = (Server::start("300x200"), Server::start("340x220"));
    second.run("xsetroot", &["-solid", "#0000ff"]);
    let outlets = [outlet(&first.socket), outlet(&second.socket)];
    let animation = Animation::start(&first);
    let mut viewers = [watching(&outlets[0], TIGHT_FIRST).await, watching(&outlets[0], encoding::LIVE).await];
    for viewer in &mut viewers {
        viewer.sees("the animation", |count, _| count > 5).await;
    }
    outlets[0].close(Some(first.grab().await));
    outlets[0].until_alone().await;
    let mut parcels: Vec<Parcel> = Vec::new();
    outlets[0].give_away(PATIENCE, |parcel| parcels.push(parcel)).await;
    assert_eq!((parcels.len(), outlets[0].viewers()), (2, 0));
    drop((animation, first));
    for parcel in parcels {
        let outlet = Arc::clone(&outlets[1]);
        tokio::spawn(async move { outlet.adopt(parcel).await });
    }
    for viewer in &mut viewers {
        viewer.sees("blue", |_, p| p.width() == 340 && p.rgb(339, 219) == Some([0, 0, 255])).await;
    }
}

#[tokio::test]
async fn a_viewer_that_does_not_read_holds_nobody_up() {
    let server = Server::start("800x600");
    let _animation = Animation::start(&server);
    let outlet = outlet(&server.socket);
    let mut client = join(&outlet, encoding::GRAB).await;
    // Far more than fits into a socket; none of it is read.
    for _ in 0..20 {
        client.request_update(false).await.unwrap();
    }
    let _mute = {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let outlet = Arc::clone(&outlet);
        tokio::spawn(async move { outlet.serve(theirs).await });
        ours
    };
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        outlet.close(None);
        timeout(PATIENCE / 4, outlet.until_alone()).await.expect("the server left");
        outlet.open();
    }
    // It reads at last, and all of it is well.
    let mut area = 0;
    while area < 800 * 600 {
        let event = timeout(PATIENCE, client.next_event()).await.expect("an update").unwrap();
        if let Event::Updated { area: new, .. } = event {
            area += new;
        }
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let outlet = outlet(&directory.path().join("nobody"));
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut ours, b"RFB 003.008\n\x01\x01").await.unwrap();
    assert!(timeout(PATIENCE * 2, outlet.serve(theirs)).await.expect("an end").is_err());
    assert_eq!((outlet.viewers(), outlet.connections()), (0, 0));
}
