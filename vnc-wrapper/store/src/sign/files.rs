//! The key files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::layout::make_private;
use crate::sync::sync_directory;

use super::key::SigningKey;

const SECRET_TITLE: &str = "freezeframe signing key";
const PUBLIC_TITLE: &str = "freezeframe public key";
/// The newest format of the key files that this release reads.
pub(super) const FORMAT: u32 = 1;
/// No file of keys is larger.
pub(super) const MAX_FILE: u64 = 1 << 20;

fn secret_file(keys: &Path) -> PathBuf {
    keys.join("signing.key")
}

/// The user's key, if it was made already.
pub(super) fn open(keys: &Path) -> Result<Option<SigningKey>> {
    let path = secret_file(keys);
    let Some(text) = read(&path, true)? else { return Ok(None) };
    let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
    let body = body(&path, &text, SECRET_TITLE)?;
    let line = body.strip_suffix('\n').ok_or_else(|| damaged("its last line has no end".into()))?;
    // The text is not told: it might be most of a secret.
    SigningKey::from_secret_text(line).map(Some).map_err(|e| damaged(e.to_string()))
}

/// The user's key; made where there is none.
pub(super) fn open_or_make(keys: &Path) -> Result<SigningKey> {
    make_private(keys)?;
    if let Some(key) = open(keys)? {
        return Ok(key);
    }
    let path = secret_file(keys);
    let key = SigningKey::generate().at("get random numbers for", &path)?;
    let partial = write_partial(&path, &format!("{SECRET_TITLE} {FORMAT}\n{}\n", key.secret_text()))?;
    // A link, unlike a rename, does not replace the key that another process made in the meantime.
    let linked = fs::hard_link(&partial, &path);
    let removed = fs::remove_file(&partial);
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.at("create", &path)?,
    }
    removed.at("remove", &partial)?;
    sync_directory(keys)?;
    let key = open(keys)?.ok_or_else(|| Error::NotFound { what: "key", name: path.display().to_string() })?;
    replace(&keys.join("signing.pub"), &format!("{PUBLIC_TITLE} {FORMAT}\n{}\n", key.public()))?;
    Ok(key)
}

/// The text of the file at `path`; none when there is no file. Hostile until checked: a regular file of this user, bounded,
/// UTF-8, and where it is `secret`, closed to others.
pub(super) fn read(path: &Path, secret: bool) -> Result<Option<String>> {
    let damaged = |reason: &str| Error::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(damaged("it is a symbolic link"));
        }
        other => other.at("read", path)?,
    };
    let metadata = file.metadata().at("read", path)?;
    if !metadata.is_file() {
        return Err(damaged("it is not a regular file"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(damaged("it belongs to another user"));
    }
    if secret && metadata.mode() & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).at("read", path)?;
    if text.len() as u64 > MAX_FILE {
        return Err(damaged("it is larger than any file of keys"));
    }
    Ok(Some(text))
}

/// What follows the first line of `text`, which has to be `title` and a format that is known.
pub(super) fn body<'a>(path: &Path, text: &'a str, title: &str) -> Result<&'a str> {
    let damaged = || Error::Damaged { path: path.to_owned(), reason: format!("it does not begin with \"{title}\"") };
    let (first, body) = text.split_once('\n').ok_or_else(damaged)?;
    let format = first.strip_prefix(title).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(damaged)?;
    match format.parse() {
        Ok(FORMAT) => Ok(body),
        Ok(found) if found > FORMAT => Err(Error::TooNew { path: path.to_owned(), found, known: FORMAT }),
        _ => Err(damaged()),
    }
}

/// Puts `text` at `path` at once and durably; several processes may do so at the same time.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let partial = write_partial(path, text)?;
    if let Err(error) = fs::rename(&partial, path) {
        // The error of the rename is the one to tell.
        let _ = fs::remove_file(&partial);
        return Err(error).at("create", path);
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Writes `text` to a new file beside `path` that nobody else writes to.
fn write_partial(path: &Path, text: &str) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.{:016x}.partial", rand::random::<u64>()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    if written.is_err() {
        // As in `replace`; a leftover has a name that nobody reads.
        let _ = fs::remove_file(&partial);
    }
    written.at("create", path)?;
    Ok(partial)
}

/// Holds off other processes that change the list of trusted keys, until the returned file is closed.
pub(super) fn lock(keys: &Path) -> Result<File> {
    make_private(keys)?;
    let directory = File::open(keys).at("open", keys)?;
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).at("lock", keys)?;
    Ok(directory)
}
