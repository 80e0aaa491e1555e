//! What the pointer does on a card: the left button opens it, the right one its menu.

use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib};

use super::Card;

impl Card {
    pub(super) fn take_pointer(&self) {
        let click = gtk::GestureClick::builder().button(0).build();
        click.connect_released(glib::clone!(
            #[weak(rename_to = card)]
            self,
            move |click, _, x, y| {
                if !card.contains(x, y) {
                    return;
                }
                card.grab_focus();
                match click.current_button() {
                    gdk::BUTTON_PRIMARY => card.activate_card(),
                    gdk::BUTTON_SECONDARY => card.imp().menu_button.popup(),
                    _ => {}
                }
            }
        ));
        // While a menu is open, GTK takes any press to close it, and only the release comes here.
        click.connect_unpaired_release(glib::clone!(
            #[weak(rename_to = card)]
            self,
            move |_, x, y, button, _| {
                if button == gdk::BUTTON_SECONDARY && card.contains(x, y) {
                    card.grab_focus();
                    card.imp().menu_button.popup();
                }
            }
        ));
        self.add_controller(click);
    }
}
