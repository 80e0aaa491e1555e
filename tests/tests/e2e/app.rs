//! The app with real sessions: a desktop is started, saved, used and brought back in its window, with pointer and
//! keyboard alone.

mod cards;
mod ends;
mod shares;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{App, Area, Picture, Stage, Widget, eventually};
use serde_json::Value;

use crate::alone;

const LIMIT: Duration = Duration::from_secs(90);
/// The kind that a card is of, for a screen reader.
const CARD: &str = "list item";

/// A world whose new desktops are small ones.
fn stage_for_small_desktops(stage: &Stage) -> Result<()> {
    stage.configure("default_base = \"minimal\"\ndefault_size = \"900x600\"\n")?;
    // With this the agent runs.
    stage.json(&["list"]).map(drop)
}

fn timeline(stage: &Stage) -> Result<Vec<Value>> {
    Ok(stage.json(&["timeline"])?.as_array().context("a list")?.clone())
}

/// Waits until there are so many snapshots that nobody works on; answers them, the newest first.
fn snapshots(stage: &Stage, count: usize) -> Result<Vec<Value>> {
    eventually(LIMIT, &format!("there are {count} snapshots"), || {
        let rows = timeline(stage)?;
        Ok((rows.len() == count && rows.iter().all(|row| row["state"] == "whole")).then_some(rows))
    })
}

/// Starts a desktop by the app's dialog; answers its name.
fn start_desktop(stage: &Stage, app: &App<'_>) -> Result<String> {
    app.keep("1 nothing yet");
    app.click("Start a Desktop")?;
    app.wait_for_title("Start a Desktop")?;
    app.keep("2 start");
    app.click("Start")?;
    let session = app.until("a session runs", || {
        let list = stage.json(&["list"])?;
        Ok(list[0]["session"].as_str().filter(|_| list[0]["state"] == "running").map(str::to_owned))
    })?;
    app.wait_for_title(&session)?;
    Ok(session)
}

/// A desktop so small, started elsewhere.
fn small_desktop(stage: &Stage) -> Result<String> {
    stage.start(&["--name", "desk", "--base", "minimal", "--size", "900x600"])
}

/// Covers a session's desktop with a window of that title in this colour, and waits until it is drawn.
fn cover(stage: &Stage, session: &str, title: &str, colour: [u8; 3]) -> Result<()> {
    let name = format!("rgb:{:02x}/{:02x}/{:02x}", colour[0], colour[1], colour[2]);
    let look = ["xterm", "-T", title, "-geometry", "150x60+0+0", "-bg", &name, "-fg", &name, "-cr", &name];
    stage.launch(session, &[&look[..], &["-e", "sleep", "100000"]].concat())?;
    stage.wait_for_window(session, &format!("^{title}$"))?;
    eventually(LIMIT, &format!("{title} is drawn"), || {
        let middle = Area { x: 400, y: 250, width: 100, height: 100 };
        Ok((stage.screenshot(session)?.part(middle).flat() == Some(colour)).then_some(()))
    })
}

/// A terminal in the session that notes every line that is typed into it.
struct Notebook<'a> {
    stage: &'a Stage,
    app: &'a App<'a>,
    /// Its place on the screen that the app is on.
    area: Area,
}

impl<'a> Notebook<'a> {
    fn open(stage: &'a Stage, app: &'a App<'a>, session: &str) -> Result<Self> {
        let note = "while read line; do echo \"$line\" >> /tmp/typed; done";
        stage.launch(session, &["xterm", "-T", "notebook", "-geometry", "70x12+150+120", "-e", "sh", "-c", note])?;
        let window = stage.wait_for_window(session, "^notebook$")?;
        let inside = stage.geometry(session, &window)?;
        let (left, top) = app.on_screen(&desktop(app)?)?;
        // A little less than it, which the border of the app's own window takes.
        let margin = 12;
        let area = Area {
            x: u32::try_from(left)? + u32::from(inside.x) + margin,
            y: u32::try_from(top)? + u32::from(inside.y) + margin,
            width: u32::from(inside.width) - 2 * margin,
            height: u32::from(inside.height) - 2 * margin,
        };
        Ok(Self { stage, app, area })
    }

