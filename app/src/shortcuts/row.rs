//! A shortcut as a row of a list: what it does, and its keys as they are now.

use adw::prelude::*;

use super::accelerator::Accelerator;
use super::keys::Keys;
use super::table::Shortcut;
use crate::i18n::{gettext, gettext_f};

/// What a screen reader says of a row changes with its keys; the bindings for GTK 4.8 cannot set that, but GTK's builder can
/// take it from a label.
const ROW: &str = r#"<interface>
  <object class="AdwActionRow" id="row">
    <accessibility><relation name="labelled-by">spoken</relation></accessibility>
    <child type="suffix"><object class="GtkLabel" id="spoken"><property name="visible">0</property></object></child>
  </object>
</interface>"#;

/// A row of this shortcut.
pub(crate) fn row(shortcut: Shortcut) -> adw::ActionRow {
    let builder = gtk::Builder::from_string(ROW);
    let row: adw::ActionRow = builder.object("row").unwrap_or_default();
    let spoken: gtk::Label = builder.object("spoken").unwrap_or_default();
    row.set_title(&shortcut.title());
    let place = adw::Bin::builder().valign(gtk::Align::Center).build();
    row.add_suffix(&place);
    Keys::get().follow(&place, move |place, keymap| {
        place.set_child(Some(&drawn(keymap.keys(shortcut))));
        let keys = Keys::get().say(shortcut).unwrap_or_else(|| gettext("Disabled"));
        // A shortcut as a screen reader says it, such as "Search the timeline: Ctrl+F".
        spoken.set_label(&gettext_f("{title}: {keys}", &[("title", &shortcut.title()), ("keys", &keys)]));
    });
    row
}

/// These keys, each as one of a keyboard; in words where that is too wide, which may take several lines.
pub(crate) fn drawn(keys: Option<Accelerator>) -> adw::Squeezer {
    let accelerator = keys.map(|keys| keys.to_string()).unwrap_or_default();
    let label = gtk::ShortcutLabel::builder().accelerator(accelerator).disabled_text(gettext("Disabled")).build();
    let words = gtk::Label::builder().label(keys.map(|keys| keys.say()).unwrap_or_default()).wrap(true);
    let words = words.wrap_mode(gtk::pango::WrapMode::WordChar).justify(gtk::Justification::Right).build();
    let squeezer = adw::Squeezer::builder().homogeneous(false).build();
    squeezer.add(&label);
    squeezer.add(&words);
    squeezer
}
