//! The program as the desktop knows it: one instance, its windows, its command line.

use std::ffi::OsString;

use adw::prelude::*;
use adw::subclass::prelude::*;
use clap::Parser as _;
use gtk::{gdk, gio, glib};

use crate::Options;
use crate::live::Source;
use crate::window::Window;
use crate::{frames, preferences, shortcuts, single};

/// The name under which the desktop knows the program.
const ID: &str = "io.github.freezeframe.Freezeframe";

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Application;

    #[glib::object_subclass]
    impl ObjectSubclass for Application {
        const NAME: &'static str = "FreezeframeApplication";
        type Type = super::Application;
        type ParentType = adw::Application;
    }

    impl ObjectImpl for Application {}

    impl ApplicationImpl for Application {
        fn startup(&self) {
            self.parent_startup();
            gtk::Window::set_default_icon_name(ID);
            load_style();
            let application = self.obj();
            shortcuts::start(application.upcast_ref());
            let about =
                gio::ActionEntry::builder("about").activate(|app: &super::Application, _, _| app.about()).build();
            let preferences = gio::ActionEntry::builder("preferences")
                .activate(|app: &super::Application, _, _| preferences::present(app.active_window().as_ref()))
                .build();
            let shortcuts = gio::ActionEntry::builder("shortcuts")
                .activate(|app: &super::Application, _, _| shortcuts::present(app.active_window().as_ref()))
                .build();
            let quit = gio::ActionEntry::builder("quit")
                .activate(|app: &super::Application, _, _| app.windows().iter().for_each(GtkWindowExt::close))
                .build();
            application.add_action_entries([about, preferences, shortcuts, quit]);
        }

        fn activate(&self) {
            self.parent_activate();
            self.obj().open(None);
        }

        /// Runs in the first instance, for every call of the program; `main` has parsed the same words before.
        fn command_line(&self, line: &gio::ApplicationCommandLine) -> glib::ExitCode {
            let words: Vec<OsString> = line.arguments();
            match Options::try_parse_from(words) {
                Ok(Options { session: Some(session), .. }) => drop(self.obj().open(Some(Source::Session(session)))),
                Ok(Options { snapshot: Some(snapshot), .. }) => self.obj().open(None).show_snapshot(snapshot),
                Ok(Options { socket: Some(path), .. }) => drop(self.obj().open(Some(Source::Socket(path)))),
                Ok(_) => self.obj().activate(),
                Err(error) => {
                    tracing::warn!(%error, "a call with words that its own process accepted");
                    return glib::ExitCode::new(2);
                }
            }
            glib::ExitCode::SUCCESS
        }
    }

    impl GtkApplicationImpl for Application {}
    impl AdwApplicationImpl for Application {}
}

glib::wrapper! {
    /// The program.
    pub struct Application(ObjectSubclass<imp::Application>)
        @extends adw::Application, gtk::Application, gio::Application,
        @implements gio::ActionGroup, gio::ActionMap;
}

impl Application {
    /// `alone`: beside other instances rather than as one with them.
    pub(crate) fn new(alone: bool) -> Self {
        let mut flags = gio::ApplicationFlags::HANDLES_COMMAND_LINE;
        if alone {
            flags |= gio::ApplicationFlags::NON_UNIQUE;
        }
        glib::Object::builder().property("application-id", ID).property("flags", flags).build()
    }

    /// Opens a window on a desktop, or on the list; one that shows it already comes to the front instead.
    fn open(&self, source: Option<Source>) -> Window {
        let wanted = match &source {
            Some(Source::Session(id)) => Some(id.clone()),
            _ => None,
        };
        let open = self.windows().into_iter().filter_map(|window| window.downcast::<Window>().ok());
        let known =
            open.filter(|_| !matches!(source, Some(Source::Socket(_)))).find(|window| window.session() == wanted);
        let window = known.unwrap_or_else(|| {
            let window = Window::new(self);
            shortcuts::add_to(window.upcast_ref());
            frames::tell(&window);
            match source {
                Some(source) => window.show_desktop(source),
                None => window.show_sessions(),
            }
            window
        });
        window.present();
        window
    }

    fn about(&self) {
        single::present("about", || {
            let about = adw::AboutWindow::builder()
                .application_name("Freezeframe")
                .application_icon(ID)
                .developer_name("The Freezeframe developers")
                .version(env!("CARGO_PKG_VERSION"))
                .license_type(gtk::License::Gpl30)
                .comments("Desktops that can be saved whole, and resumed")
                .modal(true)
                .build();
            about.set_transient_for(self.active_window().as_ref());
            about.upcast()
        });
    }
}

fn load_style() {
    let Some(display) = gdk::Display::default() else { return };
    let provider = gtk::CssProvider::new();
    provider.load_from_data(include_str!("style.css"));
    gtk::style_context_add_provider_for_display(&display, &provider, gtk::STYLE_PROVIDER_PRIORITY_APPLICATION);
}
