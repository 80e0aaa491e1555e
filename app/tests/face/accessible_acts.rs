//! Cards of snapshots, their menus, and the dialogs of what can be done: named for screen readers, and reached by keyboard.

use std::collections::BTreeSet;

use crate::accessible::{close, nameless, open, out_of_reach, press};
use crate::stage::{Access, Accessible, Bus, FakeAgent, Stage, VncServer, wait_for};
use crate::timeline::row;

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];

/// Presses a key until what has the keyboard is this.
pub(crate) fn go_to(stage: &Stage, access: &Access, key: &str, what: &str) {
    let there = |one: &Accessible| one.focused() && one.name.contains(what);
    wait_for(&format!("the keyboard at {what:?}"), || {
        let found = access.now().iter().any(there);
        if !found {
            press(stage, access, key);
        }
        found.then_some(())
    });
}

/// Takes the keyboard to a card: by Tab to the cards, then through them from the first.
pub(crate) fn go_to_card(stage: &Stage, access: &Access, what: &str) {
    wait_for("the keyboard at the cards", || {
        let found = access.now().iter().any(|one| one.focused() && one.role == "list item");
        if !found {
            press(stage, access, "Tab");
        }
        found.then_some(())
    });
    stage.xdotool(&["key", "Home"]);
    go_to(stage, access, "Right", what);
}

/// The names that the keyboard comes to by this key until it comes round, or stays.
fn walk(stage: &Stage, access: &Access, key: &str, fits: impl Fn(&Accessible) -> bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..40 {
        let focused: Vec<Accessible> = access.now().into_iter().filter(|one| one.focused() && fits(one)).collect();
        if let Some(one) = focused.last() {
            if names.first() == Some(&one.name) && names.len() > 1 {
                break;
            }
            if names.last() != Some(&one.name) {
                names.push(one.name.clone());
            }
        }
        stage.xdotool(&["key", key]);
    }
    names
}

/// Every name, word by word, that Tab comes to in a question, whose place on the screen AT-SPI does not tell (libadwaita 1.2).
fn asked(stage: &Stage, access: &Access, wanted: &[&str]) {
    dialog(stage);
    stage.keep(&format!("accessible question {}", wanted.join(" ")));
    let mut names = BTreeSet::new();
    for _ in 0..8 {
        let focused = access.now().into_iter().filter(Accessible::focused);
        for one in focused.filter(|one| one.role != "window") {
            assert!(!one.nameless(), "{one:?} has no name");
            names.insert(one.name);
        }
        stage.xdotool(&["key", "Tab"]);
    }
    for name in wanted {
        assert!(names.contains(*name), "the keyboard does not come to {name:?}, but to {names:?}");
    }
}

fn dialog(stage: &Stage) {
    wait_for("a dialog", || (stage.active_title() != "Freezeframe").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_and_their_acts_for_screen_readers_and_by_keyboard() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let mut second = row("bbbbbbbbbbbb", 2, "poem");
    second.parent = Some("aaaaaaaaaaaa".into());
    second.pinned = true;
    let mut branch = row("cccccccccccc", 1, "letter");
    branch.parent = Some("aaaaaaaaaaaa".into());
    branch.state = "damaged".into();
    let rows = [row("aaaaaaaaaaaa", 3, "budget"), second, branch];
    let agent = FakeAgent::start_with(&bus, rows.map(|row| (row, None)).into()).await;
    agent.add("amber-fox", &server.socket).await;
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    let mut wrong = Vec::new();
    let check = |wrong: &mut Vec<String>, page: &str| {
        wrong.extend(nameless(&access, page));
        wrong.extend(out_of_reach(&stage, &access, page));
        stage.keep(&format!("accessible {page}"));
    };

    let card = access.wait("the branch", |one| one.name.contains("letter") && one.showing());
    for word in ["letter", "desktop", "Editor", "Damaged", "from"] {
        assert!(card.name.contains(word), "{word} is not said of {:?}", card.name);
    }
    check(&mut wrong, "the timeline");

    // The menu of a card, by its key.
    let in_menu = |one: &Accessible| one.role.contains("menu item");
    go_to_card(&stage, &access, "letter");
    let white = || stage.picture().pixels().filter(|pixel| pixel.0 == [255; 3]).count();
    let before = white();
    stage.xdotool(&["key", "Menu"]);
    access.wait("the menu", |one| one.focused() && in_menu(one));
    stage.keep("accessible menu");
    wait_for("a menu that is light in a light window", || (white() > before + 20_000).then_some(()));
    let names = walk(&stage, &access, "Down", in_menu);
    for act in ["Resume", "Alongside", "Rename", "Pin", "Compare", "Verify", "Export", "Delete"] {
        assert!(names.iter().any(|name| name.contains(act)), "{act} is not among {names:?}");
    }

    // Comparing: another snapshot is asked for, then shown.
    go_to(&stage, &access, "Down", "Compare");
    stage.xdotool(&["key", "Return"]);
    access.wait("the question", |one| one.name.contains("Choose the snapshot") && one.showing());
    check(&mut wrong, "choosing");
    go_to_card(&stage, &access, "poem");
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("What Is Different");
    check(&mut wrong, "the comparison");
    close(&stage);

    go_to_card(&stage, &access, "poem");
    stage.xdotool(&["key", "F2"]);
    asked(&stage, &access, &["Label", "Cancel", "Rename"]);
    close(&stage);

    // What goes wrong is told with its reason behind a button: one is damaged.
    go_to_card(&stage, &access, "letter");
    stage.xdotool(&["key", "Menu"]);
    access.wait("the menu", |one| one.focused() && in_menu(one));
    go_to(&stage, &access, "Down", "Verify");
    stage.xdotool(&["key", "Return"]);
    access.wait("the failure", |one| one.name.contains("is damaged in 1 place"));
    go_to(&stage, &access, "Tab", "Details");
    stage.xdotool(&["key", "Return"]);
    asked(&stage, &access, &["Close"]);
    close(&stage);

    go_to_card(&stage, &access, "poem");
    stage.xdotool(&["key", "Return"]);
    access.wait("the picture's page", |one| one.name.contains("Resume") && one.showing());
    check(&mut wrong, "one snapshot");
    go_to(&stage, &access, "Tab", "Resume");
    stage.xdotool(&["key", "Return"]);
    asked(&stage, &access, &["Cancel", "Resume"]);
    close(&stage);

    stage.xdotool(&["key", "ctrl+n"]);
    dialog(&stage);
    check(&mut wrong, "the start");
    close(&stage);

    open(&stage, "ctrl+question", "Keyboard Shortcuts");
    check(&mut wrong, "the shortcuts");
    close(&stage);

    // The header bar of a desktop: from left to right, and round.
    stage.xdotool(&["key", "Escape"]);
    go_to_card(&stage, &access, "amber-fox");
    stage.xdotool(&["key", "Return"]);
    wait_for("the desktop", || stage.find(BLUE));
    stage.xdotool(&["key", "shift+F11"]);
    access.wait("the keyboard in the window", |one| one.focused() && one.name == "Show the Timeline");
    let names = walk(&stage, &access, "Tab", |one| one.role.contains("button"));
    let header = ["Show the Timeline", "Snapshot Session", "More Ways to Take a Snapshot", "Full Screen", "Main Menu"];
    assert_eq!(names.iter().map(String::as_str).take(5).collect::<Vec<_>>(), header);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
