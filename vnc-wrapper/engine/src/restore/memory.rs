//! Memory: mapped at its addresses, filled with pages, then given the protection and all else that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::fault::Step as Fault;
use crate::memory::PAGE;
use crate::record::Region;
use crate::record::memory::{AddressSpace, Backing, Mapping};
use crate::remote::Call;
use crate::remote::processor::VDSO_CALL;
use crate::sys::memory;
use crate::sys::userfaultfd::{Mode, OPEN_FLAGS, Userfaultfd};

use super::content::Content;
use super::descriptors::{Key, Open, has, mapped};
use super::error::{Error, Object, Result};
use super::ipc::segments;
use super::list::List;
use super::nursery::Nursery;
use super::stub::Stub;

/// `MAP_DROPPABLE` (linux/mman.h), a kind of mapping like `MAP_PRIVATE`.
const MAP_DROPPABLE: u64 = 8;
/// `MADV_GUARD_INSTALL` (Linux 6.13). After the pages: one that is put over a guard takes it away.
const MADV_GUARD_INSTALL: u64 = 102;
const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_SET_MM: u64 = 35;
const PR_SET_MM_MAP: u64 = 14;
const PR_SET_MDWE: u64 = 65;
const READ_WRITE: u32 = (libc::PROT_READ | libc::PROT_WRITE) as u32;
const MLOCK_ONFAULT: u64 = 1;

/// Letters of `VmFlags` and the advice to madvise(2) that gives them.
const ADVICE: [(&[u8; 2], libc::c_int); 8] = [
    (b"dc", libc::MADV_DONTFORK),
    (b"dd", libc::MADV_DONTDUMP),
    (b"wf", libc::MADV_WIPEONFORK),
    (b"hg", libc::MADV_HUGEPAGE),
    (b"nh", libc::MADV_NOHUGEPAGE),
    (b"mg", libc::MADV_MERGEABLE),
    (b"sr", libc::MADV_SEQUENTIAL),
    (b"rr", libc::MADV_RANDOM),
];

/// An address space while it is made.
pub(super) struct Space<'c, 's> {
    record: &'c AddressSpace,
    content: &'c Content,
    mappings: &'c [Mapping],
    pub(super) stub: &'s Stub,
    pages: Option<Userfaultfd>,
    /// First addresses of mappings that take pages through it.
    registered: BTreeSet<u64>,
}

impl<'c, 's> Space<'c, 's> {
    /// Maps everything into the memory of `stub`.
    pub(super) fn map(
        record: &'c AddressSpace,
        content: &'c Content,
        stub: &'s Stub,
        (open, nursery): (&Open, &Nursery),
    ) -> Result<Self> {
        let mappings = content.mappings.get(&record.id).map_or(&[][..], Vec::as_slice);
        // First, for nothing may be in its way and the kernel would lay it elsewhere.
        vdso(stub, mappings)?;
        let mut list = List::new(stub);
        for mapping in mappings {
            if let Some(from) = inherited(mapping, stub, nursery) {
                let arguments = Nursery::again(from, mapping.start, mapping.end - mapping.start);
                list.call(Object::Mapping(mapping.start), libc::SYS_mremap, arguments)?;
            } else if let Some(attachment) = segments::attachment(mapping, content) {
                segments::attach(&mut list, stub, mapping, &attachment, nursery)?;
            } else if let Some(arguments) = mmap(mapping, open)? {
                list.call(Object::Mapping(mapping.start), libc::SYS_mmap, arguments)?;
            }
        }
        list.run()?;
        stub.point(Object::Stub, Fault::RestoreMapped)?;
        Ok(Self { record, content, mappings, stub, pages: None, registered: BTreeSet::new() })
    }

