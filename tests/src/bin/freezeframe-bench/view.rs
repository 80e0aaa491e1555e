//! `freezeframe-bench view`: how soon and how smoothly a desktop is seen, in the app and in Debian's `vncviewer`.
//!
//! One session (Xtigervnc on a Unix socket) with one client that paints, one screen (Xvfb with a window manager), and the
//! two viewers in turn. *Latency* is the time from a key that goes down on the screen until the pixel that the session's
//! client paints for it is there. *Frames* are the different pictures a second that arrive while the client paints as
//! fast as the session lets it. Both are seen from the screen alone, by a pixel that is read again and again.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freezeframe_tests::eventually;
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext, ImageFormat, Rectangle, Window,
    WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use crate::line;

const SESSION: (u16, u16) = (1000, 700);
const LIMIT: Duration = Duration::from_secs(20);
/// Keys in one round, and how long frames are counted.
const KEYS: usize = 40;
const COUNTED: Duration = Duration::from_secs(4);
/// A key that no shortcut of a window manager has: "a" on every keyboard of Xvfb's.
const KEY: u8 = 38;
/// At rest the session is of this colour; each key changes it to the other one and back.
const REST: [u32; 2] = [0x30_60_90, 0x90_60_30];

/// Runs the comparison that many times.
pub(crate) fn measure(rounds: usize) -> Result<()> {
    let app = match std::env::var_os("FREEZEFRAME_PROGRAMS") {
        Some(programs) => PathBuf::from(programs).join("freezeframe"),
        None => std::env::current_exe()?.with_file_name("freezeframe"),
    };
    ensure!(app.is_file(), "{} is missing: build it first (`make build`)", app.display());
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("rfb");
    let (_session, session) = x_server(
        directory.path(),
        "Xtigervnc",
        &["-geometry", &format!("{}x{}", SESSION.0, SESSION.1), "-depth", "24", "-rfbport", "-1", "-rfbunixpath"],
        &[socket.as_os_str().to_owned(), "-SecurityTypes".into(), "None".into()],
    )?;
    let (_screen, screen) = x_server(directory.path(), "Xvfb", &["-screen", "0", "1300x900x24", "-noreset"], &[])?;
    let _manager = Ended(quiet("openbox", &screen).spawn().context("openbox")?);
    let painter = Painter::start(&session)?;
    let eye = Eye::open(&screen)?;
    let viewers: [(&str, Vec<String>, PathBuf); 2] = [
        ("app", vec!["--socket".into()], app),
        ("vncviewer", vec!["-RemoteResize=0".into(), "-AcceptClipboard=0".into()], "vncviewer".into()),
    ];
    line(&format!("\nLive view, {}x{} pixels, {rounds} rounds, medians and ranges", SESSION.0, SESSION.1))?;
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            let (name, arguments, program) = &viewers[at];
            let mut command = quiet(program, &screen);
            command.args(arguments).arg(&socket).env("GDK_BACKEND", "x11").env("HOME", directory.path());
            // A screen without a graphics processor: GL in software would be measured, not the app.
            command.env("GSK_RENDERER", "cairo");
            command.env("DBUS_SESSION_BUS_ADDRESS", "disabled:").env("GTK_A11Y", "none");
            command.env("GSETTINGS_BACKEND", "memory").env("ADW_DISABLE_PORTAL", "1");
            let viewer = Ended(command.spawn().with_context(|| (*name).to_owned())?);
            let one = eye.look(&painter).with_context(|| format!("{name}, round {}", round + 1));
            drop(viewer);
            took[at].push(one?);
            eye.wait_for_nothing()?;
        }
    }
    type Part = fn(&Took) -> f64;
    let parts: [(&str, Part); 3] = [
        ("latency of a key, ms", |took| took.latency),
        ("frames/s, a part of 300x200", |took| took.small),
        ("frames/s, the whole", |took| took.whole),
    ];
    for (what, part) in parts {
        let [app, other] = [0, 1].map(|at| Range::of(took[at].iter().map(part).collect()));
        let ratios = Range::of(took[0].iter().zip(&took[1]).map(|(app, other)| part(app) / part(other)).collect());
        line(&format!("  {what:<28} app {app}   vncviewer {other}   ratio {ratios}"))?;
    }
    Ok(())
}

/// What one viewer took in one round.
#[derive(Debug)]
struct Took {
    latency: f64,
    small: f64,
    whole: f64,
}

