//! How long five thousand snapshots take to be seen, and how smoothly they scroll. Prints; asserts nothing of time:
//! `cargo test --release -p freezeframe --test face -- --ignored --nocapture five_thousand`.

use std::path::Path;
use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};
use x11rb::rust_connection::RustConnection;

use crate::stage::{Bus, FakeAgent, Stage, wait_for};
use crate::timeline::{picture, row};

const RED: [u8; 3] = [0xc0, 0x1c, 0x28];
/// What is seen of a card before its picture comes, in the light style.
const EMPTY: u8 = 234;
const LONGEST: Duration = Duration::from_secs(60);

/// A fast look at a screen.
struct Eye {
    connection: RustConnection,
    screen: usize,
}

impl Eye {
    fn on(stage: &Stage) -> Self {
        let (connection, screen) = x11rb::connect(Some(&stage.display)).unwrap();
        Self { connection, screen }
    }

    /// Every fourth pixel of every fourth line below the header bar: red, green, blue.
    fn look(&self) -> Vec<[u8; 3]> {
        let screen = &self.connection.setup().roots[self.screen];
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        let image =
            self.connection.get_image(ImageFormat::Z_PIXMAP, screen.root, 0, 0, width, height, !0).unwrap().reply();
        let data = image.unwrap().data;
        let line = usize::from(width) * 4;
        let rows = data.chunks_exact(line).skip(150).step_by(4);
        rows.flat_map(|row| row.chunks_exact(16).map(|pixel| [pixel[2], pixel[1], pixel[0]])).collect()
    }

    fn wait(&self, fits: impl Fn(&[u8; 3]) -> bool) {
        let deadline = Instant::now() + LONGEST;
        while self.look().iter().filter(|pixel| fits(pixel)).count() < 200 && Instant::now() < deadline {}
    }
}

/// Microseconds from each frame to the next, as the app logs them.
fn frames(log: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split("since=").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect()
}

fn say(what: &str, mut frames: Vec<u64>) {
    let late = |by: u64| frames.iter().filter(|since| **since > by).count();
    let (all, late, very) = (frames.len(), late(17_700), late(34_400));
    frames.sort_unstable();
    let at = |part: f64| frames.get((frames.len() as f64 * part) as usize).map_or(0, |since| since / 1000);
    let last = frames.last().map_or(0, |since| since / 1000);
    eprintln!(
        "{what}: {all} frames, later than 16 ms {late}, later than 33 ms {very}; median {} ms, 95 of 100 {} ms, 99 of 100 {} ms, longest {last} ms",
        at(0.5),
        at(0.95),
        at(0.99)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing of it"]
async fn five_thousand_snapshots_measured() {
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let red = picture(stage.directory.path(), "red", RED);
    let snapshots = (0..5_000).map(|n| (row(&format!("{n:012x}"), n, "work"), Some(red.clone()))).collect();
    let agent = FakeAgent::start_with(&bus, snapshots).await;
    let eye = Eye::on(&stage);
    for _ in 0..3 {
        let began = Instant::now();
        let app = stage.app(&[]);
        wait_for("the window", || (stage.active_title() == "Freezeframe").then_some(()));
        let window = began.elapsed();
        eye.wait(|pixel| *pixel == RED || *pixel == [EMPTY; 3]);
        let cards = began.elapsed();
        eye.wait(|pixel| *pixel == RED);
        let pictures = began.elapsed();
        eprintln!(
            "5,000 snapshots: window {window:?}, cards {cards:?}, pictures {pictures:?}, {} MB",
            app.memory() >> 20
        );
    }

    let log = stage.path("frames");
    let _app = stage.app_telling("freezeframe::frames=debug", &log);
    wait_for("the window", || (stage.active_title() == "Freezeframe").then_some(()));
    eye.wait(|pixel| *pixel == RED);
    // All of the list is there once the last of it can be gone to.
    stage.xdotool(&["key", "Tab"]);
    let rest = |seconds| std::thread::sleep(Duration::from_secs(seconds));
    rest(3);
    let before = frames(&log).len();
    rest(2);
    say("at rest", frames(&log).split_off(before));

    let before = frames(&log).len();
    stage.xdotool(&["key", "--repeat-delay", "16", "--repeat", "600", "--delay", "16", "Page_Down"]);
    say("through the whole list by Page Down", frames(&log).split_off(before));

    stage.xdotool(&["key", "Home", "mousemove", "600", "600"]);
    let before = frames(&log).len();
    stage.xdotool(&["click", "--delay", "10", "--repeat", "600", "5"]);
    say("with the wheel", frames(&log).split_off(before));

    let before = frames(&log).len();
    for n in 0..20 {
        agent.relabel(&format!("{n:012x}"), "changed").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    say("while 20 snapshots change", frames(&log).split_off(before));
}
