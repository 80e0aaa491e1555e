//! Ending what a stage started, and seeing that nothing is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::processes::{self, Process};
use crate::wait::wait_until;

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// Processes with one of `paths` in their command line or environment, but for us and those that we descend from.
pub(crate) fn of(paths: &[PathBuf]) -> Vec<Process> {
    let all = processes::all();
    let mut ours = vec![std::process::id().cast_signed()];
    while let Some(parent) = all.iter().find(|p| Some(&p.pid) == ours.last()).map(|p| p.parent) {
        ours.push(parent);
    }
    let named = |text: &str| paths.iter().any(|path| text.contains(&*path.to_string_lossy()));
    let environment = |pid: i32| {
        let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    all.into_iter().filter(|p| !ours.contains(&p.pid) && (named(&p.command) || named(&environment(p.pid)))).collect()
}

/// Kills all of them and waits until they are gone.
pub(crate) fn end_all(paths: &[PathBuf]) -> Result<()> {
    wait_until(GONE, "every process of the stage is gone", || {
        let left = of(paths);
        for process in &left {
            // One that is gone meanwhile is what is wanted.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        left.is_empty()
    })
    .with_context(|| format!("{:#?}", of(paths)))
}

/// Fails when a file system is mounted at or below `path`.
pub(crate) fn ensure_no_mounts(path: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let point = |line: &str| line.split(' ').nth(4).map(str::to_owned);
    let left: Vec<String> = table.lines().filter_map(point).filter(|p| Path::new(p).starts_with(path)).collect();
    ensure!(left.is_empty(), "mounts are left: {left:?}");
    Ok(())
}
