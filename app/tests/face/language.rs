//! The app speaks the user's language, as the build has compiled it.

use crate::stage::{Access, Bus, FakeAgent, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn the_app_speaks_german() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let _agent = FakeAgent::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible().in_language("de");
    let _app = stage.app(&[]);
    // From a `.ui` file, and from Rust.
    access.wait("the menu's name", |one| one.name == "Hauptmenü");
    stage.wait_for_title("Freezeframe");
    stage.xdotool(&["key", "ctrl+comma"]);
    access.wait("the preferences", |one| one.name == "Desktops selbsttätig sichern");
    stage.keep("german");
}
