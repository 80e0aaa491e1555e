//! One snapshot's picture as large as the window, and what can be done with it.

use std::cell::RefCell;

use adw::prelude::*;
use adw::subclass::prelude::*;
use gtk::glib;

use super::contents::{Face, Key};
use super::decode::Fit;
use super::menu;
use super::thumbnails::Thumbnails;

/// As wide as a picture is shown at most.
const WHOLE: Fit = Fit::Within(3840);

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "preview.ui")]
    pub struct Preview {
        #[template_child]
        pub(super) picture: TemplateChild<gtk::Picture>,
        #[template_child]
        pub(super) title: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) details: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) menu_button: TemplateChild<gtk::MenuButton>,
        #[template_child]
        pub(super) back_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) resume_button: TemplateChild<gtk::Button>,
        pub(super) bringing: RefCell<Option<glib::JoinHandle<()>>>,
        pub(super) face: RefCell<Option<Face>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Preview {
        const NAME: &'static str = "FreezeframePreview";
        type Type = super::Preview;
        type ParentType = adw::Bin;

        fn class_init(class: &mut Self::Class) {
            class.bind_template();
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for Preview {}
    impl WidgetImpl for Preview {}
    impl BinImpl for Preview {}
}

glib::wrapper! {
    /// One snapshot in full.
    pub struct Preview(ObjectSubclass<imp::Preview>) @extends adw::Bin, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Preview {
    /// Calls back when the timeline is wanted again.
    pub(crate) fn connect_back(&self, call: impl Fn() + 'static) {
        self.imp().back_button.connect_clicked(move |_| call());
    }

    /// Takes the keyboard to what is most likely wanted: resuming.
    pub(crate) fn take_keyboard(&self) -> bool {
        self.imp().resume_button.grab_focus()
    }

    /// The snapshot that is shown.
    pub(crate) fn id(&self) -> Option<String> {
        match self.imp().face.borrow().as_ref().map(|face| &face.key) {
            Some(Key::Snapshot(id)) => Some(id.clone()),
            _ => None,
        }
    }

    /// Shows this one: the card's picture at once, the whole one as soon as it is here.
    pub(crate) fn show(&self, face: Face, thumbnails: &Thumbnails, on_card: Fit) {
        let preview = self.imp();
        if preview.face.borrow().as_ref() == Some(&face) {
            return;
        }
        let other = preview.face.borrow().as_ref().is_none_or(|old| old.key != face.key);
        let Key::Snapshot(id) = &face.key else { return };
        preview.title.set_label(&face.title);
        let details = [face.when.as_str(), &face.windows, &face.cost];
        let details: Vec<&str> = details.into_iter().filter(|part| !part.is_empty()).collect();
        preview.details.set_label(&details.join(" · "));
        preview.resume_button.set_action_target_value(Some(&id.to_variant()));
        preview.resume_button.set_action_name(Some("win.resume"));
        preview.menu_button.set_menu_model(Some(&menu::of(&face)));
        preview.picture.set_alternative_text(Some(&face.spoken()));
        if other {
            self.bring(&face.key, thumbnails, on_card);
        }
        preview.face.replace(Some(face));
    }

    fn bring(&self, key: &Key, thumbnails: &Thumbnails, on_card: Fit) {
        let preview = self.imp();
        if let Some(bringing) = preview.bringing.take() {
            bringing.abort();
        }
        if let Some(whole) = thumbnails.cached(key, WHOLE) {
            preview.picture.set_paintable(Some(&whole.texture));
            return;
        }
        // What was shown before is of another time: rather nothing than that, or than a part.
        let small = thumbnails.cached(key, on_card).filter(|small| !small.cut);
        preview.picture.set_paintable(small.map(|small| small.texture).as_ref());
        let (key, thumbnails) = (key.clone(), thumbnails.clone());
        let bringing = glib::spawn_future_local(glib::clone!(
            #[weak(rename_to = preview)]
            self,
            async move {
                match thumbnails.bring(&key, WHOLE).await {
                    Ok(whole) => preview.imp().picture.set_paintable(Some(&whole.texture)),
                    Err(error) => tracing::debug!(?key, %error, "no picture"),
                }
            }
        ));
        preview.bringing.replace(Some(bringing));
    }
}
