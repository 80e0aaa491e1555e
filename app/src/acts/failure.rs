//! What went wrong: one sentence, and all that is known one click away.

use adw::prelude::*;
use freezeframe_api::records::{CheckReport, FindingRow};
use freezeframe_api::{Error, ErrorKind};
use gtk::glib;

use crate::agent::calls;
use crate::i18n::gettext;
use crate::timeline::words::sentence;
use crate::window::Window;

/// Width of the list of findings in a dialog, and its height at most.
const FINDINGS: (i32, i32) = (288, 300);

impl Window {
    /// A word at the bottom of the window.
    pub(crate) fn toast(&self, text: &str) {
        self.toasts().add_toast(adw::Toast::builder().title(glib::markup_escape_text(text)).build());
    }

    /// A word with one thing to do.
    pub(crate) fn toast_with(&self, text: &str, button: &str, act: impl Fn() + 'static) {
        self.toast_for(8, text, button, act);
    }

    /// The same for so many seconds; 0 until it is closed.
    fn toast_for(&self, seconds: u32, text: &str, button: &str, act: impl Fn() + 'static) {
        let text = glib::markup_escape_text(text);
        let toast = adw::Toast::builder().title(text).button_label(button).timeout(seconds).build();
        toast.connect_button_clicked(move |_| act());
        self.toasts().add_toast(toast);
    }

    /// Shows what was not done, with the reason and the remedy behind a button.
    pub(crate) fn tell_failure(&self, what: &str, error: &Error) {
        if error.kind == ErrorKind::Cancelled {
            self.toast(&gettext("Cancelled"));
            return;
        }
        tracing::info!(name = error.kind.name(), message = error.message, what);
        let (window, heading, error) = (self.downgrade(), what.to_owned(), error.clone());
        // It stays: who comes by keyboard, or has it read out, needs longer than any timeout.
        self.toast_for(0, what, &gettext("Details"), move || {
            if let Some(window) = window.upgrade() {
                window.show_details(&heading, &error);
            }
        });
    }

    fn show_details(&self, heading: &str, error: &Error) {
        let parts = [sentence(&error.message), error.hint.clone()];
        let body: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let dialog = adw::MessageDialog::new(Some(self), Some(heading), Some(&body.join("\n\n")));
        dialog.add_response("close", &gettext("_Close"));
        super::present(&dialog);
    }

    /// A save was refused: shows which applications are the reason, and what can be done about each.
    pub(crate) async fn tell_refusal(&self, session: &str, error: &Error) {
        match calls::check(session.to_owned()).await {
            Ok(report) if !report.findings.is_empty() => self.show_findings(session, &report),
            _ => self.tell_failure(&gettext("The session could not be saved"), error),
        }
    }

    /// Shows what the pre-flight says of a session.
    pub(crate) async fn check_session(&self, session: String) {
        match calls::check(session.clone()).await {
            Ok(report) => self.show_findings(&session, &report),
            Err(error) => self.tell_failure(&gettext("The session could not be checked"), &error),
        }
    }

    fn show_findings(&self, session: &str, report: &CheckReport) {
        let (heading, body) = match (report.savable, report.findings.is_empty()) {
            (true, true) => (gettext("Everything Can Be Saved"), gettext("Nothing in this session is in the way.")),
            (true, false) => (
                gettext("It Can Be Saved"),
                gettext("Some things cannot be part of a snapshot and would be closed for it."),
            ),
            (false, _) => (
                gettext("It Cannot Be Saved Now"),
                gettext("The session goes on as before. This is in the way, and what you can do about it:"),
            ),
        };
        let dialog = adw::MessageDialog::new(Some(self), Some(&heading), Some(&body));
        if !report.findings.is_empty() {
            dialog.set_extra_child(Some(&findings(&report.findings)));
        }
        dialog.add_response("close", &gettext("_Close"));
        if !report.savable {
            dialog.add_response("again", &gettext("_Try Again"));
            dialog.set_response_appearance("again", adw::ResponseAppearance::Suggested);
        }
        let (window, session) = (self.downgrade(), session.to_owned());
        dialog.connect_response(Some("again"), move |_, _| {
            if let Some(window) = window.upgrade() {
                let session = session.clone();
                super::soon(async move { window.snapshot_session(session, None).await });
            }
        });
        super::present(&dialog);
    }
}

/// One row for each finding, the applications by name.
fn findings(findings: &[FindingRow]) -> gtk::Widget {
    let list = gtk::ListBox::builder().selection_mode(gtk::SelectionMode::None).build();
    list.add_css_class("boxed-list");
    let mut sorted: Vec<&FindingRow> = findings.iter().collect();
    sorted.sort_by_key(|finding| (!finding.blocking, finding.application.to_lowercase()));
    for finding in sorted {
        let title = [finding.application.as_str(), &finding.window];
        let title: Vec<&str> = title.into_iter().filter(|part| !part.is_empty()).collect();
        let row = adw::ActionRow::builder()
            .title(glib::markup_escape_text(&title.join(" — ")))
            .subtitle(glib::markup_escape_text(&format!(
                "{}\n{}",
                sentence(&finding.object),
                sentence(&finding.remedy)
            )))
            .build();
        let icon = if finding.blocking { "dialog-warning-symbolic" } else { "window-close-symbolic" };
        let word = if finding.blocking { gettext("Prevents saving") } else { gettext("Would be closed") };
        let image: gtk::Image = crate::named::named(&word);
        image.set_icon_name(Some(icon));
        image.set_tooltip_text(Some(&word));
        row.add_prefix(&image);
        list.append(&row);
    }
    // A scrolled window does not ask how high wrapped lines are, and would cut off the last ones.
    let height = list.measure(gtk::Orientation::Vertical, FINDINGS.0).1.min(FINDINGS.1);
    let scrolled = gtk::ScrolledWindow::builder()
        .hscrollbar_policy(gtk::PolicyType::Never)
        .min_content_height(height)
        .max_content_height(FINDINGS.1)
        .child(&list)
        .build();
    scrolled.upcast()
}
