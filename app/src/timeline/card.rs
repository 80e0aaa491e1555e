//! One card: a picture, what it is of, and the way to all that can be done with it.
//!
//! [`filling`] puts words and picture on it, [`mod@pointer`] is what the mouse does.

mod filling;
mod pointer;

use std::cell::{Cell, RefCell};

use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib};

use super::contents::{Face, Key};
use super::decode::Fit;
use super::layout::picture_height;
use super::menu;
use super::picture::CardPicture;

/// How large the picture is on a card so wide, where each of the window's pixels is `scale` of the screen's.
pub(super) fn on_card(width: i32, scale: i32) -> Fit {
    let width = width.max(1);
    Fit::Cover(width * scale, picture_height(width) * scale)
}

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "card.ui")]
    pub struct Card {
        #[template_child]
        pub(super) frame: TemplateChild<gtk::Overlay>,
        #[template_child]
        pub(super) picture: TemplateChild<CardPicture>,
        #[template_child]
        pub(super) placeholder: TemplateChild<gtk::Image>,
        #[template_child]
        pub(super) marks: TemplateChild<gtk::Box>,
        #[template_child]
        pub(super) live: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) from: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) menu_button: TemplateChild<gtk::MenuButton>,
        #[template_child]
        pub(super) text: TemplateChild<gtk::Box>,
        #[template_child]
        pub(super) title: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) when: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) windows: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) cost: TemplateChild<gtk::Label>,
        /// What a screen reader reads; never seen.
        #[template_child]
        pub(super) spoken: TemplateChild<gtk::Label>,
        pub(super) face: RefCell<Option<Face>>,
        /// What brings the picture; given up with the card's place.
        pub(super) bringing: RefCell<Option<glib::JoinHandle<()>>>,
        pub(super) wide: Cell<i32>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Card {
        const NAME: &'static str = "FreezeframeCard";
        type Type = super::Card;
        type ParentType = gtk::Widget;

        fn class_init(class: &mut Self::Class) {
            CardPicture::ensure_type();
            class.bind_template();
            class.set_css_name("card");
            class.set_accessible_role(gtk::AccessibleRole::ListItem);
            class.install_action("card.open", None, |card, _, _| card.activate_card());
            class.install_action("card.menu", None, |card, _, _| card.imp().menu_button.popup());
            for (key, action) in [(gdk::Key::Delete, "win.delete"), (gdk::Key::F2, "win.rename")] {
                class.add_binding(key, gdk::ModifierType::empty(), move |card| card.act(action));
            }
            for key in [gdk::Key::Return, gdk::Key::KP_Enter, gdk::Key::space] {
                class.add_binding_action(key, gdk::ModifierType::empty(), "card.open");
            }
            class.add_binding_action(gdk::Key::Menu, gdk::ModifierType::empty(), "card.menu");
            class.add_binding_action(gdk::Key::F10, gdk::ModifierType::SHIFT_MASK, "card.menu");
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for Card {
        fn constructed(&self) {
            self.parent_constructed();
            self.obj().wire();
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| {
                vec![
                    glib::subclass::Signal::builder("opened").build(),
                    glib::subclass::Signal::builder("go-to").param_types([String::static_type()]).build(),
                ]
            })
        }

        fn dispose(&self) {
            if let Some(bringing) = self.bringing.take() {
                bringing.abort();
            }
            while let Some(child) = self.obj().first_child() {
                child.unparent();
            }
        }
    }

    impl Card {
        pub(super) fn menu_is_open(&self) -> bool {
            self.menu_button.popover().is_some_and(|menu| menu.is_visible())
        }
    }

    impl WidgetImpl for Card {
        fn measure(&self, orientation: gtk::Orientation, for_size: i32) -> (i32, i32, i32, i32) {
            if orientation == gtk::Orientation::Horizontal {
                return (1, 240, -1, -1);
            }
            let (text, ..) = self.text.measure(gtk::Orientation::Vertical, -1);
            let height = picture_height(for_size.max(1)) + text;
            (height, height, -1, -1)
        }

        fn size_allocate(&self, width: i32, height: i32, _baseline: i32) {
            let picture = picture_height(width);
            self.frame.size_allocate(&gdk::Rectangle::new(0, 0, width, picture), -1);
            self.text.size_allocate(&gdk::Rectangle::new(0, picture, width, (height - picture).max(1)), -1);
        }

        /// Tab goes from the card through what is in it.
        fn focus(&self, direction: gtk::DirectionType) -> bool {
            let card = self.obj();
            // In the open menu every key is the menu's.
            if self.menu_is_open() {
                return self.menu_button.child_focus(direction);
            }
            let mut stops: Vec<gtk::Widget> = vec![card.clone().upcast()];
            if self.from.is_visible() {
                stops.push(self.from.get().upcast());
            }
            stops.push(self.menu_button.get().upcast());
            let focus = card.root().and_then(|root| root.focus());
            // The innermost first: the card is an ancestor of all others.
            let at = focus.and_then(|focus| stops.iter().rposition(|stop| focus == *stop || focus.is_ancestor(stop)));
            let next = match (direction, at) {
                (gtk::DirectionType::TabForward, Some(at)) => at + 1,
                (gtk::DirectionType::TabBackward, Some(at)) => at.wrapping_sub(1),
                (gtk::DirectionType::TabBackward, None) => stops.len() - 1,
                (_, None) => 0,
                _ => return false,
            };
            match stops.get(next) {
                Some(stop) if next == 0 => {
                    debug_assert_eq!(stop, card.upcast_ref::<gtk::Widget>());
                    card.grab_focus()
                }
                Some(stop) => stop.child_focus(direction) || stop.grab_focus(),
                None => false,
            }
        }
    }
}

