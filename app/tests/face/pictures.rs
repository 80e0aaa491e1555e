//! `make screenshots`: the pictures of the README, taken of the program itself on its own screen.
//!
//! The week that they show is made up; `desktops/` has pictures of real sessions, taken once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use freezeframe_api::records::{SessionRow, SnapshotRow, WindowRow};
use jiff::SignedDuration;

use crate::stage::{Bus, FakeAgent, Program, Stage, VncServer, wait_for};

/// What GTK draws around a window where there is no compositor.
const BORDER: u32 = 5;

fn desktop(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/face/desktops/{name}.png"))
}

/// One snapshot of the week: id, hours ago, session, parent, label, picture, windows.
type Line = (&'static str, i64, &'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const NOTES: &[&str] = &["Untitled 1 - Mousepad"];
const VIM: &[&str] = &["vim", "Untitled 1 - Mousepad"];
const WEB: &[&str] = &["Mozilla Firefox", "Untitled 1 - Mousepad"];
const LICENCES: &[&str] = &["Licenses — Mozilla Firefox", "Untitled 1 - Mousepad"];
const TERMINAL: &[&str] = &["user@freezeframe: ~"];

/// The oldest first.
const WEEK: &[Line] = &[
    ("a1", 150, "desktop", "", "Fresh desktop", "terminal", TERMINAL),
    ("a2", 147, "desktop", "a1", "", "notes", NOTES),
    ("b1", 125, "desktop", "a2", "", "two-windows", VIM),
    ("b2", 124, "desktop", "b1", "Before the upgrade", "two-windows", VIM),
    ("b3", 123, "desktop", "b2", "", "browser", WEB),
    ("b4", 121, "desktop", "b3", "", "licences", LICENCES),
    ("c1", 98, "scratch", "", "", "vim", &["vim"]),
    ("d1", 76, "desktop", "b4", "", "browser", WEB),
    ("d2", 75, "desktop", "d1", "", "licences", LICENCES),
    ("d3", 53, "desktop", "d2", "", "terminal", TERMINAL),
    ("e1", 28, "desktop", "d3", "", "notes", NOTES),
    ("e2", 26, "desktop", "e1", "Letter to the landlord", "notes", NOTES),
    ("e3", 25, "desktop", "e2", "", "two-windows", VIM),
    ("f1", 4, "desktop", "e3", "Accounts", "licences", LICENCES),
    ("f2", 3, "desktop-2", "b2", "Upgrade, second try", "two-windows", VIM),
    ("f3", 2, "desktop-2", "f2", "", "browser", WEB),
    ("f4", 1, "desktop-2", "f3", "Everything ready for the demo", "licences", LICENCES),
];

fn week() -> Vec<(SnapshotRow, Option<PathBuf>)> {
    let now = jiff::Timestamp::now();
    let row = |(number, line): (usize, &Line)| {
        let (id, hours, session, parent, label, picture, windows) = *line;
        let number = number as u64;
        let window = |title: &&str| WindowRow { title: (*title).into(), application: String::new() };
        let row = SnapshotRow {
            snapshot: id.into(),
            session: session.into(),
            parent: (!parent.is_empty()).then(|| parent.to_owned()),
            lineage: if session == "scratch" { "scratch" } else { "desktop" }.into(),
            created: (now - SignedDuration::from_mins(hours * 60 + i64::try_from(number).unwrap() * 3)).to_string(),
            label: label.into(),
            state: if id == "f1" {
                "damaged"
            } else if id == "f4" {
                "committing"
            } else {
                "whole"
            }
            .into(),
            pinned: matches!(id, "b2" | "e2"),
            own_bytes: 900_000 + number * 1_730_000 % 23_000_000,
            shared_bytes: if number == 0 { 0 } else { 88_000_000 + number * 4_100_000 },
            pause_ms: 310.0 + (number * 67 % 240) as f64,
            windows: windows.iter().map(window).collect(),
            verified: matches!(id, "a1" | "b2"),
            imported: id == "c1",
            automatic: matches!(id, "b3" | "b4" | "e1" | "f3"),
            ..SnapshotRow::default()
        };
        (row, Some(desktop(picture)))
    };
    WEEK.iter().enumerate().map(row).collect()
}

/// What is seen settles before it is kept.
fn settled(stage: &Stage) {
    wait_for("a picture that stays", || {
        let before = stage.picture();
        std::thread::sleep(std::time::Duration::from_millis(700));
        (before == stage.picture()).then_some(())
    });
}

/// Keeps the window that has the keyboard, or the whole of the main window with its dialog over it.
fn shoot(stage: &Stage, name: &str, whole: Option<&str>) {
    stage.xdotool(&["mousemove", "1299", "899"]);
    settled(stage);
    let window = whole.map_or_else(|| stage.xdotool(&["getactivewindow"]), str::to_owned);
    let geometry = stage.xdotool(&["getwindowgeometry", "--shell", &window]);
    let number = |key: &str| {
        let line = geometry.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{geometry}"));
        line.parse::<u32>().unwrap()
    };
    let (x, y, width, height) = (number("X="), number("Y="), number("WIDTH="), number("HEIGHT="));
    let part =
        image::imageops::crop_imm(&stage.picture(), x + BORDER, y + BORDER, width - 2 * BORDER, height - 2 * BORDER)
            .to_image();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/screenshots");
    std::fs::create_dir_all(&directory).unwrap();
    let (large, small) = (stage.path("large.png"), directory.join(format!("{name}.png")));
    part.save(&large).unwrap();
    // 256 colours are enough for it, and a third of the size.
    let convert = Command::new("convert")
        .arg(&large)
        .args(["-strip", "-dither", "None", "-colors", "256", "-define", "png:compression-level=9"])
        .arg(format!("PNG8:{}", small.display()))
        .status()
        .unwrap();
    assert!(convert.success());
}

async fn with_a_week(bus: &Bus, server: &VncServer) -> FakeAgent {
    let agent = FakeAgent::start_with(bus, week()).await;
    let started = (jiff::Timestamp::now() - SignedDuration::from_hours(4)).to_string();
    let session = |name: &str, parent: Option<&str>, size: &str| SessionRow {
        session: name.into(),
        state: "running".into(),
        base: "xfce".into(),
        size: size.into(),
        started: started.clone(),
        parent: parent.map(str::to_owned),
        lineage: "desktop".into(),
        ..SessionRow::default()
    };
    agent.add_session(session("desktop-2", Some("b2"), "1280x800"), &server.socket, Some(desktop("browser"))).await;
    agent
}

/// The window on the week, as large as this.
fn app_on(stage: &Stage, variables: &[(&str, &str)], width: u32, height: u32) -> (Program, String) {
    let app = stage.app_with(&[], variables);
    stage.wait_for_title("Freezeframe");
    let window = stage.xdotool(&["getactivewindow"]);
    settled(stage);
    stage.xdotool(&["windowsize", &window, &width.to_string(), &height.to_string(), "windowmove", &window, "20", "20"]);
    settled(stage);
    (app, window)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the README's pictures: make screenshots"]
async fn writes_the_screenshots() {
    let empty = Bus::start();
    let stage = Stage::new(Some(&empty.address));
    let nobody = FakeAgent::start(&empty).await;
    let (app, _) = app_on(&stage, &[], 900, 620);
    shoot(&stage, "start", None);
    drop(app);
    nobody.stop().await;

    let bus = Bus::start();
    let stage = Stage::on_screen(Some(&bus.address), "1300x1200");
    let server = VncServer::start(&stage, "960x600");
    let _display = Program::start(
        Command::new("display")
            .args(["-window", "root"])
            .arg(desktop("licences"))
            .env("DISPLAY", &server.display)
            .stderr(Stdio::null()),
    );
    let _agent = with_a_week(&bus, &server).await;

    let (app, _) = app_on(&stage, &[], 1180, 1130);
    // To the damaged one of today: in its menu, Verify is the sixth.
    stage.xdotool(&["key", "Tab", "Down", "Right", "Right", "Right", "Menu"]);
    settled(&stage);
    stage.xdotool(&["key", "Down", "Down", "Down", "Down", "Down", "Return"]);
    shoot(&stage, "timeline", None);
    drop(app);

    let (app, window) = app_on(&stage, &[], 1180, 860);
    // From the running desktop to the newest snapshot, and to one of yesterday's.
    stage.xdotool(&["key", "Tab", "Down", "Down", "Right", "Return"]);
    shoot(&stage, "snapshot", None);
    stage.xdotool(&["key", "Return"]);
    wait_for("the dialog", || (stage.xdotool(&["getactivewindow"]) != window).then_some(()));
    shoot(&stage, "resume", Some(&window));
    stage.xdotool(&["key", "Escape"]);
    drop(app);

    let (app, window) = app_on(&stage, &[], 900, 720);
    stage.xdotool(&["key", "ctrl+comma"]);
    wait_for("the preferences", || (stage.xdotool(&["getactivewindow"]) != window).then_some(()));
    shoot(&stage, "preferences", None);
    drop(app);

    let (app, _) = app_on(&stage, &[("ADW_DEBUG_COLOR_SCHEME", "prefer-dark")], 1180, 700);
    shoot(&stage, "dark", None);
    drop(app);

    let (app, _) = app_on(&stage, &[], 370, 720);
    shoot(&stage, "narrow", None);
    drop(app);

    let app = stage.app(&["--session", "desktop-2"]);
    stage.wait_for_title("desktop-2");
    shoot(&stage, "live", None);
    drop(app);
}

/// High contrast, and a screen of 4K: to be looked at, in the directory of `FREEZEFRAME_TEST_PICTURES`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "draws pictures for people to look at"]
async fn draws_other_looks() {
    let bus = Bus::start();
    let stage = Stage::on_screen(Some(&bus.address), "3840x2160");
    let server = VncServer::start(&stage, "960x600");
    let _agent = with_a_week(&bus, &server).await;
    let contrast = ("ADW_DEBUG_HIGH_CONTRAST", "1");
    let dark = ("ADW_DEBUG_COLOR_SCHEME", "prefer-dark");
    let looks = [
        ("4k", vec![], (3840, 2160)),
        ("high-contrast", vec![contrast], (1180, 900)),
        ("high-contrast-dark", vec![contrast, dark], (1180, 900)),
    ];
    for (name, variables, (width, height)) in looks {
        let (app, _) = app_on(&stage, &variables, width, height);
        stage.xdotool(&["key", "Tab", "Down", "Right"]);
        settled(&stage);
        stage.keep(&format!("timeline {name}"));
        stage.xdotool(&["key", "Return"]);
        settled(&stage);
        stage.keep(&format!("snapshot {name}"));
        drop(app);
    }
}
