//! Ending a session, with or without saving it.

use adw::prelude::*;
use freezeframe_api::ErrorKind;
use freezeframe_api::records::{StopOptions, Stopped};

use super::ask;
use crate::agent::jobs::Request;
use crate::i18n::{gettext, gettext_f};
use crate::window::Window;

impl Window {
    /// Asks how a session is to end, and ends it.
    pub(crate) async fn stop_session(&self, name: String) {
        let crashed = self.timeline().known().session(&name).is_some_and(|session| session.state == "crashed");
        let heading = if crashed {
            gettext_f("Remove “{session}”?", &[("session", &name)])
        } else {
            gettext_f("Stop “{session}”?", &[("session", &name)])
        };
        let body = if crashed {
            gettext("It has crashed. Files that were written since its last snapshot go with it; its snapshots stay.")
        } else {
            gettext("Its applications end. Without saving, what was done since the last snapshot is lost.")
        };
        let dialog = adw::MessageDialog::new(Some(self), Some(&heading), Some(&body));
        dialog.add_response("cancel", &gettext("_Cancel"));
        dialog.add_response("stop", &if crashed { gettext("_Remove") } else { gettext("S_top Without Saving") });
        dialog.set_response_appearance("stop", adw::ResponseAppearance::Destructive);
        if !crashed {
            dialog.add_response("save", &gettext("_Save and Stop"));
            dialog.set_response_appearance("save", adw::ResponseAppearance::Suggested);
            dialog.set_default_response(Some("save"));
        }
        dialog.set_close_response("cancel");
        let save = match ask(&dialog).await.as_str() {
            "save" => true,
            "stop" => false,
            _ => return,
        };
        let doing = gettext_f("Stopping “{session}”", &[("session", &name)]);
        let request = Request::Stop { session: name.clone(), options: StopOptions { save } };
        match self.run::<Stopped>(&doing, request).await {
            Ok(_) => {
                if self.session().as_ref() == Some(&name) {
                    self.show_sessions();
                }
                self.toast(&gettext_f("“{session}” was stopped", &[("session", &name)]));
            }
            Err(error) if error.kind == ErrorKind::Refused => self.tell_refusal(&name, &error).await,
            Err(error) => {
                self.tell_failure(&gettext_f("“{session}” could not be stopped", &[("session", &name)]), &error);
            }
        }
    }
}