glib::wrapper! {
    /// One card.
    pub struct Card(ObjectSubclass<imp::Card>) @extends gtk::Widget, @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Default for Card {
    fn default() -> Self {
        glib::Object::builder().property("focusable", true).build()
    }
}

impl Card {
    /// Height of what is below the picture.
    pub(crate) fn text_height(&self) -> i32 {
        self.imp().text.measure(gtk::Orientation::Vertical, -1).0
    }

    pub(crate) fn key(&self) -> Option<Key> {
        self.imp().face.borrow().as_ref().map(|face| face.key.clone())
    }

    fn activate_card(&self) {
        self.emit_by_name::<()>("opened", &[]);
    }

    /// An act of the window on the snapshot of this card.
    fn act(&self, action: &str) -> glib::Propagation {
        let Some(Key::Snapshot(id)) = self.key() else { return glib::Propagation::Proceed };
        match WidgetExt::activate_action(self, action, Some(&id.to_variant())) {
            Ok(()) => glib::Propagation::Stop,
            Err(_) => glib::Propagation::Proceed,
        }
    }

    fn wire(&self) {
        let card = self.imp();
        // Of the button alone: what is in an ".osd" is dark in every theme, and the menu would be.
        if let Some(button) = card.menu_button.first_child() {
            button.add_css_class("osd");
        }
        card.menu_button.set_create_popup_func(glib::clone!(
            #[weak(rename_to = card)]
            self,
            move |button| {
                if let Some(face) = card.imp().face.borrow().as_ref() {
                    button.set_menu_model(Some(&menu::of(face)));
                }
            }
        ));
        card.from.connect_clicked(glib::clone!(
            #[weak(rename_to = card)]
            self,
            move |_| {
                let from = card.imp().face.borrow().as_ref().and_then(|face| face.from.clone());
                if let Some((id, _)) = from {
                    card.emit_by_name::<()>("go-to", &[&id]);
                }
            }
        ));
        self.tell_words();
        self.take_pointer();
    }
}
