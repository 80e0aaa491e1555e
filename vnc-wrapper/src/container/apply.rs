//! Makes a session's first process: new namespaces, the steps of the plan, then the session's init.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::MsFlags;
use nix::sched::unshare;

use super::plan::{Contents, DEVICES, EMPTY, Step};
use super::{INIT_PATH, network, settings};
use crate::kernel::idmap::IdMap;
use crate::kernel::process::{Fork, close_on_exec_from, exit_now, fork, lead_session};
use crate::kernel::{loopback, mounts, namespaces, userns};

/// The static program of process 1, built from `init/main.rs`.
const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/session-init"));

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The kernel refused before the inside was reached.
    #[error("cannot make the session's namespaces: {0}")]
    Namespaces(#[source] io::Error),
    /// A step failed inside; the text names it.
    #[error("cannot set up the inside of the session: {0}")]
    Inside(String),
}

/// Starts a container on the mounted `root` and runs `steps` in it. Returns the pid of its process 1. `place` gets the pid of
/// the one from which all of it descends, before there is anything else; `slot` the listener of its filter ([`settings::apply`]).
///
/// This process must have one thread, and become the parent of orphans (as process 1 of a pid namespace is): the new
/// process 1 is handed to it by a helper that ends.
///
/// # Errors
/// When a namespace, a map or a step fails; nothing of the container is then left.
pub fn start(
    root: &Path,
    map: &IdMap,
    steps: &[Step],
    slot: Option<BorrowedFd<'_>>,
    place: &dyn Fn(u32) -> io::Result<()>,
) -> Result<u32, ContainerError> {
    use ContainerError::Namespaces;
    // A new mount namespace holds copies of all mounts, and the kernel moves a process's working directory to the copy,
    // but not its descriptors. The path itself may lie below directories that the inside cannot pass.
    let root = userns::open_directory(root).map_err(Namespaces)?;
    let (mut report_end, report) = io::pipe().map_err(Namespaces)?;
    let (mut mapped_end, mut mapped) = io::pipe().map_err(Namespaces)?;
    let helper = match fork().map_err(Namespaces)? {
        Fork::Child => {
            drop((report_end, mapped));
            let code = make_namespaces(&root, (steps, slot), report, &mut mapped_end);
            exit_now(code)
        }
        Fork::Parent(pid) => pid,
    };
    drop((report, mapped_end));
    // The helper says one byte when it is in its namespaces.
    let mut byte = [0u8; 1];
    let outcome = (|| {
        if report_end.read(&mut byte)? == 1 && byte[0] == IN_NAMESPACES {
            place(helper)?;
            userns::write_maps(helper, map)?;
            mapped.write_all(&[1])?;
        }
        drop(mapped);
        let mut rest = String::new();
        if byte[0] != IN_NAMESPACES {
            rest.push(char::from(byte[0]));
        }
        report_end.read_to_string(&mut rest)?;
        Ok(rest)
    })();
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(helper.cast_signed()), None);
    let report = outcome.map_err(Namespaces)?;
    // The helper tells the pid; whoever fails tells a problem. Their lines come in either order.
    let (pids, problems): (Vec<&str>, Vec<&str>) = report.lines().partition(|line| line.starts_with(PID));
    match (pids.first().and_then(|line| line[PID.len()..].parse().ok()), problems.first()) {
        (Some(pid), None) => Ok(pid),
        (_, Some(problem)) => Err(ContainerError::Inside((*problem).to_owned())),
        (None, None) => Err(ContainerError::Inside("its first process ended without a word".to_owned())),
    }
}

/// What is done in the first process, and where the listener of its filter goes.
type Inside<'a> = (&'a [Step], Option<BorrowedFd<'a>>);

const PID: &str = "pid ";

const IN_NAMESPACES: u8 = 0;

/// In the helper: enters the namespaces and forks their process 1. Returns the helper's exit status.
fn make_namespaces(root: &OwnedFd, inside: Inside<'_>, mut report: io::PipeWriter, mapped: &mut io::PipeReader) -> i32 {
    let made = (|| {
        rustix::process::fchdir(root)?;
        unshare(namespaces::of_a_session())?;
        report.write_all(&[IN_NAMESPACES])?;
        if mapped.read(&mut [0u8; 1])? != 1 {
            return Err(io::Error::other("no id map was written"));
        }
        userns::become_namespace_root()?;
        fork()
    })();
    match made {
        Ok(Fork::Parent(pid)) => i32::from(writeln!(report, "{PID}{pid}").is_err()),
        Ok(Fork::Child) => {
            let problem = become_init(inside);
            let _ = writeln!(report, "{problem}");
            1
        }
        Err(error) => {
            let _ = writeln!(report, "{error}");
            1
        }
    }
}

