//! Going back to a snapshot. What that stops is said first.

use adw::prelude::*;
use freezeframe_api::records::{ResumeOptions, Resumed};

use super::ask;
use crate::agent::jobs::Request;
use crate::i18n::{gettext, gettext_f, ngettext_f};
use crate::timeline::model::replaced;
use crate::window::Window;

impl Window {
    /// Says what a resume does, and does it if that is wanted.
    pub(crate) async fn resume(&self, id: String) {
        let known = self.timeline().known();
        let title = known.title(&id, self.timeline().today());
        let running = known.snapshot(&id).map(|snapshot| replaced(&known.sessions, snapshot)).unwrap_or_default();
        let heading = gettext_f("Resume “{title}”?", &[("title", &title)]);
        let names: Vec<String> = running.iter().map(|session| format!("“{}”", session.session)).collect();
        let body = if names.is_empty() {
            gettext("The desktop goes on from that moment. Nothing that runs now is stopped.")
        } else {
            ngettext_f(
                "Today’s desktop {names} will be saved first and then stopped, so that nothing is lost. Or let it run on beside the old one.",
                "Today’s desktops {names} will be saved first and then stopped, so that nothing is lost. Or let them run on beside the old one.",
                names.len() as u64,
                &[("names", &names.join(", "))],
            )
        };
        let dialog = adw::MessageDialog::new(Some(self), Some(&heading), Some(&body));
        dialog.add_response("cancel", &gettext("_Cancel"));
        if !names.is_empty() {
            dialog.add_response("alongside", &gettext("Resume _Alongside"));
        }
        let resume = if names.is_empty() { gettext("_Resume") } else { gettext("_Save and Resume") };
        dialog.add_response("resume", &resume);
        dialog.set_response_appearance("resume", adw::ResponseAppearance::Suggested);
        dialog.set_default_response(Some("resume"));
        dialog.set_close_response("cancel");
        match ask(&dialog).await.as_str() {
            "resume" => self.resume_now(id, false).await,
            "alongside" => self.resume_now(id, true).await,
            _ => {}
        }
    }

    /// Resumes a snapshot and shows its desktop.
    pub(crate) async fn resume_now(&self, id: String, alongside: bool) {
        let title = self.timeline().known().title(&id, self.timeline().today());
        let doing = gettext_f("Resuming “{title}”", &[("title", &title)]);
        let options = ResumeOptions { alongside, ..ResumeOptions::default() };
        match self.run::<Resumed>(&doing, Request::Resume { snapshot: id, options }).await {
            Ok(resumed) => self.open_session(&resumed.session),
            Err(error) => {
                let what = gettext_f("“{title}” could not be resumed", &[("title", &title)]);
                self.tell_failure(&what, &error);
            }
        }
    }
}
