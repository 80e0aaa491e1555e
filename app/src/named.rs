//! Widgets with a name for screen readers.
//!
//! The bindings for GTK 4.8 cannot set an accessible name; GTK's builder can.

use adw::prelude::*;
use gtk::glib;

/// A new widget of this type that a screen reader calls `name`.
pub(crate) fn named<T: IsA<gtk::Widget> + IsA<glib::Object>>(name: &str) -> T {
    let class = T::static_type().name();
    let name = glib::markup_escape_text(name);
    let ui = format!(
        r#"<interface><object class="{class}" id="it"><accessibility><property name="label">{name}</property></accessibility></object></interface>"#
    );
    let widget = gtk::Builder::from_string(&ui).object("it");
    // The type is the class that was asked for.
    widget.unwrap_or_else(|| panic!("GTK makes no {class}"))
}

/// Has every button in this widget said once that has its name written on it, with a mnemonic.
///
/// `gtk_button_set_label` of GTK 4.8 makes the label as it is written the button's name too, so that a screen reader says
/// "_Delete Delete". Buttons of `.ui` files are given an empty name for that; those of dialogs libadwaita makes, and the bindings for
/// GTK 4.8 cannot change their names. Taking the label away takes the name back; the same words as a child are said once.
pub(crate) fn said_once(widget: &impl IsA<gtk::Widget>) {
    let mut next = widget.first_child();
    while let Some(child) = next {
        match child.downcast_ref::<gtk::Button>() {
            Some(button) if button.uses_underline() => say_once(button),
            _ => said_once(&child),
        }
        next = child.next_sibling();
    }
}

fn say_once(button: &gtk::Button) {
    let Some(text) = button.label() else { return };
    button.set_property("label", None::<String>);
    write_on(button, &text);
}

/// Writes this on a button, one letter of it underlined, as its name that is said once.
pub(crate) fn write_on(button: &gtk::Button, text: &str) {
    let label = gtk::Label::with_mnemonic(text);
    label.set_mnemonic_widget(Some(button));
    button.set_child(Some(&label));
    // As a button with a label looks.
    button.add_css_class("text-button");
}
