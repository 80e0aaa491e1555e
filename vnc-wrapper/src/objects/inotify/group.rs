//! The inotify descriptors of a session, with what they watch, found by the handles that /proc tells.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, inotify, statat};

use super::watch::{self, Watch};
use crate::container::processes::Process;
use crate::kernel::{handle, process};

/// The mask of a silent watch: what happens to nothing meanwhile.
pub(super) const SILENT: u32 = libc::IN_DELETE_SELF;

/// All inotify descriptors of these processes, the first of which is the session's init; one that several processes have
/// comes several times.
pub(super) fn all(processes: &[Process]) -> io::Result<Vec<Group>> {
    let Some(init) = processes.first() else { return Ok(Vec::new()) };
    let mut mounts = Mounts::of(init.outside)?;
    let mut groups = Vec::new();
    for process in processes {
        for number in watch::descriptors(process)? {
            let mut watches = HashMap::new();
            for watch in watch::watches(process, number)? {
                // One that cannot be found stays as it is: it is of something that nobody can reach any more.
                if let Ok(object) = mounts.open(&watch) {
                    watches.insert(watch.wd, (watch, object));
                }
            }
            let descriptor = process::descriptor(process.outside, number)?;
            let root = Arc::clone(&mounts.root);
            groups.push(Group { process: process.inside, number, descriptor, watches, root });
        }
    }
    Ok(groups)
}

/// An inotify descriptor of the session, and what it watches.
#[derive(Debug)]
pub(super) struct Group {
    /// A process that has it open, by its pid in the session, and its number there.
    pub(super) process: u32,
    pub(super) number: i32,
    descriptor: OwnedFd,
    /// Watches and what they are of, by their numbers.
    pub(super) watches: HashMap<i32, (Watch, OwnedFd)>,
    /// The session's root directory.
    root: Arc<OwnedFd>,
}

impl Group {
    /// Gives a watch another mask; its number stays (inotify_add_watch(2)).
    pub(super) fn set(&self, wd: i32, mask: u32) -> io::Result<()> {
        let (_, object) = self.watch(wd)?;
        let path = format!("/proc/self/fd/{}", object.as_raw_fd());
        let got = inotify::add_watch(&self.descriptor, path, inotify::WatchFlags::from_bits_retain(mask))?;
        if got == wd {
            return Ok(());
        }
        let _ = inotify::remove_watch(&self.descriptor, got);
        Err(io::Error::other(format!("watch {wd} is of another object now")))
    }

    pub(super) fn watch(&self, wd: i32) -> io::Result<&(Watch, OwnedFd)> {
        self.watches.get(&wd).ok_or_else(|| io::Error::other(format!("what watch {wd} is of cannot be found")))
    }

    /// The directory that what is watched is in, and its name there.
    pub(super) fn place(&self, wd: i32) -> io::Result<(OwnedFd, Vec<u8>)> {
        let (_, object) = self.watch(wd)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", object.as_raw_fd()))?;
        let nowhere = || io::Error::other(format!("what watch {wd} is of has no name"));
        let (directory, name) = path.parent().zip(path.file_name()).ok_or_else(nowhere)?;
        // As the session sees it.
        let directory = match directory.strip_prefix("/").map_err(io::Error::other)? {
            root if root.as_os_str().is_empty() => Path::new("."),
            below => below,
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat2(&*self.root, directory, flags, Mode::empty(), resolve)?;
        let (own, found) = (rustix::fs::fstat(object)?, statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?);
        // It may have been replaced, or be known by another name only.
        let same = (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino);
        if same { Ok((directory, name.as_bytes().to_vec())) } else { Err(nowhere()) }
    }

    pub(super) fn waiting(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.descriptor)?)
    }

    /// Takes the oldest events, which are `bytes` long together.
    pub(super) fn drain_first(&self, bytes: usize) -> io::Result<()> {
        let mut buffer = vec![0u8; 65536];
        let mut left = bytes;
        while left > 0 {
            let most = left.min(buffer.len());
            // The kernel gives only whole events.
            left -= rustix::io::read(&self.descriptor, &mut buffer[..most])?;
        }
        Ok(())
    }

    /// Takes what waits.
    pub(super) fn drain(&self) -> io::Result<()> {
        self.drain_first(usize::try_from(self.waiting()?).map_err(io::Error::other)?)
    }

    /// Does `deed` while the watch `wd` hears of it and nobody else does.
    pub(super) fn heard(&self, wd: i32, mask: u32, deed: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.set(wd, mask)?;
        let done = deed();
        self.set(wd, SILENT)?;
        done
    }
}

/// The file systems that a session sees, by their devices.
pub(super) struct Mounts {
    /// The session's root directory.
    pub(super) root: Arc<OwnedFd>,
    root_device: Option<(u32, u32)>,
    points: HashMap<(u32, u32), String>,
    open: HashMap<(u32, u32), OwnedFd>,
}

impl Mounts {
    /// Those that the process `init` sees.
    pub(super) fn of(init: u32) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Arc::new(rustix::fs::open(format!("/proc/{init}/root"), flags, Mode::empty())?);
        let text = fs::read_to_string(format!("/proc/{init}/mountinfo"))?;
        // 36 35 98:0 / /mnt rw,noatime - ext4 /dev/root rw (proc_pid_mountinfo(5)); a later one may cover an earlier one.
        let point = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            let (major, minor) = fields.get(2)?.split_once(':')?;
            let whole = fields.get(3) == Some(&"/");
            whole.then(|| Some(((major.parse().ok()?, minor.parse().ok()?), (*fields.get(4)?).to_owned())))?
        };
        let root_device = text.lines().filter_map(point).find(|(_, path)| path == "/").map(|(device, _)| device);
        Ok(Self { root, root_device, points: text.lines().filter_map(point).collect(), open: HashMap::new() })
    }

    /// Whether it is the device of the root file system.
    pub(super) fn is_root(&self, device: (u32, u32)) -> bool {
        self.root_device == Some(device)
    }

    /// What a watch is of. An error of the kind NotFound: its file system is not among these.
    pub(super) fn open(&mut self, watch: &Watch) -> io::Result<OwnedFd> {
        if !self.open.contains_key(&watch.device) {
            let point = self.points.get(&watch.device).ok_or(io::ErrorKind::NotFound)?;
            let path = match point.trim_start_matches('/') {
                "" => ".",
                path => path,
            };
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let mount = rustix::fs::openat2(&*self.root, path, flags, Mode::empty(), resolve)?;
            self.open.insert(watch.device, mount);
        }
        let mount = self.open.get(&watch.device).ok_or(io::ErrorKind::NotFound)?;
        handle::open(mount.as_fd(), watch.handle_type, &watch.handle)
    }
}
