//! Finding a CRIU that works here, or fetching one.
//!
//! The machine's own comes first. Where it has none, or one that fails the probe, a private copy is kept below
//! `<data>/engine`, with the C library that it was built for; it is run by that library's loader, so nothing of the
//! machine is touched:
//!
//! ```text
//! engine/criu-<version>/usr/…     the programs and libraries of a later release of Debian
//! engine/probe.json               which CRIU was probed on which kernel
//! engine/lock                     held while one is fetched
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use freezeframe_protocol::{Failure, error_name};
use freezeframe_store::error::IoContext;
use freezeframe_store::layout::make_private;
use freezeframe_store::record::{self, Record};
use freezeframe_store::sync::{sync_directory, sync_file_system};
use freezeframe_store::{Error as StoreError, id};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::probe::{ProbeError, own_target, probe};
use crate::base::build::{STALE_MIRROR, mmdebstrap, start_error};
use crate::base::mmdebstrap::{extract_arguments, says_stale};
use crate::base::{self, Progress};
use crate::failure::ToFailure;

/// The release of Debian whose CRIU works on the kernels that there are, and what CRIU needs beside it.
const SUITE: &str = "forky";
const PACKAGES: &str = "criu,libc6,iptables";
/// Where the loader and the libraries lie in a private copy, by architecture.
const LOADERS: [(&str, &str); 2] = [
    ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
    ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
];
const PROGRAM: &str = "usr/sbin/criu";
/// Where the machine's own may lie, beside PATH: a user's PATH often has no sbin.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// Probes that are remembered.
const MAX_PROBES: usize = 16;

/// A CRIU that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criu {
    /// The program, and what comes before its own arguments.
    pub command: Vec<OsString>,
    /// Its version, as it says itself.
    pub version: String,
    /// Its file: what a probe is remembered by.
    pub program: PathBuf,
}

/// Why there is no CRIU.
#[derive(Debug, thiserror::Error)]
pub enum CriuError {
    /// Only root can use it.
    #[error("CRIU, which saves and resumes sessions, needs root")]
    NeedsRoot,
    /// There is none.
    #[error("there is no CRIU, which saves and resumes sessions")]
    Missing,
    /// There is one, and it does not work.
    #[error("CRIU {version} does not work here: {reason}")]
    Broken {
        /// Its version.
        version: String,
        /// Why not.
        reason: ProbeError,
    },
    /// It could not be fetched.
    #[error("CRIU cannot be fetched: {0}")]
    Fetch(base::Error),
    /// What was fetched is not what was expected.
    #[error("CRIU was fetched and cannot be used: {0}")]
    Fetched(String),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CriuError> for Failure {
    fn from(error: CriuError) -> Self {
        let message = error.to_string();
        let (name, hint) = match error {
            CriuError::NeedsRoot => (error_name::NEEDS_ROOT, "save as root".to_owned()),
            CriuError::Missing => (error_name::MACHINE_LACKS, "sessionctl base build, as root, fetches it".into()),
            CriuError::Broken { .. } | CriuError::Fetched(_) => {
                (error_name::MACHINE_LACKS, "sessionctl doctor says more".into())
            }
            CriuError::Fetch(inner) => {
                let inner = Failure::from(inner);
                return Failure { message, ..inner };
            }
            CriuError::Store(inner) => {
                return inner.to_failure();
            }
        };
        Failure { name: name.into(), message, hint }
    }
}

/// The result of a call into this module.
pub type Result<T, E = CriuError> = std::result::Result<T, E>;

/// A CRIU that works here, from what there is on the machine and below `data`.
///
/// # Errors
/// When there is none, when none works, or without root.
pub fn find(data: &Path) -> Result<Criu> {
    if !rustix::process::geteuid().is_root() {
        return Err(CriuError::NeedsRoot);
    }
    let mut problem = CriuError::Missing;
    for criu in candidates(data) {
        match probed(&criu, data) {
            Ok(()) => return Ok(criu),
            // The first one is the machine's own, or the latest; its trouble is the one to tell.
            Err(error) if matches!(problem, CriuError::Missing) => problem = error,
            Err(_) => {}
        }
    }
    Err(problem)
}

/// [`find`], and where that finds nothing that works: fetches a private copy, probed like any other.
///
/// # Errors
/// When it cannot be fetched, or does not work either.
pub fn find_or_fetch(data: &Path, progress: Progress<'_>) -> Result<Criu> {
    match find(data) {
        Err(CriuError::Missing | CriuError::Broken { .. }) => {}
        found => return found,
    }
    let engine = engine(data);
    make_private(&engine)?;
    let lock = engine.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&lock).at("open", &lock)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        progress("waiting for another fetch of CRIU", -1.0);
        rustix::fs::flock(&file, FlockOperation::LockExclusive).at("lock", &lock)?;
    }
    // Another process may have fetched it while this one waited.
    match find(data) {
        Err(CriuError::Missing | CriuError::Broken { .. }) => {}
        found => return found,
    }
    progress("fetching CRIU", -1.0);
    let partial = engine.join(".criu.partial");
    remove(&partial)?;
    let fetched = fetch(&engine, &partial, progress);
    let removed = remove(&partial);
    let criu = fetched?;
    removed?;
    progress("trying CRIU", -1.0);
    probed(&criu, data)?;
    Ok(criu)
}

