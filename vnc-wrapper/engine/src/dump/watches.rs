//! The paths of what inotify instances watch, and of files that have another name than the kernel shows: it was taken from them.
//! The kernel shows device, inode and handle of what is watched, and no name.
//!
//! While the session runs, the mounts that it sees are walked for them, what is near their roots first. In the pause a path is
//! taken only if it still leads to the same inode, which the watch itself keeps from being another's. What was watched or
//! moved in between is looked for once more among the first names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::DirEntry;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use libc::pid_t;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};

use super::paths::DELETED;
use super::view::locate;
use crate::memory::maps;
use crate::process::fdinfo::{self, Handle, Kind, Watch};
use crate::process::mountinfo::{self, MountPoint};
use crate::sys::watch;

/// How many names are looked at in the pause: a few milliseconds.
const FEW: usize = 10_000;

/// Events of who opens a directory and reads it.
const LOUD: u32 = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;

/// Device (major, minor) and inode, as the kernel shows them of a watch.
pub(super) type Inode = ((u32, u32), u64);
/// What `/proc/PID/fd` shows of an instance.
const LINK: &[u8] = b"anon_inode:inotify";
/// What is looked for; where the kernel has shown one, by its handle also.
type Wanted = BTreeMap<Inode, Option<Handle>>;

/// How thoroughly names are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the inodes that directories list, which on an overlay are not always those that the kernel shows otherwise.
    Listed,
    /// Each name is asked.
    Asked,
    /// Also in directories that somebody watches for being opened, who sees it then as when anybody else opens them.
    Opened,
}

/// Where something that is watched was found.
struct Place {
    path: Vec<u8>,
    /// What stat(2) says: device and inode.
    identity: (u64, u64),
}

/// What is watched, and where it is.
pub(super) struct Index {
    /// `/proc/PID` of the session's first process.
    directory: PathBuf,
    places: BTreeMap<Inode, Place>,
    /// What is watched for being opened or read.
    loud: BTreeSet<Inode>,
    /// What was looked for in vain.
    nameless: BTreeSet<Inode>,
    /// An instance by which names are compared with what is watched. To close it waits for the kernel: not in the pause.
    probe: Option<OwnedFd>,
}

impl Index {
    /// Finds what `pids` watch, and what they have open or mapped that has lost the name that the kernel shows, in the session whose
    /// first process `root` is.
    pub(super) fn look(root: pid_t, pids: &[pid_t]) -> Self {
        let directory = PathBuf::from(format!("/proc/{root}"));
        let watches: Vec<Watch> = pids.iter().flat_map(|pid| watched(*pid)).collect();
        let loud = watches.iter().filter(|watch| watch.mask & LOUD != 0).map(inode).collect();
        let (places, nameless) = (BTreeMap::new(), BTreeSet::new());
        let mut index = Self { directory, places, loud, nameless, probe: None };
        let mut wanted = index.lost(pids);
        index.walk(&mut wanted, Way::Listed, usize::MAX);
        index.walk(&mut wanted, Way::Asked, usize::MAX);
        index.nameless.extend(wanted.into_keys());
        let mut wanted: Wanted = watches.into_iter().map(|it| (inode(&it), it.handle)).collect();
        for way in [Way::Listed, Way::Asked, Way::Opened] {
            index.walk(&mut wanted, way, usize::MAX);
        }
        index
    }

    /// What of `pids` is open or mapped and has lost its name, but may have others.
    fn lost(&mut self, pids: &[pid_t]) -> Wanted {
        let mut wanted = Wanted::new();
        for directory in pids.iter().map(|pid| PathBuf::from(format!("/proc/{pid}"))) {
            for (path, _) in descriptors(&directory).into_iter().filter(|(_, link)| is_lost(link)) {
                let probed = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(Into::into);
                let Ok((found, _)) = probed.and_then(|target| self.probe(target.as_fd())) else { continue };
                match std::fs::metadata(path).map(|found| found.nlink()) {
                    Ok(0) => drop(self.nameless.insert(inode(&found))),
                    _ => drop(wanted.insert(inode(&found), found.handle)),
                }
            }
        }
        for pid in pids {
            let mapped = maps::read(pid.cast_unsigned()).into_iter().flatten().filter(|it| is_lost(&it.name));
            let inodes = mapped.map(|it| (it.device, it.inode));
            wanted.extend(inodes.filter(|inode| !self.nameless.contains(inode)).map(|inode| (inode, None)));
        }
        wanted
    }

    /// The path of what is watched, while the session stands still.
    pub(super) fn find(&mut self, watch: &Watch) -> Option<Vec<u8>> {
        let inode = inode(watch);
        if !self.places.get(&inode).is_some_and(|place| self.leads(place)) {
            self.places.remove(&inode);
            if watch.mask & LOUD != 0 {
                self.loud.insert(inode);
            }
            self.walk(&mut BTreeMap::from([(inode, watch.handle.clone())]), Way::Asked, FEW);
        }
        self.places.get(&inode).map(|place| place.path.clone())
    }

    /// A path of what has lost the name that the kernel shows of it, while the session stands still.
    pub(super) fn other_name(&mut self, inode: Inode) -> Option<Vec<u8>> {
        if !self.places.contains_key(&inode) && self.nameless.insert(inode) {
            self.walk(&mut BTreeMap::from([(inode, None)]), Way::Asked, FEW);
        }
        self.places.get(&inode).filter(|place| self.leads(place)).map(|place| place.path.clone())
    }

