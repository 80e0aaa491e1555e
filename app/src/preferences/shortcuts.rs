//! The keys that do something, as a list and as the window of Ctrl+?.

use adw::prelude::*;

use super::form::group;
use crate::i18n::gettext;

/// What a group of keys is for, and each key with what it does.
fn sections() -> Vec<(String, Vec<(&'static str, String)>)> {
    vec![
        (
            gettext("Desktops and Snapshots"),
            vec![
                ("<Control>s", gettext("Snapshot session")),
                ("<Control><Shift>s", gettext("Snapshot session, with a label")),
                ("<Control>n", gettext("Start a desktop")),
                ("<Control>o", gettext("Import a snapshot")),
                ("<Control>f", gettext("Search the timeline")),
                ("<Control>comma", gettext("Preferences")),
                ("<Control>question", gettext("Keyboard shortcuts")),
                ("<Control>w", gettext("Close the window")),
                ("<Control>q", gettext("Quit")),
            ],
        ),
        (
            gettext("While a Desktop Has the Keyboard"),
            vec![
                ("F11", gettext("Full screen, and back")),
                ("<Shift>F11", gettext("Give the keyboard back to the window")),
            ],
        ),
    ]
}

/// The list in the preferences.
pub(super) fn shortcuts_group() -> adw::PreferencesGroup {
    let rows: Vec<adw::ActionRow> = sections()
        .into_iter()
        .flat_map(|(_, keys)| keys)
        .map(|(keys, title)| {
            let row = adw::ActionRow::builder().title(title).build();
            row.add_suffix(&gtk::ShortcutLabel::builder().accelerator(keys).valign(gtk::Align::Center).build());
            row
        })
        .collect();
    let description = gettext("A desktop in the window is given every other key");
    group(&gettext("Keyboard Shortcuts"), &description, &rows.iter().map(Cast::upcast_ref).collect::<Vec<_>>())
}

/// Gives a window its preferences and its list of shortcuts, with their keys. Keys of the program as a whole would be
/// taken from the desktop that the window shows; these reach it first.
pub(crate) fn add_to(window: &gtk::ApplicationWindow) {
    window.set_help_overlay(Some(&help_overlay()));
    let keys = gtk::ShortcutController::new();
    for (key, action) in [("<Control>comma", "app.preferences"), ("<Control>question", "win.show-help-overlay")] {
        let trigger = gtk::ShortcutTrigger::parse_string(key);
        keys.add_shortcut(gtk::Shortcut::new(trigger, Some(gtk::NamedAction::new(action))));
    }
    window.add_controller(keys);
}

/// The window that Ctrl+? opens.
fn help_overlay() -> gtk::ShortcutsWindow {
    // `.ui` is the only way to put sections into a window of this kind.
    let mut ui =
        String::from(r#"<interface><object class="GtkShortcutsWindow" id="help"><property name="modal">1</property>"#);
    ui.push_str(r#"<child><object class="GtkShortcutsSection"><property name="section-name">all</property>"#);
    let escape = |text: &str| gtk::glib::markup_escape_text(text).to_string();
    for (title, keys) in sections() {
        ui.push_str(&format!(
            r#"<child><object class="GtkShortcutsGroup"><property name="title">{}</property>"#,
            escape(&title)
        ));
        for (accelerator, title) in keys {
            ui.push_str(&format!(
                r#"<child><object class="GtkShortcutsShortcut"><property name="accelerator">{}</property><property name="title">{}</property></object></child>"#,
                escape(accelerator),
                escape(&title)
            ));
        }
        ui.push_str("</object></child>");
    }
    ui.push_str("</object></child></object></interface>");
    let builder = gtk::Builder::from_string(&ui);
    let window: gtk::ShortcutsWindow =
        builder.object("help").unwrap_or_else(|| gtk::ShortcutsWindow::builder().build());
    // For lists of windows; its header bar has a title of its own.
    window.set_title(Some(&gettext("Keyboard Shortcuts")));
    window
}
