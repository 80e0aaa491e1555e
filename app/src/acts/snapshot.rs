//! Taking snapshots.

use adw::prelude::*;
use freezeframe_api::ErrorKind;
use freezeframe_api::records::{SaveOptions, Saved};

use super::ask;
use crate::agent::jobs::Request;
use crate::i18n::{gettext, gettext_f};
use crate::timeline::words;
use crate::window::Window;

impl Window {
    /// Saves the session that is meant: the one shown, or the only one that runs; else asks which.
    pub(crate) async fn snapshot(&self, with_label: bool) {
        let running: Vec<String> = self
            .timeline()
            .known()
            .sessions
            .iter()
            .filter(|session| session.state == "running")
            .map(|session| session.session.clone())
            .collect();
        let session = match (self.session(), running.as_slice()) {
            (Some(shown), _) => shown,
            (None, [only]) => only.clone(),
            (None, []) => return self.toast(&gettext("No desktop is running")),
            (None, several) => match self.choose_session(several).await {
                Some(chosen) => chosen,
                None => return,
            },
        };
        if with_label {
            self.snapshot_with_label(session).await;
        } else {
            self.snapshot_session(session, None).await;
        }
    }

    /// Saves a session.
    pub(crate) async fn snapshot_session(&self, session: String, label: Option<String>) {
        let title = gettext_f("Saving “{session}”", &[("session", &session)]);
        let options = SaveOptions { label, ..SaveOptions::default() };
        let request = Request::Save { session: session.clone(), options };
        match self.run::<Saved>(&title, request).await {
            Ok(saved) => {
                let pause = words::pause(saved.pause_ms);
                self.toast(&gettext_f("Saved “{session}” ({pause})", &[("session", &session), ("pause", &pause)]));
            }
            Err(error) if error.kind == ErrorKind::Refused => self.tell_refusal(&session, &error).await,
            Err(error) => {
                let what = gettext_f("“{session}” could not be saved", &[("session", &session)]);
                self.tell_failure(&what, &error);
            }
        }
    }

    /// Asks for a label, then saves.
    pub(crate) async fn snapshot_with_label(&self, session: String) {
        let heading = gettext_f("Snapshot of “{session}”", &[("session", &session)]);
        if let Some(label) = self.ask_for_label(&heading, "", &gettext("_Snapshot")).await {
            self.snapshot_session(session, Some(label).filter(|label| !label.is_empty())).await;
        }
    }

    /// Asks for words; none when it was cancelled.
    pub(crate) async fn ask_for_label(&self, heading: &str, label: &str, done: &str) -> Option<String> {
        let dialog = adw::MessageDialog::new(Some(self), Some(heading), None);
        let entry: gtk::Entry = crate::named::named(&gettext("Label"));
        entry.set_text(label);
        entry.set_placeholder_text(Some(&gettext("Label")));
        entry.set_activates_default(true);
        entry.set_max_length(200);
        dialog.set_extra_child(Some(&entry));
        dialog.add_response("cancel", &gettext("_Cancel"));
        dialog.add_response("done", done);
        dialog.set_response_appearance("done", adw::ResponseAppearance::Suggested);
        dialog.set_default_response(Some("done"));
        dialog.set_close_response("cancel");
        GtkWindowExt::set_focus(&dialog, Some(&entry));
        (ask(&dialog).await == "done").then(|| entry.text().trim().to_owned())
    }

    async fn choose_session(&self, sessions: &[String]) -> Option<String> {
        let heading = gettext("Which Desktop?");
        let dialog = adw::MessageDialog::new(Some(self), Some(&heading), None);
        let list = gtk::ListBox::builder().selection_mode(gtk::SelectionMode::Browse).build();
        list.add_css_class("boxed-list");
        for session in sessions {
            list.append(&adw::ActionRow::builder().title(gtk::glib::markup_escape_text(session)).build());
        }
        list.select_row(list.row_at_index(0).as_ref());
        dialog.set_extra_child(Some(&list));
        dialog.add_response("cancel", &gettext("_Cancel"));
        dialog.add_response("done", &gettext("_Snapshot"));
        dialog.set_response_appearance("done", adw::ResponseAppearance::Suggested);
        dialog.set_default_response(Some("done"));
        dialog.set_close_response("cancel");
        if ask(&dialog).await != "done" {
            return None;
        }
        let at = usize::try_from(list.selected_row()?.index()).ok()?;
        sessions.get(at).cloned()
    }
}
