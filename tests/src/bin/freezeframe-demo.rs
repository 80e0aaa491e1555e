//! `make run`: a real desktop, saved, stopped and resumed before one's eyes, and left running.
//!
//! It uses the user's own agent, data directory and bus by way of `sessionctl`, as anybody would.

use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freezeframe_tests::{Area, Outcome, Picture, Programs, Viewer, eventually, finish};
use serde_json::Value;

const BASE: &str = "xfce";
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;
/// The panel's clock, at its right end.
const CLOCK: Area = Area { x: WIDTH - 100, y: 0, width: 100, height: 32 };
/// How long the screen has to stay the same before it counts as drawn.
const STILL: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(120);

const NOTES: &str = "Freezeframe

This desktop was saved with everything that runs in it:
this editor, the terminal beside it, the whole of XFCE.

Then it was stopped. Nothing of it was left.

Now it is back, and goes on where it was.
";
const WELCOME: &str = "printf '\\033[1mThis terminal has been here since before the save.\\033[0m\\n\\nIts shell is process %s.\\n\\n' $$; \
                       exec bash --norc";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nIt did not work: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(name: &str, text: &str) -> Result<()> {
    writeln!(stdout(), "  {name:<14}{text}").context("standard output")
}

struct Demo {
    programs: Programs,
    session: String,
}

impl Demo {
    fn outcome(&self, arguments: &[&str]) -> Result<Outcome> {
        finish(Command::new(&self.programs.sessionctl).arg("--json").args(arguments), LIMIT)
    }

