//! What changes at once and can be changed back: label, pin, deletion. And whether a snapshot is sound.

use freezeframe_api::records::Verified;

use crate::agent::calls::{Mark, mark};
use crate::agent::jobs::Request;
use crate::i18n::{gettext, gettext_f, ngettext_f};
use crate::window::Window;

impl Window {
    fn title_of(&self, id: &str) -> String {
        self.timeline().known().title(id, self.timeline().today())
    }

    /// Changes a snapshot's label.
    pub(crate) async fn rename(&self, id: String) {
        let label = self.timeline().known().snapshot(&id).map(|s| s.row.label.clone()).unwrap_or_default();
        let asked = self.ask_for_label(&gettext("Rename Snapshot"), &label, &gettext("_Rename")).await;
        let Some(new) = asked.filter(|new| *new != label) else { return };
        if let Err(error) = mark(id, Mark::Label(new)).await {
            self.tell_failure(&gettext("The snapshot could not be renamed"), &error);
        }
    }

    /// Keeps a snapshot through every retention rule, or no longer.
    pub(crate) async fn pin(&self, id: String, pinned: bool) {
        let change = if pinned { Mark::Pin } else { Mark::Unpin };
        if let Err(error) = mark(id, change).await {
            let what = if pinned {
                gettext("The snapshot could not be pinned")
            } else {
                gettext("The snapshot could not be unpinned")
            };
            self.tell_failure(&what, &error);
        }
    }

    /// Takes a snapshot off the timeline, with a way back.
    pub(crate) async fn delete(&self, id: String) {
        let title = self.title_of(&id);
        match mark(id.clone(), Mark::Delete).await {
            Ok(()) => {
                let text = gettext_f("Deleted “{title}”", &[("title", &title)]);
                let window = gtk::prelude::ObjectExt::downgrade(self);
                self.toast_with(&text, &gettext("_Undo"), move || {
                    let (window, id) = (window.clone(), id.clone());
                    super::soon(async move {
                        if let Err(error) = mark(id, Mark::Undelete).await
                            && let Some(window) = window.upgrade()
                        {
                            window.tell_failure(&gettext("The snapshot could not be brought back"), &error);
                        }
                    });
                });
            }
            Err(error) => self.tell_failure(&gettext_f("“{title}” could not be deleted", &[("title", &title)]), &error),
        }
    }

    /// Reads a snapshot back.
    pub(crate) async fn verify(&self, id: String) {
        let title = self.title_of(&id);
        let doing = gettext_f("Verifying “{title}”", &[("title", &title)]);
        match self.run::<Verified>(&doing, Request::Verify { snapshot: id.clone() }).await {
            Ok(report) if !report.damages.is_empty() => {
                let what = ngettext_f(
                    "“{title}” is damaged in {n} place",
                    "“{title}” is damaged in {n} places",
                    report.damages.len() as u64,
                    &[("title", &title), ("n", &report.damages.len().to_string())],
                );
                let lines: Vec<String> =
                    report.damages.iter().take(20).map(|d| format!("{}: {}", d.path, d.reason)).collect();
                let error = freezeframe_api::Error::new(freezeframe_api::ErrorKind::Damaged, lines.join("\n"));
                self.tell_failure(&what, &error);
            }
            Ok(report) if report.committing.contains(&id) => {
                self.toast(&gettext("It is still being packed; only its records could be checked"));
            }
            Ok(_) => self.toast(&gettext_f("“{title}” is sound", &[("title", &title)])),
            Err(error) => {
                self.tell_failure(&gettext_f("“{title}” could not be verified", &[("title", &title)]), &error);
            }
        }
    }
}
