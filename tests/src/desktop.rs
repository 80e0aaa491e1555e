//! Windows in a session, found by xdotool inside it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::stage::Stage;
use crate::viewer::{Viewer, keys};
use crate::wait::eventually;

/// How long a window may take to show itself; applications start slowly when the machine is busy.
const APPEARS: Duration = Duration::from_secs(90);

/// vim in a terminal, whose window has the title "editor" or "VIM". What a terminal says of its focus and of itself is taken for
/// keys by a vim that is compatible with vi, and by any when it comes in pieces, as on a slow machine: it is not asked.
pub const VIM: [&str; 10] = ["xterm", "-T", "editor", "-e", "vim", "-N", "-u", "NONE", "--cmd", QUIET];

/// For vim: without requests for reports of the terminal (term.txt of vim).
pub const QUIET: &str = "set t_RV= t_u7= t_RF= t_RB= t_RC= t_RS= t_fe= t_fd=";

/// Where a window is on the display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Pixels from the left.
    pub x: u16,
    /// Pixels from the top.
    pub y: u16,
    /// Width.
    pub width: u16,
    /// Height.
    pub height: u16,
}

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its X id.
    pub id: String,
    /// Its title.
    pub title: String,
}

impl Stage {
    /// The visible window whose title matches, if there is one.
    ///
    /// # Errors
    /// When the session cannot be asked.
    pub fn window(&self, session: &str, title: &str) -> Result<Option<Window>> {
        let script = "id=$(xdotool search --onlyvisible --name \"$1\" | tail -n 1); \
                      [ -n \"$id\" ] && echo \"$id\" && xdotool getwindowname \"$id\" || true";
        let said = self.inside(session, &["sh", "-c", script, "sh", title])?;
        let mut lines = said.lines();
        Ok(lines.next().zip(lines.next()).map(|(id, title)| Window { id: id.to_owned(), title: title.to_owned() }))
    }

    /// Waits for a window whose title matches.
    ///
    /// # Errors
    /// When none comes.
    pub fn wait_for_window(&self, session: &str, title: &str) -> Result<Window> {
        eventually(APPEARS, &format!("a window {title:?} in {session}"), || self.window(session, title))
    }

    /// Moves and sizes a window and waits until it is so.
    ///
    /// # Errors
    /// When the session cannot be asked.
    pub fn place(&self, session: &str, window: &Window, to: Geometry) -> Result<()> {
        let [x, y, width, height] = [to.x, to.y, to.width, to.height].map(|n| n.to_string());
        let id = window.id.as_str();
        self.inside(session, &["xdotool", "windowsize", id, &width, &height, "windowmove", id, &x, &y])?;
        // Terminals have whole characters only, and frames push windows aside.
        let close = |a: u16, b: u16| a.abs_diff(b) < 60;
        eventually(APPEARS, &format!("the window {:?} is where it was put", window.title), || {
            let now = self.geometry(session, window)?;
            let there = close(now.x, to.x) && close(now.y, to.y);
            Ok((there && close(now.width, to.width) && close(now.height, to.height)).then_some(()))
        })
    }

    /// Where a window is now.
    ///
    /// # Errors
    /// When the session cannot be asked.
    pub fn geometry(&self, session: &str, window: &Window) -> Result<Geometry> {
        let said = self.inside(session, &["xdotool", "getwindowgeometry", "--shell", &window.id])?;
        let number = |name: &str| -> Result<u16> {
            let value = said.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
            value.context("xdotool prints no geometry")?.parse().with_context(|| said.clone())
        };
        Ok(Geometry { x: number("X")?, y: number("Y")?, width: number("WIDTH")?, height: number("HEIGHT")? })
    }

    /// Clicks into the middle of a window, through the display's socket, as a person would.
    ///
    /// # Errors
    /// When the session or its display does not answer.
    pub fn click_on(&self, session: &str, window: &Window) -> Result<Viewer> {
        let Geometry { x, y, width, height } = self.geometry(session, window)?;
        let mut viewer = self.viewer(session)?;
        viewer.click(x + width / 2, y + height / 2)?;
        let focused = || -> Result<Option<()>> {
            let said = self.inside(session, &["xdotool", "getactivewindow"])?;
            Ok((said.trim() == window.id).then_some(()))
        };
        eventually(Duration::from_secs(20), &format!("the window {:?} has the focus", window.title), focused)?;
        Ok(viewer)
    }

    /// What vim has in its buffer, whose window is `window`: has it write the buffer into a file, and reads that.
    ///
    /// # Errors
    /// When vim does not answer to its keyboard.
    pub fn text_in_vim(&self, session: &str, window: &Window, file: &str) -> Result<String> {
        // Not what was written there before.
        self.inside(session, &["rm", "-f", file])?;
        let mut viewer = self.click_on(session, window)?;
        viewer.press(&[keys::ESCAPE])?;
        viewer.type_text(&format!(":w! {file}\n"))?;
        self.file_inside(session, file)
    }

    /// What is in a file of the session as soon as it is there and not empty.
    ///
    /// # Errors
    /// When it does not come.
    pub fn file_inside(&self, session: &str, path: &str) -> Result<String> {
        eventually(Duration::from_secs(20), &format!("the file {path} in {session}"), || {
            let text = self.inside(session, &["cat", path])?;
            Ok((!text.is_empty()).then_some(text))
        })
    }
}
