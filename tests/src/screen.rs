//! A screen of the host, with somebody's VNC client on it: Xvfb and TigerVNC's `vncviewer`.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::picture::Picture;
use crate::stage::Stage;
use crate::wait::eventually;

/// How long a program may take to show its window.
const APPEARS: Duration = Duration::from_secs(30);

/// A screen, ended when dropped.
#[derive(Debug)]
pub struct Screen<'a> {
    stage: &'a Stage,
    server: Child,
    display: String,
}

impl<'a> Screen<'a> {
    /// An empty screen.
    ///
    /// # Errors
    /// When Xvfb does not start.
    pub fn new(stage: &'a Stage) -> Result<Self> {
        let number = stage.directory().join("screen");
        let mut command = stage.command("sh".as_ref());
        command
            .args(["-c", "exec Xvfb -displayfd 3 -screen 0 1300x900x24 -nolisten tcp -noreset 3>\"$1\"", "sh"])
            .arg(&number);
        let server = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("apt install xvfb")?;
        let mut screen = Self { stage, server, display: String::new() };
        screen.display = eventually(APPEARS, "Xvfb", || {
            let text = std::fs::read_to_string(&number)?;
            Ok(text.ends_with('\n').then(|| format!(":{}", text.trim())))
        })?;
        Ok(screen)
    }

    /// A command with its window on this screen.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.stage.command(program.as_ref());
        command.env("DISPLAY", &self.display);
        command
    }

    /// The X display.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }

    /// Runs xdotool; answers what it says.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command("xdotool").args(arguments).output().context("apt install xdotool")?;
        ensure!(output.status.success(), "xdotool {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// All that is seen on it, without the pointer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn picture(&self) -> Result<Picture> {
        let mut command = self.command("import");
        let output =
            command.args(["-silent", "-window", "root", "png:-"]).output().context("apt install imagemagick")?;
        Picture::from_png(&output.stdout)
    }

    /// Opens `vncviewer` on a display's socket.
    ///
    /// # Errors
    /// When it does not show a window.
    pub fn vncviewer(&self, socket: &Path) -> Result<VncViewer<'_>> {
        let log = File::create(self.stage.directory().join("vncviewer.log"))?;
        let mut command = self.command("vncviewer");
        command.arg(socket).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("apt install tigervnc-viewer")?;
        let mut viewer = VncViewer { screen: self, child, window: String::new() };
        viewer.window = eventually(APPEARS, "vncviewer's window", || {
            viewer.is_well()?;
            let said = self.tool(&["search", "--onlyvisible", "--name", "TigerVNC"])?;
            Ok(said.lines().last().map(str::to_owned))
        })?;
        Ok(viewer)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// TigerVNC's viewer, ended when dropped.
#[derive(Debug)]
pub struct VncViewer<'a> {
    screen: &'a Screen<'a>,
    child: Child,
    window: String,
}

impl VncViewer<'_> {
    /// Ok while it runs.
    ///
    /// # Errors
    /// When it has ended, with what it said.
    pub fn is_well(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        let said = std::fs::read_to_string(self.screen.stage.directory().join("vncviewer.log"))?;
        ensure!(ended.is_none(), "vncviewer has ended: {ended:?}\n{said}");
        // It shows a dialogue then, and stays until that is closed.
        ensure!(!said.contains("unexpectedly") && !said.contains("rror"), "vncviewer is in trouble:\n{said}");
        Ok(())
    }

    /// Moves the pointer to a place in its window.
    ///
    /// # Errors
    /// When it has no window any more.
    pub fn point(&self, x: u16, y: u16) -> Result<()> {
        let (x, y) = (x.to_string(), y.to_string());
        self.screen.tool(&["mousemove", "--sync", "--window", &self.window, &x, &y]).map(drop)
    }

    /// Types into its window.
    ///
    /// # Errors
    /// When it has no window any more.
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.screen.tool(&["windowfocus", &self.window])?;
        for line in text.split_inclusive('\n') {
            self.screen.tool(&["type", "--delay", "5", line.trim_end_matches('\n')])?;
            if line.ends_with('\n') {
                self.screen.tool(&["key", "Return"])?;
            }
        }
        Ok(())
    }
}

impl Drop for VncViewer<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
