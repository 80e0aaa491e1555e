//! The page with the whole timeline: search, scrubber, cards, and a word where there are none.
//!
//! [`filling`] shows what is known and looked for, [`navigation`] goes to cards and pictures and back.

mod filling;
mod navigation;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use adw::prelude::*;
use adw::subclass::prelude::*;
use gtk::glib;
use jiff::civil::Date;

use super::contents::{Contents, Known};
use super::grid::Grid;
use super::preview::Preview;
use super::scrubber::Scrubber;
use crate::spinner::turn_while_seen;

/// How often pictures of running desktops are fetched.
const REFRESH: Duration = Duration::from_secs(10);

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "page.ui")]
    pub struct TimelinePage {
        #[template_child]
        pub(super) away: TemplateChild<gtk::Revealer>,
        #[template_child]
        pub(super) away_label: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) choosing: TemplateChild<gtk::Revealer>,
        #[template_child]
        pub(super) choosing_label: TemplateChild<gtk::Label>,
        #[template_child]
        pub(super) choosing_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) search_bar: TemplateChild<gtk::SearchBar>,
        #[template_child]
        pub(super) search_entry: TemplateChild<gtk::SearchEntry>,
        #[template_child]
        pub(super) scrubber: TemplateChild<Scrubber>,
        #[template_child]
        pub(super) stack: TemplateChild<gtk::Stack>,
        #[template_child]
        pub(super) scrolled: TemplateChild<gtk::ScrolledWindow>,
        #[template_child]
        pub(super) grid: TemplateChild<Grid>,
        #[template_child]
        pub(super) preview: TemplateChild<Preview>,
        #[template_child]
        pub(super) start_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) unreachable: TemplateChild<adw::StatusPage>,
        #[template_child]
        pub(super) loading_spinner: TemplateChild<gtk::Spinner>,
        #[template_child]
        pub(super) retry_button: TemplateChild<gtk::Button>,
        pub(super) known: RefCell<Known>,
        pub(super) contents: RefCell<Rc<Contents>>,
        /// Whether sessions, and snapshots, were told since the agent was reached.
        pub(super) told: Cell<(bool, bool)>,
        /// The snapshot to go to as soon as it is known.
        pub(super) wanted: RefCell<Option<String>>,
        /// The snapshot that another is to be chosen for.
        pub(super) comparing: RefCell<Option<String>>,
        /// The day that is called today.
        pub(super) today: Cell<Date>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for TimelinePage {
        const NAME: &'static str = "FreezeframeTimelinePage";
        type Type = super::TimelinePage;
        type ParentType = adw::Bin;

        fn class_init(class: &mut Self::Class) {
            Grid::ensure_type();
            Preview::ensure_type();
            Scrubber::ensure_type();
            class.bind_template();
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for TimelinePage {
        fn constructed(&self) {
            self.parent_constructed();
            turn_while_seen(&self.loading_spinner);
            self.obj().wire();
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| {
                let text = String::static_type();
                vec![
                    glib::subclass::Signal::builder("session-opened").param_types([text]).build(),
                    glib::subclass::Signal::builder("pair-chosen").param_types([text, text]).build(),
                ]
            })
        }
    }

    impl WidgetImpl for TimelinePage {}
    impl BinImpl for TimelinePage {}
}

glib::wrapper! {
    /// The timeline.
    pub struct TimelinePage(ObjectSubclass<imp::TimelinePage>) @extends adw::Bin, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl TimelinePage {
    /// What the agent said last.
    pub(crate) fn known(&self) -> Known {
        self.imp().known.borrow().clone()
    }

    pub(crate) fn today(&self) -> Date {
        self.imp().today.get()
    }

    /// Takes the keyboard to what is most likely wanted. Not as `grab_focus`: GTK calls that for Tab too, which then would
    /// never come to anything else of the page.
    pub(crate) fn take_keyboard(&self) -> bool {
        let page = self.imp();
        match page.stack.visible_child_name().as_deref() {
            Some("cards") => page.grid.grab_focus(),
            Some("preview") => page.preview.take_keyboard(),
            Some("empty") => page.start_button.grab_focus(),
            Some("unreachable") => page.retry_button.grab_focus(),
            _ => false,
        }
    }

    /// The bar that a window's button opens, and that takes what is typed anywhere.
    pub(crate) fn search_bar(&self) -> gtk::SearchBar {
        self.imp().search_bar.get()
    }

    /// Calls back when a session is to be opened.
    pub(crate) fn connect_session_opened(&self, call: impl Fn(&Self, &str) + 'static) {
        self.connect_closure(
            "session-opened",
            false,
            glib::closure_local!(move |page: &Self, session: String| call(page, &session)),
        );
    }

    /// Calls back when two snapshots were chosen to be compared.
    pub(crate) fn connect_pair_chosen(&self, call: impl Fn(&Self, &str, &str) + 'static) {
        self.connect_closure(
            "pair-chosen",
            false,
            glib::closure_local!(move |page: &Self, first: String, second: String| call(page, &first, &second)),
        );
    }

    fn wire(&self) {
        let page = self.imp();
        page.today.set(jiff::Zoned::now().date());
        page.grid.follow(&page.scrolled.vadjustment());
        page.scrolled.vadjustment().connect_changed(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_| page.seek_soon()
        ));
        page.search_bar.connect_entry(&page.search_entry.get());
        page.search_entry.connect_search_changed(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_| page.search()
        ));
        page.grid.connect_opened(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_, key| page.open(&key)
        ));
        page.scrubber.connect_scrubbed(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_, at| page.scrub(at)
        ));
        let back = glib::clone!(
            #[weak(rename_to = page)]
            self,
            move || {
                page.go_back();
            }
        );
        page.choosing_button.connect_clicked(glib::clone!(
            #[strong]
            back,
            move |_| back()
        ));
        page.preview.connect_back(back);
        glib::timeout_add_local(
            REFRESH,
            glib::clone!(
                #[weak(rename_to = page)]
                self,
                #[upgrade_or]
                glib::ControlFlow::Break,
                move || {
                    page.tick();
                    glib::ControlFlow::Continue
                }
            ),
        );
    }
}
