//! One window: the list of sessions, or one session's desktop.

use std::cell::{Cell, RefCell};

use adw::prelude::*;
use adw::subclass::prelude::*;
use gtk::{gdk, gio, glib};

use crate::live::{LivePage, Source};
use crate::sessions::SessionsPage;

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
        pub(super) sessions: TemplateChild<SessionsPage>,
        #[template_child]
        pub(super) live: TemplateChild<LivePage>,
        /// The session shown, none for the list.
        pub(super) session: RefCell<Option<String>>,
        /// Whether the window took the size of its desktop; later sizes are the user's.
        pub(super) sized: Cell<bool>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Window {
        const NAME: &'static str = "FreezeframeWindow";
        type Type = super::Window;
        type ParentType = adw::ApplicationWindow;

        fn class_init(class: &mut Self::Class) {
            SessionsPage::ensure_type();
            LivePage::ensure_type();
            class.bind_template();
            class.install_action("win.show-sessions", None, |window, _, _| window.show_sessions());
            class.install_action("win.full-screen", None, |window, _, _| window.toggle_full_screen());
            class.install_action("win.leave-desktop", None, |window, _, _| window.leave_desktop());
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

    /// Shows the list of sessions.
    pub(crate) fn show_sessions(&self) {
        let window = self.imp();
        window.live.close();
        window.session.replace(None);
        self.unfullscreen();
        window.title.set_title("Freezeframe");
        self.set_title(Some("Freezeframe"));
        self.set_live(false);
        window.stack.set_visible_child_name("sessions");
        window.sessions.start();
        window.sessions.grab_focus();
    }

    /// Shows a desktop.
    pub(crate) fn show_desktop(&self, source: Source) {
        let window = self.imp();
        let name = match &source {
            Source::Session(id) => id.clone(),
            Source::Socket(path) => path.display().to_string(),
        };
        window.session.replace(matches!(source, Source::Session(_)).then(|| name.clone()));
        window.sessions.stop();
        window.title.set_title(&name);
        self.set_title(Some(&name));
        self.set_live(true);
        window.stack.set_visible_child_name("live");
        window.live.open(source);
    }

    fn wire(&self) {
        let window = self.imp();
        window.sessions.connect_opened(glib::clone!(
            #[weak(rename_to = window)]
            self,
            move |_, session| window.show_desktop(Source::Session(session.to_owned()))
        ));
        window.live.connect_resized(glib::clone!(
            #[weak(rename_to = window)]
            self,
            move |_, width, height| window.take_size(i32::from(width), i32::from(height))
        ));
        self.connect_fullscreened_notify(|window| {
            let full = window.is_fullscreen();
            window.imp().header.set_visible(!full);
            if full {
                let toast = adw::Toast::builder().title("Press F11 to leave full screen").timeout(3).build();
                window.imp().toasts.add_toast(toast);
            }
        });
        self.set_live(false);
    }

    fn set_live(&self, live: bool) {
        self.imp().back_button.set_visible(live);
        self.action_set_enabled("win.full-screen", live);
        self.action_set_enabled("win.leave-desktop", live);
        self.action_set_enabled("win.show-sessions", live);
    }

    fn toggle_full_screen(&self) {
        self.set_fullscreened(!self.is_fullscreen());
    }

    /// The desktop takes every key but two; with this one the keyboard comes back to the window.
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
