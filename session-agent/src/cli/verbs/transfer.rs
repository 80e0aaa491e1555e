//! Snapshots as files.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use freezeframe_api::records::{ExportOptions, Exported, ImportSnapshotOptions, Imported, TrustedKey};
use freezeframe_api::{Dictionary, Error, ErrorKind, Result};
use serde_json::json;
use zbus::zvariant::Fd;

use super::{base, find_snapshot};
use crate::cli::args;
use crate::cli::job::{self, Show};
use crate::cli::output::{Output, table};
use crate::cli::reach::Agent;
use crate::rules::words;

/// A file that gets its name when it is whole. Dropped before, it leaves nothing.
struct NewFile {
    file: File,
    partial: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Nobody else may read it: a snapshot holds what was on the screen and in memory.
    fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().filter(|_| !target.is_dir()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("{} cannot be the name of a file", target.display()))
        })?;
        // What is there and no file is not replaced by one.
        if target.metadata().is_ok_and(|there| !there.is_file()) {
            let text = format!("{} is not a file", target.display());
            let hint = "Name a file, or write to a device or a pipe by: sessionctl export SNAPSHOT - > NAME";
            return Err(Error::new(ErrorKind::InvalidArgument, text).hint(hint));
        }
        let hidden = format!(".{}.{:08x}.partial", name.to_string_lossy(), rand::random::<u32>());
        let partial = target.with_file_name(hidden);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial);
        Ok(Self { file: file.map_err(|e| cannot_write(target, &e))?, partial, target: target.to_owned() })
    }

    fn finish(self) -> Result<()> {
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

pub(super) async fn export(agent: &Agent, arguments: &args::Export, output: Output) -> Result<()> {
    let snapshot = find_snapshot(agent, &arguments.snapshot).await?;
    let options = ExportOptions { with_base: arguments.with_base }.to_dict();
    if arguments.file == Path::new("-") {
        let stdout = std::io::stdout();
        if stdout.is_terminal() {
            let text = "an export is not for a terminal";
            return Err(Error::new(ErrorKind::InvalidArgument, text).hint("Name a file, or pipe it into a program."));
        }
        let path = snapshot.export(Fd::from(stdout.as_fd()), &options).await?;
        let done: Exported = job::wait(agent, path, Show::Progress).await?;
        return tell(&done);
    }
    let file = NewFile::create(&arguments.file)?;
    let path = snapshot.export(Fd::from(&file.file), &options).await?;
    let done: Exported = job::wait(agent, path, Show::Progress).await?;
    file.finish()?;
    if output.json {
        let Exported { snapshot, key, bytes } = &done;
        return output
            .print(&json!({"snapshot": snapshot, "file": arguments.file, "key": key, "bytes": bytes}), |_| {
                String::new()
            });
    }
    tell(&done)
}

fn tell(done: &Exported) -> Result<()> {
    crate::stderr::say(format_args!("Exported {}. The receiver imports it with --trust {}", done.snapshot, done.key));
    Ok(())
}

pub(super) async fn import(agent: &Agent, arguments: args::Import, output: Output) -> Result<()> {
    let options = ImportSnapshotOptions { trust: arguments.trust, remember: arguments.remember }.to_dict();
    let path = if arguments.file == Path::new("-") {
        agent.manager.import_snapshot(Fd::from(std::io::stdin().as_fd()), &options).await?
    } else {
        let file = base::open(&arguments.file)?;
        agent.manager.import_snapshot(Fd::from(&file), &options).await?
    };
    let done: Imported = job::wait(agent, path, Show::Progress).await?;
    if !output.json {
        if done.was_there {
            crate::stderr::say(format_args!("It was there already."));
        }
        if let Some(base) = &done.base {
            crate::stderr::say(format_args!("The base {base} came with it."));
        }
        crate::stderr::say(format_args!("The store has grown by {}.", words::bytes(done.new_bytes)));
    }
    output.print(&done, |d| d.snapshot.clone())
}

pub(super) async fn key(agent: &Agent, output: Output) -> Result<()> {
    let key = agent.manager.public_key().await?;
    output.print(&json!({"key": key}), |_| key.clone())
}

pub(super) async fn trusted(agent: &Agent, output: Output) -> Result<()> {
    let rows = agent.manager.trusted_keys().await?;
    let rows: Vec<TrustedKey> = rows.iter().map(TrustedKey::from_dict).collect::<Result<_>>()?;
    output.print(&rows, |rows| {
        let rows: Vec<_> = rows.iter().map(|r| vec![r.key.clone(), r.name.clone()]).collect();
        table(
            &["KEY", "WHOSE"],
            &rows,
            "No key but your own is trusted. With one: sessionctl import FILE --trust KEY --remember NAME",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
