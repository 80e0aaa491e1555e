//! The app on a screen, used as a person does: with pointer and keyboard, and by what is seen of it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::accessible::{Access, Widget};
use crate::drag::drop_file;
use crate::outcome::finish;
use crate::picture::{Area, Picture};
use crate::screen::Screen;
use crate::stage::Stage;
use crate::wait::eventually;

/// Nothing that the app shows takes longer on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// The app, ended when dropped.
#[derive(Debug)]
pub struct App<'a> {
    stage: &'a Stage,
    screen: Screen<'a>,
    access: Access,
    manager: Child,
    program: Child,
}

impl<'a> App<'a> {
    /// Opens it on its own screen, on the stage's bus.
    ///
    /// # Errors
    /// When it does not show its window.
    pub fn open(stage: &'a Stage, arguments: &[&str]) -> Result<Self> {
        // Where nothing moves unasked, two equal pictures mean that all is drawn.
        let settings = stage.directory().join("config/gtk-4.0");
        std::fs::create_dir_all(&settings)?;
        std::fs::write(settings.join("settings.ini"), "[Settings]\ngtk-enable-animations=false\n")?;
        let screen = Screen::new(stage)?;
        let access = Access::start(stage)?;
        let mut manager = screen.command("openbox");
        manager.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let manager = manager.spawn().context("apt install openbox")?;
        // A window that is there before its manager is not given the keyboard.
        eventually(LIMIT, "openbox", || Ok(screen.tool(&["get_desktop"]).ok()))?;
        let program = stage.sessionctl().with_file_name("freezeframe");
        let mut command = screen.command(&program.to_string_lossy());
        let log = File::create(stage.directory().join("app.log"))?;
        command
            .args(arguments)
            .env("GDK_BACKEND", "x11")
            .env("GSK_RENDERER", "cairo")
            .env("GTK_A11Y", "atspi")
            .env("LC_ALL", "C.UTF-8")
            .env("GSETTINGS_BACKEND", "memory")
            .env("ADW_DISABLE_PORTAL", "1")
            // Every warning of GTK's is a mistake of ours.
            .env("G_DEBUG", "fatal-criticals")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let program = command.spawn().context("freezeframe: cargo build -p freezeframe")?;
        let app = Self { stage, screen, access, manager, program };
        app.wait_for_title("Freezeframe")?;
        Ok(app)
    }

