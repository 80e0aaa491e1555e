//! All cards, of which only those exist that are seen: a window onto a layout as tall as the whole timeline.
//!
//! [`populate`] makes those cards, [`keyboard`] goes among them.

mod keyboard;
mod populate;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib};

use super::card::{Card, on_card};
use super::contents::{Contents, Key};
use super::decode::Fit;
use super::layout::Layout;
use super::thumbnails::Thumbnails;

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Grid {
        pub(super) contents: RefCell<Rc<Contents>>,
        pub(super) layout: RefCell<Option<Layout>>,
        pub(super) width: Cell<i32>,
        pub(super) cards: RefCell<BTreeMap<usize, Card>>,
        pub(super) headings: RefCell<BTreeMap<usize, gtk::Label>>,
        pub(super) adjustment: RefCell<Option<gtk::Adjustment>>,
        pub(super) thumbnails: Thumbnails,
        /// The card that the keyboard is at, or comes back to.
        pub(super) current: Cell<usize>,
        /// Heights of a card's text and of a heading; 0 until they were measured.
        pub(super) heights: Cell<(i32, i32)>,
        pub(super) pending: Cell<bool>,
        /// Whether the cards that are there show something older than the contents, or another width.
        pub(super) stale: Cell<bool>,
        /// Cards that are not needed just now, hidden: making one takes as long as showing many.
        pub(super) spare: RefCell<Vec<Card>>,
        /// The keyboard was offered before there was a card to take it.
        pub(super) offered: Cell<bool>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Grid {
        const NAME: &'static str = "FreezeframeGrid";
        type Type = super::Grid;
        type ParentType = gtk::Widget;

        fn class_init(class: &mut Self::Class) {
            class.set_css_name("timeline");
            class.set_accessible_role(gtk::AccessibleRole::List);
            for (key, step) in keyboard::KEYS {
                class.add_binding(key, gdk::ModifierType::empty(), move |grid: &super::Grid| {
                    grid.go(step);
                    glib::Propagation::Stop
                });
            }
        }
    }

    impl ObjectImpl for Grid {
        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| {
                vec![glib::subclass::Signal::builder("opened").param_types([u32::static_type()]).build()]
            })
        }

        fn dispose(&self) {
            while let Some(child) = self.obj().first_child() {
                child.unparent();
            }
        }
    }

    impl WidgetImpl for Grid {
        fn request_mode(&self) -> gtk::SizeRequestMode {
            gtk::SizeRequestMode::HeightForWidth
        }

        fn measure(&self, orientation: gtk::Orientation, for_size: i32) -> (i32, i32, i32, i32) {
            if orientation == gtk::Orientation::Horizontal {
                return (224, 720, -1, -1);
            }
            let width = if for_size > 0 { for_size } else { self.width.get().max(224) };
            let height = self.obj().layout_for(width).height().max(1);
            (height, height, -1, -1)
        }

        fn size_allocate(&self, width: i32, _height: i32, _baseline: i32) {
            let grid = self.obj();
            let layout = grid.layout_for(width);
            if self.width.replace(width) != width || self.layout.borrow().as_ref() != Some(&layout) {
                self.layout.replace(Some(layout.clone()));
                self.stale.set(true);
                grid.populate_soon();
            }
            for (item, card) in self.cards.borrow().iter() {
                if let Some((x, y, width, height)) = layout.card(*item) {
                    card.measure(gtk::Orientation::Horizontal, -1);
                    card.size_allocate(&gdk::Rectangle::new(x, y, width, height), -1);
                }
            }
            for (section, heading) in self.headings.borrow().iter() {
                if let Some((x, y, width, height)) = layout.heading(*section, width) {
                    heading.measure(gtk::Orientation::Horizontal, -1);
                    heading.size_allocate(&gdk::Rectangle::new(x, y, width, height), -1);
                }
            }
        }

        fn focus(&self, direction: gtk::DirectionType) -> bool {
            self.obj().move_focus(direction)
        }

        fn grab_focus(&self) -> bool {
            self.obj().focus_current(gtk::DirectionType::TabForward)
        }
    }
}

glib::wrapper! {
    /// All cards.
    pub struct Grid(ObjectSubclass<imp::Grid>) @extends gtk::Widget, @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Grid {
    /// Shows what this adjustment has in view.
    pub(crate) fn follow(&self, adjustment: &gtk::Adjustment) {
        adjustment.connect_value_changed(glib::clone!(
            #[weak(rename_to = grid)]
            self,
            move |_| grid.populate()
        ));
        adjustment.connect_page_size_notify(glib::clone!(
            #[weak(rename_to = grid)]
            self,
            move |_| grid.populate_soon()
        ));
        self.imp().adjustment.replace(Some(adjustment.clone()));
    }

    /// Calls back when a card is to be opened.
    pub(crate) fn connect_opened(&self, call: impl Fn(&Self, Key) + 'static) {
        self.connect_closure(
            "opened",
            false,
            glib::closure_local!(move |grid: &Self, item: u32| {
                let key = grid.imp().contents.borrow().key(item as usize);
                if let Some(key) = key {
                    call(grid, key);
                }
            }),
        );
    }

    /// Shows these from now on. The keyboard stays at its card, if that is still there.
    pub(crate) fn show(&self, contents: Rc<Contents>) {
        let grid = self.imp();
        let focused = self.focus_child().is_some();
        let key = grid.contents.borrow().key(grid.current.get());
        let at = key.and_then(|key| contents.find(&key));
        grid.current.set(at.unwrap_or_else(|| grid.current.get().min(contents.len().saturating_sub(1))));
        // A card that shows another item than before keeps nothing of it, but its place.
        grid.contents.replace(contents);
        grid.stale.set(true);
        grid.layout.replace(None);
        if self.width() > 0 {
            let layout = self.layout_for(self.width());
            grid.layout.replace(Some(layout));
            self.populate();
        }
        self.queue_resize();
        if focused {
            self.focus_current(gtk::DirectionType::TabForward);
        }
    }

    /// Fetches the pictures of sessions again.
    pub(crate) fn refresh(&self) {
        for card in self.imp().cards.borrow().values() {
            card.refresh(&self.imp().thumbnails);
        }
    }

    pub(crate) fn thumbnails(&self) -> &Thumbnails {
        &self.imp().thumbnails
    }

    /// How large the pictures on cards are.
    pub(crate) fn picture_fit(&self) -> Fit {
        let width = self.imp().layout.borrow().as_ref().map_or(1, Layout::card_width);
        on_card(width, self.scale_factor())
    }

    fn layout_for(&self, width: i32) -> Layout {
        let grid = self.imp();
        if let Some(layout) = grid.layout.borrow().as_ref()
            && grid.width.get() == width
        {
            return layout.clone();
        }
        let (text, heading) = self.heights();
        Layout::new(width, text, heading, grid.contents.borrow().counts())
    }
}
