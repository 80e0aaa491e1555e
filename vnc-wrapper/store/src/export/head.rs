//! What an export says of itself before anything else.

use freezeframe_text::{LABEL, line};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::base::BaseRecord;
use crate::id::check_name;
use crate::manifest::Manifest;
use crate::record::Record;
use crate::sign::PublicKey;

/// Longest label, in bytes; faces show it, so it must not fill the memory.
const MAX_LABEL: usize = 4096;

/// The head of an export, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The program that wrote it, and its version.
    pub program: String,
    /// The key that signs it.
    pub key: PublicKey,
    /// The snapshot.
    pub manifest: Manifest,
    /// The label as it was at the export; the manifest has that of the save.
    pub label: String,
    /// First id of the range that files of the base belong to, [`BaseRecord::first_id`], and those of the layer where the manifest
    /// has none ([`Manifest::first_id`]).
    pub first_id: u32,
    /// The base, when the file contains it. Its name and identity are in the manifest in any case.
    pub base: Option<BaseRecord>,
    /// Chunks in the file.
    pub chunks: u64,
    /// Bytes of all of them, unpacked.
    pub bytes: u64,
}

impl Head {
    /// The bytes of a head.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::Write(e.into()))
    }

    /// Reads and checks a head. Bytes from a file are hostile, also when somebody trusted has signed them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |reason: &str| Error::Damaged(format!("its head {reason}"));
        let mut head: Self = serde_json::from_slice(bytes).map_err(|e| damaged(&format!("cannot be read ({e})")))?;
        let manifest = &head.manifest;
        let formats = [(manifest.format, Manifest::FORMAT)];
        let base_format = head.base.iter().map(|base| (base.format, BaseRecord::FORMAT));
        for (found, known) in formats.into_iter().chain(base_format) {
            if found > known {
                return Err(Error::TooNew { found, known });
            }
        }
        manifest.check().map_err(|reason| damaged(&format!("is not right: {reason}")))?;
        check_name("base", &manifest.base).map_err(|e| damaged(&format!("is not right: {e}")))?;
        if manifest.memory_bytes.checked_add(manifest.layer_bytes).is_none() {
            return Err(damaged("has a size that cannot be"));
        }
        if head.label.len() > MAX_LABEL {
            return Err(damaged("has a label that is too long"));
        }
        if let Some(base) = &head.base {
            base.check().map_err(|reason| damaged(&format!("is not right: {reason}")))?;
            if (&base.name, &base.identity, base.first_id) != (&manifest.base, &manifest.base_identity, head.first_id) {
                return Err(damaged("names two bases"));
            }
        }
        head.manifest.tidy();
        head.label = line(&head.label, LABEL);
        if let Some(base) = &mut head.base {
            base.tidy();
        }
        Ok(head)
    }
}
