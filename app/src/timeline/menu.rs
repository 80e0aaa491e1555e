//! The menu of a card: every act that can be done with it.

use gtk::gio;
use gtk::prelude::*;

use super::contents::{Face, Key};
use crate::i18n::gettext;

/// The acts of this card, each an action of the window.
pub(crate) fn of(face: &Face) -> gio::Menu {
    match &face.key {
        Key::Session(name) => of_session(name, face.live),
        Key::Snapshot(id) => of_snapshot(id, face.pinned),
    }
}

fn section(menu: &gio::Menu, target: &str, entries: &[(String, &str)]) {
    let section = gio::Menu::new();
    for (label, action) in entries {
        let item = gio::MenuItem::new(Some(label), None);
        item.set_action_and_target_value(Some(action), Some(&target.to_variant()));
        section.append_item(&item);
    }
    menu.append_section(None, &section);
}

fn of_session(name: &str, live: bool) -> gio::Menu {
    let menu = gio::Menu::new();
    if live {
        section(
            &menu,
            name,
            &[
                (gettext("_Open"), "win.open-session"),
                (gettext("_Snapshot Session"), "win.snapshot-session"),
                (gettext("Snapshot With _Label…"), "win.snapshot-with-label"),
                (gettext("_Check What Can Be Saved"), "win.check-session"),
            ],
        );
    }
    section(&menu, name, &[(gettext("S_top…"), "win.stop-session")]);
    menu
}

fn of_snapshot(id: &str, pinned: bool) -> gio::Menu {
    let menu = gio::Menu::new();
    section(&menu, id, &[(gettext("_Resume…"), "win.resume"), (gettext("Resume _Alongside"), "win.resume-alongside")]);
    let pin = if pinned { (gettext("Un_pin"), "win.unpin") } else { (gettext("_Pin"), "win.pin") };
    section(&menu, id, &[(gettext("Re_name…"), "win.rename"), pin, (gettext("_Compare With…"), "win.compare")]);
    section(&menu, id, &[(gettext("_Verify"), "win.verify"), (gettext("_Export…"), "win.export")]);
    section(&menu, id, &[(gettext("_Delete"), "win.delete")]);
    menu
}
