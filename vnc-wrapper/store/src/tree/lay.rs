//! Laying trees out: first all directories, empty files and other entries, then the contents of files by a thread for each
//! processor, and last what belongs to the entries, each directory's behind everything in it.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, symlinkat};

use super::entry::{Entry, Kind};
use super::plan::{Plan, Target, Task};
use super::{Progress, ProgressFn, meta, unfold};
use crate::content::TreeRef;
use crate::error::{Error, IoContext, Result};
use crate::form::{self, Lay};
use crate::handles::Handles;
use crate::hash::ChunkHash;
use crate::pack::{Catalogue, ChunkReader, Unpacker, open_pack, pack_of};

/// Blocks that a thread takes at a time: threads that write to the same file wait for each other.
const STRIDE: usize = 32;
/// The kernel takes no longer path at once.
const LONG_PATH: usize = 4000;

/// A tree in the making.
struct Site<'a> {
    path: &'a Path,
    root: OwnedFd,
    entries: Vec<Entry>,
}

/// A tree that is to be laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Laid<'a> {
    pub(crate) tree: &'a TreeRef,
    /// Where.
    pub(crate) path: &'a Path,
    /// In which form; none: exactly as it is stored.
    pub(crate) form: Option<Lay>,
}

/// Makes directories at the given paths, where nothing may be, and lays the trees out in them. `named` is the file to name
/// when a tree makes no sense.
///
/// # Errors
/// What is damaged, or what the system refused. Nothing is left of the trees then.
pub(crate) fn lay_out(
    trees: &[Laid<'_>],
    reader: &mut ChunkReader,
    named: &Path,
    cancel: &AtomicBool,
    progress: ProgressFn<'_>,
) -> Result<()> {
    let mut entries = Vec::new();
    for Laid { tree, form, .. } in trees {
        let mut unfolded = unfold(tree, reader, named)?;
        if let Some(lay) = form {
            let damaged = |reason| Error::Damaged { path: named.to_owned(), reason };
            form::localise(&mut unfolded, *lay).map_err(damaged)?;
        }
        entries.push(unfolded);
    }
    let mut made: Vec<&Path> = Vec::new();
    let result = (|| {
        let mut sites = Vec::new();
        for (Laid { path, .. }, entries) in trees.iter().zip(entries) {
            DirBuilder::new().mode(0o700).create(path).at("create", path)?;
            made.push(path);
            sites.push(Site { path, root: File::open(path).at("open", path)?.into(), entries });
        }
        let mut plan = Plan::default();
        for (number, site) in sites.iter().enumerate() {
            site.create(number, &mut plan, reader)?;
        }
        plan.sort();
        fill(&sites, &plan, reader.catalogue(), cancel, progress)?;
        sites.iter().try_for_each(Site::finish)
    })();
    if let Err(error) = result {
        for path in made {
            // The first error is the one to tell; the caller sees what is left.
            let _ = fs::remove_dir_all(path);
        }
        return Err(error);
    }
    Ok(())
}

fn c_name(name: &[u8]) -> Result<CString> {
    let path = || PathBuf::from(OsStr::from_bytes(name));
    CString::new(name).map_err(|_| Error::Damaged { path: path(), reason: "its name has a zero in it".into() })
}

/// Calls `each` for every entry but the root, with the directory that it is in, and `leave` for every directory, when all
/// in it was seen, with the directory that it is in; the root's is itself, and its name `.`.
fn traverse(
    site: &Site<'_>,
    mut each: impl FnMut(&OwnedFd, &CStr, &Entry, &[u8]) -> Result<()>,
    mut leave: impl FnMut(&OwnedFd, &CStr, &Entry, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut open: Vec<(OwnedFd, &Entry, usize)> = Vec::new();
    let mut path: Vec<u8> = Vec::new();
    let at = |path: &[u8]| site.path.join(OsStr::from_bytes(path));
    for entry in &site.entries {
        let Some((directory, _, _)) = open.last() else {
            let root = site.root.try_clone().at("open", site.path)?;
            open.push((root, entry, 0));
            continue;
        };
        if entry.kind == Kind::End {
            let left = open.pop();
            let Some((fd, left, length)) = left else { continue };
            match open.last() {
                Some((parent, _, _)) => leave(parent, &c_name(&left.name)?, left, &path)?,
                None => leave(&fd, c".", left, &path)?,
            }
            path.truncate(length);
            continue;
        }
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(&entry.name);
        let name = c_name(&entry.name)?;
        each(directory, &name, entry, &path)?;
        if entry.kind == Kind::Directory {
            let below = meta::open_directory(directory.as_fd(), &name).at("open", &at(&path))?;
            open.push((below, entry, length));
        } else {
            path.truncate(length);
        }
    }
    Ok(())
}

impl Site<'_> {
    fn at(&self, path: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(path))
    }

    /// Makes every entry, files without their contents, and plans those.
    fn create(&self, number: usize, plan: &mut Plan, reader: &mut ChunkReader) -> Result<()> {
        let mut groups: Vec<Vec<u8>> = Vec::new();
        let each = |directory: &OwnedFd, name: &CStr, entry: &Entry, path: &[u8]| {
            if entry.kind == Kind::Link {
                let first = usize::try_from(entry.group - 1).ok().and_then(|group| groups.get(group));
                let first = first.ok_or(io::Error::from(io::ErrorKind::NotFound)).at("link", &self.at(path))?;
                let linked = open_parent(&self.root, first).and_then(|(parent, first)| {
                    Ok(linkat(parent.as_ref().unwrap_or(&self.root), &first, directory, name, AtFlags::empty())?)
                });
                return linked.at("link", &self.at(path));
            }
            if entry.group > 0 {
                groups.push(path.to_vec());
            }
            create_entry(directory, name, entry).at("create", &self.at(path))?;
            match entry.kind {
                Kind::File { .. } => plan.add(Target { tree: number, path: path.to_vec() }, entry, reader),
                _ => Ok(()),
            }
        };
        traverse(self, each, |_, _, _, _| Ok(()))
    }

    /// Gives every entry what belongs to it.
    fn finish(&self) -> Result<()> {
        let apply = |directory: &OwnedFd, name: &CStr, entry: &Entry, path: &[u8]| {
            let is_symlink = matches!(entry.kind, Kind::Symlink(_));
            meta::apply(directory.as_fd(), name, is_symlink, &entry.meta).at("set the metadata of", &self.at(path))
        };
        let each = |directory: &OwnedFd, name: &CStr, entry: &Entry, path: &[u8]| match entry.kind {
            Kind::Directory | Kind::Link | Kind::End => Ok(()),
            _ => apply(directory, name, entry, path),
        };
        traverse(self, each, apply)
    }
}

