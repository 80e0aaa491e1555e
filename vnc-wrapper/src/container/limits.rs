//! How many processes and how much memory a session may have: a cgroup of its own (cgroups(7)), where this machine lets us make one.
//!
//! ```text
//! <where the controller is>/freezeframe/<device>-<inode of the session's directory>
//! ```
//!
//! It is found again by that name when the supervisor is dead. Controllers are looked for in the one hierarchy of version 2 first, then
//! in those of version 1. The supervisor stays outside: what the session takes does not stop it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::kernel::process::write_before_exec;

/// The directory of all sessions' cgroups.
const ALL: &str = "freezeframe";
/// How often it is tried to remove a cgroup whose processes are being ended, and the time between two tries.
const TRIES: u32 = 200;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// What a session may have; none: as much as the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Option<u32>,
    /// Part of the machine's memory, in percent.
    pub memory_percent: Option<u32>,
}

impl Limits {
    /// What is written for each controller.
    fn values(self) -> Vec<(Controller, String)> {
        let info = rustix::system::sysinfo();
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "as wide as the machine's words")]
        let total = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit.max(1)));
        let processes = self.processes.map(|most| (Controller::Pids, most.to_string()));
        // A multiple of what the kernel counts in.
        let bytes = |percent: u32| (total / 100 * u64::from(percent)) & !0xffff;
        let memory = self.memory_percent.map(|percent| (Controller::Memory, bytes(percent).to_string()));
        processes.into_iter().chain(memory).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Pids,
    Memory,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Pids => "pids",
            Self::Memory => "memory",
        }
    }

    /// The file of its limit (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{pids,memory}.rst).
    fn file(self, unified: bool) -> &'static str {
        match (self, unified) {
            (Self::Pids, _) => "pids.max",
            (Self::Memory, true) => "memory.max",
            (Self::Memory, false) => "memory.limit_in_bytes",
        }
    }
}

/// A hierarchy of cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Where it is mounted.
    point: PathBuf,
    /// Which cgroup of it is mounted there.
    root: String,
    /// Its controllers; none for that of version 2, which says in a file which ones it has.
    controllers: Option<String>,
}

/// The hierarchies in a table of mounts (proc_pid_mountinfo(5)), that of version 2 first.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = mounts
        .lines()
        .filter_map(|line| {
            let (front, behind) = line.split_once(" - ")?;
            let (mut front, mut behind) = (front.split(' ').skip(3), behind.split(' '));
            let (root, point) = (front.next()?.to_owned(), PathBuf::from(front.next()?));
            let controllers = match behind.next()? {
                "cgroup2" => None,
                "cgroup" => Some(behind.nth(1)?.to_owned()),
                _ => return None,
            };
            Some(Hierarchy { point, root, controllers })
        })
        .collect();
    found.sort_by_key(|hierarchy| hierarchy.controllers.is_some());
    found
}

impl Hierarchy {
    fn has(&self, controller: Controller) -> bool {
        let (text, separator) = match &self.controllers {
            None => (fs::read_to_string(self.point.join("cgroup.controllers")).unwrap_or_default(), ' '),
            Some(options) => (options.clone(), ','),
        };
        text.trim().split(separator).any(|name| name == controller.name())
    }

    /// The directory of the cgroup that /proc/PID/cgroup (`text`) has of this hierarchy.
    fn directory_in(&self, text: &str) -> Option<PathBuf> {
        let fits = |controllers: &str| match &self.controllers {
            None => controllers.is_empty(),
            Some(options) => options.split(',').any(|option| controllers.split(',').any(|name| name == option)),
        };
        let path = text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            fits(controllers).then_some(path)
        })?;
        let below = Path::new(path).strip_prefix(&self.root).unwrap_or(Path::new(path));
        Some(self.point.join(below.strip_prefix("/").unwrap_or(below)))
    }

    /// Has children of `directory` counted by the controller.
    fn enable(&self, directory: &Path, controller: Controller) -> io::Result<()> {
        if self.controllers.is_some() {
            return Ok(());
        }
        let file = directory.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&file)?;
        if enabled.split_whitespace().any(|name| name == controller.name()) {
            return Ok(());
        }
        fs::write(&file, format!("+{}", controller.name())).map_err(|e| named(&file, &e))
    }
}

