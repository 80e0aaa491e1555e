//! The ways on the page: to a card, to a snapshot's picture, along the scrubber, and back.

use std::rc::Rc;

use adw::prelude::*;
use adw::subclass::prelude::*;
use gtk::glib;

use super::TimelinePage;
use crate::i18n::gettext_f;
use crate::timeline::contents::{Contents, Key};
use crate::timeline::search::Query;

impl TimelinePage {
    /// Goes to a snapshot's card, as soon as that is known.
    pub(crate) fn go_to(&self, id: String) {
        let page = self.imp();
        page.search_bar.set_search_mode(false);
        page.wanted.replace(Some(id));
        self.show_cards();
        self.seek_soon();
    }

    /// Once what was shown last has its places: before that a card far below cannot be scrolled to.
    pub(super) fn seek_soon(&self) {
        if self.imp().wanted.borrow().is_some() {
            glib::idle_add_local_once(glib::clone!(
                #[weak(rename_to = page)]
                self,
                move || page.seek()
            ));
        }
    }

    fn seek(&self) {
        let page = self.imp();
        let wanted = page.wanted.borrow().clone();
        if wanted.is_some_and(|id| page.grid.go_to(&Key::Snapshot(id))) {
            page.wanted.take();
        }
    }

    /// Asks for a snapshot to compare this one with.
    pub(crate) fn choose_for(&self, id: &str) {
        let page = self.imp();
        let title = page.known.borrow().title(id, self.today());
        page.choosing_label
            .set_label(&gettext_f("Choose the snapshot to compare “{title}” with", &[("title", &title)]));
        page.comparing.replace(Some(id.to_owned()));
        page.choosing.set_reveal_child(true);
        self.show_cards();
    }

    /// Back from a picture, or from choosing, to all cards; false when there is nothing to go back from.
    pub(crate) fn go_back(&self) -> bool {
        let page = self.imp();
        if page.comparing.take().is_some() {
            page.choosing.set_reveal_child(false);
            return true;
        }
        if page.stack.visible_child_name().as_deref() != Some("preview") {
            return false;
        }
        let id = page.preview.id();
        self.show_cards();
        if let Some(id) = id {
            page.grid.go_to(&Key::Snapshot(id));
        }
        true
    }

    pub(super) fn open(&self, key: &Key) {
        let page = self.imp();
        page.wanted.take();
        match key {
            Key::Session(name) => self.emit_by_name::<()>("session-opened", &[name]),
            Key::Snapshot(id) => {
                let first = page.comparing.borrow().clone();
                match first {
                    Some(first) if first == *id => {}
                    Some(first) => {
                        self.go_back();
                        self.emit_by_name::<()>("pair-chosen", &[&first, id]);
                    }
                    None => self.show_preview(id),
                }
            }
        }
    }

    pub(super) fn scrub(&self, oldest_first: usize) {
        let snapshots = Rc::clone(&self.imp().known.borrow().snapshots);
        let at = snapshots.len().checked_sub(oldest_first + 1);
        if let Some(snapshot) = at.and_then(|at| snapshots.get(at)) {
            self.show_preview_of(snapshot.id());
        }
    }

    fn show_preview(&self, id: &str) {
        self.show_preview_of(id);
        let page = self.imp();
        let at = page.known.borrow().snapshots.iter().rev().position(|snapshot| snapshot.id() == id);
        page.scrubber.set_at(at);
        page.preview.take_keyboard();
    }

    pub(super) fn show_preview_of(&self, id: &str) {
        let page = self.imp();
        // A search may not have it; the picture is shown all the same.
        let contents = Contents::new(&page.known.borrow(), &Query::default(), self.today());
        let face = contents.find(&Key::Snapshot(id.to_owned())).and_then(|at| contents.face(at));
        if let Some(face) = face {
            page.preview.show(face, page.grid.thumbnails(), page.grid.picture_fit());
            page.stack.set_visible_child_name("preview");
        }
    }

    pub(super) fn show_cards(&self) {
        let page = self.imp();
        page.scrubber.set_at(None);
        if page.stack.visible_child_name().as_deref() == Some("preview") {
            page.stack.set_visible_child_name("cards");
            self.update();
        }
    }
}
