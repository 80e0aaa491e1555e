//! The keys that hold in this program.

use std::cell::RefCell;
use std::rc::Rc;

use glib::subclass::prelude::*;
use gtk::glib;
use gtk::prelude::*;

use super::keymap::{Changes, Keymap};
use super::table::Shortcut;

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Keys {
        pub(super) keymap: RefCell<Rc<Keymap>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Keys {
        const NAME: &'static str = "FreezeframeKeys";
        type Type = super::Keys;
    }

    impl ObjectImpl for Keys {
        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| vec![glib::subclass::Signal::builder("changed").build()])
        }
    }
}

glib::wrapper! {
    /// The keymap of the program, which the agent keeps; until that says something, the table's.
    pub struct Keys(ObjectSubclass<imp::Keys>);
}

thread_local! {
    static KEYS: Keys = glib::Object::new();
}

impl Keys {
    /// Those of this program.
    pub(crate) fn get() -> Self {
        KEYS.with(Clone::clone)
    }

    pub(crate) fn keymap(&self) -> Rc<Keymap> {
        self.imp().keymap.borrow().clone()
    }

    /// What the agent keeps now.
    pub(crate) fn take(&self, changes: Changes) {
        let keymap = Rc::new(Keymap::new(changes));
        if self.imp().keymap.replace(keymap.clone()) != keymap {
            self.emit_by_name::<()>("changed", &[]);
        }
    }

    /// The keys of a shortcut as people read them, such as "Ctrl+S".
    pub(crate) fn say(&self, shortcut: Shortcut) -> Option<String> {
        self.keymap().keys(shortcut).map(|keys| keys.say())
    }

    /// Does it now, and whenever a key has changed, as long as the widget lives.
    pub(crate) fn follow<W: IsA<gtk::Widget>>(&self, widget: &W, act: impl Fn(&W, &Keymap) + 'static) {
        act(widget, &self.keymap());
        let widget: &gtk::Widget = widget.upcast_ref();
        self.connect_closure(
            "changed",
            false,
            glib::closure_local!(
                #[watch]
                widget,
                move |keys: Self| {
                    if let Some(widget) = widget.downcast_ref() {
                        act(widget, &keys.keymap());
                    }
                }
            ),
        );
    }
}