impl Hierarchy {
    /// Makes a session's cgroup, and locks it.
    fn make(&self, name: &str, controller: Controller) -> io::Result<(PathBuf, File)> {
        let all = self.point.join(ALL);
        let directory = all.join(name);
        self.enable(&self.point, controller)?;
        let make = || {
            make_directory(&all)?;
            self.enable(&all, controller)?;
            make_directory(&directory)?;
            let made = File::open(&directory)?;
            flock(&made, FlockOperation::NonBlockingLockShared)?;
            // Between being made and being locked it may have been taken for one that nobody has.
            if fs::metadata(&directory)?.ino() == made.metadata()?.ino() {
                Ok(made)
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        };
        let passes = |made: &io::Result<File>| {
            made.as_ref().is_err_and(|e| [io::ErrorKind::NotFound, io::ErrorKind::WouldBlock].contains(&e.kind()))
        };
        // Whoever removes the last one removes the directory of all, too.
        let made = std::iter::repeat_with(make).take(TRIES as usize).find(|made| !passes(made));
        Ok((directory, made.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))?))
    }
}

/// Removes what supervisors left that were killed, and whose agents and sessions are gone, too: what nobody has locked.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(directory) = File::open(&path) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            // One that has processes stays.
            let _ = fs::remove_dir(&path);
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The cgroup of one session: a directory in each hierarchy that has a controller for it.
#[derive(Debug)]
pub struct Group {
    /// What moves a process in, and what moves it back to where this one was.
    doors: Vec<(File, File)>,
    /// The files of limits, with what is to be in them.
    limits: Vec<(File, String)>,
    /// The directories, locked: they are in use.
    _in_use: Vec<File>,
}

impl Group {
    /// Makes it for the session in `directory`, without limits yet. None where nothing is to be limited.
    ///
    /// # Errors
    /// When this machine lets us make none, with the reason.
    pub fn make(directory: &Path, limits: Limits) -> io::Result<Option<Self>> {
        let values = limits.values();
        if values.is_empty() {
            return Ok(None);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let hierarchies = hierarchies(&mounts);
        let name = name_of(directory)?;
        let (mut doors, mut files, mut entered, mut in_use) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (controller, value) in values {
            let lacking = || io::Error::other(format!("no cgroup has the controller {:?}", controller.name()));
            let hierarchy = hierarchies.iter().find(|h| h.has(controller)).ok_or_else(lacking)?;
            let (directory, lock) = hierarchy.make(&name, controller)?;
            in_use.push(lock);
            // Everything is opened now: from the cgroup namespace that is to be made, files of its root are not written.
            let open = |path: PathBuf| OpenOptions::new().write(true).open(&path).map_err(|e| named(&path, &e));
            files.push((open(directory.join(controller.file(hierarchy.controllers.is_none())))?, value));
            if !entered.contains(&hierarchy.point) {
                let home =
                    hierarchy.directory_in(&own).ok_or_else(|| io::Error::other("an own cgroup that is not known"))?;
                doors.push((open(directory.join("cgroup.procs"))?, open(home.join("cgroup.procs"))?));
                entered.push(hierarchy.point.clone());
            }
        }
        Ok(Some(Self { doors, limits: files, _in_use: in_use }))
    }

    /// Does `work` as a member: a cgroup namespace that it makes has this cgroup as its root.
    ///
    /// # Errors
    /// When this process cannot be moved, or as `work` fails.
    pub fn within<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.place(0)?;
        let outcome = work();
        self.doors.iter().try_for_each(|(_, home)| { home }.write_all(b"0"))?;
        outcome
    }

