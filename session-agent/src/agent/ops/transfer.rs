//! Snapshots as files: exporting and importing them, and the key that signs them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use freezeframe_api::records::{ExportOptions, Exported, ImportSnapshotOptions, Imported, TrustedKey};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::{BaseContent, BaseToPut};
use freezeframe_store::export::{self, Bases, Watch};
use freezeframe_store::sign::{BadKey, PublicKey};
use freezeframe_store::{BaseRecord, Content, SnapshotId, Store};
use tracing::info;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};

use crate::agent::job::{Cancel, Job};
use crate::agent::{Agent, failure};

impl Agent {
    /// Writes a snapshot to a file, once it is packed.
    pub(crate) async fn export(
        self: &Arc<Self>,
        id: &str,
        file: OwnedFd,
        options: ExportOptions,
    ) -> Result<OwnedObjectPath> {
        self.good_snapshot(id)?;
        let id = SnapshotId::new(id).map_err(|e| failure::of_store(&e))?;
        let flag = Arc::new(AtomicBool::new(false));
        let agent = self.clone();
        self.job("export", Cancel::Flag(flag.clone()), move |job| async move {
            job.progress("Waiting until it is packed", -1.0).await;
            tokio::select! {
                packed = agent.packed(&id) => packed?,
                () = job.cancel_asked() => return Err(failure::cancelled()),
            }
            let (store, snapshot) = (agent.store.clone(), id.to_string());
            let bases = ByWrapper { agent: agent.clone(), job: job.clone() };
            let options = export::ExportOptions { with_base: options.with_base };
            let exported = job.blocking("Exporting", move |progress| {
                let file = File::from(std::os::fd::OwnedFd::from(file));
                store.export_with(&id, file, options, &bases, &Watch { cancel: &flag, progress })
            });
            let exported = exported.await?.map_err(|e| failure::of_export(&e))?;
            info!(snapshot, "exported");
            Ok(Exported { snapshot, key: exported.key.to_string(), bytes: exported.bytes })
        })
        .await
    }

    /// Takes in a snapshot that was exported.
    pub(crate) async fn import_snapshot(
        self: &Arc<Self>,
        file: OwnedFd,
        options: ImportSnapshotOptions,
    ) -> Result<OwnedObjectPath> {
        let trust: Option<PublicKey> = options.trust.as_deref().map(key).transpose()?;
        let remember = options.remember;
        if let Some(name) = &remember {
            if trust.is_none() {
                let text = "only a key that is given can be remembered";
                return Err(Error::new(ErrorKind::InvalidArgument, text).hint("Give the key as well: --trust KEY"));
            }
            Store::check_key_name(name).map_err(|e| failure::of_store(&e))?;
        }
        let flag = Arc::new(AtomicBool::new(false));
        let agent = self.clone();
        self.job("import", Cancel::Flag(flag.clone()), move |job| async move {
            let store = agent.store.clone();
            // What CRIU wrote a normal user cannot resume, but look at, check and keep.
            let options = export::ImportOptions { trust, without_base: !agent.root };
            let bases = ByWrapper { agent: agent.clone(), job: job.clone() };
            let imported = job.blocking("Importing", move |progress| {
                let file = File::from(std::os::fd::OwnedFd::from(file));
                store.import_with(file, options, &bases, &Watch { cancel: &flag, progress })
            });
            let imported = imported.await?.map_err(|e| failure::of_export(&e))?;
            info!(snapshot = imported.id.as_str(), key = %imported.key, "imported");
            agent.rescan().await?;
            // Not one that was given for a file of somebody else, who is trusted already.
            if let Some(name) = remember.filter(|_| trust == Some(imported.key)) {
                agent.store.trust_key(&imported.key, &name).map_err(|e| failure::of_store(&e))?;
                info!(key = %imported.key, name, "trusted from now on");
            }
            Ok(Imported {
                snapshot: imported.id.to_string(),
                key: imported.key.to_string(),
                was_there: imported.was_there,
                base: imported.new_base,
                new_bytes: imported.new_bytes,
            })
        })
        .await
    }

    /// Keys of others that the user trusts.
    pub(crate) fn trusted_keys(&self) -> Result<Vec<TrustedKey>> {
        let all = self.store.trusted_keys().map_err(|e| failure::of_store(&e))?;
        Ok(all.into_iter().map(|one| TrustedKey { key: one.key.to_string(), name: one.name }).collect())
    }

    /// Trusts a key no more.
    pub(crate) fn distrust_key(&self, text: &str) -> Result<()> {
        if self.store.distrust_key(&key(text)?).map_err(|e| failure::of_store(&e))? {
            info!(key = text, "trusted no more");
            return Ok(());
        }
        let error = Error::new(ErrorKind::NotFound, format!("the key {} is not trusted", text.trim()));
        Err(error.hint("`sessionctl trusted` lists those that are."))
    }

    /// The user's public key.
    pub(crate) fn public_key(&self) -> Result<String> {
        let key = self.store.signing_key().map_err(|e| failure::of_store(&e))?;
        Ok(key.public().to_string())
    }
}

/// Has the wrapper take up and make bases: it has the ids of their files.
struct ByWrapper {
    agent: Arc<Agent>,
    job: Job,
}

impl ByWrapper {
    fn verb(&self, arguments: &[&OsStr], stdin: Stdio) -> export::Result<serde_json::Value> {
        // Called where threads may block.
        let verb = self.agent.verb(arguments, stdin, Some(&self.job));
        tokio::runtime::Handle::current().block_on(verb).map_err(of_base)
    }
}

fn of_base(error: impl std::error::Error + Send + Sync + 'static) -> export::Error {
    export::Error::Base(Box::new(error))
}

impl Bases for ByWrapper {
    fn take_up(
        &self,
        _store: &Store,
        id: &SnapshotId,
        base: &BaseRecord,
        _watch: &Watch<'_>,
    ) -> export::Result<Content> {
        let arguments = ["base", "take-up", "--name", &base.name, "--id", id.as_str()].map(OsStr::new);
        let answer = self.verb(&arguments, Stdio::null())?;
        let answer: BaseContent = serde_json::from_value(answer).map_err(of_base)?;
        Ok(Content::from_bytes(&answer.bytes, Path::new("the base"))?)
    }

    fn put(&self, _store: &Store, record: &BaseRecord, content: &Content, _watch: &Watch<'_>) -> export::Result<()> {
        let content = BaseContent { bytes: content.to_bytes() };
        let asked = BaseToPut { record: serde_json::to_value(record).map_err(of_base)?, content };
        let text = serde_json::to_vec(&asked).map_err(of_base)?;
        // Not a pipe, which the verb would have to read before it is written to the end.
        let file = rustix::fs::memfd_create("base", rustix::fs::MemfdFlags::CLOEXEC).map_err(of_base)?;
        let mut file = File::from(file);
        file.write_all(&text).and_then(|()| file.rewind()).map_err(of_base)?;
        self.verb(&["base", "put"].map(OsStr::new), file.into()).map(drop)
    }
}

/// A key as its owner's `sessionctl key` prints it.
fn key(text: &str) -> Result<PublicKey> {
    text.trim().parse().map_err(|e: BadKey| {
        Error::new(ErrorKind::InvalidArgument, format!("that cannot be trusted as a key: {e}"))
            .hint("`sessionctl key` prints the key of the one who exported it.")
    })
}
