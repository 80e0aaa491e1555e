//! The desktop that is measured.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use freezeframe_tests::{Geometry, Stage, VIM, Window, eventually};

use crate::LIMIT;

const EDITOR: &str = "Mousepad$";
const BROWSER: &str = "^a page";
const BESIDE_THE_EDITOR: Geometry = Geometry { x: 640, y: 60, width: 620, height: 700 };
const BESIDE_THE_BROWSER: Geometry = Geometry { x: 20, y: 60, width: 560, height: 320 };

/// A session of the base `xfce`.
pub(crate) struct Desk<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) session: String,
}

impl<'a> Desk<'a> {
    pub(crate) fn start(stage: &'a Stage) -> Result<Self> {
        let session = stage.start(&["--name", "bench", "--base", "xfce"])?;
        Ok(Self { stage, session })
    }

    /// An editor, a terminal and vim.
    pub(crate) fn open_applications(&self) -> Result<()> {
        let (stage, session) = (self.stage, self.session.as_str());
        stage.wait_for_window(session, "^xfce4-panel$")?;
        stage.put(session, "/home/user/notes.txt", &"A line of text.\n".repeat(2000))?;
        stage.launch(session, &["mousepad", "/home/user/notes.txt"])?;
        stage.launch(session, &["xfce4-terminal", "--title=Terminal"])?;
        stage.launch(session, &[&VIM[..], &["/home/user/notes.txt"]].concat())?;
        for window in [EDITOR, "^Terminal", "^editor$|VIM"] {
            stage.wait_for_window(session, window)?;
        }
        self.settle()
    }

    /// Firefox with a page that is long enough to be scrolled.
    pub(crate) fn open_browser(&self) -> Result<()> {
        let lines: String =
            (0..1500).map(|n| format!("<p>Line {n} of a page that is {}.", "long ".repeat(n % 9))).collect();
        let page = format!("<title>a page</title><h1>A page</h1>{lines}");
        self.stage.put(&self.session, "/home/user/page.html", &page)?;
        // With a size it does not fill the whole display.
        let firefox = ["firefox-esr", "-width", "620", "-height", "700", "file:///home/user/page.html"];
        self.stage.launch(&self.session, &firefox)?;
        // Side by side, so that each can be clicked on.
        self.stage.place(&self.session, &self.browser()?, BESIDE_THE_EDITOR)?;
        self.stage.place(&self.session, &self.editor()?, BESIDE_THE_BROWSER)?;
        self.settle()
    }

    /// The window of the editor, to be typed in.
    pub(crate) fn editor(&self) -> Result<Window> {
        self.stage.wait_for_window(&self.session, EDITOR)
    }

    /// The window of the browser.
    pub(crate) fn browser(&self) -> Result<Window> {
        self.stage.wait_for_window(&self.session, BROWSER)
    }

    /// Waits until no process comes or goes and next to no time is used.
    pub(crate) fn settle(&self) -> Result<()> {
        let used = || -> Result<(usize, u64)> {
            let processes = self.stage.processes(&self.session)?;
            let ticks = |pid: &i32| -> u64 {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11).take(2);
                fields.filter_map(|f| f.parse::<u64>().ok()).sum()
            };
            Ok((processes.len(), processes.values().map(|p| ticks(&p.pid)).sum()))
        };
        let (mut before, mut since) = (used()?, Instant::now());
        eventually(LIMIT, "the desktop comes to rest", || {
            if since.elapsed() < Duration::from_secs(2) {
                return Ok(None);
            }
            let now = used()?;
            // Two clock ticks (sysconf(_SC_CLK_TCK)) of a hundredth of a second each per second.
            let rests = now.0 == before.0 && now.1.saturating_sub(before.1) <= 4;
            (before, since) = (now, Instant::now());
            Ok(rests.then_some(()))
        })
    }
}