    /// Moves a process in; 0 is this one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn place(&self, pid: u32) -> io::Result<()> {
        self.doors.iter().try_for_each(|(inside, _)| { inside }.write_all(pid.to_string().as_bytes()))
    }

    /// Has `command` start as a member.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn place_command(&self, command: &mut Command) -> io::Result<()> {
        for (inside, _) in &self.doors {
            write_before_exec(command, OwnedFd::from(inside.try_clone()?), b"0");
        }
        Ok(())
    }

    /// Sets the limits. They are not there while a session is resumed: who resumes it needs processes and memory, too.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit(&self) -> io::Result<()> {
        self.limits.iter().try_for_each(|(file, value)| { file }.write_all(value.as_bytes()))
    }

    /// Removes what there is for the session in `directory`, whose processes have ended or are ending.
    pub fn remove(directory: &Path) {
        let (Ok(name), Ok(mounts)) = (name_of(directory), fs::read_to_string("/proc/self/mountinfo")) else { return };
        for hierarchy in hierarchies(&mounts) {
            let all = hierarchy.point.join(ALL);
            if let Err(error) = remove_directory(&all.join(&name)) {
                tracing::error!("cannot remove the cgroup {}: {error}", all.join(&name).display());
            }
            sweep(&all);
            // Fails while another session has one, and should.
            let _ = fs::remove_dir(all);
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|e| named(path, &e)),
    }
}

fn remove_directory(path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(BETWEEN_TRIES),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs::remove_dir(path)
}

/// What no other directory of this machine has as long as it is there.
fn name_of(directory: &Path) -> io::Result<String> {
    let there = fs::metadata(directory)?;
    Ok(format!("{:x}-{:x}", there.dev(), there.ino()))
}

/// Whether sessions of this user can be limited: makes a cgroup, and takes it away again.
///
/// # Errors
/// Why they cannot.
pub fn probe() -> Result<(), String> {
    let directory = Path::new("/proc/self/fd");
    let made = Group::make(directory, Limits { processes: Some(1), memory_percent: Some(50) });
    Group::remove(directory);
    made.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        36 31 0:33 /box /sys/fs/cgroup/cpu,pids rw,relatime shared:9 - cgroup cgroup rw,cpu,pids\n\
        37 31 0:34 / /tmp rw - tmpfs tmpfs rw\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn hierarchies_are_found_in_the_table_of_mounts() {
        let found = hierarchies(MIXED);
        let points: Vec<_> = found.iter().map(|h| h.point.to_str().unwrap()).collect();
        assert_eq!(points, ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,pids"]);
        assert!(found[1].has(Controller::Memory) && !found[1].has(Controller::Pids));
        assert!(found[2].has(Controller::Pids) && !found[2].has(Controller::Memory));
        assert!(hierarchies("").is_empty());
    }

    #[test]
    fn an_own_cgroup_is_found_below_what_is_mounted() {
        let own = "9:name=systemd:/x\n8:cpu,pids:/box/inner\n4:memory:/job/1\n0::/slice/scope\n";
        let found: Vec<_> = hierarchies(MIXED).iter().map(|h| h.directory_in(own).unwrap()).collect();
        let expected = ["unified/slice/scope", "memory/job/1", "cpu,pids/inner"];
        assert_eq!(found, expected.map(|path| Path::new("/sys/fs/cgroup").join(path)));
        assert_eq!(hierarchies(MIXED)[1].directory_in("0::/\n"), None);
    }

    #[test]
    fn no_limit_takes_no_cgroup() {
        assert!(Group::make(Path::new("/"), Limits::default()).unwrap().is_none());
        let values = Limits { processes: Some(100), memory_percent: Some(100) }.values();
        assert_eq!(values[0], (Controller::Pids, "100".to_owned()));
        assert!(values[1].1.parse::<u64>().unwrap() > 1 << 26, "{values:?}");
    }
}