/// All that there are: the machine's own, then private copies, the latest first.
pub fn candidates(data: &Path) -> Vec<Criu> {
    let mut copies: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(engine(data))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((numbers(name.strip_prefix("criu-")?), entry.path()))
        })
        .collect();
    copies.sort_by(|one, other| other.cmp(one));
    let copies = copies.into_iter().filter_map(|(_, directory)| private(&directory).ok());
    system().into_iter().chain(copies).collect()
}

fn engine(data: &Path) -> PathBuf {
    data.join("engine")
}

/// The numbers of a version, for comparing.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The machine's own.
fn system() -> Option<Criu> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from));
    let program = directories.map(|d| d.join("criu")).find(|p| p.is_absolute() && p.is_file())?;
    with_version(vec![program.clone().into()], program).ok()
}

/// The private copy in `directory`.
fn private(directory: &Path) -> Result<Criu> {
    let missing = |what: &str| CriuError::Fetched(format!("{} has no {what}", directory.display()));
    let loader = LOADERS.iter().find(|(loader, _)| directory.join(loader).is_file());
    let (loader, libraries) = loader.ok_or_else(|| missing("loader"))?;
    let program = directory.join(PROGRAM);
    if !program.is_file() {
        return Err(missing("criu"));
    }
    let command = [directory.join(loader), "--library-path".into(), directory.join(libraries), program.clone()];
    with_version(command.into_iter().map(PathBuf::into_os_string).collect(), program)
}

/// Asks it for its version.
fn with_version(command: Vec<OsString>, program: PathBuf) -> Result<Criu> {
    let failed = |reason: String| CriuError::Fetched(format!("{} --version: {reason}", program.display()));
    let output = Command::new(&command[0]).args(&command[1..]).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version(&text).ok_or_else(|| failed(format!("{} {}", output.status, text.trim())))?;
    Ok(Criu { command, version, program })
}

/// The version in what `criu --version` says. It becomes a file name.
fn version(text: &str) -> Option<String> {
    let version = text.lines().find_map(|line| line.strip_prefix("Version:"))?.trim();
    id::check_name("engine", version).ok()?;
    Some(version.to_owned())
}

/// A probe that went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    program: PathBuf,
    version: String,
    modified: i64,
    kernel: String,
}

/// `engine/probe.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probes {
    format: u32,
    probes: Vec<Probe>,
}

impl Record for Probes {
    const FORMAT: u32 = 1;
}

