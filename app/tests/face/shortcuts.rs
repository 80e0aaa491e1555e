//! Keyboard shortcuts, changed in the preferences by keyboard: the agent keeps them, and they hold at once.

use crate::accessible::{close, go_to_page, nameless, open, out_of_reach, press};
use crate::accessible_acts::go_to;
use crate::narrow::{AROUND, NARROW, least_width};
use crate::stage::{Access, Bus, FakeAgent, FakeServer, Said, Stage, solid_update, wait_for};

const BLUE: [u8; 3] = [0x3a, 0x7b, 0xd5];

/// Opens the preferences at the page of the shortcuts.
fn open_page(stage: &Stage, access: &Access) {
    open(stage, "ctrl+comma", "Preferences");
    go_to_page(stage, access, "Shortcuts");
    stage.xdotool(&["key", "space"]);
    access.wait("the shortcuts", |one| one.name.starts_with("Snapshot session: ") && one.showing());
}

/// Asks for new keys of the shortcut whose row says this.
fn ask(stage: &Stage, access: &Access, row: &str) {
    let at = |one: &crate::stage::Accessible| one.focused() && one.name.starts_with(row);
    wait_for(row, || {
        // By Tab into the list, then through it: a row with a button in it has that between.
        let found = access.now().iter().any(at);
        if !found {
            let listed = access.now().iter().any(|one| one.focused() && one.role == "list item");
            press(stage, access, if listed { "Down" } else { "Tab" });
        }
        found.then_some(())
    });
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("Set Shortcut");
    access.wait("the question", |one| one.name.starts_with("Press the new keys for") && one.focused());
}

