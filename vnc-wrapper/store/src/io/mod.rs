//! Every write of the store, behind one door.
//!
//! All that the store does to the disk (but materialising, which writes elsewhere) is one of the few [`Op`]s below, in an
//! order that the commit rules fix. A [`Watcher`] sees every one before it is done and can refuse it: so tests kill the
//! store at each of them, let the disk be full, and write down what was asked for, to replay it as a power cut would leave
//! it. Outside of tests there is no watcher.
//!
//! A [`FaultPoint`] is an operation's name: the verb and the kind of file ("rename pack"). The tests hold the list of all.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{IoContext, Result};

/// One thing done to the disk.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// A directory is made, mode 0700.
    CreateDirectory(&'a Path),
    /// A file is made, mode 0600, empty; there was none of that name.
    Create(&'a Path),
    /// Bytes are appended to a file made before.
    Write(&'a Path, &'a [u8]),
    /// A file's bytes are made durable.
    SyncFile(&'a Path),
    /// A file or directory gets another name; a file of that name goes.
    Rename(&'a Path, &'a Path),
    /// The names in a directory are made durable.
    SyncDirectory(&'a Path),
    /// All on the file system that holds this is made durable.
    SyncFileSystem(&'a Path),
    /// A file is removed.
    RemoveFile(&'a Path),
    /// A directory is removed with all below it.
    RemoveTree(&'a Path),
}

/// The name of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultPoint {
    /// What is done.
    pub verb: &'static str,
    /// To which kind of file or directory.
    pub what: &'static str,
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.what)
    }
}

impl<'a> Op<'a> {
    /// What it is done to; of a rename the new name.
    pub fn path(&self) -> &'a Path {
        match self {
            Self::CreateDirectory(path)
            | Self::Create(path)
            | Self::Write(path, _)
            | Self::SyncFile(path)
            | Self::Rename(_, path)
            | Self::SyncDirectory(path)
            | Self::SyncFileSystem(path)
            | Self::RemoveFile(path)
            | Self::RemoveTree(path) => path,
        }
    }

    /// Its name.
    pub fn point(&self) -> FaultPoint {
        let verb = match self {
            Self::CreateDirectory(_) => "create directory",
            Self::Create(_) => "create",
            Self::Write(..) => "write",
            Self::SyncFile(_) => "sync",
            Self::Rename(..) => "rename",
            Self::SyncDirectory(_) => "sync directory",
            Self::SyncFileSystem(_) => "sync file system",
            Self::RemoveFile(_) => "remove",
            Self::RemoveTree(_) => "remove tree",
        };
        FaultPoint { verb, what: kind_of(self.path()) }
    }
}

fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    const FILES: [(&str, &str); 8] = [
        ("manifest.json", "manifest"),
        ("marks.json", "marks"),
        ("thumbnail.png", "thumbnail"),
        ("content", "content"),
        (".pack", "pack"),
        (".idx", "index"),
        ("session.json", "session"),
        ("base.json", "base"),
    ];
    if let Some((_, kind)) = FILES.iter().find(|(part, _)| name.contains(part)) {
        return kind;
    }
    match parent.to_str() {
        Some("snapshots") => "snapshot",
        Some("raw") => "raw snapshot",
        _ if name == "snapshots" => "snapshots",
        _ if name == "raw" => "raw",
        _ if name == "packs" => "packs",
        _ if name == "index" => "indexes",
        _ => "file",
    }
}

/// Sees every operation before it is done.
pub trait Watcher: Send + Sync + fmt::Debug {
    /// Called before `op` is done; it is not done when this refuses.
    ///
    /// # Errors
    /// What the store is to see as the system's answer.
    fn before(&self, op: Op<'_>) -> io::Result<()>;
}

/// The disk, as the store writes it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    watcher: Option<Arc<dyn Watcher>>,
}

impl Disk {
    /// The disk, with `watcher` asked before every operation.
    pub fn watched(watcher: Arc<dyn Watcher>) -> Self {
        Self { watcher: Some(watcher) }
    }

    fn ask(&self, op: Op<'_>) -> io::Result<()> {
        self.watcher.as_ref().map_or(Ok(()), |watcher| watcher.before(op))
    }

    /// Makes one private directory; it must not be there.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<()> {
        let create = || {
            self.ask(Op::CreateDirectory(path))?;
            DirBuilder::new().mode(0o700).create(path)
        };
        create().at("create", path)
    }

    /// Makes a private file; it must not be there.
    pub(crate) fn create(&self, path: &Path) -> Result<DiskFile> {
        let create = || {
            self.ask(Op::Create(path))?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        };
        Ok(DiskFile { file: create().at("create", path)?, path: path.to_owned(), disk: self.clone() })
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let rename = || {
            self.ask(Op::Rename(from, to))?;
            fs::rename(from, to)
        };
        rename().at("rename", from)
    }

    /// Makes the names in `path` durable (not the contents of the files).
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<()> {
        let sync = || {
            self.ask(Op::SyncDirectory(path))?;
            File::open(path)?.sync_all()
        };
        sync().at("sync", path)
    }

    /// Makes everything on the file system of `path` durable.
    pub(crate) fn sync_file_system(&self, path: &Path) -> Result<()> {
        let sync = || {
            self.ask(Op::SyncFileSystem(path))?;
            Ok::<_, io::Error>(rustix::fs::syncfs(File::open(path)?)?)
        };
        sync().at("sync", path)
    }

    /// Removes a file; one that is not there is no error.
    pub(crate) fn remove_file(&self, path: &Path) -> Result<()> {
        let remove = || {
            self.ask(Op::RemoveFile(path))?;
            fs::remove_file(path)
        };
        gone_is_fine(remove()).at("remove", path)
    }

    /// Removes a directory, or file, with all below it; one that is not there is no error.
    pub(crate) fn remove_tree(&self, path: &Path) -> Result<()> {
        let remove = || {
            self.ask(Op::RemoveTree(path))?;
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
                other => other,
            }
        };
        gone_is_fine(remove()).at("remove", path)
    }

    /// Puts `bytes` at `path` at once and durably: a reader sees what was there before or all of the new, also after a
    /// crash at any line. The directory has to be there.
    pub(crate) fn write_atomically(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let partial = partial_of(path);
        let written = (|| {
            let mut file = self.create(&partial)?;
            file.append(bytes)?;
            file.sync()?;
            self.rename(&partial, path)
        })();
        if let Err(error) = written {
            // The error of the write is the one to tell; a leftover has a name that every reader passes over.
            let _ = self.remove_file(&partial);
            return Err(error);
        }
        // A bare name is one in the current directory.
        let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        parent.map_or(Ok(()), |parent| self.sync_directory(parent))
    }
}

/// A name for `path` while it is not whole: passed over by every reader, taken away by a collection, and not the one that
/// another process uses at the same time.
pub(crate) fn partial_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{:08x}.partial", rand::random::<u32>()))
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut append = || {
            self.disk.ask(Op::Write(&self.path, bytes))?;
            self.file.write_all(bytes)
        };
        append().at("write", &self.path)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        let sync = || {
            self.disk.ask(Op::SyncFile(&self.path))?;
            self.file.sync_all()
        };
        sync().at("sync", &self.path)
    }
}
