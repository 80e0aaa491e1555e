//! The record of a base: a read-only root file system that sessions start from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `bases/<name>/base.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// Format version of this record.
    pub format: u32,
    /// The base's name, which is also its directory's.
    pub name: String,
    /// When it was built or imported.
    pub created: Timestamp,
    /// Where it came from: `recipe:<profile>` or `import`.
    pub origin: String,
    /// Identity of this very base, drawn when it was made: snapshots name it, so that they are never resumed on another.
    pub identity: String,
    /// First outside id of the range that its files belong to.
    pub first_id: u32,
    /// Bytes of its files on disk.
    pub bytes: u64,
    /// The command that is the desktop.
    pub desktop: Vec<String>,
    /// Extra environment of every program in a session, from the recipe.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
}

impl Record for BaseRecord {
    const FORMAT: u32 = 1;
}
