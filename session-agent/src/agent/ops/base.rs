//! Making and removing bases, and the doctor: verbs of the wrapper that concern no session.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::sync::Arc;

use freezeframe_api::records::{BaseDone, BaseRow, BuildOptions, DoctorRow, ImportOptions};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::CheckItem;
use freezeframe_store::id::check_name;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};

use crate::agent::job::Cancel;
use crate::agent::{Agent, failure};
use crate::rules::rows;

/// A base that is being made or removed.
#[derive(Debug)]
struct BaseLock {
    agent: Arc<Agent>,
    name: String,
}

impl Drop for BaseLock {
    fn drop(&mut self) {
        self.agent.lock().bases.remove(&self.name);
    }
}

impl Agent {
    fn lock_base(self: &Arc<Self>, name: &str) -> Result<BaseLock> {
        if !self.lock().bases.insert(name.to_owned()) {
            return Err(Error::new(ErrorKind::Busy, format!("base {name:?} is being changed just now"))
                .hint("Wait until that is done and try again."));
        }
        Ok(BaseLock { agent: self.clone(), name: name.to_owned() })
    }

    fn new_base(self: &Arc<Self>, name: &str) -> Result<BaseLock> {
        check_name("base", name).map_err(|e| failure::of_store(&e))?;
        let there = self.store.base_dir(name).is_ok_and(|d| d.exists());
        if there {
            return Err(Error::new(ErrorKind::Exists, format!("there is a base {name:?} already"))
                .hint(format!("Use it, or remove it first: sessionctl base remove {name}")));
        }
        self.lock_base(name)
    }

    async fn base_job(
        self: &Arc<Self>,
        kind: &'static str,
        lock: BaseLock,
        arguments: Vec<OsString>,
        stdin: Stdio,
    ) -> Result<OwnedObjectPath> {
        let agent = self.clone();
        self.job(kind, Cancel::Verb, move |job| async move {
            let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
            agent.verb(&arguments, stdin, Some(&job)).await?;
            Ok(BaseDone { base: lock.name.clone() })
        })
        .await
    }

    /// Builds a base from a recipe.
    pub(crate) async fn build_base(self: &Arc<Self>, profile: &str, options: BuildOptions) -> Result<OwnedObjectPath> {
        let recipe = self.programs.recipe(profile)?;
        let lock = self.new_base(options.name.as_deref().unwrap_or(profile))?;
        let arguments: [&OsStr; 6] = [
            "base".as_ref(),
            "build".as_ref(),
            "--name".as_ref(),
            lock.name.as_ref(),
            "--recipe".as_ref(),
            recipe.as_os_str(),
        ];
        let arguments = arguments.map(OsStr::to_owned).to_vec();
        self.base_job("base-build", lock, arguments, Stdio::null()).await
    }

    /// Imports a base from a tar.
    pub(crate) async fn import_base(
        self: &Arc<Self>,
        name: &str,
        tar: OwnedFd,
        options: ImportOptions,
    ) -> Result<OwnedObjectPath> {
        let lock = self.new_base(name)?;
        let origin = options.origin.unwrap_or_else(|| "import".to_owned());
        let arguments = ["base", "import", "--name", name, "--origin", &origin].map(OsString::from).to_vec();
        self.base_job("base-import", lock, arguments, Stdio::from(std::os::fd::OwnedFd::from(tar))).await
    }

    /// Removes a base that nothing stands on.
    pub(crate) async fn remove_base(self: &Arc<Self>, name: &str) -> Result<OwnedObjectPath> {
        let there = self.store.base_dir(name).map_err(|e| failure::of_store(&e))?.exists();
        if !there {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no base {name:?}"))
                .hint("`sessionctl base list` shows the bases."));
        }
        let lock = self.lock_base(name)?;
        self.base_unused(name)?;
        let arguments = ["base", "remove", "--name", name].map(OsString::from).to_vec();
        self.base_job("base-remove", lock, arguments, Stdio::null()).await
    }

    fn base_unused(&self, name: &str) -> Result<()> {
        let state = self.lock();
        let sessions: Vec<&str> =
            state.sessions.values().filter(|s| s.record.base == name).map(|s| s.record.id.as_str()).collect();
        if !sessions.is_empty() {
            let text = format!("base {name:?} is in use by session {}", sessions.join(", "));
            return Err(Error::new(ErrorKind::Busy, text).hint("Stop it first: sessionctl stop SESSION"));
        }
        let whole = |s: &&rows::Snapshot| s.marks.deleted.is_none();
        let snapshots = state.snapshots.values().filter(whole).filter_map(|s| s.manifest.as_ref().ok());
        let count = snapshots.filter(|m| m.base == name).count();
        if count > 0 {
            let text = format!("base {name:?} is needed to resume {count} snapshots");
            return Err(Error::new(ErrorKind::Busy, text).hint("Delete those first: sessionctl delete SNAPSHOT"));
        }
        Ok(())
    }

    /// All bases.
    pub(crate) fn bases(&self) -> Result<Vec<BaseRow>> {
        let listed = self.store.list_bases().map_err(|e| failure::of_store(&e))?;
        Ok(listed.iter().map(|l| rows::base_row(&l.name, l.record.as_ref().ok())).collect())
    }

    /// What this machine has and lacks.
    pub(crate) async fn doctor(&self) -> Result<Vec<DoctorRow>> {
        let answer = self.verb(&["doctor".as_ref()], Stdio::null(), None).await?;
        let items: Vec<CheckItem> = serde_json::from_value(answer)
            .map_err(|e| Error::new(ErrorKind::Failed, format!("the doctor's report cannot be read: {e}")))?;
        let row = |i: CheckItem| DoctorRow {
            name: i.name,
            ok: i.ok,
            needed_for: i.needed_for,
            found: i.found,
            remedy: i.remedy,
        };
        Ok(items.into_iter().map(row).collect())
    }
}
