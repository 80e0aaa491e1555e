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
