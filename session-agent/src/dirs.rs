//! The directories of one user. Agent and `sessionctl` find the same ones by the same function.
//!
//! They are those of the XDG Base Directory Specification, as the crate `directories` finds them. That has a program pass over a relative path silently; here it is
//! an error, because what is then read and written is not what the user has said.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use directories::BaseDirs;
use freezeframe_api::{Error, ErrorKind, Result};

/// Where everything of one user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// `$XDG_DATA_HOME/freezeframe`.
    pub data: PathBuf,
    /// `$XDG_CONFIG_HOME/freezeframe/config.toml`; may be absent.
    pub config_file: PathBuf,
    /// The user's runtime directory; ours in it is [`Directories::runtime_own`].
    pub runtime: PathBuf,
}

impl Directories {
    /// Finds them by the environment and makes the runtime directory where it is missing.
    ///
    /// # Errors
    /// When a variable is missing that says where they are, or is a relative path; or the runtime directory is not ours
    /// alone.
    pub fn find() -> Result<Self> {
        check(|name| std::env::var_os(name))?;
        let base = BaseDirs::new().ok_or_else(|| no_home("HOME"))?;
        let uid = rustix::process::geteuid().as_raw();
        Self::below(base.data_dir(), base.config_dir(), base.runtime_dir(), Path::new("/run/user"), uid)
    }

    /// Those of the user `uid` in these base directories; `run_user` is `/run/user`.
    fn below(data: &Path, config: &Path, runtime: Option<&Path>, run_user: &Path, uid: u32) -> Result<Self> {
        let (data, config_file) = (data.join("freezeframe"), config.join("freezeframe/config.toml"));
        let runtime = runtime.map_or_else(|| runtime_directory(run_user, &data, uid), |given| Ok(given.to_owned()))?;
        Ok(Self { data, config_file, runtime })
    }

    /// `<runtime>/freezeframe`: sockets of sessions, the private bus, the agent's log.
    pub fn runtime_own(&self) -> PathBuf {
        self.runtime.join("freezeframe")
    }

    /// Makes [`Directories::runtime_own`] (0700) and checks that it is ours alone.
    ///
    /// # Errors
    /// When it cannot be made or belongs to somebody else.
    pub fn make_runtime_own(&self) -> Result<PathBuf> {
        let own = self.runtime_own();
        make_ours(&own, rustix::process::geteuid().as_raw())?;
        Ok(own)
    }
}

/// Checks what the environment says of the base directories, before anything relies on it.
fn check(variable: impl Fn(&str) -> Option<OsString>) -> Result<()> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
        let path = variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = path.filter(|path| !path.is_absolute()) {
            let text = format!("{name} is {}, which is no absolute path", path.display());
            return Err(Error::new(ErrorKind::MachineLacks, text)
                .hint(format!("Set it to a path that begins with a slash, or unset it: unset {name}")));
        }
    }
    let missing = ["XDG_DATA_HOME", "XDG_CONFIG_HOME"].into_iter().find(|name| !is_set(name));
    missing.filter(|_| !is_set("HOME")).map_or(Ok(()), |name| Err(no_home(name)))
}

fn no_home(name: &str) -> Error {
    let text = format!("there is no home directory: neither HOME nor {name} is set");
    Error::new(ErrorKind::MachineLacks, text).hint("Set HOME to your home directory and try again.")
}

/// Where nobody has set `XDG_RUNTIME_DIR`: `/run/user/UID`, which the system makes at a login, if it is there and ours alone;
/// else `run` in the data directory. Nothing in /tmp: a name there that the next call finds again is one that somebody else can
/// take first.
///
/// # Errors
/// When the last one cannot be made, or others could put another in its place.
fn runtime_directory(run_user: &Path, data: &Path, uid: u32) -> Result<PathBuf> {
    let usual = run_user.join(uid.to_string());
    if fs::symlink_metadata(&usual).is_ok_and(|there| why_not_ours(&there, uid).is_none()) {
        return Ok(usual);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|e| unfit(data, &e.to_string()))?;
    let own = data.join("run");
    make_ours(&own, uid)?;
    let real = fs::canonicalize(&own).map_err(|e| unfit(&own, &e.to_string()))?;
    for above in real.ancestors().skip(1) {
        let there = fs::symlink_metadata(above).map_err(|e| unfit(&own, &e.to_string()))?;
        if let Some(reason) = why_replaceable(&there, uid) {
            return Err(unfit(&own, &format!("{} {reason}", above.display())));
        }
    }
    Ok(own)
}

fn unfit(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("cannot use {} as runtime directory: {reason}", path.display()))
        .hint("Set XDG_RUNTIME_DIR to a directory of your own with mode 0700.")
}