    /// What the app shows of it, once that stands.
    fn seen(&self) -> Result<Picture> {
        let mut before = self.app.picture()?.part(self.area);
        self.app.until("the desktop stands still", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.app.picture()?.part(self.area);
            let stands = now == std::mem::replace(&mut before, now.clone());
            Ok(stands.then_some(now))
        })
    }

    /// Clicks into it and types a line, which arrives.
    fn note(&self, session: &str, line: &str) -> Result<()> {
        let middle = (self.area.x + self.area.width / 2, self.area.y + self.area.height / 2);
        self.app.click_at(i32::try_from(middle.0)?, i32::try_from(middle.1)?)?;
        self.app.type_text(line)?;
        self.app.press(&["Return"])?;
        self.app.until(&format!("{line:?} is noted"), || {
            Ok(self.noted(session)?.ends_with(&format!("{line}\n")).then_some(()))
        })
    }

    fn noted(&self, session: &str) -> Result<String> {
        self.stage.inside(session, &["cat", "/tmp/typed"])
    }
}

/// The live desktop.
fn desktop(app: &App<'_>) -> Result<Widget> {
    app.until("the desktop is seen", || {
        let images = app.all("image", |_| true)?;
        Ok(images.into_iter().find(|one| one.extents.2 > 500))
    })
}

/// The card whose words begin so.
fn card(app: &App<'_>, words: &str) -> Result<Widget> {
    app.find(CARD, words, |name| name.starts_with(words))
}

#[test]
fn an_earlier_desktop_comes_back_in_the_window() {
    alone(|stage| {
        stage_for_small_desktops(stage)?;
        let app = App::open(stage, &[])?;
        let session = start_desktop(stage, &app)?;
        let notebook = Notebook::open(stage, &app, &session)?;
        notebook.note(&session, "the earlier text")?;
        let earlier = notebook.seen()?;
        app.keep("3 live");
        app.click("Snapshot Session")?;
        app.wait_for_words(&format!("Saved “{session}”"))?;
        app.keep("4 saved");
        let first = snapshots(stage, 1)?.remove(0);

        // What is done after it is seen, and goes with the resume.
        notebook.note(&session, "the other text")?;
        ensure!(notebook.seen()?.differing(&earlier, None)? > 100, "the other text is not seen");
        app.keep("5 the other text");
        app.click("Show the Timeline")?;
        app.wait_for_title("Freezeframe")?;
        let shown = card(&app, "notebook")?;
        app.keep("6 timeline");
        app.click_on(&shown)?;
        app.click("Resume…")?;
        app.wait_for_words("will be saved first")?;
        app.keep("7 resume");
        app.click("Save and Resume")?;
        app.wait_for_title(&session)?;
        app.until("the earlier text is seen again, and the other is gone", || {
            Ok((notebook.seen()? == earlier).then_some(()))
        })?;
        app.keep("8 resumed");
        ensure!(notebook.noted(&session)? == "the earlier text\n");
        let both = snapshots(stage, 2)?;
        ensure!(both.iter().any(|row| row["snapshot"] == first["snapshot"]), "{both:?}");
        notebook.note(&session, "the new text")?;
        ensure!(notebook.noted(&session)? == "the earlier text\nthe new text\n");

        // A name for the first, by which it is found.
        app.click("Show the Timeline")?;
        app.wait_for_title("Freezeframe")?;
        card(&app, "Before resuming “notebook”")?;
        app.keep("9 both");
        // The running desktop, today's that was saved for the resume, and the first.
        app.press(&["End", "F2"])?;
        app.wait_for_words("Rename Snapshot")?;
        app.type_text("Letter to the landlord")?;
        app.keep("10 rename");
        app.press(&["Return"])?;
        card(&app, "Letter to the landlord")?;
        let row = |id: &Value| Ok::<_, anyhow::Error>(timeline(stage)?.into_iter().find(|row| row["snapshot"] == *id));
        ensure!(row(&first["snapshot"])?.is_some_and(|row| row["label"] == "Letter to the landlord"));
        app.type_text("landlord")?;
        app.until("only what is looked for is shown", || {
            let cards = app.all(CARD, |_| true)?;
            Ok((cards.len() == 1 && cards[0].name.starts_with("Letter")).then_some(()))
        })?;
        app.keep("11 found");
        app.type_text(" xyzzy")?;
        app.wait_for_words("Nothing Found")?;
        app.keep("12 nothing found");
        app.press(&["Escape"])?;
        app.until("all cards", || Ok((app.all(CARD, |_| true)?.len() == 3).then_some(())))?;

        // Deleted, and brought back.
        app.press(&["End", "Delete"])?;
        app.wait_for_words("Deleted “Letter to the landlord")?;
        app.keep("13 deleted");
        app.until("it is gone, and its card", || {
            Ok((row(&first["snapshot"])?.is_none() && app.all(CARD, |_| true)?.len() == 2).then_some(()))
        })?;
        app.click("Undo")?;
        card(&app, "Letter to the landlord")?;
        app.keep("14 back");
        ensure!(row(&first["snapshot"])?.is_some(), "the agent does not have it");
        Ok(())
    });
}
