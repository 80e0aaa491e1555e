//! The page of the shortcuts: each can be given other keys, and its own again.

use adw::prelude::*;
use gtk::glib;

use super::form::{button, group};
use super::set_shortcut;
use super::window::tell;
use crate::agent::settings::change_shortcuts;
use crate::i18n::{gettext, gettext_f};
use crate::named::named;
use crate::shortcuts::{self, Changes, Group, Keymap, Keys, Shortcut};

/// The groups of the page.
pub(super) fn shortcuts_groups(window: &adw::PreferencesWindow) -> Vec<adw::PreferencesGroup> {
    let mut groups: Vec<adw::PreferencesGroup> = Vec::new();
    for one in Group::ALL {
        let rows: Vec<adw::ActionRow> = one.shortcuts().map(|shortcut| row(window, shortcut)).collect();
        let description = match one {
            Group::Window => String::new(),
            Group::Desktop => gettext("A desktop in the window is given every other key"),
        };
        groups.push(group(&one.title(), &description, &rows.iter().map(Cast::upcast_ref).collect::<Vec<_>>()));
    }
    groups.push(group("", "", &[reset_all_button(window).upcast_ref()]));
    groups
}

fn row(window: &adw::PreferencesWindow, shortcut: Shortcut) -> adw::ActionRow {
    let row = shortcuts::row(shortcut);
    row.set_activatable(true);
    row.add_suffix(&reset_button(window, &row, shortcut));
    row.connect_activated(glib::clone!(
        #[weak]
        window,
        move |_| {
            let parent = window.clone();
            set_shortcut::ask(&parent, shortcut, move |keys| {
                keep(&window, move |keymap| keymap.with(shortcut, keys));
            });
        }
    ));
    row
}

/// Gives it its own keys again; there while it has others.
fn reset_button(window: &adw::PreferencesWindow, row: &adw::ActionRow, shortcut: Shortcut) -> gtk::Button {
    let reset: gtk::Button = named(&gettext_f("Reset: {title}", &[("title", &shortcut.title())]));
    reset.set_icon_name("edit-clear-symbolic");
    reset.set_tooltip_text(Some(&gettext("Reset")));
    reset.set_valign(gtk::Align::Center);
    reset.add_css_class("flat");
    let row = row.downgrade();
    Keys::get().follow(&reset, move |reset, keymap| {
        let changed = keymap.is_changed(shortcut);
        // The keyboard does not go away with it.
        if let Some(row) = row.upgrade().filter(|_| !changed && reset.has_focus()) {
            row.grab_focus();
        }
        reset.set_visible(changed);
    });
    reset.connect_clicked(glib::clone!(
        #[weak]
        window,
        move |_| keep(&window, move |keymap| keymap.reset(shortcut))
    ));
    reset
}

fn reset_all_button(window: &adw::PreferencesWindow) -> gtk::Button {
    let reset = button(&gettext("_Reset All…"));
    reset.set_halign(gtk::Align::Center);
    reset.add_css_class("pill");
    Keys::get().follow(&reset, |reset, keymap| reset.set_sensitive(keymap.is_any_changed()));
    reset.connect_clicked(glib::clone!(
        #[weak]
        window,
        move |_| ask_to_reset_all(&window)
    ));
    reset
}

fn ask_to_reset_all(window: &adw::PreferencesWindow) {
    let (heading, body) = (gettext("Reset All Shortcuts?"), gettext("All have the keys again that they came with."));
    let dialog = adw::MessageDialog::new(Some(window), Some(&heading), Some(&body));
    dialog.add_responses(&[("cancel", &gettext("_Cancel")), ("reset", &gettext("_Reset All"))]);
    dialog.set_response_appearance("reset", adw::ResponseAppearance::Destructive);
    dialog.set_default_response(Some("cancel"));
    dialog.set_close_response("cancel");
    dialog.connect_response(
        Some("reset"),
        glib::clone!(
            #[weak]
            window,
            move |_, _| keep(&window, Keymap::reset_all)
        ),
    );
    dialog.present();
}

/// Has the agent keep what `change` makes of the keys as it has them; it holds once it is kept.
fn keep(window: &adw::PreferencesWindow, change: impl FnOnce(&Keymap) -> Changes + Send + 'static) {
    glib::spawn_future_local(glib::clone!(
        #[weak]
        window,
        async move {
            match change_shortcuts(|kept| change(&Keymap::new(kept))).await {
                Ok(changes) => Keys::get().take(changes),
                Err(error) => tell(&window, &error),
            }
        }
    ));
}
