//! Small file systems that a test can fill to the last byte and make read-only.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Its own file system at a directory. Dropping it takes it away, lazily: an open file there stays open.
#[derive(Debug)]
pub struct Disk {
    point: PathBuf,
    /// Holds the image of an ext4.
    _image: Option<TempDir>,
}

fn run(program: &str, arguments: &[&OsStr]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Disk {
    /// A tmpfs of `bytes` at `point`, an empty directory; mode 0700.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn tmpfs(point: &Path, bytes: u64) -> Result<Self> {
        let options = format!("size={bytes},mode=700");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs"]
                .map(OsStr::new)
                .into_iter()
                .chain([point.as_os_str()])
                .collect::<Vec<_>>(),
        )?;
        Ok(Self { point: point.to_owned(), _image: None })
    }

    /// An ext4 of `bytes` at `point`, none of which is kept back for root.
    ///
    /// # Errors
    /// When it cannot be made or mounted.
    pub fn ext4(point: &Path, bytes: u64) -> Result<Self> {
        let image = tempfile::Builder::new().prefix("disk.").tempdir_in("/var/tmp")?;
        let file = image.path().join("image");
        File::create(&file)?.set_len(bytes)?;
        run("mkfs.ext4", &["-q".as_ref(), "-m".as_ref(), "0".as_ref(), file.as_os_str()])?;
        run("mount", &["-o".as_ref(), "loop".as_ref(), file.as_os_str(), point.as_os_str()])?;
        Ok(Self { point: point.to_owned(), _image: Some(image) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Leaves 0 bytes free; [`Disk::relieve`] takes that back.
    ///
    /// # Errors
    /// When something else than the lack of room ends it.
    pub fn fill(&self) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler())?;
        for size in [1 << 20, 4096, 512, 1] {
            let bytes = vec![1; size];
            loop {
                // Durable at once, because ext4 allocates late.
                match file.write_all(&bytes).and_then(|()| file.sync_data()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back that [`Disk::fill`] took.
    ///
    /// # Errors
    /// When it cannot be given back.
    pub fn relieve(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.point.join("filler")
    }

    /// Makes it read-only, or writable again.
    ///
    /// # Errors
    /// When it cannot be: somebody has a file open for writing.
    pub fn read_only(&self, read_only: bool) -> Result<()> {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        run("mount", &["-o".as_ref(), options.as_ref(), self.point.as_os_str()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &["-l".as_ref(), self.point.as_os_str()]) {
            eprintln!("{} is left: {error:#}", self.point.display());
        }
    }
}