    /// Puts pages where they belong.
    fn fill(&mut self, region: &Region) -> Result {
        let mut pages = region.pages();
        for run in region.runs() {
            let mut at = run.first * PAGE;
            let end = at + u64::from(run.count) * PAGE;
            while at < end {
                let Some(mapping) = self.mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&at))
                else {
                    return Err(Error::unable(
                        format!("the page at {at:#x} of {}", self.stub.name),
                        "nothing is mapped there",
                    ));
                };
                let length = (end.min(mapping.end) - at) as usize;
                let (now, later) = pages.split_at(length);
                self.put(mapping, at, now)?;
                (pages, at) = (later, at + length as u64);
            }
        }
        Ok(())
    }

    fn put(&mut self, mapping: &Mapping, at: u64, bytes: &[u8]) -> Result {
        let object = Object::Mapping(mapping.start);
        match &mapping.backing {
            Backing::Anonymous if droppable(mapping) => Ok(()),
            // The kernel has laid its own; this is for a resume where that looks otherwise.
            Backing::Special { .. } => Ok(()),
            Backing::Anonymous => self.copy(mapping, at, bytes),
            Backing::PrivateFile { .. } | Backing::Object { private: true, .. } => self.write(object, at, bytes),
            _ => Err(Error::unable(
                format!("the page at {at:#x} of {}", self.stub.name),
                "its mapping has no pages that are its alone",
            )),
        }
    }

    /// Into a copy of a page of a file.
    fn write(&self, object: Object, at: u64, bytes: &[u8]) -> Result {
        if memory::write(self.stub.tid, at, bytes).is_ok() {
            return Ok(());
        }
        // A page that only a debugger wrote: the process itself may not.
        let file = OpenOptions::new().write(true).open(format!("/proc/{}/mem", self.stub.tid));
        let written = file.and_then(|file| file.write_all_at(bytes, at));
        written.map_err(|error| self.stub.failed(object, "write to /proc/PID/mem", error))
    }

    /// Into memory without a file: this makes no more pages than are written, and needs no right to write there.
    fn copy(&mut self, mapping: &Mapping, at: u64, bytes: &[u8]) -> Result {
        let object = Object::Mapping(mapping.start);
        let stub = self.stub;
        let failed = |call: &'static str| move |error| stub.failed(object, call, error);
        if self.pages.is_none() {
            let call = Call::new(libc::SYS_userfaultfd, [OPEN_FLAGS, 0, 0, 0, 0, 0]);
            let descriptor = self.stub.take_descriptor(object, &call)?;
            self.pages = Some(Userfaultfd::start(descriptor, 0).map_err(failed("UFFDIO_API"))?);
        }
        let Some(pages) = &self.pages else { return Ok(()) };
        if self.registered.insert(mapping.start) {
            pages.register(mapping.start..mapping.end, Mode::Missing).map_err(failed("UFFDIO_REGISTER"))?;
        }
        let mut done = 0;
        while done < bytes.len() {
            match pages.copy(at + done as u64, &bytes[done..]) {
                Ok(copied) => done += copied,
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                Err(error) => return Err(failed("UFFDIO_COPY")(error)),
            }
        }
        Ok(())
    }

    /// From here on a page that is not there is one of zeros again. To close the userfaultfd is not enough: a process that another
    /// thread of this one has just forked has a copy of it, and until that is closed too the kernel's own accesses would fail
    /// (a read(2) by `EFAULT`) and the process's own would wait.
    fn end_filling(&mut self) -> Result {
        let Some(pages) = self.pages.take() else { return Ok(()) };
        for mapping in self.mappings.iter().filter(|mapping| self.registered.contains(&mapping.start)) {
            pages
                .unregister(mapping.start..mapping.end)
                .map_err(|error| self.stub.failed(Object::Mapping(mapping.start), "UFFDIO_UNREGISTER", error))?;
        }
        Ok(())
    }

    /// Gives memory what it had beyond its pages.
    pub(super) fn seal(mut self, open: &Open, nursery: &Nursery) -> Result {
        self.end_filling()?;
        let mut list = List::new(self.stub);
        nursery.leave(&mut list, self.stub)?;
        for mapping in self.mappings {
            let object = Object::Mapping(mapping.start);
            let length = mapping.end - mapping.start;
            if matches!(mapping.backing, Backing::Special { .. }) {
                continue;
            }
            let now = match segments::attachment(mapping, self.content) {
                Some(attachment) => attachment.protection,
                None if inherited(mapping, self.stub, nursery).is_some() => READ_WRITE,
                None => initial(mapping),
            };
            if now != mapping.protection {
                let arguments = [mapping.start, length, mapping.protection.into(), 0, 0, 0];
                list.call(object, libc::SYS_mprotect, arguments)?;
            }
            for (letters, advice) in ADVICE {
                if has(mapping, letters) && !(droppable(mapping) && matches!(letters, b"dd" | b"wf")) {
                    list.call(object, libc::SYS_madvise, [mapping.start, length, advice as u64, 0, 0, 0])?;
                }
            }
            for guard in mapping.guards.iter() {
                list.call(object, libc::SYS_madvise, [guard.start, guard.length, MADV_GUARD_INSTALL, 0, 0, 0])?;
            }
            if !mapping.name.is_empty() {
                let name = [&mapping.name[..], b"\0"].concat();
                list.with(object, libc::SYS_prctl, &[&name], |at| [PR_SET_VMA, 0, mapping.start, length, at[0], 0])?;
            }
            if has(mapping, b"lo") {
                let flags = if has(mapping, b"lf") { MLOCK_ONFAULT } else { 0 };
                list.call(object, libc::SYS_mlock2, [mapping.start, length, flags, 0, 0, 0])?;
            }
        }
        self.program(&mut list, open)?;
        list.run()?;
        self.stub.point(Object::Program, Fault::RestoreSealed)
    }

    /// The program's addresses and file (prctl(2), `PR_SET_MM_MAP`).
    fn program(&self, list: &mut List<'_>, open: &Open) -> Result {
        let record = self.record;
        let file = open.number(&Key::Path(record.executable.to_vec(), false))?;
        // struct prctl_mm_map, linux/prctl.h: addresses, auxv's place, its length, the file. auxv follows it.
        let bytes: Vec<u8> = record.bounds.iter().flat_map(|address| address.to_ne_bytes()).collect();
        let auxiliary = &record.auxiliary[..];
        let place = list.place(auxiliary.len() + 256)?;
        let auxiliary_at = if auxiliary.is_empty() { 0 } else { place };
        let length = (auxiliary.len() as u32).to_ne_bytes();
        let map = [&bytes[..], &auxiliary_at.to_ne_bytes(), &length, &(file as u32).to_ne_bytes()].concat();
        list.with(Object::Program, libc::SYS_prctl, &[auxiliary, &map], |places| {
            [PR_SET_MM, PR_SET_MM_MAP, places[1], map.len() as u64, 0, 0]
        })?;
        if record.huge_pages_off {
            list.call(Object::Settings, libc::SYS_prctl, [libc::PR_SET_THP_DISABLE as u64, 1, 0, 0, 0, 0])?;
        }
        if record.deny_write_exec != 0 {
            // After every mprotect(2), which it denies.
            list.call(Object::Settings, libc::SYS_prctl, [PR_SET_MDWE, record.deny_write_exec.into(), 0, 0, 0, 0])?;
        }
        Ok(())
    }
}

