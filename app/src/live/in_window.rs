//! What the view asks of the window that it is in: its size, its shortcuts, full screen.

use adw::prelude::*;
use freezeframe_rfb::ClientMessage;
use gtk::subclass::prelude::*;
use gtk::{gdk, gio, glib};

use super::follow;
use super::page::LivePage;
use crate::i18n::{gettext, gettext_f};
use crate::shortcuts::{Keys, Shortcut};

impl LivePage {
    pub(super) fn wire(&self) {
        let page = self.imp();
        page.screen.connect_room_changed(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_| page.settle()
        ));
        page.screen.connect_keyboard(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_, here| page.keyboard(here)
        ));
        let pointer = gtk::EventControllerMotion::new();
        pointer.set_propagation_phase(gtk::PropagationPhase::Capture);
        pointer.connect_motion(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_, _, y| page.imp().bar.pointer_at(y)
        ));
        page.overlay.add_controller(pointer);
        self.connect_follow_window_notify(|page| {
            // Switched on, it is a wish by itself.
            if page.follow_window()
                && let Some(size) = follow::size(page.desktop_room())
            {
                page.ask_for(size);
            }
        });
        self.connect_grab_shortcuts_notify(|page| {
            if page.grab_shortcuts() {
                page.say(&match Keys::get().say(Shortcut::LeaveDesktop) {
                    Some(keys) => gettext_f(
                        "System shortcuts go to the desktop; {keys} gives you the keyboard back",
                        &[("keys", &keys)],
                    ),
                    None => gettext("System shortcuts go to the desktop"),
                });
                page.imp().screen.grab_focus();
            }
            page.grab();
        });
    }

    /// While a desktop is shown the window has the view's actions, for its menu and its header bar.
    pub(super) fn offer_actions(&self, offered: bool) {
        let Some(window) = self.root().and_downcast::<gtk::Window>() else { return };
        let actions = gio::SimpleActionGroup::new();
        for name in ["follow-window", "grab-shortcuts"] {
            actions.add_action(&gio::PropertyAction::new(name, self, name));
        }
        window.insert_action_group("live", offered.then_some(&actions));
    }

    /// The view has a window now.
    pub(super) fn join_window(&self) {
        let Some(window) = self.root().and_downcast::<gtk::Window>() else { return };
        window.connect_fullscreened_notify(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |window| {
                page.imp().bar.set_full_screen(window.is_fullscreen());
                page.grab();
            }
        ));
    }

    /// The view has another size; once that stands, the desktop may be asked to take it.
    pub(super) fn settle(&self) {
        let page = self.imp();
        // Before there is a picture the window has a size that means nothing.
        if page.screen.picture_size().is_none() {
            return;
        }
        let standing = glib::timeout_add_local_once(
            follow::PAUSE,
            glib::clone!(
                #[weak(rename_to = page)]
                self,
                move || {
                    page.imp().settling.take();
                    let wish = page.imp().follow.borrow_mut().settled(page.desktop_room());
                    if let Some(size) = wish.filter(|_| page.follow_window()) {
                        page.ask_for(size);
                    }
                }
            ),
        );
        if let Some(before) = page.settling.replace(Some(standing)) {
            before.remove();
        }
    }

    /// Asks the display for this size, if it can take another one.
    fn ask_for(&self, (width, height): (u16, u16)) {
        let page = self.imp();
        let Some((screen_id, screen_flags)) = page.resizable.get() else { return };
        if page.screen.picture_size() == Some((width, height)) {
            return;
        }
        if let Some(input) = page.input.borrow().as_ref() {
            input.send([ClientMessage::SetDesktopSize { width, height, screen_id, screen_flags }]);
        }
    }

    fn keyboard(&self, here: bool) {
        self.imp().has_keyboard.set(here);
        if let Some(clipboard) = self.imp().clipboard.borrow().as_ref() {
            clipboard.set_focused(here);
        }
        self.grab();
    }

    /// Takes the system's shortcuts, or gives them back: they are the desktop's in full screen and where the user wants
    /// it, and only while it has the keyboard.
    fn grab(&self) {
        let Some(window) = self.root().and_downcast::<gtk::Window>() else { return };
        let Some(toplevel) = window.surface().and_downcast::<gdk::Toplevel>() else { return };
        let wanted = self.imp().has_keyboard.get() && (self.grab_shortcuts() || window.is_fullscreen());
        if self.imp().grabbed.replace(wanted) == wanted {
            return;
        }
        if wanted {
            toplevel.inhibit_system_shortcuts(None::<&gdk::Event>);
        } else {
            toplevel.restore_system_shortcuts();
        }
    }
}
