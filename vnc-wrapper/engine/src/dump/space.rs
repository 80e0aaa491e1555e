//! Address spaces: what is mapped, and the shared memory in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use libc::pid_t;
use rustix::fs::{AtFlags, Statx, StatxFlags, statx};

use super::Error;
use super::error::fit;
use super::inside::Answers;
use super::ipc::segments::Segments;
use super::pages::Pages;
use super::paths::{near, path};
use super::process;
use super::sockets::Inside;
use super::subject::Subject;
use super::watches::{Index, Inode};
use crate::memory::image::Image;
use crate::memory::maps;
use crate::memory::shared::{self, View};
use crate::objects::{self, Seen, file, memfd, unlinked};
use crate::process::smaps::{self, Mapped};
use crate::process::text;
use crate::record::memory::{AddressSpace, Backing, Mapping, Origin, SharedObject};

/// The most of an auxiliary vector, in bytes.
const AUXILIARY: u64 = 1024;
/// The device of memory files: shared memory, memfd, System V.
const ANONYMOUS: &[u8] = b"/dev/zero";
const MEMFD: &[u8] = b"/memfd:";
const SYSTEM_V: &[u8] = b"/SYSV";
/// Mappings that the kernel lays itself.
const SPECIAL: [&[u8]; 5] = [b"[vdso]", b"[vvar]", b"[vvar_vclock]", b"[vsyscall]", b"[timens]"];
/// Why a file cannot be made again on its file system.
const GONE: &str = "it has no name any more, and no directory of its file system is left above where it was";
const NAMED: &[u8] = b"[anon:";
/// Permissions of what nobody has open.
const ALONE: u32 = 0o600;
const NAMED_SHARED: &[u8] = b"[anon_shmem:";

/// The record of the address space of `subject`, with the number `id`.
pub(super) fn record(
    subject: &Subject,
    id: u32,
    (asked, answers): (&process::Asked, &Answers),
    view: &super::view::View,
) -> Result<AddressSpace, Error> {
    let pid = subject.pid;
    let directory = subject.directory();
    let layout = match subject.speaker() {
        // A leader that has ended has no memory any more.
        Some(tid) if tid != pid => {
            let stat = crate::process::stat::read(&directory);
            stat.map_err(Error::read(pid, tid, "stat"))?.layout
        }
        _ => subject.stat.layout,
    };
    let bounds = vec![
        layout.start_code,
        layout.end_code,
        layout.start_data,
        layout.end_data,
        layout.start_brk,
        asked.brk(answers),
        layout.start_stack,
        layout.arg_start,
        layout.arg_end,
        layout.env_start,
        layout.env_end,
    ];
    let auxiliary = text::read(&directory, "auxv", AUXILIARY).map_err(Error::read(pid, pid, "auxv"))?;
    Ok(AddressSpace {
        id,
        executable: fit(pid, "its executable", path(view, pid, &directory.join("exe"), "exe")?)?,
        bounds: fit(pid, "addresses", bounds)?,
        auxiliary: fit(pid, "auxv", auxiliary)?,
        // Also said by kernels that have none; to switch them off there changes nothing.
        huge_pages_off: subject.status.huge_pages == Some(false),
        deny_write_exec: asked.deny_write_exec(answers),
    })
}

/// The vdso of a process, if `address` lies in it.
pub(super) fn vdso_around(directory: &Path, address: u64) -> Option<Range<u64>> {
    /// `AT_SYSINFO_EHDR` (getauxval(3)): where the vdso was laid.
    const PLACE: u64 = 33;
    /// More than any vdso has.
    const MOST: u64 = 1 << 16;
    let auxiliary = text::read(directory, "auxv", AUXILIARY).ok()?;
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let mut pairs = auxiliary.chunks_exact(16).map(|pair| (word(&pair[..8]), word(&pair[8..])));
    let start = pairs.find(|(kind, _)| *kind == PLACE)?.1;
    if !(start..start + MOST).contains(&address) {
        return None;
    }
    let pid = directory.file_name()?.to_str()?.parse().ok()?;
    let mapped = maps::read(pid).ok()?.into_iter().find(|mapped| mapped.name == b"[vdso]")?;
    mapped.range.contains(&address).then_some(mapped.range)
}

/// What is mapped in the process.
pub(super) fn mapped(subject: &Subject) -> Result<Vec<Mapped>, Error> {
    smaps::read(&subject.directory()).map_err(Error::read(subject.pid, subject.pid, "smaps"))
}

/// Whether it shows System V memory, which is found by asking its ipc namespace.
pub(super) fn is_system_v(mapped: &Mapped) -> bool {
    mapped.is_deleted() && mapped.name.starts_with(SYSTEM_V)
}

