//! Our own programs, in the build directory that this program is in.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Where they all are.
    pub directory: PathBuf,
    /// `sessionctl`.
    pub sessionctl: PathBuf,
    /// `vnc-wrapper`.
    pub vnc_wrapper: PathBuf,
}

impl Programs {
    /// Finds them in `$FREEZEFRAME_PROGRAMS`, else beside this program, or, for a test, one directory up
    /// (`target/<profile>/deps`).
    ///
    /// # Errors
    /// When one is missing, or older than the source that is there: nobody should test yesterday's programs.
    pub fn find() -> Result<Self> {
        let directory = match std::env::var_os("FREEZEFRAME_PROGRAMS") {
            Some(directory) => PathBuf::from(directory),
            None => beside_us()?,
        };
        for name in ["session-agent", "sessionctl", "vnc-wrapper"] {
            let path = directory.join(name);
            ensure!(
                path.is_file(),
                "{} is missing: build the programs first (`make build`, or `cargo build -p session-agent -p vnc-wrapper`)",
                path.display()
            );
        }
        let found =
            Self { sessionctl: directory.join("sessionctl"), vnc_wrapper: directory.join("vnc-wrapper"), directory };
        found.ensure_fresh()?;
        Ok(found)
    }

    /// The recipe of a base, in the checkout that the programs were built in.
    ///
    /// # Errors
    /// When it is not there.
    pub fn recipe(&self, base: &str) -> Result<PathBuf> {
        let name = format!("data/bases/{base}.toml");
        let found = self.directory.ancestors().map(|a| a.join(&name)).find(|p| p.is_file());
        found.with_context(|| format!("there is no {name} above {}", self.directory.display()))
    }

    /// Compares with the files that cargo itself noted as what each program was made from.
    fn ensure_fresh(&self) -> Result<()> {
        for name in ["session-agent", "sessionctl", "vnc-wrapper"] {
            let program = self.directory.join(name);
            // Absent where the programs are installed: there is no source to compare with then.
            let Ok(notes) = std::fs::read_to_string(self.directory.join(format!("{name}.d"))) else { continue };
            let built = modified(&program)?;
            let sources = notes.split_once(": ").map_or("", |(_, sources)| sources);
            for source in sources.split_whitespace() {
                let Ok(changed) = modified(&PathBuf::from(source)) else { continue };
                ensure!(
                    changed <= built,
                    "{} is older than {source}: build the programs first (`make build`)",
                    program.display()
                );
            }
        }
        Ok(())
    }
}

fn beside_us() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    let mut directory = own.parent().map(PathBuf::from).unwrap_or_default();
    if directory.ends_with("deps") {
        directory.pop();
    }
    Ok(directory)
}

fn modified(path: &std::path::Path) -> Result<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).with_context(|| path.display().to_string())
}
