//! Bases, the read-only root file systems that sessions start from: their record, and who may make one.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use freezeframe_text::{NAME, PATH, line};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext, Result};
use crate::layout::Store;
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

    fn tidy(&mut self) {
        self.name = line(&self.name, NAME);
        self.origin = line(&self.origin, PATH);
    }
}

/// The right to make or remove the base of one name, for those who build, import and remove bases alike.
#[derive(Debug)]
pub struct BaseLock {
    path: PathBuf,
    _file: File,
}

impl BaseLock {
    /// Takes the lock of the base `name`.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process has it; else when `name` cannot be one, or the file system fails.
    pub fn take(store: &Store, name: &str) -> Result<Self> {
        let path = store.partial_base_dir(name)?.with_extension("lock");
        loop {
            let file =
                File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).at("open", &path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy { path }),
                other => other.at("lock", &path)?,
            }
            // Its last holder removed the file; then the lock is one of a file that nobody else finds.
            let ours = file.metadata().at("read", &path)?;
            if fs::metadata(&path).is_ok_and(|there| there.ino() == ours.ino()) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for BaseLock {
    fn drop(&mut self) {
        // Removed while it is held, so that nobody can hold a lock on it afterwards (see `take`). A file that stays
        // does no harm.
        let _ = fs::remove_file(&self.path);
    }
}
