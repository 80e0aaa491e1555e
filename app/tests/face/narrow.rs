//! Every page and dialog fits a screen of 360 pixels, as phones have it.

use freezeframe_api::records::SessionRow;

use crate::accessible::{close, open};
use crate::accessible_acts::{go_to, go_to_card};
use crate::stage::{Access, Bus, FakeAgent, Stage, VncServer, wait_for};
use crate::timeline::row;
use crate::transfer::choose_file;

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];
/// What a phone has.
pub(crate) const NARROW: u32 = 360;
/// What GTK draws around a window where there is no compositor, on both sides together.
pub(crate) const AROUND: u32 = 10;

/// How narrow the window that has the keyboard lets itself be made, without what is drawn around it: the least width that it
/// announces to window managers (ICCCM 4.1.2.3), or its own where it cannot be made another.
pub(crate) fn least_width(stage: &Stage) -> u32 {
    let window = stage.xdotool(&["getactivewindow"]);
    let told = std::process::Command::new("xprop")
        .args(["-id", &window, "WM_NORMAL_HINTS"])
        .env("DISPLAY", &stage.display)
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let line = told.lines().find(|line| line.contains("minimum size:")).unwrap_or_else(|| panic!("{told}"));
    let width = line.split_whitespace().find_map(|word| word.parse::<u32>().ok());
    width.unwrap_or_else(|| panic!("{line}")) - AROUND
}

fn dialog(stage: &Stage) {
    wait_for("a dialog", || (stage.active_title() != "Freezeframe").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_dialog_fits_a_narrow_screen() {
    crate::stage::need(&[("xprop", "x11-utils")]);
    let bus = Bus::start();
    let stage = Stage::new(Some(&bus.address));
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let long = "a label that is much longer than any narrow window is wide, and then some more of it";
    let rows = [row("aaaaaaaaaaaa", 3, long), row("bbbbbbbbbbbb", 2, "poem")];
    let agent = FakeAgent::start_with(&bus, rows.map(|row| (row, None)).into()).await;
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    let mut wide = Vec::new();
    let mut measure = |page: &str| {
        let least = least_width(&stage);
        stage.keep(&format!("narrow {page}"));
        if least > NARROW {
            wide.push(format!("{page}: {least}"));
        }
    };
    measure("the timeline");
    // Dialogs take their size from their parent's.
    let window = stage.xdotool(&["getactivewindow"]);
    stage.xdotool(&["windowsize", &window, &(NARROW + AROUND).to_string(), "700"]);
    for (key, title) in
        [("ctrl+comma", "Preferences"), ("ctrl+question", "Keyboard Shortcuts"), ("ctrl+n", "Start a Desktop")]
    {
        open(&stage, key, title);
        measure(title);
        close(&stage);
    }
    // The older one, with the long label: its dialogs, and its page.
    for key in ["F2", "Return"] {
        stage.xdotool(&["key", "Tab", "Home", "Right", key]);
        if key == "F2" {
            dialog(&stage);
            measure("renaming");
            close(&stage);
        }
    }
    measure("one snapshot");
    stage.xdotool(&["key", "Return"]);
    dialog(&stage);
    measure("resuming");
    close(&stage);
    agent.add("amber-fox", &server.socket).await;
    let app = stage.app(&["--session", "amber-fox"]);
    stage.wait_for_title("amber-fox");
    wait_for("the desktop", || stage.find(BLUE));
    measure("a desktop");
    drop(app);
    assert!(wide.is_empty(), "wider than {NARROW}: {wide:#?}");
}

/// Chooses from a card's menu.
fn choose(stage: &Stage, access: &Access, card: &str, act: &str) {
    go_to_card(stage, access, card);
    stage.xdotool(&["key", "Menu"]);
    access.wait("the menu", |one| one.focused() && one.role.contains("menu item"));
    go_to(stage, access, "Down", act);
    stage.xdotool(&["key", "Return"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_and_told_fits_a_narrow_screen() {
    crate::stage::need(&[("xprop", "x11-utils")]);
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let server = VncServer::start(&stage, "640x480");
    let rows = [
        ("aaaaaaaaaaaa", 3, "budget, which has a longer name than any narrow window is wide"),
        ("bbbbbbbbbbbb", 2, "poem"),
    ]
    .map(|(id, hours, label)| {
        let mut row = row(id, hours, label);
        row.lineage = "desktop".into();
        row.state = "damaged".into();
        (row, None)
    });
    let agent = FakeAgent::start_with(&bus, rows.into()).await;
    for name in ["amber-fox-with-a-name-as-long-as-any-may-be", "blue-heron"] {
        let lineage = if name.starts_with("amber") { "desktop" } else { "other" }.into();
        let row = SessionRow { session: name.into(), state: "running".into(), lineage, ..SessionRow::default() };
        agent.add_session(row, &server.socket, None).await;
    }
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    // Dialogs take their size from their parent's.
    let window = stage.xdotool(&["getactivewindow"]);
    stage.xdotool(&["windowsize", &window, &(NARROW + AROUND).to_string(), "700"]);
    access.wait("the cards", |one| one.name.contains("poem"));
    let mut wide = Vec::new();
    let mut measure = |what: &str| {
        let least = least_width(&stage);
        stage.keep(&format!("narrow {what}"));
        if least > NARROW {
            wide.push(format!("{what}: {least}"));
        }
    };
    let asked = [
        ("budget", "Resume…", "resuming over a running desktop"),
        ("amber-fox", "With Label", "a label"),
        ("amber-fox", "Check What", "findings"),
        ("amber-fox", "Stop…", "stopping"),
    ];
    for (card, act, what) in asked {
        choose(&stage, &access, card, act);
        dialog(&stage);
        measure(what);
        close(&stage);
    }
    choose(&stage, &access, "budget", "Compare");
    access.wait("the question", |one| one.name.contains("Choose the snapshot") && one.showing());
    measure("choosing");
    go_to_card(&stage, &access, "poem");
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("What Is Different");
    measure("the comparison");
    close(&stage);

    choose(&stage, &access, "budget", "Verify");
    access.wait("the failure", |one| one.name.contains("is damaged in 1 place"));
    measure("a failure");
    go_to(&stage, &access, "Tab", "Details");
    stage.xdotool(&["key", "Return"]);
    dialog(&stage);
    measure("details");
    close(&stage);

    open(&stage, "ctrl+s", "Which Desktop?");
    measure("which desktop");
    close(&stage);
    open(&stage, "ctrl+comma", "Preferences");
    // All pages are as wide as the widest, whose lines come last.
    access.wait("the storage", |one| one.name.contains("All together"));
    measure("preferences");
    close(&stage);

    stage.xdotool(&["key", "F10"]);
    access.wait("the menu", |one| one.focused() && one.role.contains("menu item"));
    go_to(&stage, &access, "Down", "About");
    stage.xdotool(&["key", "Return"]);
    dialog(&stage);
    measure("about");
    close(&stage);

    let file = stage.path("a file of somebody else.freezeframe");
    std::fs::write(&file, "signed").unwrap();
    open(&stage, "ctrl+o", "Import Snapshot");
    choose_file(&stage, file.to_str().unwrap());
    stage.wait_for_title("Trust the Maker of This Snapshot?");
    measure("trust");
    close(&stage);
    assert!(wide.is_empty(), "wider than {NARROW}: {wide:#?}");
}