/// In process 1, in the directory that is to be the root: applies the steps and becomes the session's init. Returns only why it could not.
fn become_init(inside: Inside<'_>) -> String {
    match prepare(inside) {
        Err(problem) => problem,
        Ok(()) => {
            let error = Command::new(INIT_PATH).arg0("init").env_clear().current_dir("/").exec();
            format!("run {INIT_PATH}: {error}")
        }
    }
}

fn prepare((steps, slot): Inside<'_>) -> Result<(), String> {
    let named = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    lead_session().map_err(named("setsid"))?;
    furnish(steps)?;
    close_on_exec_from(3);
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(named("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| format!("stdin: {e}"))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| format!("stdout: {e}"))?;
    rustix::stdio::dup2_stderr(&null).map_err(|e| format!("stderr: {e}"))?;
    settings::apply(slot).map_err(named("process settings"))
}

/// In the session's namespaces, in the directory that is to be the root: makes it the root, and applies the steps there.
///
/// # Errors
/// What could not be done, and why.
pub fn furnish(steps: &[Step]) -> Result<(), String> {
    let named = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    mounts::make_all_private().map_err(named("private mounts"))?;
    // Taken while the outside can still be seen; attached once it cannot be reached any more.
    let mut devices = Vec::new();
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        devices.push((name, mounts::clone_mount(&path).map_err(|e| format!("take {}: {e}", path.display()))?));
    }
    // Mounts inherited into a new user namespace are locked; a copy of the root mount on top of itself is not.
    let own = mounts::clone_mount(Path::new(".")).map_err(named("copy the root mount"))?;
    mounts::attach(&own, Path::new(".")).map_err(named("attach the root mount"))?;
    mounts::pivot_into(&own).map_err(named("pivot_root"))?;
    for step in steps {
        apply(step, &devices).map_err(|e| format!("{step:?}: {e}"))?;
    }
    Ok(())
}

fn apply(step: &Step, devices: &[(&str, OwnedFd)]) -> io::Result<()> {
    match step {
        Step::Directory { path, mode, owner } => {
            match fs::create_dir(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                other => other?,
            }
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
            chown(path, Some(*owner), Some(*owner))
        }
        Step::File { path, mode, contents } => {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(*mode).open(path)?;
            match contents {
                Contents::Init => file.write_all(INIT),
                Contents::NameServer(address) => writeln!(file, "nameserver {address}"),
            }
        }
        Step::Link { path, target } => symlink(target, path),
        Step::FileSystem { path, kind, options, read_only, executable } => {
            let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            flags.set(MsFlags::MS_RDONLY, *read_only);
            flags.set(MsFlags::MS_NOEXEC, !*executable);
            // devpts without MS_NODEV: its nodes are the point of it.
            if *kind == "devpts" {
                flags.remove(MsFlags::MS_NODEV);
            }
            nix::mount::mount(Some(*kind), path.as_str(), Some(*kind), flags, Some(*options))?;
            Ok(())
        }
        Step::Device { name } => {
            let path = Path::new("/dev").join(name);
            fs::File::create(&path)?;
            let (_, device) = devices
                .iter()
                .find(|(have, _)| have == name)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such device was taken along"))?;
            mounts::attach(device, &path)
        }
        Step::Setting { path, value } => network::set(path, value),
        Step::ReadOnly { path } => if_there(path, |path, _| {
            mounts::attach(&mounts::clone_mount(path)?, path)?;
            let flags = MsFlags::MS_BIND
                | MsFlags::MS_REMOUNT
                | MsFlags::MS_RDONLY
                | MsFlags::MS_NOSUID
                | MsFlags::MS_NODEV
                | MsFlags::MS_NOEXEC;
            Ok(nix::mount::mount(None::<&str>, path, None::<&str>, flags, None::<&str>)?)
        }),
        Step::Mask { path } => if_there(path, |path, metadata| {
            let cover = Path::new(if metadata.is_dir() { EMPTY } else { "/dev/null" });
            mounts::attach(&mounts::clone_mount(cover)?, path)
        }),
        Step::LeaveOutside => mounts::leave_old_root(),
        Step::HostName(name) => Ok(nix::unistd::sethostname(name)?),
        Step::Loopback => loopback::bring_up(),
    }
}

fn if_there(path: &str, act: impl Fn(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(metadata) => act(Path::new(path), &metadata),
    }
}