fn create_entry(directory: &OwnedFd, name: &CStr, entry: &Entry) -> io::Result<()> {
    let private = Mode::RUSR | Mode::WUSR;
    let node = |kind, device| Ok(mknodat(directory, name, kind, private, device)?);
    match &entry.kind {
        Kind::Directory => Ok(mkdirat(directory, name, Mode::RWXU)?),
        Kind::File { size, .. } => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(openat(directory, name, flags, private)?);
            if *size > 0 { file.set_len(*size) } else { Ok(()) }
        }
        Kind::Symlink(target) => Ok(symlinkat(target.as_slice(), directory, name)?),
        Kind::Character { major, minor } => node(FileType::CharacterDevice, makedev(*major, *minor)),
        Kind::Block { major, minor } => node(FileType::BlockDevice, makedev(*major, *minor)),
        Kind::Fifo => node(FileType::Fifo, 0),
        Kind::Socket => node(FileType::Socket, 0),
        Kind::Link | Kind::End => Ok(()),
    }
}

/// The directory of `path` below `root` (none: `root` itself), and the name in it, for paths of any length.
fn open_parent(root: &OwnedFd, path: &[u8]) -> io::Result<(Option<OwnedFd>, CString)> {
    if path.len() < LONG_PATH {
        return Ok((None, CString::new(path)?));
    }
    let mut parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let name = CString::new(parts.pop().unwrap_or_default())?;
    let mut parent = None;
    for part in parts {
        let below = meta::open_directory(parent.as_ref().unwrap_or(root).as_fd(), &CString::new(part)?)?;
        parent = Some(below);
    }
    Ok((parent, name))
}

/// Everything that the threads share.
struct Filling<'a> {
    sites: &'a [Site<'a>],
    plan: &'a Plan,
    catalogue: &'a Catalogue,
    /// Which tasks are of one block each.
    blocks: Vec<Range<usize>>,
    next: AtomicUsize,
    packs: Handles<u32>,
    targets: Handles<u32>,
    stop: AtomicBool,
    cancel: &'a AtomicBool,
    failure: Mutex<Option<Error>>,
    done: AtomicU64,
    progress: ProgressFn<'a>,
}