    /// Runs `sessionctl --json`; its error is shown as people see it.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let outcome = self.outcome(arguments)?;
        let document = outcome.json()?;
        if outcome.code != 0 {
            let text = |field: &str| document["error"][field].as_str().unwrap_or_default().to_owned();
            bail!("sessionctl {}: {}\n{}", arguments.join(" "), text("message"), text("hint"));
        }
        Ok(document)
    }

    fn inside(&self, command: &[&str]) -> Result<String> {
        let arguments = [&["exec", &self.session, "--wait", "--"], command].concat();
        finish(Command::new(&self.programs.sessionctl).args(arguments), LIMIT)?.done()
    }

    /// The base, built where it is missing, with its progress on the terminal.
    fn base(&self) -> Result<()> {
        let bases = self.json(&["base", "list"])?;
        let whole = |row: &Value| row["base"] == BASE && row["state"] == "whole";
        if bases.as_array().is_some_and(|rows| rows.iter().any(whole)) {
            return say("base", &format!("{BASE}, built before"));
        }
        say("base", &format!("{BASE} is not there yet; building it from Debian packages"))?;
        let began = Instant::now();
        let mut build = Command::new(&self.programs.sessionctl);
        build.args(["base", "build", BASE]).stdin(Stdio::null()).stdout(Stdio::null());
        ensure!(build.status().context("sessionctl")?.success(), "the base could not be built");
        say("", &format!("built in {:.0} s", began.elapsed().as_secs_f64()))
    }

    fn start(&mut self) -> Result<()> {
        let size = format!("{WIDTH}x{HEIGHT}");
        for number in 1..100 {
            let name = if number == 1 { "demo".to_owned() } else { format!("demo-{number}") };
            let outcome = self.outcome(&["start", "--name", &name, "--base", BASE, "--size", &size])?;
            if outcome.code == 0 || outcome.json()?["error"]["name"] != "Exists" {
                let started = outcome.json()?;
                ensure!(outcome.code == 0, "the session did not start: {}", started["error"]["message"]);
                self.session = name;
                return say("session", &format!("{}, a desktop of {size}", self.session));
            }
        }
        bail!("a hundred demonstrations are running already")
    }

    fn wait_for_window(&self, title: &str) -> Result<String> {
        eventually(LIMIT, &format!("a window {title:?}"), || {
            let found =
                self.inside(&["sh", "-c", "xdotool search --onlyvisible --name \"$1\" | tail -n 1", "sh", title])?;
            Ok(Some(found.trim().to_owned()).filter(|id| !id.is_empty()))
        })
    }

    fn open_applications(&self) -> Result<()> {
        self.wait_for_window("^xfce4-panel$")?;
        self.inside(&["sh", "-c", "printf %s \"$1\" > /home/user/notes.txt", "sh", NOTES])?;
        self.json(&["exec", &self.session, "--", "mousepad", "/home/user/notes.txt"])?;
        let editor = self.wait_for_window("Mousepad$")?;
        self.inside(&["xdotool", "windowsize", &editor, "560", "420", "windowmove", &editor, "670", "120"])?;
        // The last one, so that the editor, which has not the focus then, shows no blinking cursor.
        let terminal = ["xfce4-terminal", "--title=Terminal", "--geometry=66x20+40+120", "-x", "bash", "-c", WELCOME];
        self.json(&[&["exec", &self.session, "--"], &terminal[..]].concat())?;
        self.wait_for_window("^Terminal")?;
        say("applications", "an editor and a terminal, with text in them")
    }

    fn screenshot(&self, file: &Path) -> Result<Picture> {
        self.json(&["screenshot", &self.session, &file.to_string_lossy()])?;
        Picture::open(file)
    }

    /// Waits until the screen, but for its clock, stays the same, and keeps the picture.
    fn settle(&self, file: &Path) -> Result<Picture> {
        let mut last = self.screenshot(file)?;
        let mut since = Instant::now();
        eventually(LIMIT, "the screen stays the same", || {
            let now = self.screenshot(file)?;
            if now.differing(&last, Some(CLOCK))? > 0 {
                since = Instant::now();
            }
            last = now;
            Ok((since.elapsed() > STILL && last.colours() > 50).then_some(()))
        })?;
        Ok(last)
    }

    fn pids(&self) -> Result<BTreeSet<String>> {
        let all = self.inside(&["ps", "-eo", "pid=,comm="])?;
        let lines = all.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(lines.filter(|l| !l.ends_with(" ps")).collect())
    }

    fn save(&self) -> Result<String> {
        let began = Instant::now();
        let saved = self.json(&["save", &self.session, "--label", "made by the demonstration"])?;
        let took = began.elapsed();
        let id = saved["snapshot"].as_str().context("save names no snapshot")?.to_owned();
        let pause = saved["pause_ms"].as_f64().context("save gives no pause")?;
        say("saved", &format!("{id} in {} ms; meanwhile it stood still for {pause:.0} ms", took.as_millis()))?;
        let shown = self.json(&["show", &id])?;
        let number = |name: &str| shown[name].as_u64().with_context(|| format!("show gives no {name}"));
        let megabytes = |name: &str| Ok::<_, anyhow::Error>(number(name)? as f64 / 1e6);
        say(
            "",
            &format!(
                "{} processes, {} threads; {:.0} MB of memory, {:.1} MB of files",
                number("processes")?,
                number("threads")?,
                megabytes("memory_bytes")?,
                megabytes("layer_bytes")?
            ),
        )?;
        Ok(id)
    }

    fn stop(&self) -> Result<()> {
        self.json(&["stop", &self.session])?;
        let list = self.json(&["list"])?;
        let left = list.as_array().is_some_and(|rows| rows.iter().any(|r| r["session"] == *self.session));
        ensure!(!left, "{} is still there after it was stopped", self.session);
        say("stopped", "no process of it is left")
    }

    fn resume(&mut self, id: &str) -> Result<()> {
        let resumed = self.json(&["resume", id])?;
        self.session = resumed["session"].as_str().context("resume names no session")?.to_owned();
        let took = resumed["resume_ms"].as_f64().context("resume gives no time")?;
        say("resumed", &format!("{} in {took:.0} ms", self.session))
    }

    /// Types into the terminal by the display's socket, and waits for what the shell does.
    fn is_alive(&self, socket: &Path) -> Result<()> {
        let mut viewer = Viewer::connect(socket)?;
        viewer.type_text("date > /tmp/alive; echo It answers to the keyboard.\n")?;
        eventually(Duration::from_secs(20), "the terminal answers to the keyboard", || {
            Ok(self.inside(&["test", "-s", "/tmp/alive"]).ok())
        })?;
        say("alive", "the terminal answers to the keyboard")
    }
}

