//! Windows of which one is enough.

use gtk::prelude::*;

/// Brings the window of this name to the front, or makes it. A key that is pressed twice is here twice before the first
/// window is there to take the second.
pub(crate) fn present(name: &str, make: impl FnOnce() -> gtk::Window) {
    let open = gtk::Window::list_toplevels().into_iter().filter_map(|window| window.downcast::<gtk::Window>().ok());
    let window = open.into_iter().find(|window| window.widget_name() == name).unwrap_or_else(|| {
        let window = make();
        window.set_widget_name(name);
        window
    });
    window.present();
}

/// Escape closes it.
pub(crate) fn close_by_escape(window: &impl IsA<gtk::Window>) {
    let keys = gtk::ShortcutController::new();
    let escape = gtk::ShortcutTrigger::parse_string("Escape");
    keys.add_shortcut(gtk::Shortcut::new(escape, Some(gtk::NamedAction::new("window.close"))));
    window.as_ref().add_controller(keys);
}