/// Median, least and most.
struct Range(f64, f64, f64);

impl Range {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self(at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.0, self.1, self.2)
    }
}

/// A program that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(program: impl AsRef<std::ffi::OsStr>, display: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DISPLAY", display).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// An X server that finds its own number.
fn x_server(
    directory: &Path,
    program: &str,
    arguments: &[&str],
    more: &[std::ffi::OsString],
) -> Result<(Ended, String)> {
    let number = directory.join(format!("{program}.display"));
    let mut command = Command::new("sh");
    command.args(["-c", r#"number=$1; shift; exec "$@" -displayfd 3 3>"$number" 2>/dev/null"#, "sh"]);
    command.arg(&number).arg(program).args(arguments).args(more).stdin(Stdio::null()).process_group(0);
    let server = Ended(command.spawn().context("sh")?);
    let display = eventually(LIMIT, program, || {
        let text = std::fs::read_to_string(&number).unwrap_or_default();
        Ok(text.ends_with('\n').then(|| format!(":{}", text.trim())))
    })?;
    Ok((server, display))
}

/// What the painter does besides answering keys.
#[derive(Default)]
struct Wish {
    small: AtomicBool,
    whole: AtomicBool,
    end: AtomicBool,
}

/// The session's client, on its own thread.
struct Painter {
    wish: Arc<Wish>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Painter {
    fn start(display: &str) -> Result<Self> {
        let (connection, screen) = x11rb::connect(Some(display))?;
        let root = connection.setup().roots.get(screen).context("a screen")?.root;
        let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
        let (width, height) = SESSION;
        let aux = CreateWindowAux::new()
            .override_redirect(1)
            .event_mask(EventMask::KEY_PRESS | EventMask::EXPOSURE)
            .background_pixel(REST[0]);
        connection.create_window(0, window, root, 0, 0, width, height, 0, WindowClass::INPUT_OUTPUT, 0, &aux)?;
        connection.create_gc(gc, window, &CreateGCAux::new())?;
        connection.map_window(window)?.check()?;
        connection
            .set_input_focus(x11rb::protocol::xproto::InputFocus::PARENT, window, x11rb::CURRENT_TIME)?
            .check()?;
        let wish = Arc::new(Wish::default());
        let wanted = Arc::clone(&wish);
        let thread = std::thread::spawn(move || paint(&connection, window, gc, &wanted));
        Ok(Self { wish, thread: Some(thread) })
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.wish.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn paint(connection: &RustConnection, window: Window, gc: Gcontext, wish: &Wish) -> Result<()> {
    let (width, height) = SESSION;
    let fill = |colour: u32, x: i16, y: i16, width, height| -> Result<()> {
        connection.change_gc(gc, &ChangeGCAux::new().foreground(colour))?;
        connection.poly_fill_rectangle(window, gc, &[Rectangle { x, y, width, height }])?;
        connection.flush()?;
        Ok(())
    };
    let (mut at_rest, mut frame, mut moving) = (0, 0u32, false);
    while !wish.end.load(Ordering::Relaxed) {
        while let Some(event) = connection.poll_for_event()? {
            if let Event::KeyPress(_) = event {
                at_rest = 1 - at_rest;
                fill(REST[at_rest], 0, 0, width, height)?;
            }
        }
        let (small, whole) = (wish.small.load(Ordering::Relaxed), wish.whole.load(Ordering::Relaxed));
        if small || whole {
            frame = frame.wrapping_add(1);
            // Never a colour of rest, and never twice the same in a row.
            let colour = 0x01_01_01 * (frame % 200 + 20);
            let (w, h) = if whole { (width, height) } else { (300, 200) };
            fill(colour, (width as i16 - w as i16) / 2, (height as i16 - h as i16) / 2, w, h)?;
            moving = true;
            // A hundred a second: more than either viewer shows.
            std::thread::sleep(Duration::from_millis(10));
        } else if moving {
            at_rest = 0;
            fill(REST[0], 0, 0, width, height)?;
            moving = false;
        } else {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(())
}

/// Looks at the screen, and presses its keys.
struct Eye {
    connection: RustConnection,
    root: Window,
}

impl Eye {
    fn open(display: &str) -> Result<Self> {
        let (connection, screen) = x11rb::connect(Some(display))?;
        let root = connection.setup().roots.get(screen).context("a screen")?.root;
        Ok(Self { connection, root })
    }

    fn pixels(&self, x: i16, y: i16, width: u16, height: u16) -> Result<Vec<u32>> {
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, width, height, !0)?.reply()?;
        let pixels = image.data.chunks_exact(4);
        Ok(pixels.map(|bgr| u32::from_le_bytes([bgr[0], bgr[1], bgr[2], 0])).collect())
    }

    fn pixel(&self, (x, y): (i16, i16)) -> Result<u32> {
        self.pixels(x, y, 1, 1)?.first().copied().context("a pixel")
    }

    /// The middle of what is of this colour, once that is most of the session's size.
    fn find(&self, colour: u32) -> Result<Option<(i16, i16)>> {
        let pixels = self.pixels(0, 0, 1300, 900)?;
        let places = || pixels.iter().enumerate().filter(|(_, pixel)| **pixel == colour).map(|(at, _)| at);
        let count = places().count();
        if count < usize::from(SESSION.0) * usize::from(SESSION.1) / 2 {
            return Ok(None);
        }
        let (x, y) = places().fold((0, 0), |(x, y), at| (x + at % 1300, y + at / 1300));
        Ok(Some(((x / count) as i16, (y / count) as i16)))
    }

    fn press(&self, down: bool) -> Result<()> {
        let kind = if down { 2 } else { 3 };
        self.connection.xtest_fake_input(kind, KEY, 0, self.root, 0, 0, 0)?;
        self.connection.flush()?;
        Ok(())
    }

    fn look(&self, painter: &Painter) -> Result<Took> {
        let middle =
            eventually(LIMIT, "the session on the screen", || Ok(self.find(REST[0])?.or(self.find(REST[1])?)))?;
        // The keyboard goes to whom the pointer clicks.
        self.connection.xtest_fake_input(6, 0, 0, self.root, middle.0, middle.1, 0)?;
        for kind in [4, 5] {
            self.connection.xtest_fake_input(kind, 1, 0, self.root, 0, 0, 0)?;
        }
        self.connection.flush()?;
        self.key(middle).or_else(|_| self.key(middle)).context("the first key")?;
        let mut latencies = (0..KEYS).map(|_| self.key(middle)).collect::<Result<Vec<_>>>()?;
        latencies.sort_by(f64::total_cmp);
        let small = self.frames(&painter.wish.small, middle)?;
        let whole = self.frames(&painter.wish.whole, middle)?;
        Ok(Took { latency: latencies[KEYS / 2], small, whole })
    }

    /// Milliseconds from a key to its pixel.
    fn key(&self, place: (i16, i16)) -> Result<f64> {
        let before = self.pixel(place)?;
        let start = Instant::now();
        self.press(true)?;
        let taken = loop {
            if self.pixel(place)? != before {
                break start.elapsed();
            }
            if start.elapsed() > Duration::from_secs(3) {
                self.press(false)?;
                bail!("a key changed nothing");
            }
            // A screen that is asked without a pause has no time left for the viewer's picture.
            std::thread::sleep(Duration::from_micros(250));
        };
        self.press(false)?;
        // Not in step with anybody's frames.
        std::thread::sleep(Duration::from_millis(35));
        Ok(taken.as_secs_f64() * 1000.0)
    }

    fn frames(&self, wish: &AtomicBool, place: (i16, i16)) -> Result<f64> {
        wish.store(true, Ordering::Relaxed);
        let counted = self.count(place);
        wish.store(false, Ordering::Relaxed);
        eventually(LIMIT, "the session at rest", || Ok((self.pixel(place)? == REST[0]).then_some(())))?;
        counted
    }

    fn count(&self, place: (i16, i16)) -> Result<f64> {
        let rest = self.pixel(place)?;
        eventually(LIMIT, "the first frame", || Ok((self.pixel(place)? != rest).then_some(())))?;
        let (start, mut last, mut frames) = (Instant::now(), self.pixel(place)?, 0);
        while start.elapsed() < COUNTED {
            let now = self.pixel(place)?;
            frames += usize::from(now != last);
            last = now;
            // Reading takes the screen's time, which the viewer needs too.
            std::thread::sleep(Duration::from_millis(1));
        }
        ensure!(frames > 0, "nothing moved");
        Ok(frames as f64 / start.elapsed().as_secs_f64())
    }

    fn wait_for_nothing(&self) -> Result<()> {
        eventually(LIMIT, "the viewer's end", || {
            Ok((self.find(REST[0])?.is_none() && self.find(REST[1])?.is_none()).then_some(()))
        })
    }
}
