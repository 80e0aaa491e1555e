//! What the user has set: kept in `config.toml`, where the user may write too.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use freezeframe_api::names::ROOT;
use freezeframe_api::records::Settings;
use freezeframe_api::{Dict, Error, ErrorKind, Result};
use freezeframe_store::bounded;
use freezeframe_store::sync::write_atomically;
use tracing::{info, warn};
use zbus::object_server::SignalEmitter;

use crate::agent::manager::Manager;
use crate::agent::{Agent, failure};
use crate::config::{self, Config};
use crate::rules::settings;

impl Agent {
    /// The configuration as it is now.
    pub(crate) fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the user has set.
    pub(crate) fn settings(&self) -> Settings {
        settings::of_config(&self.config())
    }

    /// Sets the keys that are given: in the file first, by a rename.
    pub(crate) async fn set_settings(self: &Arc<Self>, change: &Dict) -> Result<()> {
        let _one_at_a_time = self.writing_config.lock().await;
        let file = &self.dirs.config_file;
        let text = match bounded::read_text(file, config::MOST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::new(ErrorKind::Failed, format!("cannot read {}: {e}", file.display()))),
        };
        // The user may have changed the file by hand since it was read.
        let old = settings::of_config(&Config::read(file)?);
        let new = settings::changed(&old, change)?;
        let text = settings::write(&text, &old, &new)?;
        let config = Config::parse(&text)
            .map_err(|reason| Error::new(ErrorKind::Failed, format!("{} would be wrong: {reason}", file.display())))?;
        if new != old {
            replace(file, &text)?;
        }
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        info!("settings changed");
        self.automatic.look_again();
        let told = async { Manager::settings_changed(&SignalEmitter::new(&self.connection, ROOT)?).await };
        if let Err(error) = told.await {
            warn!(%error, "cannot tell that settings have changed");
        }
        Ok(())
    }
}

/// Makes the directory (0700, whatever the umask), and takes away what lets others write to the one that is there.
fn own_directory(directory: &Path) -> io::Result<()> {
    if let Ok(there) = std::fs::metadata(directory) {
        let mode = there.mode() & 0o7777;
        if mode & 0o022 != 0 && there.uid() == rustix::process::geteuid().as_raw() {
            std::fs::set_permissions(directory, Permissions::from_mode(mode & !0o022))?;
        }
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

/// Puts the file in its place. One that is a link stays one, as people keep such files elsewhere.
fn replace(file: &Path, text: &str) -> Result<()> {
    let cannot = |e: io::Error| Error::new(ErrorKind::Failed, format!("cannot write {}: {e}", file.display()));
    if let Some(directory) = file.parent() {
        own_directory(directory).map_err(cannot)?;
    }
    let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    write_atomically(&place, text.as_bytes()).map_err(|e| failure::of_store(&e))
}
