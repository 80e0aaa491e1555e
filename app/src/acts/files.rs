//! The files that snapshots are exported to and imported from. They are opened aside: neither a pipe nor a share that does not
//! answer may hold up the window.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use freezeframe_api::{Error, ErrorKind};
use gtk::gio;
use tempfile::NamedTempFile;

use crate::i18n::{gettext, gettext_f};

/// Opens a file to read it.
pub(super) async fn open(path: PathBuf) -> Result<OwnedFd, Error> {
    aside(move || open_now(&path)).await
}

/// A file that gets its name when it is whole; until then a file of that name stays as it is.
#[derive(Debug)]
pub(super) struct NewFile {
    partial: NamedTempFile,
    target: PathBuf,
}

impl NewFile {
    /// Begins one. Nobody else may read it: a snapshot holds what was on the screen and in memory.
    pub(super) async fn create(target: PathBuf) -> Result<Self, Error> {
        aside(move || Self::create_now(target)).await
    }

    /// Another descriptor of it.
    pub(super) fn descriptor(&self) -> Result<OwnedFd, Error> {
        let file = self.partial.as_file().try_clone();
        file.map(OwnedFd::from).map_err(|error| cannot_be_written(&self.target, &error))
    }

    /// Gives it its name.
    pub(super) async fn finish(self) -> Result<(), Error> {
        aside(move || self.finish_now()).await
    }

    /// Leaves nothing of it.
    pub(super) async fn discard(self) {
        // Where it cannot be removed, there is nobody to do better.
        let _ = gio::spawn_blocking(move || drop(self)).await;
    }

    fn create_now(target: PathBuf) -> Result<Self, Error> {
        // Nobody wants a device to become a file.
        if target.metadata().is_ok_and(|there| !there.is_file()) {
            return Err(no_file(&target).hint(gettext("Choose another name.")));
        }
        // A link stays one.
        let target = target.canonicalize().unwrap_or(target);
        let partial = tempfile::Builder::new()
            .prefix(".")
            .suffix(".partial")
            .tempfile_in(target.parent().unwrap_or(Path::new("/")))
            .map_err(|error| cannot_be_written(&target, &error))?;
        Ok(Self { partial, target })
    }

    fn finish_now(self) -> Result<(), Error> {
        let Self { partial, target } = self;
        let named = partial.as_file().sync_all().and_then(|()| Ok(partial.persist(&target)?));
        named.map(drop).map_err(|error| cannot_be_written(&target, &error))
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let bug = |_| Err(Error::new(ErrorKind::Failed, "this program made a mistake with a file"));
    gio::spawn_blocking(work).await.unwrap_or_else(bug)
}

fn open_now(path: &Path) -> Result<OwnedFd, Error> {
    let cannot_be_read = |error: io::Error| {
        let (file, error) = (path.display().to_string(), error.to_string());
        let values: &[(&str, &str)] = &[("file", &file), ("error", &error)];
        Error::new(ErrorKind::Failed, gettext_f("{file} cannot be read: {error}", values))
    };
    // Before it is opened, which for a pipe is to wait for its writer.
    if !path.metadata().map_err(cannot_be_read)?.is_file() {
        return Err(no_file(path).hint(gettext("Choose a file that a snapshot was exported to.")));
    }
    File::open(path).map(OwnedFd::from).map_err(cannot_be_read)
}

fn no_file(path: &Path) -> Error {
    let file = path.display().to_string();
    Error::new(ErrorKind::InvalidArgument, gettext_f("{file} is a folder, a pipe or a device", &[("file", &file)]))
}

fn cannot_be_written(path: &Path, error: &io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::NoSpace } else { ErrorKind::Failed };
    let (file, error) = (path.display().to_string(), error.to_string());
    Error::new(kind, gettext_f("{file} cannot be written: {error}", &[("file", &file), ("error", &error)]))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, file) = (directory.path().join("pipe"), directory.path().join("file"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(&file, "x").unwrap();
        assert!(open_now(&file).is_ok());
        for other in [pipe.as_path(), directory.path(), Path::new("/dev/null")] {
            let error = open_now(other).unwrap_err();
            assert!(error.message.ends_with("is a folder, a pipe or a device"), "{error:?}");
        }
        let error = open_now(&directory.path().join("none")).unwrap_err();
        assert!(error.message.contains("cannot be read: No such file"), "{error:?}");
    }

    #[test]
    fn a_new_file_is_whole_or_not_there_and_only_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("snapshot");
        std::fs::write(&target, "old").unwrap();
        let begin = || {
            let new = NewFile::create_now(target.clone()).unwrap();
            File::from(new.descriptor().unwrap()).write_all(b"new").unwrap();
            new
        };
        drop(begin());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
        begin().finish_now().unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "something was left");
        assert!(NewFile::create_now(directory.path().join("none/snapshot")).is_err());
        assert!(NewFile::create_now("/dev/null".into()).is_err());
    }
}
