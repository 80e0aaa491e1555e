//! What a supervisor keeps of the host's files: its own root holds that and nothing else, so that the host can unmount
//! whatever else it has while sessions run.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::kernel::own_root::{Device, OwnRoot};

/// Where programs of the system, their libraries and their settings are (hier(7); the last two on NixOS and Guix).
const SYSTEM: [&str; 10] =
    ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", "/nix/store", "/gnu/store"];
/// The kernel's objects: BTF, and what CRIU looks at.
const KERNEL: &str = "/sys";
/// Programs that are run, by the wrapper or by CRIU, and looked for in PATH.
const PROGRAMS: [&str; 5] = ["criu", "iptables-restore", "pasta", "sh", "tar"];
/// Directories of the data directory whose entries may be links to other places.
const LINKED: [&str; 2] = ["bases", "engine"];
/// What tells pasta which name servers there are (resolv.conf(5)); often a link.
const NAME_SERVERS: &str = "/etc/resolv.conf";

/// Devices for the sessions, and for pasta's network.
const DEVICES: [Device; 7] = [
    device("null", 1, 3),
    device("zero", 1, 5),
    device("full", 1, 7),
    device("random", 1, 8),
    device("urandom", 1, 9),
    device("tty", 5, 0),
    device("net/tun", 10, 200),
];

const fn device(name: &'static str, major: u32, minor: u32) -> Device {
    Device { name, numbers: (major, minor) }
}

/// Makes a root of this process's own that holds only what is needed of the host, and drops all other mounts. The mount
/// namespace has to be this process's own.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn leave(data: &Path, runtime: &Path) -> io::Result<()> {
    let wanted = wanted(data, runtime);
    let found: Vec<(PathBuf, PathBuf)> =
        wanted.into_iter().filter_map(|path| fs::canonicalize(&path).ok().map(|real| (path, real))).collect();
    let own = OwnRoot::new()?;
    for path in outermost(found.iter().map(|(_, real)| real.clone())) {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("keep {}: {error}", path.display()));
        own.bind(&path).map_err(named)?;
    }
    own.proc()?;
    own.devices(&DEVICES)?;
    let links: Vec<(PathBuf, PathBuf)> = found.into_iter().filter(|(name, real)| name != real).collect();
    own.enter(&links)
}

/// Everything that is needed, by the names that it is used by.
fn wanted(data: &Path, runtime: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    all.extend([KERNEL.into(), NAME_SERVERS.into(), data.to_owned(), runtime.to_owned()]);
    all.extend(links(data));
    all.extend(LINKED.iter().flat_map(|name| links(&data.join(name))));
    all.extend(program_directories(&env::var_os("PATH").unwrap_or_default()));
    // Its file may lie anywhere; CRIU's probe runs it by its path.
    all.extend(env::current_exe());
    // For tests, which write the file when they want something to fail.
    all.extend(env::var_os("FREEZEFRAME_FAULTS").and_then(|file| Path::new(&file).parent().map(Path::to_owned)));
    all
}

/// The symbolic links in `directory`.
fn links(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_symlink())).map(|e| e.path()).collect()
}

/// Those directories of the search path that hold one of [`PROGRAMS`], and what links there lead to.
fn program_directories(search: &OsStr) -> Vec<PathBuf> {
    let absolute = env::split_paths(search).filter(|directory| directory.is_absolute());
    let mut all = Vec::new();
    for directory in absolute {
        for program in PROGRAMS.map(|name| directory.join(name)).into_iter().filter(|path| path.is_file()) {
            all.extend(fs::canonicalize(&program).ok().and_then(|real| real.parent().map(Path::to_owned)));
            all.push(directory.clone());
        }
    }
    all
}

/// Of `paths`, those that lie below no other; never the whole of the host.
fn outermost(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let sorted: BTreeSet<PathBuf> = paths.filter(|path| path != Path::new("/")).collect();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in sorted {
        if !kept.iter().any(|above| path.starts_with(above)) {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept_once_and_never_the_whole_host() {
        let paths =
            ["/usr/bin", "/home/ann/data", "/usr", "/usr-local", "/", "/home/ann/data/bases"].map(PathBuf::from);
        let kept = outermost(paths.into_iter());
        assert_eq!(kept, ["/home/ann/data", "/usr", "/usr-local"].map(PathBuf::from));
    }

    #[test]
    fn only_directories_with_a_program_of_ours_are_kept_of_the_search_path() {
        let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(with.path().join("pasta"), "").unwrap();
        fs::write(without.path().join("editor"), "").unwrap();
        let search = env::join_paths([with.path(), without.path(), Path::new("relative")]).unwrap();
        let found = program_directories(&search);
        assert!(found.iter().all(|path| path == with.path()) && !found.is_empty(), "{found:?}");
    }

    #[test]
    fn bases_on_another_disk_are_found_by_their_links() {
        let (data, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(data.path().join("bases")).unwrap();
        let link = data.path().join("bases/xfce");
        std::os::unix::fs::symlink(disk.path(), &link).unwrap();
        assert!(wanted(data.path(), Path::new("/run/none")).contains(&link));
    }
}
