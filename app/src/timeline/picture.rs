//! The picture on a card. Unlike `GtkPicture` it asks for no room of its own: when a picture comes, only its card is drawn
//! again, where the other would have the whole window laid out again in the middle of scrolling.

use std::cell::RefCell;

use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib, graphene};

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct CardPicture {
        pub(super) texture: RefCell<Option<gdk::Texture>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for CardPicture {
        const NAME: &'static str = "FreezeframeCardPicture";
        type Type = super::CardPicture;
        type ParentType = gtk::Widget;

        fn class_init(class: &mut Self::Class) {
            class.set_css_name("picture");
            class.set_accessible_role(gtk::AccessibleRole::Img);
        }
    }

    impl ObjectImpl for CardPicture {}

    impl WidgetImpl for CardPicture {
        fn snapshot(&self, snapshot: &gtk::Snapshot) {
            let texture = self.texture.borrow();
            let Some(texture) = texture.as_ref() else { return };
            let (width, height) = (self.obj().width(), self.obj().height());
            snapshot.append_texture(texture, &over((width, height), (texture.width(), texture.height())));
        }
    }
}

glib::wrapper! {
    /// A picture that fills all of its place; its parent cuts off what stands out.
    pub struct CardPicture(ObjectSubclass<imp::CardPicture>) @extends gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl CardPicture {
    /// Shows this one, or none.
    pub(crate) fn set_texture(&self, texture: Option<gdk::Texture>) {
        if *self.imp().texture.borrow() != texture {
            self.imp().texture.replace(texture);
            self.queue_draw();
        }
    }
}

/// Where a picture of that size lies so that it covers all of a place.
#[allow(clippy::cast_precision_loss, reason = "pixels")]
fn over((width, height): (i32, i32), (wide, tall): (i32, i32)) -> graphene::Rect {
    let (width, height, wide, tall) = (width as f32, height as f32, wide.max(1) as f32, tall.max(1) as f32);
    let scale = (width / wide).max(height / tall);
    // Not between pixels: it would be blurred.
    let at = |room: f32, length: f32| ((room - length) / 2.0).floor();
    graphene::Rect::new(at(width, wide * scale), at(height, tall * scale), wide * scale, tall * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_covers_its_place() {
        for (size, expected) in [
            ((320, 200), (0.0, 0.0, 160.0, 100.0)),
            ((100, 100), (0.0, -30.0, 160.0, 160.0)),
            ((640, 200), (-80.0, 0.0, 320.0, 100.0)),
        ] {
            let rect = over((160, 100), size);
            assert_eq!((rect.x(), rect.y(), rect.width(), rect.height()), expected, "{size:?}");
        }
    }
}