/// Probes `criu`, unless that went well before on this kernel.
fn probed(criu: &Criu, data: &Path) -> Result<()> {
    let engine = engine(data);
    make_private(&engine)?;
    let file = engine.join("probe.json");
    let kernel_file = Path::new("/proc/sys/kernel/osrelease");
    let this = Probe {
        program: criu.program.clone(),
        version: criu.version.clone(),
        modified: fs::metadata(&criu.program).at("read", &criu.program)?.mtime(),
        kernel: fs::read_to_string(kernel_file).at("read", kernel_file)?.trim().to_owned(),
    };
    // What cannot be read is only a memory: it is made anew.
    let mut known = record::read::<Probes>(&file).map_or_else(|_| Vec::new(), |known| known.probes);
    if known.contains(&this) {
        return Ok(());
    }
    let images = engine.join(format!(".probe-{}", std::process::id()));
    remove(&images)?;
    make_private(&images)?;
    let result = probe(&criu.command, &mut own_target(), &images);
    let removed = remove(&images);
    result.map_err(|reason| CriuError::Broken { version: criu.version.clone(), reason })?;
    removed?;
    known.retain(|probe| probe.program != this.program);
    known.insert(0, this);
    known.truncate(MAX_PROBES);
    record::write(&file, &Probes { format: Probes::FORMAT, probes: known })?;
    Ok(())
}

/// Fetches a copy into `partial`, and puts it where it belongs.
fn fetch(engine: &Path, partial: &Path, progress: Progress<'_>) -> Result<Criu> {
    let mut words = extract(partial, false)?;
    if words.as_deref().is_some_and(says_stale) {
        progress(STALE_MIRROR, -1.0);
        remove(partial)?;
        words = extract(partial, true)?;
    }
    if let Some(reason) = words {
        return Err(CriuError::Fetch(base::Error::Packages { reason }));
    }
    let version = private(partial)?.version;
    let target = engine.join(format!("criu-{version}"));
    remove(&target)?;
    // Only its programs and libraries are of use, not the rest of what makes a root file system.
    let kept = engine.join(".criu.kept");
    remove(&kept)?;
    make_private(&kept)?;
    fs::rename(partial.join("usr"), kept.join("usr")).at("rename", partial)?;
    sync_file_system(&kept)?;
    fs::rename(&kept, &target).at("rename", &kept)?;
    sync_directory(engine)?;
    private(&target)
}

/// Runs mmdebstrap; answers its words when it failed.
fn extract(directory: &Path, stale: bool) -> Result<Option<String>> {
    let arguments = extract_arguments(PACKAGES, SUITE, directory, stale);
    let output = mmdebstrap().args(arguments).stdout(Stdio::null()).output();
    let output = output.map_err(|e| CriuError::Fetch(start_error(e)))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = words.lines().filter(|line| line.starts_with("E: ") || line.starts_with("Err:")).collect();
    Ok((!output.status.success()).then(|| if errors.is_empty() { words.trim().to_owned() } else { errors.join("\n") }))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path).map_err(CriuError::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        assert_eq!(version("Version: 4.2.1\nGitID: v4\n").as_deref(), Some("4.2.1"));
        assert_eq!(version("Version: ../x\n"), None);
        assert_eq!(version(""), None);
        assert!(numbers("4.10") > numbers("4.2.1"));
    }

    #[test]
    fn a_copy_without_its_loader_is_none() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("engine/criu-9.9/usr/sbin")).unwrap();
        fs::write(data.path().join("engine/criu-9.9/usr/sbin/criu"), "").unwrap();
        assert!(candidates(data.path()).iter().all(|criu| criu.version != "9.9"));
        let error = private(&data.path().join("engine/criu-9.9")).unwrap_err();
        assert!(error.to_string().contains("has no loader"), "{error}");
    }

    #[test]
    fn without_root_it_is_refused_at_once() {
        let failure = Failure::from(CriuError::NeedsRoot);
        assert_eq!(failure.name, error_name::NEEDS_ROOT);
    }
}