/// Makes a directory of the user `uid` with mode 0700, or checks that the one that is there is such a one.
fn make_ours(path: &Path, uid: u32) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        // Whatever the umask took away.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|e| unfit(path, &e.to_string()))?,
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(unfit(path, &e.to_string())),
        Err(_) => {}
    }
    // Not through a link, which could lead anywhere.
    let there = fs::symlink_metadata(path).map_err(|e| unfit(path, &e.to_string()))?;
    why_not_ours(&there, uid).map_or(Ok(()), |reason| Err(unfit(path, &reason)))
}

fn why_not_ours(there: &Metadata, uid: u32) -> Option<String> {
    if !there.is_dir() {
        return Some("it is not a directory".into());
    }
    if there.uid() != uid {
        return Some(format!("it belongs to user {}", there.uid()));
    }
    (there.mode() & 0o077 != 0).then(|| format!("others can enter it (mode {:o})", there.mode() & 0o7777))
}

/// Why others could put something else in the place of what is in this directory.
fn why_replaceable(there: &Metadata, uid: u32) -> Option<String> {
    if there.uid() != uid && there.uid() != 0 {
        return Some(format!("belongs to user {}", there.uid()));
    }
    let others = there.mode() & 0o002 != 0;
    // A user's own group is the user, as most systems have it.
    let group = there.mode() & 0o020 != 0 && there.gid() != rustix::process::getegid().as_raw() && there.gid() != 0;
    let sticky = there.mode() & 0o1000 != 0;
    ((others || group) && !sticky).then(|| format!("can be written by others (mode {:o})", there.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn find(home: &Path, runtime: Option<&Path>, run_user: &Path) -> Result<Directories> {
        Directories::below(&home.join(".local/share"), &home.join(".config"), runtime, run_user, uid())
    }

    fn check_of(variables: &[(&str, &str)]) -> Result<()> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        check(|name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn the_environment_goes_first_and_then_the_usual_place() {
        let dir = tempfile::tempdir().unwrap();
        let (run, home) = (dir.path().join("run"), dir.path().join("home"));
        let found = find(&home, Some(Path::new("/asked")), &run).unwrap();
        assert_eq!(found.runtime, Path::new("/asked"));
        assert_eq!(found.data, home.join(".local/share/freezeframe"));
        assert_eq!(found.config_file, home.join(".config/freezeframe/config.toml"));
        let found = find(&home, None, &run).unwrap();
        assert_eq!(found.runtime, home.join(".local/share/freezeframe/run"));
        assert_eq!(fs::metadata(&found.runtime).unwrap().mode() & 0o7777, 0o700);
        let usual = run.join(uid().to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(&usual).unwrap();
        assert_eq!(find(&home, None, &run).unwrap().runtime, usual);
        // One that others can enter is not the system's.
        fs::set_permissions(&usual, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(&home, None, &run).unwrap().runtime, home.join(".local/share/freezeframe/run"));
    }

    /// Issue 9, number 5.
    #[test]
    fn what_is_missing_or_relative_is_named() {
        let nothing = check_of(&[]).unwrap_err();
        assert!(nothing.message.contains("neither HOME nor XDG_DATA_HOME is set"), "{nothing}");
        let error = check_of(&[("HOME", "some/where")]).unwrap_err();
        assert!(error.message.contains("HOME is some/where"), "{error}");
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            let error = check_of(&[("HOME", "/home/ann"), (name, "some/where")]).unwrap_err();
            assert!(error.message.contains(name) && error.message.contains("some/where"), "{error}");
            assert!(error.hint.contains(&format!("unset {name}")), "{error:?}");
        }
        // An empty one is as good as none.
        check_of(&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "")]).unwrap();
        // Who has said both needs no HOME.
        check_of(&[("XDG_DATA_HOME", "/data"), ("XDG_CONFIG_HOME", "/config")]).unwrap();
    }

    /// Issue 9, number 5.
    #[test]
    fn a_runtime_directory_that_others_could_have_or_replace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (run, home) = (dir.path().join("run"), dir.path().join("home"));
        let data = home.join(".local/share/freezeframe");
        fs::create_dir_all(&data).unwrap();
        let own = data.join("run");
        let refused = || find(&home, None, &run).unwrap_err().message;
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
        assert!(refused().contains("mode 755"), "{}", refused());
        fs::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink(dir.path(), &own).unwrap();
        assert!(refused().contains("not a directory"), "{}", refused());
        fs::remove_file(&own).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o777)).unwrap();
        assert!(refused().contains("can be written by others (mode 777)"), "{}", refused());
        if uid() == 0 {
            fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&home, Some(4711), None).unwrap();
            assert!(refused().contains("belongs to user 4711"), "{}", refused());
        }
    }
}