fn kept(agent: &FakeAgent, wanted: &[(&str, &str)]) {
    let wanted = wanted.iter().map(|(id, keys)| ((*id).to_owned(), (*keys).to_owned())).collect();
    wait_for(&format!("{wanted:?} at the agent"), || (agent.settings().shortcuts == wanted).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortcut_is_given_other_keys() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let agent = FakeAgent::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    agent.add("amber-fox", &stage.path("no-display")).await;
    let app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    access.wait("the session", |one| one.name.contains("amber-fox"));

    open_page(&stage, &access);
    ask(&stage, &access, "Snapshot session: Ctrl+S");
    stage.keep("set-shortcut");
    // What one types with is refused; Shift alone is not pressed yet.
    stage.xdotool(&["key", "shift+d"]);
    access.wait("the refusal", |one| one.name == "Shift+D cannot be used without Ctrl, Alt or Super" && one.focused());
    stage.xdotool(&["key", "F2"]);
    access.wait("the other refusal", |one| one.name.starts_with("F2 cannot be used") && one.focused());
    stage.xdotool(&["key", "Escape"]);
    stage.wait_for_title("Preferences");
    kept(&agent, &[]);
    ask(&stage, &access, "Snapshot session: Ctrl+S");
    stage.xdotool(&["key", "ctrl+d"]);
    stage.wait_for_title("Preferences");
    kept(&agent, &[("snapshot", "<Control>d")]);
    access.wait("its new keys", |one| one.name == "Snapshot session: Ctrl+D");
    assert_eq!(agent.settings().automatic_minutes, 30, "what was not touched stays");
    stage.keep("shortcut-changed");
    close(&stage);

    // The old keys do nothing, or there would be two snapshots.
    let save = |number: usize| {
        stage.xdotool(&["key", "ctrl+s"]);
        stage.xdotool(&["key", "ctrl+d"]);
        wait_for("the snapshot", || (agent.snapshots().len() >= number).then_some(()));
        assert_eq!(agent.snapshots().len(), number);
    };
    save(1);
    drop(app);
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    open(&stage, "ctrl+question", "Keyboard Shortcuts");
    access.wait("the keys as they were kept", |one| one.name == "Snapshot session: Ctrl+D");
    close(&stage);
    save(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_taken_away_and_come_back() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let agent = FakeAgent::start(&bus).await;
    // A newer program's.
    agent.set_shortcuts(&[("future", "<Control>j")]).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    open_page(&stage, &access);
    ask(&stage, &access, "Snapshot session: Ctrl+S");
    stage.xdotool(&["key", "ctrl+n"]);
    let told = "Ctrl+N is used for “Start a desktop”, which would be left without keys";
    access.wait("whose keys they are", |one| one.name == told && one.focused());
    stage.keep("shortcut-replace");
    let mut wrong = nameless(&access, "the conflict");
    wrong.extend(out_of_reach(&stage, &access, "the conflict"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    go_to(&stage, &access, "Tab", "Replace");
    stage.xdotool(&["key", "Return"]);
    stage.wait_for_title("Preferences");
    kept(&agent, &[("future", "<Control>j"), ("snapshot", "<Control>n"), ("start-desktop", "")]);
    access.wait("the other without keys", |one| one.name == "Start a desktop: Disabled");
    stage.keep("shortcuts-replaced");
    let mut wrong = nameless(&access, "changed shortcuts");
    wrong.extend(out_of_reach(&stage, &access, "changed shortcuts"));
    assert!(wrong.is_empty(), "{wrong:#?}");

    go_to(&stage, &access, "Tab", "Reset: Snapshot session");
    stage.xdotool(&["key", "space"]);
    kept(&agent, &[("future", "<Control>j"), ("start-desktop", "")]);
    access.wait("the keyboard at its row", |one| one.name == "Snapshot session: Ctrl+S" && one.focused());
    ask(&stage, &access, "Quit: Ctrl+Q");
    stage.xdotool(&["key", "BackSpace"]);
    kept(&agent, &[("future", "<Control>j"), ("quit", ""), ("start-desktop", "")]);
    stage.wait_for_title("Preferences");

    go_to(&stage, &access, "Tab", "Reset All");
    stage.xdotool(&["key", "Return"]);
    wait_for("the question", || (stage.active_title() != "Preferences").then_some(()));
    wait_for("the answer in the keyboard's reach", || {
        let found =
            access.now().iter().any(|one| one.focused() && one.name.contains("Reset All") && !one.name.contains('…'));
        if !found {
            stage.xdotool(&["key", "Tab"]);
        }
        found.then_some(())
    });
    stage.xdotool(&["key", "Return"]);
    kept(&agent, &[("future", "<Control>j")]);
    access.wait("all as they came", |one| one.name == "Quit: Ctrl+Q");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_sets_holds_at_once() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let agent = FakeAgent::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let server = FakeServer::start(&stage, 650, 450, vec![solid_update(650, 450, BLUE)]);
    let _app = stage.app(&["--socket", server.socket.to_str().unwrap()]);
    wait_for("the desktop at its own size", || stage.find(BLUE).filter(|[_, _, width, ..]| *width == 650));
    agent.set_shortcuts(&[("full-screen", "<Control>F9"), ("leave-desktop", "F11")]).await;
    let presses = |wanted: u32| {
        let said = server.said();
        said.iter().filter(|one| matches!(one, Said::Key { down: true, keysym } if *keysym == wanted)).count()
    };
    let (f9, f11, x) = (0xffc6, 0xffc8, 0x78);
    // Once the keys are the window's, the desktop hears of them no more.
    wait_for("the new keys", || {
        let before = (presses(f9), presses(x));
        stage.xdotool(&["key", "ctrl+F9", "x"]);
        wait_for("a key of the desktop", || (presses(x) > before.1).then_some(()));
        (presses(f9) == before.0).then_some(())
    });
    wait_for("full screen", || stage.find(BLUE).filter(|place| *place == [0, 0, 1300, 900]));
    access.wait("the bar that says how to leave", |one| one.name == "Ctrl+F9 leaves full screen" && one.showing());
    stage.xdotool(&["key", "F11"]);
    wait_for("the window", || stage.find(BLUE).filter(|[_, _, width, ..]| *width == 650));
    access.wait("the keyboard in the window", |one| one.focused() && one.name == "Show the Timeline");
    assert_eq!(presses(f11), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_pressed_twice_open_one_window() {
    let bus = Bus::start();
    let _agent = FakeAgent::start(&bus).await;
    let stage = Stage::new(Some(&bus.address));
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    for (keys, title) in [("ctrl+comma", "Preferences"), ("ctrl+question", "Keyboard Shortcuts")] {
        // The second is there before the window that the first opens.
        stage.xdotool(&["key", keys, keys, keys]);
        stage.wait_for_title(title);
        stage.xdotool(&["key", "Escape"]);
        stage.wait_for_title("Freezeframe");
        assert_eq!(stage.xdotool(&["search", "--onlyvisible", "--name", title]), "", "one was behind the other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_question_fit_a_narrow_screen() {
    crate::stage::need(&[("xprop", "x11-utils")]);
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let agent = FakeAgent::start(&bus).await;
    agent.set_shortcuts(&[("snapshot-with-label", "<Control><Alt><Shift>Page_Up")]).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    let window = stage.xdotool(&["getactivewindow"]);
    stage.xdotool(&["windowsize", &window, &(NARROW + AROUND).to_string(), "700"]);
    let fits = |what: &str| {
        let window = stage.xdotool(&["getactivewindow"]);
        stage.xdotool(&["windowsize", &window, &(NARROW + AROUND).to_string(), "700"]);
        wait_for("a picture that stays", || (stage.picture() == stage.picture()).then_some(()));
        stage.keep(&format!("narrow {what}"));
        let least = least_width(&stage);
        assert!(least <= NARROW, "{what}: {least}");
    };
    open_page(&stage, &access);
    fits("shortcuts");
    ask(&stage, &access, "Snapshot session: Ctrl+S");
    fits("set shortcut");
    stage.xdotool(&["key", "shift+F11"]);
    access.wait("whose keys they are", |one| one.name.starts_with("Shift+F11 is used") && one.focused());
    fits("replace");
}
