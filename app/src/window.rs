//! One window: the timeline, or one session's desktop.

use std::cell::{Cell, RefCell};

use adw::prelude::*;
use adw::subclass::prelude::*;
use async_channel::Sender;
use gtk::{gdk, gio, glib};

use crate::acts;
use crate::acts::activity::Activity;
use crate::agent;
use crate::live::{LivePage, Source};
use crate::runtime::runtime;
use crate::shortcuts::{Shortcut, say_keys};
use crate::timeline::TimelinePage;

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "window.ui")]
    pub struct Window {
        #[template_child]
        pub(super) header: TemplateChild<adw::HeaderBar>,
        #[template_child]
        pub(super) title: TemplateChild<adw::WindowTitle>,
        #[template_child]
        pub(super) back_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) toasts: TemplateChild<adw::ToastOverlay>,
        #[template_child]
        pub(super) stack: TemplateChild<gtk::Stack>,
        #[template_child]
        pub(super) timeline: TemplateChild<TimelinePage>,
        #[template_child]
        pub(super) activity: TemplateChild<Activity>,
        #[template_child]
        pub(super) menu_button: TemplateChild<gtk::MenuButton>,
        #[template_child]
        pub(super) start_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) snapshot_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) full_screen_button: TemplateChild<gtk::Button>,
        #[template_child]
        pub(super) search_button: TemplateChild<gtk::ToggleButton>,
        #[template_child]
        pub(super) live: TemplateChild<LivePage>,
        /// The session shown, none for the list.
        pub(super) session: RefCell<Option<String>>,
        /// What asks the agent, and its hurry.
        pub(super) watching: RefCell<Option<(glib::JoinHandle<()>, Sender<()>)>>,
        /// Whether the window took the size of its desktop; later sizes are the user's.
        pub(super) sized: Cell<bool>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Window {
        const NAME: &'static str = "FreezeframeWindow";
        type Type = super::Window;
        type ParentType = adw::ApplicationWindow;

        fn class_init(class: &mut Self::Class) {
            TimelinePage::ensure_type();
            Activity::ensure_type();
            LivePage::ensure_type();
            class.bind_template();
            class.install_action("win.show-sessions", None, |window, _, _| window.show_sessions());
            class.install_action("win.full-screen", None, |window, _, _| window.toggle_full_screen());
            class.install_action("win.leave-desktop", None, |window, _, _| window.leave_desktop());
            class.install_action("win.try-again", None, |window, _, _| window.hurry());
            class.install_action("win.go-back", None, |window, _, _| {
                window.timeline().go_back();
            });
            class.install_action("win.search", None, |window, _, _| {
                let bar = window.timeline().search_bar();
                bar.set_search_mode(!bar.is_search_mode());
            });
            class.install_action_async("win.snapshot", None, async |window, _, _| window.snapshot(false).await);
            class.install_action_async("win.snapshot-with-label-of-shown", None, async |window, _, _| {
                window.snapshot(true).await;
            });
            class.install_action_async("win.start-desktop", None, async |window, _, _| window.start_desktop().await);
            class.install_action_async("win.import", None, async |window, _, _| window.import().await);
            class.add_binding_action(gdk::Key::Escape, gdk::ModifierType::empty(), "win.go-back");
            for (name, act) in acts::ACTS {
                class.install_action(name, Some(glib::VariantTy::STRING), move |window, _, target| {
                    if let Some(target) = target.and_then(glib::Variant::str) {
                        act(window.clone(), target.to_owned());
                    }
                });
            }
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for Window {
        fn constructed(&self) {
            self.parent_constructed();
            self.obj().wire();
        }
    }
    impl WidgetImpl for Window {}
    impl WindowImpl for Window {
        fn close_request(&self) -> glib::Propagation {
            self.live.close();
            if let Some((task, _)) = self.watching.take() {
                task.abort();
            }
            self.parent_close_request()
        }
    }
    impl ApplicationWindowImpl for Window {}
    impl AdwApplicationWindowImpl for Window {}
}

glib::wrapper! {
    /// One window.
    pub struct Window(ObjectSubclass<imp::Window>)
        @extends adw::ApplicationWindow, gtk::ApplicationWindow, gtk::Window, gtk::Widget,
        @implements gio::ActionGroup, gio::ActionMap, gtk::Buildable, gtk::ConstraintTarget,
            gtk::Native, gtk::Root, gtk::ShortcutManager;
}

impl Window {
    /// A window that shows nothing yet.
    pub(crate) fn new(application: &impl IsA<gtk::Application>) -> Self {
        glib::Object::builder().property("application", application).build()
    }

    /// The session whose desktop it shows.
    pub(crate) fn session(&self) -> Option<String> {
        self.imp().session.borrow().clone()
    }

    pub(crate) fn timeline(&self) -> TimelinePage {
        self.imp().timeline.get()
    }

    pub(crate) fn activity(&self) -> Activity {
        self.imp().activity.get()
    }

    pub(crate) fn toasts(&self) -> adw::ToastOverlay {
        self.imp().toasts.get()
    }

    /// Shows a session's desktop.
    pub(crate) fn open_session(&self, name: &str) {
        self.show_desktop(Source::Session(name.to_owned()));
    }

    /// Shows the timeline.
    pub(crate) fn show_sessions(&self) {
        let window = self.imp();
        window.live.close();
        window.session.replace(None);
        self.unfullscreen();
        window.title.set_title("Freezeframe");
        self.set_title(Some("Freezeframe"));
        self.set_live(false);
        window.stack.set_visible_child_name("timeline");
        window.menu_button.set_primary(true);
        self.watch();
        window.timeline.take_keyboard();
    }

    /// Takes the keyboard to a snapshot's card, as soon as that is known.
    pub(crate) fn show_snapshot(&self, id: String) {
        self.set_focus_visible(true);
        self.imp().timeline.go_to(id);
    }

    /// Shows a desktop.
    pub(crate) fn show_desktop(&self, source: Source) {
        let window = self.imp();
        // A user who comes back from it is shown all cards, not the picture that the desktop was resumed from.
        window.timeline.go_back();
        let name = match &source {
            Source::Session(id) => id.clone(),
            Source::Socket(path) => path.display().to_string(),
        };
        window.session.replace(matches!(source, Source::Session(_)).then(|| name.clone()));
        // A desktop without an agent knows nothing of a timeline.
        if window.session.borrow().is_some() {
            self.watch();
        }
        window.title.set_title(&name);
        self.set_title(Some(&name));
        self.set_live(true);
        window.stack.set_visible_child_name("live");
        // A primary menu takes F10 before the desktop hears of it.
        window.menu_button.set_primary(false);
        window.live.open(source);
    }

    fn wire(&self) {
        let window = self.imp();
        window.timeline.connect_session_opened(glib::clone!(
            #[weak(rename_to = window)]
            self,
            move |_, session| window.open_session(session)
        ));
        window.timeline.connect_pair_chosen(glib::clone!(
            #[weak(rename_to = window)]
            self,
            move |_, first, second| {
                let (first, second) = (first.to_owned(), second.to_owned());
                glib::spawn_future_local(async move { window.compare(first, second).await });
            }
        ));
        // What is over the last cards does not hide them: the timeline can be scrolled further.
        window.activity.connect_visible_notify(glib::clone!(
            #[weak(rename_to = window)]
            self,
            move |activity| {
                let covered = if activity.is_visible() { activity.preferred_size().1.height() } else { 0 };
                window.timeline().set_margin_bottom(covered);
            }
        ));
        let search = window.timeline.search_bar();
        search.set_key_capture_widget(Some(self));
        search.bind_property("search-mode-enabled", &window.search_button.get(), "active").bidirectional().build();
        let drop = gtk::DropTarget::new(gdk::FileList::static_type(), gdk::DragAction::COPY);
        drop.connect_drop(glib::clone!(
            #[weak(rename_to = window)]
            self,
            #[upgrade_or]
            false,
            move |_, value, _, _| value.get::<gdk::FileList>().is_ok_and(|list| window.import_dropped(&list.files()))
        ));
        self.add_controller(drop);
        window.live.connect_resized(glib::clone!(
            #[weak(rename_to = window)]
            self,
            move |_, width, height| window.take_size(i32::from(width), i32::from(height))
        ));
        self.connect_fullscreened_notify(|window| {
            let full = window.is_fullscreen();
            // The bar of the live view says how to leave.
            window.imp().header.set_visible(!full);
        });
        say_keys(&*window.start_button, Shortcut::StartDesktop);
        say_keys(&*window.snapshot_button, Shortcut::Snapshot);
        say_keys(&*window.search_button, Shortcut::Search);
        say_keys(&*window.full_screen_button, Shortcut::FullScreen);
        self.set_live(false);
    }

    /// Asks the agent from now on, whatever is shown: the snapshot button has to know what runs.
    fn watch(&self) {
        let window = self.imp();
        if window.watching.borrow().is_some() {
            return;
        }
        let (tell, told) = async_channel::bounded(2);
        let (hurry, hurried) = async_channel::bounded(1);
        runtime().spawn(agent::watch(tell, hurried));
        let task = glib::spawn_future_local(glib::clone!(
            #[weak(rename_to = window)]
            self,
            async move {
                while let Ok(news) = told.recv().await {
                    window.timeline().take(news);
                }
            }
        ));
        window.watching.replace(Some((task, hurry)));
    }

    fn hurry(&self) {
        if let Some((_, hurry)) = self.imp().watching.borrow().as_ref() {
            // Full: it was asked already.
            let _ = hurry.try_send(());
        }
    }

    fn set_live(&self, live: bool) {
        self.imp().back_button.set_visible(live);
        self.action_set_enabled("win.full-screen", live);
        self.action_set_enabled("win.leave-desktop", live);
        self.action_set_enabled("win.show-sessions", live);
        self.action_set_enabled("win.search", !live);
        self.action_set_enabled("win.go-back", !live);
    }

    fn toggle_full_screen(&self) {
        self.set_fullscreened(!self.is_fullscreen());
    }

    /// The desktop takes nearly every key; with this act's the keyboard comes back to the window.
    fn leave_desktop(&self) {
        self.unfullscreen();
        self.imp().back_button.grab_focus();
    }

    /// The first time, the window becomes as large as its desktop, if the monitor has room.
    fn take_size(&self, width: i32, height: i32) {
        if self.imp().sized.replace(true) {
            return;
        }
        // A size given while the window is still being placed is lost: a few frames later it is not.
        let frames = Cell::new(3);
        self.add_tick_callback(move |window, _| {
            frames.set(frames.get() - 1);
            if frames.get() > 0 {
                return glib::ControlFlow::Continue;
            }
            if !window.is_maximized() && !window.is_fullscreen() {
                let (width, height) = window.size_for(width, height);
                window.set_default_size(width, height);
            }
            glib::ControlFlow::Break
        });
    }

    /// The window's size for a desktop of that size: as large, or smaller in the same shape.
    fn size_for(&self, width: i32, height: i32) -> (i32, i32) {
        // What is around the desktop is measured, not guessed: header bar, and a border where there is no compositor.
        let (now, inside) = (self.default_size(), self.imp().live.desktop_room());
        let around = (now.0 - inside.0, now.1 - inside.1);
        let monitor = self.surface().and_then(|surface| WidgetExt::display(self).monitor_at_surface(&surface));
        let room = monitor.map_or(gdk::Rectangle::new(0, 0, 1024, 700), |monitor| monitor.geometry());
        // Some of the monitor belongs to panels and to other windows.
        let most = (room.width() * 19 / 20 - around.0, room.height() * 9 / 10 - around.1);
        let scale = (f64::from(most.0) / f64::from(width)).min(f64::from(most.1) / f64::from(height));
        let part = |side: i32| (f64::from(side) * scale.min(1.0)) as i32;
        (part(width) + around.0, part(height) + around.1)
    }
}
