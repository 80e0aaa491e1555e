//! The directories of one user. Agent and `sessionctl` find the same ones by the same function.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use freezeframe_api::{Error, ErrorKind};

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
    /// When there is no home directory, or the runtime directory is not ours alone.
    pub fn find() -> Result<Self, Error> {
        let base = directories::BaseDirs::new().ok_or_else(|| {
            Error::new(ErrorKind::MachineLacks, "there is no home directory").hint("Set HOME and try again.")
        })?;
        Ok(Self {
            data: base.data_dir().join("freezeframe"),
            config_file: base.config_dir().join("freezeframe/config.toml"),
            runtime: runtime_directory(
                std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).as_deref(),
                Path::new("/run/user"),
                Path::new("/tmp"),
                rustix::process::geteuid().as_raw(),
            )?,
        })
    }

    /// `<runtime>/freezeframe`: sockets of sessions, the private bus, the agent's log.
    pub fn runtime_own(&self) -> PathBuf {
        self.runtime.join("freezeframe")
    }

    /// Makes [`Directories::runtime_own`] (0700) and checks that it is ours alone.
    ///
    /// # Errors
    /// When it cannot be made or belongs to somebody else.
    pub fn make_runtime_own(&self) -> Result<PathBuf, Error> {
        let own = self.runtime_own();
        make_ours(&own, rustix::process::geteuid().as_raw())?;
        Ok(own)
    }
}

/// `$XDG_RUNTIME_DIR`, else `/run/user/UID` if it is there and ours, else `/tmp/freezeframe-UID`, made and checked.
///
/// # Errors
/// When the last one cannot be made, or somebody else made it before us.
pub fn runtime_directory(from_env: Option<&Path>, run_user: &Path, tmp: &Path, uid: u32) -> Result<PathBuf, Error> {
    if let Some(path) = from_env.filter(|p| p.is_absolute()) {
        return Ok(path.to_owned());
    }
    let usual = run_user.join(uid.to_string());
    if fs::symlink_metadata(&usual).is_ok_and(|m| m.is_dir() && m.uid() == uid) {
        return Ok(usual);
    }
    let own = tmp.join(format!("freezeframe-{uid}"));
    make_ours(&own, uid)?;
    Ok(own)
}

fn make_ours(path: &Path, uid: u32) -> Result<(), Error> {
    let failed = |reason: String| {
        Error::new(ErrorKind::Failed, format!("cannot use {} as runtime directory: {reason}", path.display()))
            .hint("Set XDG_RUNTIME_DIR to a directory of your own with mode 0700.")
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e.to_string())),
        _ => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(|e| failed(e.to_string()))?;
    if !metadata.is_dir() {
        return Err(failed("it is not a directory".into()));
    }
    if metadata.uid() != uid {
        return Err(failed(format!("it belongs to user {}", metadata.uid())));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(failed(format!("others can enter it (mode {:o})", metadata.mode() & 0o7777)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn the_environment_goes_first_and_then_the_usual_place() {
        let dir = tempfile::tempdir().unwrap();
        let (run, tmp) = (dir.path().join("run"), dir.path());
        let asked = Path::new("/asked");
        assert_eq!(runtime_directory(Some(asked), &run, tmp, uid()).unwrap(), asked);
        assert_eq!(runtime_directory(None, &run, tmp, uid()).unwrap(), tmp.join(format!("freezeframe-{}", uid())));
        let usual = run.join(uid().to_string());
        fs::create_dir_all(&usual).unwrap();
        assert_eq!(runtime_directory(Some(Path::new("relative")), &run, tmp, uid()).unwrap(), usual);
    }

    #[test]
    fn a_fallback_that_others_can_enter_or_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (run, own) = (dir.path().join("run"), dir.path().join(format!("freezeframe-{}", uid())));
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
        let error = runtime_directory(None, &run, dir.path(), uid()).unwrap_err();
        assert!(error.message.contains("mode 755"), "{error}");
        fs::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink(dir.path(), &own).unwrap();
        assert!(runtime_directory(None, &run, dir.path(), uid()).is_err());
    }
}
