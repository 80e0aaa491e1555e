//! Every page and dialog fits a screen of 360 pixels, as phones have it.

use crate::accessible::{close, open};
use crate::stage::{Bus, FakeAgent, Stage, VncServer, wait_for};
use crate::timeline::row;

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];
/// What a phone has.
pub(crate) const NARROW: u32 = 360;
/// What GTK draws around a window where there is no compositor, on both sides together.
pub(crate) const AROUND: u32 = 10;

/// How narrow the window that has the keyboard lets itself be made, without what is drawn around it: the least width that it
/// tells window managers (ICCCM 4.1.2.3), or its own where it cannot be made another.
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
