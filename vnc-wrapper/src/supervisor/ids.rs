//! A session's ids: those that its files have on disk, and those of its processes.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use freezeframe_protocol::{Failure, error_name};

use super::boot::Boot;
use crate::container::ranges::OwnRange;
use crate::failure::failure;
use crate::kernel::idmap::IdMap;
use crate::kernel::mounts::{self, Mount, Overlay};
use crate::kernel::userns;

/// Where base and session are shown with other ids, for as long as the overlay is mounted on them: in the supervisor's own root.
/// The session can read these names in its /proc/mounts.
const SHOWN: [&str; 2] = ["/base", "/session"];

/// First ids of the ranges that files belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnDisk {
    /// Those of the base.
    pub(super) base: u32,
    /// Those of the layer.
    pub(super) layer: u32,
}

/// Mounts the session's root, with the ids that its processes get: its own range, or that of the files where it has none.
///
/// # Errors
/// When no overlay can be mounted, or files have ids that no session here can have.
pub(super) fn mount(boot: &Boot, overlay: &Overlay, on_disk: &OnDisk) -> Result<(Mount, IdMap), Failure> {
    let (root, own) = (boot.directories.root(), boot.first_id);
    let foreign = [on_disk.base, on_disk.layer].into_iter().find(|first| *first != own);
    // Files of another range need other ids than theirs in any case: those may be somebody else's here.
    let first = boot.range.as_ref().map(OwnRange::first).or(foreign.map(|_| own));
    let shown = first.filter(|_| boot.privileged).map(|first| show(boot, overlay, on_disk, first, &root));
    let error = match shown {
        Some(Ok(made)) => return Ok(made),
        Some(Err(error)) => error,
        None => io::ErrorKind::Unsupported.into(),
    };
    if let Some(theirs) = foreign {
        return Err(cannot_show(boot.privileged, theirs, own, &error));
    }
    if boot.range.is_some() {
        tracing::warn!("the session shares its ids with others: {error}");
    }
    overlay.mount(&root).map(|mount| (mount, boot.map.clone())).map_err(|error| {
        failure(
            error_name::MACHINE_LACKS,
            format!("cannot lay the session's layer over its base: {error}"),
            "the data directory has to be on ext4, xfs or btrfs; `sessionctl doctor` tells",
        )
    })
}

/// The copies of the session's own files, with the ids of its processes; none where its snapshot has none.
///
/// # Errors
/// When they cannot be shown.
pub(super) fn show_own(boot: &Boot, on_disk: u32, map: &IdMap) -> io::Result<Option<OwnedFd>> {
    let path = boot.directories.own();
    if !path.exists() {
        return Ok(None);
    }
    let first = map.first_id();
    let shown = boot.privileged && first != on_disk;
    let opened = if shown {
        mounts::show_with_ids(&path, &IdMap::of_mount(on_disk, first))
    } else {
        userns::open_directory(&path)
    };
    opened.map(Some)
}

fn cannot_show(privileged: bool, theirs: u32, own: u32, error: &io::Error) -> Failure {
    let text = format!("the files belong to the ids from {theirs} on, and sessions here have those from {own} on");
    if !privileged {
        let hint = "take back the change to /etc/subuid, or build the base again: sessionctl base remove BASE";
        return failure(error_name::FAILED, text, hint);
    }
    failure(
        error_name::MACHINE_LACKS,
        format!("{text}; the one cannot be shown as the other: {error}"),
        "the data directory has to be on ext4, xfs or btrfs, with Linux 5.19 or newer; `sessionctl doctor` has more",
    )
}

fn show(boot: &Boot, overlay: &Overlay, on_disk: &OnDisk, first: u32, root: &Path) -> io::Result<(Mount, IdMap)> {
    let [base, session] = SHOWN.map(Path::new);
    let shown = |path: &Path, on_disk: u32, at: &Path| {
        fs::create_dir_all(at)?;
        let mount = mounts::show_with_ids(path, &IdMap::of_mount(on_disk, first))?;
        mounts::attach_for_now(&mount, at)
    };
    // The overlay keeps its own copies of these mounts.
    let _base = shown(&overlay.lower, on_disk.base, base)?;
    let _session = shown(&boot.directories.session, on_disk.layer, session)?;
    let within = |path: &Path| -> PathBuf { session.join(path.file_name().unwrap_or_default()) };
    let (upper, work) = (within(&overlay.upper), within(&overlay.work));
    let overlay = Overlay { lower: base.to_owned(), upper, work, ..overlay.clone() };
    Ok((overlay.mount(root)?, IdMap::from_first(first)))
}