    /// Device and inode of a file, as the kernel shows them of a mapping.
    pub(super) fn identify(&mut self, file: BorrowedFd<'_>) -> io::Result<Inode> {
        Ok(inode(&self.probe(file)?.0))
    }

    fn leads(&self, place: &Place) -> bool {
        let found = std::fs::symlink_metadata(self.locate(&place.path));
        found.is_ok_and(|found| (found.dev(), found.ino()) == place.identity)
    }

    fn locate(&self, path: &[u8]) -> PathBuf {
        locate(&self.directory.join("root"), path)
    }

    /// Walks for `wanted`, of which what was found is taken out. Looks at no more than `most` names.
    fn walk(&mut self, wanted: &mut Wanted, way: Way, most: usize) {
        if wanted.is_empty() {
            return;
        }
        let Ok(mounts) = mountinfo::read(&self.directory) else { return };
        let mut left = most;
        // Nothing of proc has a name that lasts.
        for mount in mounts.iter().filter(|mount| mount.kind != b"proc") {
            let is_wanted = |wanted: &Wanted| wanted.keys().any(|(device, _)| *device == mount.device);
            let mut directories = VecDeque::from([mount.path.clone()]);
            while is_wanted(wanted) {
                let Some(path) = directories.pop_front() else { break };
                let place = self.locate(&path);
                // Another mount may lie on it.
                let Some(inode) = inode_on(&place, mount) else { continue };
                self.compare(wanted, (mount, Some(inode)), &path);
                if way != Way::Opened && self.loud.contains(&(mount.device, inode)) {
                    continue;
                }
                let Ok(entries) = std::fs::read_dir(place) else { continue };
                for entry in entries.flatten() {
                    let Some(rest) = left.checked_sub(1) else { return };
                    left = rest;
                    let path = [path.strip_suffix(b"/").unwrap_or(&path), b"/", entry.file_name().as_bytes()].concat();
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        directories.push_back(path);
                    } else {
                        self.compare(wanted, (mount, number(&entry, way)), &path);
                    }
                }
            }
        }
    }

    /// Keeps `path` if it leads to something of `wanted`. `inode` is what was said of it.
    fn compare(&mut self, wanted: &mut Wanted, (mount, inode): (&MountPoint, Option<u64>), path: &[u8]) {
        if inode.is_none_or(|inode| !wanted.contains_key(&(mount.device, inode))) {
            return;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(self.locate(path), flags, Mode::empty()).map_err(Into::into);
        let Ok((found, identity)) = opened.and_then(|target| self.probe(target.as_fd())) else { return };
        let inode = self::inode(&found);
        if wanted.get(&inode).is_some_and(|handle| handle.is_none() || *handle == found.handle) {
            wanted.remove(&inode);
            self.places.insert(inode, Place { path: path.to_vec(), identity });
        }
    }

    /// What the kernel shows of a watch of `target`, and what stat(2) says of that.
    fn probe(&mut self, target: BorrowedFd<'_>) -> io::Result<(Watch, (u64, u64))> {
        let stat = rustix::fs::fstat(target)?;
        let probe = match self.probe.take() {
            Some(probe) => probe,
            None => watch::inotify()?,
        };
        let probe = self.probe.insert(probe);
        let number = watch::add_open(probe.as_fd(), target, libc::IN_DELETE_SELF)?;
        let info = fdinfo::read(Path::new("/proc/thread-self"), probe.as_raw_fd());
        watch::remove(probe.as_fd(), number)?;
        match info?.kind {
            Kind::Inotify(mut all) if all.len() == 1 => Ok((all.remove(0), (stat.st_dev, stat.st_ino))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn inode(watch: &Watch) -> Inode {
    (watch.device, watch.inode)
}

/// The inode of a name.
fn number(entry: &DirEntry, way: Way) -> Option<u64> {
    if way == Way::Listed { Some(entry.ino()) } else { entry.metadata().ok().map(|found| found.ino()) }
}

/// The inode of `place`, if that is on `mount` and no mount lies over it.
fn inode_on(place: &Path, mount: &MountPoint) -> Option<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = rustix::fs::statx(CWD, place, flags, StatxFlags::MNT_ID | StatxFlags::INO).ok()?;
    (found.stx_mnt_id == u64::from(mount.id)).then_some(found.stx_ino)
}

/// The links in `/proc/PID/fd`, each with what it shows.
fn descriptors(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let all = std::fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
    let link = |path: PathBuf| std::fs::read_link(&path).ok().map(|link| (path, link.into_os_string().into_vec()));
    all.filter_map(|entry| link(entry.path())).collect()
}

/// Whether a name is that of a file which has lost it. Memory never had one.
fn is_lost(name: &[u8]) -> bool {
    let memory = [&b"/memfd:"[..], b"/dev/zero", b"/SYSV"].iter().any(|kind| name.starts_with(kind));
    name.first() == Some(&b'/') && name.ends_with(DELETED) && !memory
}

/// What a process watches.
fn watched(pid: pid_t) -> Vec<Watch> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let instances = descriptors(&directory).into_iter().filter(|(_, link)| link == LINK);
    let watches = |(path, _): (PathBuf, Vec<u8>)| {
        let number = path.file_name()?.to_str()?.parse().ok()?;
        match fdinfo::read(&directory, number).ok()?.kind {
            Kind::Inotify(watches) => Some(watches),
            _ => None,
        }
    };
    instances.filter_map(watches).flatten().collect()
}
