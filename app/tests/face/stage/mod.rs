//! What a test of the window needs: a screen to stand on, servers to look at, and a bus.

mod access;
mod agent;
mod servers;

use std::cell::RefCell;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

pub(crate) use access::{Access, Accessible};
pub(crate) use agent::{Bus, FakeAgent};
pub(crate) use servers::{FakeServer, Relay, Said, VncServer, solid_update};

/// Longer than anything takes on a slow, busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A program that ends with its owner.
pub(crate) struct Program {
    child: Child,
    /// Whether what it started ends with it.
    family: bool,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { child: spawn(command.stdin(Stdio::null())), family: false }
    }

    /// The same for a program that starts others and leaves them behind when it is killed: all of them end with the owner,
    /// and with a test that is killed too. None of them holds the test's standard output, for whose end a pipe waits.
    pub(crate) fn start_family(program: &str, configure: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new("setpriv");
        configure(command.args(["--pdeathsig", "TERM", "--", program]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self { child: spawn(&mut command), family: true }
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory that it has touched.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.family {
            let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

thread_local! {
    /// The screen of the test that this thread runs, to show what was there when something did not come.
    static SCREEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Waits until it is there, or says what was waited for.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if start.elapsed() > PATIENCE {
            SCREEN.with_borrow(|screen| screen.as_deref().map(|display| keep(display, &format!("failed: {what}"))));
            panic!("{what} did not come");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A test that lacks a program fails and says how to get it: it must not pass by doing nothing.
pub(crate) fn need(programs: &[(&str, &str)]) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !std::env::split_paths(&path).any(|directory| directory.join(program).exists()))
        .map(|(_, package)| *package)
        .collect();
    assert!(missing.is_empty(), "this test needs: apt-get install {}", missing.join(" "));
}

/// A program that writes the number of its display to descriptor 3, as X servers do.
pub(crate) fn start_x(directory: &Path, program: &str, arguments: &[&str]) -> (Program, String) {
    let number = directory.join(format!("{program}.display"));
    let mut command = Command::new("sh");
    command.args(["-c", r#"number=$1; shift; exec "$@" -displayfd 3 3>"$number" 2>/dev/null"#, "sh"]);
    command.arg(&number).arg(program).args(arguments);
    let child = Program::start(&mut command);
    let display = wait_for(program, || {
        let number = std::fs::read_to_string(&number).ok()?;
        number.ends_with('\n').then(|| format!(":{}", number.trim()))
    });
    (child, display)
}

/// A screen of its own with a window manager, where the app is started, seen and used.
pub(crate) struct Stage {
    pub(crate) directory: TempDir,
    pub(crate) display: String,
    bus: Option<String>,
    /// Whether the app speaks with screen readers, and in which language with people.
    accessible: bool,
    language: &'static str,
    _programs: Vec<Program>,
}

impl Stage {
    /// `bus`: the address of the session bus, none for no bus at all.
    pub(crate) fn new(bus: Option<&str>) -> Self {
        Self::on_screen(bus, "1300x900")
    }

    /// The same on a screen of this size.
    pub(crate) fn on_screen(bus: Option<&str>, size: &str) -> Self {
        need(&[
            ("Xvfb", "xvfb"),
            ("openbox", "openbox"),
            ("xdotool", "xdotool"),
            ("import", "imagemagick"),
            ("Xtigervnc", "tigervnc-standalone-server"),
            ("xterm", "xterm"),
            ("xsetroot", "x11-xserver-utils"),
            ("dbus-daemon", "dbus-daemon"),
        ]);
        let directory = tempfile::tempdir().unwrap();
        let (screen, display) = start_x(directory.path(), "Xvfb", &["-screen", "0", &format!("{size}x24"), "-noreset"]);
        let settings = directory.path().join("gtk-4.0");
        std::fs::create_dir(&settings).unwrap();
        std::fs::write(settings.join("settings.ini"), "[Settings]\ngtk-enable-animations=false\n").unwrap();
        let manager = Program::start(Command::new("openbox").env("DISPLAY", &display).stderr(Stdio::null()));
        SCREEN.set(Some(display.clone()));
        Self {
            directory,
            display,
            bus: bus.map(str::to_owned),
            accessible: false,
            language: "C.UTF-8",
            _programs: vec![screen, manager],
        }
    }

    /// The app is to speak with screen readers, on the accessibility bus of the stage's own bus.
    pub(crate) fn accessible(mut self) -> Self {
        self.accessible = true;
        self
    }

    /// The app is to speak this language, by its code.
    pub(crate) fn in_language(mut self, language: &'static str) -> Self {
        self.language = language;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the app; its window comes in its own time.
    pub(crate) fn app(&self, arguments: &[&str]) -> Program {
        self.app_with(arguments, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn app_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Program {
        Program::start(self.command().args(arguments).envs(variables.iter().copied()))
    }

    /// Starts the app, which writes of these parts of itself (`RUST_LOG`) to a file.
    pub(crate) fn app_telling(&self, parts: &str, log: &Path) -> Program {
        Program::start(self.command().env("RUST_LOG", parts).stderr(std::fs::File::create(log).unwrap()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freezeframe"));
        command
            .env("DISPLAY", &self.display)
            .env_remove("WAYLAND_DISPLAY")
            .env("GDK_BACKEND", "x11")
            .env("GSK_RENDERER", "cairo")
            .env("GTK_A11Y", if self.accessible { "atspi" } else { "none" })
            .env("LC_ALL", "C.UTF-8")
            .env("LANGUAGE", self.language)
            .env("GSETTINGS_BACKEND", "memory")
            .env("XDG_CONFIG_HOME", self.directory.path())
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus.as_deref().unwrap_or("disabled:"))
            .env("ADW_DISABLE_PORTAL", "1")
            // Every warning of GTK's is a mistake of ours.
            .env("G_DEBUG", "fatal-criticals");
        command
    }

    pub(crate) fn xdotool(&self, arguments: &[&str]) -> String {
        xdotool_on(&self.display, arguments)
    }

    /// The title of the window that has the keyboard.
    pub(crate) fn active_title(&self) -> String {
        self.xdotool(&["getactivewindow", "getwindowname"])
    }

    pub(crate) fn wait_for_title(&self, title: &str) {
        wait_for(&format!("a window named {title:?}"), || (self.active_title() == title).then_some(()));
    }

    /// Everything that is seen, without the pointer.
    pub(crate) fn picture(&self) -> RgbImage {
        picture_of(&self.display)
    }

    /// Where pixels of this colour are on the screen, as [`box_around`] has it.
    pub(crate) fn find(&self, colour: [u8; 3]) -> Option<[u32; 4]> {
        box_around(&self.picture(), colour)
    }

    /// Keeps a picture for people to look at, where they ask for it with `FREEZEFRAME_TEST_PICTURES`.
    pub(crate) fn keep(&self, name: &str) {
        keep(&self.display, name);
    }
}

fn xdotool_on(display: &str, arguments: &[&str]) -> String {
    let output = Command::new("xdotool").args(arguments).env("DISPLAY", display).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn keep(display: &str, name: &str) {
    if let Some(directory) = std::env::var_os("FREEZEFRAME_TEST_PICTURES") {
        picture_of(display).save(Path::new(&directory).join(format!("{name}.png"))).unwrap();
    }
}

/// Where pixels of this colour are: left, top, width, height of the smallest box around them.
pub(crate) fn box_around(picture: &RgbImage, colour: [u8; 3]) -> Option<[u32; 4]> {
    let found = || picture.enumerate_pixels().filter(|(_, _, pixel)| **pixel == Rgb(colour));
    let (left, right) = (found().map(|(x, ..)| x).min()?, found().map(|(x, ..)| x).max()?);
    let (top, bottom) = (found().map(|(_, y, _)| y).min()?, found().map(|(_, y, _)| y).max()?);
    Some([left, top, right - left + 1, bottom - top + 1])
}

fn picture_of(display: &str) -> RgbImage {
    let output =
        Command::new("import").args(["-silent", "-window", "root", "png:-"]).env("DISPLAY", display).output().unwrap();
    image::load_from_memory(&output.stdout).unwrap().to_rgb8()
}