/// Puts pages into address space `id`.
pub(super) fn fill(region: &Region, id: u32, spaces: &mut BTreeMap<u32, Space<'_, '_>>) -> Result {
    let space = spaces.get_mut(&id);
    let space = space.ok_or_else(|| Error::unable(format!("pages of address space {id}"), "no process has it"))?;
    space.stub.point(Object::Stub, Fault::RestoreFilled)?;
    space.fill(region)
}

/// Puts pages into shared object `id`, which the process `first` of ours has in its nursery unless it is a file.
pub(super) fn fill_object(
    region: &Region,
    id: u32,
    content: &Content,
    (open, nursery): (&Open, &Nursery),
    first: &Stub,
) -> Result {
    let what = || format!("shared object {id}");
    let failed = |call, error| Error::Object { what: what(), call, error };
    let object = content.objects.get(&id).ok_or_else(|| Error::unable(what(), "there is no such object"))?;
    let descriptor = open.descriptor(&Key::Object(id));
    let mut pages = region.pages();
    for run in region.runs() {
        let (now, later) = pages.split_at(run.count as usize * PAGE as usize);
        pages = later;
        let at = run.first * PAGE;
        // The last page may be longer than the object.
        let now = &now[..object.size.saturating_sub(at).min(now.len() as u64) as usize];
        if let Some(place) = nursery.filled(first, id, at) {
            memory::write(first.tid, place, now).map_err(|error| failed("process_vm_writev", error))?;
        }
        let mut done = 0;
        while let Some(descriptor) = descriptor.filter(|_| done < now.len()) {
            let written = rustix::io::pwrite(descriptor, &now[done..], at + done as u64);
            done += written.map_err(|error| failed("pwrite", error.into()))?;
        }
    }
    Ok(())
}

fn droppable(mapping: &Mapping) -> bool {
    has(mapping, b"dp")
}

/// The protection until it is filled. One that may once have been written is mapped so: then the kernel counts it as before.
fn initial(mapping: &Mapping) -> u32 {
    let private = matches!(
        mapping.backing,
        Backing::Anonymous | Backing::PrivateFile { .. } | Backing::Object { private: true, .. }
    );
    if private && has(mapping, b"ac") { mapping.protection | READ_WRITE } else { mapping.protection }
}

