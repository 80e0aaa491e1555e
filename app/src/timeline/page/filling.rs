//! How the page is filled: with what the agent told, and of that with what is looked for.

use std::rc::Rc;

use adw::prelude::*;
use adw::subclass::prelude::*;
use freezeframe_api::Error;
use gtk::glib;

use super::TimelinePage;
use crate::agent::News;
use crate::i18n::gettext;
use crate::timeline::contents::Contents;
use crate::timeline::search::Query;
use crate::timeline::words::sentence;

impl TimelinePage {
    /// Takes what the agent said.
    pub(crate) fn take(&self, news: News) {
        let page = self.imp();
        let (sessions, snapshots) = page.told.get();
        match news {
            News::Sessions(rows) => {
                page.known.borrow_mut().sessions = rows;
                page.told.set((true, snapshots));
            }
            News::Timeline(rows) => {
                page.known.borrow_mut().set_snapshots(rows);
                page.told.set((sessions, true));
                self.show_strip();
            }
            News::Unreachable(error) => return self.show_unreachable(&error),
        }
        page.away.set_reveal_child(false);
        if page.told.get() == (true, true) {
            self.update();
        }
    }

    /// Time goes on: pictures get old, and today becomes yesterday.
    pub(super) fn tick(&self) {
        let page = self.imp();
        let today = jiff::Zoned::now().date();
        if page.today.replace(today) != today {
            self.show_strip();
            self.update();
        }
        if page.grid.is_mapped() {
            page.grid.refresh();
        }
    }

    pub(super) fn search(&self) {
        if !self.imp().search_entry.text().is_empty() {
            self.imp().wanted.take();
        }
        // What is looked for is among the cards.
        self.show_cards();
        self.update();
        self.imp().scrolled.vadjustment().set_value(0.0);
    }

    fn show_strip(&self) {
        let page = self.imp();
        let snapshots = Rc::clone(&page.known.borrow().snapshots);
        page.scrubber.set_visible(snapshots.len() > 1);
        page.scrubber.show(&snapshots, self.today());
        let shown = page.preview.id().filter(|_| page.stack.visible_child_name().as_deref() == Some("preview"));
        if let Some(id) = shown {
            page.scrubber.set_at(snapshots.iter().rev().position(|snapshot| snapshot.id() == id));
        }
    }

    /// Shows what is known and looked for.
    pub(super) fn update(&self) {
        let page = self.imp();
        let query = Query::new(&page.search_entry.text());
        let contents = Rc::new(Contents::new(&page.known.borrow(), &query, self.today()));
        let none = {
            let known = page.known.borrow();
            known.sessions.is_empty() && known.snapshots.is_empty()
        };
        let shown = page.stack.visible_child_name();
        let name = match shown.as_deref() {
            _ if none => "empty",
            Some("preview") if self.preview_stays() => "preview",
            _ if contents.len() == 0 && !query.is_empty() => "nothing",
            _ => "cards",
        };
        page.grid.show(Rc::clone(&contents));
        page.contents.replace(contents);
        if shown.as_deref() != Some(name) {
            let searching = page.search_bar.is_search_mode();
            page.stack.set_visible_child_name(name);
            if !searching {
                self.take_keyboard();
            }
        }
        self.seek_soon();
    }

    /// Shows the picture on its card again; false when the card is gone.
    fn preview_stays(&self) -> bool {
        let page = self.imp();
        let there = page.preview.id().filter(|id| page.known.borrow().snapshot(id).is_some());
        if let Some(id) = &there {
            self.show_preview_of(id);
        }
        there.is_some()
    }

    fn show_unreachable(&self, error: &Error) {
        let page = self.imp();
        page.told.set((false, false));
        let shown = page.stack.visible_child_name();
        if !matches!(shown.as_deref(), Some("loading" | "unreachable")) {
            page.away_label.set_tooltip_text(Some(&sentence(&error.message)));
            page.away.set_reveal_child(true);
            return;
        }
        let hint = if error.hint.is_empty() {
            gettext(
                "Start it with <tt>session-agent</tt> in a terminal; <tt>sessionctl doctor</tt> says what this machine lacks.",
            )
        } else {
            glib::markup_escape_text(&error.hint).to_string()
        };
        let message = glib::markup_escape_text(&sentence(&error.message)).to_string();
        page.unreachable.set_description(Some(&format!("{hint}\n\n<small>{message}</small>")));
        if shown.as_deref() != Some("unreachable") {
            page.stack.set_visible_child_name("unreachable");
            page.retry_button.grab_focus();
        }
    }
}
