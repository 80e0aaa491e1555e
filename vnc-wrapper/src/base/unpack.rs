//! Unpacking an archive, judged by [`super::archive`] on its way, as root of the session's id map.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::archive::{self, CopyError, Summary};
use super::{Error, Result, decoder};
use crate::kernel::idmap::IdMap;
use crate::kernel::userns::{open_directory, spawn_in_user_namespace, start_in};

/// How `tar` is called. It starts in the root and is told no path: it could not walk one through a private directory.
///
/// `user.overlay.*` and `trusted.overlay.*` would mean something to the file system that sessions lay over the base.
const TAR: [&str; 9] = [
    "--extract",
    "--file=-",
    "--numeric-owner",
    "--preserve-permissions",
    "--same-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--xattrs-exclude=*.overlay.*",
    "--warning=no-timestamp",
];
/// How much of what a program says about its failure is told.
const MAX_WORDS: usize = 600;

/// Unpacks `source` (plain, or compressed with gzip or zstd) into the empty directory `root`; `name` is what to call it.
///
/// # Errors
/// When the archive cannot be a base or cannot be unpacked; `root` then holds a part of it.
pub(super) fn unpack(
    source: impl Read + Send,
    root: &Path,
    map: &IdMap,
    machine_id: &str,
    name: &str,
) -> Result<Summary> {
    let archive = |source| Error::Archive { name: name.to_owned(), source };
    let mut source = decoder::decode(source).map_err(archive)?;
    let mut child = spawn_tar(root, map)?;
    let Some(mut input) = child.stdin.take() else {
        return Err(Error::Start { program: "tar", source: io::Error::other("it has no standard input") });
    };
    let errors = child.stderr.take();
    let (copied, words) = std::thread::scope(|scope| {
        let words = scope.spawn(move || errors.map(tail).unwrap_or_default());
        let copied = archive::copy(&mut source, &mut input as &mut dyn Write, machine_id);
        drop(input);
        (copied, words.join().unwrap_or_default())
    });
    let status = child.wait().map_err(|source| Error::Start { program: "tar", source })?;
    match copied {
        Err(CopyError::Archive(error)) => Err(archive(error)),
        Ok(summary) if status.success() => Ok(summary),
        // tar went away before the end, or did not like it at the end: it has the reason.
        Ok(_) | Err(CopyError::Sink(_)) => Err(Error::Unpack { reason: words_or_status(&words, status) }),
    }
}

fn spawn_tar(root: &Path, map: &IdMap) -> Result<Child> {
    let start = |source| Error::Start { program: "tar", source };
    let mut command = Command::new("tar");
    command.args(TAR).env_remove("TAR_OPTIONS").env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    start_in(&mut command, open_directory(root).map_err(start)?);
    spawn_in_user_namespace(map, &mut command).map_err(start)
}

/// Reads `stream` to its end, so that its writer never waits; answers its last few kilobytes.
pub(super) fn tail(mut stream: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(got @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..got]);
        kept.drain(..kept.len().saturating_sub(2 * buffer.len()));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last lines of `words`, or the status where there are none.
pub(super) fn words_or_status(words: &str, status: ExitStatus) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in words.lines().rev().map(str::trim).filter(|l| !l.is_empty()) {
        if lines.iter().map(|l| l.len()).sum::<usize>() + line.len() > MAX_WORDS {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    if lines.is_empty() { status.to_string() } else { lines.join("; ") }
}
