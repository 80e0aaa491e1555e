//! A base while it is made: under a lock, in a directory that nothing shows, and gone again unless it becomes whole.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use freezeframe_store::base::BaseLock;
use freezeframe_store::error::IoContext;
use freezeframe_store::layout::make_private;
use freezeframe_store::sync::{sync_directory, sync_file_system};
use freezeframe_store::{BaseRecord, Error as StoreError, Store, record};

use super::{Error, Result};
use crate::kernel::idmap::IdMap;
use crate::kernel::userns::{open_directory, spawn_in_user_namespace, start_in};

/// Name of [`Partial::scratch`].
const SCRATCH: &str = "scratch";

/// Takes the lock of the base `name`.
///
/// # Errors
/// [`Error::Busy`] when another process has it.
pub(super) fn lock(store: &Store, name: &str) -> Result<BaseLock> {
    BaseLock::take(store, name).map_err(|error| match error {
        StoreError::Busy { .. } => Error::Busy { name: name.to_owned() },
        other => other.into(),
    })
}

/// A base that is being made. Dropping it without [`Partial::commit`] removes what there is of it.
#[derive(Debug)]
pub(super) struct Partial {
    name: String,
    map: IdMap,
    bases: PathBuf,
    directory: PathBuf,
    target: PathBuf,
    gone: bool,
    _lock: BaseLock,
}

impl Partial {
    /// Begins the base `name`: takes its lock, removes what a killed process left, makes an empty root.
    ///
    /// # Errors
    /// When there is such a base already, it is being made, or a directory cannot be made.
    pub(super) fn begin(store: &Store, name: &str, map: &IdMap) -> Result<Self> {
        let (directory, target) = (store.partial_base_dir(name)?, store.base_dir(name)?);
        let bases = target.parent().unwrap_or(store.root()).to_owned();
        let lock = lock(store, name)?;
        absent(&target, name)?;
        remove_tree(&directory, map)?;
        let partial =
            Self { name: name.to_owned(), map: map.clone(), bases, directory, target, gone: false, _lock: lock };
        DirBuilder::new().mode(0o700).create(&partial.directory).at("create", &partial.directory)?;
        let root = partial.root();
        fs::create_dir(&root).at("create", &root)?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).at("set the mode of", &root)?;
        if !map.by_helper {
            std::os::unix::fs::chown(&root, map.outside_uid(0), map.outside_gid(0)).at("give away", &root)?;
        }
        Ok(partial)
    }

    /// Where its files go.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// A directory for what is needed only meanwhile; it goes with the rest when this process is killed. A normal user
    /// has none: there, the ids that work in it cannot walk through the private directories above it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn scratch(&self) -> Result<Option<PathBuf>> {
        if self.map.by_helper {
            return Ok(None);
        }
        let scratch = self.directory.join(SCRATCH);
        make_private(&scratch)?;
        Ok(Some(scratch))
    }

    /// Makes it durable, then visible, by one rename. A crash before that rename leaves nothing that shows.
    ///
    /// # Errors
    /// When it cannot be made durable; it is then gone.
    pub(super) fn commit(mut self, base: &BaseRecord) -> Result<()> {
        let done = (|| {
            remove_tree(&self.directory.join(SCRATCH), &self.map)?;
            record::write(&self.directory.join("base.json"), base)?;
            sync_file_system(&self.directory)?;
            absent(&self.target, &self.name)?;
            fs::rename(&self.directory, &self.target).at("rename", &self.directory)?;
            self.gone = true;
            sync_directory(&self.bases)?;
            Ok(())
        })();
        if self.gone { done } else { done.map_err(|error| self.abandon(error)) }
    }

    /// Removes it because of `first`; answers `first`, with what went wrong in removing it.
    pub(super) fn abandon(mut self, first: Error) -> Error {
        self.gone = true;
        match remove_tree(&self.directory, &self.map) {
            Ok(()) => first,
            Err(cleanup) => Error::Uncleaned { first: Box::new(first), cleanup: Box::new(cleanup) },
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.gone {
            // Only a panic comes here; the next build of that name tries again.
            let _ = remove_tree(&self.directory, &self.map);
        }
    }
}

fn absent(target: &Path, name: &str) -> Result<()> {
    match fs::symlink_metadata(target) {
        Ok(_) => Err(StoreError::Exists { what: "base", name: name.to_owned() }.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).at("look for", target).map_err(Error::from),
    }
}

/// Removes `directory` and all below it, if it is there. Its files belong to the ids of `map`.
///
/// # Errors
/// When something of it cannot be removed.
pub(super) fn remove_tree(directory: &Path, map: &IdMap) -> Result<()> {
    match fs::symlink_metadata(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.at("look for", directory)?,
    };
    if map.by_helper {
        // Only the map's own root may remove what belongs to its other ids.
        let mut command = Command::new("find");
        command
            .args([".", "-mindepth", "1", "-delete"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        start_in(&mut command, open_directory(directory).at("open", directory)?);
        let start = |source| Error::Start { program: "find", source };
        let output = spawn_in_user_namespace(map, &mut command).map_err(start)?.wait_with_output().map_err(start)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(text)).at("empty", directory).map_err(Error::from);
        }
    }
    fs::remove_dir_all(directory).at("remove", directory).map_err(Error::from)
}
