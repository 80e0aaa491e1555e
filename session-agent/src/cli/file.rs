//! Files that a verb writes for its user.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use freezeframe_api::{Error, ErrorKind, Result};

/// A file that gets its name when it is whole. Dropped before, it leaves nothing.
pub(super) struct NewFile {
    pub(super) file: File,
    partial: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Nobody else may read it: a snapshot holds what was on the screen and in memory.
    pub(super) fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().filter(|_| !target.is_dir()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("{} cannot be the name of a file", target.display()))
        })?;
        // What is there and no file is not replaced by one.
        if target.metadata().is_ok_and(|there| !there.is_file()) {
            let text = format!("{} is not a file", target.display());
            let hint =
                "Name a file, or write to a device or a pipe through standard output: give - in place of the file.";
            return Err(Error::new(ErrorKind::InvalidArgument, text).hint(hint));
        }
        let hidden = format!(".{}.{:08x}.partial", name.to_string_lossy(), rand::random::<u32>());
        let partial = target.with_file_name(hidden);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial);
        let new = Self { file: file.map_err(|e| cannot_write(target, &e))?, partial, target: target.to_owned() };
        // Whatever the umask took away.
        new.file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(|e| cannot_write(target, &e))?;
        Ok(new)
    }

    /// Writes all of a small file and gives it its name.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| cannot_write(&self.target, &e))?;
        self.finish()
    }

    pub(super) fn finish(self) -> Result<()> {
        let named = self.file.sync_all().and_then(|()| fs::rename(&self.partial, &self.target));
        named.map_err(|e| cannot_write(&self.target, &e))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It has its name by now, or is worth nothing.
        let _ = fs::remove_file(&self.partial);
    }
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull { ErrorKind::NoSpace } else { ErrorKind::Failed };
    Error::new(kind, format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_directory_is_one_in_the_current_directory() {
        let name = format!("issue-9-16-{}.png", std::process::id());
        NewFile::create(Path::new(&name)).unwrap().write(b"png").unwrap();
        let written = fs::read(&name);
        fs::remove_file(&name).unwrap();
        assert_eq!(written.unwrap(), b"png");
    }

    #[test]
    fn only_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "before").unwrap();
        drop(NewFile::create(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        NewFile::create(&file).unwrap().finish().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
        for other in [Path::new("/dev/null"), directory.path(), Path::new("..")] {
            let error = NewFile::create(other).err().unwrap();
            assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something is left behind");
    }
}
