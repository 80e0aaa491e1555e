//! Where our own programs and data files are, installed or in the build directory.

use std::path::{Path, PathBuf};

use freezeframe_api::{Error, ErrorKind, Result};

/// Where to look: what the environment says, and where this program itself is.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// `$FREEZEFRAME_VNC_WRAPPER`.
    pub vnc_wrapper: Option<PathBuf>,
    /// `$FREEZEFRAME_DATA_FILES`.
    pub data_files: Option<PathBuf>,
    /// The directory of this program.
    pub own_directory: Option<PathBuf>,
    /// The directories of `$PATH`.
    pub path: Vec<PathBuf>,
}

impl Programs {
    /// As the environment and `/proc/self/exe` have it.
    pub fn from_environment() -> Self {
        let own = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        let path = std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
        Self {
            vnc_wrapper: std::env::var_os("FREEZEFRAME_VNC_WRAPPER").map(PathBuf::from),
            data_files: std::env::var_os("FREEZEFRAME_DATA_FILES").map(PathBuf::from),
            own_directory: own,
            path,
        }
    }

    /// One of our own programs: beside this one, in `../libexec/freezeframe`, or in PATH.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let own = self.own_directory.iter();
        own.flat_map(|d| [d.join(name), d.join("../libexec/freezeframe").join(name), d.join("../../bin").join(name)])
            .find(|p| is_program(p))
            .or_else(|| self.find_in_path(name))
    }

    /// A program of somebody else: in PATH.
    pub fn find_in_path(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|d| d.join(name)).find(|p| is_program(p))
    }

    /// The wrapper: `$FREEZEFRAME_VNC_WRAPPER`, else as [`Programs::find`].
    ///
    /// # Errors
    /// [`ErrorKind::MachineLacks`] when it is nowhere.
    pub fn wrapper(&self) -> Result<PathBuf> {
        if let Some(path) = &self.vnc_wrapper {
            return Ok(path.clone());
        }
        self.find("vnc-wrapper").ok_or_else(|| {
            Error::new(ErrorKind::MachineLacks, "the program vnc-wrapper was not found")
                .hint("Install Freezeframe whole (`make install`), or point FREEZEFRAME_VNC_WRAPPER at the program.")
        })
    }

    /// The directory of base recipes; none when it is nowhere.
    pub fn recipes(&self) -> Option<PathBuf> {
        if let Some(files) = &self.data_files {
            return Some(files.join("bases"));
        }
        let own = self.own_directory.as_deref()?;
        let installed = ["../share/freezeframe/bases", "../../share/freezeframe/bases"].map(|p| own.join(p));
        let in_workspace = own.ancestors().filter(|a| a.join("Cargo.toml").is_file()).map(|a| a.join("data/bases"));
        installed.into_iter().chain(in_workspace).find(|p| p.is_dir())
    }

    /// The directory of our icons, a theme's directory of that name in it; none when it is nowhere.
    pub fn icons(&self) -> Option<PathBuf> {
        if let Some(files) = &self.data_files {
            return Some(files.join("icons"));
        }
        let own = self.own_directory.as_deref()?;
        let installed = ["../share/icons", "../../share/icons"].map(|p| own.join(p));
        let in_workspace = own.ancestors().filter(|a| a.join("Cargo.toml").is_file()).map(|a| a.join("data/icons"));
        let icon = "hicolor/symbolic/apps/io.github.freezeframe.Freezeframe-symbolic.svg";
        let found = installed.into_iter().chain(in_workspace).find(|p| p.join(icon).is_file())?;
        found.canonicalize().ok()
    }

    /// The recipe of that profile.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] names those that are there.
    pub fn recipe(&self, profile: &str) -> Result<PathBuf> {
        freezeframe_store::id::check_name("base", profile)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, e.to_string()))?;
        let Some(directory) = self.recipes() else {
            return Err(Error::new(ErrorKind::MachineLacks, "the base recipes were not found")
                .hint("Install Freezeframe whole (`make install`), or point FREEZEFRAME_DATA_FILES at its data."));
        };
        let file = directory.join(format!("{profile}.toml"));
        if file.is_file() {
            return Ok(file);
        }
        let known = profiles(&directory).join(", ");
        Err(Error::new(ErrorKind::NotFound, format!("there is no base profile {profile:?}"))
            .hint(format!("Profiles in {}: {known}.", directory.display())))
    }
}

fn profiles(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.strip_suffix(".toml")).map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_wrapper_is_found_beside_us_then_in_libexec_then_in_path() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let other = dir.path().join("other");
        let mut programs =
            Programs { own_directory: Some(bin.clone()), path: vec![other.clone()], ..Programs::default() };
        assert_eq!(programs.wrapper().unwrap_err().kind, ErrorKind::MachineLacks);
        program(&other.join("vnc-wrapper"));
        assert_eq!(programs.wrapper().unwrap(), other.join("vnc-wrapper"));
        program(&dir.path().join("libexec/freezeframe/vnc-wrapper"));
        assert_eq!(programs.wrapper().unwrap(), bin.join("../libexec/freezeframe/vnc-wrapper"));
        program(&bin.join("vnc-wrapper"));
        assert_eq!(programs.wrapper().unwrap(), bin.join("vnc-wrapper"));
        programs.vnc_wrapper = Some("/asked".into());
        assert_eq!(programs.wrapper().unwrap(), Path::new("/asked"));
    }

    #[test]
    fn an_unknown_profile_names_the_known_ones() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bases")).unwrap();
        fs::write(dir.path().join("bases/minimal.toml"), "").unwrap();
        let programs = Programs { data_files: Some(dir.path().to_owned()), ..Programs::default() };
        assert!(programs.recipe("minimal").is_ok());
        let error = programs.recipe("xfce").unwrap_err();
        assert!(error.hint.contains("minimal"), "{error:?}");
        assert_eq!(programs.recipe("../x").unwrap_err().kind, ErrorKind::InvalidArgument);
    }
}
