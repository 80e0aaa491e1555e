//! Where everything is, below one data directory; listing and finding what is there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::base::BaseRecord;
use crate::error::{Error, IoContext, Result};
use crate::id::{SessionId, SnapshotId, check_name};
use crate::io::Disk;
use crate::manifest::{Manifest, Marks};
use crate::record;
use crate::reserve::Reserve;
use crate::session::SessionRecord;
use crate::sync::sync_directory;

/// One user's data directory.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    disk: Disk,
}

/// A directory that should hold a record, and the record or what is wrong with it.
#[derive(Debug)]
pub struct Listed<T> {
    /// The directory's name.
    pub name: String,
    /// Its record.
    pub record: Result<T>,
}

impl Store {
    /// Opens the store below `root`, making its directories (0700) where they are not there.
    ///
    /// # Errors
    /// When a directory cannot be made, or `root` belongs to somebody else.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        Self::open_on(root, Disk::default())
    }

    /// As [`Store::open`], with all writes going to `disk`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(root: impl Into<PathBuf>, disk: Disk) -> Result<Self> {
        let store = Self { root: root.into(), disk };
        let new = !store.indexes().exists();
        make_private(&store.root)?;
        let parts = [store.bases(), store.sessions(), store.snapshots(), store.root.join("logs")];
        for directory in parts.into_iter().chain([store.raw(), store.packs(), store.indexes()]) {
            make_private(&directory)?;
        }
        if new {
            // What is later made durable in these directories is of no use when they are lost themselves.
            sync_directory(&store.root.join("store"))?;
            sync_directory(&store.root)?;
            if let Some(parent) = store.root.parent() {
                // Not ours, and maybe not for us to open.
                let _ = sync_directory(parent);
            }
        }
        store.reserve().fill();
        Ok(store)
    }

    /// Room for small records on a full disk.
    pub(crate) fn reserve(&self) -> Reserve {
        Reserve::at(self.root.join(".reserve"))
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn bases(&self) -> PathBuf {
        self.root.join("bases")
    }

    fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn raw(&self) -> PathBuf {
        self.root.join("store/raw")
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.root.join("store/packs")
    }

    pub(crate) fn indexes(&self) -> PathBuf {
        self.root.join("store/index")
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.root.join("store/lock")
    }

    pub(crate) fn content_path(&self, id: &SnapshotId) -> PathBuf {
        self.snapshot_dir(id).join("content")
    }

    /// `bases/<name>`.
    ///
    /// # Errors
    /// When `name` cannot be one.
    pub fn base_dir(&self, name: &str) -> Result<PathBuf> {
        check_name("base", name)?;
        Ok(self.bases().join(name))
    }

    /// Where a base is made before it is renamed to [`Store::base_dir`]; passed over by every list.
    ///
    /// # Errors
    /// When `name` cannot be one.
    pub fn partial_base_dir(&self, name: &str) -> Result<PathBuf> {
        check_name("base", name)?;
        Ok(self.bases().join(format!(".{name}.partial")))
    }

    /// `sessions/<id>`.
    pub fn session_dir(&self, id: &SessionId) -> PathBuf {
        self.sessions().join(id.as_str())
    }

    /// `logs/<id>.log`: what the supervisor of the last session of that name wrote down.
    pub fn session_log(&self, id: &SessionId) -> PathBuf {
        self.root.join("logs").join(format!("{id}.log"))
    }

    /// `snapshots/<id>`.
    pub fn snapshot_dir(&self, id: &SnapshotId) -> PathBuf {
        self.snapshots().join(id.as_str())
    }

    /// The engine's images of a snapshot that is being committed.
    pub fn images_dir(&self, id: &SnapshotId) -> PathBuf {
        self.raw().join(id.as_str()).join("images")
    }

    /// The layer of a snapshot that is being committed.
    pub fn layer_dir(&self, id: &SnapshotId) -> PathBuf {
        self.raw().join(id.as_str()).join("layer")
    }

    /// The base of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with its record.
    pub fn base(&self, name: &str) -> Result<BaseRecord> {
        let path = self.base_dir(name)?.join("base.json");
        found("base", name, record::read(&path))
    }

    /// All bases, by name.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list_bases(&self) -> Result<Vec<Listed<BaseRecord>>> {
        list(&self.bases(), "base.json")
    }

    /// The record of the session of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with its record.
    pub fn session(&self, id: &SessionId) -> Result<SessionRecord> {
        found("session", id.as_str(), record::read(&self.session_dir(id).join("session.json")))
    }

    /// Writes a session's record, on a full disk too; its directory has to be there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_session(&self, session: &SessionRecord) -> Result<()> {
        let path = self.session_dir(&session.id).join("session.json");
        self.reserve().with_room(|| record::write_on(&self.disk, &path, session))
    }

    /// Makes the directory of a new session and writes its record.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken.
    pub fn create_session(&self, session: &SessionRecord) -> Result<PathBuf> {
        let path = self.session_dir(&session.id);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists { what: "session", name: session.id.to_string() });
            }
            other => other.at("create", &path)?,
        }
        self.write_session(session)?;
        Ok(path)
    }

    /// All sessions that have a directory, running or not, by name.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list_sessions(&self) -> Result<Vec<Listed<SessionRecord>>> {
        list(&self.sessions(), "session.json")
    }

    /// The manifest of the snapshot with exactly this id.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with it.
    pub fn manifest(&self, id: &SnapshotId) -> Result<Manifest> {
        found("snapshot", id.as_str(), record::read(&self.snapshot_dir(id).join("manifest.json")))
    }

    /// What the user said of a snapshot since it was taken.
    ///
    /// # Errors
    /// What is wrong with the record; an absent one is an empty one.
    pub fn marks(&self, id: &SnapshotId) -> Result<Marks> {
        let path = self.snapshot_dir(id).join("marks.json");
        match record::read(&path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Marks::default()),
            other => other,
        }
    }

    /// Writes a snapshot's marks, on a full disk too.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_marks(&self, id: &SnapshotId, marks: &Marks) -> Result<()> {
        let path = self.snapshot_dir(id).join("marks.json");
        self.reserve().with_room(|| record::write_on(&self.disk, &path, marks))
    }

    /// All snapshots, in the order they were taken; damaged ones last.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list_snapshots(&self) -> Result<Vec<Listed<Manifest>>> {
        let mut all: Vec<Listed<Manifest>> = list(&self.snapshots(), "manifest.json")?;
        all.sort_by_key(|l| match &l.record {
            Ok(m) => (0, m.created.as_nanosecond(), l.name.clone()),
            Err(_) => (1, 0, l.name.clone()),
        });
        Ok(all)
    }

    /// The snapshot whose id begins with `prefix`, and with which no other does.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Ambiguous`].
    pub fn find_snapshot(&self, prefix: &str) -> Result<SnapshotId> {
        let not_found = || Error::NotFound { what: "snapshot", name: prefix.to_owned() };
        if prefix.is_empty() {
            return Err(not_found());
        }
        let names = names(&self.snapshots())?;
        if names.iter().any(|n| n == prefix) {
            return SnapshotId::new(prefix);
        }
        let mut fitting = names.iter().filter(|n| n.starts_with(prefix));
        match (fitting.next(), fitting.count()) {
            (None, _) => Err(not_found()),
            (Some(name), 0) => SnapshotId::new(name.clone()),
            (Some(_), more) => Err(Error::Ambiguous { name: prefix.to_owned(), count: more + 1 }),
        }
    }
}

