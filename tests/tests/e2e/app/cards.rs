//! What can be done with cards: looked back at by the scrubber, pinned, verified, compared; written into a file, which
//! somebody else imports and resumes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{App, Stage};
use serde_json::{Value, json};

use super::{card, cover, desktop, small_desktop, snapshots, timeline};
use crate::alone;

const RED: [u8; 3] = [0xa0, 0x30, 0x20];
const BLUE: [u8; 3] = [0x20, 0x40, 0xa0];

fn labelled(stage: &Stage, label: &str) -> Result<Value> {
    timeline(stage)?.into_iter().find(|row| row["label"] == label).with_context(|| format!("no {label}"))
}

/// Drags along the strip of time, from its right end to its left and back, and looks.
fn looks_back(app: &App<'_>) -> Result<()> {
    let strip = app.find("slider", "the strip of time", |_| true)?;
    let (left, top) = app.on_screen(&strip)?;
    let (_, _, width, height) = strip.extents;
    let (right, middle) = (left + width - 20, top + height / 2);
    let shows = |what: &str, colour: [u8; 3]| {
        app.until(what, || {
            let images = app.all("image", |_| true)?;
            let Some(large) = images.into_iter().find(|one| one.extents.2 > 400) else { return Ok(None) };
            Ok((app.seen_in(&large)?.flat() == Some(colour)).then_some(()))
        })
    };
    app.point(right, middle)?;
    app.hold(true)?;
    shows("the later picture under the pointer", BLUE)?;
    app.point(left + width / 2, middle)?;
    app.point(left + 20, middle)?;
    shows("the earlier picture while the button is down", RED)?;
    app.keep("cards 1 looked back");
    app.point(right, middle)?;
    shows("the later picture again", BLUE)?;
    app.hold(false)?;
    app.press(&["Escape"])
}

fn is_pinned(stage: &Stage, app: &App<'_>) -> Result<()> {
    app.choose(&card(app, "red")?, "Pin")?;
    app.until("it is pinned", || Ok((labelled(stage, "red")?["pinned"] == true).then_some(())))?;
    app.find(super::CARD, "the pinned card", |name| name.starts_with("red") && name.contains("Pinned"))?;
    // What is pinned is offered to be unpinned.
    app.choose(&card(app, "red")?, "Unpin")?;
    app.until("it is not pinned", || Ok((labelled(stage, "red")?["pinned"] == false).then_some(())))
}

fn is_verified(app: &App<'_>) -> Result<()> {
    app.choose(&card(app, "red")?, "Verify")?;
    app.find("label", "the word that it is sound", |name| name.starts_with("“red") && name.ends_with("is sound"))?;
    app.find(super::CARD, "the card that was read back", |name| name.starts_with("red") && name.contains("Intact"))
        .map(drop)
}

fn are_compared(app: &App<'_>) -> Result<()> {
    app.choose(&card(app, "blue")?, "Compare With…")?;
    app.wait_for_words("Choose the snapshot to compare “blue")?;
    app.click_on(&card(app, "red")?)?;
    app.wait_for_title("What Is Different")?;
    app.wait_for_words("Windows Opened")?;
    app.wait_for_words("/home/user/report")?;
    app.keep("cards 2 compared");
    app.press(&["Escape"])?;
    app.wait_for_title("Freezeframe")
}

fn is_exported(app: &App<'_>, file: &str) -> Result<()> {
    app.choose(&card(app, "red")?, "Export…")?;
    app.wait_for_title("Export Snapshot")?;
    app.click_on(&app.find("checkbox", "the base", |name| name.contains("Include the base"))?)?;
    app.keep("cards 3 export");
    app.press(&["alt+n", "ctrl+a"])?;
    app.type_text(file)?;
    app.press(&["Return"])?;
    app.wait_for_words("Exported “red")
}

/// Somebody else, who does not know the key.
fn is_imported_and_resumed(file: &str, key: &str) -> Result<()> {
    let other = Stage::new(&["minimal"])?;
    ensure!(other.word(&["key"], "key")? != key, "both have the same key");
    let app = App::open(&other, &[])?;
    app.press(&["ctrl+o"])?;
    app.wait_for_title("Import Snapshot")?;
    app.press(&["ctrl+l"])?;
    app.type_text(file)?;
    app.press(&["Return"])?;
    app.wait_for_words("Trust the Maker of This Snapshot?")?;
    app.wait_for_words(key)?;
    app.keep("cards 4 whose key");
    ensure!(timeline(&other)?.is_empty(), "imported before it is trusted");
    app.click("Import")?;
    // Dropped on the window it is asked about again, and told to be there; the key is remembered this time.
    app.drop_file(Path::new(file), &card(&app, "red")?)?;
    app.wait_for_words("Trust the Maker of This Snapshot?")?;
    ensure!(other.json(&["trusted"])? == json!([]), "a key was remembered that should not be");
    app.click_on(&app.find("checkbox", "the key's future", |name| name.contains("Trust this key from now on"))?)?;
    app.press(&["Tab"])?;
    app.type_text("the red one")?;
    app.keep("cards 4 trusted from now on");
    app.click("Import")?;
    app.wait_for_words("This snapshot was there already")?;
    let trusted = other.json(&["trusted"])?;
    ensure!(trusted == json!([{"key": key, "name": "the red one"}]), "{trusted}");
    app.click_on(&card(&app, "red")?)?;
    app.click("Resume…")?;
    app.wait_for_words("Nothing that runs now is stopped")?;
    app.click("Resume")?;
    app.wait_for_title("desk")?;
    app.until(
        "the desktop of the other one",
        || Ok((app.seen_in(&desktop(&app)?)?.flat() == Some(RED)).then_some(())),
    )?;
    app.keep("cards 5 resumed");
    Ok(())
}

#[test]
fn cards_are_looked_at_pinned_verified_compared_and_given_to_somebody_else() {
    alone(|stage| {
        let session = small_desktop(stage)?;
        cover(stage, &session, "red", RED)?;
        stage.json(&["save", &session, "--label", "red"])?;
        stage.put(&session, "/home/user/report", "new")?;
        cover(stage, &session, "blue", BLUE)?;
        stage.json(&["save", &session, "--label", "blue"])?;
        snapshots(stage, 2)?;
        let app = App::open(stage, &[])?;
        card(&app, "red")?;
        looks_back(&app)?;
        is_pinned(stage, &app)?;
        is_verified(&app)?;
        are_compared(&app)?;
        let file = stage.directory().join("red.freezeframe").to_string_lossy().into_owned();
        is_exported(&app, &file)?;
        drop(app);
        is_imported_and_resumed(&file, &stage.word(&["key"], "key")?)
    });
}
