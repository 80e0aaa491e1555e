//! The list of sessions, as the agent tells it.

use std::cell::RefCell;

use adw::prelude::*;
use adw::subclass::prelude::*;
use async_channel::Sender;
use freezeframe_api::Error;
use freezeframe_api::records::SessionRow;
use gtk::glib;

use crate::agent::{self, Sessions};
use crate::runtime::runtime;

mod imp {
    use super::*;

    #[derive(Default, gtk::CompositeTemplate)]
    #[template(file = "page.ui")]
    pub struct SessionsPage {
        #[template_child]
        pub(super) stack: TemplateChild<gtk::Stack>,
        #[template_child]
        pub(super) list: TemplateChild<gtk::ListBox>,
        #[template_child]
        pub(super) unreachable: TemplateChild<adw::StatusPage>,
        #[template_child]
        pub(super) retry_button: TemplateChild<gtk::Button>,
        pub(super) watching: RefCell<Option<Watching>>,
        /// What the list shows, row for row.
        pub(super) shown: RefCell<Vec<SessionRow>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for SessionsPage {
        const NAME: &'static str = "FreezeframeSessionsPage";
        type Type = super::SessionsPage;
        type ParentType = adw::Bin;

        fn class_init(class: &mut Self::Class) {
            class.bind_template();
        }

        fn instance_init(object: &glib::subclass::InitializingObject<Self>) {
            object.init_template();
        }
    }

    impl ObjectImpl for SessionsPage {
        fn constructed(&self) {
            self.parent_constructed();
            self.obj().wire();
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| {
                vec![glib::subclass::Signal::builder("opened").param_types([String::static_type()]).build()]
            })
        }

        fn dispose(&self) {
            self.obj().stop();
        }
    }

    impl WidgetImpl for SessionsPage {
        fn grab_focus(&self) -> bool {
            match self.stack.visible_child_name().as_deref() {
                Some("list") => self.list.child_focus(gtk::DirectionType::TabForward),
                Some("unreachable") => self.retry_button.grab_focus(),
                _ => false,
            }
        }
    }
    impl BinImpl for SessionsPage {}
}

glib::wrapper! {
    /// The list of sessions.
    pub struct SessionsPage(ObjectSubclass<imp::SessionsPage>) @extends adw::Bin, gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

/// What keeps the list true while it is seen.
#[derive(Debug)]
struct Watching {
    task: glib::JoinHandle<()>,
    hurry: Sender<()>,
}

impl SessionsPage {
    /// Asks the agent, and shows what it says until [`Self::stop`].
    pub(crate) fn start(&self) {
        self.stop();
        let page = self.imp();
        page.stack.set_visible_child_name("loading");
        let (tell, told) = async_channel::bounded(1);
        let (hurry, hurried) = async_channel::bounded(1);
        runtime().spawn(agent::watch_sessions(tell, hurried));
        let task = glib::spawn_future_local(glib::clone!(
            #[weak(rename_to = page)]
            self,
            async move {
                while let Ok(sessions) = told.recv().await {
                    match sessions {
                        Sessions::List(rows) => page.show_list(rows),
                        Sessions::Unreachable(error) => page.show_unreachable(&error),
                    }
                }
            }
        ));
        page.watching.replace(Some(Watching { task, hurry }));
    }

    /// Asks no more.
    pub(crate) fn stop(&self) {
        if let Some(watching) = self.imp().watching.take() {
            watching.task.abort();
        }
    }

    /// Calls back when a session is to be opened.
    pub(crate) fn connect_opened(&self, call: impl Fn(&Self, &str) + 'static) {
        self.connect_closure(
            "opened",
            false,
            glib::closure_local!(move |page: &Self, session: String| call(page, &session)),
        );
    }

    fn wire(&self) {
        let page = self.imp();
        page.list.connect_row_activated(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_, row| {
                let session = usize::try_from(row.index())
                    .ok()
                    .and_then(|index| page.imp().shown.borrow().get(index).map(|row| row.session.clone()));
                if let Some(session) = session {
                    page.emit_by_name::<()>("opened", &[&session]);
                }
            }
        ));
        page.retry_button.connect_clicked(glib::clone!(
            #[weak(rename_to = page)]
            self,
            move |_| {
                if let Some(watching) = page.imp().watching.borrow().as_ref() {
                    // Full: it was asked already.
                    let _ = watching.hurry.try_send(());
                }
            }
        ));
    }

    fn show_list(&self, rows: Vec<SessionRow>) {
        let page = self.imp();
        let name = if rows.is_empty() { "empty" } else { "list" };
        let arrived = page.stack.visible_child_name().as_deref() != Some(name);
        page.stack.set_visible_child_name(name);
        if *page.shown.borrow() != rows {
            // Replaced only when something changed, so that the keyboard's place is not lost at every word of the agent.
            let focused = page.list.focus_child().and_downcast::<gtk::ListBoxRow>().map(|row| row.index());
            while let Some(row) = page.list.first_child() {
                page.list.remove(&row);
            }
            for row in &rows {
                page.list.append(&list_row(row));
            }
            page.shown.replace(rows);
            if let Some(row) = focused.and_then(|index| page.list.row_at_index(index)) {
                row.grab_focus();
            }
        }
        if arrived {
            self.grab_focus();
        }
    }

    fn show_unreachable(&self, error: &Error) {
        let page = self.imp();
        let hint = if error.hint.is_empty() {
            "Start it with <tt>session-agent</tt> in a terminal; <tt>sessionctl doctor</tt> says what this machine lacks."
                .to_owned()
        } else {
            glib::markup_escape_text(&error.hint).to_string()
        };
        let message = glib::markup_escape_text(&sentence(&error.message)).to_string();
        page.unreachable.set_description(Some(&format!("{hint}\n\n<small>{message}</small>")));
        if page.stack.visible_child_name().as_deref() != Some("unreachable") {
            page.stack.set_visible_child_name("unreachable");
            page.retry_button.grab_focus();
        }
    }
}

/// A message of the agent, which begins small and has no full stop, as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).chain(['.']).collect())
}

fn list_row(session: &SessionRow) -> adw::ActionRow {
    let row = adw::ActionRow::builder()
        .title(glib::markup_escape_text(&session.session))
        .subtitle(glib::markup_escape_text(&subtitle(session)))
        .activatable(true)
        .build();
    row.add_prefix(&gtk::Image::from_icon_name("video-display-symbolic"));
    row.add_suffix(&gtk::Image::from_icon_name("go-next-symbolic"));
    row
}

/// State, base and size, where they say anything.
fn subtitle(session: &SessionRow) -> String {
    let state = match session.state.as_str() {
        "running" => "Running",
        "starting" => "Starting",
        "saving" => "Being saved",
        "stopping" => "Stopping",
        "crashed" => "Crashed",
        other => other,
    };
    let size = session.size.replace('x', " × ");
    [state, session.base.as_str(), &size].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_leave_out_what_is_not_known() {
        let mut row = SessionRow { state: "running".into(), ..SessionRow::default() };
        assert_eq!(subtitle(&row), "Running");
        (row.base, row.size) = ("xfce".into(), "1280x800".into());
        assert_eq!(subtitle(&row), "Running · xfce · 1280 × 800");
    }
}
