//! What full screen has instead of a header bar: it comes when full screen begins, to say how it ends, and whenever the
//! pointer touches the upper edge.

use std::cell::Cell;
use std::time::Duration;

use adw::prelude::*;
use adw::subclass::prelude::*;
use gtk::glib;

use crate::i18n::gettext_f;
use crate::shortcuts::{Keys, Shortcut, say_keys};

/// How long it is seen when full screen begins.
const GREETING: Duration = Duration::from_secs(4);
/// The pointer this near to the upper edge calls it, in pixels.
const EDGE: f64 = 2.0;
/// The pointer this far below the bar sends it away.
const AWAY: f64 = 40.0;

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "bar.ui")]
    pub struct LiveBar {
        #[template_child]
        pub(super) revealer: TemplateChild<gtk::Revealer>,
        #[template_child]
        pub(super) leaving: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) leave_button: TemplateChild<gtk::Button>,
        pub(super) full_screen: Cell<bool>,
        /// Whether full screen has just begun: then the pointer does not send the bar away.
        pub(super) greeting: Cell<bool>,
        /// Counts the times that full screen began or ended, so that a greeting's end knows whether it is still its own.
        pub(super) turn: Cell<u64>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for LiveBar {
        const NAME: &'static str = "FreezeframeLiveBar";
        type Type = super::LiveBar;
        type ParentType = adw::Bin;

        fn class_init(class: &mut Self::Class) {
            class.bind_template();
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for LiveBar {
        fn constructed(&self) {
            self.parent_constructed();
            self.obj().set_visible(false);
            say_keys(&*self.leave_button, Shortcut::FullScreen);
            Keys::get().follow(&*self.leaving, |label, _| {
                let keys = Keys::get().say(Shortcut::FullScreen);
                label.set_visible(keys.is_some());
                label.set_label(&gettext_f("{keys} leaves full screen", &[("keys", &keys.unwrap_or_default())]));
            });
        }
    }
    impl WidgetImpl for LiveBar {}
    impl BinImpl for LiveBar {}
}

glib::wrapper! {
    /// The bar of full screen.
    pub struct LiveBar(ObjectSubclass<imp::LiveBar>) @extends adw::Bin, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl LiveBar {
    /// Full screen begins or ends.
    pub(crate) fn set_full_screen(&self, full_screen: bool) {
        let bar = self.imp();
        bar.full_screen.set(full_screen);
        bar.greeting.set(full_screen);
        bar.turn.set(bar.turn.get() + 1);
        self.set_visible(full_screen);
        bar.revealer.set_reveal_child(full_screen);
        let turn = bar.turn.get();
        glib::timeout_add_local_once(
            GREETING,
            glib::clone!(
                #[weak(rename_to = bar)]
                self,
                move || {
                    let bar = bar.imp();
                    if bar.turn.get() == turn && bar.greeting.take() {
                        bar.revealer.set_reveal_child(false);
                    }
                }
            ),
        );
    }

    /// The pointer is that far below the upper edge.
    pub(crate) fn pointer_at(&self, y: f64) {
        let bar = self.imp();
        if !bar.full_screen.get() || bar.greeting.get() {
            return;
        }
        if y <= EDGE {
            bar.revealer.set_reveal_child(true);
        } else if y > f64::from(self.height()) + AWAY {
            bar.revealer.set_reveal_child(false);
        }
    }
}
