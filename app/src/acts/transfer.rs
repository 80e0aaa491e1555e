//! Snapshots into files and out of them.

use std::path::PathBuf;

use adw::prelude::*;
use freezeframe_api::ErrorKind;
use freezeframe_api::records::{ExportOptions, Exported, ImportSnapshotOptions, Imported};
use gtk::gio;

use super::ask;
use super::files::{self, NewFile};
use crate::agent::jobs::Request;
use crate::i18n::{gettext, gettext_f};
use crate::named::named;
use crate::timeline::words;
use crate::window::Window;

/// The file that was chosen; none when it was cancelled.
async fn choose(dialog: &gtk::FileChooserNative) -> Option<PathBuf> {
    if dialog.run_future().await != gtk::ResponseType::Accept {
        return None;
    }
    dialog.file()?.path()
}

/// A key that is trusted.
struct Trusted {
    /// From now on, under this name.
    remember: Option<String>,
}

impl Window {
    /// Writes a snapshot to a file that is asked for.
    pub(crate) async fn export(&self, id: String) {
        let title = self.timeline().known().title(&id, self.timeline().today());
        let dialog = gtk::FileChooserNative::new(
            Some(&gettext("Export Snapshot")),
            Some(self),
            gtk::FileChooserAction::Save,
            Some(&gettext("_Export")),
            Some(&gettext("_Cancel")),
        );
        dialog.set_current_name(&format!("{id}.freezeframe"));
        dialog.add_choice("base", gettext("Include the base, for machines that lack it"), &[]);
        dialog.set_choice("base", "true");
        let Some(path) = choose(&dialog).await else { return };
        let options = ExportOptions { with_base: dialog.choice("base").as_deref() == Some("true") };
        let failed = gettext_f("“{title}” could not be exported", &[("title", &title)]);
        let new = match NewFile::create(path).await {
            Ok(new) => new,
            Err(error) => return self.tell_failure(&failed, &error),
        };
        let doing = gettext_f("Exporting “{title}”", &[("title", &title)]);
        let exported = match new.descriptor() {
            Ok(file) => self.run::<Exported>(&doing, Request::Export { snapshot: id, file, options }).await,
            Err(error) => Err(error),
        };
        let named = match exported {
            Ok(done) => new.finish().await.map(|()| done),
            Err(error) => {
                new.discard().await;
                Err(error)
            }
        };
        match named {
            Ok(done) => {
                let size = words::bytes(done.bytes);
                self.toast(&gettext_f("Exported “{title}” ({size})", &[("title", &title), ("size", &size)]));
            }
            Err(error) => self.tell_failure(&failed, &error),
        }
    }

    /// Asks for a file and imports it.
    pub(crate) async fn import(&self) {
        let dialog = gtk::FileChooserNative::new(
            Some(&gettext("Import Snapshot")),
            Some(self),
            gtk::FileChooserAction::Open,
            Some(&gettext("_Import")),
            Some(&gettext("_Cancel")),
        );
        if let Some(path) = choose(&dialog).await {
            self.import_file(path).await;
        }
    }

    /// Imports what was dropped.
    pub(crate) fn import_dropped(&self, files: &[gio::File]) -> bool {
        let paths: Vec<PathBuf> = files.iter().filter_map(FileExt::path).collect();
        let any = !paths.is_empty();
        let window = self.clone();
        super::soon(async move {
            for path in paths {
                window.import_file(path).await;
            }
        });
        any
    }

    /// Imports a file; a key that is not known is shown, and trusted if that is wanted.
    pub(crate) async fn import_file(&self, path: PathBuf) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = gettext_f("“{file}” could not be imported", &[("file", &name)]);
        let (mut trust, mut remember) = (None, None);
        loop {
            let file = match files::open(path.clone()).await {
                Ok(file) => file,
                Err(error) => return self.tell_failure(&failed, &error),
            };
            let options = ImportSnapshotOptions { trust: trust.clone(), remember: remember.clone() };
            let doing = gettext_f("Importing “{file}”", &[("file", &name)]);
            match self.run::<Imported>(&doing, Request::Import { file, options }).await {
                Ok(done) if done.was_there => return self.toast(&gettext("This snapshot was there already")),
                Ok(_) => return self.toast(&gettext_f("Imported “{file}”", &[("file", &name)])),
                Err(error) if error.kind == ErrorKind::Untrusted && !error.key.is_empty() && trust.is_none() => {
                    let Some(trusted) = self.ask_to_trust(&name, &error.key).await else { return };
                    remember = trusted.remember;
                    trust = Some(error.key);
                }
                Err(error) => return self.tell_failure(&failed, &error),
            }
        }
    }

    /// Whether a key is trusted; none when it is not.
    async fn ask_to_trust(&self, file: &str, key: &str) -> Option<Trusted> {
        let heading = gettext("Trust the Maker of This Snapshot?");
        let body = gettext_f(
            "“{file}” was signed with a key that is not known here. A snapshot is a whole running desktop: resume only what comes from somebody you trust. Ask for the key (“sessionctl key” prints it) and compare it with this one, letter by letter:",
            &[("file", file)],
        );
        let dialog = adw::MessageDialog::new(Some(self), Some(&heading), Some(&body));
        let shown = gtk::Label::builder()
            .label(key)
            .selectable(true)
            .wrap(true)
            .wrap_mode(gtk::pango::WrapMode::Char)
            .justify(gtk::Justification::Center)
            .build();
        shown.add_css_class("monospace");
        let remember = gtk::CheckButton::with_mnemonic(&gettext("_Trust this key from now on"));
        remember.set_tooltip_text(Some(&gettext(
            "“sessionctl trusted” lists such keys, “sessionctl distrust” takes it back",
        )));
        let owner: gtk::Entry = named(&gettext("Whose key it is"));
        owner.set_placeholder_text(Some(&gettext("Whose key it is")));
        // As long as the agent takes, in the longest letters of UTF-8.
        owner.set_max_length(50);
        remember.bind_property("active", &owner, "sensitive").sync_create().build();
        let parts = gtk::Box::new(gtk::Orientation::Vertical, 12);
        parts.append(&shown);
        parts.append(&remember);
        parts.append(&owner);
        dialog.set_extra_child(Some(&parts));
        dialog.add_response("cancel", &gettext("_Cancel"));
        dialog.add_response("trust", &gettext("_Import"));
        dialog.set_response_appearance("trust", adw::ResponseAppearance::Destructive);
        dialog.set_default_response(Some("cancel"));
        dialog.set_close_response("cancel");
        let trusted = ask(&dialog).await == "trust";
        trusted.then(|| Trusted { remember: remember.is_active().then(|| owner.text().trim().to_owned()) })
    }
}
