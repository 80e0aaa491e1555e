//! Rows of a form, as GNOME has them; libadwaita 1.2 lacks some.

use adw::prelude::*;
use gtk::glib;

use crate::named::{named, write_on};

/// A row with a switch.
pub(super) fn switch_row(title: &str, subtitle: &str) -> (adw::ActionRow, gtk::Switch) {
    let switch: gtk::Switch = named(title);
    switch.set_valign(gtk::Align::Center);
    let row = adw::ActionRow::builder().title(title).subtitle(subtitle).activatable_widget(&switch).build();
    row.add_suffix(&switch);
    (row, switch)
}

/// A row with a number.
pub(super) fn number_row(
    title: &str,
    subtitle: &str,
    (least, most, step): (f64, f64, f64),
) -> (adw::ActionRow, gtk::SpinButton) {
    let number: gtk::SpinButton = named(title);
    number.set_range(least, most);
    number.set_increments(step, step * 10.0);
    number.set_valign(gtk::Align::Center);
    number.set_numeric(true);
    let row = adw::ActionRow::builder().title(title).subtitle(subtitle).activatable_widget(&number).build();
    row.add_suffix(&number);
    (row, number)
}

/// A row with a choice.
pub(super) fn choice_row(title: &str, subtitle: &str, choices: &[&str]) -> adw::ComboRow {
    let row: adw::ComboRow = named(title);
    row.set_title(title);
    row.set_subtitle(subtitle);
    row.set_model(Some(&gtk::StringList::new(choices)));
    row
}

/// A button with this on it, one letter of which is underlined.
pub(super) fn button(label: &str) -> gtk::Button {
    let button = gtk::Button::new();
    write_on(&button, label);
    button
}

/// A group of rows.
pub(super) fn group(title: &str, description: &str, rows: &[&gtk::Widget]) -> adw::PreferencesGroup {
    let group = adw::PreferencesGroup::builder().title(title).build();
    if !description.is_empty() {
        group.set_description(Some(description));
    }
    for row in rows {
        group.add(*row);
    }
    group
}

/// A page of groups.
pub(super) fn page(title: &str, icon: &str, groups: &[&adw::PreferencesGroup]) -> adw::PreferencesPage {
    let page = adw::PreferencesPage::builder().title(title).icon_name(icon).build();
    for group in groups {
        page.add(*group);
    }
    page
}

/// Bytes as people say them.
pub(super) fn bytes(count: u64) -> String {
    glib::format_size(count).to_string()
}