/// Where a mapping's memory is in the nursery, if it is there.
fn inherited(mapping: &Mapping, stub: &Stub, nursery: &Nursery) -> Option<u64> {
    match mapping.backing {
        Backing::Object { object, offset, private: false } => nursery.place(stub, object, offset),
        _ => None,
    }
}

/// The arguments of mmap(2); none for what the kernel lays there.
fn mmap(mapping: &Mapping, open: &Open) -> Result<Option<[u64; 6]>> {
    const KEPT: libc::c_int = libc::MAP_GROWSDOWN | libc::MAP_NORESERVE;
    let mut flags = mapping.flags as u64 & KEPT as u64 | libc::MAP_FIXED_NOREPLACE as u64;
    for (letters, flag) in [(b"gd", libc::MAP_GROWSDOWN), (b"nr", libc::MAP_NORESERVE)] {
        flags |= if has(mapping, letters) { flag as u64 } else { 0 };
    }
    if mapping.flags & libc::MAP_HUGETLB as u32 != 0 || has(mapping, b"ht") {
        let what = format!("the mapping at {:#x}", mapping.start);
        return Err(Error::unable(what, "this release cannot restore huge pages of hugetlbfs"));
    }
    let (kind, descriptor, offset) = match &mapping.backing {
        Backing::Special { .. } => return Ok(None),
        Backing::Anonymous if droppable(mapping) => (MAP_DROPPABLE | libc::MAP_ANONYMOUS as u64, u64::MAX, 0),
        Backing::Anonymous => ((libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64, u64::MAX, 0),
        Backing::PrivateFile { offset, .. } => (libc::MAP_PRIVATE as u64, file(mapping, open)?, *offset),
        Backing::SharedFile { offset, .. } => (libc::MAP_SHARED as u64, file(mapping, open)?, *offset),
        Backing::Object { object, offset, private } => {
            let kind = if *private { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
            (kind as u64, open.number(&Key::Object(*object))?, *offset)
        }
    };
    let length = mapping.end - mapping.start;
    Ok(Some([mapping.start, length, initial(mapping).into(), flags | kind, descriptor, offset]))
}

fn file(mapping: &Mapping, open: &Open) -> Result<u64> {
    let (path, write) = mapped(mapping).unwrap_or_default();
    open.number(&Key::Path(path.to_vec(), write))
}

/// Has the kernel lay its vdso where it was. Another kernel's may look otherwise.
fn vdso(stub: &Stub, mappings: &[Mapping]) -> Result {
    let name = |mapping: &Mapping| match &mapping.backing {
        Backing::Special { name } => Some(name.to_vec()),
        _ => None,
    };
    let mut wanted = Vec::new();
    for mapping in mappings {
        match name(mapping).as_deref() {
            None | Some(b"vsyscall") => {}
            Some(name) if name == b"vdso" || name.starts_with(b"vvar") => {
                wanted.push((mapping.start..mapping.end, name.to_vec()));
            }
            Some(name) => {
                let what = format!("the mapping \"{}\" of {}", name.escape_ascii(), stub.name);
                return Err(Error::unable(what, "this release does not know it"));
            }
        }
    }
    let Some((first, _)) = wanted.first() else { return Ok(()) };
    stub.call(Object::Vdso, &Call::new(libc::SYS_arch_prctl, [VDSO_CALL, first.start, 0, 0, 0, 0]))?;
    let found = special(stub).map_err(|error| stub.failed(Object::Vdso, "read its maps", error))?;
    if found != wanted {
        let why = "the running kernel has another one; resume it on a machine with the same kernel";
        return Err(Error::unable(format!("the vdso of {}", stub.name), why));
    }
    Ok(())
}

/// What the kernel has laid into the memory of `stub`.
fn special(stub: &Stub) -> io::Result<Vec<(Range<u64>, Vec<u8>)>> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", stub.tid))?;
    let line = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let name = rest.split_once('[')?.1.strip_suffix(']')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        (name == "vdso" || name.starts_with("vvar")).then(|| (range, name.as_bytes().to_vec()))
    };
    Ok(maps.lines().filter_map(line).collect())
}

/// Has a process lose the area. The last call that is made in that memory.
pub(super) fn drop_area(stub: &Stub) -> Result {
    let range = stub.area().range();
    stub.call(Object::Stub, &Call::new(libc::SYS_munmap, [range.start, range.end - range.start, 0, 0, 0, 0])).map(drop)
}