/// Who runs this: everything of a desktop belongs to that user.
fn whoami() -> String {
    let user = nix::unistd::geteuid();
    let name = nix::unistd::User::from_uid(user).ok().flatten().map(|found| found.name);
    let name = name.unwrap_or_else(|| user.to_string());
    if user.is_root() { name } else { format!("{name}; no program of this runs as root") }
}

fn run() -> Result<()> {
    let programs = Programs::find()?;
    writeln!(stdout(), "Freezeframe: a desktop saved, stopped and resumed\n")?;
    say("user", &whoami())?;
    let mut demo = Demo { programs, session: String::new() };
    let outcome = show(&mut demo);
    if outcome.is_err() && !demo.session.is_empty() {
        // The first failure is the one to tell; this session is of no use to anybody.
        let _ = demo.outcome(&["stop", &demo.session]);
    }
    outcome
}

fn show(demo: &mut Demo) -> Result<()> {
    let pictures = demo.programs.directory.join("demo");
    std::fs::create_dir_all(&pictures).with_context(|| pictures.display().to_string())?;
    let (before_file, after_file) = (pictures.join("before.png"), pictures.join("after.png"));
    demo.base()?;
    demo.start()?;
    demo.open_applications()?;
    let before = demo.settle(&before_file)?;
    let pids = demo.pids()?;
    let id = demo.save()?;
    demo.stop()?;
    demo.resume(&id)?;
    let after = demo.settle(&after_file)?;
    let gone: Vec<String> = pids.difference(&demo.pids()?).cloned().collect();
    ensure!(gone.is_empty(), "processes are not what they were: {}", gone.join(", "));
    say("processes", &format!("the same {}, by the same numbers", pids.len()))?;
    let (rest, all) = (before.differing(&after, Some(CLOCK))?, before.differing(&after, None)?);
    say("screen", &format!("pixels that differ: {rest}, and {} in the clock", all - rest))?;
    say("", &format!("before: {}", before_file.display()))?;
    say("", &format!("after:  {}", after_file.display()))?;
    ensure!(rest == 0, "the screen is not what it was: {rest} pixels differ");
    let socket = display_socket(&demo.session)?;
    demo.is_alive(&socket)?;
    look_at_it(demo, &id, &socket)
}

/// Where the wrapper serves the display: in the runtime directory, found as the agent finds it.
fn display_socket(session: &str) -> Result<PathBuf> {
    let uid = nix::unistd::geteuid().as_raw();
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute());
    let ours =
        |p: &PathBuf| std::fs::symlink_metadata(p).is_ok_and(|m| m.is_dir() && m.uid() == uid && m.mode() & 0o077 == 0);
    let runtime = given.or_else(|| Some(usual).filter(ours));
    let data = || {
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share"));
        std::env::var_os("XDG_DATA_HOME").filter(|v| !v.is_empty()).map(PathBuf::from).or_else(home)
    };
    let runtime = runtime.or_else(|| Some(data()?.join("freezeframe/run"))).context("HOME is not set")?;
    let socket = runtime.join("freezeframe").join(session).join("display");
    ensure!(socket.exists(), "{} is missing", socket.display());
    Ok(socket)
}

fn look_at_it(demo: &Demo, id: &str, socket: &Path) -> Result<()> {
    let (session, sessionctl) = (&demo.session, demo.programs.sessionctl.display());
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|v| std::env::var_os(v).is_some_and(|v| !v.is_empty()));
    writeln!(stdout(), "\nThe desktop goes on running. To look at it:\n")?;
    say("", &format!("{sessionctl} view {session}"))?;
    say("", &format!("vncviewer {}", socket.display()))?;
    writeln!(stdout(), "\nTo go back to the saved point, to see all of them, and to end it:\n")?;
    say("", &format!("{sessionctl} resume {id}"))?;
    say("", &format!("{sessionctl} timeline"))?;
    say("", &format!("{sessionctl} stop {session}"))?;
    if has_display {
        let opened = demo.json(&["view", session]).or_else(|_| demo.json(&["view", session, "--client"]));
        match opened {
            Ok(_) => writeln!(stdout(), "\nA viewer opens on it now.")?,
            // The desktop is there all the same.
            Err(error) => writeln!(stdout(), "\nNo viewer opens by itself: {error:#}")?,
        }
    }
    Ok(())
}