/// Writes the contents of all files.
fn fill(
    sites: &[Site<'_>],
    plan: &Plan,
    catalogue: &Catalogue,
    cancel: &AtomicBool,
    progress: ProgressFn<'_>,
) -> Result<()> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    for (number, task) in plan.tasks.iter().enumerate() {
        let same = number > 0
            && plan.tasks.get(number - 1).is_some_and(|before| {
                (before.location.pack, before.location.block) == (task.location.pack, task.location.block)
            });
        match blocks.last_mut() {
            Some(block) if same => block.end = number + 1,
            _ => blocks.push(number..number + 1),
        }
    }
    let filling = Filling {
        sites,
        plan,
        catalogue,
        blocks,
        next: AtomicUsize::new(0),
        packs: Handles::default(),
        targets: Handles::default(),
        stop: AtomicBool::new(false),
        cancel,
        failure: Mutex::new(None),
        done: AtomicU64::new(0),
        progress,
    };
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                if let Err(error) = filling.work() {
                    filling.stop.store(true, Ordering::Relaxed);
                    filling.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            });
        }
    });
    let failure = filling.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress(Progress { done: plan.bytes, total: plan.bytes });
    failure.map_or(Ok(()), Err)
}

impl Filling<'_> {
    fn work(&self) -> Result<()> {
        let mut unpacker =
            Unpacker::new().at("decompress into", self.sites.first().map_or(Path::new(""), |s| s.path))?;
        let mut raw = Vec::new();
        loop {
            let start = self.next.fetch_add(STRIDE, Ordering::Relaxed);
            if start >= self.blocks.len() {
                return Ok(());
            }
            for block in self.blocks.iter().skip(start).take(STRIDE) {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if self.cancel.load(Ordering::Relaxed) {
                    return Err(Error::Cancelled);
                }
                self.block(self.plan.tasks.get(block.clone()).unwrap_or_default(), &mut unpacker, &mut raw)?;
            }
        }
    }

    fn block(&self, tasks: &[Task], unpacker: &mut Unpacker, raw: &mut Vec<u8>) -> Result<()> {
        let Some(first) = tasks.first() else { return Ok(()) };
        let pack = pack_of(self.catalogue, first.location)?;
        let file = self.packs.get(first.location.pack, || open_pack(pack))?;
        unpacker.read(pack, &file, first.location.block, raw)?;
        let wrong = |hash: &ChunkHash| Error::Damaged {
            path: pack.path.clone(),
            reason: format!("chunk {hash} is not what its name says"),
        };
        let mut checked = None;
        // What comes next in the block and goes next in the file is written at once.
        let mut run: Option<(u32, u64, Range<usize>)> = None;
        for task in tasks {
            let begin = task.location.offset as usize;
            let chunk = raw.get(begin..).and_then(|rest| rest.get(..task.location.length as usize));
            let chunk = chunk.ok_or_else(|| wrong(&task.hash))?;
            if checked != Some(task.hash) && ChunkHash::of(chunk) != task.hash {
                return Err(wrong(&task.hash));
            }
            checked = Some(task.hash);
            let bytes = begin + task.from as usize..begin + (task.from + task.length) as usize;
            match &mut run {
                Some((file, offset, before))
                    if *file == task.file
                        && before.end == bytes.start
                        && *offset + before.len() as u64 == task.offset =>
                {
                    before.end = bytes.end;
                }
                _ => {
                    if let Some(run) = run.replace((task.file, task.offset, bytes)) {
                        self.write(&run, raw)?;
                    }
                }
            }
        }
        run.map_or(Ok(()), |run| self.write(&run, raw))
    }

    fn write(&self, (number, offset, bytes): &(u32, u64, Range<usize>), raw: &[u8]) -> Result<()> {
        let target = self.plan.files.get(*number as usize);
        let Some((target, site)) = target.and_then(|target| Some((target, self.sites.get(target.tree)?))) else {
            return Ok(());
        };
        let file = self.targets.get(*number, || {
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = open_parent(&site.root, &target.path).and_then(|(parent, name)| {
                Ok(openat(parent.as_ref().unwrap_or(&site.root), &name, flags, Mode::empty())?)
            });
            Ok(File::from(opened.at("open", &site.at(&target.path))?))
        })?;
        let bytes = raw.get(bytes.clone()).unwrap_or_default();
        file.write_all_at(bytes, *offset).at("write", &site.at(&target.path))?;
        let done = self.done.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        (self.progress)(Progress { done, total: self.plan.bytes });
        Ok(())
    }
}
