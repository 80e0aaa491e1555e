//! A session's desktop with a word over it when there is something to say: connecting, away, ended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use adw::prelude::*;
use adw::subclass::prelude::*;
use freezeframe_api::Error;
use gtk::glib;

use super::bar::LiveBar;
use super::clipboard::SharedClipboard;
use super::connection::{self, Input, Source, View};
use super::follow::Follow;
use super::screen::Screen;
use crate::i18n::gettext;
use crate::spinner::turn_while_seen;
use crate::timeline::words::sentence;

/// A save drops its viewers and takes them again at once; nobody needs to read about that.
const PATIENCE: Duration = Duration::from_millis(700);

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate, glib::Properties)]
    #[template(file = "page.ui")]
    #[properties(wrapper_type = super::LivePage)]
    pub struct LivePage {
        #[template_child]
        pub(in crate::live) toasts: TemplateChild<adw::ToastOverlay>,
        #[template_child]
        pub(in crate::live) overlay: TemplateChild<gtk::Overlay>,
        #[template_child]
        pub(in crate::live) bar: TemplateChild<LiveBar>,
        #[template_child]
        pub(in crate::live) stack: TemplateChild<gtk::Stack>,
        #[template_child]
        pub(in crate::live) connecting_spinner: TemplateChild<gtk::Spinner>,
        #[template_child]
        pub(in crate::live) connecting_label: TemplateChild<gtk::Label>,
        #[template_child]
        pub(in crate::live) screen: TemplateChild<Screen>,
        #[template_child]
        pub(in crate::live) notice: TemplateChild<gtk::Revealer>,
        #[template_child]
        pub(in crate::live) notice_spinner: TemplateChild<gtk::Spinner>,
        #[template_child]
        pub(in crate::live) notice_label: TemplateChild<gtk::Label>,
        #[template_child]
        pub(in crate::live) ended: TemplateChild<adw::StatusPage>,
        #[template_child]
        pub(in crate::live) back_button: TemplateChild<gtk::Button>,
        /// What follows the present connection; ended with it.
        pub(in crate::live) following: RefCell<Option<glib::JoinHandle<()>>>,
        /// Lets the notice that waits for [`PATIENCE`] know whether it is still true: each change counts one up.
        pub(in crate::live) turn: Cell<u64>,
        /// Where the desktop's input goes.
        pub(in crate::live) input: RefCell<Option<Input>>,
        pub(in crate::live) clipboard: RefCell<Option<Rc<SharedClipboard>>>,
        /// The screen's id and flags, while the display can be given another size.
        pub(in crate::live) resizable: Cell<Option<(u32, u32)>>,
        pub(in crate::live) follow: RefCell<Follow>,
        /// Waits until the view's size stands.
        pub(in crate::live) settling: RefCell<Option<glib::SourceId>>,
        /// Whether the desktop has the keyboard.
        pub(in crate::live) has_keyboard: Cell<bool>,
        /// Whether it has the system's shortcuts.
        pub(in crate::live) grabbed: Cell<bool>,
        /// Whether the desktop takes the window's size.
        #[property(get, set, explicit_notify)]
        pub(in crate::live) follow_window: Cell<bool>,
        /// Whether the desktop is given the system's shortcuts too, while it has the keyboard.
        #[property(get, set, explicit_notify)]
        pub(in crate::live) grab_shortcuts: Cell<bool>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for LivePage {
        const NAME: &'static str = "FreezeframeLivePage";
        type Type = super::LivePage;
        type ParentType = adw::Bin;

        fn class_init(class: &mut Self::Class) {
            Screen::ensure_type();
            LiveBar::ensure_type();
            class.bind_template();
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    #[glib::derived_properties]
    impl ObjectImpl for LivePage {
        fn constructed(&self) {
            self.parent_constructed();
            self.follow_window.set(true);
            turn_while_seen(&self.connecting_spinner);
            turn_while_seen(&self.notice_spinner);
            self.obj().wire();
        }

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
        fn root(&self) {
            self.parent_root();
            self.obj().join_window();
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
        page.connecting_label.set_label(&gettext("Connecting to the desktop…"));
        page.follow.replace(Follow::default());
        let connection = connection::connect(source);
        let too_long = glib::clone!(
            #[weak(rename_to = page)]
            self,
            move || page.say(&gettext("What was copied outside is too long for the desktop"))
        );
        let users = WidgetExt::display(self).clipboard();
        let clipboard = SharedClipboard::new(&users, connection.input.clone(), too_long);
        clipboard.set_focused(page.has_keyboard.get());
        page.clipboard.replace(Some(clipboard));
        page.input.replace(Some(connection.input.clone()));
        page.screen.set_input(Some(connection.input));
        page.screen.set_pictures(connection.pictures);
        self.offer_actions(true);
        let views = connection.views;
        let following = glib::clone!(
            #[weak(rename_to = page)]
            self,
            async move {
                while let Ok(view) = views.recv().await {
                    page.show(view);
                }
            }
        );
        // Keys and pointer first, then this, then the frame that shows it.
        let following = glib::MainContext::default().spawn_local_with_priority(glib::Priority::HIGH_IDLE, following);
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
        self.let_go();
    }

    /// Nothing is sent any more.
    fn let_go(&self) {
        let page = self.imp();
        self.offer_actions(false);
        page.input.take();
        page.clipboard.take();
        page.resizable.set(None);
        if let Some(settling) = page.settling.take() {
            settling.remove();
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

    pub(super) fn say(&self, text: &str) {
        self.imp().toasts.add_toast(adw::Toast::builder().title(text).timeout(4).build());
    }

    fn show(&self, view: View) {
        let page = self.imp();
        match view {
            // The picture says more.
            View::Connected => {
                page.resizable.set(None);
                if let Some(clipboard) = page.clipboard.borrow().as_ref() {
                    clipboard.reset();
                }
            }
            View::Screen(screen) => page.resizable.set(screen.resizable),
            View::Clipboard(said) => {
                if let Some(clipboard) = page.clipboard.borrow().as_ref() {
                    clipboard.hear(said);
                }
            }
            View::CutText(text) => {
                if let Some(clipboard) = page.clipboard.borrow().as_ref() {
                    clipboard.hear_latin1(&text);
                }
            }
            View::CutTextTooLong => self.say(&gettext("What was copied in the desktop is too long to be shared")),
            View::Picture => {
                let resized = page.screen.show_picture();
                self.set_live();
                if resized && let Some(size) = page.screen.picture_size() {
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
            self.settle();
        }
    }

    fn set_away(&self, error: &Error) {
        let page = self.imp();
        page.connecting_label.set_label(&in_a_sentence(&gettext("Connecting to the desktop…"), error));
        page.notice_label.set_label(&gettext("The desktop does not answer. Trying again…"));
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
        self.let_go();
        let shown = page.screen.picture_size().is_some();
        let title = if shown { gettext("This Desktop Has Ended") } else { gettext("This Desktop Cannot Be Shown") };
        page.ended.set_title(&title);
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
