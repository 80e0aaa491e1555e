//! Snapshots as files: exporting and importing them, and the key that signs them.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use freezeframe_api::records::{ExportOptions, Exported, ImportSnapshotOptions, Imported, TrustedKey};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::export::{self, Watch};
use freezeframe_store::sign::{BadKey, PublicKey};
use freezeframe_store::{SnapshotId, Store};
use tracing::info;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};

use crate::agent::job::Cancel;
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
            let options = export::ExportOptions { with_base: options.with_base };
            let exported = job.blocking("Exporting", move |progress| {
                let file = File::from(std::os::fd::OwnedFd::from(file));
                store.export(&id, file, options, &Watch { cancel: &flag, progress })
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
            // Who cannot resume it can still look at it, check it, and keep it.
            let options = export::ImportOptions { trust, without_base: !agent.root };
            let imported = job.blocking("Importing", move |progress| {
                let file = File::from(std::os::fd::OwnedFd::from(file));
                store.import(file, options, &Watch { cancel: &flag, progress })
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

/// A key as its owner's `sessionctl key` prints it.
fn key(text: &str) -> Result<PublicKey> {
    text.trim().parse().map_err(|e: BadKey| {
        Error::new(ErrorKind::InvalidArgument, format!("that cannot be trusted as a key: {e}"))
            .hint("`sessionctl key` prints the key of the one who exported it.")
    })
}