/// The record of a mapping of address space `space`; its guards are not known yet.
pub(super) fn mapping(
    pid: pid_t,
    tid: pid_t,
    space: u32,
    mapped: &Mapped,
    objects: &mut Objects,
    (view, watches): (&super::view::View, &mut Index),
) -> Result<Mapping, Error> {
    let refuse = |why: &str| {
        let place = format!("its memory at {:#x} ({})", mapped.start, mapped.name.escape_ascii());
        Err(Error::refused(pid, place, why))
    };
    if mapped.key != 0 {
        return refuse("it has a protection key");
    }
    if mapped.has(b"ht") {
        return refuse("it has huge pages of its own (hugetlbfs)");
    }
    let special = SPECIAL.contains(&mapped.name.as_slice());
    if !special && (mapped.has(b"pf") || mapped.has(b"io") || mapped.name.starts_with(b"anon_inode:")) {
        return refuse("it belongs to a device or to the kernel");
    }
    let named = |prefix| mapped.name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(b"]"));
    let name = named(NAMED).or_else(|| named(NAMED_SHARED)).unwrap_or_default();
    let offset = mapped.offset;
    let backing = if special {
        let name = mapped.name[1..mapped.name.len() - 1].to_vec();
        Backing::Special { name: fit(pid, "a name of the kernel's memory", name)? }
    } else if is_system_v(mapped) {
        let Some(object) = objects.segments.add(pid, tid, mapped) else {
            return refuse("this System V memory is not of an ipc namespace of the session's own");
        };
        Backing::Object { object, offset, private: false }
    } else if let Some(origin) = origin(pid, mapped)? {
        let object = objects.add(tid, mapped, origin);
        Backing::Object { object, offset, private: !mapped.shared }
    } else if mapped.inode == 0 {
        if mapped.name.first() == Some(&b'[')
            && !["[heap]", "[stack]"].iter().any(|it| it.as_bytes() == mapped.name)
            && named(NAMED).is_none()
        {
            return refuse("the kernel's memory of this name is not known");
        }
        Backing::Anonymous
    } else {
        let lost = mapped.is_deleted() && !is_named(view, mapped);
        let path = if lost { watches.other_name((mapped.device, mapped.inode)) } else { Some(mapped.name.clone()) };
        if let Some(path) = path {
            let path = fit(pid, "a path", path)?;
            if mapped.shared { Backing::SharedFile { path, offset } } else { Backing::PrivateFile { path, offset } }
        } else {
            let is_on = |found: &Statx| (found.stx_dev_major, found.stx_dev_minor) == mapped.device;
            let Some(near) = near(view, mapped.path(), is_on) else { return refuse(GONE) };
            let origin = Origin::File { near: fit(pid, "a path", near)?, linkable: false };
            Backing::Object { object: objects.add(tid, mapped, origin), offset, private: !mapped.shared }
        }
    };
    let flags = [(b"gd", libc::MAP_GROWSDOWN), (b"nr", libc::MAP_NORESERVE), (b"lo", libc::MAP_LOCKED)];
    let flags = flags.into_iter().filter(|(flag, _)| mapped.has(flag)).fold(0, |all, (_, bit)| all | bit);
    Ok(Mapping {
        space,
        start: mapped.start,
        end: mapped.end,
        protection: mapped.protection,
        flags: flags.cast_unsigned(),
        advice: fit(pid, "flags of its memory", advice(mapped))?,
        backing,
        name: fit(pid, "a name of its memory", name.to_vec())?,
        guards: Default::default(),
    })
}

/// The flags, but those by which we follow it.
fn advice(mapped: &Mapped) -> Vec<u8> {
    mapped.flags.iter().filter(|flag| ![b"um", b"uw", b"ui"].contains(flag)).flatten().copied().collect()
}

/// Whether a file whose name ends like that of a deleted one is there under it.
fn is_named(view: &super::view::View, mapped: &Mapped) -> bool {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(view.locate(&mapped.name));
    found.is_ok_and(|found| found.ino() == mapped.inode)
}

/// Whether a mapping shows shared memory, and how that was made.
fn origin(pid: pid_t, mapped: &Mapped) -> Result<Option<Origin>, Error> {
    if mapped.inode == 0 {
        return Ok(None);
    }
    let path = mapped.path();
    if mapped.name.starts_with(NAMED_SHARED) || mapped.is_deleted() && path == ANONYMOUS {
        return Ok(Some(Origin::Anonymous));
    }
    if let Some(name) = path.strip_prefix(MEMFD).filter(|_| mapped.is_deleted()) {
        let name = fit(pid, "the name of a memfd", name.to_vec())?;
        return Ok(Some(Origin::Memfd { name, flags: 0 }));
    }
    Ok(None)
}

/// What is mapped there, for those who may open it (CAP_CHECKPOINT_RESTORE, `proc_map_files_get_link` in fs/proc/base.c): only so are its
/// holes seen. To read them through a mapping fills them.
fn behind(view: &View) -> Option<File> {
    let View { pid, range, .. } = view;
    File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", range.start, range.end)).ok()
}

/// Shared memory and files without a name, each once, by device and inode.
///
/// Segments of System V are by themselves: their inodes are identifiers, which others of the same device may have too.
#[derive(Default)]
pub(super) struct Objects {
    segments: Segments,
    known: BTreeMap<Inode, Known>,
}

