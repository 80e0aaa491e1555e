//! Mounts. A [`Mount`] is undone when it is dropped.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::idmap::IdMap;
use super::userns;

/// A mounted file system; unmounted (lazily) when dropped.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = rustix::mount::unmount(&self.at, UnmountFlags::DETACH) {
            tracing::error!("cannot unmount {}: {error}", self.at.display());
        }
    }
}

/// Keeps mounts and unmounts of this mount namespace from every other.
///
/// # Errors
/// When the kernel refuses.
pub fn make_all_private() -> io::Result<()> {
    Ok(rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?)
}

/// Mounts a procfs of this pid namespace over /proc.
///
/// # Errors
/// When the kernel refuses.
pub fn mount_proc() -> io::Result<()> {
    let flags =
        rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV | rustix::mount::MountFlags::NOEXEC;
    Ok(rustix::mount::mount("proc", "/proc", "proc", flags, None)?)
}

/// The directories of an overlay (Documentation/filesystems/overlayfs.rst).
#[derive(Clone, Debug)]
pub struct Overlay {
    /// The base's root file system; never written.
    pub lower: PathBuf,
    /// The layer.
    pub upper: PathBuf,
    /// Scratch on the file system of `upper`; new for every mount.
    pub work: PathBuf,
    /// Keep the overlay's own attributes as `user.overlay.*`, as a mounter without root has to.
    pub user_attributes: bool,
}

impl Overlay {
    /// Mounts it at `at`, private to this mount namespace.
    ///
    /// `index` and `nfs_export` give every file a handle that stays valid, which CRIU needs for inotify watches. Paths
    /// go to the kernel one by one, so that a comma or colon in them means nothing.
    ///
    /// # Errors
    /// When the kernel refuses; on an unsuitable file system below `upper`, for one.
    pub fn mount(&self, at: &Path) -> io::Result<Mount> {
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let context = &context;
        rustix::mount::fsconfig_set_string(context, "source", "freezeframe")?;
        rustix::mount::fsconfig_set_string(context, "lowerdir", escape(&self.lower, true)?)?;
        rustix::mount::fsconfig_set_string(context, "upperdir", escape(&self.upper, false)?)?;
        rustix::mount::fsconfig_set_string(context, "workdir", escape(&self.work, false)?)?;
        if self.user_attributes {
            // The kernel does not combine userxattr with index; without root nothing is saved yet.
            rustix::mount::fsconfig_set_flag(context, "userxattr")?;
        } else {
            rustix::mount::fsconfig_set_string(context, "index", "on")?;
            rustix::mount::fsconfig_set_string(context, "nfs_export", "on")?;
        }
        rustix::mount::fsconfig_create(context)?;
        let mounted = rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        rustix::mount::move_mount(mounted, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        let mount = Mount { at: at.to_owned() };
        rustix::mount::mount_change(at, MountPropagationFlags::PRIVATE)?;
        Ok(mount)
    }
}

/// `lowerdir` is a list split at colons, with backslash as escape.
fn escape(path: &Path, list: bool) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the path {} is not UTF-8", path.display()))
    })?;
    if !list {
        return Ok(text.to_owned());
    }
    Ok(text.replace('\\', "\\\\").replace(':', "\\:"))
}

/// A copy of the mount that `path` is on (or below), attached nowhere yet.
///
/// # Errors
/// When the kernel refuses.
pub fn clone_mount(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?)
}

/// A copy of the mount at `path`, attached nowhere yet, that shows files with other ids: `ids` has those on the disk as its
/// inside, and those that are shown as its outside (mount_setattr(2), "ID-mapped mounts"). This process must have one thread.
///
/// # Errors
/// When the kernel refuses, as it does for file systems that cannot do it.
pub fn show_with_ids(path: &Path, ids: &IdMap) -> io::Result<OwnedFd> {
    let (mount, namespace) = (clone_mount(path)?, userns::empty_namespace(ids)?);
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?,
    };
    let (here, size) = (c"".as_ptr(), size_of::<libc::mount_attr>());
    // SAFETY: mount_setattr(2) reads an empty path and one structure of `size` bytes, both of which outlive the call; the two
    // descriptors are open.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            here,
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size,
        )
    };
    nix::errno::Errno::result(done)?;
    Ok(mount)
}

/// Attaches what [`clone_mount`] made, until what is returned is dropped.
///
/// # Errors
/// When the kernel refuses.
pub fn attach_for_now(mount: &OwnedFd, at: &Path) -> io::Result<Mount> {
    attach(mount, at)?;
    Ok(Mount { at: at.to_owned() })
}

/// Attaches what [`clone_mount`] made.
///
/// # Errors
/// When the kernel refuses.
pub fn attach(mount: &OwnedFd, at: &Path) -> io::Result<()> {
    Ok(rustix::mount::move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Makes the mounted directory `root` the root of this mount namespace, leaving the old root mounted over "."
/// until [`leave_old_root`].
///
/// # Errors
/// When the kernel refuses.
pub fn pivot_into(root: &OwnedFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    Ok(rustix::process::pivot_root(".", ".")?)
}

/// Takes away the old root that [`pivot_into`] left.
///
/// # Errors
/// When the kernel refuses.
pub fn leave_old_root() -> io::Result<()> {
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
