//! Issue 9, 1: what the host has mounted is the host's to unmount, whatever sessions run.
//!
//! Each test plays in a thread with its own mount namespace, so that nobody else on the machine copies its disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, User, finish, wait_until};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, unshare};

use crate::{PLACES, play, small};

/// How long a command for the disk may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How large the disk is.
const SIZE: u64 = 16 << 20;

/// How the host hands its mounts on to namespaces that are made from it (mount_namespaces(7)).
#[derive(Clone, Copy)]
enum Host {
    /// As systemd leaves it.
    Shared,
    /// As the kernel and many containers leave it.
    Private,
}

impl Host {
    /// Gives this thread, and all that it starts, mounts that are handed on like that.
    fn enter(self) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        for flag in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED].iter().take(match self {
            Self::Private => 1,
            Self::Shared => 2,
        }) {
            nix::mount::mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | *flag, None::<&str>)?;
        }
        Ok(())
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    finish(Command::new(program).args(arguments), LIMIT).with_context(|| format!("{program} is needed"))?.done()
}

/// A removable disk with a file system, mounted; taken away when dropped.
struct Disk {
    directory: tempfile::TempDir,
    device: String,
}

impl Disk {
    fn mounted() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("disk.").tempdir_in("/var/tmp")?;
        let image = directory.path().join("image");
        File::create(&image)?.set_len(SIZE)?;
        let image = image.to_string_lossy().into_owned();
        run("mkfs.ext4", &["-q", &image])?;
        let device = run("losetup", &["--find", "--show", &image])?.trim().to_owned();
        let disk = Self { directory, device };
        fs::create_dir(disk.point())?;
        nix::mount::mount(Some(&*disk.device), &disk.point(), Some("ext4"), MsFlags::empty(), None::<&str>)?;
        Ok(disk)
    }

    fn point(&self) -> PathBuf {
        self.directory.path().join("point")
    }

    /// Whether a loop device still holds the image.
    fn is_held(&self) -> Result<bool> {
        let image = self.directory.path().join("image");
        Ok(!run("losetup", &["--associated", &image.to_string_lossy()])?.trim().is_empty())
    }

    /// Unmounts the disk and takes it out: nobody may have it any more.
    fn is_freed_by_an_unmount(&self) -> Result<()> {
        fs::write(self.point().join("written"), "while the session ran")?;
        nix::mount::umount(&self.point()).context("the disk cannot be unmounted")?;
        run("losetup", &["--detach", &self.device])?;
        wait_until(LIMIT, "the disk is free", || self.is_held().is_ok_and(|held| !held))
            .with_context(|| format!("who has it: {:?}", holders(&self.device)))?;
        // Pulled out, it has all that was written.
        let image = self.directory.path().join("image").to_string_lossy().into_owned();
        ensure!(run("debugfs", &["-R", "cat /written", &image])?.contains("while the session ran"), "it lacks a file");
        ensure!(run("dumpe2fs", &["-h", &image])?.contains("Filesystem state:         clean"), "it is not clean");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Only what a failed test has left.
        let _ = nix::mount::umount2(&self.point(), MntFlags::MNT_DETACH);
        if self.is_held().unwrap_or(true) {
            let _ = Command::new("losetup").args(["--detach", &self.device]).status();
        }
    }
}

/// Processes in whose mounts `device` is.
fn holders(device: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let has = |pid: &Path| fs::read_to_string(pid.join("mountinfo")).is_ok_and(|text| text.contains(device));
    let name = |pid: PathBuf| fs::read_to_string(pid.join("cmdline")).unwrap_or_default().replace('\0', " ");
    processes
        .map(|entry| entry.path())
        .filter(|pid| has(pid))
        .map(|pid| format!("{} {}", pid.display(), name(pid.clone())))
        .collect()
}

/// The only file systems of the host in the supervisors' mounts are those that sessions need.
fn supervisors_have_no_mount_at(stage: &Stage, point: &Path) -> Result<()> {
    let supervisors = stage.wrappers();
    ensure!(!supervisors.is_empty(), "no supervisor");
    for supervisor in supervisors {
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", supervisor.pid))?;
        ensure!(!table.contains(&*point.to_string_lossy()), "{}: {table}", supervisor.command);
    }
    Ok(())
}

/// A disk that was there before the session is unmounted while it runs.
fn unmounts_while_it_runs(stage: &Stage, network: &str) -> Result<()> {
    let disk = Disk::mounted()?;
    let session = stage.start(&["--name", "desk", "--network", network])?;
    supervisors_have_no_mount_at(stage, &disk.point())?;
    disk.is_freed_by_an_unmount()?;
    ensure!(stage.inside(&session, &["echo", "it", "runs"])?.contains("it runs"), "the session is harmed");
    Ok(())
}

#[test]
fn a_disk_is_free_once_the_host_unmounts_it() {
    Host::Private.enter().unwrap();
    small(|stage| unmounts_while_it_runs(stage, "outbound"));
}

#[test]
fn a_disk_is_free_where_the_host_shares_its_mounts() {
    Host::Shared.enter().unwrap();
    small(|stage| unmounts_while_it_runs(stage, "none"));
}

#[test]
fn a_disk_is_free_beside_the_session_of_a_normal_user() {
    Host::Private.enter().unwrap();
    play(
        PLACES,
        || Stage::of_user(User::create()?),
        |stage| {
            stage.import("minimal")?;
            unmounts_while_it_runs(stage, "none")
        },
    );
}

#[test]
fn a_disk_is_free_after_a_save_and_after_a_resume() {
    Host::Private.enter().unwrap();
    small(|stage| {
        let (before, saved) = (Disk::mounted()?, Disk::mounted()?);
        let session = stage.start(&["--name", "desk"])?;
        let id = stage.save(&session)?;
        // While a verified save has tried it on the side, too.
        stage.json(&["verify", &id])?;
        before.is_freed_by_an_unmount()?;
        saved.is_freed_by_an_unmount()?;
        stage.json(&["stop", &session])?;
        let (resumed, again) = (Disk::mounted()?, Disk::mounted()?);
        stage.json(&["resume", &id])?;
        supervisors_have_no_mount_at(stage, &resumed.point())?;
        resumed.is_freed_by_an_unmount()?;
        stage.save(&session)?;
        again.is_freed_by_an_unmount()?;
        ensure!(stage.inside(&session, &["echo", "it", "runs"])?.contains("it runs"), "the session is harmed");
        Ok(())
    });
}
