//! Cards and headings are made for what is seen, out of those that no longer are.

use std::collections::{BTreeMap, BTreeSet};

use gtk::glib;
use gtk::prelude::*;
use gtk::subclass::prelude::*;

use super::Grid;
use crate::timeline::card::Card;
use crate::timeline::contents::{Contents, Key};
use crate::timeline::layout::Layout;

/// Cards are made so many pixels before they are seen.
const AHEAD: i32 = 300;
/// So many that are not needed are kept: as scrolling leaves and takes again.
const SPARE: usize = 24;

impl Grid {
    /// In the next frame: widgets must not come and go while places are given.
    pub(super) fn populate_soon(&self) {
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
    pub(super) fn populate(&self) {
        let grid = self.imp();
        let Some(layout) = grid.layout.borrow().clone() else { return };
        let contents = grid.contents.borrow().clone();
        let (top, tall) = self.view();
        let wanted = layout.cards_between(top - AHEAD, top + tall + AHEAD);
        let stale = grid.stale.take();
        let focused = self.focus_child();
        let mut spare = grid.spare.take();
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
            let known = grid.cards.borrow().get(&item).cloned();
            if known.is_some() && !stale {
                continue;
            }
            let Some(face) = contents.face(item) else { continue };
            let card = known.unwrap_or_else(|| spare.pop().unwrap_or_else(|| self.new_card()));
            card.set_visible(true);
            card.show(face, &grid.thumbnails, layout.card_width());
            grid.cards.borrow_mut().insert(item, card);
        }
        for card in spare.drain(SPARE.min(spare.len())..) {
            card.unparent();
        }
        for card in &spare {
            card.rest();
        }
        grid.spare.replace(spare);
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

    /// Measured once, by the first card: they are all alike.
    pub(super) fn heights(&self) -> (i32, i32) {
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

    pub(super) fn view(&self) -> (i32, i32) {
        let adjustment = self.imp().adjustment.borrow();
        // Far below what an i32 holds.
        adjustment.as_ref().map_or((0, 0), |adjustment| (adjustment.value() as i32, adjustment.page_size() as i32))
    }
}
