//! Every widget that can be operated has a name for screen readers, and the keyboard reaches it: on every page.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::stage::{Access, Accessible, Bus, FakeAgent, Stage, VncServer, wait_for};

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];

/// A key that moves the keyboard has done so by then, on a slow machine too.
const SETTLES: Duration = Duration::from_secs(2);

/// Roles that only hold others; GTK calls some of them focusable because what is in them is.
const HOLDERS: [&str; 4] = ["group", "list", "window", "application"];

fn holder(one: &Accessible) -> bool {
    HOLDERS.contains(&one.role.as_str())
}

/// Whether it has the keyboard in the place of the line that it is in: `GtkListView` never takes it to a line with something
/// in it that can have it, but calls such a line focusable all the same.
fn stands_for(one: &Accessible, line: &Accessible) -> bool {
    one.focusable() && one.role == "list item" && line.role == "list item" && one.parents.last() == Some(&line.path)
}

/// What can be operated on the page that is seen, once that has settled.
pub(crate) fn operable(access: &Access) -> Vec<Accessible> {
    let mut before: Vec<String> = Vec::new();
    wait_for("a page that stands", || {
        let all: Vec<Accessible> = access.now().into_iter().filter(Accessible::showing).collect();
        let now: Vec<String> = all.iter().map(|one| format!("{}{}", one.path, one.name)).collect();
        let stands = !now.is_empty() && now == std::mem::replace(&mut before, now.clone());
        stands.then(|| {
            let wanted =
                |one: &&Accessible| one.focusable() && !holder(one) && !all.iter().any(|other| stands_for(other, one));
            all.iter().filter(wanted).cloned().collect()
        })
    })
}

/// Each that has no name.
pub(crate) fn nameless(access: &Access, page: &str) -> Vec<String> {
    let found = operable(access);
    assert!(!found.is_empty(), "{page}: nothing can be operated");
    let nameless = found.iter().filter(|one| one.nameless());
    nameless.map(|one| format!("{page}: a {} without a name ({:?})", one.role, one.name)).collect()
}

/// Each that neither Tab, nor the arrows within a list, nor Tab within a line of it, come to.
pub(crate) fn out_of_reach(stage: &Stage, access: &Access, page: &str) -> Vec<String> {
    let wanted: BTreeMap<String, String> =
        operable(access).into_iter().map(|one| (one.path, format!("{} {:?}", one.role, one.name))).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut stale = 0;
    // As long as something new may come: the lines of a list, which were walked through, come by once more.
    while stale < 40 && wanted.keys().any(|path| !reached.contains(path)) {
        stage.xdotool(&["key", "Tab"]);
        let new = take_focus(access, &mut reached);
        if new.as_ref().is_some_and(|one| one.role.contains("item")) {
            walk_list(stage, access, &mut reached);
        }
        stale = if new.is_some() { 0 } else { stale + 1 };
    }
    let missed = wanted.iter().filter(|(path, _)| !reached.contains(*path));
    missed.map(|(_, name)| format!("{page}: the keyboard does not come to the {name}")).collect()
}

/// Goes through a list by the arrows, from its first line, and through each of its lines by Tab and back.
fn walk_list(stage: &Stage, access: &Access, reached: &mut BTreeSet<String>) {
    let mut walked: BTreeSet<String> = BTreeSet::new();
    let press = |key: &str, reached: &mut BTreeSet<String>| {
        stage.xdotool(&["key", key]);
        take_focus(access, reached);
        focus(access).filter(|one| one.role.contains("item"))
    };
    let mut item = press("Home", reached);
    while let Some(at) = item {
        walked.insert(at.path.clone());
        let mut steps = 0;
        while steps == 0 || focus(access).is_some_and(|one| one.within(&at)) {
            stage.xdotool(&["key", "Tab"]);
            take_focus(access, reached);
            steps += 1;
        }
        for _ in 0..steps {
            stage.xdotool(&["key", "shift+Tab"]);
        }
        let mut next = |key| press(key, reached).filter(|one| !walked.contains(&one.path));
        item = next("Right").or_else(|| next("Down"));
    }
}

/// What the keys go to: the innermost.
fn focus(access: &Access) -> Option<Accessible> {
    access.now().into_iter().rfind(|one| one.showing() && one.focused())
}

/// The same on a page that may still change, where the pointer does not meet it yet.
fn focused(access: &Access) -> Option<Accessible> {
    access.now().into_iter().rfind(Accessible::focused)
}

