//! The plugin that CRIU loads (`vnc-wrapper/plugin`). While it saves, waiting system calls go on waiting, and it tells when
//! CRIU has done everything and has not yet let go of the processes ([`LET_GO`]). While it resumes, it is our hand on the
//! threads that CRIU traces ([`TRACE`]).
//!
//! There is one for x86_64, and CRIU has the hook since 4.0; elsewhere those calls return EINTR, as after any signal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::peers::{self, Person};

#[cfg(target_arch = "x86_64")]
const LIBRARY: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/freezeframe.so")));
#[cfg(not(target_arch = "x86_64"))]
const LIBRARY: Option<&[u8]> = None;
/// Its name; CRIU loads what ends so.
const FILE: &str = "freezeframe.so";
/// How it names that stage, as CRIU names others to its action script.
pub(super) const LET_GO: &str = "let-go";
/// How it names a thread that waits for a time, of which only the kernel knows what is left.
pub(super) const WAITS: &str = "waits";
/// How it names the one, of a resume, at which it does what it is asked for ([`super::traced`]).
pub(super) const TRACE: &str = "trace";
/// The file that says who processes are, and the variable that names it to the plugin.
const PEOPLE: &str = "people";
const PEERS_VARIABLE: &str = "FREEZEFRAME_PEERS";
/// The first CRIU, by its main number, that calls it when all threads have stopped.
const SINCE: u32 = 4;

/// The plugin in a directory of its own, which is what CRIU is given (criu(8), --libdir). Dropping it takes it away.
#[derive(Debug)]
pub(super) struct Plugin(PathBuf);

impl Plugin {
    /// Puts it below `runtime` for CRIU of `version`; nothing where it would be of no use.
    pub(super) fn place(runtime: &Path, version: &str) -> Option<Self> {
        let library = library(version)?;
        match write(runtime, library) {
            Ok(placed) => placed,
            Err(error) => {
                // Never a reason not to save.
                tracing::warn!("cannot place the engine's plugin: {error}");
                None
            }
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    /// Writes down who the processes are that are restored; returns the environment in which CRIU minds that.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn tell_people(&self, people: &[Person]) -> io::Result<[(&'static str, PathBuf); 2]> {
        let file = self.0.join(PEOPLE);
        fs::write(&file, peers::encode(people))?;
        Ok([(PEERS_VARIABLE, file), ("LD_PRELOAD", self.0.join(FILE))])
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether [`Plugin::place`] can place it.
pub(super) fn is_placeable(runtime: &Path, version: &str) -> bool {
    library(version).is_some() && may_execute(runtime).unwrap_or(false)
}

/// The plugin for CRIU of `version`.
fn library(version: &str) -> Option<&'static [u8]> {
    let main = version.split('.').next().and_then(|number| number.parse::<u32>().ok());
    LIBRARY.filter(|_| main.is_some_and(|main| main >= SINCE))
}

fn may_execute(runtime: &Path) -> io::Result<bool> {
    Ok(!rustix::fs::statvfs(runtime)?.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

fn write(runtime: &Path, library: &[u8]) -> io::Result<Option<Plugin>> {
    // CRIU fails when it cannot load a plugin.
    if !may_execute(runtime)? {
        return Ok(None);
    }
    let plugin = Plugin(runtime.join("plugin"));
    fs::create_dir_all(&plugin.0)?;
    fs::write(plugin.0.join(FILE), library)?;
    Ok(Some(plugin))
}

#[cfg(test)]
#[path = "../../plugin/decide.rs"]
#[expect(dead_code, unreachable_pub, reason = "a module of another library, tested here")]
mod decide;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_for_those_that_can_use_it_and_no_longer() {
        let runtime = tempfile::tempdir().unwrap();
        assert!(Plugin::place(runtime.path(), "3.19").is_none());
        assert!(Plugin::place(runtime.path(), "").is_none());
        let placed = Plugin::place(runtime.path(), "4.2.1");
        assert_eq!(placed.is_some(), cfg!(target_arch = "x86_64"));
        if let Some(plugin) = placed {
            let directory = plugin.directory().to_owned();
            assert!(directory.join(FILE).is_file());
            drop(plugin);
            assert!(!directory.exists());
        }
        // Where it cannot be, nothing fails.
        assert!(Plugin::place(Path::new("/nowhere"), "4.2.1").is_none());
    }
}
