//! The window that asks for a shortcut's new keys, by having them pressed.

use std::cell::Cell;
use std::rc::Rc;

use adw::prelude::*;
use gtk::{gdk, glib};

use super::form::button;
use crate::i18n::{gettext, gettext_f};
use crate::shortcuts::{Accelerator, Keys, Press, Shortcut, Unfit, drawn};

/// Text that can have the keyboard: a screen reader says what has it.
const SPOKEN: &str = r#"<interface>
  <object class="AdwBin" id="bin">
    <property name="focusable">1</property>
    <property name="accessible-role">label</property>
    <accessibility><relation name="labelled-by">label</relation></accessibility>
    <property name="child"><object class="GtkLabel" id="label"/></property>
  </object>
</interface>"#;

/// Asks over this window; `keep` is given the new keys, or none, unless the user cancels.
pub(super) fn ask(parent: &impl IsA<gtk::Window>, shortcut: Shortcut, keep: impl Fn(Option<Accelerator>) + 'static) {
    let window = adw::Window::builder()
        .title(gettext("Set Shortcut"))
        .transient_for(parent)
        .modal(true)
        .default_width(440)
        .width_request(300)
        .build();
    let asking = Rc::new(Asking::new(&window, shortcut, Box::new(keep)));
    let pressing = gtk::EventControllerKey::new();
    // Before the buttons, and before any shortcut of GTK's.
    pressing.set_propagation_phase(gtk::PropagationPhase::Capture);
    asking.replace.connect_clicked(glib::clone!(
        #[weak]
        asking,
        move |_| asking.set(asking.taken.get())
    ));
    let asked = asking.asked.clone();
    // It lives as long as this, and that as long as the window.
    pressing.connect_key_pressed(move |pressing, _, _, _| match pressed(pressing) {
        Some(keys) => asking.hear(keys),
        None => glib::Propagation::Proceed,
    });
    window.add_controller(pressing);
    window.present();
    asked.grab_focus();
}

/// The keys that are down with this press; none as long as it is only Shift and the like.
fn pressed(pressing: &gtk::EventControllerKey) -> Option<Accelerator> {
    let event = pressing.current_event()?.downcast::<gdk::KeyEvent>().ok()?;
    let (key, modifiers) = event.match_().filter(|_| !event.is_modifier())?;
    Some(Accelerator::new(key, modifiers))
}

fn spoken() -> (adw::Bin, gtk::Label) {
    let builder = gtk::Builder::from_string(SPOKEN);
    let (bin, label): (adw::Bin, gtk::Label) =
        (builder.object("bin").unwrap_or_default(), builder.object("label").unwrap_or_default());
    label.set_wrap(true);
    label.set_justify(gtk::Justification::Center);
    (bin, label)
}

struct Asking {
    shortcut: Shortcut,
    keep: Box<dyn Fn(Option<Accelerator>)>,
    window: glib::WeakRef<adw::Window>,
    /// What is asked, which has the keyboard at first.
    asked: adw::Bin,
    /// The last keys, drawn.
    keys: adw::Bin,
    /// Why these are not taken, and what takes the keyboard then.
    reason: gtk::Label,
    spoken: adw::Bin,
    replace: gtk::Button,
    /// The last keys, while another shortcut has them.
    taken: Cell<Option<Accelerator>>,
}

impl Asking {
    fn new(window: &adw::Window, shortcut: Shortcut, keep: Box<dyn Fn(Option<Accelerator>)>) -> Self {
        let cancel = button(&gettext("_Cancel"));
        cancel.set_action_name(Some("window.close"));
        let replace = button(&gettext("_Replace"));
        replace.set_visible(false);
        replace.add_css_class("destructive-action");
        let header = adw::HeaderBar::builder().show_start_title_buttons(false).show_end_title_buttons(false).build();
        header.pack_start(&cancel);
        header.pack_end(&replace);

        let (asked, prompt) = spoken();
        prompt.set_label(&gettext_f("Press the new keys for “{title}”", &[("title", &shortcut.title())]));
        prompt.add_css_class("heading");
        let keys = adw::Bin::builder().halign(gtk::Align::Center).visible(false).build();
        let (spoken, reason) = spoken();
        spoken.set_visible(false);
        let hint = gtk::Label::new(Some(&gettext("Escape cancels, Backspace disables the shortcut")));
        hint.set_wrap(true);
        hint.set_justify(gtk::Justification::Center);
        hint.add_css_class("dim-label");

        let inside = gtk::Box::builder().orientation(gtk::Orientation::Vertical).spacing(18).build();
        inside.set_margin_top(18);
        inside.set_margin_bottom(30);
        inside.set_margin_start(24);
        inside.set_margin_end(24);
        for part in [asked.upcast_ref::<gtk::Widget>(), keys.upcast_ref(), spoken.upcast_ref(), hint.upcast_ref()] {
            inside.append(part);
        }
        let content = gtk::Box::new(gtk::Orientation::Vertical, 0);
        content.append(&header);
        content.append(&inside);
        window.set_content(Some(&content));
        Self {
            shortcut,
            keep,
            window: window.downgrade(),
            asked,
            keys,
            reason,
            spoken,
            replace,
            taken: Cell::default(),
        }
    }

    /// These were pressed.
    fn hear(&self, pressed: Accelerator) -> glib::Propagation {
        match Press::new(&Keys::get().keymap(), self.shortcut, pressed) {
            Press::Move => return glib::Propagation::Proceed,
            Press::Take => self.set(Some(pressed)),
            Press::Disable => self.set(None),
            Press::Cancel => self.close(),
            Press::Taken(other) => {
                let values = [("keys", &*pressed.say()), ("title", &*other.title())];
                let text = gettext_f("{keys} is used for “{title}”, which would be left without keys", &values);
                self.tell(pressed, &text, true);
            }
            Press::Refuse(unfit) => {
                let values = [("keys", &*pressed.say())];
                let text = match unfit {
                    Unfit::Typed => gettext_f("{keys} cannot be used without Ctrl, Alt or Super", &values),
                    Unfit::Fixed => gettext_f("{keys} cannot be used: the timeline always needs it", &values),
                };
                self.tell(pressed, &text, false);
            }
        }
        glib::Propagation::Stop
    }

    /// Says why these keys are not taken, and whether they can be.
    fn tell(&self, pressed: Accelerator, text: &str, replaceable: bool) {
        self.keys.set_child(Some(&drawn(Some(pressed))));
        self.keys.set_visible(true);
        self.reason.set_label(text);
        self.spoken.set_visible(true);
        self.spoken.grab_focus();
        self.taken.set(replaceable.then_some(pressed));
        self.replace.set_visible(replaceable);
    }

    fn set(&self, keys: Option<Accelerator>) {
        (self.keep)(keys);
        self.close();
    }

    fn close(&self) {
        if let Some(window) = self.window.upgrade() {
            window.close();
        }
    }
}
