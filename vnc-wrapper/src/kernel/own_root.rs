//! A root directory that holds nothing of the host but what is needed.
//!
//! A new mount namespace holds a copy of every mount of the one that it was made from (mount_namespaces(7)). Such a copy
//! keeps the file system mounted after the host has unmounted it, so [`OwnRoot::enter`] drops all that [`OwnRoot::bind`]
//! was not told to keep. What is kept is a slave of the host's: an unmount of the host reaches it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, mkdirat, mknodat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};

use super::mounts;

/// Permissions of directories and files that only lead to a mount.
const POINT: Mode = Mode::from_raw_mode(0o755);

/// What every descriptor of this module is opened with.
const OPEN: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// A device node: its name in /dev, and its numbers (Documentation/admin-guide/devices.txt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The name, of one or two parts.
    pub name: &'static str,
    /// Major and minor number of the character device.
    pub numbers: (u32, u32),
}

/// A root that is being made; it becomes this process's by [`OwnRoot::enter`], and goes when dropped before.
#[derive(Debug)]
pub struct OwnRoot(OwnedFd);

impl OwnRoot {
    /// Begins with an empty one, in a mount namespace that this process shares with nobody who needs more of the host.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new() -> io::Result<Self> {
        let all = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
        rustix::mount::mount_change("/", all)?;
        let root = file_system("tmpfs", &[("mode", "755")], MountAttrFlags::MOUNT_ATTR_NOSUID)?;
        mounts::attach(&root, Path::new("/"))?;
        Ok(Self(root))
    }

    /// Keeps what is at `path`, which is absolute and without links, with all that is mounted below it.
    ///
    /// # Errors
    /// When nothing is there, or the kernel refuses.
    pub fn bind(&self, path: &Path) -> io::Result<()> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = rustix::mount::open_tree(rustix::fs::CWD, path, flags)?;
        let directory = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
        self.attach(&tree, relative(path), directory)
    }

    /// Mounts a procfs of this pid namespace at /proc.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn proc(&self) -> io::Result<()> {
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let proc = file_system("proc", &[], flags | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
        self.attach(&proc, Path::new("proc"), true)
    }

    /// Makes a /dev with `devices`. They are nodes of this root alone where the kernel lets them be made; otherwise (only
    /// root of the initial user namespace may, mknod(2)) the host's are kept. A device that the host has not is left out.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn devices(&self, devices: &[Device]) -> io::Result<()> {
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let tree = file_system("tmpfs", &[("mode", "755")], flags)?;
        self.attach(&tree, Path::new("dev"), true)?;
        for device in devices {
            let host = Path::new("/dev").join(device.name);
            if !host.exists() {
                continue;
            }
            if let Some((directory, _)) = device.name.split_once('/') {
                make_directory(&tree, Path::new(directory))?;
            }
            if let Err(error) = own_node(&tree, device) {
                tracing::debug!("the host's {} is kept: {error}", host.display());
                self.bind(&host)?;
            }
        }
        // CRIU tells the session's terminals from those of its own /dev/pts; the wrapper tries things on one of these.
        let terminals = file_system("devpts", &[("ptmxmode", "0666")], flags)?;
        self.attach(&terminals, Path::new("dev/pts"), true)?;
        Ok(rustix::fs::symlinkat("pts/ptmx", &tree, "ptmx")?)
    }

    fn attach(&self, tree: &OwnedFd, at: &Path, directory: bool) -> io::Result<()> {
        let mut parent = PathBuf::new();
        for part in at.parent().into_iter().flatten() {
            parent.push(part);
            make_directory(&self.0, &parent)?;
        }
        if directory {
            make_directory(&self.0, at)?;
        } else {
            rustix::fs::openat(&self.0, at, OFlags::CREATE | OFlags::WRONLY | OPEN, POINT)?;
        }
        Ok(rustix::mount::move_mount(tree, "", &self.0, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    /// Makes this the root of the whole mount namespace and drops every mount that was there before. `links` are names that
    /// lead to what was kept, each with where.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(self, links: &[(PathBuf, PathBuf)]) -> io::Result<()> {
        mounts::pivot_into(&self.0)?;
        mounts::leave_old_root()?;
        make_directory(&self.0, Path::new("run"))?;
        make_directory(&self.0, Path::new("tmp"))?;
        // CRIU writes there with the ids of the session (tmpfile(3)).
        fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777))?;
        for (name, target) in links {
            if fs::symlink_metadata(name).is_ok() {
                continue;
            }
            fs::create_dir_all(name.parent().unwrap_or(name))?;
            symlink(target, name)?;
        }
        Ok(())
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Makes the node and opens it: in a container whose device cgroup forbids it, it can be made and yet not be used.
fn own_node(tree: &OwnedFd, device: &Device) -> Result<(), Errno> {
    let (major, minor) = device.numbers;
    let mode = Mode::from_raw_mode(0o666);
    mknodat(tree, device.name, FileType::CharacterDevice, mode, rustix::fs::makedev(major, minor))?;
    let made = rustix::fs::chmodat(tree, device.name, mode, rustix::fs::AtFlags::empty());
    let made = made.and_then(|()| match rustix::fs::openat(tree, device.name, OFlags::RDWR | OPEN, Mode::empty()) {
        Err(error @ (Errno::PERM | Errno::ACCESS)) => Err(error),
        // Without a controlling terminal there is nothing behind /dev/tty, and without its module nothing behind /dev/net/tun.
        _ => Ok(()),
    });
    if made.is_err() {
        rustix::fs::unlinkat(tree, device.name, rustix::fs::AtFlags::empty())?;
    }
    made
}

fn make_directory(at: &OwnedFd, path: &Path) -> io::Result<()> {
    match mkdirat(at, path, POINT) {
        Err(Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

/// A new file system, attached nowhere yet.
fn file_system(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", kind)?;
    for (name, value) in options {
        rustix::mount::fsconfig_set_string(&context, *name, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}
