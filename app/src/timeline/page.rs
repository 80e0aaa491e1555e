//! The page with the whole timeline: search, scrubber, cards, and a word where there are none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use adw::prelude::*;
use adw::subclass::prelude::*;
use freezeframe_api::Error;
use gtk::glib;
use jiff::civil::Date;

use super::contents::{Contents, Key, Known};
use super::grid::Grid;
use super::preview::Preview;
use super::scrubber::Scrubber;
use super::search::Query;
use super::words::sentence;
use crate::agent::News;
use crate::i18n::{gettext, gettext_f};
use crate::spinner::turn_while_seen;

/// How often pictures of running desktops are brought anew.
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

    /// Goes to a snapshot's card, as soon as that is known.
    pub(crate) fn go_to(&self, id: String) {
        let page = self.imp();
        page.search_bar.set_search_mode(false);
        page.wanted.replace(Some(id));
        self.show_cards();
        self.seek_soon();
    }

    /// Once what was shown last has its places: before that a card far below cannot be scrolled to.
    fn seek_soon(&self) {
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

    /// Time goes on: pictures get old, and today becomes yesterday.
    fn tick(&self) {
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

    fn open(&self, key: &Key) {
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

    fn search(&self) {
        if !self.imp().search_entry.text().is_empty() {
            self.imp().wanted.take();
        }
        // What is looked for is among the cards.
        self.show_cards();
        self.update();
        self.imp().scrolled.vadjustment().set_value(0.0);
    }

    fn scrub(&self, oldest_first: usize) {
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

    fn show_preview_of(&self, id: &str) {
        let page = self.imp();
        // A search may not have it; the picture is shown all the same.
        let contents = Contents::new(&page.known.borrow(), &Query::default(), self.today());
        let face = contents.find(&Key::Snapshot(id.to_owned())).and_then(|at| contents.face(at));
        if let Some(face) = face {
            page.preview.show(face, page.grid.thumbnails(), page.grid.card_width() * self.scale_factor());
            page.stack.set_visible_child_name("preview");
        }
    }

    fn show_cards(&self) {
        let page = self.imp();
        page.scrubber.set_at(None);
        if page.stack.visible_child_name().as_deref() == Some("preview") {
            page.stack.set_visible_child_name("cards");
            self.update();
        }
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
    fn update(&self) {
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

    /// Shows the picture's card anew; false when it is gone.
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
