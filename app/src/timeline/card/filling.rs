//! What a card shows: its words, its marks, and its picture as soon as that is here.

use gtk::glib;
use gtk::prelude::*;
use gtk::subclass::prelude::*;

use super::{Card, on_card};
use crate::i18n::{gettext, gettext_f};
use crate::named::named;
use crate::timeline::contents::{Face, Key};
use crate::timeline::thumbnails::{Picture, Thumbnails};

impl Card {
    /// Shows this, in a card so wide.
    pub(crate) fn show(&self, face: Face, thumbnails: &Thumbnails, width: i32) {
        let card = self.imp();
        let same = card.face.borrow().as_ref() == Some(&face) && card.wide.get() == width;
        if same {
            return;
        }
        let picture =
            card.face.borrow().as_ref().is_none_or(|old| old.key != face.key || old.pictured != face.pictured);
        card.title.set_label(&face.title);
        card.when.set_label(&face.when);
        card.windows.set_label(&face.windows);
        card.cost.set_label(&face.cost);
        card.live.set_visible(face.live);
        card.live.set_label(&gettext("Live"));
        card.from.set_visible(face.from.is_some() && !face.live);
        if let Some((_, when)) = &face.from {
            let from = gettext_f("From {when}", &[("when", when)]);
            card.from.set_label(&from);
        }
        if card.face.borrow().as_ref().map_or(&[][..], |old| &old.marks) != face.marks {
            self.show_marks(&face.marks);
        }
        card.spoken.set_label(&face.spoken());
        // An open menu stays: a user about to choose from it would click into nothing. Each opening fills it again.
        if !card.menu_is_open() && card.menu_button.popover().is_some() {
            card.menu_button.set_menu_model(gtk::gio::MenuModel::NONE);
        }
        card.face.replace(Some(face));
        // Before the picture is asked for, in this width.
        let resized = card.wide.replace(width) != width;
        if picture || resized {
            self.bring_picture(thumbnails, picture);
        }
    }

    fn show_marks(&self, marks: &[(&'static str, String)]) {
        let card = self.imp();
        while let Some(mark) = card.marks.first_child() {
            card.marks.remove(&mark);
        }
        for (icon, word) in marks {
            let image: gtk::Image = named(word);
            image.set_icon_name(Some(icon));
            image.set_tooltip_text(Some(word));
            card.marks.append(&image);
        }
        card.marks.set_visible(!marks.is_empty());
    }

    /// The whole of words that may be cut short. Told when it is asked for: for each tooltip that is set, GTK asks the X server
    /// where the pointer is, and waits for the answer.
    pub(super) fn tell_words(&self) {
        let card = self.imp();
        card.text.set_has_tooltip(true);
        card.text.connect_query_tooltip(glib::clone!(
            #[weak(rename_to = card)]
            self,
            #[upgrade_or]
            false,
            move |_, _, _, _, tooltip| {
                let face = card.imp().face.borrow();
                let words = face.as_ref().map(|face| [face.title.as_str(), &face.windows].join("\n"));
                tooltip.set_text(words.as_deref());
                words.is_some()
            }
        ));
    }

    /// Shows nothing, until it shows something else.
    pub(crate) fn rest(&self) {
        let card = self.imp();
        if let Some(bringing) = card.bringing.take() {
            bringing.abort();
        }
        self.set_visible(false);
        if card.face.take().is_some_and(|face| !face.marks.is_empty()) {
            self.show_marks(&[]);
        }
    }

    /// Brings the picture again: a session's is soon an old one.
    pub(crate) fn refresh(&self, thumbnails: &Thumbnails) {
        if matches!(self.key(), Some(Key::Session(_))) {
            self.bring_picture(thumbnails, false);
        }
    }

    fn bring_picture(&self, thumbnails: &Thumbnails, other: bool) {
        let card = self.imp();
        if let Some(bringing) = card.bringing.take() {
            bringing.abort();
        }
        let Some((key, pictured)) = card.face.borrow().as_ref().map(|face| (face.key.clone(), face.pictured)) else {
            return;
        };
        let fit = on_card(card.wide.get(), self.scale_factor());
        let cached = thumbnails.cached(&key, fit);
        if other || cached.is_some() {
            self.set_picture(cached.as_ref());
        }
        if cached.is_some() || !pictured {
            return;
        }
        let thumbnails = thumbnails.clone();
        let bringing = glib::spawn_future_local(glib::clone!(
            #[weak(rename_to = card)]
            self,
            async move {
                match thumbnails.bring(&key, fit).await {
                    Ok(picture) => card.set_picture(Some(&picture)),
                    Err(error) => tracing::debug!(?key, %error, "no picture"),
                }
            }
        ));
        card.bringing.replace(Some(bringing));
    }

    fn set_picture(&self, picture: Option<&Picture>) {
        let card = self.imp();
        card.picture.set_texture(picture.map(|picture| picture.texture.clone()));
        // Not `set_visible`: the style of all that is on the picture would be computed again.
        card.placeholder.set_child_visible(picture.is_none());
    }
}
