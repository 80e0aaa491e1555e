//! The menus of cards, by the pointer.

use crate::stage::{Access, Accessible, Bus, FakeAgent, Stage, wait_for};
use crate::timeline::{picture, row};

const CARDS: [(&str, &str, [u8; 3]); 3] = [
    ("aaaaaaaaaaaa", "budget", [0xc0, 0x1c, 0x28]),
    ("bbbbbbbbbbbb", "poem", [0x3a, 0x7b, 0xd5]),
    ("cccccccccccc", "letter", [0x26, 0xa2, 0x69]),
];

/// The line of a card's menu that has the keyboard.
fn in_menu_of(access: &Access, label: &str) -> Option<Accessible> {
    let all = access.now();
    let card = all.iter().find(|one| one.role == "list item" && one.name.contains(label))?;
    all.iter().find(|one| one.focused() && one.role.contains("menu item") && one.within(card)).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_button_opens_the_menu_of_each_card_in_turn() {
    let bus = Bus::start();
    let access = Access::start(&bus).await;
    let stage = Stage::new(Some(&bus.address)).accessible();
    let snapshots = CARDS.iter().enumerate().map(|(at, (id, label, colour))| {
        let hours = i64::try_from(at).unwrap();
        (row(id, hours, label), Some(picture(stage.directory.path(), label, *colour)))
    });
    let agent = FakeAgent::start_with(&bus, snapshots.collect()).await;
    let _app = stage.app(&[]);
    stage.wait_for_title("Freezeframe");
    // Before a menu hides any of them.
    let middles = CARDS.map(|(_, label, colour)| {
        let [x, y, width, height] = wait_for(label, || stage.find(colour));
        (label, (x + width / 2).to_string(), (y + height * 3 / 4).to_string())
    });
    // Each while the one before is open, the last one twice.
    let [first, second, third] = &middles;
    for (label, x, y) in [first, second, third, third] {
        stage.xdotool(&["mousemove", x, y, "click", "3"]);
        wait_for(&format!("the menu of {label:?}"), || in_menu_of(&access, label));
        stage.keep(&format!("menu of {label}"));
    }
    stage.xdotool(&["key", "Down", "Down", "Down", "Return"]);
    wait_for("the pin", || agent.snapshot(CARDS[2].0).filter(|row| row.pinned));
    let pinned = agent.snapshots().iter().filter(|row| row.pinned).count();
    assert_eq!(pinned, 1, "the menu was another card's");
}