    /// Waits until `look` finds something; a failure says what is in sight instead.
    ///
    /// # Errors
    /// When the time is over.
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        eventually(LIMIT, what, look).with_context(|| {
            self.keep("failed");
            let log = std::fs::read_to_string(self.stage.directory().join("app.log")).unwrap_or_default();
            let seen = self.access.in_sight(&self.title(), |_, name| !name.is_empty()).unwrap_or_default();
            let seen: Vec<String> = seen.iter().map(|w| format!("{} {:?}", w.role, w.name)).collect();
            format!("in {:?}: {}\n{log}", self.title(), seen.join(", "))
        })
    }

    /// The title of the window that has the keyboard.
    pub fn title(&self) -> String {
        self.screen.tool(&["getactivewindow", "getwindowname"]).unwrap_or_default()
    }

    /// Waits for a window of that title to have the keyboard.
    ///
    /// # Errors
    /// When none comes.
    pub fn wait_for_title(&self, title: &str) -> Result<()> {
        self.until(&format!("the window {title:?}"), || Ok((self.title() == title).then_some(())))
    }

    /// What is in sight of this kind whose name fits, from the top down.
    ///
    /// # Errors
    /// When the app does not answer.
    pub fn all(&self, role: &str, fits: impl Fn(&str) -> bool) -> Result<Vec<Widget>> {
        self.access.in_sight(&self.title(), |its, name| its == role && fits(name))
    }

    /// Waits for something of this kind whose name fits and that can be used.
    ///
    /// # Errors
    /// When it does not come.
    pub fn find(&self, role: &str, what: &str, fits: impl Fn(&str) -> bool) -> Result<Widget> {
        self.until(&format!("the {role} {what:?}"), || Ok(self.all(role, &fits)?.into_iter().find(|one| one.usable)))
    }

    /// Waits for these words to be in sight.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_for_words(&self, words: &str) -> Result<()> {
        let said = || self.access.in_sight(&self.title(), |_, name| name.contains(words));
        self.until(&format!("the words {words:?}"), || Ok(said()?.first().map(drop)))
    }

    /// Clicks into the middle of a button as soon as it can be used.
    ///
    /// # Errors
    /// When it does not come.
    pub fn click(&self, button: &str) -> Result<()> {
        let found = self.find("button", button, |name| is_called(name, button))?;
        self.click_on(&found)
    }

    /// Opens the menu of something with the second button, and goes by keyboard to a line of it, which is chosen.
    ///
    /// # Errors
    /// When it has no such line.
    pub fn choose(&self, of: &Widget, line: &str) -> Result<()> {
        let (x, y) = self.middle(of)?;
        self.point(x, y)?;
        self.screen.tool(&["click", "3"])?;
        let at = || Ok(self.access.focused(&self.title(), "menu item"));
        self.until("a menu", at)?;
        self.until(&format!("{line:?} in the menu"), || {
            let there = at()?.is_some_and(|name| is_called(&name, line));
            if !there {
                self.press(&["Down"])?;
            }
            Ok(there.then_some(()))
        })?;
        self.press(&["Return"])
    }

    /// Clicks into the middle of something.
    ///
    /// # Errors
    /// When there is no window.
    pub fn click_on(&self, widget: &Widget) -> Result<()> {
        let (x, y) = self.middle(widget)?;
        self.click_at(x, y)
    }

    fn middle(&self, widget: &Widget) -> Result<(i32, i32)> {
        let (x, y) = self.on_screen(widget)?;
        let (_, _, width, height) = widget.extents;
        Ok((x + width / 2, y + height / 2))
    }

    /// What is seen in the middle of something, a part of 20 by 20 pixels.
    ///
    /// # Errors
    /// When the screen is gone.
    pub fn seen_in(&self, widget: &Widget) -> Result<Picture> {
        let (x, y) = self.middle(widget)?;
        let area = Area { x: u32::try_from(x - 10)?, y: u32::try_from(y - 10)?, width: 20, height: 20 };
        Ok(self.picture()?.part(area))
    }

    /// Where something's upper left corner is on the screen. GTK draws a border of a few pixels around a window where
    /// there is no compositor, which it does not tell.
    ///
    /// # Errors
    /// When there is no window.
    pub fn on_screen(&self, widget: &Widget) -> Result<(i32, i32)> {
        let said = self.screen.tool(&["getactivewindow", "getwindowgeometry", "--shell"])?;
        let number = |name: &str| -> Result<i32> {
            let value = said.lines().find_map(|line| line.strip_prefix(name));
            Ok(value.context("xdotool prints no geometry")?.parse()?)
        };
        Ok((number("X=")? + widget.extents.0, number("Y=")? + widget.extents.1))
    }

    /// Clicks at a place on the screen.
    ///
    /// # Errors
    /// When the screen is gone.
    pub fn click_at(&self, x: i32, y: i32) -> Result<()> {
        self.screen.tool(&["mousemove", "--sync", &x.to_string(), &y.to_string(), "click", "1"]).map(drop)
    }

    /// Moves the pointer to a place on the screen.
    ///
    /// # Errors
    /// When the screen is gone.
    pub fn point(&self, x: i32, y: i32) -> Result<()> {
        self.screen.tool(&["mousemove", "--sync", &x.to_string(), &y.to_string()]).map(drop)
    }

    /// Presses the first button, or lets it go.
    ///
    /// # Errors
    /// When the screen is gone.
    pub fn hold(&self, down: bool) -> Result<()> {
        self.screen.tool(&[if down { "mousedown" } else { "mouseup" }, "1"]).map(drop)
    }

    /// Drops a file from another program onto something.
    ///
    /// # Errors
    /// When it takes no files.
    pub fn drop_file(&self, file: &Path, onto: &Widget) -> Result<()> {
        let (x, y) = self.middle(onto)?;
        drop_file(self.screen.display(), file, (x.try_into()?, y.try_into()?))
    }

    /// Presses keys, one after the other, by their names with xdotool.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        self.screen.tool(&[&["key", "--delay", "40"], keys].concat()).map(drop)
    }

    /// Types a text.
    ///
    /// # Errors
    /// When the screen is gone.
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.screen.tool(&["type", "--delay", "30", text]).map(drop)
    }

    /// Copies a file's text, as a program of the user's does; the user has it until the answer is dropped.
    ///
    /// # Errors
    /// When xclip is missing.
    pub fn copy(&self, file: &Path) -> Result<Copied> {
        let mut command = self.screen.command("xclip");
        command.args(["-selection", "clipboard", "-quiet", "-i"]).arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Copied(command.spawn().context("apt install xclip")?))
    }

    /// What the user would paste now.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn paste(&self) -> Result<String> {
        let mut command = self.screen.command("xclip");
        command.args(["-selection", "clipboard", "-o", "-target", "UTF8_STRING"]);
        finish(&mut command, Duration::from_secs(10))?.done()
    }

    /// Gives the window another size, as dragging its corner does.
    ///
    /// # Errors
    /// When there is no window.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        let (width, height) = (width.to_string(), height.to_string());
        self.screen.tool(&["getactivewindow", "windowsize", &width, &height]).map(drop)
    }

    /// All that is seen, without the pointer.
    ///
    /// # Errors
    /// When the screen is gone.
    pub fn picture(&self) -> Result<Picture> {
        self.screen.picture()
    }

    /// Keeps a picture for people to look at, where they ask for it with `FREEZEFRAME_TEST_PICTURES`.
    pub fn keep(&self, name: &str) {
        if let Some(directory) = std::env::var_os("FREEZEFRAME_TEST_PICTURES")
            && let Ok(picture) = self.picture()
        {
            // Only for people: a test does not fail for it.
            let _ = picture.save(&Path::new(&directory).join(format!("{name}.png")));
        }
    }
}

/// A program that has a text in the user's clipboard, ended when dropped.
#[derive(Debug)]
pub struct Copied(Child);

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a screen reader's name is this word: GTK 4.8 may put the word with its underscore before the word that is seen.
fn is_called(name: &str, word: &str) -> bool {
    let name = name.replace('_', "");
    let name = name.trim();
    name == word || name.strip_prefix(word).and_then(|rest| rest.strip_prefix(' ')) == Some(word)
}

impl Drop for App<'_> {
    fn drop(&mut self) {
        for program in [&mut self.program, &mut self.manager] {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