struct Known {
    record: SharedObject,
    name: Vec<u8>,
    views: Vec<View>,
    /// Where private copies of a file's pages are mapped.
    copies: Vec<View>,
    /// What was read of it through a descriptor.
    image: Option<Image>,
}

impl Objects {
    /// With these segments of the session.
    pub(super) fn new(segments: Segments) -> Self {
        Self { segments, known: BTreeMap::new() }
    }

    fn entry(&mut self, identity: Inode, name: &[u8]) -> &mut Known {
        let id = self.segments.count() + self.known.len() as u32 + 1;
        self.known.entry(identity).or_insert_with(|| Known {
            record: SharedObject { id, ..SharedObject::default() },
            name: name.to_vec(),
            views: Vec::new(),
            copies: Vec::new(),
            image: None,
        })
    }

    /// The number of what `mapped` of thread `tid` shows.
    fn add(&mut self, tid: pid_t, mapped: &Mapped, origin: Origin) -> u32 {
        let known = self.entry((mapped.device, mapped.inode), &mapped.name);
        if known.image.is_none() {
            known.record.origin = origin;
            known.record.size = known.record.size.max(mapped.offset + (mapped.end - mapped.start));
            // Whose it is and who may open it cannot be seen, nor does it matter: nobody has it open.
            (known.record.user, known.record.group, known.record.mode) = (u32::MAX, u32::MAX, ALONE);
        }
        let views = if mapped.shared { &mut known.views } else { &mut known.copies };
        views.push(View {
            pid: tid.cast_unsigned(),
            range: mapped.start..mapped.end,
            offset: mapped.offset,
            writable: mapped.protection & libc::PROT_WRITE.cast_unsigned() != 0,
        });
        known.record.id
    }

    /// The number of the memory behind a memfd, which is read.
    pub(super) fn add_memfd(&mut self, pid: pid_t, seen: &Seen, view: &super::view::View) -> Result<u32, Error> {
        let (device, inode) = seen.identity();
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        self.add_open(pid, seen, (device, inode), view, |id| memfd::take(seen, id))
    }

    /// The number of a file or directory that has no name any more, which is read. `inode`: as mappings show it.
    pub(super) fn add_unlinked(
        &mut self,
        pid: pid_t,
        seen: &Seen,
        inode: Inode,
        view: &super::view::View,
    ) -> Result<u32, Error> {
        let what = || seen.link.escape_ascii().to_string();
        let on = statx(seen.copy(), "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
        let on = on.map_err(|error| Error::read(pid, seen.pid, what())(error.into()))?;
        let near = near(view, file::path(seen), |found| found.stx_mnt_id == on.stx_mnt_id);
        let near = near.ok_or_else(|| Error::refused(pid, what(), GONE))?;
        self.add_open(pid, seen, inode, view, |id| unlinked::take(seen, id, &near))
    }

    fn add_open(
        &mut self,
        pid: pid_t,
        seen: &Seen,
        identity: Inode,
        view: &super::view::View,
        take: impl FnOnce(u32) -> Result<SharedObject, objects::Error>,
    ) -> Result<u32, Error> {
        let known = self.entry(identity, &seen.link);
        let id = known.record.id;
        if known.image.is_none() {
            known.record = take(id).map_err(Error::object(pid))?;
            (known.record.user, known.record.group) = view.owner(known.record.user, known.record.group);
            let mut image = Image::new();
            if !matches!(known.record.origin, Origin::Directory { .. }) {
                let file = shared::own_description(seen.copy());
                let read = file.and_then(|file| shared::read_file(&file, &mut image));
                read.map_err(Error::read(pid, seen.pid, seen.link.escape_ascii().to_string()))?;
            }
            known.image = Some(image);
        }
        Ok(id)
    }

    /// The records, and the pages.
    pub(super) fn finish(self, inside: &mut Inside<'_, '_>) -> Result<Vec<(SharedObject, Pages)>, Error> {
        let pid = inside.pid;
        let mut all = self.segments.finish(inside)?;
        for (identity, known) in self.known {
            let Known { mut record, name, mut views, copies, image } = known;
            let image = if let Some(image) = image {
                image
            } else {
                if matches!(record.origin, Origin::File { .. }) {
                    // A page that nobody has but as a copy of theirs gets their content: it is theirs again in any case.
                    views.extend(copies);
                }
                if views.is_empty() {
                    let why = "only private copies of it are mapped, and nobody has a descriptor of it";
                    return Err(Error::refused(pid, name.escape_ascii().to_string(), why));
                }
                let mut image = Image::new();
                let what = name.escape_ascii().to_string();
                let size = match views.iter().find_map(behind) {
                    Some(file) => shared::read_file(&file, &mut image),
                    None => {
                        let read = shared::Object { identity, name, views }.read(&mut image);
                        // What cannot be read lies behind its end.
                        let end = |last: Range<u64>| if last.end >= record.size { last.start } else { record.size };
                        read.map(|missing| missing.runs().last().map_or(record.size, end))
                    }
                };
                record.size = size.map_err(Error::read(pid, pid, what))?;
                image
            };
            let pages = Pages::of_object(record.id, image);
            all.push((record, pages));
        }
        Ok(all)
    }
}