/// What has the focus, if it did not have it before.
pub(crate) fn take_focus(access: &Access, reached: &mut BTreeSet<String>) -> Option<Accessible> {
    let focused: Vec<Accessible> = access.now().into_iter().filter(|one| one.showing() && one.focused()).collect();
    // The innermost is what the keys go to.
    let new = focused.last().filter(|one| !reached.contains(&one.path)).cloned();
    reached.extend(focused.into_iter().map(|one| one.path));
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_for_screen_readers_and_by_keyboard() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let server = VncServer::start(&stage, "640x480");
    server.solid_root("#3a7bd5");
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");

    let mut wrong = Vec::new();
    access.wait("the page without an agent", |one| one.name.contains("Try Again") && one.showing());
    wrong.extend(nameless(&access, "without an agent"));
    wrong.extend(out_of_reach(&stage, &access, "without an agent"));

    let agent = FakeAgent::start(&bus).await;
    access.wait("the empty page", |one| one.name == "Start Your First Desktop" && one.showing());
    wrong.extend(nameless(&access, "empty"));
    wrong.extend(out_of_reach(&stage, &access, "empty"));

    agent.add("amber-fox", &server.socket).await;
    agent.add("blue-heron", &server.socket).await;
    access.wait("the sessions", |one| one.name.contains("blue-heron") && one.showing());
    wrong.extend(nameless(&access, "sessions"));
    wrong.extend(out_of_reach(&stage, &access, "sessions"));

    let contents = [
        "Save Desktops Automatically",
        "The system that a new desktop starts from",
        "All together",
        "Snapshot session, with a label",
    ];
    for (page, content) in PAGES.into_iter().zip(contents) {
        open(&stage, "ctrl+comma", "Preferences");
        access.wait("the preferences", |one| one.name == "Save Desktops Automatically" && one.showing());
        go_to_page(&stage, &access, page);
        stage.xdotool(&["key", "space"]);
        access.wait(page, |one| one.name.contains(content) && one.showing());
        wrong.extend(nameless(&access, page));
        wrong.extend(out_of_reach(&stage, &access, page));
        stage.keep(&format!("preferences-{page}"));
        close(&stage);
    }
    open(&stage, "ctrl+question", "Keyboard Shortcuts");
    stage.keep("shortcuts");
    close(&stage);

    access.wait("the sessions", |one| one.name.contains("amber-fox") && one.showing());
    wait_for("the desktop", || {
        stage.xdotool(&["key", "Tab"]);
        stage.xdotool(&["key", "Down"]);
        stage.xdotool(&["key", "Return"]);
        stage.find(BLUE)
    });
    wrong.extend(nameless(&access, "a desktop"));
    // The desktop takes Tab for itself; with Shift+F11 the keyboard comes back to the window.
    stage.xdotool(&["key", "shift+F11"]);
    let seen = |one: &Accessible| one.focused() && one.showing() && one.role != "image";
    access.wait("the keyboard in the window", seen);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Presses a key and waits for the keyboard to go elsewhere, so that the next look is not one at what was before. A key that does
/// nothing is given up soon.
pub(crate) fn press(stage: &Stage, access: &Access, key: &str) {
    let place = || focused(access).map(|one| one.path);
    let before = place();
    stage.xdotool(&["key", key]);
    let since = Instant::now();
    while place() == before && since.elapsed() < SETTLES {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The pages of the preferences, from left to right.
const PAGES: [&str; 4] = ["Snapshots", "Desktops", "Storage", "Shortcuts"];

/// Takes the keyboard to the button of a page of the preferences: by Tab to the buttons, by the arrows among them. It starts
/// at the first, or at that page's first row where the header bar was not laid out yet.
pub(crate) fn go_to_page(stage: &Stage, access: &Access, page: &str) {
    let place = |name: &str| PAGES.iter().position(|page| *page == name);
    wait_for(&format!("the keyboard at {page}"), || {
        let focused = focused(access)?;
        let at = if focused.role == "tab" { place(&focused.name) } else { None };
        let key = match at.cmp(&place(page)) {
            Ordering::Equal => return Some(()),
            _ if at.is_none() => "shift+Tab",
            Ordering::Less => "Right",
            Ordering::Greater => "Left",
        };
        press(stage, access, key);
        None
    });
}

/// Opens a window above the app's own.
pub(crate) fn open(stage: &Stage, key: &str, title: &str) {
    wait_for(title, || {
        let there = stage.active_title() == title;
        if !there {
            stage.xdotool(&["key", key]);
        }
        there.then_some(())
    });
}

pub(crate) fn close(stage: &Stage) {
    wait_for("the app's own window", || {
        let there = stage.active_title() == "Freezeframe";
        if !there {
            stage.xdotool(&["key", "Escape"]);
        }
        there.then_some(())
    });
}
