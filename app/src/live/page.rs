//! A session's desktop with a word over it when there is something to say: connecting, away, ended.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use adw::prelude::*;
use adw::subclass::prelude::*;
use freezeframe_api::Error;
use gtk::glib;

use super::connection::{self, Source, View};
use super::screen::Screen;
use crate::sessions::sentence;

/// A save drops its viewers and takes them again at once; nobody needs to read about that.
const PATIENCE: Duration = Duration::from_millis(700);

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "page.ui")]
    pub struct LivePage {
        #[template_child]
        pub(super) stack: TemplateChild<gtk::Stack>,
        #[template_child]
        pub(super) connecting_label: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) screen: TemplateChild<Screen>,
        #[template_child]
        pub(super) notice: TemplateChild<gtk::Revealer>,
        #[template_child]
        pub(super) notice_label: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) ended: TemplateChild<adw::StatusPage>,
        #[template_child]
        pub(super) back_button: TemplateChild<gtk::Button>,
        /// What follows the present connection; ended with it.
        pub(super) following: RefCell<Option<glib::JoinHandle<()>>>,
        /// Tells the notice that waits for [`PATIENCE`] whether it is still true: each change counts one up.
        pub(super) turn: Cell<u64>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for LivePage {
        const NAME: &'static str = "FreezeframeLivePage";
        type Type = super::LivePage;
        type ParentType = adw::Bin;

        fn class_init(class: &mut Self::Class) {
            Screen::ensure_type();
            class.bind_template();
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for LivePage {
        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| {
                vec![
                    glib::subclass::Signal::builder("resized")
                        .param_types([u32::static_type(), u32::static_type()])
                        .build(),
                ]
            })
        }

        fn dispose(&self) {
            self.obj().close();
        }
    }

    impl WidgetImpl for LivePage {
        fn grab_focus(&self) -> bool {
            match self.stack.visible_child_name().as_deref() {
                Some("screen") => self.screen.grab_focus(),
                Some("ended") => self.back_button.grab_focus(),
                _ => false,
            }
        }
    }
    impl BinImpl for LivePage {}
}

glib::wrapper! {
    /// The page of one live desktop.
    pub struct LivePage(ObjectSubclass<imp::LivePage>) @extends adw::Bin, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl LivePage {
    /// Shows this display from now on.
    pub(crate) fn open(&self, source: Source) {
        self.close();
        let page = self.imp();
        page.stack.set_visible_child_name("connecting");
        page.screen.clear();
        page.connecting_label.set_label("Connecting to the desktop…");
        let connection = connection::connect(source);
        page.screen.set_input(Some(connection.input));
        let following = glib::spawn_future_local(glib::clone!(
            #[weak(rename_to = page)]
            self,
            async move {
                while let Ok(view) = connection.views.recv().await {
                    page.show(view);
                }
            }
        ));
        page.following.replace(Some(following));
    }

    /// Lets go of the display.
    pub(crate) fn close(&self) {
        let page = self.imp();
        page.turn.set(page.turn.get() + 1);
        // With the future its end of the channel goes, and with that the connection.
        if let Some(following) = page.following.take() {
            following.abort();
        }
        if let Some(screen) = page.screen.try_get() {
            screen.set_input(None);
        }
    }

    /// Calls back when the desktop has another size than before, in pixels.
    pub(crate) fn connect_resized(&self, call: impl Fn(&Self, u16, u16) + 'static) {
        self.connect_closure(
            "resized",
            false,
            glib::closure_local!(move |page: &Self, width: u32, height: u32| {
                // It was emitted with two u16.
                call(page, width as u16, height as u16);
            }),
        );
    }

    /// The room that the desktop has, in the window's pixels.
    pub(crate) fn desktop_room(&self) -> (i32, i32) {
        (self.imp().screen.width(), self.imp().screen.height())
    }

    fn show(&self, view: View) {
        let page = self.imp();
        match view {
            // The picture says more.
            View::Connected => {}
            View::Picture(picture) => {
                let size = (picture.width(), picture.height());
                let resized = page.screen.picture_size() != Some(size);
                page.screen.show_picture(picture);
                self.set_live();
                if resized {
                    self.emit_by_name::<()>("resized", &[&u32::from(size.0), &u32::from(size.1)]);
                }
            }
            View::Cursor(cursor) => page.screen.show_cursor(cursor),
            View::Bell => self.error_bell(),
            View::Away(error) => self.set_away(&error),
            View::Ended(error) => self.set_ended(&error),
        }
    }

    fn set_live(&self) {
        let page = self.imp();
        page.turn.set(page.turn.get() + 1);
        page.screen.set_dimmed(false);
        page.notice.set_reveal_child(false);
        if page.stack.visible_child_name().as_deref() != Some("screen") {
            page.stack.set_visible_child_name("screen");
            page.screen.grab_focus();
        }
    }

    fn set_away(&self, error: &Error) {
        let page = self.imp();
        page.connecting_label.set_label(&in_a_sentence("Connecting to the desktop…", error));
        page.notice_label.set_label("The desktop does not answer. Trying again…");
        page.notice.set_tooltip_text(Some(&error.message));
        let turn = page.turn.get();
        glib::timeout_add_local_once(
            PATIENCE,
            glib::clone!(
                #[weak(rename_to = page)]
                self,
                move || {
                    let page = page.imp();
                    if page.turn.get() == turn {
                        page.screen.set_dimmed(true);
                        page.notice.set_reveal_child(true);
                    }
                }
            ),
        );
    }

    fn set_ended(&self, error: &Error) {
        let page = self.imp();
        page.turn.set(page.turn.get() + 1);
        page.screen.set_input(None);
        let shown = page.screen.picture_size().is_some();
        page.ended.set_title(if shown { "This Desktop Has Ended" } else { "This Desktop Cannot Be Shown" });
        page.ended.set_description(Some(&glib::markup_escape_text(&in_a_sentence("", error))));
        page.stack.set_visible_child_name("ended");
        page.back_button.grab_focus();
    }
}

/// What is being done, why it does not work yet, and what the user can do.
fn in_a_sentence(what: &str, error: &Error) -> String {
    [what, &sentence(&error.message), &error.hint]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}