/// Makes `path` and its parents, itself with mode 0700, and checks that it is ours and nobody else's.
///
/// # Errors
/// When it cannot be made, is no directory, or belongs to another user.
pub fn make_private(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).at("create", path)?;
    let metadata = fs::symlink_metadata(path).at("read", path)?;
    let foreign = |text: &'static str| io::Error::new(io::ErrorKind::PermissionDenied, text);
    if !metadata.is_dir() {
        return Err(foreign("it is not a directory")).at("use", path);
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(foreign("it belongs to another user")).at("use", path);
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).at("protect", path)?;
    }
    Ok(())
}

/// The entries of `directory` that do not start with a dot, in order.
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).at("list", directory)? {
        let name = entry.at("list", directory)?.file_name();
        match name.into_string() {
            Ok(name) if !name.starts_with('.') => names.push(name),
            _ => {}
        }
    }
    names.sort();
    Ok(names)
}

fn list<R: record::Record>(directory: &Path, file: &str) -> Result<Vec<Listed<R>>> {
    Ok(names(directory)?
        .into_iter()
        .map(|name| Listed { record: record::read(&directory.join(&name).join(file)), name })
        .collect())
}

fn found<T>(what: &'static str, name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Error::NotFound { what, name: name.to_owned() }
        }
        other => other,
    })
}
