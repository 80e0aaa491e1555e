//! All cards, of which only those exist that are seen: a window onto a layout as tall as the whole timeline.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib};

use super::card::Card;
use super::contents::{Contents, Key};
use super::layout::{Layout, Step};
use super::thumbnails::Thumbnails;

/// Cards are made so many pixels before they are seen.
const AHEAD: i32 = 300;

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
            for (key, step) in [
                (gdk::Key::Home, Step::First),
                (gdk::Key::End, Step::Last),
                (gdk::Key::Page_Up, Step::Page(-1)),
                (gdk::Key::Page_Down, Step::Page(1)),
            ] {
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
            let grid = self.obj();
            let step = match direction {
                gtk::DirectionType::Up => Step::Up,
                gtk::DirectionType::Down => Step::Down,
                gtk::DirectionType::Left => Step::Left,
                gtk::DirectionType::Right => Step::Right,
                _ => {
                    return match grid.focus_child() {
                        Some(card) => card.child_focus(direction),
                        None => grid.focus_current(direction),
                    };
                }
            };
            match grid.focus_child() {
                // In its menu.
                Some(card) if card.child_focus(direction) => true,
                Some(_) => grid.go(step),
                None => grid.focus_current(direction),
            }
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

    /// Brings the pictures of sessions anew.
    pub(crate) fn refresh(&self) {
        for card in self.imp().cards.borrow().values() {
            card.refresh(&self.imp().thumbnails);
        }
    }

    pub(crate) fn thumbnails(&self) -> &Thumbnails {
        &self.imp().thumbnails
    }

    /// Width of a card, in the window's pixels.
    pub(crate) fn card_width(&self) -> i32 {
        self.imp().layout.borrow().as_ref().map_or(1, Layout::card_width)
    }

    /// Takes the keyboard to a card.
    pub(crate) fn go_to(&self, key: &Key) -> bool {
        let at = self.imp().contents.borrow().find(key);
        at.is_some_and(|at| self.set_current(at))
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

    /// Measured once, by the first card: they are all alike.
    fn heights(&self) -> (i32, i32) {
        let grid = self.imp();
        if grid.heights.get() == (0, 0) {
            let (card, heading) = (self.new_card(), self.new_heading());
            let height = heading.measure(gtk::Orientation::Vertical, -1).0;
            grid.heights.set((card.text_height(), height));
            card.unparent();
            heading.unparent();
        }
        grid.heights.get()
    }

    fn new_card(&self) -> Card {
        let card = Card::default();
        card.set_parent(self);
        card.connect_closure(
            "opened",
            false,
            glib::closure_local!(
                #[weak_allow_none(rename_to = grid)]
                self,
                move |card: &Card| {
                    if let Some(grid) = grid {
                        grid.open(card);
                    }
                }
            ),
        );
        card.connect_closure(
            "go-to",
            false,
            glib::closure_local!(
                #[weak_allow_none(rename_to = grid)]
                self,
                move |_: &Card, id: String| {
                    if let Some(grid) = grid {
                        grid.go_to(&Key::Snapshot(id));
                    }
                }
            ),
        );
        let focus = gtk::EventControllerFocus::new();
        focus.connect_enter(glib::clone!(
            #[weak(rename_to = grid)]
            self,
            #[weak]
            card,
            move |_| {
                let at = card.key().and_then(|key| grid.imp().contents.borrow().find(&key));
                grid.imp().current.set(at.unwrap_or_default());
            }
        ));
        card.add_controller(focus);
        card
    }

    fn new_heading(&self) -> gtk::Label {
        let label = gtk::Label::builder().xalign(0.0).ellipsize(gtk::pango::EllipsizeMode::End).label("M").build();
        label.add_css_class("day");
        label.add_css_class("title-4");
        label.set_parent(self);
        label
    }

    fn open(&self, card: &Card) {
        let at = card.key().and_then(|key| self.imp().contents.borrow().find(&key));
        if let Some(at) = at.and_then(|at| u32::try_from(at).ok()) {
            self.emit_by_name::<()>("opened", &[&at]);
        }
    }

    fn view(&self) -> (i32, i32) {
        let adjustment = self.imp().adjustment.borrow();
        // Far below what an i32 holds.
        adjustment.as_ref().map_or((0, 0), |adjustment| (adjustment.value() as i32, adjustment.page_size() as i32))
    }

    /// In the next frame: widgets must not come and go while places are given.
    fn populate_soon(&self) {
        if self.imp().pending.replace(true) {
            return;
        }
        glib::idle_add_local_full(
            glib::Priority::HIGH,
            glib::clone!(
                #[weak(rename_to = grid)]
                self,
                #[upgrade_or]
                glib::ControlFlow::Break,
                move || {
                    grid.imp().pending.set(false);
                    grid.populate();
                    glib::ControlFlow::Break
                }
            ),
        );
    }

    /// Makes the cards that are seen, out of those that no longer are.
    fn populate(&self) {
        let grid = self.imp();
        let Some(layout) = grid.layout.borrow().clone() else { return };
        let contents = grid.contents.borrow().clone();
        let (top, tall) = self.view();
        let wanted = layout.cards_between(top - AHEAD, top + tall + AHEAD);
        let focused = self.focus_child();
        let mut spare: Vec<Card> = Vec::new();
        {
            let mut cards = grid.cards.borrow_mut();
            let leave: Vec<usize> = cards.keys().copied().filter(|item| !wanted.contains(item)).collect();
            for item in leave {
                // The card with the keyboard stays as long as there is such a card.
                let stays = item < contents.len()
                    && cards.get(&item).is_some_and(|card| focused.as_ref() == Some(card.upcast_ref()));
                if !stays {
                    spare.extend(cards.remove(&item));
                }
            }
        }
        let mut shown: BTreeSet<usize> = grid.cards.borrow().keys().copied().collect();
        shown.extend(wanted);
        // What is seen first: pictures are brought in this order.
        let seen = layout.cards_between(top, top + tall);
        let (seen, ahead): (Vec<usize>, Vec<usize>) = shown.into_iter().partition(|item| seen.contains(item));
        for item in seen.into_iter().chain(ahead) {
            let Some(face) = contents.face(item) else { continue };
            let known = grid.cards.borrow().get(&item).cloned();
            let card = known.unwrap_or_else(|| spare.pop().unwrap_or_else(|| self.new_card()));
            card.show(face, &grid.thumbnails, layout.card_width());
            grid.cards.borrow_mut().insert(item, card);
        }
        for card in spare {
            card.unparent();
        }
        self.populate_headings(&layout, &contents, top, tall);
        self.queue_allocate();
        if grid.offered.take() && contents.len() > 0 {
            self.focus_current(gtk::DirectionType::TabForward);
        }
    }

    fn populate_headings(&self, layout: &Layout, contents: &Contents, top: i32, tall: i32) {
        let wanted = layout.sections_between(top - AHEAD, top + tall + AHEAD);
        let mut headings = self.imp().headings.borrow_mut();
        let (mut spare, mut keep) = (Vec::new(), BTreeMap::new());
        for (section, heading) in std::mem::take(&mut *headings) {
            if wanted.contains(&section) {
                keep.insert(section, heading);
            } else {
                spare.push(heading);
            }
        }
        for section in wanted {
            let heading = keep.entry(section).or_insert_with(|| spare.pop().unwrap_or_else(|| self.new_heading()));
            heading.set_label(contents.heading(section));
        }
        for heading in spare {
            heading.unparent();
        }
        *headings = keep;
    }

    fn go(&self, step: Step) -> bool {
        let grid = self.imp();
        let Some(layout) = grid.layout.borrow().clone() else { return false };
        let step = match step {
            Step::Page(sign) => {
                let line = layout.card(0).map_or(1, |(_, _, _, height)| height.max(1));
                Step::Page(sign * (self.view().1 / line).max(1))
            }
            step => step,
        };
        layout.step(grid.current.get(), step).is_some_and(|to| self.set_current(to))
    }

    fn set_current(&self, item: usize) -> bool {
        self.imp().current.set(item);
        self.focus_current(gtk::DirectionType::TabForward)
    }

    /// Gives the keyboard to the current card, after making it if it was out of sight.
    fn focus_current(&self, direction: gtk::DirectionType) -> bool {
        let grid = self.imp();
        let item = grid.current.get();
        let rect = grid.layout.borrow().as_ref().and_then(|layout| layout.card(item));
        let Some(rect) = rect else {
            grid.offered.set(true);
            return false;
        };
        if let Some(adjustment) = grid.adjustment.borrow().as_ref() {
            // With the heading, if it is the first line below one.
            let above = f64::from(rect.1 - self.heights().1);
            adjustment.clamp_page(above.max(0.0), f64::from(rect.1 + rect.3 + super::layout::MARGIN));
        }
        self.populate();
        let card = grid.cards.borrow().get(&item).cloned();
        card.is_some_and(|card| {
            if direction == gtk::DirectionType::TabBackward { card.child_focus(direction) } else { card.grab_focus() }
        })
    }
}
