//! How the keyboard goes among the cards, also to those that are out of sight.

use gtk::gdk;
use gtk::prelude::*;
use gtk::subclass::prelude::*;

use super::Grid;
use crate::timeline::contents::Key;
use crate::timeline::layout::{MARGIN, Step};

/// Keys that go further than an arrow does.
pub(super) const KEYS: [(gdk::Key, Step); 4] = [
    (gdk::Key::Home, Step::First),
    (gdk::Key::End, Step::Last),
    (gdk::Key::Page_Up, Step::Page(-1)),
    (gdk::Key::Page_Down, Step::Page(1)),
];

impl Grid {
    /// Takes the keyboard to a card.
    pub(crate) fn go_to(&self, key: &Key) -> bool {
        let at = self.imp().contents.borrow().find(key);
        at.is_some_and(|at| self.set_current(at))
    }

    /// To the next card in this direction, or through the parts of the card that has the keyboard.
    pub(super) fn move_focus(&self, direction: gtk::DirectionType) -> bool {
        let step = match direction {
            gtk::DirectionType::Up => Step::Up,
            gtk::DirectionType::Down => Step::Down,
            gtk::DirectionType::Left => Step::Left,
            gtk::DirectionType::Right => Step::Right,
            _ => {
                return match self.focus_child() {
                    Some(card) => card.child_focus(direction),
                    None => self.focus_current(direction),
                };
            }
        };
        match self.focus_child() {
            // In its menu.
            Some(card) if card.child_focus(direction) => true,
            Some(_) => self.go(step),
            None => self.focus_current(direction),
        }
    }

    pub(super) fn go(&self, step: Step) -> bool {
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
    pub(super) fn focus_current(&self, direction: gtk::DirectionType) -> bool {
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
            adjustment.clamp_page(above.max(0.0), f64::from(rect.1 + rect.3 + MARGIN));
        }
        self.populate();
        let card = grid.cards.borrow().get(&item).cloned();
        card.is_some_and(|card| {
            if direction == gtk::DirectionType::TabBackward { card.child_focus(direction) } else { card.grab_focus() }
        })
    }
}
